"""Trains the drawn-face detector that Anymus ships, on nothing but its own drawings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

from anymus.detectors import SQUARE_PER_FACE
from anymus.drawing.manga import draw_bust
from anymus.drawing.page import draw_page
from anymus.drawing.truth import Drawing, FaceTruth

LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
"""The order of the predictor's five points."""
WINDOW_PX = 80
"""Side of the detectors' window."""
_C = 15.0
"""Weight of errors against smoothness in training."""
CONTEXT = SQUARE_PER_FACE["drawn_hog"]
"""Side of a detector's square box in heights of the truth's box around the same middle."""
DETECTOR_FILE = "drawn_face_detector.svm"
LANDMARKS_FILE = "drawn_face_landmarks.dat"

Grey = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Sample:
    """One grey picture (H, W) to learn from, with the faces on it."""

    grey_u8: Grey
    faces: tuple[FaceTruth, ...]


@dataclass(frozen=True, slots=True)
class DetectorReport:
    """What the trained detector finds on fresh drawings, by name of the figure."""

    figures: dict[str, float]

    def as_metrics(self) -> dict[str, float]:
        """Return the figures by name."""
        return self.figures


def train_detector(
    seed: int,
    dst: Path,
    *,
    bust_count: int = 250,
    page_count: int = 140,
    held_out_count: int = 80,
    thread_count: int = 1,
) -> dict[str, float]:
    """Writes a detector and a landmark predictor of drawn faces into `dst`; returns figures.

    Three HOG detectors (frontal, turned left, turned right) share one file. All drawings come
    from (seed, index), so the same call writes the same bytes on the same machine when
    `thread_count` is 1.

    Args:
        seed: seed of the drawings and of the predictor's training.
        dst: folder of the two files; made if need be.
        bust_count: busts to train on.
        page_count: pages to train on.
        held_out_count: fresh busts, and a quarter as many pages, to measure on.
        thread_count: threads of the training.

    Returns:
        recall and precision at IoU 0.5 on held-out busts and pages, the median eye error in
        face widths and the share of eyes within a tenth of the face width.
    """
    dst.mkdir(parents=True, exist_ok=True)
    busts = [_bust_sample(seed, index) for index in range(bust_count)]
    panels = [part for index in range(page_count) for part in _page_samples(seed, index)]
    detectors = [_train_view(samples, thread_count) for samples in _views([*busts, *panels])]
    dlib.simple_object_detector(detectors).save(str(dst / DETECTOR_FILE))
    _train_landmarks(seed, [*busts, *panels], dst / LANDMARKS_FILE, thread_count)
    return measure_detector(seed + 1, dst, held_out_count)


def _bust_sample(seed: int, index: int) -> Sample:
    rng = np.random.default_rng([seed, 0, index])
    width = int(rng.integers(200, 280))
    return _degrade(draw_bust(rng, width, round(width * 1.2)), rng)


def _degrade(drawing: Drawing, rng: np.random.Generator, factor: float = 1.0) -> Sample:
    """The drawing as a scan shows it: grey, resized, a little blurred, uneven and noisy."""
    grey = drawing.rgb_u8 @ np.array([0.299, 0.587, 0.114])
    if factor != 1.0:
        way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        grey = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=way)
    if rng.random() < 0.6:
        grey = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.4, 1.3))
    grey = 128 + (grey - 128) * rng.uniform(0.7, 1.05) + rng.uniform(-12, 12)
    grey = grey + rng.normal(0, rng.uniform(0, 7), grey.shape)
    faces = tuple(_scaled(face, factor) for face in drawing.faces)
    return Sample(np.clip(grey, 0, 255).astype(np.uint8), faces)


def _scaled(face: FaceTruth, factor: float, shift: tuple[float, float] = (0.0, 0.0)) -> FaceTruth:
    x, y, w, h = face.box
    dx, dy = shift
    marks = {k: (px * factor - dx, py * factor - dy) for k, (px, py) in face.landmarks.items()}
    box = (round(x * factor - dx), round(y * factor - dy), round(w * factor), round(h * factor))
    return FaceTruth(box, marks, face.tags)


def _page_samples(seed: int, index: int) -> list[Sample]:
    """Crops around a page's whole faces, scaled to the detectors' window, and empty crops."""
    rng = np.random.default_rng([seed, 1, index])
    page = draw_page(rng)
    samples = []
    for face in page.faces:
        if float(face.tags["seen"]) < 0.97:
            continue
        crop = _crop(page, face, rng)
        if crop is not None:
            factor = WINDOW_PX * rng.uniform(1.02, 1.3) / (CONTEXT * face.box[3])
            samples.append(_degrade(crop, rng, factor))
    return [*samples, *(_degrade(empty, rng) for empty in _empty_crops(page, rng))]


def _empty_crops(page: Drawing, rng: np.random.Generator) -> list[Drawing]:
    """Up to three pieces of a page that touch no face: balloons, hands, hair, lettering."""
    side = 3 * WINDOW_PX
    height, width = page.rgb_u8.shape[:2]
    squares = [detector_box(face.box) for face in page.faces]
    crops: list[Drawing] = []
    for _ in range(12):
        x, y = int(rng.integers(width - side)), int(rng.integers(height - side))
        if len(crops) < 3 and all(
            right < x or left > x + side or bottom < y or top > y + side
            for left, top, right, bottom in squares
        ):
            crops.append(Drawing(page.rgb_u8[y : y + side, x : x + side], ()))
    return crops


def _crop(page: Drawing, face: FaceTruth, rng: np.random.Generator) -> Drawing | None:
    """The surroundings of one face, or None if another face is cut by the crop's edge."""
    side = face.box[3]
    left, top, right, bottom = detector_box(face.box)
    margin = rng.uniform(0.2, 0.9, 4) * side
    height, width = page.rgb_u8.shape[:2]
    x, y = max(round(left - margin[0]), 0), max(round(top - margin[1]), 0)
    end_x, end_y = min(round(right + margin[2]), width), min(round(bottom + margin[3]), height)
    if left < 0 or top < 0 or right > width or bottom > height:
        return None
    kept = []
    for other in page.faces:
        a, b, c, d = detector_box(other.box)
        is_inside = a >= x and b >= y and c <= end_x and d <= end_y
        is_apart = c < x or a > end_x or d < y or b > end_y
        if is_inside and 0.97 < other.box[3] / side < 1.6:
            kept.append(_scaled(other, 1.0, (x, y)))
        elif not is_apart:
            return None
    return Drawing(page.rgb_u8[y:end_y, x:end_x], tuple(kept))


def detector_box(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The detector's square (left, top, right, bottom) for a truth box (x, y, w, h)."""
    x, y, w, h = box
    half = CONTEXT * h / 2
    cx, cy = x + w / 2, y + h / 2
    return round(cx - half), round(cy - half), round(cx + half), round(cy + half)


def face_box(square: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The truth box (x, y, w, h) that a detector's square (left, top, right, bottom) means."""
    left, top, right, bottom = square
    height = (bottom - top) / CONTEXT
    width = 0.96 * height
    cx, cy = (left + right) / 2, (top + bottom) / 2
    return round(cx - width / 2), round(cy - height / 2), round(width), round(height)


def _views(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Samples for the frontal, the left and the right detector, all mirrored to be symmetric."""
    both = [*samples, *(_mirrored(sample) for sample in samples)]
    views: list[list[Sample]] = [[], [], []]
    for sample in both:
        if not sample.faces:
            for view in views:
                view.append(sample)
            continue
        yaw = float(sample.faces[0].tags["yaw"])
        views[0 if abs(yaw) < 20 else 1 if yaw < 0 else 2].append(sample)
    return views


def _mirrored(sample: Sample) -> Sample:
    width = sample.grey_u8.shape[1]
    faces = []
    for face in sample.faces:
        x, y, w, h = face.box
        marks = {k: (width - px, py) for k, (px, py) in face.landmarks.items()}
        swapped = {
            "left_eye": marks["right_eye"],
            "right_eye": marks["left_eye"],
            "nose": marks["nose"],
            "mouth_left": marks["mouth_right"],
            "mouth_right": marks["mouth_left"],
        }
        tags = face.tags | {"yaw": str(-float(face.tags["yaw"]))}
        faces.append(FaceTruth((width - x - w, y, w, h), swapped, tags))
    return Sample(np.ascontiguousarray(sample.grey_u8[:, ::-1]), tuple(faces))


def _train_view(samples: Sequence[Sample], thread_count: int) -> dlib.simple_object_detector:
    options = dlib.simple_object_detector_training_options()
    options.add_left_right_image_flips = False
    options.C = _C
    options.epsilon = 0.02
    options.detection_window_size = WINDOW_PX * WINDOW_PX
    options.num_threads = thread_count
    options.upsample_limit = 0
    boxes = [[dlib.rectangle(*detector_box(f.box)) for f in s.faces] for s in samples]
    return dlib.train_simple_object_detector([s.grey_u8 for s in samples], boxes, options)


def _train_landmarks(seed: int, samples: Sequence[Sample], path: Path, thread_count: int) -> None:
    options = dlib.shape_predictor_training_options()
    options.cascade_depth = 8
    options.tree_depth = 3
    options.num_trees_per_cascade_level = 180
    options.feature_pool_size = 300
    options.oversampling_amount = 6
    options.oversampling_translation_jitter = 0.08
    options.nu = 0.1
    options.num_threads = thread_count
    options.random_seed = str(seed)
    rng = np.random.default_rng([seed, 2])
    faced = [sample for sample in samples if sample.faces]
    both = [*faced, *(_mirrored(sample) for sample in faced)]
    shapes = [[_detection(face, rng) for face in sample.faces] for sample in both]
    predictor = dlib.train_shape_predictor([s.grey_u8 for s in both], shapes, options)
    predictor.save(str(path))


def _detection(face: FaceTruth, rng: np.random.Generator) -> dlib.full_object_detection:
    """A face as the predictor sees it: its points, and a box as inexact as a detector's."""
    left, top, right, bottom = detector_box(face.box)
    grow, dx, dy = rng.normal(0, 0.04, 3) * (right - left)
    rect = dlib.rectangle(*(round(v) for v in (left + dx - grow, top + dy - grow,
                                               right + dx + grow, bottom + dy + grow)))  # fmt: skip
    points = [dlib.point(round(x), round(y)) for x, y in (face.landmarks[n] for n in LANDMARKS)]
    return dlib.full_object_detection(rect, points)


def measure_detector(seed: int, folder: Path, bust_count: int = 120) -> dict[str, float]:
    """Figures of the files in `folder` on fresh busts and a quarter as many pages."""
    detector = dlib.fhog_object_detector(str(folder / DETECTOR_FILE))
    predictor = dlib.shape_predictor(str(folder / LANDMARKS_FILE))
    busts = [_bust_sample(seed, index) for index in range(bust_count)]
    pages = []
    for index in range(bust_count // 4):
        rng = np.random.default_rng([seed, 1, index])
        pages.append(_degrade(draw_page(rng), rng))
    figures: dict[str, float] = {}
    errors: list[float] = []
    for name, samples in (("bust", busts), ("page", pages)):
        found = right = wanted = 0
        for sample in samples:
            squares, _, _ = detector.run(sample.grey_u8, 1, 0.0)
            boxes = [_square(r) for r in squares]
            pairs = _match(boxes, sample.faces)
            found, right, wanted = (
                found + len(boxes),
                right + len(pairs),
                wanted + len(sample.faces),
            )
            for index, face in pairs:
                errors += _eye_errors(predictor(sample.grey_u8, squares[index]), face)
        figures[f"{name}_recall"] = right / max(wanted, 1)
        figures[f"{name}_precision"] = right / max(found, 1)
    figures["eye_error_median"] = float(np.median(errors)) if errors else 1.0
    figures["eyes_within_tenth"] = float(np.mean(np.array(errors) < 0.1)) if errors else 0.0
    return figures


def _square(rect: dlib.rectangle) -> tuple[int, int, int, int]:
    return rect.left(), rect.top(), rect.right(), rect.bottom()


def _match(
    squares: Sequence[tuple[int, int, int, int]], faces: Sequence[FaceTruth]
) -> list[tuple[int, FaceTruth]]:
    """Pairs of a detection's index and the face that it meets at IoU 0.5 or more."""
    pairs = []
    free = set(range(len(squares)))
    for face in faces:
        best = max(free, key=lambda i: iou(face_box(squares[i]), face.box), default=None)
        if best is not None and iou(face_box(squares[best]), face.box) >= 0.5:
            free.remove(best)
            pairs.append((best, face))
    return pairs


def iou(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> float:
    """Intersection over union of two boxes (x, y, w, h)."""
    w = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    h = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    common = max(w, 0) * max(h, 0)
    return common / (first[2] * first[3] + second[2] * second[3] - common)


def _eye_errors(points: dlib.full_object_detection, face: FaceTruth) -> list[float]:
    errors = []
    for index, name in enumerate(LANDMARKS[:2]):
        x, y = face.landmarks[name]
        part = points.part(index)
        errors.append(float(np.hypot(part.x - x, part.y - y)) / face.box[2])
    return errors
