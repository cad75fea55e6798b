"""Face detectors by name, behind one protocol: those of photos, and those of drawings."""

import functools
from typing import Any, Protocol

from anymus.drawn_faces import WEIGHTS_FOLDER, DrawnFaces
from anymus.errors import ParamsError
from anymus.images import RgbU8
from anymus.looks import FaceModel, TwoLooks
from anymus.manifest import Domain, Face
from anymus.photo_faces import PHOTO_MODELS, load_photo_model

DRAWN_MODELS = ("manga_faces", "drawn_faces")
DETECTOR_OF_DOMAIN: dict[Domain, str] = {"photo": "dlib_hog", "manga": "manga_faces"}
DETECTORS = (*PHOTO_MODELS, *DRAWN_MODELS)


class FaceDetector(Protocol):
    """Something that finds faces in a picture."""

    def find(self, rgb_u8: RgbU8) -> tuple[Face, ...]:
        """Return the faces of a picture (H, W, 3), largest first, boxes in its pixels."""
        ...


def make_detector(name: str, **options: Any) -> FaceDetector:
    """Return the detector of a name, its models loaded; see `anymus.looks.TwoLooks` for options.

    Raises:
        DeviceError: A library or a model file that it needs is not installed.
        CheckpointError: The shipped weights are missing or damaged.
        ParamsError: There is no detector of that name.
    """
    return TwoLooks(_load(name), **options)


@functools.cache
def _load(name: str) -> FaceModel:
    if name in PHOTO_MODELS:
        return load_photo_model(name)
    if name in DRAWN_MODELS:
        return DrawnFaces(WEIGHTS_FOLDER / f"{name}.onnx")
    raise ParamsError(f"no face detector {name!r}", f"one of: {', '.join(DETECTORS)}")
