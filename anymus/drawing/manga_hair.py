"""Hair: what hangs behind, the cap with its fringe, locks, strands, lights, and headwear."""

import numpy as np

from anymus.drawing.manga_head import ear_x, place, skull_x
from anymus.drawing.manga_ink import (
    Colour,
    Paint,
    Pen,
    Points,
    arc,
    curve,
    darken,
    ellipse,
    fill,
    leaf,
    mix,
    shape,
    stroke,
    stroke_px,
)
from anymus.drawing.manga_person import Person


def strand_colour(person: Person) -> Colour:
    """The colour of single strands inside the hair: light on dark, dark on light."""
    rgb = person.hair_paint.rgb
    if sum(rgb) < 170:
        return mix(rgb, (255, 255, 255), 0.55 if person.is_colour else 0.85)
    return darken(rgb, 0.5) if person.is_colour else (20, 20, 22)


def _shine_colour(person: Person) -> Colour:
    return mix(person.hair_paint.rgb, (255, 255, 255), 0.62 if person.is_colour else 1.0)


def _volume(person: Person) -> float:
    return {"crew": 0.03, "slick": 0.07, "undercut": 0.16, "spiky": 0.06, "short": 0.15,
            "pixie": 0.14}.get(person.hair, 0.2)  # fmt: skip


def dome(person: Person, grow: float = 0.0, steps: int = 40) -> Points:
    """The hair's silhouette (N, 2) over the skull, from the near ear to the far temple."""
    volume = _volume(person) + grow
    _, far = ear_x(person)
    middle = skull_x(person)
    dip = 0.1 * float(np.sin(person.pose.pitch_rad))
    angle = np.linspace(np.pi * 1.02, np.pi * 1.98, steps)
    left = middle - (1.08 + volume * 0.6)
    right = far + 0.06 + volume * 0.6
    centre, half = (left + right) / 2, (right - left) / 2
    swell = np.ones(steps)
    if person.hair in ("short", "pixie", "undercut", "bob", "ponytail"):
        ragged = (np.linspace(0, 6.4, steps) + 9.7 * person.size.eye_x) % 1.0
        swell += 0.05 * ragged * np.sin(np.linspace(0, np.pi, steps))
    x = centre + half * swell * np.cos(angle)
    y = -0.22 + dip + (1.12 + volume) * swell * np.sin(angle)
    return np.stack([x, y], axis=1)


def draw_back_hair(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    """Draws all hair that lies behind head and neck."""
    style = person.hair
    if style in ("bald", "receding", "crew"):
        return
    if style in ("twin tails", "ponytail", "bun", "braid"):
        _draw_tied(pen, person, rng)
    if style == "afro":
        _draw_afro(pen, person, rng)
        return
    if style == "spiky":
        _draw_spikes(pen, person, rng)
    if style in ("short", "pixie", "bob", "undercut") and rng.random() < 0.75:
        _draw_tufts(pen, person, rng)
    bottom = {"long": rng.uniform(2.2, 4.5), "bob": rng.uniform(0.75, 1.25)}.get(style, 0.62)
    spread = {"long": rng.uniform(1.15, 1.5), "bob": 1.16}.get(style, 0.84)
    _draw_curtain(pen, person, rng, (bottom, spread))


def _back_paint(person: Person) -> Paint:
    """The hair's paint in the shade behind the head."""
    paint = person.hair_paint
    if person.is_colour:
        return Paint(darken(paint.rgb, 0.72))
    return Paint(paint.rgb, min(paint.tone + 0.22, 0.85)) if sum(paint.rgb) > 200 else paint


def _draw_curtain(
    pen: Pen, person: Person, rng: np.random.Generator, fall: tuple[float, float]
) -> None:
    bottom, spread = fall
    top = dome(person)
    left, right = top[0, 0], top[-1, 0]
    middle = (left + right) / 2
    swell = 1.08 if bottom < 1.5 else 1.0
    near = curve(
        [(left, -0.2), (middle - spread * swell, 0.35 * bottom), (middle - spread, bottom)]
    )
    far = curve(
        [(right, -0.2), (middle + spread * swell, 0.35 * bottom), (middle + spread, bottom)]
    )
    count = int(rng.integers(5, 9))
    edge: list[tuple[float, float]] = []
    for i, x in enumerate(np.linspace(middle - spread, middle + spread, 2 * count + 1)[1:-1]):
        sag = 0.16 * (1 - ((x - middle) / spread) ** 2)
        edge.append((float(x), bottom + (0.12 if i % 2 == 0 else -0.04) * (1 + bottom * 0.3) - sag))
    hull = np.concatenate([top, far, np.array(edge[::-1]), near[::-1]])
    shape(pen, hull, _back_paint(person), 1.2)
    colour = strand_colour(person)
    for x in np.linspace(middle - spread * 0.9, middle + spread * 0.9, 14):
        start = (x * 0.9, 0.2 + rng.uniform(0, 0.3))
        end = (x, bottom * rng.uniform(0.6, 0.97))
        stroke(pen, arc([start, (x * 1.04, bottom * 0.4), end]), 0.7, colour=colour)


def _draw_tied(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    middle = skull_x(person)
    if person.hair == "bun":
        at = [(middle - 0.2, -1.62)] if rng.random() < 0.6 else [(-1.0, -1.2), (0.85, -1.2)]
        for x, y in at:
            radius = rng.uniform(0.34, 0.48)
            knot = ellipse((x, y), (radius * 1.1, radius))
            shape(pen, knot, person.hair_paint, 1.2)
            for bend in (-0.5, 0.0, 0.5):
                turn = [(x - radius * 0.8, y + bend * radius), (x, y + bend * 0.3 * radius - 0.1),
                        (x + radius * 0.8, y + bend * radius)]  # fmt: skip
                stroke(pen, turn, 0.8, colour=strand_colour(person))
        return
    if person.hair == "braid":
        _draw_braid(pen, person)
        return
    length = rng.uniform(2.0, 3.4)
    roots = (
        [(-1.05, -0.75), (0.95, -0.75)] if person.hair == "twin tails" else [(middle - 0.75, -1.0)]
    )
    for x, y in roots:
        out = 0.75 if x > 0 else -0.75
        for i in range(3):
            drift = out * (0.7 + 0.35 * i)
            spine = [(x, y), (x + drift, y + 0.25), (x + drift * 1.05, y + 0.5 * length),
                     (x + drift * rng.uniform(0.3, 0.9), y + length * (1 - 0.12 * i))]  # fmt: skip
            draw_lock(pen, person, np.array(spine), 0.66 - 0.1 * i)
        knot = ellipse((x + out * 0.15, y + 0.05), (0.14, 0.17))
        shape(pen, knot, person.cloth[1], 1.0)


def _draw_braid(pen: Pen, person: Person) -> None:
    for i in range(9):
        y = 0.55 + 0.27 * i
        x = -1.0 - 0.04 * i
        for side in (-0.13, 0.13):
            link = ellipse((x + side, y + 0.5 * abs(side)), (0.22 - 0.008 * i, 0.18))
            shape(pen, link, person.hair_paint, 0.9)


def _draw_afro(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    centre = (skull_x(person) * 0.6, -0.5)
    size = rng.uniform(1.35, 1.75)
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    bumps = 1 + 0.045 * np.abs(np.sin(angle * rng.integers(9, 14)))
    radius = size * bumps
    cloud = np.stack(
        [centre[0] + radius * np.cos(angle), centre[1] + 0.92 * radius * np.sin(angle)], 1
    )
    shape(pen, cloud, person.hair_paint, 1.3)
    for _ in range(70):
        r, a = size * np.sqrt(rng.random()) * 0.92, rng.uniform(0, 2 * np.pi)
        x, y = centre[0] + r * np.cos(a), centre[1] + 0.92 * r * np.sin(a)
        curl = [(x - 0.06, y), (x, y - 0.06), (x + 0.06, y + 0.01)]
        stroke(pen, curl, 0.8, colour=strand_colour(person))


def _draw_spikes(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    """Big pointed locks that stand off the skull all around, from the sides to the crown."""
    count = int(rng.integers(7, 10))
    base = dome(person, grow=-0.15, steps=count)
    centre = np.array([skull_x(person), -0.1])
    lean = rng.uniform(-0.6, 0.6)
    order = sorted(range(count), key=lambda i: -abs(i - count / 2))
    for i in order:
        away = base[i] - centre
        away /= np.linalg.norm(away)
        side = np.array([-away[1], away[0]])
        swing = (lean + rng.uniform(-0.3, 0.3)) * side
        if i in (0, count - 1):
            swing = np.array([0.0, 0.35])
        length = rng.uniform(0.55, 1.05) * (0.7 if i in (0, count - 1) else 1.0)
        tip = base[i] + away * length + swing * length * 0.9
        spine = [base[i] - away * 0.5, base[i] + away * 0.3 * length, tip]
        draw_lock(pen, person, np.array(spine), rng.uniform(0.9, 1.2), 0.04, 1.2)


def _draw_tufts(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    """Short locks that break the silhouette over the ears and at the back of the head."""
    base = dome(person, grow=-0.1, steps=24)
    for i in sorted(rng.choice(np.r_[0:9, 14:24], 9, replace=False)):
        side = -1.0 if i < 12 else 1.0
        out = rng.uniform(0.12, 0.3)
        root = base[i]
        spine = [
            root - (side * 0.2, 0.3),
            root + np.array((side * 0.1, 0.0)),
            root + np.array((side * out, out + 0.16)),
        ]
        draw_lock(pen, person, np.array(spine), rng.uniform(0.28, 0.45), 0.08, 1.1)


def draw_lock(
    pen: Pen, person: Person, spine: Points, width: float, belly: float = 0.4, fullness: float = 0.8
) -> None:
    """Draws one lock along its spine (N, 2): fill, contour and a few strands."""
    hull = leaf(spine, width, belly, fullness)
    fill(pen, hull, person.hair_paint)
    half = len(hull) // 2
    colour = pen.ink
    stroke(pen, hull[: half + 1 : 3], 1.1, taper=(0.3, 0.15), colour=colour)
    stroke(pen, hull[half:][::-1][::3], 1.1, taper=(0.3, 0.15), colour=colour)
    line = curve(spine)
    for shift in (-0.12, 0.1):
        inner = line[len(line) // 6 : -len(line) // 4] + np.array((shift * width, 0.0))
        stroke(pen, inner[::4], 0.65, taper=(0.5, 0.5), colour=strand_colour(person))


def draw_front_hair(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    """Draws the cap, the fringe with its shadow, side locks, strands and lights."""
    if person.hair == "bald":
        _draw_bald_shine(pen, person)
        return
    edge, notches = _hair_edge(person, rng)
    hull = np.concatenate([dome(person), edge])
    shadow = edge + np.array((0.03, 0.11))
    if person.bangs != "back":
        fill(pen, np.concatenate([edge, shadow[::-1]]), person.skin_shadow)
    if person.hair in ("long", "bob", "twin tails", "ponytail", "bun", "braid"):
        _draw_side_locks(pen, person, rng)
    if person.hair == "receding":
        _draw_side_tufts(pen, person)
        return
    fill(pen, hull, person.hair_paint)
    if person.hair != "afro":
        _draw_shade(pen, person, notches)
        _draw_shine(pen, person, rng)
        _draw_strands(pen, person, rng, notches)
    if person.hair not in ("afro", "spiky"):
        stroke(pen, dome(person)[::3], 1.3, taper=(0.1, 0.1))
    stroke_px(pen, pen.frame.to_px(edge), 1.1 * pen.line_px, taper=(0.01, 0.01))
    if person.hair in ("short", "pixie", "bob") and rng.random() < 0.5:
        _draw_cowlick(pen, person, rng)


def _hair_edge(person: Person, rng: np.random.Generator) -> tuple[Points, Points]:
    """The fringe's lower edge (N, 2), far to near, and the notches (M, 2) between its locks."""
    if person.bangs == "back":
        return _swept_back_edge(person, rng)
    burn = {"short": 0.3, "spiky": 0.34, "undercut": 0.1, "pixie": 0.36}.get(person.hair, 0.5)
    xs, tips = _fringe_locks(person, rng)
    points: list[Points] = []
    notches: list[tuple[float, float]] = []
    for i in range(len(tips)):
        left, right = xs[i], xs[i + 1]
        left_y, right_y = _notch_y(person, left, i), _notch_y(person, right, i + 1)
        tip_x, tip_y = tips[i]
        bow = 0.11 if tip_x < (left + right) / 2 else -0.11
        pull_left = ((left + tip_x) / 2 + bow, (left_y + tip_y) / 2)
        pull_right = ((right + tip_x) / 2 + bow, (right_y + tip_y) / 2)
        points.append(arc([(left, left_y), pull_left, (tip_x, tip_y)], 8))
        points.append(arc([(tip_x, tip_y), pull_right, (right, right_y)], 8)[1:])
        notches.append((right, right_y))
    line = place(person, np.concatenate(points), 0.12)
    near, far = ear_x(person)
    start = np.concatenate([
        arc([(far + 0.09, -0.15), (far + 0.08, burn * 0.5), (far - 0.04, burn)], 6),
        arc([(far - 0.04, burn), (far - 0.02, burn * 0.3), (far - 0.14, -0.25)], 6),
    ])  # fmt: skip
    end = np.concatenate([
        arc([(near + 0.2, -0.25), (near + 0.1, burn * 0.3), (near + 0.07, burn)], 6),
        arc([(near + 0.07, burn), (near - 0.06, burn * 0.4), (near - 0.13, -0.2)], 6),
    ])  # fmt: skip
    line = line[(line[:, 0] < far) & (line[:, 0] > near)]
    edge = np.concatenate([start, line[::-1], end])
    return edge, place(person, notches, 0.12)


def _notch_y(person: Person, x: float, index: int) -> float:
    height = -0.72 + 0.12 * abs(x)
    if person.bangs == "straight":
        return -0.5 + 0.04 * (index % 2)
    return height + 0.1 * ((index * 7) % 3 - 1)


def _fringe_locks(person: Person, rng: np.random.Generator) -> tuple[Points, Points]:
    """Boundaries (n + 1,) and tips (n, 2) of the fringe's locks, seen from the front."""
    count = {"straight": int(rng.integers(6, 10)), "zigzag": int(rng.integers(5, 8))}.get(
        person.bangs, int(rng.integers(4, 7))
    )
    xs = np.linspace(-1.02, 1.02, count + 1)
    xs[1:-1] += rng.uniform(-0.35, 0.35, count - 1) * (2 / count)
    middle = (xs[1:] + xs[:-1]) / 2
    low = min(person.size.brow_y + 0.12, -0.12)
    part = {"side": 0.42, "centre": 0.0, "swept": 0.85, "one eye": 0.6}.get(person.bangs)
    if part is None:
        depth = low + rng.uniform(-0.2, 0.16, count) + 0.3 * (np.abs(middle) > 0.7)
        if person.bangs == "straight":
            depth = low + rng.uniform(-0.03, 0.03, count) + 0.1 * (np.abs(middle) > 0.8)
        lean = rng.uniform(-0.08, 0.08, count) + rng.choice([-0.1, 0.0, 0.1])
        return xs, np.stack([middle + lean, depth], axis=1)
    away = middle - part
    depth = -0.6 + np.clip(np.abs(away), 0, 1.2) * rng.uniform(0.45, 0.75, count)
    depth = np.where(np.abs(middle) > 0.75, depth + 0.15, depth)
    if person.bangs == "one eye":
        depth = np.where(away < -0.5, rng.uniform(0.15, 0.5), depth)
    return xs, np.stack([middle + np.sign(away) * rng.uniform(0.12, 0.3, count), depth], axis=1)


def _swept_back_edge(person: Person, rng: np.random.Generator) -> tuple[Points, Points]:
    peak = rng.uniform(-0.05, 0.12)
    high = {"receding": -1.05, "afro": -0.7}.get(person.hair, -0.8)
    front = np.array([(-0.98, -0.3), (-0.86, -0.5), (-0.7, high + 0.02), (-0.3, high - 0.06),
                      (0.0, high + peak), (0.3, high - 0.06), (0.7, high + 0.02), (0.86, -0.5),
                      (0.98, -0.3)])  # fmt: skip
    line = place(person, curve(front), 0.03)
    near, far = ear_x(person)
    line = line[(line[:, 0] < far) & (line[:, 0] > near)]
    start = np.array([(far + 0.05, -0.1), (far + 0.0, 0.28), (far - 0.05, 0.0)])
    end = np.array([(near + 0.16, -0.25), (near + 0.1, 0.1), (near + 0.03, -0.12),
                    (near - 0.14, -0.25)])  # fmt: skip
    roots = place(person, [(x, high) for x in np.linspace(-0.75, 0.75, 9)], 0.03)
    return np.concatenate([start, line[::-1], end]), roots


def _crown(person: Person) -> Points:
    return np.array([skull_x(person) * 1.3, -1.22 - 0.2 * np.sin(person.pose.pitch_rad)])


def _draw_shade(pen: Pen, person: Person, notches: Points) -> None:
    """Darker wedges that rise from the notches between locks."""
    if not person.is_colour and person.hair_paint.tone == 0.0 and sum(person.hair_paint.rgb) < 200:
        return
    dark = Paint(darken(person.hair_paint.rgb, 0.78)) if person.is_colour else Paint(
        (255, 255, 255), min(person.hair_paint.tone + 0.2, 0.8)
    )  # fmt: skip
    crown = _crown(person)
    for notch in notches[:-1]:
        top = notch + (crown - notch) * 0.42
        side = np.array([0.075, 0.0])
        fill(
            pen,
            np.concatenate(
                [
                    arc([notch - side, (notch + top) / 2 - side, top]),
                    arc([top, (notch + top) / 2 + side, notch + side]),
                ]
            ),
            dark,
        )


def _draw_strands(pen: Pen, person: Person, rng: np.random.Generator, notches: Points) -> None:
    crown = _crown(person)
    colour = strand_colour(person)
    for notch in notches:
        for shift in (0.0, rng.uniform(-0.12, 0.12), rng.uniform(-0.2, 0.2)):
            start = notch + np.array((shift, -0.02))
            reach = rng.uniform(0.35, 0.8)
            end = start + (crown - start) * reach
            pull = (start + end) / 2 + (np.sign(start[0] - crown[0]) * 0.1, -0.05)
            width = 1.0 if shift == 0.0 else 0.6
            stroke(pen, arc([start, pull, end]), width, taper=(0.1, 0.8), colour=colour)


def _draw_shine(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    """A band of light with ragged edges, across the hair between crown and fringe."""
    if person.hair in ("crew", "afro") or rng.random() < 0.12:
        return
    colour = _shine_colour(person)
    rim = dome(person, steps=61)[8:-8]
    root = place(person, [(x, -0.62) for x in np.linspace(-0.9, 0.9, len(rim))], 0.12)
    ring = root + (rim - root) * rng.uniform(0.42, 0.58)
    lobes = rng.uniform(3, 6)
    phase = rng.uniform(0, 6)
    for i, at in enumerate(ring):
        swell = np.abs(np.sin(lobes * np.pi * i / len(ring) + phase))
        if swell < 0.45:
            continue
        flow = root[i] - rim[i]
        flow /= np.linalg.norm(flow) + 1e-6
        reach = 0.16 * (swell - 0.35) * rng.uniform(0.6, 1.5)
        jolt = rng.uniform(-0.04, 0.04)
        line = [at - flow * (reach + jolt), at, at + flow * (reach - jolt)]
        stroke(pen, line, 1.7, taper=(0.6, 0.6), colour=colour)


def _draw_side_locks(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    near, far = ear_x(person)
    length = {"long": rng.uniform(1.2, 2.4), "bob": rng.uniform(0.7, 1.1)}.get(
        person.hair, rng.uniform(0.5, 1.3)
    )
    turn = np.sin(person.pose.yaw_rad)
    for x, out, width in ((near + 0.02, -0.12, 0.36), (far - 0.0, 0.06, 0.3 - 0.16 * turn)):
        bow = out * rng.uniform(0.5, 2.0)
        spine = [(x * 0.98, -0.6), (x + bow, 0.1), (x + out, 0.5 * length),
                 (x * rng.uniform(0.75, 1.0), length)]  # fmt: skip
        draw_lock(pen, person, np.array(spine), width * rng.uniform(0.8, 1.25))


def _draw_side_tufts(pen: Pen, person: Person) -> None:
    """Hair left at the sides of a high forehead, combed back from the temples."""
    near, far = ear_x(person)
    for x, side in ((near, -1.0), (far, 1.0)):
        back = x + side * 0.17
        hull = curve([(x - side * 0.05, 0.25), (x - side * 0.12, -0.3), (x - side * 0.2, -0.68),
                      (x - side * 0.05, -0.98), (back - side * 0.02, -0.7), (back, -0.1),
                      (x + side * 0.08, 0.3)], True)  # fmt: skip
        shape(pen, hull, person.hair_paint, 1.0)
        for y in (-0.7, -0.5, -0.3, -0.1):
            comb = [(x - side * 0.12, y), (x, y + 0.06), (back - side * 0.03, y + 0.22)]
            stroke(pen, comb, 0.7, colour=strand_colour(person))
    for x in (-0.3, -0.1, 0.15):
        wisp = [(x, -1.3), (x + 0.25, -1.38), (x + 0.5, -1.2)]
        stroke(pen, np.array(wisp) + np.array((skull_x(person), 0)), 0.8)


def _draw_bald_shine(pen: Pen, person: Person) -> None:
    middle = skull_x(person)
    gleam = [(middle + 0.15, -1.15), (middle + 0.42, -1.05), (middle + 0.58, -0.86)]
    stroke(pen, gleam, 2.6, colour=(255, 255, 255))
    stroke(pen, [(middle - 0.1, -0.95), (middle + 0.2, -0.97)], 0.6)


def _draw_cowlick(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    top = dome(person)[18]
    for lean in (-0.25, 0.2):
        spine = [
            top + np.array((0, 0.2)),
            top + np.array((lean * 0.5, -0.1)),
            top + np.array((lean * rng.uniform(1, 2), -0.26)),
        ]
        draw_lock(pen, person, np.array(spine), 0.2)


def draw_headwear(pen: Pen, person: Person) -> None:
    """Draws cap, scarf, band, ribbon or clip."""
    kind = person.headwear
    if kind in ("cap", "beanie", "headscarf"):
        _draw_hat(pen, person)
    elif kind in ("hairband", "headband"):
        high = -1.05 if kind == "hairband" else -0.62
        band = place(person, [(x, high + 0.1 * x * x) for x in np.linspace(-1.0, 1.0, 15)], 0.2)
        tall = np.array([0.0, 0.15])
        shape(pen, np.concatenate([band, (band + tall)[::-1]]), person.cloth[1], 1.0)
    elif kind == "ribbon":
        x, y = skull_x(person) - 0.5, -1.35
        for side in (-1.0, 1.0):
            wing = curve([(x, y), (x + side * 0.3, y - 0.36), (x + side * 0.6, y - 0.25),
                          (x + side * 0.55, y + 0.2), (x, y)])  # fmt: skip
            shape(pen, wing, person.cloth[1], 1.1)
        shape(pen, ellipse((x, y), (0.12, 0.12)), person.cloth[1], 1.0)
    elif kind == "clip":
        for y in (-0.7, -0.6):
            bar = place(person, [(-0.78, y), (-0.5, y - 0.04)], 0.2)
            stroke(pen, bar, 2.6, taper=(0.05, 0.05))
            stroke(pen, bar, 1.5, taper=(0.1, 0.1), colour=(255, 255, 255))


def _draw_hat(pen: Pen, person: Person) -> None:
    top = dome(person, grow=0.06)
    top = top[(top[:, 1] < -0.55)]
    brim_y = float(top[0, 1])
    low = [(top[-1, 0], brim_y), (0.3, brim_y + 0.12), (-0.4, brim_y + 0.12), (top[0, 0], brim_y)]
    shape(pen, np.concatenate([top, curve(low)]), person.cloth[1], 1.3)
    if person.headwear == "cap":
        turn = float(np.sin(person.pose.yaw_rad))
        visor = [(-0.75 + 0.5 * turn, brim_y + 0.05), (0.1 + turn, brim_y + 0.36),
                 (0.95 + 0.5 * turn, brim_y + 0.05), (0.2 + turn * 0.5, brim_y - 0.02)]  # fmt: skip
        shape(pen, curve(visor, True), person.cloth[0], 1.2)
    elif person.headwear == "beanie":
        cuff = np.concatenate([np.array(low), (np.array(low) + np.array((0, -0.3)))[::-1]])
        shape(pen, cuff, person.cloth[0], 1.1)
    else:
        for bend in (-0.5, 0.0, 0.5):
            stroke(pen, [(bend * 0.4, -1.4), (bend, -1.0), (bend * 1.4, brim_y + 0.05)], 0.8)
