"""The detectors of drawn faces that are shipped, and a short training of another one."""

import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from anymus import drawn_faces
from anymus.detectors import FaceDetector, make_detector
from anymus.drawn_faces import SHIPPED_SHA256, WEIGHTS_FOLDER, see_faces
from anymus.errors import CheckpointError
from anymus.files import sha256_file
from curation.face_samples import Sample, draw_sample, read_samples
from curation.measure_detector import measure_detector, network_finder
from curation.train_detector import Recipe, train_detector

NAMES = sorted(SHIPPED_SHA256)
LABELS = Path(__file__).parent.parent / "curation" / "hand_labels" / "manga_faces.jsonl"
PAGES_DIR = os.environ.get("ANYMUS_PAGES_DIR")


def _detector(name: str, **changes: float) -> FaceDetector:
    options = {"upsample": 0, "second_upsample": 0, "max_side_px": 1024, "max_faces": 40}
    options |= {"second_look_share": 0.0, "min_score": 0.0, "min_face_px": 16} | changes
    return make_detector(Path(name).stem, **options)


@cache
def _fresh(index: int) -> Sample:
    sample = draw_sample(2024, index)
    return replace(sample, views=("drawn",) * len(sample.target.boxes))


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_weights_are_small_whole_and_described(name: str) -> None:
    path = WEIGHTS_FOLDER / name
    assert path.stat().st_size < 10_000_000
    assert sha256_file(path) == SHIPPED_SHA256[name]
    assert SHIPPED_SHA256[name] in (WEIGHTS_FOLDER / "drawn_faces.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_weights_find_fresh_drawings_and_their_eyes(name: str) -> None:
    figures = measure_detector(
        network_finder(WEIGHTS_FOLDER / name),
        [_fresh(index) for index in range(16)],
    )
    assert figures.labelled > 30
    assert figures.recall > 0.85
    assert figures.precision > 0.85
    assert figures.eye_error < 0.05


@pytest.mark.parametrize("name", NAMES)
def test_boxes_and_eyes_are_in_the_pixels_of_the_picture_as_given(name: str) -> None:
    sample = next(s for s in map(_fresh, range(50)) if s.grey_u8.shape[0] < 600)
    rgb = np.repeat(sample.grey_u8[:, :, None], 3, axis=2)
    big = np.repeat(np.repeat(rgb, 4, axis=0), 4, axis=1)
    (small_face, *_), (big_face, *_) = (
        _detector(name, max_side_px=512).find(picture) for picture in (rgb, big)
    )
    assert np.array(big_face.box) / 4 == pytest.approx(np.array(small_face.box), abs=6)
    for eye, (x, y) in small_face.landmarks.items():
        assert np.array(big_face.landmarks[eye]) / 4 == pytest.approx((x, y), abs=6)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_found_on_blank_paper_of_any_shape(name: str) -> None:
    for shape in ((1, 1), (3, 900), (700, 500)):
        blank = np.full((*shape, 3), 255, np.uint8)
        assert _detector(name, second_upsample=1).find(blank) == ()


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = NAMES[0]
    content = bytearray((WEIGHTS_FOLDER / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(drawn_faces, "WEIGHTS_FOLDER", tmp_path)
    with pytest.raises(CheckpointError, match="damaged"):
        see_faces(tmp_path / name, np.zeros((64, 64), np.uint8))


@pytest.mark.parametrize("content", [b"", b"<html>"])
def test_a_foreign_file_is_no_detector(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.onnx"
    with pytest.raises(CheckpointError, match="no detector"):
        see_faces(path, np.zeros((64, 64), np.uint8))
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="no detector"):
        see_faces(path, np.zeros((64, 64), np.uint8))


def test_a_short_training_writes_the_same_usable_file_twice(tmp_path: Path) -> None:
    hashes = [
        train_detector(
            5, [_fresh(3)], tmp_path / f"{turn}.onnx", Recipe(2, batch_size=2, drawn_count=2)
        ).sha256
        for turn in range(2)
    ]
    assert hashes[0] == hashes[1]
    assert see_faces(tmp_path / "0.onnx", _fresh(3).grey_u8, 0.5, 0.5) == []


@pytest.mark.skipif(PAGES_DIR is None, reason="ANYMUS_PAGES_DIR names no folder of real pages")
def test_the_labelled_real_pages_are_found_again() -> None:
    pages = [s for s in read_samples(LABELS, Path(str(PAGES_DIR))) if "openmantra" in s.name][::4]
    figures = measure_detector(network_finder(WEIGHTS_FOLDER / "manga_faces.onnx"), pages)
    assert figures.recall > 0.8
    assert figures.precision > 0.85
