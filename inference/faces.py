"""Faces of a picture: found, cut out at the training framing, and pasted back."""

import threading
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.detectors import DETECTOR_OF_DOMAIN, make_detector
from anymus.framing import Framing, Matrix, crop_transform, cut, footprint, from_origin
from anymus.images import RgbU8, resize_rgb
from anymus.manifest import Domain, Face

_FIND_OPTIONS: dict[str, Any] = {
    "upsample": 0,
    "second_upsample": 1,
    "max_side_px": 1600,
    "min_score": 0.0,
    "min_face_px": 32,
    "max_faces": 40,
}
# Where the largest face takes less than this of the picture's longer side, there may be smaller
# ones that only a doubled picture shows. On drawn pages that look finds more ghosts than faces.
_SECOND_LOOK_SHARE: dict[Domain, float] = {"photo": 1 / 8, "manga": 0.0}
# The mask is one inside the first radius and nought outside the second; the crop's border is at 1.
_MASK_RADII = (0.66, 0.97)
_MASK_POWER = 3.0  # 2: an ellipse; larger: towards the square


class FaceFinder:
    """Finds the faces of one domain; may be called from several threads.

    Raises:
        DeviceError: The detector's library is not installed.
    """

    _lock = threading.Lock()  # detectors share their model, which is not made for threads

    def __init__(self, domain: Domain) -> None:
        with self._lock:
            self._detector = make_detector(
                DETECTOR_OF_DOMAIN[domain],
                second_look_share=_SECOND_LOOK_SHARE[domain],
                **_FIND_OPTIONS,
            )

    def find(self, rgb_u8: RgbU8) -> tuple[Face, ...]:
        """Return the faces of a picture (H, W, 3), largest first."""
        with self._lock:
            return self._detector.find(rgb_u8)


def cut_face(rgb_u8: RgbU8, face: Face, domain: Domain, framing: Framing) -> tuple[RgbU8, Matrix]:
    """Return the aligned crop of a face and the affine map (2, 3) from picture to crop pixels."""
    matrix = crop_transform(face, domain, framing)
    return cut(rgb_u8, matrix, framing.size_px), matrix


def paste_faces(rgb_u8: RgbU8, crops: Sequence[RgbU8], matrices: Sequence[Matrix]) -> RgbU8:
    """Return a copy of the picture with crops put back where they were cut, softly masked.

    Args:
        rgb_u8: The picture (H, W, 3).
        crops: Square pictures, in the order of pasting.
        matrices: For each, the affine map (2, 3) from picture to crop pixels.
    """
    pasted = rgb_u8.copy()
    for crop, matrix in zip(crops, matrices, strict=True):
        _paste(pasted, crop, matrix)
    return pasted


def centre_square(rgb_u8: RgbU8, size_px: int) -> RgbU8:
    """Return the largest square around the middle of the picture, resized."""
    height_px, width_px = rgb_u8.shape[:2]
    side_px = min(height_px, width_px)
    top, left = (height_px - side_px) // 2, (width_px - side_px) // 2
    square = rgb_u8[top : top + side_px, left : left + side_px]
    return resize_rgb(np.ascontiguousarray(square), size_px, size_px)


def _paste(picture_u8: RgbU8, crop_u8: RgbU8, matrix: Matrix) -> None:
    """Mix a crop into the picture, in place."""
    size_px = crop_u8.shape[0]
    left, top, right, bottom = footprint(matrix, size_px)
    height_px, width_px = picture_u8.shape[:2]
    x0, x1 = max(0, left), min(width_px, right)
    y0, y1 = max(0, top), min(height_px, bottom)
    if x0 >= x1 or y0 >= y1:
        return
    inverse = np.asarray(cv2.invertAffineTransform(matrix), np.float64)
    inverse[:, 2] -= (x0, y0)
    warped = cut(crop_u8, inverse, max(x1 - x0, y1 - y0))[: y1 - y0, : x1 - x0]
    weights = _mask(from_origin(matrix, x0, y0), x1 - x0, y1 - y0, size_px)[:, :, None]
    region = picture_u8[y0:y1, x0:x1]
    region[:] = np.rint(region + weights * (warped.astype(np.float32) - region))


def _mask(matrix: Matrix, width_px: int, height_px: int, size_px: int) -> NDArray[np.float32]:
    """Return how much of the crop shows at each pixel of a region, (height, width) float 0-1."""
    x = np.arange(width_px, dtype=np.float32)[None, :]
    y = np.arange(height_px, dtype=np.float32)[:, None]
    middle_px, half_px = (size_px - 1) / 2, size_px / 2
    radius: NDArray[np.float32] = np.zeros((height_px, width_px), np.float32)
    for along_x, along_y, offset in matrix.astype(np.float32):
        radius += np.abs((along_x * x + along_y * y + offset - middle_px) / half_px) ** _MASK_POWER
    radius **= 1 / _MASK_POWER
    inner, outer = _MASK_RADII
    ramp = np.clip((outer - radius) / (outer - inner), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)
