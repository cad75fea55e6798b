"""Who is in a portrait is cut out from the wall behind."""

import numpy as np
import pytest
from numpy.typing import NDArray

from anymus.images import RgbU8
from training.sitters import before, find_sitter, with_margin

SIDE_PX = 160
Y, X = np.mgrid[:SIDE_PX, :SIDE_PX] / SIDE_PX - 0.5
FACE = (X / 0.26) ** 2 + (Y / 0.34) ** 2 < 1
HAIR = (X / 0.3) ** 2 + ((Y + 0.04) / 0.36) ** 2 < 1
COAT = (Y > 0.32) & (np.abs(X) < 0.2 + 1.1 * (Y - 0.32))
SITTER = FACE | HAIR | COAT


def portrait(wall: NDArray[np.float64]) -> RgbU8:
    """Return a face with dark hair and a blue coat before a wall (H, W, 3)."""
    rng = np.random.default_rng(4)
    rgb = wall.copy()
    for where, colour in ((HAIR, (60, 40, 30)), (FACE, (205, 160, 135)), (COAT, (40, 50, 90))):
        rgb[where] = colour
    eyes = ((np.abs(X) - 0.1) ** 2 + (Y + 0.03) ** 2) < 0.02**2
    rgb[eyes] = 30
    return (rgb + rng.normal(0, 2, rgb.shape)).clip(0, 255).astype(np.uint8)


def sloping(left: float, right: float) -> NDArray[np.float64]:
    return np.repeat(np.interp(X, (-0.5, 0.5), (left, right))[..., None], 3, axis=2)


@pytest.mark.parametrize("wall", [(110, 110), (90, 170), (230, 250)])
def test_a_sitter_before_an_even_wall_is_cut_out(wall: tuple[float, float]) -> None:
    found = find_sitter(portrait(sloping(*wall)))
    assert found is not None
    assert found.shape == (SIDE_PX, SIDE_PX)
    cut = found > 127
    assert (cut & SITTER).sum() / (cut | SITTER).sum() > 0.95


def test_the_same_photo_is_cut_the_same() -> None:
    photo = portrait(sloping(90, 170))
    assert np.array_equal(find_sitter(photo), find_sitter(photo))  # type: ignore[arg-type]


@pytest.mark.parametrize("level", [0, 128, 255])
def test_nobody_is_cut_out_of_nothing(level: int) -> None:
    assert find_sitter(np.full((SIDE_PX, SIDE_PX, 3), level, np.uint8)) is None


@pytest.mark.parametrize("kind", ["blots", "stripes", "skin"])
def test_who_cannot_be_told_from_what_is_behind_is_not_cut_out(kind: str) -> None:
    own = np.array([(60, 40, 30), (205, 160, 135), (40, 50, 90)], np.float64)
    blots = np.random.default_rng(1).integers(0, 3, (SIDE_PX // 16, SIDE_PX // 16))
    walls = {
        "blots": own[blots].repeat(16, 0).repeat(16, 1),
        "stripes": own[np.arange(SIDE_PX) // 16 % 3][None].repeat(SIDE_PX, 0),
        "skin": np.broadcast_to(own[1], (SIDE_PX, SIDE_PX, 3)),
    }
    assert find_sitter(portrait(walls[kind])) is None


def test_a_sitter_stands_before_what_is_given() -> None:
    photo = portrait(sloping(110, 110))
    sitter = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    sitter[SITTER] = 255
    sitter[0, 0] = 51  # a fifth
    moved = before(photo, sitter, np.array([10, 20, 30], np.uint8))
    assert np.array_equal(moved[SITTER], photo[SITTER])
    assert (moved[~SITTER][1:] == (10, 20, 30)).all()
    assert moved[0, 0] == pytest.approx(0.2 * photo[0, 0] + 0.8 * np.array([10, 20, 30]), abs=0.5)
    wide = with_margin(sitter)
    assert (wide >= sitter).all()
    assert 1.02 < (wide > 127).sum() / SITTER.sum() < 1.3
