"""What a drawing knows about itself: exact boxes and landmarks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anymus.manifest import Face


@dataclass(frozen=True, slots=True)
class FaceTruth:
    """One drawn face, in the pixels of its drawing."""

    box: tuple[int, int, int, int]
    """x, y, w, h in pixels: cheek to cheek, mid forehead (hair line) to chin."""
    landmarks: dict[str, tuple[float, float]]
    """left_eye, right_eye (as seen: left_eye has the smaller x when upright), nose,
    mouth_left, mouth_right."""
    tags: dict[str, str]
    """What was drawn: skin, hair, glasses, beard, age, yaw and so on."""

    def as_found(self) -> Face:
        """Return it as a detector without errors would find it."""
        return Face(box=self.box, score=1.0, landmarks=self.landmarks)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawn picture and its faces."""

    rgb_u8: NDArray[np.uint8]
    """(H, W, 3), 0-255."""
    faces: tuple[FaceTruth, ...]
