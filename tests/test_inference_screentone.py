"""Screentone: greys become dots of the same mean, lines and paper stay, nothing aliases."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from anymus.images import RgbU8
from inference.screentone import lay_screentone


def _flat(grey: float, height_px: int = 240, width_px: int = 240) -> RgbU8:
    return np.full((height_px, width_px, 3), round(grey), np.uint8)


def _local_means(rgb_u8: RgbU8, period_px: float) -> NDArray[np.float32]:
    """Return means over some dots around each pixel, borders left out."""
    margin = round(4 * period_px)
    blurred = cv2.GaussianBlur(rgb_u8[:, :, 0].astype(np.float32), (0, 0), 1.5 * period_px)
    return np.asarray(blurred[margin:-margin, margin:-margin])


@pytest.mark.parametrize("period_px", [3, 4.3, 6, 11])
@pytest.mark.parametrize("grey", [70, 128, 200])
def test_dots_keep_the_mean_and_do_not_beat(grey: int, period_px: float) -> None:
    means = _local_means(lay_screentone(_flat(grey), period_px), period_px)
    assert abs(means.mean() - grey) < 3
    assert means.std() < 1.5  # a moire would be slow waves of the mean


@pytest.mark.parametrize("period_px", [4, 6.5, 10])
def test_neighbouring_dots_are_a_period_apart(period_px: float) -> None:
    screened = lay_screentone(_flat(190), period_px)[:, :, 0].astype(np.float64)
    power = np.abs(np.fft.rfft2(screened - screened.mean())) ** 2
    y, x = np.unravel_index(np.argmax(power), power.shape)
    frequency = np.hypot(min(y, 240 - y), x) / 240
    assert frequency == pytest.approx(1 / period_px, rel=0.04)


def test_black_and_white_stay_as_they_are() -> None:
    drawing = _flat(255)
    drawing[:, 60:63] = 0  # a line narrower than a dot's period
    drawing[100:180, 100:180] = 0  # a black area
    screened = lay_screentone(drawing, 6)
    assert np.array_equal(screened, drawing)


def test_a_line_over_tone_is_unbroken_and_a_highlight_white() -> None:
    drawing = _flat(150)
    drawing[:, 60:63] = 10
    drawing[80:83, 100:180] = 255
    screened = lay_screentone(drawing, 6)
    assert screened[:, 61].max() == 0
    assert screened[81, 105:175].min() == 255


def test_an_edge_stays_in_its_place() -> None:
    drawing = _flat(255)
    drawing[:, 120:] = 150
    screened = lay_screentone(drawing, 5)[:, :, 0]
    assert screened[:, :118].min() == 255
    assert screened[:, 122:128].mean() < 220


def test_the_soft_edge_of_an_enlarged_drawing_becomes_crisp() -> None:
    drawing = _flat(255)
    drawing[:, 120:] = 0
    soft = np.asarray(cv2.GaussianBlur(drawing, (0, 0), 4), np.uint8)
    assert ((soft > 20) & (soft < 235)).any(axis=2).sum(axis=1).max() > 8
    screened = lay_screentone(soft, 6)
    between = ((screened > 20) & (screened < 235)).any(axis=2)
    assert between.sum(axis=1).max() <= 2
    assert np.array_equal(screened[:, :117], drawing[:, :117])
    assert np.array_equal(screened[:, 123:], drawing[:, 123:])


def test_bands_and_parts_lie_on_one_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, columns = np.mgrid[0:400, 0:90]
    grey = (128 + 60 * np.sin(rows / 37) * np.cos(columns / 23)).astype(np.uint8)
    drawing = np.repeat(grey[:, :, None], 3, axis=2)
    whole = lay_screentone(drawing, 5)
    monkeypatch.setattr("inference.screentone._BAND_PIXELS", 90 * 64)
    assert np.abs(lay_screentone(drawing, 5).astype(int) - whole).max() <= 1
    part = lay_screentone(drawing[100:, 20:], 5, (20, 100))
    assert np.abs(part[40:, 40:].astype(int) - whole[140:, 60:]).max() <= 1


def test_colour_becomes_black_and_white() -> None:
    drawing = np.full((60, 60, 3), (200, 60, 60), np.uint8)
    screened = lay_screentone(drawing, 5)
    assert (screened.min(axis=2) == screened.max(axis=2)).all()
    assert set(np.unique(screened)) >= {0, 255}
