"""Framing: where a face lies in its square crop, the same for photos and drawings.

A difference in framing between the two domains is what a translation learns first, so both are
brought to one measure of a face: its width from cheek to cheek at the height of the eyes.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.images import RgbU8
from anymus.manifest import Domain, Face

Matrix = NDArray[np.float64]

# Face width over the distance of the pupils. Photos: between anthropometry (bizygomatic breadth
# 137 mm over 63 mm, ANSUR II) and the drawn portraits (2.58). Drawings, by their boxes: 2.33 on
# manga pages (median of 113 faces), 2.30 by the renderer. One number for both puts the eyes of
# every face in the same two places; a translation would learn first to move them.
FACE_PER_EYES = {"photo": 2.3, "manga": 2.3}
# A turned face brings the eyes together; the box then is the better measure of its width. Drawings:
# heads are 2.73 distances of the pupils wide (median of 373 frontal faces labelled by hand).
FACE_PER_BOX = {"photo": 0.91, "manga": 0.93}
_MIN_EYE_SHARE = 0.75
# Height of the eyes in a face's box, 0 top to 1 bottom, for faces that show less than both: median
# of 690 portraits in dlib's square, and of 308 frontal faces labelled by hand.
EYES_IN_BOX = {"photo": 0.29, "manga": 0.52}
# How much of a detector's box lies above the brow. dlib's square begins there; the box of a drawing
# begins in the hair. With 0.25 the brow is 0.32 face widths above the eyes in both (medians of the
# same faces).
_ABOVE_BROW = {"photo": 0.0, "manga": 0.25}
_MARGIN_PX = 4


@dataclass(frozen=True, slots=True)
class Framing:
    """A square crop: its side in pixels, the face's share of it and the height of the eyes."""

    size_px: int
    face_share: float
    eye_line: float


def face_width_px(face: Face, domain: Domain) -> float:
    """Return the width of a face from cheek to cheek in pixels, from its eyes and its box."""
    from_box = box_width_px(face, domain)
    eyes = _eyes(face)
    if eyes is None:
        return from_box
    from_eyes = math.dist(*eyes) * FACE_PER_EYES[domain]
    return from_eyes if from_eyes >= _MIN_EYE_SHARE * from_box else from_box


def box_width_px(face: Face, domain: Domain) -> float:
    """Return the width of a face from cheek to cheek in pixels, from its box alone."""
    return face.box[2] * FACE_PER_BOX[domain]


def face_box(face: Face, domain: Domain) -> tuple[float, float, float, float]:
    """Return x, y, width, height in pixels of a face in the one convention of both domains.

    It reaches from cheek to cheek and from brow to chin, whatever the domain's detector boxes.
    """
    x, y, width, height = face.box
    own, top = box_width_px(face, domain), _ABOVE_BROW[domain] * height
    return x + (width - own) / 2, y + top, own, height - top


def crop_transform(face: Face, domain: Domain, framing: Framing) -> Matrix:
    """Return the affine map (2, 3) from picture pixels to crop pixels.

    It turns the line of the eyes level, puts their middle on the eye line at half the width, and
    scales the face to its share of the crop. Without eyes the box stands upright in their stead.
    """
    eyes = _eyes(face)
    if eyes is None:
        x, y, width, height = face.box
        centre, angle = (x + width / 2, y + EYES_IN_BOX[domain] * height), 0.0
    else:
        (left_x, left_y), (right_x, right_y) = eyes
        centre = ((left_x + right_x) / 2, (left_y + right_y) / 2)
        angle = math.atan2(right_y - left_y, right_x - left_x)
    scale = framing.face_share * framing.size_px / face_width_px(face, domain)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    target = (framing.size_px / 2, framing.eye_line * framing.size_px)
    return np.array(
        [
            [cos, sin, target[0] - cos * centre[0] - sin * centre[1]],
            [-sin, cos, target[1] + sin * centre[0] - cos * centre[1]],
        ]
    )


def scale_of(matrix: Matrix) -> float:
    """Return how many crop pixels one picture pixel becomes."""
    return math.hypot(matrix[0, 0], matrix[0, 1])


def map_points(
    matrix: Matrix, points: dict[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """Return named points of the picture in pixels of the crop, to a hundredth of a pixel."""
    mapped = {}
    for name, (x, y) in points.items():
        u, v = matrix @ (x, y, 1.0)
        mapped[name] = (round(float(u), 2), round(float(v), 2))
    return mapped


def outside_share(matrix: Matrix, width_px: int, height_px: int, size_px: int) -> float:
    """Return which share (0-1) of the crop lies outside a picture of that size."""
    inverse = cv2.invertAffineTransform(matrix)
    u, v = np.meshgrid(np.arange(size_px), np.arange(size_px))  # (size_px, size_px)
    x = inverse[0, 0] * u + inverse[0, 1] * v + inverse[0, 2]
    y = inverse[1, 0] * u + inverse[1, 1] * v + inverse[1, 2]
    is_inside = (x > -0.5) & (x < width_px - 0.5) & (y > -0.5) & (y < height_px - 0.5)
    return 1.0 - float(is_inside.mean())


def cut(rgb_u8: RgbU8, matrix: Matrix, size_px: int) -> RgbU8:
    """Return the crop (size_px, size_px, 3) under an affine map, antialiased, edges reflected.

    A reduction is done by area averages of a crop at the picture's own scale, because sampling a
    screentone at fewer points than it has dots gives moire.
    """
    near, matrix = _surroundings(rgb_u8, matrix, size_px)
    oversample = max(1, math.ceil(1 / scale_of(matrix)))
    big = cv2.warpAffine(
        near,
        _scaled(matrix, oversample),
        (size_px * oversample, size_px * oversample),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    if oversample > 1:
        big = cv2.resize(big, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return np.asarray(big, dtype=np.uint8)


def footprint(matrix: Matrix, size_px: int) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom in picture pixels of what a crop covers, a margin around."""
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([(u, v, 1.0) for u in (0, size_px) for v in (0, size_px)])
    points = corners @ inverse.T
    left, top = points.min(axis=0)
    right, bottom = points.max(axis=0)
    return (
        math.floor(left) - _MARGIN_PX,
        math.floor(top) - _MARGIN_PX,
        math.ceil(right) + _MARGIN_PX,
        math.ceil(bottom) + _MARGIN_PX,
    )


def from_origin(matrix: Matrix, x0: int, y0: int) -> Matrix:
    """Return the map for picture pixels counted from (x0, y0)."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (x0, y0)
    return moved


def _surroundings(rgb_u8: RgbU8, matrix: Matrix, size_px: int) -> tuple[RgbU8, Matrix]:
    """Return the part of the picture around a crop and the map from it.

    OpenCV refuses sides of 32767 pixels and more. The part reaches a crop's side beyond the crop,
    so that a reflected border looks as it does uncut.
    """
    left, top, right, bottom = footprint(matrix, size_px)
    reach_px = max(right - left, bottom - top)
    height_px, width_px = rgb_u8.shape[:2]
    x0, x1 = _span(left - reach_px, right + reach_px, width_px)
    y0, y1 = _span(top - reach_px, bottom + reach_px, height_px)
    return np.ascontiguousarray(rgb_u8[y0:y1, x0:x1]), from_origin(matrix, x0, y0)


def _span(start: int, stop: int, length_px: int) -> tuple[int, int]:
    """Return the part of a side that lies in the picture; at least one pixel of it."""
    begin = min(max(0, start), length_px - 1)
    return begin, max(begin + 1, min(length_px, stop))


def _scaled(matrix: Matrix, factor: int) -> Matrix:
    """Return the map onto a grid `factor` times as fine, pixel centres kept in place."""
    fine = matrix * factor
    fine[:, 2] += (factor - 1) / 2
    return fine


def _eyes(face: Face) -> tuple[tuple[float, float], tuple[float, float]] | None:
    left, right = face.landmarks.get("left_eye"), face.landmarks.get("right_eye")
    if left is None or right is None or math.dist(left, right) < 1:
        return None
    return left, right
