"""Content: faces are counted, eyes measured, and what is not installed is left out."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import anymus.photo_faces
from anymus.drawing.manga import draw_bust
from anymus.drawing.photo import draw_portrait
from anymus.errors import DeviceError
from anymus.face_identity import FaceIdentity
from anymus.framing import FACE_PER_EYES, Framing, crop_transform, cut
from anymus.images import RgbU8, resize_rgb
from anymus.manifest import Face, ImageRecord, write_manifest
from training.content import LOOK_PX, Content, Eyes, Look, Tools, eye_drift, load_tools, look
from training.content import read_eyes as read_known
from training.pair import Translated

SIDE_PX = 64
LEVEL: Eyes = np.array([[0.4, 0.5], [0.6, 0.5]])


class _Marks:
    """Finds a face in pictures whose first pixel is not black; that pixel says how eyes moved."""

    def find(self, rgb_u8: RgbU8) -> tuple[Face, ...]:
        red, green, _ = (int(value) for value in rgb_u8[4, 4])
        if red == 0:
            return ()
        points = {
            name: (x * LOOK_PX + green, y * LOOK_PX)
            for name, (x, y) in zip(("left_eye", "right_eye"), LEVEL, strict=True)
        }
        return (Face(box=(0, 0, 9, 9), score=1.0, landmarks=points if red > 100 else {}),)


def _picture(red: int, green: int = 0) -> RgbU8:
    return np.full((SIDE_PX, SIDE_PX, 3), (red, green, 0), np.uint8)


def _content(tools: Tools, known: Mapping[str, Eyes]) -> Content:
    return Content("a", tools, known, Path("data"))


def _batch(translated: list[RgbU8]) -> Translated:
    count = len(translated)
    paths = [Path(f"data/testA/{index}.png") for index in range(count)]
    real = [_picture(200)] * count
    return Translated(paths, real, translated, real, [0.0] * count, [0.0] * count)


def test_faces_are_counted_and_eyes_measured_in_face_widths() -> None:
    known = {f"testA/{index}.png": LEVEL for index in range(4)}
    content = _content(Tools({"b": _Marks()}, None), known)
    content.see(_batch([_picture(200), _picture(200, 4)]))
    content.see(_batch([_picture(50), _picture(0)]))  # no eyes; no face
    found = content.figures()
    assert found["face_share_b"] == 0.75
    assert 0.3 < float(found["face_share_b_low"]) < 0.75 < float(found["face_share_b_high"]) < 0.96
    assert found["face_share_b_identity"] == 1
    assert found["face_detector_b"] == "manga_faces"
    assert found["eye_drift_b_n"] == 2
    width = 0.2 * FACE_PER_EYES["photo"]
    assert found["eye_drift_b"] == pytest.approx((0 + 4 / LOOK_PX / width) / 2)
    assert found["eye_drift_b_p95"] == pytest.approx(0.95 * 4 / LOOK_PX / width)
    assert found["eye_drift_b_within"] == 0.5  # of all four: no face keeps no eyes
    assert found["eye_drift_b_identity"] == 0
    assert "face_share_a_real" not in found


def test_without_known_eyes_the_sources_own_detector_says_where_they_are() -> None:
    content = _content(Tools({"a": _Marks(), "b": _Marks()}, None), {})
    content.see(_batch([_picture(200, 8)]))
    found = content.figures()
    assert found["face_share_a_real"] == 1
    assert found["eye_drift_b"] == pytest.approx(8 / LOOK_PX / (0.2 * FACE_PER_EYES["photo"]))
    blind = _content(Tools({"b": _Marks()}, None), {})
    blind.see(_batch([_picture(200, 8)]))
    assert blind.figures()["eye_drift_b_n"] == 0
    assert "eye_drift_b" not in blind.figures()


def test_drift_is_a_share_of_the_face_and_not_of_the_picture() -> None:
    moved = LEVEL + np.array([0.0, 0.01])
    near = 0.5 + (LEVEL - 0.5) / 2
    drift = eye_drift(LEVEL, moved, "photo")
    assert drift == pytest.approx(0.01 / (0.2 * FACE_PER_EYES["photo"]))
    assert eye_drift(near, near + np.array([0.0, 0.01]), "photo") == pytest.approx(2 * drift)
    assert eye_drift(LEVEL, moved, "manga") == pytest.approx(0.01 / (0.2 * FACE_PER_EYES["manga"]))


def test_eyes_come_from_the_manifest_in_shares_of_the_crop(tmp_path: Path) -> None:
    eyes = {"left_eye": (32.0, 64.0), "right_eye": (96.0, 64.0)}
    sized = {"width_px": 128, "height_px": 128}
    rows = [
        ImageRecord(id="1" * 64, domain="photo", file="testA/x.png", landmarks=eyes, **sized),
        ImageRecord(id="2" * 64, domain="photo", file="testA/y.png", **sized),
    ]
    assert read_known(tmp_path) == {}
    write_manifest(tmp_path, rows)
    found = read_known(tmp_path)
    assert list(found) == ["testA/x.png"]
    assert found["testA/x.png"].tolist() == [[0.25, 0.5], [0.75, 0.5]]


def _crop(drawing: object, kind: str) -> tuple[RgbU8, Eyes]:
    """Return a drawn face framed as `anymus crop` does, and its eyes in shares of the crop."""
    truth = drawing.faces[0]
    points = {name: truth.landmarks[name] for name in ("left_eye", "right_eye")}
    face = Face(box=tuple(round(side) for side in truth.box), score=1.0, landmarks=points)
    matrix = crop_transform(face, kind, Framing(size_px=128, face_share=0.55, eye_line=0.46))
    eyes = np.array([matrix @ (*points[name], 1.0) for name in ("left_eye", "right_eye")]) / 128
    return cut(drawing.rgb_u8, matrix, 128), eyes


@pytest.mark.parametrize("kind", ["photo", "manga"])
def test_real_detectors_find_drawn_faces_and_their_eyes_at_64_px(kind: str) -> None:
    tools = load_tools()
    side = "a" if kind == "photo" else "b"
    draw = draw_portrait if kind == "photo" else draw_bust
    looks = []
    for seed in range(3):
        crop, eyes = _crop(draw(np.random.default_rng(seed)), kind)
        looks.append((look(tools.detectors[side], resize_rgb(crop, 64, 64)), eyes))
    seen = [(one.eyes, eyes) for one, eyes in looks if one.eyes is not None]
    assert len(seen) >= 2
    assert np.median([eye_drift(eyes, found, kind) for found, eyes in seen]) < 0.05
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    assert look(tools.detectors[side], noise) == Look(has_face=False, eyes=None)


def test_a_face_is_nearer_to_itself_than_to_others() -> None:
    content = _content(Tools({}, FaceIdentity()), {})
    crops = [_crop(draw_portrait(np.random.default_rng(seed)), "photo") for seed in (0, 1, 2)]
    paths = [Path(f"data/testA/{index}.png") for index in range(3)]
    content.known = {f"testA/{index}.png": eyes for index, (_, eyes) in enumerate(crops)}
    real = [crop for crop, _ in crops]
    softer = [resize_rgb(resize_rgb(crop, 64, 64), 128, 128) for crop in real]
    zeros = [0.0] * 3
    content.see(Translated(paths, real, real, softer, zeros, zeros))
    found = content.figures()
    assert set(found) == {
        "cycle_face_distance_a", "cycle_face_distance_a_others", "cycle_face_kept_a",
    }  # fmt: skip
    assert float(found["cycle_face_distance_a"]) < float(found["cycle_face_distance_a_others"])
    assert found["cycle_face_kept_a"] == 1


def test_what_is_not_installed_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> NDArray[np.float64]:
        raise DeviceError("finding faces needs dlib, which is not installed", "pip install dlib")

    monkeypatch.setattr(anymus.photo_faces, "import_dlib", fail)
    monkeypatch.setattr("anymus.face_identity.import_dlib", fail)
    anymus.detectors._load.cache_clear()
    monkeypatch.setattr(logging.getLogger("anymus"), "propagate", True)
    with caplog.at_level(logging.WARNING, "anymus"):
        tools = load_tools()
    anymus.detectors._load.cache_clear()
    assert set(tools.detectors) == {"b"}
    assert tools.identity is None
    assert "no face_share_a, no eye_drift_a" in caplog.text
    assert "no cycle_face_distance_a" in caplog.text
