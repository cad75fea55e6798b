"""What the face network learns from: pieces, wanted answers, labels, and how it is measured."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from anymus.drawn_faces import Heads, cell_places, merge_looks, mirror, read_heads
from anymus.errors import DatasetError
from anymus.images import write_png
from anymus.looks import Sight
from curation.face_network import FaceNetwork
from curation.face_samples import Sample, Target, cut_piece, draw_sample, read_samples
from curation.face_targets import assign, detection_loss, stack
from curation.labels import read_labels
from curation.measure_detector import match, measure_detector

LABELS = Path(__file__).parent.parent / "curation" / "hand_labels" / "manga_faces.jsonl"


def _target(*boxes: tuple[float, ...], eyes: list[list[float]] | None = None) -> Target:
    count = len(boxes)
    return Target(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(eyes or [[np.nan] * 4] * count, np.float32).reshape(-1, 4),
        np.full(count, eyes is not None),
        np.zeros(count, np.bool_),
    )


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 320), (384, 384)])
def test_the_network_answers_for_every_cell(height: int, width: int) -> None:
    cells = FaceNetwork().eval()(torch.zeros(2, 1, height, width))
    assert cells.shape == (2, len(cell_places(height, width)[0]), 11)
    assert bool((cells[..., 1:5] > 0).all())


@pytest.mark.parametrize("side", [16, 30, 60, 110, 200, 370])
def test_a_head_of_any_size_comes_back_from_the_wanted_answers(side: int) -> None:
    box = (200 - side / 2, 190 - side / 2, side, side)
    eyes = [[190.0, 185.0, 212.0, 188.0]]
    wanted = assign(_target(box, eyes=eyes), 384)
    cells = np.full((len(wanted.weight), 11), -9.0, np.float32)
    held = wanted.is_face.numpy()
    cells[held, 0] = 4.0
    cells[:, 1:5], cells[:, 5:9] = wanted.sides, wanted.eyes
    heads = merge_looks([read_heads(cells, 384, 384, 0.5)])
    assert heads.boxes == pytest.approx(np.array([box]), abs=0.2)
    assert heads.eyes == pytest.approx(np.array(eyes), abs=0.05)


def _heads(*rows: tuple[tuple[float, ...], float]) -> Heads:
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    eyes = boxes[:, [0, 1, 0, 1]] + np.array([10, 20, 30, 21], np.float32)
    scores = np.array([score for _, score in rows], np.float32)
    return Heads(boxes, scores, eyes, np.tile(np.array([0.9, 0.2], np.float32), (len(rows), 1)))


def test_a_mirrored_look_changes_sides() -> None:
    heads = _heads(((10, 20, 50, 60), 0.8))
    mirrored = mirror(heads, 200)
    assert mirrored.boxes.tolist() == [[140, 20, 50, 60]]
    assert mirrored.eyes.tolist() == [[160, 41, 180, 40]]
    assert mirrored.seen.tolist() == [pytest.approx([0.2, 0.9])]
    again = mirror(mirrored, 200)
    assert np.array_equal(again.boxes, heads.boxes)
    assert np.array_equal(again.eyes, heads.eyes)


def test_looks_are_averaged_and_a_head_that_one_look_shows_counts_less() -> None:
    first = _heads(((100, 100, 50, 50), 0.8), ((300, 100, 50, 50), 0.6))
    second = _heads(((104, 100, 50, 50), 0.8), ((100, 100, 46, 50), 0.1))
    merged = merge_looks([first, second])
    assert merged.scores == pytest.approx([0.8, 0.3])
    assert merged.boxes[0] == pytest.approx([102, 100, 50, 50], abs=0.1)
    assert merged.boxes[1] == pytest.approx([300, 100, 50, 50])
    assert len(merge_looks([_heads(), _heads()]).scores) == 0


def test_the_smaller_of_two_heads_keeps_its_cells() -> None:
    small = (180.0, 180.0, 40.0, 40.0)
    wanted = assign(_target((60.0, 60.0, 280.0, 280.0), small), 384)
    sides = wanted.sides[wanted.is_face]
    places, strides = cell_places(384, 384)
    held = wanted.is_face.numpy()
    lefts = places[held][:, 0] - sides[:, 0].numpy() * strides[held]
    assert sorted(set(np.rint(lefts))) == [60, 180]


def test_ignored_faces_are_neither_faces_nor_background() -> None:
    target = _target((100.0, 100.0, 60.0, 60.0))
    wanted = assign(Target(target.boxes, target.eyes, target.is_eyed, np.array([True])), 384)
    assert not bool(wanted.is_face.any())
    places, _ = cell_places(384, 384)
    inside = (np.abs(places - 130) <= 30).all(-1)
    assert wanted.weight.numpy()[inside].max() == 0
    assert wanted.weight.numpy()[~inside].min() == 1


def test_right_answers_cost_less_than_wrong_ones() -> None:
    wanted = stack([assign(_target((100.0, 100.0, 90.0, 90.0), eyes=[[130, 140, 160, 141]]), 384)])
    cells = torch.zeros(*wanted.weight.shape, 11)
    cells[..., 0] = torch.where(wanted.is_face, 6.0, -9.0)
    cells[..., 1:5] = wanted.sides
    cells[..., 5:9] = wanted.eyes.nan_to_num()
    cells[..., 9:] = 6.0
    right, _ = detection_loss(cells, wanted)
    for change in (slice(1, 5), slice(5, 9)):
        worse = cells.clone()
        worse[..., change] += 1.0
        assert detection_loss(worse, wanted)[0] > right + 0.05
    worse = cells.clone()
    worse[..., 0] = -worse[..., 0]
    assert detection_loss(worse, wanted)[0] > right + 1


def test_eyes_follow_their_picture_into_the_piece() -> None:
    grey = np.full((300, 260), 255, np.uint8)
    spots = [(110, 120), (150, 126)]
    for x, y in spots:
        grey[y - 4 : y + 5, x - 4 : x + 5] = 0
    sample = Sample("spots", grey, _target((80, 70, 100, 110), eyes=[[110, 120, 150, 126]]))
    checked = 0
    for index in range(60):
        piece, target = cut_piece(sample, 256, np.random.default_rng(index))
        eyes = target.eyes.reshape(-1, 2)
        if len(eyes) != 2 or np.isnan(eyes).any() or target.is_ignored[0]:
            continue
        assert eyes[0, 0] < eyes[1, 0]
        middles = [float(piece[round(float(y)), round(float(x))]) for x, y in eyes]
        paper = float(np.median(piece[5:-5, 5:-5]))
        checked += max(abs(value - paper) for value in middles) > 25
    assert checked > 25


def test_pieces_and_drawings_depend_on_their_numbers_alone() -> None:
    first, again = draw_sample(3, 5), draw_sample(3, 5)
    assert np.array_equal(first.grey_u8, again.grey_u8)
    assert len(first.target.boxes)
    pieces = [cut_piece(first, 192, np.random.default_rng([1, 2]))[0] for _ in range(2)]
    assert np.array_equal(*pieces)


def test_labels_are_read_the_later_row_counting(tmp_path: Path) -> None:
    write_png(tmp_path / "page.png", np.full((80, 60, 3), 200, np.uint8))
    face = {"box": [10, 10, 30, 32], "view": "front", "left_eye": [18, 25], "right_eye": None}
    row = {"file": "page.png", "width_px": 60, "height_px": 80, "negatives": [], "is_done": True}
    rows = [
        row | {"faces": []},
        row | {"faces": [face], "negatives": [[2, 40, 20, 20]]},
        row | {"file": "unfinished.png", "faces": [], "is_done": False},
    ]
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    (sample,) = read_samples(path, tmp_path)
    assert sample.views == ("front",)
    assert sample.grey_u8.shape == (80, 60)
    assert np.isnan(sample.target.eyes[0]).tolist() == [False, False, True, True]
    assert sample.negatives.tolist() == [[2, 40, 20, 20]]


def test_labels_of_which_none_is_finished_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"no finished labels in .*labels.jsonl"):
        read_samples(path, tmp_path)


def test_the_shipped_labels_are_rows() -> None:
    rows = read_labels(LABELS)
    assert len(rows) > 200
    assert sum(len(row.faces) for row in rows.values()) > 1000


def test_each_label_is_found_once() -> None:
    boxes = np.array([[0, 0, 10, 10], [100, 0, 10, 10]], np.float32)
    faces = [
        Sight(0, 0, 10, 10, 0.9, {}),
        Sight(1, 0, 10, 10, 0.8, {}),
        Sight(50, 50, 10, 10, 0.7, {}),
    ]
    assert match(faces, boxes) == [0, None, None]


def test_the_figures_of_a_detector() -> None:
    target = _target((0, 0, 10, 10), (100, 0, 10, 10), eyes=[[3, 4, 7, 4], [103, 4, 107, 4]])
    sample = Sample("one", np.zeros((50, 150), np.uint8), target, ("front", "profile"))
    faces = (
        Sight(0, 0, 10, 10, 0.9, {"left_eye": (4.0, 4.0)}),
        Sight(50, 50, 10, 10, 0.7, {}),
    )
    figures = measure_detector(lambda _: faces, [sample]).as_metrics()
    assert (figures["recall"], figures["precision"]) == (0.5, 0.5)
    assert figures["average_precision"] == 0.5
    assert figures["eye_error"] == pytest.approx(0.1)
    assert (figures["recall_front"], figures["recall_profile"]) == (1.0, 0.0)
