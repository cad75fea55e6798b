"""What fills a manga panel besides people: places, things, hands, balloons, lettering."""

from collections.abc import Callable

import cv2
import numpy as np

from anymus.drawing.manga_ink import (
    WHITE,
    Colour,
    Frame,
    Paint,
    Pen,
    Points,
    arc,
    curve,
    ellipse,
    fill,
    leaf,
    shade,
    shape,
    stroke,
)

Rng = np.random.Generator


def panel_pen(pen: Pen) -> Pen:
    """The pen in a frame whose units are canvas pixels."""
    return pen.at(Frame((0.0, 0.0), 1.0))


def _size(pen: Pen) -> tuple[int, int]:
    height, width = pen.canvas.shape[:2]
    return width, height


def draw_scenery(pen: Pen, rng: Rng) -> None:
    """Draws one place or set of things without any face, over the whole canvas."""
    drawers = (_window, _town, _trees, _clouds, _room, _round_things, _clock, _crosshatch)
    drawers[int(rng.integers(len(drawers)))](panel_pen(pen), rng)


def _window(pen: Pen, rng: Rng) -> None:
    width, height = _size(pen)
    fill(
        pen, [(0, 0), (width, 0), (width, height), (0, height)], Paint(WHITE, rng.uniform(0.1, 0.3))
    )
    x, y = width * rng.uniform(0.1, 0.3), height * rng.uniform(0.05, 0.2)
    w, h = width * rng.uniform(0.4, 0.6), height * rng.uniform(0.5, 0.7)
    shape(pen, [(x, y), (x + w, y), (x + w, y + h), (x, y + h)], Paint(WHITE), 1.5)
    for part in (0.5, 1.0):
        stroke(pen, [(x + w * part, y), (x + w * part, y + h)], 2.5, (0, 0))
    stroke(pen, [(x, y + h * 0.5), (x + w, y + h * 0.5)], 2.0, (0, 0))
    for side in (x - 0.02 * w, x + 0.82 * w):
        cloth = curve([(side, y - 20), (side + 0.2 * w, y - 20), (side + 0.15 * w, y + h),
                       (side + 0.22 * w, y + 1.1 * h), (side, y + 1.1 * h)])  # fmt: skip
        shape(pen, cloth, Paint(WHITE), 1.2)
        for share in (0.3, 0.6):
            at = side + share * 0.2 * w
            stroke(pen, [(at, y), (at + 8, y + h * 0.5), (at - 4, y + h)], 0.8)


def _town(pen: Pen, rng: Rng) -> None:
    width, height = _size(pen)
    x = -0.05 * width
    while x < width:
        w = width * rng.uniform(0.14, 0.34)
        top = height * rng.uniform(0.1, 0.55)
        wall = [(x, top), (x + w, top), (x + w, height), (x, height)]
        shape(pen, wall, Paint(WHITE, rng.choice([0.0, 0.15, 0.35])), 1.2)
        cols, rows = int(rng.integers(2, 5)), int(rng.integers(3, 8))
        cell = w / (cols + 0.5), (height - top) / (rows + 0.5)
        glass = Paint(WHITE if rng.random() < 0.4 else (30, 30, 32))
        for i in range(cols):
            for j in range(rows):
                a, b = x + cell[0] * (i + 0.4), top + cell[1] * (j + 0.4)
                pane = [(a, b), (a + 0.65 * cell[0], b), (a + 0.65 * cell[0], b + 0.55 * cell[1]),
                        (a, b + 0.55 * cell[1])]  # fmt: skip
                shape(pen, pane, glass, 0.7)
        x += w * rng.uniform(0.8, 1.2)


def _trees(pen: Pen, rng: Rng) -> None:
    width, height = _size(pen)
    ground = height * rng.uniform(0.65, 0.85)
    stroke(pen, [(0, ground), (width * 0.5, ground - 10), (width, ground)], 1.2)
    for _ in range(int(rng.integers(2, 5))):
        x, size = width * rng.uniform(0, 1), height * rng.uniform(0.16, 0.32)
        y = ground - size * rng.uniform(1.2, 1.8)
        trunk = [
            (x - 0.12 * size, ground),
            (x - 0.08 * size, y),
            (x + 0.08 * size, y),
            (x + 0.14 * size, ground),
        ]
        shape(pen, trunk, Paint(WHITE, 0.3), 1.0)
        crown = _bumpy((x, y), (size, size * 0.8), int(rng.integers(9, 15)), 0.12)
        shape(pen, crown, Paint(WHITE, rng.choice([0.0, 0.2, 0.4])), 1.2)
        for _ in range(8):
            a, r = rng.uniform(0, 6.28), size * rng.uniform(0.2, 0.7)
            px, py = x + r * np.cos(a), y + 0.8 * r * np.sin(a)
            stroke(pen, [(px - 12, py), (px, py - 10), (px + 12, py)], 0.8)
    for x in rng.uniform(0, width, 40):
        blade = [(x, ground + 18), (x + 3, ground), (x + rng.uniform(-16, 16), ground - 18)]
        stroke(pen, blade, 0.8)


def _bumpy(
    centre: tuple[float, float], radius: tuple[float, float], lobes: int, depth: float
) -> Points:
    angle = np.linspace(0, 2 * np.pi, 12 * lobes, endpoint=False)
    r = 1 + depth * np.abs(np.sin(0.5 * lobes * angle))
    return np.stack(
        [centre[0] + radius[0] * r * np.cos(angle), centre[1] + radius[1] * r * np.sin(angle)],
        axis=1,
    )


def _clouds(pen: Pen, rng: Rng) -> None:
    width, height = _size(pen)
    fill(
        pen,
        [(0, 0), (width, 0), (width, height), (0, height)],
        Paint(WHITE, rng.uniform(0.15, 0.6)),
    )
    for _ in range(int(rng.integers(2, 6))):
        at = (width * rng.random(), height * rng.random())
        size = (width * rng.uniform(0.1, 0.3), height * rng.uniform(0.05, 0.14))
        fill(pen, _bumpy(at, size, int(rng.integers(7, 13)), 0.25), Paint(WHITE))


def _room(pen: Pen, rng: Rng) -> None:
    width, height = _size(pen)
    far = np.array([(0.3, 0.25), (0.7, 0.25), (0.7, 0.6), (0.3, 0.6)]) + rng.uniform(-0.08, 0.08, 2)
    back = far * (width, height)
    shape(pen, back, Paint(WHITE, 0.2), 1.2)
    corners = [(0, 0), (width, 0), (width, height), (0, height)]
    for corner, point in zip(corners, back, strict=True):
        stroke(pen, [corner, point], 1.2, (0, 0))
    floor = [corners[3], corners[2], back[2], back[3]]
    shade(pen, floor, 0.12)
    for share in np.linspace(0.1, 0.9, 8):
        near = (width * share, height)
        stroke(pen, [near, back[3] + (back[2] - back[3]) * share], 0.7, (0, 0.2))
    door = back[3] + (back[1] - back[3]) * np.array([(0.1, 0), (0.3, 0), (0.3, 0.7), (0.1, 0.7)])
    shape(pen, door, Paint((40, 40, 42)), 1.0)


def _round_things(pen: Pen, rng: Rng) -> None:
    """Balls, pots or heads without faces, in rows: what a detector must not take for people."""
    width, height = _size(pen)
    radius = min(width, height) * rng.uniform(0.07, 0.16)
    for y in np.arange(height * 0.25, height * 1.1, 1.5 * radius):
        for x in np.arange(rng.uniform(-0.5, 0.5) * radius, width + radius, 2.1 * radius):
            r = radius * rng.uniform(0.8, 1.05)
            at = (x + rng.uniform(-0.1, 0.1) * r, y)
            body = [
                (x - 1.3 * r, y + 2.5 * r),
                (x - r, y + 1.2 * r),
                (x, y + 0.9 * r),
                (x + r, y + 1.2 * r),
                (x + 1.3 * r, y + 2.5 * r),
            ]
            shape(pen, curve(body), Paint(WHITE, rng.choice([0.0, 0.3, 0.5])), 1.0)
            shape(pen, ellipse(at, (r * 0.85, r)), Paint(WHITE, rng.choice([0.0, 0.15, 0.5])), 1.1)
            if rng.random() < 0.4:
                shade(pen, ellipse((x - 0.2 * r, y + 0.2 * r), (r * 0.6, r * 0.7)), 0.25)


def _clock(pen: Pen, rng: Rng) -> None:
    width, height = _size(pen)
    at, r = (width * rng.uniform(0.35, 0.65), height * 0.5), 0.36 * min(width, height)
    shape(pen, ellipse(at, (r, r), 60), Paint(WHITE, 0.1), 2.2)
    shape(pen, ellipse(at, (r * 0.86, r * 0.86), 60), Paint(WHITE), 1.0)
    for i in range(12):
        ray = np.array([np.cos(i * np.pi / 6), np.sin(i * np.pi / 6)])
        stroke(pen, [at + ray * r * 0.7, at + ray * r * 0.82], 1.8, (0, 0))
    for reach in (0.4, 0.65):
        a = rng.uniform(0, 2 * np.pi)
        tip = np.array(at) + np.array([np.cos(a), np.sin(a)]) * r * reach
        stroke(pen, np.array([at, tip]), 2.4, (0, 0.3))


def _crosshatch(pen: Pen, rng: Rng) -> None:
    """Dark strokes that thin out: mood without a place."""
    width, height = _size(pen)
    lean = rng.uniform(-0.3, 0.3)
    for x in rng.uniform(-0.1, 1.1, 160) * width:
        length = height * rng.uniform(0.2, 0.9)
        start = (x, 0.0) if rng.random() < 0.6 else (x, float(height))
        end = (x + lean * length, length if start[1] == 0 else height - length)
        stroke(pen, [start, end], rng.uniform(0.6, 2.2), (0.0, 0.9))


def draw_hair_closeup(pen: Pen, rng: Rng) -> None:
    """Draws hair so near that it fills the canvas."""
    flat = panel_pen(pen)
    width, height = _size(pen)
    is_black = rng.random() < 0.6
    base = Paint((14, 14, 16)) if is_black else Paint(WHITE, rng.uniform(0, 0.35))
    fill(flat, [(0, 0), (width, 0), (width, height), (0, height)], base)
    pull = rng.uniform(-0.6, 0.6) * width
    light: Colour = (235, 235, 238) if is_black else pen.ink
    for x in rng.uniform(-0.3, 1.3, 90) * width:
        y = height * rng.uniform(-0.3, 0.6)
        way = arc([(x, y), (x + 0.2 * pull, y + 0.35 * height), (x + pull, y + 0.8 * height)])
        stroke(flat, way[::4], rng.uniform(0.6, 3.0), (0.5, 0.5), light)


def draw_hand(pen: Pen, rng: Rng) -> None:
    """Draws a hand with its sleeve somewhere on the canvas."""
    width, height = _size(pen)
    frame = Frame(
        (width * rng.uniform(0.35, 0.65), height * rng.uniform(0.4, 0.6)),
        min(width, height) * rng.uniform(0.16, 0.26),
        rng.uniform(-1.2, 1.2),
        bool(rng.random() < 0.5),
    )
    hand = pen.at(frame)
    skin = Paint(WHITE, rng.choice([0.0, 0.0, 0.12, 0.3]))
    shape(hand, [(-0.5, 0.8), (0.5, 0.8), (0.75, 3.4), (-0.75, 3.4)], skin, 1.2)
    shape(hand, [(-0.8, 1.7), (0.8, 1.7), (1.4, 6.0), (-1.4, 6.0)], Paint(WHITE, 0.3), 1.3)
    curl = rng.uniform(0.35, 1.0)
    for i, x in enumerate((-0.52, -0.18, 0.17, 0.5)):
        length = (1.15, 1.35, 1.25, 0.95)[i] * curl
        spine = [(x, 0.2), (x * 1.1, -0.4 - 0.4 * length), (x * 1.25, -0.6 - length)]
        finger = leaf(np.array(spine), 0.46, 0.75)
        shape(hand, finger, skin, 1.1)
        stroke(hand, [(x - 0.1, -0.3 - 0.4 * length), (x + 0.1, -0.33 - 0.4 * length)], 0.7)
    palm = curve(
        [(-0.75, -0.45), (0.72, -0.42), (0.72, 0.5), (0.45, 1.0), (-0.45, 1.0), (-0.75, 0.5)], True
    )
    shape(hand, palm, skin, 1.1)
    thumb = leaf(np.array([(-0.5, 0.6), (-1.1, 0.1), (-1.2, -0.5 * curl)]), 0.5, 0.6)
    shape(hand, thumb, skin, 1.1)
    strokes_at = ([(-0.4, 0.4), (0.0, 0.1), (0.5, 0.2)], [(-0.3, 0.7), (-0.1, 0.3), (-0.3, -0.1)])
    for line in strokes_at:
        stroke(hand, line, 0.8)


def draw_balloon(
    pen: Pen, rng: Rng, centre: tuple[float, float], radius: tuple[float, float]
) -> None:
    """Draws a speech balloon with lettering; centre and radii in canvas pixels."""
    flat = panel_pen(pen)
    kind = rng.random()
    if kind < 0.55:
        angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        power = rng.uniform(0.75, 1.0)
        bow = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
        rise = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
        hull = np.stack([centre[0] + radius[0] * bow, centre[1] + radius[1] * rise], axis=1)
    elif kind < 0.75:
        angle = np.linspace(0, 2 * np.pi, 44, endpoint=False)
        burst = np.where(np.arange(44) % 2 == 0, 1.22, 0.95) * rng.uniform(0.95, 1.08, 44)
        hull = np.stack([centre[0] + radius[0] * burst * np.cos(angle),
                         centre[1] + radius[1] * burst * np.sin(angle)], axis=1)  # fmt: skip
    elif kind < 0.9:
        hull = _bumpy(centre, (radius[0] * 0.95, radius[1] * 0.95), int(rng.integers(9, 15)), 0.12)
    else:
        hull = (
            np.array(centre)
            + np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * np.array(radius) * 0.9
        )
    side = rng.choice([-1.0, 1.0])
    if kind < 0.75:
        x, y = centre[0] + side * 0.3 * radius[0], centre[1] + 0.8 * radius[1]
        tail = [(x - 0.14 * radius[0], y), (x + side * 0.3 * radius[0], y + 0.55 * radius[1]),
                (x + 0.14 * radius[0], y)]  # fmt: skip
        shape(flat, tail, Paint(WHITE), 1.0)
    shape(flat, hull, Paint(WHITE), 1.1)
    if rng.random() < 0.8:
        _write_columns(flat, rng, centre, (radius[0] * 0.62, radius[1] * 0.68))
    else:
        _write_latin(flat, rng, centre, radius)


def _write_columns(
    pen: Pen, rng: Rng, centre: tuple[float, float], reach: tuple[float, float]
) -> None:
    """Upright columns of signs made of strokes, as kana and kanji look from afar."""
    size = float(np.clip(reach[0] * rng.uniform(0.42, 0.6), 26, 90))
    columns = max(1, int(2 * reach[0] / (size * 1.25)))
    rows = max(1, int(2 * reach[1] / (size * 1.08)))
    for c in range(columns):
        x = centre[0] + (c - (columns - 1) / 2) * size * 1.25
        for r in range(rows - int(rng.integers(0, 2 if rows > 2 else 1))):
            y = centre[1] + (r - (rows - 1) / 2) * size * 1.08
            _sign(pen, rng, (x, y), size * 0.42)


def _sign(pen: Pen, rng: Rng, at: tuple[float, float], half: float) -> None:
    weight = max(half / (6.5 * pen.line_px), 0.4)
    is_kanji = rng.random() < 0.45
    if is_kanji:
        for y in np.linspace(-0.85, 0.8, int(rng.integers(2, 5))):
            w = rng.uniform(0.5, 1.0)
            stroke(pen, np.array([(-w, y), (w, y - 0.04)]) * half + at, weight, (0.05, 0.05))
        for x in rng.choice([-0.6, 0.0, 0.6], int(rng.integers(1, 3)), replace=False):
            stroke(pen, np.array([(x, -1.0), (x, 0.9)]) * half + at, weight, (0.05, 0.1))
        if rng.random() < 0.5:
            stroke(pen, np.array([(0, 0), (0.4, 0.5), (0.95, 1.0)]) * half + at, weight)
        return
    for _ in range(int(rng.integers(2, 4))):
        start, bend, end = rng.uniform(-0.9, 0.9, (3, 2))
        stroke(pen, np.array([start, bend * 1.2, end]) * half + at, weight, (0.1, 0.4))


def _write_latin(
    pen: Pen, rng: Rng, centre: tuple[float, float], radius: tuple[float, float]
) -> None:
    words = ("NO!", "WAIT", "WHAT?", "HM...", "YES", "RUN!", "I SEE", "OH?", "WHY")
    scale = radius[0] / 62
    for i in range(int(rng.integers(1, 4))):
        text = words[int(rng.integers(len(words)))]
        thick = max(1, round(scale * 2))
        (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, thick)
        at = (round(centre[0] - w / 2), round(centre[1] + (i - 0.5) * h * 1.7))
        cv2.putText(pen.canvas, text, at, cv2.FONT_HERSHEY_DUPLEX, scale, pen.ink, thick)


def draw_sound(pen: Pen, rng: Rng) -> None:
    """Draws a sound effect: a few big slanted signs with a white rim."""
    flat = panel_pen(pen)
    width, height = _size(pen)
    size = min(width, height) * rng.uniform(0.1, 0.2)
    x, y = width * rng.uniform(0.1, 0.8), height * rng.uniform(0.1, 0.4)
    fat = size / pen.line_px / rng.uniform(2.5, 4)
    fg, bg = (pen.ink, WHITE) if rng.random() < 0.7 else (WHITE, pen.ink)
    for i in range(int(rng.integers(2, 5))):
        at = np.array([x + i * 0.2 * size, y + i * 1.7 * size])
        parts = [rng.uniform(-0.8, 0.8, (2, 2)) * size + at for _ in range(3)]
        parts.append(np.array([(-0.8, -0.5), (0.8, -0.6)]) * size + at)
        for rim, colour in ((1.5, bg), (1.0, fg)):
            for part in parts:
                stroke(flat, part, fat * rim, (0.05, 0.35), colour)


SCENES: tuple[Callable[[Pen, Rng], None], ...] = (draw_scenery, draw_hair_closeup, draw_hand)
