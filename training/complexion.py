"""Complexions: an aligned portrait with the skin of somebody darker, everything else as it was.

Few sets of photos have as many people of each skin as are needed to learn what tells dark skin from
dim light. So each photo of light skin is shown twice, and only the skin of the second is another:
whoever learns from both has nothing but the skin to tell them by.

Skin is found as what has the colour of the cheeks, in the face, its ears and the neck: eyes, teeth,
hair, collars and walls keep theirs. Its light is multiplied, channel by channel, as pigment takes
light away, so shadows stay shadows. Gloss has met no pigment, so it stays as light as it was: on
dark skin it stands out more.

Source: the dichromatic reflection model (Shafer 1985, "Using color to separate reflection
components") for what is gloss.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.drawing.portrait import Sitting
from anymus.images import RgbU8

from .data import DISPLAY_GAMMA

Field = NDArray[np.float64]


class Complexion(NamedTuple):
    """How a skin looks beside light skin in the same light."""

    least: float
    """Share of the light of light skin that it returns, in red, at least."""
    most: float
    green: float
    """Of its red, that it returns in green, beside light skin."""
    blue: float
    share: float
    """Of those who are shown with another skin, that have this one."""


COMPLEXIONS = {
    "tan": Complexion(0.5, 1.0, 0.86, 0.68, share=0.1),
    "brown": Complexion(0.32, 0.9, 0.78, 0.52, share=0.5),
    "dark": Complexion(0.12, 0.5, 0.76, 0.55, share=0.4),
}
"""Measured on cheeks of 481 portraits: blue is 0.31 of red for light skin, 0.20 for tan, 0.17 for
brown (medians, in linear light)."""
LIGHT_SKINS = ("pale", "light")
_HALF_PATCH = 0.04  # of what is looked at on cheeks, in sides
_COLOUR_REACH = 0.42  # of the cheeks' chroma: what differs as much is half skin
_LEAST_COLOUR_REACH = 10.0  # of Lab's a and b
_LIGHTER, _DARKER = 26.0, 45.0  # of Lab's L, likewise
_GREY_DARKER = 30.0  # where no colour helps
_WITHIN = 0.8  # by which all these are larger in the middle of a face, where all but eyes is skin
_GREY = 3.0  # mean chroma of Lab below which a photo counts as grey
_HOLE = 0.02  # in sides: so far from skin on all sides a highlight is skin, too
_EDGE = 0.004  # sigma of a skin's edge, in sides
_GLOSS_SIGMA = 0.006  # in sides: gloss is as smooth
_MOST_GLOSS = 1.5  # of what is found: light skin seldom shines as much as dark skin may
_LEAST_COLOUR = 0.1  # of cheeks' red, that blue is less
_MOST_IN_GREY = 0.5  # of light skin's light: no colour tells what is nearly as light
_GREY_GLOSS = 0.5  # of what is lighter than cheeks, where no colour tells gloss from slopes
_EXPOSED_RED, _LEAST_RED = 0.8, 1e-3  # of cheeks in bright portraits, and in any; in [0, 1]
_MOST_STOPS = 2.0  # by which a camera that is set for skin shows all lighter
_EYE = (0.18, 0.06)  # half width and height of what shows of it, in half face widths


def with_complexion(photo: RgbU8, sitting: Sitting, skin: str, rng: np.random.Generator) -> RgbU8:
    """Return a portrait of light skin with another skin.

    Args:
        photo: (H, H, 3).
        sitting: Where its face lies.
        skin: Of `COMPLEXIONS`.
        rng: Of this picture alone: how dark the skin is, and how much it shines.
    """
    kind, is_grey = COMPLEXIONS[skin], _is_grey(_lab(photo))
    most = min(kind.most, _MOST_IN_GREY) if is_grey else kind.most
    red = float(np.exp(rng.uniform(np.log(kind.least), np.log(most))))
    gain = red * np.array([kind.green] * 3 if is_grey else [1.0, kind.green, kind.blue])
    share, light = find_skin(photo, sitting)[..., None], to_light(photo)
    gloss = find_gloss(light, sitting)[..., None] * rng.uniform(0.0, _MOST_GLOSS)
    return to_photo(light + share * (gain - 1) * (light - gloss))


def exposed_for_skin(photo: RgbU8, sitting: Sitting, rng: np.random.Generator) -> RgbU8:
    """Return a portrait as from a camera that was set for its skin: all of it lighter, by chance.

    In a studio dark skin is not darker than light skin in a dim room, but more colourful, and what
    is around it is lighter. At the most cheeks become as light as in bright portraits, and nothing
    by more than two stops; what is too light then is cut off, as in a camera. A grey photo stays as
    it is: there nothing would tell its skin from light skin.

    Args:
        photo: (H, H, 3).
        sitting: Where its face lies.
        rng: Of this picture alone: how far the lens is opened.
    """
    if _is_grey(_lab(photo)):
        return photo
    light = to_light(photo)
    red = max(float(cheek_colour(light, sitting)[0]), _LEAST_RED)
    most = np.clip(np.log2(_EXPOSED_RED / red), 0.0, _MOST_STOPS)
    return to_photo(light * 2 ** rng.uniform(0.0, most))


def to_light(photo: RgbU8) -> Field:
    """Return the light of each pixel of a photo (H, H, 3), 0 to 1, linear."""
    light: Field = (photo / 255) ** DISPLAY_GAMMA
    return light


def to_photo(light: Field) -> RgbU8:
    """Return light as a photo; what is too light or too dark for one is cut off."""
    photo: RgbU8 = (np.clip(light, 0, 1) ** (1 / DISPLAY_GAMMA) * 255).round().astype(np.uint8)
    return photo


def find_skin(photo: RgbU8, sitting: Sitting) -> Field:
    """Return where a portrait (H, H, 3) shows skin, (H, H) in [0, 1]."""
    side_px = len(photo)
    lab = _lab(np.asarray(cv2.bilateralFilter(photo, 5, 20, 3), np.uint8))
    cheeks, zones = cheek_colour(lab, sitting), _find_zones(side_px, sitting)
    lightness, *colours = np.moveaxis(lab - cheeks, -1, 0)
    reach = np.where(lightness > 0, _LIGHTER, _GREY_DARKER if _is_grey(lab) else _DARKER)
    colour_reach = max(_LEAST_COLOUR_REACH, _COLOUR_REACH * _chroma(cheeks))
    distance = np.hypot(lightness / reach, np.hypot(*colours) / colour_reach)
    likeness = np.exp2(-((distance / (1 + _WITHIN * zones.middle)) ** 4)) * zones.head
    wide = 2 * round(_HOLE * side_px) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide))
    whole = cv2.morphologyEx(likeness, cv2.MORPH_CLOSE, disc) * (1 - zones.eyes)
    is_tooth = (zones.mouth > 0) & (_chroma(lab) < 0.6 * _chroma(cheeks)) & (lightness > -20)
    whole[is_tooth] = 0
    return np.asarray(cv2.GaussianBlur(whole, (0, 0), _EDGE * side_px))


def find_gloss(light: Field, sitting: Sitting) -> Field:
    """Return how much of the light of skin was reflected above its pigment, (H, H), 0 or more.

    Pigment returns light in the ratio of the cheeks' colour, gloss returns it as white as it came;
    in grey, gloss is taken to be a part of what is lighter than cheeks.

    Args:
        light: (H, H, 3), 0 to 1, linear, of a portrait.
        sitting: Where its face lies.
    """
    red, _, blue = np.moveaxis(cv2.GaussianBlur(light, (0, 0), _GLOSS_SIGMA * len(light)), -1, 0)
    skin_red, _, skin_blue = cheek_colour(light, sitting)
    if skin_red - skin_blue < _LEAST_COLOUR * skin_red:
        return np.asarray(_GREY_GLOSS * (blue - skin_blue).clip(0))
    pigment = ((red - blue) / (skin_red - skin_blue)).clip(0)
    return np.asarray((blue - pigment * skin_blue).clip(0))


def _lab(photo: RgbU8) -> Field:
    lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.asarray(lab, np.float64)


def _chroma(lab: Field) -> Field:
    return np.asarray(np.hypot(lab[..., 1], lab[..., 2]))


def _is_grey(lab: Field) -> bool:
    """Return whether a photo (H, H, 3) in Lab has next to no colour."""
    return bool(_chroma(lab).mean() < _GREY)


class _Zones(NamedTuple):
    """Parts of a portrait, (H, H) each in [0, 1]."""

    head: Field
    """Where skin may be: face, ears, forehead, and the neck below."""
    middle: Field
    """1 in the middle of the face, less around it."""
    eyes: Field
    mouth: Field


def cheek_colour(picture: Field, sitting: Sitting) -> Field:
    """Return the median colour (3,) of both cheeks in a portrait (H, H, 3), in its own units."""
    side_px = len(picture)
    (left_x, left_y), (right_x, right_y) = sitting.eyes
    level = round((left_y + right_y + 2 * sitting.mouth_y) / 4 * side_px)
    reach = round(_HALF_PATCH * side_px)
    patches = [
        picture[level - reach : level + reach, middle - reach : middle + reach].reshape(-1, 3)
        for middle in (round(x * side_px) for x in (left_x, right_x))
    ]
    return np.asarray(np.median(np.concatenate(patches), axis=0))


def _find_zones(side_px: int, sitting: Sitting) -> _Zones:
    """Return which parts of a picture are what, by where the features lie."""
    line = (np.arange(side_px) + 0.5) / side_px
    x, y = np.meshgrid(line, line)
    (left_x, left_y), (right_x, right_y) = sitting.eyes
    across, eyes_y, unit = (left_x + right_x) / 2, (left_y + right_y) / 2, sitting.half_width
    centre = across - 0.3 * unit * np.sin(np.radians(sitting.yaw))
    down = (sitting.chin_y - eyes_y) * 1.08
    height = np.where(y > eyes_y, down, 1.45 * unit)
    face = ((x - centre) / (1.25 * unit)) ** 2 + ((y - eyes_y) / height) ** 2
    neck = (y > sitting.mouth_y) & (np.abs(x - centre) < 0.95 * unit)
    level = (eyes_y + sitting.nose_y) / 2
    middle = ((x - across) / (0.8 * unit)) ** 2 + ((y - level) / (0.95 * unit)) ** 2
    eyes = [
        ((x - eye_x) / (_EYE[0] * unit)) ** 2 + ((y - eye_y) / (_EYE[1] * unit)) ** 2 < 1
        for eye_x, eye_y in sitting.eyes
    ]
    half_mouth = 0.55 * sitting.wide * (right_x - left_x)
    mouth = ((x - across) / half_mouth) ** 2 + ((y - sitting.mouth_y) / (0.22 * unit)) ** 2 < 1
    fields = ((face < 1) | neck, np.exp(-(middle**2)), eyes[0] | eyes[1], mouth)
    return _Zones(*(np.asarray(field, np.float64) for field in fields))
