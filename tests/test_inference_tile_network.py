"""The network of a mosaic: tiles agree, and agree with the picture translated in one piece."""

from typing import Any, Literal

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from anymus.errors import CheckpointError
from anymus.images import RgbU8
from inference.mosaic import plan_tiles, take_samples, translate_mosaic
from inference.tile_network import TileNetwork
from training.layers import LIN, AdaLIN
from training.networks import Generator

SIZE_PX = 32


def _generator(film: Literal["pooled", "flatten"] = "pooled", **arguments: Any) -> Generator:
    torch.manual_seed(4)
    generator = Generator(
        base_channels=4, image_size_px=SIZE_PX, residual_blocks=1, film=film, **arguments
    )
    with torch.no_grad():
        for module in generator.modules():
            if isinstance(module, AdaLIN | LIN):
                module.rho.uniform_(0.1, 0.9)
    return generator.eval()


def _picture(height_px: int, width_px: int) -> RgbU8:
    """Return a picture whose parts differ in brightness and in contrast."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (7, 9, 3), np.uint8)
    smooth = cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_CUBIC).astype(float)
    grain = rng.normal(0, 30, (height_px, width_px, 1)) * np.linspace(0, 1, width_px)[None, :, None]
    return np.clip(smooth + grain, 0, 255).astype(np.uint8)


def _whole(generator: Generator, rgb_u8: RgbU8) -> Tensor:
    """Return what the generator makes of the picture in one piece, (H, W, 3), 0-255."""
    x = torch.from_numpy(rgb_u8.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.inference_mode():
        return (generator(x).image[0].permute(1, 2, 0) + 1) * 127.5


@pytest.mark.parametrize("film", ["pooled", "flatten"])
def test_of_one_sample_the_statistics_are_the_generators_own(film: Any) -> None:
    generator = _generator(film)
    picture = _picture(SIZE_PX, SIZE_PX)
    network = TileNetwork(generator, "cpu")
    tile = network.fit([[picture]])([picture])[0]
    assert tile.shape == (SIZE_PX, SIZE_PX, 4)
    assert np.abs(tile[:, :, :3] - _whole(generator, picture).numpy()).max() < 0.02


def test_one_picture_as_two_samples_changes_nothing() -> None:
    picture = _picture(SIZE_PX, SIZE_PX)
    network = TileNetwork(_generator(), "cpu")
    one = network.fit([[picture]])([picture])[0]
    two = network.fit([[picture] * 2])([picture])[0]
    assert np.abs(one - two).max() < 0.2  # the unbiased variance counts pixels less one


def test_tiles_agree_with_the_whole_picture() -> None:
    generator = _generator()
    picture = _picture(128, 192)
    whole = _whole(generator, picture).numpy()
    network = TileNetwork(generator, "cpu")
    plan = plan_tiles(128, 192, network, 64, 96)
    translate = network.fit([[picture]])  # statistics of the whole: tiles are what they were in it
    exact = translate_mosaic(picture, translate, 96, 2, 2 * network.reach_px)
    assert np.abs(exact.rgb_u8 - whole).max() < 8
    assert np.abs(exact.rgb_u8 - whole).mean() < 0.6
    shared = translate_mosaic(
        picture, network.fit(take_samples(picture, plan)), 96, 2, plan.overlap_px
    )

    def alone(tiles: list[RgbU8]) -> list[Any]:
        return [_whole(generator, tile).numpy() for tile in tiles]

    independent = translate_mosaic(picture, alone, 96, 2, plan.overlap_px)
    error, error_alone = (np.abs(mosaic.rgb_u8 - whole).mean() for mosaic in (shared, independent))
    assert error < 0.5 * error_alone
    assert shared.heat is not None
    assert np.isfinite(shared.heat).all()


def test_groups_of_samples_come_nearer_to_the_whole_than_one_of_them() -> None:
    generator = _generator()
    picture = _picture(256, 384)
    whole = _whole(generator, picture).numpy()
    network = TileNetwork(generator, "cpu")
    plan = plan_tiles(256, 384, network, 3, SIZE_PX)
    groups = list(take_samples(picture, plan))
    assert 3 <= len(groups) <= 12
    alone = [_error(network.fit([group])([picture])[0], whole) for group in groups]
    assert _error(network.fit(groups)([picture])[0], whole) < 0.8 * np.median(alone)
    assert _error(network.fit([groups[0]])([picture])[0], whole) == alone[0]  # nothing is left over


def _error(tile: Any, whole: Any) -> float:
    return float(np.abs(tile[:, :, :3] - whole).mean())


def test_the_generator_stays_as_it_is() -> None:
    generator = _generator()
    picture = _picture(SIZE_PX, SIZE_PX)
    before = _whole(generator, picture)
    names = [type(module).__name__ for module in generator.modules()]
    TileNetwork(generator, "cpu").fit([[_picture(64, 64)]])
    assert [type(module).__name__ for module in generator.modules()] == names
    assert torch.equal(_whole(generator, picture), before)
    assert all(parameter.requires_grad for parameter in generator.parameters())


def test_the_reach_is_how_far_a_pixel_is_felt() -> None:
    network = TileNetwork(_generator(), "cpu")
    picture = _picture(192, 192)
    translate = network.fit([[picture]])
    changed = picture.copy()
    changed[96, 96] = 255 - changed[96, 96]
    difference = np.abs(translate([picture])[0] - translate([changed])[0]).max(axis=2)
    rows, columns = np.nonzero(difference > 1e-4)
    felt_px = max(np.abs(rows - 96).max(), np.abs(columns - 96).max())
    assert felt_px <= network.reach_px
    assert felt_px >= 0.6 * network.reach_px


def test_broken_weights_are_named() -> None:
    generator = _generator()
    with torch.no_grad():
        generator.stem.weight.fill_(torch.nan)
    with pytest.raises(CheckpointError, match="no numbers"):
        TileNetwork(generator, "cpu").fit([[_picture(SIZE_PX, SIZE_PX)]])
