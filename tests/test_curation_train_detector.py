"""The drawn-face detector that is shipped, on fresh drawings; and a small training run."""

from importlib.resources import files
from pathlib import Path

import dlib
import numpy as np
import pytest

from anymus.drawing.manga import draw_bust
from curation.train_detector import (
    CONTEXT,
    DETECTOR_FILE,
    LANDMARKS,
    LANDMARKS_FILE,
    detector_box,
    face_box,
    iou,
    train_detector,
)

WEIGHTS = Path(str(files("anymus"))) / "weights"


def test_box_conventions_are_inverse() -> None:
    square = detector_box((40, 30, 96, 100))
    assert square[2] - square[0] == pytest.approx(100 * CONTEXT, abs=1)
    assert iou(face_box(square), (40, 30, 96, 100)) > 0.95


def test_iou_of_boxes() -> None:
    assert iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1.0
    assert iou((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert iou((0, 0, 10, 10), (20, 0, 10, 10)) == 0.0


def test_the_shipped_files_are_small() -> None:
    sizes = [(WEIGHTS / name).stat().st_size for name in (DETECTOR_FILE, LANDMARKS_FILE)]
    assert sum(sizes) < 2_000_000


def test_the_shipped_detector_finds_fresh_busts_and_their_eyes() -> None:
    detector = dlib.fhog_object_detector(str(WEIGHTS / DETECTOR_FILE))
    predictor = dlib.shape_predictor(str(WEIGHTS / LANDMARKS_FILE))
    met, errors = 0, []
    for index in range(20):
        drawing = draw_bust(np.random.default_rng([2024, index]))
        face = drawing.faces[0]
        grey = drawing.rgb_u8.mean(axis=2).astype(np.uint8)
        squares, _, _ = detector.run(grey, 0, 0.0)
        pairs = [(r.left(), r.top(), r.right(), r.bottom()) for r in squares]
        scores = [iou(face_box(square), face.box) for square in pairs]
        if not scores or max(scores) < 0.4:
            continue
        met += 1
        points = predictor(grey, squares[int(np.argmax(scores))])
        for part, name in enumerate(LANDMARKS[:2]):
            x, y = face.landmarks[name]
            errors.append(np.hypot(points.part(part).x - x, points.part(part).y - y) / face.box[2])
    assert met >= 16
    assert np.mean(np.array(errors) < 0.1) > 0.7


def test_training_twice_writes_the_same_files(tmp_path: Path) -> None:
    counts = {"bust_count": 8, "page_count": 0, "held_out_count": 0}
    for name in ("first", "second"):
        figures = train_detector(3, tmp_path / name, **counts)
        assert set(figures) >= {"bust_recall", "bust_precision", "page_recall", "eye_error_median"}
    for name in (DETECTOR_FILE, LANDMARKS_FILE):
        first, second = ((tmp_path / run / name).read_bytes() for run in ("first", "second"))
        assert first == second
