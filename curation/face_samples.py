"""Pictures with labelled faces, and the random pieces of them that a detector learns from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.drawing.manga import draw_bust
from anymus.drawing.page import draw_page
from anymus.drawing.truth import Drawing, FaceTruth
from anymus.errors import DatasetError
from anymus.images import decode_rgb, encode_jpeg, read_rgb, to_grey

from .labels import PictureLabels, read_labels

Grey = NDArray[np.uint8]
Rng = np.random.Generator

MIN_HEAD_PX = 14.0
"""Smaller heads are neither faces nor background to the training."""
MIN_SEEN = 0.4
"""Least share of a head that a piece must show for it to count as a face."""
# The renderer's boxes go from cheek to cheek and from the hair line to the chin; a label holds the
# skull with its hair. Shares of the box's width and height, measured on the renderer's busts.
_HEAD_OF_FACE = (-0.16, -0.42, 1.32, 1.45)


@dataclass(frozen=True, slots=True)
class Target:
    """The faces of one picture, in its pixels.

    Attributes:
        boxes: x, y, width, height of each head with its hair (F, 4).
        eyes: Left and right eye as seen, x and y; NaN where there is none to see (F, 4).
        is_eyed: Whether the eyes of a face were labelled at all (F,).
        is_ignored: Whether a face is neither to be found nor background (F,).
    """

    boxes: NDArray[np.float32]
    eyes: NDArray[np.float32]
    is_eyed: NDArray[np.bool_]
    is_ignored: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sample:
    """A grey picture (H, W) and what is known of it.

    Attributes:
        name: Path or number of the picture.
        grey_u8: Its pixels (H, W).
        target: Its faces.
        views: From where each face is seen: front, profile ...
        negatives: Boxes of what looks like a face and is none (K, 4): looked at more often.
    """

    name: str
    grey_u8: Grey
    target: Target
    views: tuple[str, ...] = ()
    negatives: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))


def empty_target() -> Target:
    """Return the target of a picture without faces."""
    none = np.zeros(0, np.bool_)
    return Target(np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32), none, none)


def read_samples(labels: Path, pictures: Path, only: tuple[str, ...] = ("",)) -> list[Sample]:
    """Return the finished pictures of a label file (`anymus label`), with their faces, by name.

    Args:
        labels: JSONL, one row a picture (curation/labels.py).
        pictures: Folder that the rows' `file` is relative to.
        only: What `file` begins with; the other pictures are not read.

    Raises:
        DatasetError: The file cannot be read, a line is no row (named), or no row is finished.
        ImageError: A picture cannot be read.
    """
    done = (row for row in read_labels(labels).values() if row.is_done)
    rows = [row for row in done if row.file.startswith(only)]
    if not rows:
        raise DatasetError(f"no finished labels in {labels}", "run `anymus label` first")
    return [_sample_of(row, pictures) for row in sorted(rows, key=lambda row: row.file)]


def _sample_of(row: PictureLabels, pictures: Path) -> Sample:
    return Sample(
        name=row.file,
        grey_u8=to_grey(read_rgb(pictures / row.file)),
        target=_target_of([face.model_dump() for face in row.faces]),
        views=tuple(face.view for face in row.faces),
        negatives=np.array(row.negatives, np.float32).reshape(-1, 4),
    )


def _target_of(faces: Sequence[Mapping[str, Any]]) -> Target:
    if not faces:
        return empty_target()
    boxes = np.array([face["box"] for face in faces], np.float32).reshape(-1, 4)
    eyes = np.full((len(faces), 4), np.nan, np.float32)
    is_eyed = np.array(["left_eye" in face for face in faces])
    for index, face in enumerate(faces):
        for place, name in ((0, "left_eye"), (2, "right_eye")):
            if face.get(name) is not None:
                eyes[index, place : place + 2] = face[name]
    return Target(boxes, eyes, is_eyed, np.zeros(len(faces), np.bool_))


def draw_sample(seed: int, index: int, bust_share: float = 0.25) -> Sample:
    """Return a page, or now and then a bust, of our own renderer; a function of (seed, index)."""
    rng = np.random.default_rng([seed, 3, index])
    if rng.random() < bust_share:
        side = int(rng.integers(240, 420))
        drawing = draw_bust(rng, side, round(1.2 * side))
    else:
        drawing = draw_page(rng, 720, 1010)
    return Sample(f"drawn {index}", to_grey(drawing.rgb_u8), _target_of_drawing(drawing))


def _target_of_drawing(drawing: Drawing) -> Target:
    height, width = drawing.rgb_u8.shape[:2]
    faces = []
    for face in drawing.faces:
        left, top, right, bottom = _head_of(face)
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        left_eye, right_eye = sorted((face.landmarks["left_eye"], face.landmarks["right_eye"]))
        box = [left, top, right - left, bottom - top]
        faces.append({"box": box, "left_eye": left_eye, "right_eye": right_eye})
    return _target_of(faces)


def _head_of(face: FaceTruth) -> tuple[float, float, float, float]:
    x, y, w, h = face.box
    left, top = x + _HEAD_OF_FACE[0] * w, y + _HEAD_OF_FACE[1] * h
    return left, top, left + _HEAD_OF_FACE[2] * w, top + _HEAD_OF_FACE[3] * h


def cut_piece(sample: Sample, side_px: int, rng: Rng) -> tuple[Grey, Target]:
    """Return a random square piece (side, side) of a picture, disturbed as scans are.

    Scale, place, roll, mirror, tone and noise are drawn from `rng`. Six in ten pieces are laid
    around one of the faces or hard negatives, at a scale that makes it any size from small to
    filling.
    """
    target = sample.target
    height, width = sample.grey_u8.shape
    wanted_boxes = np.concatenate([target.boxes, sample.negatives])
    if len(wanted_boxes) and rng.random() < 0.6:
        x, y, w, h = wanted_boxes[rng.integers(len(wanted_boxes))]
        wanted = math.exp(rng.uniform(math.log(18), math.log(0.85 * side_px)))
        scale = float(np.clip(wanted / max(w, h), 0.3, 1.8))
        middle = (x + w / 2, y + h / 2)
        away = rng.uniform(-0.5, 0.5, 2) * max(side_px - max(w, h) * scale, 0.2 * side_px) / scale
        centre = (middle[0] - away[0], middle[1] - away[1])
    else:
        scale = math.exp(rng.uniform(math.log(0.4), math.log(1.4)))
        half = side_px / 2 / scale
        centre = (_between(half, width, rng), _between(half, height, rng))
    matrix = _affine(centre, scale, rng, side_px)
    piece = _warp(sample.grey_u8, matrix, scale, side_px, rng)
    return _disturb(piece, rng), _mapped(target, matrix, side_px)


def _between(half: float, length: int, rng: Rng) -> float:
    low, high = min(half, length / 2), max(length - half, length / 2)
    return float(rng.uniform(low, high))


def _affine(
    centre: tuple[float, float], scale: float, rng: Rng, side_px: int
) -> NDArray[np.float64]:
    """Return the map (2, 3) from picture to piece: scale, a little roll and stretch, mirror."""
    angle = math.radians(rng.normal(0, 6) if rng.random() < 0.7 else 0.0)
    stretch = math.exp(rng.normal(0, 0.06))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    cos, sin = math.cos(angle), math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag(
        [mirror * scale * stretch, scale / stretch]
    )
    shift = np.array([side_px / 2, side_px / 2]) - linear @ np.array(centre)
    return np.hstack([linear, shift[:, None]])


def _warp(grey_u8: Grey, matrix: NDArray[np.float64], scale: float, side_px: int, rng: Rng) -> Grey:
    paper = int(rng.choice([255, 255, 255, 0, 128]))
    if scale >= 0.9:
        return _warped(grey_u8, matrix, side_px, paper)
    # Reduce by area first: screentone sampled at fewer points than it has dots gives moire.
    size = (max(1, round(grey_u8.shape[1] * scale)), max(1, round(grey_u8.shape[0] * scale)))
    small = np.asarray(cv2.resize(grey_u8, size, interpolation=cv2.INTER_AREA), np.uint8)
    ratio = np.array([grey_u8.shape[1] / size[0], grey_u8.shape[0] / size[1]])
    return _warped(small, np.hstack([matrix[:, :2] * ratio, matrix[:, 2:]]), side_px, paper)


def _warped(grey_u8: Grey, matrix: NDArray[np.float64], side_px: int, paper: int) -> Grey:
    warped = cv2.warpAffine(
        grey_u8, matrix, (side_px, side_px), flags=cv2.INTER_LINEAR, borderValue=(paper,)
    )
    return np.asarray(warped, np.uint8)


def _disturb(piece: Grey, rng: Rng) -> Grey:
    """Return a piece with lines thinned or thickened, blurred, its tones bent, noisy, packed."""
    if rng.random() < 0.15:
        thicken = cv2.erode if rng.random() < 0.5 else cv2.dilate
        piece = np.asarray(thicken(piece, np.ones((2, 2), np.uint8)), np.uint8)
    if rng.random() < 0.3:
        piece = np.asarray(cv2.GaussianBlur(piece, (0, 0), rng.uniform(0.4, 1.5)), np.uint8)
    tones = np.arange(256, dtype=np.float32) / 255
    tones = tones ** math.exp(rng.normal(0, 0.3))
    tones = rng.uniform(0, 0.12) + tones * rng.uniform(0.75, 1.0)
    if rng.random() < 0.04:
        tones = 1 - tones
    piece = np.clip(255 * tones, 0, 255).astype(np.uint8)[piece]
    if rng.random() < 0.3:
        noise = rng.normal(0, rng.uniform(2, 12), piece.shape)
        piece = np.clip(piece + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        quality = int(rng.integers(30, 90))
        packed = encode_jpeg(np.repeat(piece[:, :, None], 3, axis=2), quality)
        piece = to_grey(decode_rgb(packed))
    return piece


def _mapped(target: Target, matrix: NDArray[np.float64], side_px: int) -> Target:
    """Return the faces in the piece's pixels: cut to it, ignored where little is seen."""
    if not len(target.boxes):
        return target
    x, y, w, h = target.boxes.T.astype(np.float64)
    middle = np.stack([x + w / 2, y + h / 2], -1) @ matrix[:, :2].T + matrix[:, 2]
    sides = np.abs(np.stack([w, h], -1)) @ np.abs(np.diag(np.diag(matrix[:, :2]))).T
    whole = np.concatenate([middle - sides / 2, middle + sides / 2], -1)
    cut = np.clip(whole, 0, side_px)
    area = (cut[:, 2] - cut[:, 0]) * (cut[:, 3] - cut[:, 1])
    seen = area / np.maximum(sides.prod(-1), 1e-6)
    eyes = target.eyes.reshape(-1, 2).astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
    is_out = ((eyes < 0) | (eyes >= side_px)).any(-1)
    eyes[is_out] = np.nan
    eyes = eyes.reshape(-1, 4)
    if matrix[0, 0] < 0:
        eyes = eyes[:, [2, 3, 0, 1]]
    longest = np.maximum(cut[:, 2] - cut[:, 0], cut[:, 3] - cut[:, 1])
    is_there = area > 0
    is_ignored = target.is_ignored | (seen < MIN_SEEN) | (longest < MIN_HEAD_PX)
    boxes = np.concatenate([cut[:, :2], cut[:, 2:] - cut[:, :2]], -1)
    return Target(
        boxes[is_there].astype(np.float32),
        eyes[is_there].astype(np.float32),
        target.is_eyed[is_there],
        is_ignored[is_there],
    )
