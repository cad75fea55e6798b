"""Mosaic: tiles meet without a trace, at any size, and never all at once."""

import numpy as np
import pytest

from anymus.images import RgbU8
from inference.mosaic import tile_offsets, translate_mosaic

TILE_PX = 32


def _noise(height_px: int, width_px: int) -> RgbU8:
    rng = np.random.default_rng([7, height_px, width_px])
    return rng.integers(0, 256, (height_px, width_px, 3), np.uint8)


@pytest.mark.parametrize(
    ("height_px", "width_px"),
    [(32, 32), (33, 31), (97, 131), (1, 1), (5, 200), (200, 5), (64, 32), (53, 75)],
)
def test_unchanged_tiles_give_the_picture_itself(height_px: int, width_px: int) -> None:
    picture = _noise(height_px, width_px)
    mosaic = translate_mosaic(picture, list, TILE_PX, batch_size=3)
    assert mosaic.dtype == np.uint8
    assert mosaic.shape == picture.shape
    assert np.abs(mosaic.astype(int) - picture).max() <= 1


def test_tiles_of_different_brightness_meet_without_a_step() -> None:
    shades = iter(np.random.default_rng(3).permutation(np.linspace(40, 220, 400)))

    def shade(tiles: list[RgbU8]) -> list[RgbU8]:
        return [np.full_like(tile, round(next(shades))) for tile in tiles]

    mosaic = translate_mosaic(np.zeros((150, 170, 3), np.uint8), shade, TILE_PX).astype(int)
    steps = max(np.abs(np.diff(mosaic, axis=axis)).max() for axis in (0, 1))
    assert mosaic.max() - mosaic.min() > 60
    assert steps < 0.2 * (220 - 40)  # a hard seam would be the whole difference


def test_no_more_tiles_at_once_than_the_batch() -> None:
    sizes = []

    def record(tiles: list[RgbU8]) -> list[RgbU8]:
        sizes.append(len(tiles))
        assert all(tile.shape == (TILE_PX, TILE_PX, 3) for tile in tiles)
        return tiles

    translate_mosaic(_noise(100, 300), record, TILE_PX, batch_size=5)
    assert max(sizes) == 5
    assert sum(sizes) == len(tile_offsets(100, TILE_PX)) * len(tile_offsets(300, TILE_PX))


@pytest.mark.parametrize("length_px", [32, 33, 52, 53, 100, 1000])
def test_tiles_cover_a_side_and_overlap(length_px: int) -> None:
    offsets = tile_offsets(length_px, TILE_PX)
    assert offsets[0] == 0
    assert offsets[-1] == length_px - TILE_PX
    gaps = np.diff(offsets)
    assert (gaps > 0).all()
    assert (gaps <= TILE_PX * 5 / 8).all()
