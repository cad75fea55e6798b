"""The detectors find what is drawn, where it is drawn; the second look is made where it is due."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import dlib
import numpy as np
import pytest

import anymus.photo_faces
from anymus.detectors import DETECTORS, make_detector
from anymus.drawing.photo import draw_portrait, draw_scene
from anymus.errors import CheckpointError, DeviceError, ParamsError
from anymus.images import RgbU8, resize_rgb
from anymus.looks import Sight, TwoLooks, merge, overlap
from anymus.photo_faces import HOG_FILE, PHOTO_MODELS, DlibHog, SquareRule

OPTIONS = {
    "upsample": 0,
    "second_upsample": 1,
    "second_look_share": 0.125,
    "max_side_px": 1600,
    "min_score": 0.0,
    "min_face_px": 32,
    "max_faces": 40,
}


@dataclass
class Scripted:
    """A model that sees what it is told to, and remembers what it was shown."""

    answers: dict[int, list[Sight]]
    shown: list[tuple[int, int]] = field(default_factory=list)

    def see(self, rgb_u8: RgbU8, doublings: int, min_score: float) -> list[Sight]:
        self.shown.append((doublings, rgb_u8.shape[1]))
        return [sight for sight in self.answers[doublings] if sight.score >= min_score]


def _sight(x: float, side: float, score: float) -> Sight:
    return Sight(x, 10.0, side, side, score, {"nose": (x + side / 2, 10 + side / 2)})


def _look(model: Scripted, side_px: int = 800, **options: float) -> tuple[int, ...]:
    picture = np.zeros((side_px // 2, side_px, 3), np.uint8)
    return tuple(face.box[2] for face in TwoLooks(model, **(OPTIONS | options)).find(picture))  # type: ignore[arg-type]


def test_a_second_look_is_made_where_nothing_or_only_small_faces_were_seen() -> None:
    large, small, hidden = _sight(0, 200, 1.0), _sight(300, 60, 1.0), _sight(500, 50, 0.5)
    for first, looks, expected in (
        ([large, small], 1, (200, 60)),
        ([small], 2, (60, 50)),
        ([], 2, (50,)),
    ):
        model = Scripted({0: first, 1: [hidden]})
        assert _look(model) == expected
        assert len(model.shown) == looks
    model = Scripted({0: [small], 1: [hidden]})
    assert _look(model, second_look_share=0.0) == (60,)
    assert _look(model, second_upsample=0) == (60,)


def test_what_both_looks_saw_is_one_face_the_better_one() -> None:
    model = Scripted({0: [_sight(100, 60, 0.4)], 1: [_sight(104, 56, 1.4), _sight(300, 50, 0.1)]})
    assert _look(model) == (56, 50)
    assert merge([_sight(0, 10, 1), _sight(20, 10, 2)]) == [_sight(20, 10, 2), _sight(0, 10, 1)]


def test_of_a_crowd_the_largest_faces_are_taken() -> None:
    crowd = [_sight(10.0 + 400 * index, 40.0 + index, 1.0) for index in range(45)]
    found = _look(Scripted({0: crowd}), max_faces=40, second_look_share=0.0)
    assert found == tuple(range(84, 44, -1))


def test_overlap_is_intersection_over_union() -> None:
    box = np.array([0.0, 0.0, 10.0, 10.0])
    others = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [10, 0, 10, 10], [2, 2, 5, 4]], np.float64)
    assert overlap(box, others) == pytest.approx([1, 1 / 3, 0, 0.2])
    assert overlap(box, others[:0]).shape == (0,)


def test_boxes_and_points_are_in_pixels_of_the_picture_as_given() -> None:
    model = Scripted({0: [_sight(100, 400, 1.0)]})
    picture = np.zeros((1600, 3200, 3), np.uint8)
    (face,) = TwoLooks(model, **OPTIONS).find(picture)  # type: ignore[arg-type]
    assert model.shown == [(0, 1600)]
    assert face.box == (200, 20, 800, 800)
    assert face.landmarks["nose"] == (600, 420)
    assert _look(model, min_face_px=401) == ()
    row = Scripted({0: [_sight(115 * n, 101 + n, 1) for n in range(7)]})
    assert _look(row, max_faces=2) == (107, 106)


def _make(name: str) -> TwoLooks:
    try:
        detector = make_detector(name, **OPTIONS)
    except DeviceError as error:
        pytest.skip(f"{error.message}: {error.hint}")
    assert isinstance(detector, TwoLooks)
    return detector


@pytest.mark.parametrize("name", PHOTO_MODELS)
def test_every_photo_detector_finds_drawn_people_and_their_eyes(name: str) -> None:
    detector = _make(name)
    found = 0
    for seed in range(4):
        drawing = draw_portrait(np.random.default_rng([3, seed]))
        truth = drawing.faces[0]
        faces = detector.find(drawing.rgb_u8)
        if not faces:
            continue
        found += 1
        face = faces[0]
        eyes_px = math.dist(truth.landmarks["left_eye"], truth.landmarks["right_eye"])
        for eye in ("left_eye", "right_eye"):
            assert math.dist(face.landmarks[eye], truth.landmarks[eye]) < 0.2 * eyes_px
        assert 1.6 * eyes_px < face.box[2] < 3.4 * eyes_px  # dlib's square, whoever found it
        middle = face.box[0] + face.box[2] / 2
        assert abs(middle - truth.box[0] - truth.box[2] / 2) < 0.25 * face.box[2]
    assert found >= 3


def test_a_group_of_small_faces_is_found_whole() -> None:
    canvas = np.full((420, 1200, 3), 150, np.uint8)
    for index in range(8):
        portrait = draw_portrait(np.random.default_rng([5, index]), 400, 500).rgb_u8
        x, y = 20 + 290 * (index % 4), 10 + 205 * (index // 4)
        canvas[y : y + 150, x : x + 120] = resize_rgb(portrait, 120, 150)
    once = make_detector("dlib_hog", **(OPTIONS | {"second_upsample": 0})).find(canvas)
    assert len(make_detector("dlib_hog", **OPTIONS).find(canvas)) >= 7 > len(once)
    scene = draw_scene(np.random.default_rng(1)).rgb_u8
    assert make_detector("dlib_hog", **OPTIONS).find(scene) == ()


def test_a_square_follows_from_another_detectors_box() -> None:
    assert SquareRule(share=0.5, drop=0.1).apply(0, 0, 100, 100) == (25, 30, 50)


def test_an_unknown_detector_is_named_with_those_there_are() -> None:
    with pytest.raises(ParamsError, match="'best'") as caught:
        make_detector("best", **OPTIONS)
    assert all(name in str(caught.value.hint) for name in DETECTORS)


def test_the_unpacked_detector_is_the_one_in_dlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dlib.get_frontal_face_detector().save(str(tmp_path / "dlib.svm"))
    assert HOG_FILE.read_bytes() == (tmp_path / "dlib.svm").read_bytes()
    (tmp_path / "cut.svm").write_bytes(HOG_FILE.read_bytes()[:-1])
    for path in (tmp_path / "cut.svm", tmp_path / "missing.svm"):
        monkeypatch.setattr(anymus.photo_faces, "HOG_FILE", path)
        with pytest.raises(CheckpointError, match=path.name):
            DlibHog()
