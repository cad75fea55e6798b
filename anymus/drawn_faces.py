"""Finds drawn faces, black-and-white manga pages included, with a network of our own.

The network (curation/face_network.py) was trained by `anymus train-detector` and is run by OpenCV,
so that finding faces needs neither torch nor a GPU.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.errors import CheckpointError
from anymus.files import sha256_bytes
from anymus.images import RgbU8, to_grey
from anymus.looks import Sight, overlap
from anymus.manifest import Point

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
SHIPPED_SHA256 = {
    "drawn_faces.onnx": "a9e9f25400107710363dae845bdbf2d7035b8d1d1b2d706e798030cc19ec383c",
    "manga_faces.onnx": "708c1ad65ea3719f3ebeeb3b2a6fd6cd9d1c2e0eeee9a30ac98994dfea8428ee",
}
"""Hash of each weights file in `WEIGHTS_FOLDER`; model cards there say what they are."""
OPERATING_POINT = 0.52
"""The network's answer for what is just a face; scores are counted from it."""
STRIDES = (8, 16, 32, 64)
"""Pixels between two cells of each of the network's levels."""
_MULTIPLE_PX = 64
# How a picture is looked at: at which size, and whether mirrored. Docs: decision 0010.
_LOOKS = ((1.0, False), (1.0, True), (0.7, False))
_SAME_HEAD_IOU = 0.5
_MAX_OVERLAP = 0.4
_LEAST_ANSWER = 0.1
"""Answers below this share of the network's scale are not looked at at all."""
_MIN_EYE_SEEN = 0.5
# The network's boxes hold the head with its hair; a face's box leaves out the outermost of it.
_FACE_OF_HEAD = (0.08, 0.15, 0.84, 0.85)


@dataclass(frozen=True, slots=True)
class Heads:
    """Heads in one picture.

    Attributes:
        boxes: x, y, width, height of each head with its hair, in pixels (F, 4).
        scores: The overlap (IoU) with a labelled head that the network expects, 0 to 1 (F,).
        eyes: x, y of the left and of the right eye as seen, in pixels (F, 4).
        seen: How surely each of them can be seen, 0 to 1 (F, 2).
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    eyes: NDArray[np.float32]
    seen: NDArray[np.float32]


def cell_places(height_px: int, width_px: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the cells' middles x, y in pixels (C, 2) and their strides (C,) for a picture."""
    places, strides = [], []
    for stride in STRIDES:
        rows, columns = height_px // stride, width_px // stride
        y, x = np.mgrid[:rows, :columns]
        places.append((np.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(np.full(rows * columns, stride))
    return np.concatenate(places).astype(np.float32), np.concatenate(strides).astype(np.float32)


def read_heads(
    cells: NDArray[np.float32], height_px: int, width_px: int, min_score: float
) -> Heads:
    """Return what the network's answers (C, 11) for a picture of that size mean, unmerged."""
    places, strides = cell_places(height_px, width_px)
    scores = _sigmoid(cells[:, 0])
    is_good = scores >= min_score
    cells, places, strides, scores = (a[is_good] for a in (cells, places, strides, scores))
    sides = cells[:, 1:5] * strides[:, None]
    corners = np.concatenate([places - sides[:, :2], places + sides[:, 2:]], -1)
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], -1)
    eyes = cells[:, 5:9] * strides[:, None] + places[:, [0, 1, 0, 1]]
    return Heads(boxes, scores, eyes, _sigmoid(cells[:, 9:11]))


def mirror(heads: Heads, width_px: int) -> Heads:
    """Return the heads as they are in the mirrored picture of that width."""
    boxes, eyes = heads.boxes.copy(), heads.eyes[:, [2, 3, 0, 1]]
    boxes[:, 0] = width_px - boxes[:, 0] - boxes[:, 2]
    eyes[:, [0, 2]] = width_px - eyes[:, [0, 2]]
    return Heads(boxes, heads.scores, eyes, heads.seen[:, ::-1])


def merge_looks(looks: Sequence[Heads], min_score: float = 0.0) -> Heads:
    """Return one answer a head: the mean of all that speak of it, in all looks at the picture.

    Answers are gathered around the best one (boxes that overlap it by half) and weigh by the square
    of their scores. The score is the mean over the looks of the best in each: a head that only one
    look shows counts less. Heads below `min_score` are left out.
    """
    boxes, scores, eyes, seen = (
        np.concatenate([getattr(look, name) for look in looks])
        for name in ("boxes", "scores", "eyes", "seen")
    )
    look_of = np.repeat(np.arange(len(looks)), [len(look.scores) for look in looks])
    is_free = np.ones(len(scores), np.bool_)
    merged: list[tuple[NDArray[np.float32], ...]] = []
    for best in np.argsort(-scores, kind="stable"):
        if scores[best] < min_score:
            break  # the mean over the looks cannot be more
        if not is_free[best]:
            continue
        group = np.flatnonzero(is_free & (overlap(boxes[best], boxes) > _SAME_HEAD_IOU))
        is_free[group] = False
        weights = scores[group, None] ** 2 / (scores[group] ** 2).sum()
        best_of_look = np.zeros(len(looks), np.float32)
        np.maximum.at(best_of_look, look_of[group], scores[group])
        means = ((part[group] * weights).sum(0) for part in (boxes, eyes, seen))
        if best_of_look.mean() >= min_score:
            merged.append((best_of_look.mean(), *means))
    return _without_overlaps(merged)


def _without_overlaps(merged: Sequence[tuple[NDArray[np.float32], ...]]) -> Heads:
    """Return the heads that no better one overlaps, best first."""
    if not merged:
        none = np.zeros((0, 4), np.float32)
        return Heads(none, none[:, 0], none, none[:, :2])
    scores, boxes, eyes, seen = (np.array(part, np.float32) for part in zip(*merged, strict=True))
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        if not (overlap(boxes[index], boxes[kept]) > _MAX_OVERLAP).any():
            kept.append(int(index))
    return Heads(boxes[kept], scores[kept], eyes[kept], seen[kept])


def _sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))), np.float32)


class DrawnFaces:
    """The network for drawn faces as a model that `anymus.looks` shows pictures to.

    Raises:
        CheckpointError: The weights are missing, damaged or not of such a network.
    """

    def __init__(self, weights: Path) -> None:
        self._weights = weights
        _load(weights)

    def see(self, rgb_u8: RgbU8, doublings: int, min_score: float) -> list[Sight]:
        """Return the faces of a picture (H, W, 3); the score is the expected IoU, less 0.52."""
        return see_faces(self._weights, to_grey(rgb_u8), 2.0**doublings, min_score)


def see_faces(
    weights: Path, grey_u8: NDArray[np.uint8], factor: float = 1.0, min_score: float = 0.0
) -> list[Sight]:
    """Return the faces in a grey picture (H, W) that is enlarged by a factor before it is seen.

    Args:
        weights: ONNX file of `anymus train-detector`.
        grey_u8: The picture; heads of 16 to 900 pixels are found.
        factor: How many times as large the network sees it.
        min_score: Least score over the operating point; the network's own answer is the overlap
            (IoU) with a face that it expects, and 0.52 of it is just a face.
    """
    heads = find_heads(weights, _resize(grey_u8, factor), min_score + OPERATING_POINT)
    limits = (grey_u8.shape[1], grey_u8.shape[0])
    return [_sight(heads, index, factor, limits) for index in range(len(heads.scores))]


def find_heads(weights: Path, grey_u8: NDArray[np.uint8], min_score: float) -> Heads:
    """Return the heads in a grey picture (H, W), from all of `_LOOKS` at it, best first."""
    looks = []
    for factor, is_mirrored in _LOOKS:
        seen_u8 = _resize(grey_u8, factor)
        heads = _look(weights, np.ascontiguousarray(seen_u8[:, ::-1]) if is_mirrored else seen_u8)
        heads = mirror(heads, seen_u8.shape[1]) if is_mirrored else heads
        looks.append(Heads(heads.boxes / factor, heads.scores, heads.eyes / factor, heads.seen))
    return merge_looks(looks, min_score)


def _look(weights: Path, grey_u8: NDArray[np.uint8]) -> Heads:
    """Return the network's answers for a picture, laid on white paper of a fitting size."""
    below, beside = (-side_px % _MULTIPLE_PX for side_px in grey_u8.shape)
    padded = cv2.copyMakeBorder(grey_u8, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=(255,))
    network = _load(weights)
    network.setInput(padded[None, None].astype(np.float32) / 255)
    height_px, width_px = padded.shape
    return read_heads(network.forward()[0], height_px, width_px, _LEAST_ANSWER)


@functools.cache
def _load(weights: Path) -> Any:
    """Return the network of an ONNX file, its SHA-256 checked where one is known.

    Raises:
        CheckpointError: The file is missing, damaged or not such a network.
    """
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"no detector weights {weights}", "`anymus train-detector`"
        ) from error
    known = SHIPPED_SHA256.get(weights.name) if weights.parent == WEIGHTS_FOLDER else None
    if known is not None and sha256_bytes(content) != known:
        raise CheckpointError(f"{weights} is damaged (its SHA-256 differs)", "install Anymus again")
    try:
        return cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
    except cv2.error as error:
        raise CheckpointError(f"{weights} is no detector", "`anymus train-detector`") from error


def _resize(grey_u8: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    if scale == 1:
        return grey_u8
    height_px, width_px = grey_u8.shape
    size = (max(1, round(width_px * scale)), max(1, round(height_px * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey_u8, size, interpolation=way), np.uint8)


def face_of_head(head: Sequence[float]) -> tuple[float, float, float, float]:
    """Return the box x, y, w, h of the face in the box of a head with its hair."""
    x, y, w, h = (float(value) for value in head)
    left, top, wide, high = _FACE_OF_HEAD
    return x + left * w, y + top * h, wide * w, high * h


def head_of_face(face: Sequence[float]) -> tuple[float, float, float, float]:
    """Return the box of a head with its hair around the box x, y, w, h of its face."""
    x, y, w, h = (float(value) for value in face)
    left, top, wide, high = _FACE_OF_HEAD
    return x - left * w / wide, y - top * h / high, w / wide, h / high


def _sight(heads: Heads, index: int, factor: float, limits_px: tuple[int, int]) -> Sight:
    """Return one head as a face in the picture's own pixels, its box within the picture."""
    x, y, w, h = face_of_head(heads.boxes[index] / factor)
    left, top = max(0.0, x), max(0.0, y)
    right, bottom = min(float(limits_px[0]), x + w), min(float(limits_px[1]), y + h)
    score = float(heads.scores[index]) - OPERATING_POINT
    width, height = max(1.0, right - left), max(1.0, bottom - top)
    return Sight(left, top, width, height, score, _eyes(heads, index, factor))


def _eyes(heads: Heads, index: int, factor: float) -> dict[str, Point]:
    """Return the eyes that can be seen, by name."""
    names = ("left_eye", "right_eye")
    places = (heads.eyes[index] / factor).reshape(2, 2)
    return {
        name: (float(x), float(y))
        for name, (x, y), seen in zip(names, places, heads.seen[index], strict=True)
        if seen >= _MIN_EYE_SEEN
    }
