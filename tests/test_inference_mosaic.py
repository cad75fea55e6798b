"""Mosaic: tiles meet without a trace, at any size, and never all at once."""

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from anymus.errors import ParamsError
from anymus.images import RgbU8
from inference.mosaic import plan_tiles, take_samples, tile_offsets, translate_mosaic

TILE_PX = 32


class Facts(NamedTuple):
    size_px: int = 64
    unit_px: int = 4
    is_any_size: bool = True
    reach_px: int = 40
    pixel_bytes: int = 640


def _unchanged(tiles: list[RgbU8]) -> list[NDArray[np.float32]]:
    return [tile.astype(np.float32) for tile in tiles]


def _noise(height_px: int, width_px: int) -> RgbU8:
    rng = np.random.default_rng([7, height_px, width_px])
    return rng.integers(0, 256, (height_px, width_px, 3), np.uint8)


@pytest.mark.parametrize(
    ("height_px", "width_px"),
    [(32, 32), (33, 31), (97, 131), (1, 1), (5, 200), (200, 5), (64, 32), (53, 75)],
)
def test_unchanged_tiles_give_the_picture_itself(height_px: int, width_px: int) -> None:
    picture = _noise(height_px, width_px)
    mosaic, heat = translate_mosaic(picture, _unchanged, TILE_PX, batch_size=3)
    assert heat is None
    assert mosaic.dtype == np.uint8
    assert mosaic.shape == picture.shape
    assert np.abs(mosaic.astype(int) - picture).max() <= 1


def test_tiles_of_different_brightness_meet_without_a_step() -> None:
    shades = iter(np.random.default_rng(3).permutation(np.linspace(40, 220, 400)))

    def shade(tiles: list[RgbU8]) -> list[NDArray[np.float32]]:
        return [np.full(tile.shape, next(shades), np.float32) for tile in tiles]

    picture = np.zeros((150, 170, 3), np.uint8)
    mosaic = translate_mosaic(picture, shade, TILE_PX).rgb_u8.astype(int)
    steps = max(np.abs(np.diff(mosaic, axis=axis)).max() for axis in (0, 1))
    assert mosaic.max() - mosaic.min() > 60
    assert steps < 0.2 * (220 - 40)  # a hard seam would be the whole difference


def test_no_more_tiles_at_once_than_the_batch() -> None:
    sizes = []

    def record(tiles: list[RgbU8]) -> list[NDArray[np.float32]]:
        sizes.append(len(tiles))
        assert all(tile.shape == (TILE_PX, TILE_PX, 3) for tile in tiles)
        return _unchanged(tiles)

    translate_mosaic(_noise(100, 300), record, TILE_PX, batch_size=5, overlap_px=12)
    assert max(sizes) == 5
    assert sum(sizes) == len(tile_offsets(100, TILE_PX, 12)) * len(tile_offsets(300, TILE_PX, 12))


def test_a_fourth_channel_is_the_heat() -> None:
    picture = _noise(70, 90)

    def with_heat(tiles: list[RgbU8]) -> list[NDArray[np.float32]]:
        return [np.concatenate([t, t[:, :, :1] / 7.0], axis=2).astype(np.float32) for t in tiles]

    mosaic, heat = translate_mosaic(picture, with_heat, TILE_PX)
    assert np.abs(mosaic.astype(int) - picture).max() <= 1
    assert heat is not None
    assert np.allclose(heat, picture[:, :, 0] / 7, atol=1e-3)


@pytest.mark.parametrize("length_px", [32, 33, 52, 53, 100, 1000])
def test_tiles_cover_a_side_and_overlap(length_px: int) -> None:
    offsets = tile_offsets(length_px, TILE_PX, 12)
    assert offsets[0] == 0
    assert offsets[-1] == length_px - TILE_PX
    gaps = np.diff(offsets)
    assert (gaps > 0).all()
    assert (gaps <= TILE_PX - 12).all()


@pytest.mark.parametrize("memory_mib", [12, 64, 1024])
@pytest.mark.parametrize(("height_px", "width_px"), [(50, 70), (700, 900), (6000, 2000)])
def test_the_plan_keeps_to_the_memory_and_uses_it(
    memory_mib: int, height_px: int, width_px: int
) -> None:
    facts = Facts()
    plan = plan_tiles(height_px, width_px, facts, memory_mib)
    band_bytes = 56 * plan.tile_px * max(width_px, plan.tile_px)
    tiles_bytes = plan.batch_size * plan.tile_px**2 * facts.pixel_bytes
    at_once = max(map(len, plan.samples))
    sample_bytes = at_once * plan.sample_px**2 * facts.pixel_bytes
    assert tiles_bytes + band_bytes <= memory_mib * 2**20
    assert sample_bytes <= memory_mib * 2**20
    assert plan.tile_px % facts.unit_px == 0
    assert 64 <= plan.tile_px <= 1024
    assert plan.overlap_px == min(round(0.375 * plan.tile_px), 80)
    is_all_sampled = len(plan.samples) == 1
    assert sum(map(len, plan.samples)) * plan.sample_px**2 >= height_px * width_px
    assert is_all_sampled or at_once >= 8 or plan.sample_px == 16
    is_largest = plan.tile_px >= min(1024, max(height_px, width_px))
    assert is_all_sampled or sample_bytes > 0.5 * memory_mib * 2**20
    assert max(map(len, plan.samples)) - min(map(len, plan.samples)) <= 1
    assert is_largest or tiles_bytes + band_bytes > 0.8 * memory_mib * 2**20


def test_samples_lie_inside_and_spread() -> None:
    plan = plan_tiles(640, 960, Facts(), 20)  # memory for 8 parts of 64 px, 32 of 32, 128 of 16
    assert plan.sample_px == 32
    assert sum(map(len, plan.samples)) == len({at for group in plan.samples for at in group})
    assert sum(map(len, plan.samples)) == 20 * 30
    for group in plan.samples:
        assert 25 < len(group) <= 32
        tops, lefts = (np.array(values) for values in zip(*group, strict=True))
        assert abs(tops.mean() - 304) < 120
        assert abs(lefts.mean() - 464) < 180
        assert 0 <= tops.min() < tops.max() <= 640 - 32
    assert plan_tiles(640, 960, Facts(), 900).sample_px == 64
    picture = _noise(640, 960)
    samples = list(take_samples(picture, plan))
    top, left = plan.samples[2][1]
    assert np.array_equal(samples[2][1], picture[top : top + 32, left : left + 32])
    small = list(take_samples(_noise(5, 7), plan_tiles(5, 7, Facts(), 20)))
    assert [len(group) for group in small] == [1]


@pytest.mark.parametrize(
    ("facts", "memory_mib", "tile_px", "hint"),
    [
        (Facts(), 2, None, "--max-memory 6"),
        (Facts(), 1024, 65, "--tile 128"),
        (Facts(), 1024, 32, "--tile 128"),
        (Facts(), 100, 512, "--max-memory 18"),
        (Facts(is_any_size=False), 100, 128, "leave --tile out"),
    ],
)
def test_tiles_that_cannot_be_are_refused(
    facts: Facts, memory_mib: int, tile_px: int | None, hint: str
) -> None:
    with pytest.raises(ParamsError) as caught:
        plan_tiles(1000, 1000, facts, memory_mib, tile_px)
    assert caught.value.hint is not None
    assert hint in caught.value.hint


def test_flatten_keeps_to_the_training_size() -> None:
    plan = plan_tiles(1000, 1000, Facts(is_any_size=False), 100)
    assert plan.tile_px == 64
    assert plan.batch_size == 8
