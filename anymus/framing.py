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

# Face width over the distance of the pupils, and over the width of the detector's box.
# Photos: anthropometry, mean bizygomatic breadth 137 mm over mean pupil distance 63 mm
# (ANSUR II, both sexes). Drawings: mean over the renderer's own faces.
_FACE_PER_EYES = {"photo": 2.17, "manga": 2.0}
# A turned face brings the eyes together; the box then is the better measure of its width.
_FACE_PER_BOX = {"photo": 0.86, "manga": 0.9}
_MIN_EYE_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class Framing:
    """A square crop: its side in pixels, the face's share of it and the height of the eyes."""

    size_px: int
    face_share: float
    eye_line: float

    def at(self, size_px: int) -> "Framing":
        """Return the same framing at another size."""
        return Framing(size_px, self.face_share, self.eye_line)


def face_width_px(face: Face, domain: Domain) -> float:
    """Return the width of a face from cheek to cheek in pixels, from its eyes and its box."""
    from_box = face.box[2] * _FACE_PER_BOX[domain]
    eyes = _eyes(face)
    if eyes is None:
        return from_box
    from_eyes = math.dist(*eyes) * _FACE_PER_EYES[domain]
    return from_eyes if from_eyes >= _MIN_EYE_SHARE * from_box else from_box


def crop_transform(face: Face, domain: Domain, framing: Framing) -> Matrix:
    """Return the affine map (2, 3) from picture pixels to crop pixels.

    It turns the line of the eyes level, puts their middle on the eye line at half the width, and
    scales the face to its share of the crop. Without eyes the box stands upright in their stead.
    """
    eyes = _eyes(face)
    if eyes is None:
        x, y, width, height = face.box
        centre, angle = (x + width / 2, y + 0.4 * height), 0.0
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
    inside = cv2.warpAffine(
        np.ones((height_px, width_px), np.uint8),
        matrix,
        (size_px, size_px),
        flags=cv2.INTER_NEAREST,
    )
    return 1.0 - float(inside.mean())


def cut(rgb_u8: RgbU8, matrix: Matrix, size_px: int) -> RgbU8:
    """Return the crop (size_px, size_px, 3) under an affine map, antialiased, edges reflected.

    A reduction is done by area averages of a crop at the picture's own scale, because sampling a
    screentone at fewer points than it has dots gives moire.
    """
    oversample = max(1, math.ceil(1 / scale_of(matrix)))
    big = cv2.warpAffine(
        rgb_u8,
        _scaled(matrix, oversample),
        (size_px * oversample, size_px * oversample),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    if oversample > 1:
        big = cv2.resize(big, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return np.asarray(big, dtype=np.uint8)


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
