"""Glasses and beards are put where they belong on a portrait, and nothing else of it changes."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from test_complexion import AHEAD, EYES, in_grey
from test_sitters import FACE, HAIR, SIDE_PX, X, Y, portrait, sloping

from anymus.images import RgbU8
from training.disguise import BEARDS, GLASSES, with_beard, with_glasses

BEARDED = replace(AHEAD, hair="black")
LIPS = (X / 0.05) ** 2 + ((Y - 0.18) / 0.012) ** 2 < 1
UPPER = Y < -0.08
UNDER_NOSE = (np.abs(X) < 0.03) & (np.abs(Y - 0.145) < 0.01)
CHIN = (np.abs(X) < 0.04) & (np.abs(Y - 0.29) < 0.03)
JAWS = FACE & (np.abs(np.abs(X) - 0.15) < 0.02) & (np.abs(Y - 0.2) < 0.02)


@pytest.fixture
def photo() -> RgbU8:
    """Somebody with light skin, brown hair and red lips before a wall."""
    rgb = portrait(sloping(90, 170))
    rgb[LIPS] = (170, 80, 80)
    return rgb


def light(rgb: RgbU8, where: NDArray[np.bool_]) -> float:
    return float(rgb[where].mean())


@pytest.mark.parametrize(
    ("beard", "grown", "bare"),
    [
        ("moustache", [UNDER_NOSE], [CHIN, JAWS]),
        ("goatee", [CHIN], [JAWS]),
        ("full", [CHIN, JAWS], []),
        ("long", [CHIN, JAWS], []),
    ],
)
def test_a_beard_grows_where_its_kind_does(
    photo: RgbU8, beard: str, grown: list[NDArray[np.bool_]], bare: list[NDArray[np.bool_]]
) -> None:
    for seed in range(8):
        changed = with_beard(photo, replace(BEARDED, beard=beard), np.random.default_rng(seed))
        for where in grown:
            assert light(changed, where) < 0.7 * light(photo, where)
        for where in [*bare, LIPS, UPPER]:
            assert light(changed, where) == pytest.approx(light(photo, where), rel=0.12)
    same = with_beard(photo, replace(BEARDED, beard=beard), np.random.default_rng(7))
    assert (same == changed).all()


def test_a_beard_has_the_colour_of_the_hair_and_the_light_of_the_skin(photo: RgbU8) -> None:
    bearded = {
        hair: with_beard(photo, replace(AHEAD, beard="full", hair=hair), np.random.default_rng(2))
        for hair in ("black", "red", "white")
    }
    assert light(bearded["black"], JAWS) < 0.85 * light(bearded["red"], JAWS)
    assert light(bearded["red"], JAWS) < 0.85 * light(bearded["white"], JAWS)
    red, _, blue = bearded["red"][JAWS].mean(axis=0)
    assert red > 1.3 * blue
    right = X > 0
    shaded = photo.copy()
    shaded[right] = (photo[right] * 0.6).astype(np.uint8)
    changed = with_beard(shaded, replace(AHEAD, beard="full", hair="white"),
                         np.random.default_rng(2))  # fmt: skip
    assert light(changed, JAWS & right) < 0.8 * light(changed, JAWS & ~right)


@pytest.mark.parametrize("glasses", GLASSES)
def test_glasses_are_rims_around_both_eyes(photo: RgbU8, glasses: str) -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        changed = with_glasses(photo, replace(AHEAD, glasses=glasses), rng).astype(int)
        differs = np.abs(changed - photo).max(axis=-1) > 12
        for side in (X < 0, X > 0):
            rows = np.nonzero((differs & side & (np.abs(np.abs(X) - 0.1) < 0.02)).any(axis=1))[0]
            above, below = rows.min() / SIDE_PX - 0.5, rows.max() / SIDE_PX - 0.5
            assert -0.13 < above < -0.05
            assert glasses == "thin" or below > -0.02  # some thin ones have an upper rim alone
        assert not differs[Y > 0.15].any()
        assert not differs[Y < -0.15].any()
        assert differs[(np.abs(X) < 0.02) & (np.abs(Y + 0.05) < 0.05)].any()  # the bridge
        assert np.abs(changed - photo)[EYES].mean() < 40


def test_a_grey_photo_stays_grey(photo: RgbU8) -> None:
    grey = in_grey(photo)
    sitting = replace(AHEAD, hair="red", beard="full", glasses="round")
    for put_on in (with_beard, with_glasses):
        changed = put_on(grey, sitting, np.random.default_rng(1))
        assert (changed == changed[..., :1]).all()
        assert (changed[HAIR & UPPER & (Y < -0.2)] == grey[HAIR & UPPER & (Y < -0.2)]).all()


def test_shares_are_shares() -> None:
    for shares in (BEARDS, GLASSES):
        assert sum(shares.values()) == pytest.approx(1.0)
