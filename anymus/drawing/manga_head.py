"""The head's solid: contour, ears, nose, shadows, age lines and beards."""

import numpy as np
from numpy.typing import ArrayLike

from anymus.drawing.manga_ink import (
    Paint,
    Pen,
    Points,
    curve,
    darken,
    ellipse,
    fill,
    mix,
    outline,
    shade,
    shape,
    stroke,
    strokes,
)
from anymus.drawing.manga_person import Person

_DEPTH = 0.62
"""How far the face bulges towards the viewer, in half face widths."""


def place(person: Person, points: ArrayLike, lift: float = 0.0) -> Points:
    """Points (N, 2) of a face seen from the front, where the turned head shows them.

    `lift` is how far they stand out of the face.
    """
    front = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    bulge = np.sqrt(np.clip(1 - (front[:, 0] / 1.15) ** 2, 0.05, 1))
    depth = (_DEPTH + lift) * bulge
    yaw, pitch = person.pose.yaw_rad, person.pose.pitch_rad
    x = front[:, 0] * np.cos(yaw) + depth * np.sin(yaw)
    y = front[:, 1] * np.cos(pitch) + (depth - 0.5 * _DEPTH) * np.sin(pitch) * 0.8
    return np.stack([x, y], axis=1)


def skull_x(person: Person) -> float:
    """How far the skull's middle lies behind the face, as it shows."""
    return -0.26 * float(np.sin(person.pose.yaw_rad))


def ear_x(person: Person) -> tuple[float, float]:
    """Where on x the root of the near (left) and of the far ear lies."""
    turn = float(np.sin(person.pose.yaw_rad))
    return -1.0 + 0.42 * turn, 0.98 - 0.02 * turn


def chin_point(person: Person) -> tuple[float, float]:
    """Where the chin's tip shows."""
    turn = float(np.sin(person.pose.yaw_rad))
    return 0.52 * turn, person.size.chin_y + 0.12 * float(np.sin(person.pose.pitch_rad))


def face_contour(person: Person) -> Points:
    """The face's outline (N, 2) from the near temple round the chin to the far temple."""
    turn = float(np.sin(person.pose.yaw_rad))
    size = person.size
    chin_x, chin_y = chin_point(person)
    near, far = ear_x(person)
    jaw_y = 0.64 * chin_y
    gaunt = 0.05 if person.age == "old" else 0.0
    slim = max(0.72 - size.jaw, 0.0)
    near_jaw = -size.jaw - gaunt * 0.2 + 0.06 * turn
    far_jaw = size.jaw + 0.16 * turn - gaunt
    half = size.chin
    points = [
        (near - 0.02, -0.62),
        (near, 0.05),
        (near + 0.06 + 0.3 * slim, 0.36 * chin_y),
        (near_jaw - 0.06, jaw_y),
        (chin_x - half - 0.26, 0.9 * chin_y),
        (chin_x - half, chin_y - 0.012),
        (chin_x + half * 0.9, chin_y - 0.012),
        (chin_x + half + 0.22 - 0.08 * turn, 0.9 * chin_y),
        (far_jaw, jaw_y),
        (far - 0.05 - 0.3 * slim - 0.03 * turn, 0.36 * chin_y),
        (far - 0.07 * turn, -0.02),
        (far - 0.02 * turn, -0.3),
        (far - 0.04, -0.62),
    ]
    return curve(points)


def draw_skull(pen: Pen, person: Person) -> None:
    """Fills the head with skin and inks what no hair covers, from ear to ear over the chin."""
    contour = face_contour(person)
    near, far = ear_x(person)
    back, front = skull_x(person) - 1.03, far - 0.01
    crown = ellipse(((back + front) / 2, -0.3), ((front - back) / 2, 1.06))
    if person.hair in ("bald", "receding"):
        shape(pen, crown, person.skin_paint, 1.2)
    else:
        fill(pen, crown, person.hair_paint)
        fill(pen, ellipse(((near + far) / 2, -0.42), ((far - near) / 2, 0.66)), person.skin_paint)
    fill(pen, contour, person.skin_paint)
    stroke(pen, contour[12:], 1.35, taper=(0.12, 0.08))


def draw_ears(pen: Pen, person: Person) -> None:
    """Draws the ears that the turn of the head leaves in sight."""
    near, far = ear_x(person)
    turn = float(np.sin(person.pose.yaw_rad))
    drop = 0.16 * float(np.sin(person.pose.pitch_rad))
    if turn < 0.32:
        _draw_ear(pen, person, (far - 0.05, 0.12 - drop), 1.0 - turn * 1.5)
    _draw_ear(pen, person, (near + 0.05, 0.12 - drop), -1.0 - 0.3 * turn)


def _draw_ear(pen: Pen, person: Person, root: tuple[float, float], side: float) -> None:
    height = 0.33 if person.age != "old" else 0.38
    rim = np.array(
        [(0.0, -0.7), (0.14, -1.0), (0.28, -0.8), (0.27, -0.1), (0.18, 0.55), (0.06, 0.95),
         (-0.02, 0.8)]
    )  # fmt: skip
    at = np.array(root) + rim * [side * 0.8, height]
    fill(pen, curve(at), person.skin_paint)
    stroke(pen, at[:-1], 1.1, taper=(0.05, 0.3))
    fold = np.array([(0.08, -0.55), (0.2, -0.62), (0.19, -0.1), (0.1, 0.2)])
    stroke(pen, np.array(root) + fold * [side * 0.8, height], 0.7)
    if "earrings" in person.marks:
        drop = (root[0] + side * 0.06, root[1] + height * 1.15)
        shape(pen, ellipse(drop, (0.05, 0.06)), Paint((250, 226, 130)), 0.8)


def draw_neck(pen: Pen, person: Person) -> None:
    """Fills and inks the neck, with the shadow of the jaw on it."""
    chin_x, chin_y = chin_point(person)
    half = 0.33 + 0.14 * (person.sex == "male") + 0.04 * (person.age != "young")
    middle = -0.12 * float(np.sin(person.pose.yaw_rad))
    bottom = chin_y + 0.75
    left = curve([(middle - half, 0.4), (middle - half, chin_y), (middle - half - 0.1, bottom),
                  (middle - half - 0.5, bottom + 0.3)])  # fmt: skip
    right = curve([(middle + half, 0.4), (middle + half, chin_y), (middle + half + 0.1, bottom),
                   (middle + half + 0.5, bottom + 0.3)])  # fmt: skip
    fill(pen, np.concatenate([left, right[::-1]]), person.skin_paint)
    shadow = [(middle - half, 0.5), (middle - half, chin_y + 0.1), (chin_x - 0.1, chin_y + 0.4),
              (middle + half, chin_y + 0.22), (middle + half, 0.5)]  # fmt: skip
    fill(pen, curve(shadow), person.skin_shadow)
    for side in (left, right):
        stroke(pen, side, 1.2, taper=(0.0, 0.3))
    if person.age != "young":
        throat = [(middle + 0.1, chin_y + 0.42), (middle + 0.07, chin_y + 0.62)]
        stroke(pen, throat, 0.8)


def draw_nose(pen: Pen, person: Person) -> None:
    """Draws the nose: a tick for young people, bridge, wing and shadow for the others."""
    y = person.size.nose_y
    tip = place(person, [(0.0, y)], lift=0.2)[0]
    if person.age == "young" and person.eye != "seinen":
        stroke(
            pen,
            [
                tip + np.array((-0.03, -0.07)),
                tip + np.array((0.035, 0.0)),
                tip + np.array((-0.02, 0.025)),
            ],
            0.9,
        )
        if person.is_colour:
            fill(pen, tip + np.array([(0.0, 0.0), (-0.1, 0.05), (-0.02, 0.06)]), person.skin_shadow)
        return
    under = place(person, [(-0.13, y - 0.02), (-0.06, y + 0.06), (0.05, y + 0.05), (0.12, y)], 0.08)
    side = 0.16 if person.age == "old" else 0.12
    shadow = np.concatenate([under, place(person, [(0.0, y - 0.04)], 0.2)])
    fill(pen, shadow, person.skin_shadow)
    stroke(pen, [tip + np.array((-0.01, -0.02)), under[2], under[1]], 1.0)
    for edge in (-side, side):
        wing = [(edge * 0.9, y - 0.07), (edge * 1.15, y - 0.01), (edge * 0.8, y + 0.03)]
        stroke(pen, place(person, wing, 0.05), 0.8)
    bridge = place(person, [(0.07, -0.12), (0.06, 0.12)], 0.05)
    turned = [bridge[0], (bridge[0] + tip) / 2 + (-0.05, 0), tip]
    if person.pose.yaw_rad > 0.25 or person.eye == "seinen":
        stroke(pen, turned, 0.85, taper=(0.5, 0.1))


def draw_age_lines(pen: Pen, person: Person) -> None:
    """Draws what years leave: cheek lines, bags under the eyes, furrows, hollow cheeks."""
    if person.age == "young":
        return
    size = person.size
    eye_x, low = size.eye_x, size.eye_half[1]
    lines: list[list[tuple[float, float]]] = []
    for side in (-1.0, 1.0):
        if person.age == "old" or person.mood in ("laugh", "grit", "smirk"):
            lines.append([(side * 0.2, size.nose_y), (side * 0.33, size.mouth_y - 0.14),
                          (side * 0.36, size.mouth_y)])  # fmt: skip
        if person.age == "old":
            bag = [(eye_x - 0.16, 0.13), (eye_x, 0.2), (eye_x + 0.17, 0.12)]
            lines.append([(side * x, y + low * 0.4) for x, y in bag])
            lines.append([(side * 0.74, -0.02), (side * 0.83, -0.07)])
            lines.append([(side * 0.75, 0.05), (side * 0.84, 0.06)])
            lines.append([(side * 0.62, 0.42), (side * 0.55, 0.62)])
    if person.age == "old":
        lines += [[(-0.4, -0.62), (0.0, -0.66), (0.42, -0.62)], [(-0.3, -0.74), (0.33, -0.74)]]
    lines.append([(0.06, -0.2), (0.07, -0.08)])
    strokes(pen, (place(person, line) for line in lines), 0.7)
    if person.eye == "seinen" and person.sex == "male":
        for i in range(6):
            x, y = -0.84 + 0.05 * i, 0.34 + 0.055 * i
            strokes(pen, [place(person, [(x, y), (x + 0.02, y + 0.13), (x + 0.1, y + 0.22)])], 0.6)


def draw_side_shadow(pen: Pen, person: Person) -> None:
    """Shades the near side of the face, as light from the front leaves it."""
    size = person.size
    inner = [(-0.42, 0.86 * size.chin_y), (-0.7, 0.5), (-0.76, 0.0), (-0.72, -0.5)]
    turned = place(person, inner)
    edge = face_contour(person)[8:48]
    fill(pen, np.concatenate([edge, curve(turned)]), person.skin_shadow)


def draw_beard(pen: Pen, person: Person) -> None:
    """Draws moustache and beard."""
    if person.beard == "none":
        return
    if person.beard == "stubble":
        _draw_stubble(pen, person)
        return
    if person.beard != "moustache":
        _draw_chin_beard(pen, person)
    size = person.size
    top, low = size.nose_y + 0.07, size.mouth_y - 0.07
    half = 0.36 if person.beard in ("full", "long") else 0.32
    moustache = [(0, top), (half * 0.6, top + 0.03), (half, low + 0.04), (half * 0.5, low + 0.02),
                 (0, low - 0.02), (-half * 0.5, low + 0.02), (-half, low + 0.04),
                 (-half * 0.6, top + 0.03)]  # fmt: skip
    shape(pen, place(person, curve(moustache, True), 0.06), person.hair_paint, 0.8)
    _comb(pen, person, [((x, top + 0.03), (x * 1.6, low)) for x in (-0.16, -0.08, 0.0, 0.08, 0.16)])


def _draw_chin_beard(pen: Pen, person: Person) -> None:
    size = person.size
    chin_x, chin_y = chin_point(person)
    low = size.mouth_y + 0.12
    if person.beard == "goatee":
        ring = place(person, [(-0.16, low + 0.02), (0.0, low), (0.16, low + 0.02)], 0.02)
        foot = 0.5 * (ring[1, 0] + chin_x)
        tip = [(foot + 0.16, chin_y - 0.03), (foot, chin_y + 0.1), (foot - 0.16, chin_y - 0.03)]
        shape(pen, np.concatenate([ring, curve(tip)]), person.hair_paint, 0.9)
        return
    edge = face_contour(person)
    edge = edge[14:-26]
    length = 0.55 if person.beard == "long" else 0.1
    drop = np.clip((edge[:, 1] - 0.25) / chin_y, 0, 1)[:, None] ** 2
    teeth = 0.05 * (np.arange(len(edge)) % 2)[:, None]
    hull = edge + drop * np.array([0.0, length]) + teeth * drop * [0.0, 1.0]
    inner = place(
        person,
        [(0.86, 0.3), (0.6, 0.62), (0.4, size.mouth_y), (0.28, low), (0, low + 0.02), (-0.28, low),
         (-0.4, size.mouth_y), (-0.6, 0.62), (-0.86, 0.3)],
        0.02,
    )  # fmt: skip
    shape(pen, np.concatenate([hull, curve(inner)]), person.hair_paint, 1.0)
    spread = np.linspace(-0.55, 0.55, 11)
    starts = [(x, low + 0.08 + 0.05 * (i % 2)) for i, x in enumerate(spread)]
    _comb(pen, person, [((x, y), (x * 0.8, chin_y + length * 0.6)) for x, y in starts])


def _comb(
    pen: Pen, person: Person, lines: list[tuple[tuple[float, float], tuple[float, float]]]
) -> None:
    dark = person.hair_paint.rgb
    light = mix(dark, (255, 255, 255), 0.5)
    colour = light if sum(dark) < 260 else darken(dark, 0.55)
    for line in lines:
        stroke(pen, place(person, line, 0.05), 0.6, colour=colour)


def _draw_stubble(pen: Pen, person: Person) -> None:
    rows = np.linspace(person.size.mouth_y - 0.1, 0.93 * person.size.chin_y, 7)
    for i, y in enumerate(rows):
        reach = 0.62 * (1 - 0.55 * i / len(rows))
        for x in np.linspace(-reach, reach, 11) + 0.03 * (i % 2):
            if abs(x) > 0.27 or y > person.size.mouth_y + 0.1:
                stroke(pen, place(person, [(x, y), (x * 0.98, y + 0.035)]), 0.55)


def draw_marks(pen: Pen, person: Person) -> None:
    """Draws blush, freckles, scar, mole and a shadowed upper face."""
    for side in (-1.0, 1.0):
        _draw_cheek(pen, person, side)
    if "mole" in person.marks:
        spot = ellipse((-0.3, person.size.mouth_y - 0.02), (0.025, 0.025), 12)
        fill(pen, place(person, spot), Paint(pen.ink))
    if "scar" in person.marks:
        stroke(pen, place(person, [(0.5, -0.5), (0.56, 0.1), (0.5, 0.5)]), 1.1)
        for y in (-0.35, 0.2, 0.38):
            stroke(pen, place(person, [(0.46, y), (0.62, y + 0.03)]), 0.7)
    if "shadowed" in person.marks and not person.is_colour:
        veil = [(-0.98, -0.7), (0.98, -0.7), (0.95, -0.05), (0.0, 0.03), (-0.95, -0.05)]
        shade(pen, place(person, veil), 0.28)


def _draw_cheek(pen: Pen, person: Person, side: float) -> None:
    """Blush and freckles on one cheek."""
    x, y = side * (person.size.eye_x + 0.1), 0.3 + 0.5 * person.size.eye_half[1]
    if "blush" in person.marks:
        if person.is_colour:
            rose = place(person, ellipse((x, y), (0.2, 0.09)))
            fill(pen, rose, Paint(mix(person.skin_paint.rgb, (236, 90, 90), 0.3)))
        for i in range(-2, 3):
            dash = [(x + i * 0.07 + 0.03, y - 0.06), (x + i * 0.07 - 0.03, y + 0.06)]
            stroke(pen, place(person, dash), 0.6)
    if "freckles" in person.marks:
        for i in range(7):
            spot = (x + 0.07 * (i - 3), y - 0.02 + 0.05 * ((i * 5) % 3 - 1))
            outline(pen, place(person, ellipse(spot, (0.008, 0.008), 6)), 0.5)
