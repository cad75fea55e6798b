"""Face detectors by name, behind one protocol: those of photos, and those of drawings."""

import functools
from pathlib import Path
from typing import Any, Protocol

from anymus.errors import ParamsError
from anymus.images import RgbU8, to_grey
from anymus.looks import FaceModel, Sight, TwoLooks
from anymus.manifest import Domain, Face
from anymus.photo_faces import PHOTO_MODELS, import_dlib, load_photo_model

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
# Side of the drawn detector's square over the height of the face in it, hair line to chin: it is
# trained with some hair and cheek around the face (curation/train_detector.py).
SQUARE_PER_FACE = {"drawn_hog": 1.2}
DETECTOR_OF_DOMAIN: dict[Domain, str] = {"photo": "dlib_hog", "manga": "drawn_hog"}
DETECTORS = (*PHOTO_MODELS, "drawn_hog")


class FaceDetector(Protocol):
    """Something that finds faces in a picture."""

    def find(self, rgb_u8: RgbU8) -> tuple[Face, ...]:
        """Return the faces of a picture (H, W, 3), largest first, boxes in its pixels."""
        ...


def make_detector(name: str, **options: Any) -> FaceDetector:
    """Return the detector of a name, its models loaded; see `anymus.looks.TwoLooks` for options.

    Raises:
        DeviceError: A library or a model file that it needs is not installed.
        ParamsError: There is no detector of that name.
    """
    return TwoLooks(_load(name), **options)


@functools.cache
def _load(name: str) -> FaceModel:
    if name in PHOTO_MODELS:
        return load_photo_model(name)
    if name == "drawn_hog":
        return DrawnHog()
    raise ParamsError(f"no face detector {name!r}", f"one of: {', '.join(DETECTORS)}")


class DrawnHog:
    """A HOG detector trained on our own drawings, with five landmarks."""

    _points = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")

    def __init__(self) -> None:
        dlib = import_dlib()
        self._detector = dlib.fhog_object_detector(str(WEIGHTS_FOLDER / "drawn_face_detector.svm"))
        self._predictor = dlib.shape_predictor(str(WEIGHTS_FOLDER / "drawn_face_landmarks.dat"))

    def see(self, rgb_u8: RgbU8, doublings: int, min_score: float) -> list[Sight]:
        """Return the faces of a picture (H, W, 3); the score is dlib's margin, about 0 to 3."""
        grey = to_grey(rgb_u8)
        boxes, scores, _ = self._detector.run(grey, doublings, min_score)
        return [
            self._sight(box, score, self._predictor(grey, box))
            for box, score in zip(boxes, scores, strict=True)
        ]

    def _sight(self, box: Any, score: float, shape: Any) -> Sight:
        """Return the face's box in the detector's larger square, and its points."""
        side = box.width() / SQUARE_PER_FACE["drawn_hog"]
        x = (box.left() + box.right() + 1 - side) / 2
        y = (box.top() + box.bottom() + 1 - side) / 2
        parts = [(float(part.x), float(part.y)) for part in shape.parts()]
        return Sight(x, y, side, float(score), dict(zip(self._points, parts, strict=True)))
