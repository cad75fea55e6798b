"""Who is in a photo, as dlib sees it: numbers that are near for one person and far for two.

They are biometric data of whoever is in the picture: they are compared in memory and never written.
"""

import numpy as np
from numpy.typing import NDArray

from anymus.images import RgbU8
from anymus.photo_faces import import_dlib, model_path

_CHIP_PX = 150


class FaceIdentity:
    """dlib's network for recognition, 128 numbers a face.

    Raises:
        DeviceError: dlib or its models are not installed.
    """

    def __init__(self) -> None:
        dlib = import_dlib()
        self._points = dlib.shape_predictor(str(model_path("shape_predictor_5_face_landmarks.dat")))
        self._network = dlib.face_recognition_model_v1(
            str(model_path("dlib_face_recognition_resnet_model_v1.dat"))
        )

    def describe(self, rgb_u8: RgbU8, square: tuple[float, float, float]) -> NDArray[np.float64]:
        """Return the numbers (128,) of the face in a square, whatever may be there.

        Args:
            rgb_u8: The picture (H, W, 3).
            square: Left, top and side in pixels, brow to chin.
        """
        dlib = import_dlib()
        left, top, right, bottom = (
            round(value)
            for value in (square[0], square[1], square[0] + square[2], square[1] + square[2])
        )
        picture = np.ascontiguousarray(rgb_u8)
        shape = self._points(picture, dlib.rectangle(left, top, right - 1, bottom - 1))
        chip = dlib.get_face_chip(picture, shape, size=_CHIP_PX)
        return np.asarray(self._network.compute_face_descriptor(chip), dtype=np.float64)
