"""Faces: found, small ones too, and cut out wherever they lie."""

import math

import cv2
import numpy as np
import pytest

from anymus.drawing.photo import draw_portrait
from anymus.framing import Framing, cut
from anymus.images import RgbU8, resize_rgb
from anymus.manifest import Face
from inference.faces import FaceFinder, centre_square, cut_face

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


@pytest.mark.parametrize(("x", "y"), [(0, 0), (399, 299), (200, 2), (5, 150)])
def test_face_at_the_border_is_cut(x: float, y: float) -> None:
    picture = _smooth_picture(300, 400)
    crop, matrix = cut_face(picture, _face(x, y, 40), "photo", FRAMING)
    assert crop.shape == (128, 128, 3)
    assert np.array_equal(crop, cut(picture, matrix, 128))


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
