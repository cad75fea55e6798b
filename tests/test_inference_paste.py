"""Paste: what comes back unchanged leaves the picture as it was, and no seam shows."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from test_inference_faces import _face

from anymus.framing import Framing, cut
from anymus.images import RgbU8
from anymus.manifest import Face
from inference.faces import cut_face
from inference.finish import Finish
from inference.options import PasteColour
from inference.paste import Pasted, paste_faces

FRAMING = Framing(size_px=128, face_share=0.55, eye_line=0.46)
KEEP = Finish(paste_colour="keep")


def _smooth_picture(height_px: int, width_px: int, seed: int = 11) -> RgbU8:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_CUBIC))


def _pasted(picture: RgbU8, face: Face, after: RgbU8 | None = None) -> Pasted:
    """Return a face of the picture with its translation; None: itself."""
    crop, matrix = cut_face(picture, face, "photo", FRAMING)
    return Pasted(crop, crop if after is None else after, matrix)


def _flat(shade: int, size_px: int = 128) -> RgbU8:
    return np.full((size_px, size_px, 3), shade, np.uint8)


def _difference(one: RgbU8, other: RgbU8) -> NDArray[np.int64]:
    return np.abs(one.astype(np.int64) - other)


@pytest.mark.parametrize("eyes_px", [18, 32, 70])
@pytest.mark.parametrize("angle", [0.0, 0.4])
@pytest.mark.parametrize("colour", ["match", "keep"])
def test_unchanged_crop_pastes_back_as_the_picture(
    eyes_px: float, angle: float, colour: PasteColour
) -> None:
    picture = _smooth_picture(300, 400)
    face = _pasted(picture, _face(200, 140, eyes_px, angle))
    pasted = paste_faces(picture, [face], Finish(paste_colour=colour))
    assert _difference(pasted, picture).max() <= 4
    assert _difference(pasted, picture).mean() < 0.5


def test_paste_is_soft_and_stays_within_the_crop() -> None:
    picture = np.zeros((300, 400, 3), np.uint8)
    face = _pasted(picture, _face(200, 140, 40), _flat(200))
    pasted = paste_faces(picture, [face], KEEP)
    assert (cut(pasted, face.matrix, 128)[44:84, 44:84] == 200).all()
    assert np.abs(np.diff(pasted[:, :, 0].astype(int), axis=1)).max() < 30


@pytest.mark.parametrize("colour", ["match", "keep", "picture"])
def test_outside_the_mask_every_bit_is_the_picture(colour: PasteColour) -> None:
    picture = np.random.default_rng(5).integers(0, 256, (300, 400, 3), np.uint8)
    faces = [
        _pasted(picture, _face(x, y, eyes_px, angle), _smooth_picture(128, 128))
        for x, y, eyes_px, angle in ((90, 120, 25, 0.2), (230, 140, 40, 0), (395, 290, 30, -0.5))
    ]
    inside = np.zeros((300, 400), bool)
    for face in faces:
        corners = np.array([[0, 0, 1], [128, 0, 1], [128, 128, 1], [0, 128, 1]])
        outline = corners @ cv2.invertAffineTransform(face.matrix).T
        filled = np.zeros((300, 400), np.uint8)
        cv2.fillPoly(filled, [np.rint(outline).astype(np.int32)], 1)
        inside |= filled.astype(bool)
    pasted = paste_faces(picture, faces, Finish(paste_colour=colour, screentone_px=5))
    changed = (pasted != picture).any(axis=2)
    assert inside.mean() < 0.5
    assert not changed[~inside].any()
    assert changed[inside].mean() > 0.5


def test_no_seam_shows_around_a_white_sheet() -> None:
    picture = _smooth_picture(300, 400) // 3
    face = _pasted(picture, _face(200, 140, 40), _flat(255))
    steps = {}
    for colour in ("match", "keep"):
        pasted = paste_faces(picture, [face], Finish(paste_colour=colour))
        crop = cut(pasted, face.matrix, 128).astype(int)
        assert (crop[56:72, 56:72] > 250).all()  # the middle keeps its own colours
        seam = np.abs(crop - cut(picture, face.matrix, 128))[10:118, 12:18]
        steps[colour] = seam.mean()
    assert steps["match"] < 0.25 * steps["keep"]


def test_a_drawing_takes_on_the_colours_of_the_picture() -> None:
    picture = np.full((300, 400, 3), (200, 90, 60), np.uint8)
    drawing = _flat(255)
    drawing[60:70, 40:90] = 0
    face = _pasted(picture, _face(200, 140, 40), drawing)
    crop = cut(paste_faces(picture, [face], Finish(paste_colour="picture")), face.matrix, 128)
    assert crop[64, 64].max() < 20
    paper = crop[80, 64].astype(int)
    assert np.abs(paper - (200 * 1.1 + 10, 90 * 1.1 + 10, 60 * 1.1 + 10)).max() <= 2


def test_strength_is_the_share_of_the_translation() -> None:
    picture = np.full((300, 400, 3), 100, np.uint8)
    face = _pasted(picture, _face(200, 140, 40), _flat(200))
    for strength, shade in ((0.0, 100), (0.5, 150), (1.0, 200)):
        pasted = paste_faces(picture, [face], Finish(strength=strength, paste_colour="keep"))
        assert pasted[140, 200].tolist() == [shade] * 3
    assert np.array_equal(paste_faces(picture, [face], Finish(strength=0.0)), picture)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (399, 299), (200, 2), (5, 150)])
def test_face_at_the_border_is_pasted(x: float, y: float) -> None:
    picture = _smooth_picture(300, 400)
    pasted = paste_faces(picture, [_pasted(picture, _face(x, y, 40))])
    assert _difference(pasted, picture).max() <= 6


def test_crop_outside_the_picture_changes_nothing() -> None:
    picture = _smooth_picture(60, 60)
    matrix = np.array([[1.0, 0.0, 500.0], [0.0, 1.0, 500.0]])
    face = Pasted(_flat(0, 64), _flat(0, 64), matrix)
    assert np.array_equal(paste_faces(picture, [face]), picture)


def test_very_long_picture_is_pasted() -> None:
    strip = np.zeros((40_000, 200, 3), np.uint8)
    strip[30_000:30_200] = 180
    crop, matrix = cut_face(strip, _face(100, 30_100, 30), "manga", FRAMING)
    pasted = paste_faces(strip, [Pasted(crop, crop, matrix)])
    assert np.array_equal(pasted[30_100, 100], strip[30_100, 100])


def test_where_faces_overlap_each_keeps_its_middle_in_any_order() -> None:
    picture = np.full((300, 400, 3), 20, np.uint8)
    faces = [
        _pasted(picture, _face(150, 140, 40), _flat(120)),
        _pasted(picture, _face(225, 140, 20), _flat(250)),
    ]
    pasted = paste_faces(picture, faces, KEEP)
    assert np.array_equal(pasted, paste_faces(picture, faces[::-1], KEEP))
    assert pasted[140, 150].tolist() == [120] * 3
    assert pasted[140, 225].tolist() == [250] * 3  # the small one, though the large crop covers it
    steps = np.abs(np.diff(pasted[140, :, 0].astype(int)))
    assert steps.max() < 60
    assert pasted[140, 150:225, 0].min() >= 119  # nothing of the dark picture between them
