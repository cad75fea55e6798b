"""Screentone: the grey tones of a drawing laid in dots, its ink and its paper left crisp."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.drawing.manga_ink import screentone
from anymus.images import RgbU8, to_grey

# Dots are drawn this much finer, and averaged: each edge pixel is as dark as it is covered.
_OVERSAMPLING = 4
_BAND_PIXELS = 1 << 20
# How far a pixel's surroundings have a say in it: three openings and a blur.
_REACH_PERIODS = 6.0
_EDGE_SIGMA_PX = 0.7
# Tones (0 black, 1 white) up to the first are ink, from the second on paper.
_INK_TONE, _PAPER_TONE = 0.16, 0.9
# A grey that changes by more than this over a dot's period is an edge and no tone.
_STEEPEST_TONE = 0.3
# Line work is black below a middle grey: a lighter one in thin lines, a darker in highlights.
_LINE_GREY, _IN_THIN_LINES, _IN_HIGHLIGHTS = 0.5, 0.15, -0.1
_LEAST_SLOPE = 0.02
# How far a thin mark stands out from the tone around it: not a mark at all, wholly one.
_MARK_CONTRAST = (0.1, 0.3)

Tone = NDArray[np.float32]


def lay_screentone(rgb_u8: RgbU8, period_px: float, origin_px: tuple[int, int] = (0, 0)) -> RgbU8:
    """Return the picture (H, W, 3) in black and white, its greys as dots of a 45 degree screen.

    Areas of grey are screened so that their mean stays what it was. What is narrower than a dot's
    period cannot be drawn in dots: lines and the edges of areas become black and white, and keep
    their place and their soft pixels. A coloured picture is taken by its luma. Large pictures are
    worked on in bands of rows.

    Args:
        rgb_u8: The picture.
        period_px: Distance of neighbouring dots, from `MIN_SCREENTONE_PX` of the options.
        origin_px: Where the picture's corner lies (x, y) on the screen, so that parts of one
            picture get one screen.
    """
    height_px, width_px = rgb_u8.shape[:2]
    reach_px = math.ceil(_REACH_PERIODS * period_px)
    band_px = max(reach_px, _BAND_PIXELS // width_px)
    screened = np.empty_like(rgb_u8)
    for top in range(0, height_px, band_px):
        bottom = min(top + band_px, height_px)
        above, below = max(0, top - reach_px), min(height_px, bottom + reach_px)
        origin = (origin_px[0], origin_px[1] + above)
        band = _screen(to_grey(rgb_u8[above:below]), period_px, origin)
        screened[top:bottom] = band[top - above : bottom - above, :, None]
    return screened


def _screen(grey_u8: NDArray[np.uint8], period_px: float, origin: tuple[int, int]) -> RgbU8:
    """Return one band (H, W) in black and white, uint8."""
    grey = grey_u8.astype(np.float32) / np.float32(255)
    disc = _disc(period_px)
    without_lines = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, disc)
    without_marks = np.asarray(cv2.morphologyEx(without_lines, cv2.MORPH_OPEN, disc), np.float32)
    is_toned = _find_tones(without_marks, disc, _STEEPEST_TONE / period_px)
    dots = _draw_dots(_smooth_within(without_marks, is_toned, period_px / 4), period_px, origin)
    ink = _ramp(without_lines - grey, *_MARK_CONTRAST)
    paper = _ramp(grey - cv2.morphologyEx(grey, cv2.MORPH_OPEN, disc), *_MARK_CONTRAST)
    dots = dots * (1 - ink) + paper * (1 - dots)
    level = _LINE_GREY + _IN_THIN_LINES * ink + _IN_HIGHLIGHTS * paper
    line_work = _draw_lines(grey, level)
    share = cv2.GaussianBlur(is_toned.astype(np.float32), (0, 0), _EDGE_SIGMA_PX)
    drawn = line_work + share * (dots - line_work)
    return np.asarray(np.rint(255 * np.clip(drawn, 0, 1)), np.uint8)


def _disc(period_px: float) -> NDArray[np.uint8]:
    side_px = 2 * math.ceil(period_px / 2) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side_px, side_px))
    return np.asarray(disc, np.uint8)


def _find_tones(grey: Tone, disc: NDArray[np.uint8], steepest: float) -> NDArray[np.bool_]:
    """Return where (H, W) a picture is neither ink nor paper nor edge, over a dot's width."""
    is_between = (grey > _INK_TONE) & (grey < _PAPER_TONE) & (_slope(grey) < steepest)
    return np.asarray(cv2.morphologyEx(is_between.astype(np.uint8), cv2.MORPH_OPEN, disc), np.bool_)


def _draw_lines(grey: Tone, level: Tone) -> Tone:
    """Return the picture in black and white, 0-1, its edges a pixel wide however soft they were.

    A pixel's grey over the slope there is its distance from the edge.
    """
    distance_px = (grey - level) / np.maximum(_slope(grey), _LEAST_SLOPE)
    return np.asarray(np.clip(0.5 + distance_px, 0, 1), np.float32)


def _slope(grey: Tone) -> Tone:
    """Return how much the grey changes from pixel to pixel, (H, W)."""
    across = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8)
    return np.asarray(cv2.magnitude(across, down), np.float32)


def _smooth_within(tone: Tone, is_toned: NDArray[np.bool_], sigma_px: float) -> Tone:
    """Return the tone (H, W) blurred inside the marked areas, white where there is none near."""
    weight = is_toned.astype(np.float32)
    total = cv2.GaussianBlur(weight, (0, 0), sigma_px)
    smooth = cv2.GaussianBlur(tone * weight, (0, 0), sigma_px)
    return np.asarray(np.where(total > 1e-3, smooth / np.maximum(total, 1e-3), 1), np.float32)


def _draw_dots(tone: Tone, period_px: float, origin: tuple[int, int]) -> Tone:
    """Return how light each pixel (H, W) is under a screen of dots, 0-1."""
    height_px, width_px = tone.shape
    size = (width_px * _OVERSAMPLING, height_px * _OVERSAMPLING)
    fine: Tone = np.asarray(cv2.resize(tone, size, interpolation=cv2.INTER_LINEAR), np.float32)
    offset = (origin[0] * _OVERSAMPLING, origin[1] * _OVERSAMPLING)
    is_ink = screentone(offset, fine.shape, period_px * _OVERSAMPLING, 1 - fine)
    covered = cv2.resize(
        is_ink.astype(np.float32), (width_px, height_px), interpolation=cv2.INTER_AREA
    )
    return np.asarray(1 - covered, np.float32)


def _ramp(values: NDArray[np.float32], low: float, high: float) -> Tone:
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
