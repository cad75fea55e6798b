"""Faces of a picture: found, and cut out at the training framing."""

import threading
from typing import Any

import numpy as np

from anymus.detectors import DETECTOR_OF_DOMAIN, make_detector
from anymus.framing import Framing, Matrix, crop_transform, cut
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


def centre_square(rgb_u8: RgbU8, size_px: int) -> RgbU8:
    """Return the largest square around the middle of the picture, resized."""
    height_px, width_px = rgb_u8.shape[:2]
    side_px = min(height_px, width_px)
    top, left = (height_px - side_px) // 2, (width_px - side_px) // 2
    square = rgb_u8[top : top + side_px, left : left + side_px]
    return resize_rgb(np.ascontiguousarray(square), size_px, size_px)
