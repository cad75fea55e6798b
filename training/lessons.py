"""Lessons: of several drawings of each photo, what the best ones agree on.

A photo that is mirrored, a little lighter or darker is the same face, yet a generator draws it with
other eyes and other blots; so does the generator of another run. Drawings are judged by a detector
of drawn faces and by where their eyes are, and of the best ones each pixel takes the median: what
one drawing has alone goes, what most have stays.

Source: best-of-n sampling with a judge (Stiennon et al. 2020, arXiv:2009.01325) and distilling an
average over views of unlabelled pictures (data distillation, Radosavovic et al. 2018,
arXiv:1712.04440), with the median of pictures in the place of a mean of labels.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from anymus.detectors import FaceDetector, make_detector
from anymus.images import RgbU8, read_rgb, resize_rgb
from anymus.progress import track
from anymus.shards import plain_path
from anymus.torchlib import half_precision

from .content import LOOK_PX, NEAR, Eyes, eye_drift, read_eyes
from .data import find_pictures, to_signed, to_square, with_gamma
from .networks import Generator
from .samples import to_rgb
from .sitters import MaskU8, before, find_sitter, with_margin

BEST = 5  # drawings of each photo that its lesson is made of
DETECTOR = "drawn_faces"
"""It learned from our own drawings alone, so what learns from its verdicts is as free as they."""
_STOPS = 0.5  # of gamma, up and down: half of what trainings show
_ACCURACY = 0.03  # drift in face widths up to which the detector errs about good drawings, too
_WORST_DRIFT = 0.3
_DRIFT_WEIGHT = 2.0
_NO_FACE = -1.0
_MIN_SCORE = -0.5  # 0 is where a face counts as found
_STUDIO, _PAPER = (np.array(rgb, np.uint8) for rgb in ((110, 135, 155), (255, 255, 255)))


class View(NamedTuple):
    """A way to show a photo that leaves every pixel in its place, or mirrors it."""

    gamma_stops: float
    is_mirrored: bool


VIEWS: Mapping[str, View] = {
    "as it is": View(0.0, False),
    "mirrored": View(0.0, True),
    "lighter": View(-_STOPS, False),
    "darker": View(_STOPS, False),
}


class Verdict(NamedTuple):
    """What the judge says of one drawing."""

    score: float
    """Of the detector, less what the eyes' drift takes; -1: no face at all."""
    has_face: bool
    has_eyes_in_place: bool


class Lesson(NamedTuple):
    """A photo and how it should be drawn; both (H, W, 3) of one size."""

    photo: RgbU8
    drawing: RgbU8
    has_face: bool
    """Whether the drawing has one; else nothing should be learned from it."""
    is_hard: bool
    """Whether what the learner draws of the photo as it is lacks a face or eyes in their place."""
    sitter: MaskU8 | None = None
    """(H, W): who is in the photo (`find_sitter`); None: not known."""
    grey_odds: float = 1.0
    """How often it is shown in grey, beside others: dark skin, shown more often than others in
    colour, must not be commoner in grey, where it looks like shade."""


def make_lessons(
    learner: Generator,
    teachers: Sequence[Generator],
    folder: Path,
    device: torch.device,
    best: int = BEST,
    *,
    cuts: Mapping[str, int] | None = None,
) -> list[Lesson]:
    """Return a lesson for each photo of a folder, in the order of `find_pictures`.

    Its drawing is the median of the best ones, or the best one alone where that has a face and the
    median has none. Sitters who are cut out are drawn before the wall of a studio, and their lesson
    is white paper around them.

    Args:
        learner: Whoever will learn, on the device, in eval mode. What it draws of a photo as it is
            tells which lessons are hard.
        teachers: Whose drawings lessons are made of, alike; the learner may be the first of them.
            Others may be of another size: their drawings are made as large as its own.
        folder: trainA of a data set, whose manifest tells where the photos' eyes are. Without a
            manifest the detector's score alone decides.
        device: Where they run.
        best: How many of the drawings each lesson is the median of.
        cuts: Which cut a person chose, by the photo's path below the data set; other sitters are
            cut out where it is clear who they are (`find_sitter`). None: nobody is cut out.

    Raises:
        DatasetError: There are no photos, or the manifest is damaged.
        ImageError: One cannot be read.
        DeviceError: The detector does not run here.
    """
    detector, as_it_is = make_judge(), VIEWS["as it is"]
    lessons = []
    for name, photo, eyes in _photos(folder, learner):
        sitter = None if cuts is None else find_sitter(photo, cuts.get(name))
        shown = photo if sitter is None else before(photo, sitter, _STUDIO)
        drawings = [draw(teacher, shown, v, device) for teacher in teachers for v in VIEWS.values()]
        verdicts = [judge(detector, drawing, eyes) for drawing in drawings]
        order = np.argsort([-verdict.score for verdict in verdicts], kind="stable")
        drawing = agree([drawings[index] for index in order[:best]])
        has_face = judge(detector, drawing, eyes).has_face
        if not has_face and verdicts[order[0]].has_face:
            drawing, has_face = drawings[order[0]], True
        if sitter is not None:
            drawing = before(drawing, with_margin(sitter), _PAPER)
        own = verdicts[0]
        if learner is not teachers[0] or sitter is not None:
            own = judge(detector, draw(learner, photo, as_it_is, device), eyes)
        lessons.append(Lesson(photo, drawing, has_face, not own.has_eyes_in_place, sitter))
    return lessons


def count_in_place(generator: Generator, folder: Path, device: torch.device) -> int:
    """Return of how many photos of a folder the drawing has a face with its eyes in their place.

    Args:
        generator: On the device, in eval mode.
        folder: testA of a data set.
        device: Where it runs.

    Raises:
        DatasetError: As for `make_lessons`.
        ImageError: As for `make_lessons`.
        DeviceError: As for `make_lessons`.
    """
    detector, view = make_judge(), VIEWS["as it is"]
    verdicts = (
        judge(detector, draw(generator, photo, view, device), eyes)
        for _, photo, eyes in _photos(folder, generator)
    )
    return sum(verdict.has_eyes_in_place for verdict in verdicts)


def make_judge() -> FaceDetector:
    """Return the detector for `judge`, which also gives faces that it would not call found."""
    return make_detector(
        DETECTOR, upsample=0, second_upsample=0, second_look_share=0.0,
        max_side_px=LOOK_PX, min_score=_MIN_SCORE, min_face_px=32, max_faces=1,
    )  # fmt: skip


def _photos(folder: Path, generator: Generator) -> Iterator[tuple[str, RgbU8, Eyes | None]]:
    """Yield each photo's path below the data set, itself at the generator's size, and its eyes."""
    size_px, known = int(generator.arguments["image_size_px"]), read_eyes(folder.parent)
    for name, photo in squares(
        find_pictures(folder), folder.parent, size_px, f"draw {folder.name}"
    ):
        yield name, photo, known.get(name)


def squares(
    paths: Sequence[Path], dataset_dir: Path, size_px: int, title: str
) -> Iterator[tuple[str, RgbU8]]:
    """Yield each picture's path below its data set, and itself as a square of that side.

    Args:
        paths: Of the pictures.
        dataset_dir: Above them.
        size_px: Side of the squares.
        title: Of the progress.
    """
    for path in track(paths, title, len(paths)):
        yield photo_name(path, dataset_dir), to_square(read_rgb(path), size_px)


def photo_name(path: Path, dataset_dir: Path) -> str:
    """Return a picture's path below its data set, as the manifest has it."""
    return plain_path(path).relative_to(dataset_dir).as_posix()


@torch.inference_mode()
def draw(teacher: Generator, photo: RgbU8, view: View, device: torch.device) -> RgbU8:
    """Return what a generator draws of a photo in one view, turned back.

    Args:
        teacher: On the device, in eval mode.
        photo: (H, W, 3), a square; at another size than the teacher's it is shown at that one.
        view: How to show it.
        device: Where the teacher runs.

    Returns:
        The drawing, (H, W, 3) like the photo.
    """
    shown = to_square(with_gamma(photo, view.gamma_stops), int(teacher.arguments["image_size_px"]))
    if view.is_mirrored:
        shown = shown[:, ::-1]
    with half_precision(device):
        image = teacher(to_signed(shown[None]).to(device)).image
    drawing = to_square(to_rgb(image.float()), len(photo))
    return np.ascontiguousarray(drawing[:, ::-1]) if view.is_mirrored else drawing


def judge(detector: FaceDetector, drawing: RgbU8, eyes: Eyes | None) -> Verdict:
    """Return how good a drawing is, and whether its eyes are where the photo's are.

    Args:
        detector: Of drawn faces; it may give faces of scores below 0, which do not count as found.
        drawing: (H, W, 3), a square of any size.
        eyes: Of the photo; None: unknown, then they are wherever the drawing has them.
    """
    faces = detector.find(resize_rgb(drawing, LOOK_PX, LOOK_PX))
    if not faces:
        return Verdict(_NO_FACE, has_face=False, has_eyes_in_place=False)
    score, points = faces[0].score, faces[0].landmarks
    if eyes is None:
        return Verdict(score, score >= 0, score >= 0)
    drift = _WORST_DRIFT
    if {"left_eye", "right_eye"} <= set(points):
        found = np.array([points["left_eye"], points["right_eye"]]) / LOOK_PX
        drift = min(eye_drift(eyes, found, "photo"), _WORST_DRIFT)
    cost = _DRIFT_WEIGHT * max(0.0, drift - _ACCURACY)
    return Verdict(score - cost, score >= 0, score >= 0 and drift < NEAR)


def agree(drawings: Sequence[RgbU8]) -> RgbU8:
    """Return the median of drawings of one photo, (H, W, 3), pixel by pixel."""
    median: RgbU8 = np.median(drawings, axis=0).round().astype(np.uint8)
    return median
