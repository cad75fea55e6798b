"""Pen, paint and screentone: the marks that manga is made of, on an enlarged canvas."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Colour = tuple[int, int, int]
Points = NDArray[np.float64]

SUPERSAMPLING = 4
"""Canvas pixels a pixel of the finished drawing, along each axis."""
WHITE: Colour = (255, 255, 255)
BLACK: Colour = (12, 12, 14)


_UPPER = [1.0, 0.97, 0.924, 0.85, 0.711, 0.583, 0.466, 0.36, 0.265, 0.18, 0.107, 0.045, 0.0]
_TWICE = [0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
_SHARES = [q / 2 for q in _TWICE] + [1 - q / 2 for q in _TWICE[-2::-1]]
_LEVELS = _UPPER + [-level for level in _UPPER[-2::-1]]
# The share _SHARES[i] of cos(x) cos(y) lies above _LEVELS[i].


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a figure's own units (half a face wide, y down, eyes at 0) lie on the canvas."""

    origin_px: tuple[float, float]
    unit_px: float
    roll_rad: float = 0.0
    is_mirrored: bool = False

    def to_px(self, points: ArrayLike) -> Points:
        """(N, 2) canvas pixels of (N, 2) points in figure units."""
        figure = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        x = -figure[:, 0] if self.is_mirrored else figure[:, 0]
        cos, sin = np.cos(self.roll_rad), np.sin(self.roll_rad)
        turned = np.stack([x * cos - figure[:, 1] * sin, x * sin + figure[:, 1] * cos], axis=1)
        return np.asarray(turned * self.unit_px + np.asarray(self.origin_px))


@dataclass(frozen=True, slots=True)
class Paint:
    """A flat colour, under black screentone dots that cover the share `tone` of it."""

    rgb: Colour
    tone: float = 0.0


@dataclass(frozen=True, slots=True)
class Pen:
    """A canvas with the frame, ink and screen that marks are made with."""

    canvas: NDArray[np.uint8]
    """(H, W, 3), drawn on in place."""
    frame: Frame
    line_px: float
    """Full width of an ordinary contour line in canvas pixels."""
    ink: Colour = BLACK
    tone_period_px: float = 17.0
    """Distance of screentone dots in canvas pixels."""
    screen: str = "dots"
    """How tones are laid: in dots, in slanted lines or as flat grey."""

    def at(self, frame: Frame) -> "Pen":
        """The same pen in another frame."""
        return replace(self, frame=frame)


def curve(points: ArrayLike, is_closed: bool = False, steps: int = 9) -> Points:
    """A smooth (Catmull-Rom) curve through points (N, 2); a point given twice is a corner."""
    through = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    if len(through) < 3:
        return through
    if is_closed:
        padded = np.concatenate([through[-1:], through, through[:2]])
    else:
        padded = np.concatenate([through[:1], through, through[-1:]])
    p0, p1, p2, p3 = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[None, :, None]
    a, b, c, d = (p[:, None, :] for p in (p0, p1, p2, p3))
    segment = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
    line = segment.reshape(-1, 2)
    return line if is_closed else np.concatenate([line, through[-1:]])


def arc(points: ArrayLike, steps: int = 12) -> Points:
    """A quadratic Bezier curve from the first to the last of three points (3, 2)."""
    start, pull, end = np.asarray(points, dtype=np.float64)
    t = np.linspace(0.0, 1.0, steps)[:, None]
    return np.asarray((1 - t) ** 2 * start + 2 * t * (1 - t) * pull + t**2 * end)


def ellipse(centre: tuple[float, float], radius: tuple[float, float], steps: int = 36) -> Points:
    """The outline (steps, 2) of an upright ellipse."""
    angle = np.linspace(0.0, 2 * np.pi, steps, endpoint=False)
    return np.stack(
        [centre[0] + radius[0] * np.cos(angle), centre[1] + radius[1] * np.sin(angle)], axis=1
    )


def leaf(spine: ArrayLike, width: float, belly: float = 0.4, fullness: float = 0.8) -> Points:
    """A lock's outline: along a curved spine (N, 2), widest at the share `belly`, tip at the end.

    The root is left open at half the width, as it goes under other hair. Above 1, `fullness`
    gives straight or hollow sides, below 1 round ones.
    """
    line = curve(spine)
    t = np.linspace(0.0, 1.0, len(line))
    rising = 0.55 + 0.45 * np.sin(np.clip(t / belly, 0, 1) * np.pi / 2)
    falling = np.clip((1 - t) / (1 - belly), 0, 1) ** fullness
    half = 0.5 * width * np.where(t < belly, rising, falling)[:, None]
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    return np.concatenate([line + normal * half, (line - normal * half)[::-1]])


def fill(pen: Pen, outline: ArrayLike, paint: Paint) -> None:
    """Fills an outline (N, 2) in figure units."""
    fill_px(pen, pen.frame.to_px(outline), paint)


def fill_px(pen: Pen, outline_px: ArrayLike, paint: Paint) -> None:
    """Fills an outline (N, 2) in canvas pixels."""
    corners = np.rint(np.asarray(outline_px)).astype(np.int32)
    if paint.tone <= 0.0:
        cv2.fillPoly(pen.canvas, [corners], paint.rgb)
        return
    if pen.screen == "grey":
        cv2.fillPoly(pen.canvas, [corners], darken(paint.rgb, 1.0 - 0.85 * paint.tone))
        return
    patch, mask = _patch(pen, corners)
    if mask.size:
        dots = screen_ink(pen, _offset(pen, corners), mask.shape, paint.tone)
        patch[mask] = paint.rgb
        patch[mask & dots] = pen.ink


def shade(pen: Pen, outline: ArrayLike, tone: float) -> None:
    """Lays dots (or grey) over an outline (N, 2) and leaves what shows between them."""
    corners = np.rint(pen.frame.to_px(outline)).astype(np.int32)
    patch, mask = _patch(pen, corners)
    if not mask.size:
        return
    if pen.screen != "grey":
        dots = screen_ink(pen, _offset(pen, corners), mask.shape, tone)
        patch[mask & dots] = pen.ink
    else:
        patch[mask] = (patch[mask] * (1.0 - 0.8 * tone)).astype(np.uint8)


def _offset(pen: Pen, corners: NDArray[np.int32]) -> tuple[int, int]:
    height, width = pen.canvas.shape[:2]
    x, y, _, _ = cv2.boundingRect(corners)
    return min(max(x, 0), width), min(max(y, 0), height)


def _patch(pen: Pen, corners: NDArray[np.int32]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The part of the canvas that an outline touches (a view), and the outline's mask there."""
    height, width = pen.canvas.shape[:2]
    x, y, w, h = cv2.boundingRect(corners)
    left, top = _offset(pen, corners)
    right, bottom = min(max(x + w, left), width), min(max(y + h, top), height)
    mask = np.zeros((bottom - top, right - left), np.uint8)
    if mask.size:
        cv2.fillPoly(mask, [corners - np.array([left, top], np.int32)], 1)
    return pen.canvas[top:bottom, left:right], mask.astype(np.bool_)


def screen_ink(
    pen: Pen, offset: tuple[int, int], shape: tuple[int, ...], tone: float | NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Where the pen's screen of dots or lines has ink, (H, W); arguments as for `screentone`."""
    if pen.screen == "dots":
        return screentone(offset, shape, pen.tone_period_px, tone)
    x, y = np.arange(shape[1]) + offset[0], np.arange(shape[0]) + offset[1]
    phase = (x[None, :] + 1.3 * y[:, None]) % (1.6 * pen.tone_period_px)
    return np.asarray(phase < tone * 1.6 * pen.tone_period_px)


def screentone(
    offset: tuple[int, int],
    shape: tuple[int, ...],
    period_px: float,
    tone: float | NDArray[np.float32],
) -> NDArray[np.bool_]:
    """Where the dots of a 45 degree screen lie: (H, W) True for ink.

    Args:
        offset: x, y of the patch on the canvas, so that neighbouring patches fit.
        shape: (H, W) of the patch.
        period_px: distance of neighbouring dots in pixels.
        tone: share of ink, a number or (H, W).
    """
    step = np.pi * np.sqrt(2.0) / period_px
    x = np.cos((np.arange(shape[1], dtype=np.float32) + offset[0]) * step)
    y = np.cos((np.arange(shape[0], dtype=np.float32) + offset[1]) * step)
    level = np.interp(tone, _SHARES, _LEVELS).astype(np.float32)
    return np.asarray(np.outer(y, x) > level)


def stroke(
    pen: Pen,
    points: ArrayLike,
    width: float = 1.0,
    taper: tuple[float, float] = (0.3, 0.3),
    colour: Colour | None = None,
) -> None:
    """Draws a smooth brush stroke through points (N, 2) in figure units.

    Args:
        pen: what to draw with.
        points: the way of the brush.
        width: full width in lines of the pen.
        taper: shares of the length over which the stroke swells and thins; 0 is blunt.
        colour: the pen's ink when None.
    """
    stroke_px(pen, pen.frame.to_px(curve(points)), width * pen.line_px, taper, colour)


def stroke_px(
    pen: Pen,
    line_px: Points,
    width_px: float,
    taper: tuple[float, float] = (0.3, 0.3),
    colour: Colour | None = None,
) -> None:
    """Draws a brush stroke along a polyline (N, 2) in canvas pixels."""
    steps = np.linalg.norm(np.diff(line_px, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    if along[-1] < 0.5:
        return
    count = int(np.clip(along[-1] / 7, 3, 90))
    at = np.linspace(0.0, along[-1], count + 1)
    x = np.rint(np.interp(at, along, line_px[:, 0])).astype(int).tolist()
    y = np.rint(np.interp(at, along, line_px[:, 1])).astype(int).tolist()
    t = (np.arange(count) + 0.5) / count
    swell = np.clip(t / max(taper[0], 1e-6), 0, 1) * np.clip((1 - t) / max(taper[1], 1e-6), 0, 1)
    widths = np.maximum(1, np.rint(width_px * swell**0.75)).astype(int).tolist()
    ink = pen.ink if colour is None else colour
    for i in range(count):
        cv2.line(pen.canvas, (x[i], y[i]), (x[i + 1], y[i + 1]), ink, widths[i])


def strokes(pen: Pen, lines: Iterable[ArrayLike], width: float = 1.0) -> None:
    """Draws several strokes of one width, thin at both ends."""
    for line in lines:
        stroke(pen, line, width)


def outline(pen: Pen, points: ArrayLike, width: float = 1.0) -> None:
    """Draws a closed contour of even width along points (N, 2), joined as they are."""
    corners = np.rint(pen.frame.to_px(points)).astype(np.int32)
    cv2.polylines(pen.canvas, [corners], True, pen.ink, max(1, round(width * pen.line_px)))


def shape(pen: Pen, points: ArrayLike, paint: Paint, width: float = 1.0) -> None:
    """Fills an outline (N, 2) and inks its contour."""
    fill(pen, points, paint)
    outline(pen, points, width)


def darken(rgb: Colour, factor: float) -> Colour:
    """The colour times a factor in 0-1."""
    red, green, blue = (round(c * factor) for c in rgb)
    return red, green, blue


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour the share (0-1) of the way from the first to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def grey_of(rgb: Colour) -> int:
    """Its luma, 0-255."""
    return round(0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2])
