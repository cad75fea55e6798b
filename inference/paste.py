"""Paste: translated faces put back into their picture, so that nobody sees where."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.framing import Matrix, cut, footprint, from_origin
from anymus.images import RgbU8, resize_rgb

from .finish import Finish, enlarge_translation
from .screentone import lay_screentone

# The mask is one inside the first radius and nought outside the second; the crop's border is at 1.
_MASK_RADII = (0.66, 0.97)
_MASK_POWER = 3.0  # 2: an ellipse; larger: towards the square
# Where two masks overlap, a pixel goes to the face that it is the nearer to; higher: more sharply.
_SHARE_POWER = 6.0
# The seam: between the first radius and the crop's border, result and picture are compared. Their
# difference is taken off there, less and less inwards, and not at all inside the second radius.
_SEAM_RADIUS, _FREE_RADIUS = 0.78, 0.3
_SEAM_GRID_PX = 32
_SEAM_DISTANCE_POWER = 3.0
# Colours to paint on: smoothed at this size, edges of more than so many levels kept, and a little
# lighter, as the lines and tones of the drawing darken them.
_SMOOTHING_PX, _SMOOTHING_LEVELS = 128, 40
_PAPER_GAIN, _PAPER_LIFT = 1.1, 10.0

Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pasted:
    """A face to paste.

    Attributes:
        before: Its crop of the picture (size, size, 3).
        after: The translation of it, of the same size.
        matrix: The affine map (2, 3) from picture to crop pixels.
    """

    before: RgbU8
    after: RgbU8
    matrix: Matrix


def paste_faces(rgb_u8: RgbU8, faces: Sequence[Pasted], finish: Finish | None = None) -> RgbU8:
    """Return a copy of the picture with translated faces in their places, softly masked.

    Pixels outside the masks are those of the picture, bit for bit. Where masks overlap, each pixel
    goes mostly to the face that it is the nearer to, whatever the order. Of the finish's colours:

    - `match`: the middle of a face keeps the translation's colours; towards the seam they run into
      those of the picture, so that a white sheet on a dark wall shows no edge.
    - `keep`: the translation's own colours up to the soft edge.
    - `picture`: the light and dark of the translation on the picture's own smoothed colours.

    Args:
        rgb_u8: The picture (H, W, 3).
        faces: What to paste, in any order.
        finish: None: the usual one.
    """
    finish = finish or Finish()
    pasted = rgb_u8.copy()
    regions = [_region_of(face, rgb_u8.shape) for face in faces]
    for number, (face, region) in enumerate(zip(faces, regions, strict=True)):
        if region is None:
            continue
        left, top, right, bottom = region
        before = rgb_u8[top:bottom, left:right]
        others = [
            other
            for index, other in enumerate(faces)
            if index != number and _do_overlap(region, regions[index])
        ]
        weights = _weights(face, others, region)
        after = _painted(before, face, region, finish)
        change = np.rint(finish.strength * weights[:, :, None] * (after - before))
        place = pasted[top:bottom, left:right]
        place[:] = np.clip(place + change, 0, 255)
    return pasted


Region = tuple[int, int, int, int]


def _region_of(face: Pasted, shape: tuple[int, ...]) -> Region | None:
    """Return left, top, right, bottom of a face within a picture; None: it lies outside."""
    left, top, right, bottom = footprint(face.matrix, face.after.shape[0])
    left, right = max(0, left), min(shape[1], right)
    top, bottom = max(0, top), min(shape[0], bottom)
    return (left, top, right, bottom) if left < right and top < bottom else None


def _do_overlap(one: Region, other: Region | None) -> bool:
    if other is None:
        return False
    return max(one[0], other[0]) < min(one[2], other[2]) and max(one[1], other[1]) < min(
        one[3], other[3]
    )


def _weights(face: Pasted, others: Sequence[Pasted], region: Region) -> Field:
    """Return how much of a face shows at each pixel of a region (H, W), 0-1.

    The weights of all faces add up to the strongest mask at every pixel.
    """
    own = _mask(face, region)
    if not others:
        return own
    masks = [_mask(other, region) for other in others]
    strongest = functools.reduce(np.maximum, masks, own)
    shares = own**_SHARE_POWER
    total = shares + sum(mask**_SHARE_POWER for mask in masks)
    return np.asarray(strongest * shares / np.maximum(total, 1e-30), np.float32)


def _mask(face: Pasted, region: Region) -> Field:
    """Return a face's mask in a region of the picture (H, W), 0-1."""
    left, top, right, bottom = region
    x = np.arange(right - left, dtype=np.float32)[None, :]
    y = np.arange(bottom - top, dtype=np.float32)[:, None]
    matrix = from_origin(face.matrix, left, top).astype(np.float32)
    size_px = face.after.shape[0]
    u, v = ((row[0] * x + row[1] * y + row[2] + 0.5) / size_px for row in matrix)
    inner, outer = _MASK_RADII
    return _ramp((outer - _radius(u, v)) / (outer - inner))


def _painted(before: RgbU8, face: Pasted, region: Region, finish: Finish) -> Field:
    """Return the translation as it lies over a region of the picture (H, W, 3), 0-255."""
    after = _laid_over(face, region, finish)
    if finish.screentone_px is not None:
        after = lay_screentone(after, finish.screentone_px, (region[0], region[1]))
    if finish.paste_colour == "picture":
        return _on_colours_of(before, after)
    if finish.paste_colour == "keep":
        return after.astype(np.float32)
    shift = _uncut_field(_seam_shift(face), face, region)
    return np.asarray(np.clip(after + shift, 0, 255), np.float32)


def _laid_over(face: Pasted, region: Region, finish: Finish) -> RgbU8:
    """Return a translation over a region of the picture (H, W, 3), redrawn if it grows there."""
    size_px = face.after.shape[0]
    left, _, right, _ = footprint(face.matrix, size_px)
    factor = max(1, min(finish.enlarge, round((right - left) / size_px)))
    enlarged = enlarge_translation(face.after, replace(finish, enlarge=factor))
    return _uncut(enlarged, _scaled(face.matrix, factor), region)


def _scaled(matrix: Matrix, scale: float) -> Matrix:
    """Return the map to a crop that is `scale` times as large, pixel centres on pixel centres."""
    scaled = matrix * scale
    scaled[:, 2] += (scale - 1) / 2
    return scaled


def _uncut(crop: RgbU8, matrix: Matrix, region: Region) -> RgbU8:
    """Return a crop as it lies over a region of the picture (H, W, 3)."""
    left, top, right, bottom = region
    inverse = np.asarray(cv2.invertAffineTransform(matrix), np.float64)
    inverse[:, 2] -= (left, top)
    side_px = max(right - left, bottom - top)
    return cut(crop, inverse, side_px)[: bottom - top, : right - left]


def _uncut_field(field: Field, face: Pasted, region: Region) -> Field:
    """Return a small smooth field (n, n, 3) over a crop as it lies over a region (H, W, 3)."""
    left, top, right, bottom = region
    scale = field.shape[0] / face.after.shape[0]
    matrix = _scaled(from_origin(face.matrix, left, top), scale)
    laid = cv2.warpAffine(
        field,
        matrix,
        (right - left, bottom - top),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(laid, np.float32)


def _seam_shift(face: Pasted) -> Field:
    """Return what to add to a translation so that it meets the picture at the seam, (n, n, 3).

    The difference between picture and translation around the face is carried inwards by inverse
    distance, and fades out before the middle.
    """
    before, after = (
        resize_rgb(rgb_u8, _SEAM_GRID_PX, _SEAM_GRID_PX).astype(np.float32)
        for rgb_u8 in (face.before, face.after)
    )
    is_seam, carry, fade = _seam_geometry()
    shift = carry @ (before - after)[is_seam]  # (n * n, 3)
    grid = (_SEAM_GRID_PX, _SEAM_GRID_PX, 3)
    return np.asarray(shift.reshape(grid) * fade[:, :, None], np.float32)


@functools.cache
def _seam_geometry() -> tuple[NDArray[np.bool_], Field, Field]:
    """Return which pixels of the grid are seam, the carrying matrix (n * n, seam), the fading."""
    at: Field = (np.arange(_SEAM_GRID_PX, dtype=np.float32) + np.float32(0.5)) / np.float32(
        _SEAM_GRID_PX
    )
    radius = _radius(at[None, :], at[:, None])
    is_seam = (radius >= _SEAM_RADIUS) & (radius <= 1.0)
    points = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2) * _SEAM_GRID_PX
    gaps = points[:, None] - points[is_seam.ravel()][None]
    carry = 1 / (1 + (gaps**2).sum(axis=2)) ** (_SEAM_DISTANCE_POWER / 2)
    carry /= carry.sum(axis=1, keepdims=True)
    fade = _ramp((radius - _FREE_RADIUS) / (_SEAM_RADIUS - _FREE_RADIUS))
    return is_seam, carry.astype(np.float32), fade


def _on_colours_of(before: RgbU8, after: RgbU8) -> Field:
    """Return a translation's light and dark as shades of a picture's smoothed colours."""
    height_px, width_px = before.shape[:2]
    shrink = min(1.0, _SMOOTHING_PX / max(height_px, width_px))
    size = (max(1, round(width_px * shrink)), max(1, round(height_px * shrink)))
    small = cv2.bilateralFilter(
        resize_rgb(before, *size), -1, _SMOOTHING_LEVELS, _SMOOTHING_PX / 24
    )
    colours = cv2.resize(small, (width_px, height_px), interpolation=cv2.INTER_CUBIC)
    luma = cv2.cvtColor(after, cv2.COLOR_RGB2GRAY)[:, :, None].astype(np.float32) / 255
    return np.asarray(luma * np.clip(colours * _PAPER_GAIN + _PAPER_LIFT, 0, 255), np.float32)


def _radius(u: Field, v: Field) -> Field:
    """Return how far points lie from the middle of a crop, 1 at the middle of its borders."""
    along, across = np.abs(2 * u - 1), np.abs(2 * v - 1)
    return np.asarray((along**_MASK_POWER + across**_MASK_POWER) ** (1 / _MASK_POWER), np.float32)


def _ramp(t: Field) -> Field:
    t = np.clip(t, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
