"""Looks: how a face model is shown a picture: reduced, as it is, doubled where faces may be small.

One mechanism for curation and conversion. A model says what it sees in the pixels it is given; the
looks around it decide which pixels these are and put what was seen together.
"""

import math
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from anymus.images import RgbU8, resize_rgb
from anymus.manifest import Face, Point

_SAME_FACE_IOU = 0.3

Floating = TypeVar("Floating", np.float32, np.float64)


@dataclass(frozen=True, slots=True)
class Sight:
    """A face as a model sees it, in pixels of the picture that the model was shown.

    Args:
        x: Left edge of the box around the face.
        y: Top edge.
        width: Width of the box; models of photos give squares, brow to chin.
        height: Height of the box.
        score: Margin over the model's own operating point: 0 is just a face.
        landmarks: Named points (x, y): left_eye and right_eye as seen, and what else there is.
    """

    x: float
    y: float
    width: float
    height: float
    score: float
    landmarks: dict[str, Point]


class FaceModel(Protocol):
    """Something that sees faces in pixels."""

    def see(self, rgb_u8: RgbU8, doublings: int, min_score: float) -> list[Sight]:
        """Return the faces of a picture (H, W, 3), doubled so often first, in its own pixels."""
        ...


@dataclass(frozen=True, slots=True)
class TwoLooks:
    """A face model with a first look and, where faces may have been too small for it, a second.

    Args:
        model: What looks.
        upsample: How often the picture is doubled before the first look.
        second_upsample: The same for the second look.
        second_look_share: The second look is made where the first found nothing, and where the
            largest face found is narrower than this share of the picture's longer side: a group,
            or a crowd. 0: only where nothing was found.
        max_side_px: Longer pictures are reduced to this first.
        min_score: Least score, over the model's own operating point.
        min_face_px: Least width of a box, in pixels of the picture as given.
        max_faces: Most faces returned, the largest first.
    """

    model: FaceModel
    upsample: int
    second_upsample: int
    second_look_share: float
    max_side_px: int
    min_score: float
    min_face_px: int
    max_faces: int

    def find(self, rgb_u8: RgbU8) -> tuple[Face, ...]:
        """Return the faces of a picture (H, W, 3), largest first, boxes in its pixels."""
        longest_px = max(rgb_u8.shape[:2])
        scale = min(1.0, self.max_side_px / longest_px)
        picture = _reduce(rgb_u8, scale)
        sights = self.model.see(picture, self.upsample, self.min_score)
        if self._is_second_due(sights, max(picture.shape[:2])):
            sights += self.model.see(picture, self.second_upsample, self.min_score)
        faces = [_face(sight, scale) for sight in merge(sights)]
        faces = [face for face in faces if face.box[2] >= self.min_face_px]
        faces.sort(key=lambda face: (-face.box[2] * face.box[3], face.box))
        return tuple(faces[: self.max_faces])

    def _is_second_due(self, sights: list[Sight], longest_px: int) -> bool:
        if self.second_upsample <= self.upsample:
            return False
        largest_px = max((sight.width for sight in sights), default=0.0)
        return not sights or largest_px < self.second_look_share * longest_px


def merge(sights: list[Sight]) -> list[Sight]:
    """Return the sights without those that overlap a better one: one face each."""
    ordered = sorted(sights, key=lambda s: (-s.score, s.x, s.y, s.width))
    boxes = np.array([box_of(sight) for sight in ordered]).reshape(-1, 4)
    kept: list[int] = []
    for index, box in enumerate(boxes):
        if (overlap(box, boxes[kept]) < _SAME_FACE_IOU).all():
            kept.append(index)
    return [ordered[index] for index in kept]


def box_of(sight: Sight) -> tuple[float, float, float, float]:
    """Return the box x, y, width, height of a sight."""
    return sight.x, sight.y, sight.width, sight.height


def overlap(box: NDArray[Floating], boxes: NDArray[Floating]) -> NDArray[Floating]:
    """Return the overlap (F,) of a box x, y, width, height with others (F, 4).

    It is intersection over union, 0-1.
    """
    ends, box_end = boxes[:, :2] + boxes[:, 2:], box[:2] + box[2:]
    sides = np.minimum(ends, box_end) - np.maximum(boxes[:, :2], box[:2])
    shared = np.clip(sides, 0, None).prod(-1)
    return np.asarray(shared / (boxes[:, 2:].prod(-1) + box[2:].prod() - shared))


def rescale(sight: Sight, factor: float) -> Sight:
    """Return a sight in a picture that is `factor` times as large."""
    points = {name: (x * factor, y * factor) for name, (x, y) in sight.landmarks.items()}
    sides = {name: getattr(sight, name) * factor for name in ("x", "y", "width", "height")}
    return replace(sight, **sides, landmarks=points)


def _face(sight: Sight, scale: float) -> Face:
    given = rescale(sight, 1 / scale)
    points = {name: (round(x, 2), round(y, 2)) for name, (x, y) in given.landmarks.items()}
    box = (round(given.x), round(given.y), round(given.width), round(given.height))
    return Face(box=box, score=round(given.score, 4), landmarks=points)


def _reduce(rgb_u8: RgbU8, scale: float) -> RgbU8:
    height_px, width_px = rgb_u8.shape[:2]
    if scale >= 1:
        return np.ascontiguousarray(rgb_u8)
    return resize_rgb(
        rgb_u8, max(1, math.floor(width_px * scale)), max(1, math.floor(height_px * scale))
    )
