"""Redraw: small drawings grow with sharp lines, soft greys and their own colours."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from anymus.images import RgbU8, resize_rgb
from inference.finish import Finish, enlarge_translation
from inference.redraw import redraw

SIZE_PX, FACTOR = 96, 4


def _drawing(size_px: int) -> RgbU8:
    """Return ink on paper at any size: a ring, a slanted line, a grey area (size, size, 3)."""
    scale = size_px / SIZE_PX
    canvas = np.full((size_px, size_px), 255, np.uint8)
    cv2.rectangle(canvas, (0, round(70 * scale)), (size_px, size_px), 170, -1)
    for points in ([(10, 60), (80, 12)], [(12, 20), (40, 10)]):
        ends = [tuple(round(value * scale) for value in point) for point in points]
        cv2.line(canvas, ends[0], ends[1], 20, round(2.5 * scale), cv2.LINE_AA)
    centre = (round(56 * scale), round(44 * scale))
    cv2.circle(canvas, centre, round(18 * scale), 20, round(2.5 * scale), cv2.LINE_AA)
    return np.repeat(canvas[:, :, None], 3, axis=2)


def _small() -> RgbU8:
    """The large drawing as a network of few pixels would give it: small and soft."""
    small = resize_rgb(_drawing(SIZE_PX * FACTOR), SIZE_PX, SIZE_PX)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), 0.8), np.uint8)


def _steepest(rgb_u8: RgbU8) -> float:
    """The change per pixel at the steepest hundredth of the picture."""
    grey = rgb_u8[:, :, 0].astype(np.float32)
    slopes = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)) / 8
    return float(np.percentile(slopes, 99))


def _error(one: RgbU8, other: RgbU8) -> float:
    return float(np.abs(one.astype(np.int64) - other).mean())


def test_lines_are_sharper_and_nearer_to_the_large_drawing_than_by_interpolation() -> None:
    large = _drawing(SIZE_PX * FACTOR)
    plain = resize_rgb(_small(), SIZE_PX * FACTOR, SIZE_PX * FACTOR)
    drawn = redraw(_small(), FACTOR)
    assert drawn.shape == large.shape
    assert _steepest(drawn) > 1.5 * _steepest(plain)
    assert _error(drawn, large) < 0.7 * _error(plain, large)


def test_flat_areas_keep_their_tone() -> None:
    drawn = redraw(_small(), FACTOR).astype(np.int64)
    assert abs(drawn[-60:-10, 10:-10] - 170).max() <= 10
    assert drawn[10:40, -60:-10].min() >= 250


def test_lines_stay_where_they_were() -> None:
    def centre(rgb_u8: RgbU8) -> NDArray[np.float64]:
        ink = 255.0 - rgb_u8[: rgb_u8.shape[0] * 2 // 3, :, 0]
        rows, columns = np.mgrid[0 : ink.shape[0], 0 : ink.shape[1]]
        moments = [(ink * rows).sum(), (ink * columns).sum()]
        return np.asarray(np.array(moments) / ink.sum() / len(rgb_u8), np.float64)

    large = _drawing(SIZE_PX * FACTOR)
    assert np.abs(centre(redraw(_small(), FACTOR)) - centre(large)).max() < 0.006


def test_colour_is_kept_and_a_tinge_of_it_goes() -> None:
    red = _small().copy()
    red[70:, :, 1:] = 60
    kept = redraw(red, 2)[-20:, 20:-20].reshape(-1, 3).mean(axis=0)
    assert kept[0] - kept[1] > 70

    tinged = np.clip(_small().astype(int) - [0, 6, 3], 0, 255).astype(np.uint8)
    assert not np.ptp(redraw(tinged, 2), axis=2).any()


@pytest.mark.parametrize("factor", [1, 2, 3, 8])
def test_any_factor_and_shape(factor: int) -> None:
    drawing = np.ascontiguousarray(_small()[:40, :33])
    grown = redraw(drawing, factor)
    assert grown.shape == (40 * factor, 33 * factor, 3)
    assert np.array_equal(grown, redraw(drawing, factor))
    if factor == 1:
        assert np.array_equal(grown, drawing)


def test_photos_grow_plainly() -> None:
    grown = enlarge_translation(_small(), Finish(enlarge=2, has_lines=False))
    assert np.array_equal(grown, resize_rgb(_small(), 2 * SIZE_PX, 2 * SIZE_PX))
