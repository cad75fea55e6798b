"""Lamps: an aligned portrait as lit from elsewhere, by the shape that most heads have.

A shadow with a straight edge (`data.shadowed`) falls across a picture; a lamp beside a sitter makes
one that follows the face: along the nose, in the hollow of an eye, down a cheek. There generators
draw strokes that are not of the face. Faces lie where the framing puts them, so one shape fits all
well enough: an ellipsoid with a nose and two hollows, lit as chalk is.

Source: Lambert's cosine law; half-Lambert wrapping (Mitchell et al. 2006, "Shading in Valve's
Source engine") for the soft edge of a large lamp's shadow.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.images import RgbU8

from .data import DISPLAY_GAMMA

Field = NDArray[np.float64]

_CENTRE, _RADII, _DEPTH = (0.5, 0.46), (0.31, 0.40), 0.34  # of the head, x and y, in sides
_RIM = 0.93  # of the radii: as far as its slope rises
_NOSE = (0.44, 0.62, 0.035, 0.07)  # from y to y, half its width, height; in sides
_HOLLOWS = (0.125, 0.46, 0.05, 0.018)  # x from the middle, y, half the width, depth; in sides
_AZIMUTHS = (0.0, 2 * np.pi)  # around the camera: 0 right, a quarter of a turn below
_ASIDE = (np.pi / 6, np.pi / 2)  # between the lamp and the camera: 30 to 90 degrees
_MOST_WRAP = 0.3
_FEWEST_STOPS, _MOST_STOPS = 1.5, 5.0  # between what the lamp lights and what it does not
_MISPLACED = 0.02  # in sides, sigma: faces lie about where they should


def lit_by_a_lamp(photo: RgbU8, rng: np.random.Generator) -> RgbU8:
    """Return an aligned portrait (H, H, 3) as lit by one lamp, from any side, in a dim room.

    Its lightest parts keep their light; where no lamp shines, up to 5 stops of it are lost.
    """
    azimuth, aside = rng.uniform(*_AZIMUTHS), rng.uniform(*_ASIDE)
    lamp = (np.sin(aside) * np.cos(azimuth), np.sin(aside) * np.sin(azimuth), np.cos(aside))
    wrap, room = rng.uniform(0.0, _MOST_WRAP), 2.0 ** -rng.uniform(_FEWEST_STOPS, _MOST_STOPS)
    slope_x, slope_y = _slopes(len(photo), rng.normal(0.0, _MISPLACED, size=2))
    facing = (lamp[2] - lamp[0] * slope_x - lamp[1] * slope_y) / np.sqrt(
        1 + slope_x**2 + slope_y**2
    )
    light = room + (1 - room) * np.maximum(0.0, (facing + wrap) / (1 + wrap))
    gain = (light / light.max()) ** (1 / DISPLAY_GAMMA)
    lit: RgbU8 = (photo * gain[..., None]).round().astype(np.uint8)
    return lit


def _slopes(side_px: int, moved: Field) -> tuple[Field, Field]:
    """Return how steeply the shape rises towards the camera, to the right and down, (H, H) each."""
    margin_px = side_px // 16  # beyond the picture, so that its borders are lit as what is within
    line = (np.arange(-margin_px, side_px + margin_px) + 0.5) / side_px
    x, y = np.meshgrid(line - moved[0], line - moved[1])
    height = _head(x, y) + _nose(x, y) - _hollows(x, y)
    soft = cv2.GaussianBlur(height, (0, 0), side_px / 100)
    inner = slice(margin_px, -margin_px)
    slope_y, slope_x = (slope[inner, inner] for slope in np.gradient(soft, 1 / side_px))
    return slope_x, slope_y


def _head(x: Field, y: Field) -> Field:
    """Return an ellipsoid up to its rim, and beyond it a cone as steep as the rim."""
    u, v = (x - _CENTRE[0]) / _RADII[0], (y - _CENTRE[1]) / _RADII[1]
    radius = np.hypot(u, v)
    inside = np.minimum(radius, _RIM)
    steepness = _RIM / np.sqrt(1 - _RIM**2)
    return np.asarray(_DEPTH * (np.sqrt(1 - inside**2) - steepness * (radius - inside)))


def _nose(x: Field, y: Field) -> Field:
    """Return a ridge that rises from the brow to the tip and ends there."""
    top, tip, half_width, height = _NOSE
    rise = np.clip((y - top) / (tip - top), 0.0, 1.0) * (y <= tip)
    return np.asarray(height * rise * np.exp(-(((x - 0.5) / half_width) ** 2)))


def _hollows(x: Field, y: Field) -> Field:
    """Return how deep the eyes lie."""
    aside, level, half_width, depth = _HOLLOWS
    distance = ((np.abs(x - 0.5) - aside) ** 2 + (y - level) ** 2) / half_width**2
    return np.asarray(depth * np.exp(-distance))
