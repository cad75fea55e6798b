"""Disguises: an aligned portrait with glasses or a beard that its sitter does not wear.

Few collections have enough beards to learn from: beside shadows they are too rare to be told from
them. So who has none is shown once more with one, in the photo and in the drawing, and nothing but
the beard tells the two apart; likewise with frames of all kinds.

Both lie where a table says that the features are (`anymus.drawing.portrait.Sitting`). A beard has
the light of the skin below it and the colour of the hair, in strands that run away from the nose.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.drawing.portrait import Sitting
from anymus.images import RgbU8

from .complexion import Field, find_skin, to_light, to_photo

Colour = tuple[float, float, float]

BEARDS = {"full": 0.4, "moustache": 0.3, "goatee": 0.2, "long": 0.1}
"""How often each kind, of those that are put on."""
GLASSES = {"thin": 0.55, "square": 0.3, "round": 0.15}
_HAIR_LIGHT: dict[str, Colour] = {
    "black": (0.05, 0.045, 0.045),
    "dark brown": (0.09, 0.06, 0.045),
    "brown": (0.16, 0.1, 0.065),
    "light brown": (0.28, 0.19, 0.12),
    "blond": (0.5, 0.38, 0.24),
    "red": (0.32, 0.15, 0.08),
    "grey": (0.36, 0.35, 0.34),
    "white": (0.85, 0.84, 0.82),
}
"""Light that hair returns, of the light that light skin returns in green."""
_LIGHT_SIGMA = 0.05  # in sides: light on a beard is that of the skin, as smooth
_EDGE_SIGMA = 0.012  # in sides, of where skin ends
_FRAMES: dict[str, tuple[Colour, ...]] = {
    "thin": ((0.45, 0.36, 0.2), (0.4, 0.4, 0.42), (0.1, 0.1, 0.1), (0.02, 0.02, 0.02)),
    "square": ((0.01, 0.01, 0.01), (0.03, 0.02, 0.015), (0.12, 0.05, 0.03), (0.02, 0.03, 0.06)),
    "round": ((0.01, 0.01, 0.01), (0.08, 0.04, 0.02), (0.4, 0.32, 0.18), (0.25, 0.25, 0.26)),
}
"""Light that frames return, of white's."""
_SUPERSAMPLING = 4


class _Lens(NamedTuple):
    """A lens beside an eye, lengths in half face widths."""

    half_width: tuple[float, float]
    """Least and most."""
    half_height: tuple[float, float]
    squareness: float
    """Exponent of its outline: 1 an ellipse, 0 a rectangle."""
    rim: tuple[float, float]
    """Width of its rim, least and most."""


_LENSES = {
    "thin": _Lens((0.3, 0.4), (0.19, 0.3), 0.6, (0.012, 0.028)),
    "square": _Lens((0.33, 0.4), (0.22, 0.3), 0.45, (0.035, 0.075)),
    "round": _Lens((0.28, 0.34), (0.26, 0.32), 1.0, (0.015, 0.05)),
}


class _Place(NamedTuple):
    """Where each pixel lies on a face, in half face widths; all (H, H)."""

    across: Field
    """From its middle, above 0 to the right of the picture."""
    below: Field
    """From the line of the eyes."""


def with_glasses(photo: RgbU8, sitting: Sitting, rng: np.random.Generator) -> RgbU8:
    """Return a portrait with glasses.

    Args:
        photo: (H, H, 3).
        sitting: Where its face lies, and its glasses, of `GLASSES`.
        rng: Of this picture alone: their size, frame and reflections.
    """
    side_px, unit = len(photo), sitting.half_width
    lens = _LENSES[sitting.glasses]
    size = np.array([rng.uniform(*lens.half_width), rng.uniform(*lens.half_height)])
    outlines, lines = _frame(sitting, lens, size)
    is_half = sitting.glasses == "thin" and rng.random() < 0.2
    width = rng.uniform(*lens.rim) * unit
    drawn = [outline[:25] for outline in outlines] if is_half else outlines
    rim = _stroke([*drawn, *lines], width, side_px)
    glass = _filled(outlines, side_px)
    frames = _FRAMES[sitting.glasses]
    colour = np.array(frames[int(rng.integers(len(frames)))]) * np.exp(rng.uniform(-0.4, 0.4))
    light = to_light(photo)
    white = np.percentile(light, 95)
    lower = np.roll(rim, round(0.06 * unit * side_px), axis=0)
    shadow = cv2.GaussianBlur(lower, (0, 0), max(0.5, 0.03 * unit * side_px))
    light *= 1 - rng.uniform(0.0, 0.4) * shadow[..., None]
    light *= 1 - rng.uniform(0.0, 0.15) * glass[..., None]
    glare = _glare(glass, sitting, rng)[..., None]
    light = light + (white - light) * glare
    sheen = 0.7 + 0.6 * rng.random() * np.clip(cv2.Sobel(rim, cv2.CV_64F, 0, 1), 0, 1)[..., None]
    frame = _as_grey(photo, colour) * white * sheen
    light += (frame - light) * rim[..., None] * rng.uniform(0.8, 1.0)
    return to_photo(light)


def _frame(sitting: Sitting, lens: _Lens, size: Field) -> tuple[list[Field], list[Field]]:
    """Return the outlines of both lenses, upper half first, and bridge and temples, in sides."""
    unit, turn = sitting.half_width, np.radians(sitting.yaw)
    (left_x, left_y), (right_x, right_y) = sitting.eyes
    eyes = np.array([[left_x, left_y], [right_x, right_y]])
    along = (eyes[1] - eyes[0]) / np.linalg.norm(eyes[1] - eyes[0])
    down = np.array([-along[1], along[0]])
    angle = np.linspace(-np.pi, np.pi, 49)
    outlines = []
    for eye, sign in zip(eyes, (-1, 1), strict=True):
        near = np.cos(turn) + 0.3 * sign * np.sin(turn)  # the far lens is narrower
        x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** lens.squareness * size[0] * near
        y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** lens.squareness * size[1]
        centre = eye + (0.04 * sign * along + 0.05 * down) * unit
        outlines.append(centre + unit * (x[:, None] * along + y[:, None] * down))
    ends = [outlines[0][24], outlines[1][0]]  # inner ends, on the line of the eyes
    middle = (ends[0] + ends[1]) / 2 - 0.06 * unit * down
    lines = [np.array([ends[0], middle, ends[1]])]
    for outline, sign in zip(outlines, (-1, 1), strict=True):
        if sign * sitting.yaw < 12:  # the other temple is behind the face
            end = outline[0 if sign < 0 else 24] - 0.04 * unit * down
            reach = max(0.0, 0.95 - 0.3 * sign * np.sin(turn))
            ear = eyes.mean(0) + unit * (sign * reach * along - 0.02 * down)
            if sign * float((ear - end) @ along) > 0:
                lines.append(np.array([end, ear]))
    return outlines, lines


def _stroke(lines: list[Field], width: float, side_px: int) -> Field:
    """Return lines (points, 2) in sides as a share of each pixel, (H, H)."""
    canvas = np.zeros((side_px * _SUPERSAMPLING,) * 2, np.uint8)
    thick = max(1, round(width * side_px * _SUPERSAMPLING))
    points = [(line * len(canvas)).round().astype(np.int32) for line in lines]
    cv2.polylines(canvas, points, False, 255, thick, cv2.LINE_AA)
    return _reduced(canvas, side_px)


def _filled(outlines: list[Field], side_px: int) -> Field:
    canvas = np.zeros((side_px * _SUPERSAMPLING,) * 2, np.uint8)
    points = [(outline * len(canvas)).round().astype(np.int32) for outline in outlines]
    cv2.fillPoly(canvas, points, 255)
    return _reduced(canvas, side_px)


def _reduced(canvas: NDArray[np.uint8], side_px: int) -> Field:
    small = cv2.resize(canvas, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float64) / 255


def _glare(glass: Field, sitting: Sitting, rng: np.random.Generator) -> Field:
    """Return how much of each pixel is the reflection of a window, a slanting band, (H, H)."""
    place = _places(len(glass), sitting)
    lean = place.across * rng.choice([-1.0, 1.0]) + rng.uniform(0.3, 1.5) * place.below
    phase = np.mod(lean + rng.uniform(0, 1), rng.uniform(0.7, 1.4))
    band = np.exp(-(((phase - 0.35) / rng.uniform(0.03, 0.15)) ** 2))
    return np.asarray(rng.uniform(0.0, 0.6) ** 2 * band * glass)


def with_beard(photo: RgbU8, sitting: Sitting, rng: np.random.Generator) -> RgbU8:
    """Return a portrait with a beard of the colour of its hair.

    Args:
        photo: (H, H, 3).
        sitting: Where its face lies, the colour of its hair, and its beard, of `BEARDS`.
        rng: Of this picture alone: shape, strands and how dark it is.
    """
    side_px, place = len(photo), _places(len(photo), sitting)
    light, skin = to_light(photo), find_skin(photo, sitting)
    strands = _strands(place, sitting, rng)
    inner = 0.4 * (cv2.GaussianBlur(skin, (0, 0), _EDGE_SIGMA * side_px) - 0.3)
    chin = _landmarks(sitting).chin
    on_skin = np.where(place.below < chin - 0.1, inner, np.inf)  # below it hangs over anything
    area = np.minimum(_beard_area(place, sitting, rng), on_skin)
    share = np.clip(0.5 + (area + 0.015 * strands) / 0.06, 0, 1)[..., None]
    tint = np.array(_HAIR_LIGHT[sitting.hair]) * np.exp(rng.uniform(-0.3, 0.3, 1))
    contrast = rng.uniform(0.2, 0.45)
    shading = _light_on_skin(light, skin) * np.exp(contrast * strands)
    shading *= 1 - 0.45 * np.clip(place.below - chin, 0, 0.6)
    beard = shading[..., None] * _as_grey(photo, tint)
    return to_photo(light + (beard - light) * rng.uniform(0.78, 0.97) * share)


class _Landmarks(NamedTuple):
    """How far below the line of the eyes parts of a face lie, in half face widths."""

    nose: float
    mouth: float
    chin: float
    half_mouth: float
    """Half its width."""
    lip: float
    """Half the height of the lips."""


def _landmarks(sitting: Sitting) -> _Landmarks:
    (left_x, left_y), (right_x, right_y) = sitting.eyes
    nose, mouth, chin = (
        (y - (left_y + right_y) / 2) / sitting.half_width
        for y in (sitting.nose_y, sitting.mouth_y, sitting.chin_y)
    )
    wide = sitting.wide * (right_x - left_x) / sitting.half_width
    return _Landmarks(nose, mouth, chin, wide / 2, 0.1 + sitting.gape * wide / 2)


def _places(side_px: int, sitting: Sitting) -> _Place:
    """Return where each pixel lies on a face."""
    line = (np.arange(side_px) + 0.5) / side_px
    x, y = np.meshgrid(line, line)
    (left_x, left_y), (right_x, right_y) = sitting.eyes
    roll = np.arctan2(right_y - left_y, right_x - left_x)
    x, y = x - (left_x + right_x) / 2, y - (left_y + right_y) / 2
    across = (np.cos(roll) * x + np.sin(roll) * y) / sitting.half_width
    below = (np.cos(roll) * y - np.sin(roll) * x) / sitting.half_width
    return _Place(across, below)


def _strands(place: _Place, sitting: Sitting, rng: np.random.Generator) -> Field:
    """Return strands that run away from below the nose, (H, H), of mean 0 and spread 1."""
    x, y = place.across, place.below - _landmarks(sitting).nose + 0.25
    radius = np.hypot(x, y)
    noise = cv2.GaussianBlur(rng.normal(size=(48, 512)).astype(np.float32), (0, 0), 0.8)
    wave = 0.01 * np.sin(9 * radius + rng.uniform(0, 2 * np.pi))
    columns = ((np.arctan2(y, x) / np.pi + 1) / 2 + wave) * (noise.shape[1] - 1)
    rows = radius * 16
    maps = (columns.astype(np.float32), rows.astype(np.float32))
    drawn = cv2.remap(noise, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(drawn / noise.std(), np.float64)


def _beard_area(place: _Place, sitting: Sitting, rng: np.random.Generator) -> Field:
    """Return how far each pixel is within a beard, in half face widths, below 0 outside; (H, H)."""
    face, kind = _landmarks(sitting), sitting.beard
    x, y = np.abs(place.across), place.below
    lips = 0.1 * (np.hypot(x / (face.half_mouth + 0.02), (y - face.mouth) / face.lip) - 1)
    moustache = np.minimum(_moustache(x, y, face, rng), np.maximum(lips, 0.02))
    if kind == "moustache":
        return moustache
    hang = rng.uniform(0.3, 0.7) if kind == "long" else rng.uniform(0.02, 0.14)
    shape = _goatee if kind == "goatee" else _whiskers
    chin = shape(x, y, face, face.chin + hang, rng)
    if rng.random() < 0.85:  # the others shave the upper lip
        corner = np.hypot((x - face.half_mouth - 0.03) / 0.8, (y - face.mouth) / 1.6)
        chin = np.maximum(chin, np.where(y < face.mouth + 0.1, moustache, -1))
        chin = np.maximum(chin, 0.1 - corner)
    return np.asarray(np.minimum(chin, lips))


def _moustache(x: Field, y: Field, face: _Landmarks, rng: np.random.Generator) -> Field:
    gap = face.mouth - face.nose
    droop = rng.uniform(0.1, 0.5) * x**2 / 0.36
    half_height = rng.uniform(0.3, 0.42) * gap
    reach = face.half_mouth * rng.uniform(0.85, 1.15)
    inner = half_height - np.abs(y - face.nose - 0.62 * gap + 0.03 - droop)
    return np.asarray(np.minimum(inner, 0.5 * (reach - x)))


def _whiskers(
    x: Field, y: Field, face: _Landmarks, bottom: float, rng: np.random.Generator
) -> Field:
    """Return the part of a full beard on cheeks and chin, from sideburns down."""
    outer = 0.4 * (1 - (x / 1.02) ** 2.4 - (np.maximum(y, 0) / bottom) ** 2.6)
    start, low = rng.uniform(-0.1, 0.25), face.mouth - rng.uniform(-0.05, 0.12)
    upper = low + (start - low) * np.clip((x - 0.3) / 0.65, 0, 1) ** 1.6
    return np.asarray(np.minimum(outer, y - upper))


def _goatee(x: Field, y: Field, face: _Landmarks, bottom: float, rng: np.random.Generator) -> Field:
    top = face.mouth + 0.1
    middle, half = (top + bottom) / 2, (bottom - top) / 2
    narrowing = 1 - 0.25 * np.clip((y - middle) / half, -1, 1)
    reach = rng.uniform(0.26, 0.4) * narrowing
    return np.asarray(0.3 * (1 - (x / reach) ** 2.5 - (np.abs(y - middle) / half) ** 3))


def _light_on_skin(light: Field, skin: Field) -> Field:
    """Return how light skin is around each pixel, in green, (H, H)."""
    sigma, weight = _LIGHT_SIGMA * len(light), skin + 1e-3
    weighed = cv2.GaussianBlur(weight * light[..., 1], (0, 0), sigma)
    return np.asarray(weighed / cv2.GaussianBlur(weight, (0, 0), sigma))


def _as_grey(photo: RgbU8, colour: Field) -> Field:
    """Return a colour (3,) as a photo shows it: grey, where the photo is."""
    spread = np.ptp(photo.astype(np.int16), axis=-1).mean()
    share = float(np.clip(spread / 12, 0, 1))
    grey = colour @ np.array([0.21, 0.72, 0.07])
    return np.asarray(share * colour + (1 - share) * grey)
