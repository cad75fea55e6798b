"""The skin of a portrait is found and darkened, and nothing else of it changes."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from test_portraits import SITTING
from test_sitters import COAT, FACE, HAIR, SIDE_PX, X, Y, portrait, sloping

from anymus.images import RgbU8
from training.complexion import (
    COMPLEXIONS,
    exposed_for_skin,
    find_gloss,
    find_skin,
    to_light,
    with_complexion,
)

AHEAD = replace(
    SITTING, eyes=((0.4, 0.47), (0.6, 0.47)), half_width=0.26, nose_y=0.6, mouth_y=0.68, chin_y=0.84
)
EYES = ((np.abs(X) - 0.1) / 0.03) ** 2 + ((Y + 0.03) / 0.012) ** 2 < 1
TEETH = (X / 0.07) ** 2 + ((Y - 0.18) / 0.02) ** 2 < 1
SKIN = FACE & (((np.abs(X) - 0.1) / 0.07) ** 2 + ((Y + 0.03) / 0.05) ** 2 > 1) & (Y < 0.12)
CHEEKS = SKIN & (Y > 0.03)


@pytest.fixture
def photo() -> RgbU8:
    """Somebody with light skin, brown hair, a blue coat, bare teeth and the whites of the eyes."""
    rgb = portrait(sloping(90, 170))
    for where, colour in ((EYES, (235, 235, 238)), (TEETH, (240, 236, 228))):
        rgb[where] = colour
    return rgb


def shrunk(where: NDArray[np.bool_], side_px: int) -> NDArray[np.bool_]:
    """Return what lies half a square of that side away from what is elsewhere."""
    return cv2.erode(where.astype(np.uint8), np.ones((side_px, side_px), np.uint8)) > 0


def in_grey(photo: RgbU8) -> RgbU8:
    return np.repeat(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def linear(rgb: RgbU8, where: NDArray[np.bool_]) -> NDArray[np.float64]:
    light: NDArray[np.float64] = np.median((rgb[where] / 255) ** 2.2, axis=0)
    return light


def test_skin_is_found_and_nothing_else(photo: RgbU8) -> None:
    skin = find_skin(photo, AHEAD)
    assert skin.shape == (SIDE_PX, SIDE_PX)
    assert skin.min() >= 0
    assert skin.max() <= 1
    assert skin[shrunk(SKIN, 5)].min() > 0.8
    others = shrunk((HAIR & ~FACE) | COAT | ~(FACE | HAIR | COAT), 9)
    assert skin[others].max() < 0.1
    assert skin[TEETH].mean() < 0.3
    assert skin[EYES].mean() < 0.3


def test_what_is_no_skin_keeps_its_pixels(photo: RgbU8) -> None:
    changed = with_complexion(photo, AHEAD, "dark", np.random.default_rng(3))
    wall = np.abs(X) > 0.4
    assert (changed[wall] == photo[wall]).all()
    assert np.abs(linear(changed, TEETH) / linear(photo, TEETH) - 1).max() < 0.1


@pytest.mark.parametrize("skin", COMPLEXIONS)
def test_skin_returns_less_light_and_least_of_all_blue(photo: RgbU8, skin: str) -> None:
    kind, before = COMPLEXIONS[skin], linear(photo, CHEEKS)
    for seed in range(6):
        changed = with_complexion(photo, AHEAD, skin, np.random.default_rng(seed))
        red, green, blue = linear(changed, CHEEKS) / before
        assert kind.least - 0.05 < red < kind.most + 0.05
        assert green / red == pytest.approx(kind.green, abs=0.06)
        assert blue / red == pytest.approx(kind.blue, abs=0.06)
    same = with_complexion(photo, AHEAD, skin, np.random.default_rng(5))
    assert (same == changed).all()


def test_a_grey_photo_stays_grey_and_darkens(photo: RgbU8) -> None:
    grey = in_grey(photo)
    changed = with_complexion(grey, AHEAD, "dark", np.random.default_rng(1))
    assert (changed == changed[..., :1]).all()
    assert linear(changed, CHEEKS).max() < 0.5 * linear(grey, CHEEKS).max()
    wall = np.abs(X) > 0.4
    assert (changed[wall] == grey[wall]).all()


def test_in_grey_no_skin_is_nearly_as_light_as_light_skin(photo: RgbU8) -> None:
    grey = in_grey(photo)
    for seed in range(12):
        changed = with_complexion(grey, AHEAD, "brown", np.random.default_rng(seed))
        assert linear(changed, CHEEKS).max() < 0.52 * linear(grey, CHEEKS).max()


def test_a_camera_set_for_dark_skin_shows_all_lighter(photo: RgbU8) -> None:
    dark = with_complexion(photo, AHEAD, "dark", np.random.default_rng(2))
    gains = []
    for seed in range(30):
        exposed = exposed_for_skin(dark, AHEAD, np.random.default_rng(seed))
        gain = linear(exposed, CHEEKS) / linear(dark, CHEEKS)
        assert gain == pytest.approx(np.full(3, gain[0]), rel=0.05)  # its colour stays
        assert linear(exposed, HAIR & ~FACE) == pytest.approx(
            linear(dark, HAIR & ~FACE) * gain[0], rel=0.2
        )
        gains.append(gain[0])
    assert 1 <= min(gains) < 1.3
    assert 2.5 < max(gains) < 4.2  # two stops
    same = exposed_for_skin(dark, AHEAD, np.random.default_rng(29))
    assert (same == exposed).all()


def test_a_camera_shows_no_skin_lighter_than_bright_portraits_do(photo: RgbU8) -> None:
    for seed in range(20):
        exposed = exposed_for_skin(photo, AHEAD, np.random.default_rng(seed))
        assert linear(photo, CHEEKS)[0] * 0.99 <= linear(exposed, CHEEKS)[0] < 0.85
    grey = in_grey(photo)
    assert (exposed_for_skin(grey, AHEAD, np.random.default_rng(1)) == grey).all()


def test_a_shadow_on_a_face_stays_a_shadow(photo: RgbU8) -> None:
    shaded = photo.copy()
    right = X > 0
    shaded[right] = (photo[right] * 0.75).astype(np.uint8)
    changed = with_complexion(shaded, AHEAD, "brown", np.random.default_rng(1))
    of_photo, of_changed = (
        linear(rgb, CHEEKS & right) / linear(rgb, CHEEKS & ~right) for rgb in (shaded, changed)
    )
    assert of_changed == pytest.approx(of_photo, rel=0.15)


def shining(photo: RgbU8) -> tuple[RgbU8, NDArray[np.bool_]]:
    """Return a photo with white light on one cheek, and where that is."""
    spot = ((X + 0.1) / 0.05) ** 2 + ((Y - 0.06) / 0.04) ** 2 < 1
    light = (photo / 255) ** 2.2
    light[spot] += 0.2
    return (light.clip(0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8), spot


def test_gloss_is_what_is_white_above_the_skin(photo: RgbU8) -> None:
    shiny, spot = shining(photo)
    gloss = find_gloss(to_light(shiny), AHEAD)
    inner, elsewhere = shrunk(spot, 5), shrunk(SKIN & ~spot, 9)
    assert np.median(gloss[inner]) == pytest.approx(0.2, abs=0.04)
    assert np.median(gloss[elsewhere]) < 0.02
    assert gloss.min() >= 0


def test_gloss_stands_out_on_dark_skin(photo: RgbU8) -> None:
    shiny, spot = shining(photo)
    inner = shrunk(spot, 5)
    contrasts = []
    for seed in range(8):
        changed = with_complexion(shiny, AHEAD, "dark", np.random.default_rng(seed))
        contrasts.append(linear(changed, inner)[0] / linear(changed, CHEEKS & ~spot)[0])
    before = linear(shiny, inner)[0] / linear(shiny, CHEEKS & ~spot)[0]
    assert max(contrasts) > 1.5 * before
    assert min(contrasts) > 0.8 * before
