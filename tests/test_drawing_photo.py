"""The photo-like renderer: the same seed gives the same bytes, and a real detector agrees."""

import dlib
import numpy as np
import pytest

from anymus.drawing.photo import draw_couple, draw_portrait, draw_scene
from anymus.drawing.photo_person import STYLE_ODDS, build_style
from anymus.drawing.truth import Drawing, FaceTruth


def _rng(index: int, seed: int = 20) -> np.random.Generator:
    return np.random.default_rng([seed, index])


@pytest.fixture(scope="module")
def portraits() -> list[Drawing]:
    return [draw_portrait(_rng(index)) for index in range(24)]


def _overlap(found: dlib.rectangle, face: FaceTruth) -> float:
    x, y, w, h = face.box
    true = dlib.rectangle(x, y, x + w - 1, y + h - 1)
    common = true.intersect(found).area()
    return float(common / (true.area() + found.area() - common))


@pytest.mark.parametrize("draw", [draw_portrait, draw_couple, draw_scene])
def test_same_seed_same_bytes(draw):
    first, again, other = draw(_rng(3)), draw(_rng(3)), draw(_rng(4))
    assert first.rgb_u8.tobytes() == again.rgb_u8.tobytes()
    assert first.faces == again.faces
    assert first.rgb_u8.tobytes() != other.rgb_u8.tobytes()


@pytest.mark.parametrize(
    ("draw", "size", "people"),
    [
        (draw_portrait, (200, 260), 1),
        (draw_portrait, (333, 301), 1),
        (draw_couple, (401, 299), 2),
        (draw_scene, (161, 240), 0),
    ],
)
def test_size_is_honoured(draw, size, people):
    drawing = draw(_rng(1), width_px=size[0], height_px=size[1])
    assert drawing.rgb_u8.shape == (size[1], size[0], 3)
    assert drawing.rgb_u8.dtype == np.uint8
    assert len(drawing.faces) == people


def test_truth_is_a_face(portraits):
    for drawing in portraits:
        (face,) = drawing.faces
        x, y, w, h = face.box
        rows, cols = drawing.rgb_u8.shape[:2]
        assert 0 <= x < x + w <= cols
        assert 0 <= y < y + h <= rows
        assert 0.6 < w / h < 1.1
        marks = face.landmarks
        for mark in marks.values():
            assert x < mark[0] < x + w
            assert y < mark[1] < y + h
        assert marks["left_eye"][0] < marks["right_eye"][0]
        assert marks["mouth_left"][0] < marks["mouth_right"][0]
        for eye in (marks["left_eye"], marks["right_eye"]):
            assert eye[1] < marks["nose"][1] < max(marks["mouth_left"][1], marks["mouth_right"][1])


def test_couple_stands_left_and_right():
    for index in range(4):
        left, right = draw_couple(_rng(index)).faces
        assert left.box[0] + left.box[2] <= right.box[0]


def test_detector_finds_portraits_where_truth_says(portraits):
    detector = dlib.get_frontal_face_detector()
    good = 0
    for drawing in portraits:
        found = detector(drawing.rgb_u8, 0)
        good += len(found) == 1 and _overlap(found[0], drawing.faces[0]) >= 0.4
    assert good >= 22


def test_detector_finds_nobody_in_scenes():
    detector = dlib.get_frontal_face_detector()
    empty = sum(len(detector(draw_scene(_rng(index)).rgb_u8, 0)) == 0 for index in range(16))
    assert empty >= 15


def test_turned_head_moves_the_nose(portraits):
    """The nose lies to the side of the eyes' middle to which the yaw says that it is turned."""
    for drawing in portraits:
        face = drawing.faces[0]
        if abs(int(face.tags["yaw"])) < 8 or abs(int(face.tags["roll"])) > 6:
            continue
        marks = face.landmarks
        aside = marks["nose"][0] - 0.5 * (marks["left_eye"][0] + marks["right_eye"][0])
        assert np.sign(aside) == np.sign(int(face.tags["yaw"]))


def test_people_differ(portraits):
    for name, kinds in (("skin", 5), ("hair", 7), ("garment", 4), ("sex", 2), ("glasses", 2)):
        assert len({drawing.faces[0].tags[name] for drawing in portraits}) >= kinds


def test_every_style_can_be_built():
    for sex, odds in STYLE_ODDS.items():
        for name in odds:
            assert build_style(_rng(0), name, sex).name == name
