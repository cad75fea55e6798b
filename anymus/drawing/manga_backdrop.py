"""What lies behind people: flat tones, fades, speed lines, sparkles, places."""

import cv2
import numpy as np

from anymus.drawing.manga_ink import Colour, Pen, screen_ink

_TINTS: tuple[Colour, ...] = (
    (214, 232, 246), (250, 224, 214), (226, 240, 216), (246, 238, 206), (226, 218, 240),
    (96, 120, 160), (70, 64, 84),
)  # fmt: skip


def draw_backdrop(pen: Pen, rng: np.random.Generator, *, is_colour: bool) -> None:
    """Fills the whole canvas with a background drawn by chance."""
    kind = rng.integers(7)
    if is_colour:
        tint = _TINTS[int(rng.integers(len(_TINTS)))]
        if kind > 0:
            _fade(pen, tint, rng)
    elif kind in (1, 2):
        tone_fade(pen, (rng.uniform(0, 0.3), rng.uniform(0.0, 0.6)))
    elif kind == 3:
        focus_lines(pen, rng)
    elif kind == 4:
        pen.canvas[:] = int(rng.choice([24, 70, 110]))
        _sparkles(pen, rng, (255, 255, 255))
    elif kind == 5:
        speed_lines(pen, rng)
    if kind == 6:
        _sparkles(pen, rng, (255, 255, 255) if is_colour else (60, 60, 60))


def _fade(pen: Pen, tint: Colour, rng: np.random.Generator) -> None:
    height = pen.canvas.shape[0]
    top, low = rng.uniform(0, 0.5), rng.uniform(0, 0.8)
    share = np.linspace(top, low, height)[:, None, None]
    pen.canvas[:] = (np.array(tint) * (1 - share) + 255 * share).astype(np.uint8)


def tone_fade(pen: Pen, tones: tuple[float, float]) -> None:
    """Lays screentone over the whole canvas, from the first tone at the top to the second."""
    height, width = pen.canvas.shape[:2]
    tone = np.linspace(tones[0], tones[1], height, dtype=np.float32)[:, None]
    if pen.screen != "grey":
        pen.canvas[screen_ink(pen, (0, 0), (height, width), tone)] = pen.ink
    else:
        pen.canvas[:] = (pen.canvas * (1 - 0.8 * tone[:, :, None])).astype(np.uint8)


def focus_lines(pen: Pen, rng: np.random.Generator) -> None:
    """Draws wedges of ink from the canvas's rim towards its middle."""
    height, width = pen.canvas.shape[:2]
    middle = np.array([width / 2, height / 2])
    reach = 0.75 * np.hypot(width, height)
    for angle in np.sort(rng.uniform(0, 2 * np.pi, 110)):
        inner = reach * rng.uniform(0.42, 0.62)
        half = rng.uniform(0.002, 0.012)
        rays = [(angle - half, reach), (angle + half, reach), (angle, inner)]
        wedge = [middle + r * np.array([np.cos(a), np.sin(a)]) for a, r in rays]
        cv2.fillPoly(pen.canvas, [np.rint(wedge).astype(np.int32)], pen.ink)


def speed_lines(pen: Pen, rng: np.random.Generator) -> None:
    """Draws parallel strokes across the canvas, thick at one side."""
    height, width = pen.canvas.shape[:2]
    slope = rng.uniform(-0.2, 0.2)
    for y in rng.uniform(-0.2, 1.2, 70) * height:
        length = width * rng.uniform(0.3, 1.0)
        half = rng.uniform(0.5, 2.6) * 2
        x = 0.0 if rng.random() < 0.5 else float(width)
        end = x + (length if x == 0 else -length)
        wedge = [(x, y - half), (x, y + half), (end, y + slope * (end - x))]
        cv2.fillPoly(pen.canvas, [np.rint(wedge).astype(np.int32)], pen.ink)


def _sparkles(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    height, width = pen.canvas.shape[:2]
    for _ in range(26):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        size = rng.uniform(0.006, 0.03) * width
        star = [(0, -1), (0.16, -0.16), (1, 0), (0.16, 0.16), (0, 1), (-0.16, 0.16), (-1, 0),
                (-0.16, -0.16)]  # fmt: skip
        points = np.rint(np.array(star) * size + (x, y)).astype(np.int32)
        cv2.fillPoly(pen.canvas, [points], colour)
