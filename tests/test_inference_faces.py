"""Faces: what is cut out and put back unchanged leaves the picture as it was."""

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from anymus.drawing.photo import draw_portrait
from anymus.framing import Framing, cut
from anymus.images import RgbU8, resize_rgb
from anymus.manifest import Face
from inference.faces import FaceFinder, centre_square, cut_face, paste_faces

FRAMING = Framing(size_px=128, face_share=0.55, eye_line=0.46)


def _smooth_picture(height_px: int, width_px: int) -> RgbU8:
    coarse = np.random.default_rng(11).integers(0, 256, (9, 9, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_CUBIC))


def _face(x: float, y: float, eyes_px: float, angle: float = 0.0) -> Face:
    """Return a face whose eyes lie around (x, y), turned by an angle."""
    dx, dy = eyes_px / 2 * math.cos(angle), eyes_px / 2 * math.sin(angle)
    side = 2 * eyes_px
    return Face(
        box=(round(x - side / 2), round(y - 0.4 * side), round(side), round(side)),
        score=1.0,
        landmarks={"left_eye": (x - dx, y - dy), "right_eye": (x + dx, y + dy)},
    )


def _difference(one: RgbU8, other: RgbU8) -> NDArray[np.int64]:
    return np.abs(one.astype(np.int64) - other)


@pytest.mark.parametrize("eyes_px", [18, 32, 70])
@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_unchanged_crop_pastes_back_as_the_picture(eyes_px: float, angle: float) -> None:
    picture = _smooth_picture(300, 400)
    crop, matrix = cut_face(picture, _face(200, 140, eyes_px, angle), "photo", FRAMING)
    pasted = paste_faces(picture, [crop], [matrix])
    assert _difference(pasted, picture).max() <= 4
    assert _difference(pasted, picture).mean() < 0.5


def test_paste_is_soft_and_stays_within_the_crop() -> None:
    picture = np.zeros((300, 400, 3), np.uint8)
    _, matrix = cut_face(picture, _face(200, 140, 40), "photo", FRAMING)
    pasted = paste_faces(picture, [np.full((128, 128, 3), 200, np.uint8)], [matrix])
    crop_of_pasted = cut(pasted, matrix, 128)
    assert (crop_of_pasted[44:84, 44:84] == 200).all()
    outside = paste_faces(picture, [np.full((128, 128, 3), 200, np.uint8)], [matrix])
    inverse = cv2.invertAffineTransform(matrix)
    left, top = inverse @ (0, 0, 1)
    right, bottom = inverse @ (128, 128, 1)
    outside[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)] = 0
    assert not outside.any()
    assert np.abs(np.diff(pasted[:, :, 0].astype(int), axis=1)).max() < 30


@pytest.mark.parametrize(("x", "y"), [(0, 0), (399, 299), (200, 2), (5, 150)])
def test_face_at_the_border_is_cut_and_pasted(x: float, y: float) -> None:
    picture = _smooth_picture(300, 400)
    crop, matrix = cut_face(picture, _face(x, y, 40), "photo", FRAMING)
    assert crop.shape == (128, 128, 3)
    assert np.array_equal(crop, cut(picture, matrix, 128))
    pasted = paste_faces(picture, [crop], [matrix])
    assert _difference(pasted, picture).max() <= 6


def test_crop_outside_the_picture_changes_nothing() -> None:
    picture = _smooth_picture(60, 60)
    matrix = np.array([[1.0, 0.0, 500.0], [0.0, 1.0, 500.0]])
    assert np.array_equal(
        paste_faces(picture, [np.zeros((64, 64, 3), np.uint8)], [matrix]), picture
    )


def test_very_long_picture_is_cut() -> None:
    strip = np.zeros((40_000, 200, 3), np.uint8)
    strip[30_000:30_200] = 180
    crop, matrix = cut_face(strip, _face(100, 30_100, 30), "manga", FRAMING)
    assert crop[64, 64].tolist() == [180, 180, 180]
    assert np.array_equal(paste_faces(strip, [crop], [matrix])[30_100, 100], strip[30_100, 100])


def test_later_faces_lie_over_earlier_ones() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    matrix = np.array([[1.0, 0.0, -18.0], [0.0, 1.0, -18.0]])
    crops = [np.full((64, 64, 3), shade, np.uint8) for shade in (50, 250)]
    assert paste_faces(picture, crops, [matrix, matrix])[50, 50, 0] == 250


@pytest.mark.parametrize("shape", [(50, 90), (90, 50), (1, 7), (64, 64)])
def test_centre_square_takes_the_middle(shape: tuple[int, int]) -> None:
    picture = np.zeros((*shape, 3), np.uint8)
    picture[shape[0] // 2, shape[1] // 2] = 255
    square = centre_square(picture, 64)
    assert square.shape == (64, 64, 3)
    assert square.any()


def test_small_faces_beside_a_larger_one_are_found() -> None:
    canvas = np.full((1000, 1600, 3), 128, np.uint8)
    for index, side_px in enumerate([360, 170, 170, 170]):
        portrait = draw_portrait(np.random.default_rng([1, 0]), 320, 320).rgb_u8
        small = resize_rgb(portrait, side_px, side_px)
        canvas[300 : 300 + side_px, 380 * index : 380 * index + side_px] = small
    assert len(FaceFinder("photo").find(canvas)) == 4
