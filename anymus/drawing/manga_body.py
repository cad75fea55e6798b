"""Shoulders and what people wear."""

from dataclasses import replace

import numpy as np

from anymus.drawing.manga_ink import (
    Frame,
    Paint,
    Pen,
    Points,
    curve,
    darken,
    fill,
    shade,
    shape,
    stroke,
)
from anymus.drawing.manga_person import Person


def body_frame(frame: Frame) -> Frame:
    """The frame of the body below a head: it leans a quarter of what the head leans."""
    return replace(frame, roll_rad=0.25 * frame.roll_rad)


def _torso(person: Person, rng: np.random.Generator) -> Points:
    wide = person.size.shoulder
    neck = person.size.chin_y + 0.3
    slope = rng.uniform(0.3, 0.5)
    right = [
        (0.5, neck),
        (0.75, neck + 0.16),
        (wide * 0.85, neck + slope),
        (wide + 0.08, neck + slope + 0.4),
        (wide + 0.25, neck + 2.0),
        (wide + 0.25, neck + 9.0),
    ]
    left = [(-x, y) for x, y in right]
    return np.concatenate([curve(left[::-1]), curve(right)])


def draw_body(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    """Draws the clothed shoulders; the pen's frame is the body's."""
    torso = _torso(person, rng)
    neck = person.size.chin_y + 0.3
    main, second = person.cloth
    shape(pen, torso, main, 1.4)
    _draw_folds(pen, person, rng, neck)
    drawers = {
        "sailor": _draw_sailor,
        "blazer": _draw_jacket,
        "suit": _draw_jacket,
        "hoodie": _draw_hoodie,
        "shirt": _draw_shirt,
        "kimono": _draw_kimono,
        "dress": _draw_open_neck,
        "tee": _draw_round_neck,
    }
    if person.clothes == "turtleneck":
        _draw_turtleneck(pen, person, neck)
    else:
        drawers[person.clothes](pen, person, neck, second)


def _draw_folds(pen: Pen, person: Person, rng: np.random.Generator, neck: float) -> None:
    wide = person.size.shoulder
    is_dark = sum(person.cloth[0].rgb) < 150
    light = (120, 120, 124)
    for side in (-1.0, 1.0):
        arm = [(side * (wide - 0.3), neck + 1.1), (side * (wide - 0.24), neck + 1.6),
               (side * (wide - 0.3), neck + 3.0)]  # fmt: skip
        stroke(pen, arm, 1.1, colour=light if is_dark else None)
        for _ in range(3):
            x, y = side * (wide - rng.uniform(-0.05, 0.5)), neck + rng.uniform(0.7, 1.6)
            fold = [(x, y), (x - side * 0.16, y + 0.16), (x - side * 0.22, y + 0.4)]
            stroke(pen, fold, 0.8, colour=light if is_dark else None)
    if not is_dark:
        flank = curve(
            [
                (-wide + 0.3, neck + 1.1),
                (-wide + 0.42, neck + 1.7),
                (-wide + 0.5, neck + 4),
                (-wide + 0.28, neck + 4),
                (-wide + 0.24, neck + 1.7),
            ]
        )
        if person.is_colour:
            fill(pen, flank, Paint(darken(person.cloth[0].rgb, 0.82)))
        else:
            shade(pen, flank, 0.22)


def _skin_v(pen: Pen, person: Person, neck: float, reach: tuple[float, float]) -> None:
    """A neckline that shows skin: half width and depth below the neck's foot."""
    half, depth = reach
    chest = [(-half, neck - 0.05), (0.0, neck + depth), (half, neck - 0.05)]
    fill(pen, curve(chest), person.skin_paint)
    stroke(pen, chest, 1.1, taper=(0.0, 0.0))
    bones = [[(-0.42, neck + 0.2), (-0.15, neck + 0.27)], [(0.42, neck + 0.2), (0.15, neck + 0.27)]]
    for bone in bones:
        if depth > 0.45:
            stroke(pen, bone, 0.8)


def _draw_sailor(pen: Pen, person: Person, neck: float, paint: Paint) -> None:
    _skin_v(pen, person, neck, (0.5, 0.75))
    for side in (-1.0, 1.0):
        flap = np.array([(0.44, neck - 0.12), (0.95, neck + 0.22), (1.15, neck + 0.6),
                         (0.5, neck + 0.95), (0.02, neck + 1.05), (0.3, neck + 0.5)])  # fmt: skip
        shape(pen, flap * [side, 1.0], paint, 1.2)
        trim = flap[1:5] * [side * 0.9, 1.0] + (0, -0.07)
        light = (245, 245, 245) if sum(paint.rgb) < 500 else pen.ink
        stroke(pen, trim, 0.9, taper=(0.02, 0.02), colour=light)
        tail = np.array(
            [(0.02, neck + 1.0), (0.4, neck + 1.3), (0.3, neck + 1.75), (0.05, neck + 1.3)]
        )
        shape(
            pen,
            curve(tail * [side, 1.0]),
            person.cloth[0]
            if sum(paint.rgb) < 200
            else Paint((200, 60, 60) if person.is_colour else (30, 30, 32)),
            1.1,
        )


def _draw_jacket(pen: Pen, person: Person, neck: float, paint: Paint) -> None:
    white = Paint((252, 252, 252))
    shape(pen, [(-0.46, neck - 0.05), (0.0, neck + 1.7), (0.46, neck - 0.05)], white, 1.0)
    tie = [(-0.11, neck + 0.28), (0.11, neck + 0.28), (0.08, neck + 0.45), (0.18, neck + 1.5),
           (-0.18, neck + 1.5), (-0.08, neck + 0.45)]  # fmt: skip
    shape(pen, tie, paint, 1.0)
    for side in (-1.0, 1.0):
        collar = np.array(
            [(0.46, neck - 0.2), (0.5, neck + 0.1), (0.28, neck + 0.55), (0.02, neck + 0.28)]
        )
        shape(pen, collar * [side, 1.0], white, 1.1)
        lapel = np.array([(0.5, neck - 0.08), (0.86, neck + 0.35), (0.66, neck + 0.5),
                          (0.72, neck + 0.66), (0.05, neck + 1.9), (0.3, neck + 0.65)])  # fmt: skip
        shape(pen, lapel * [side, 1.0], person.cloth[0], 1.2)
        if sum(person.cloth[0].rgb) < 150:
            stroke(pen, lapel[1:5] * [side, 1.0], 0.8, (0, 0), (150, 150, 154))


def _draw_hoodie(pen: Pen, person: Person, neck: float, paint: Paint) -> None:
    for side in (-1.0, 1.0):
        hood = np.array([(0.3, neck + 0.55), (0.62, neck - 0.2), (0.95, neck - 0.15),
                         (1.0, neck + 0.25), (0.5, neck + 0.75), (0.05, neck + 0.8)])  # fmt: skip
        shape(pen, curve(hood * [side, 1.0], True), person.cloth[0], 1.3)
        cord = np.array([(0.2, neck + 0.7), (0.24, neck + 1.1), (0.2, neck + 1.5)])
        stroke(pen, cord * [side, 1.0], 2.0, (0, 0), paint.rgb)


def _draw_shirt(pen: Pen, person: Person, neck: float, paint: Paint) -> None:
    _skin_v(pen, person, neck, (0.42, 0.55))
    for side in (-1.0, 1.0):
        collar = np.array(
            [(0.42, neck - 0.22), (0.58, neck + 0.02), (0.5, neck + 0.56), (0.02, neck + 0.5)]
        )
        shape(pen, collar * [side, 1.0], person.cloth[0], 1.2)
    stroke(pen, [(0.02, neck + 0.5), (0.03, neck + 4)], 1.0, (0, 0))
    for y in (0.8, 1.3, 1.8):
        shape(pen, curve([(0.1, neck + y), (0.15, neck + y + 0.05), (0.1, neck + y + 0.1),
                          (0.05, neck + y + 0.05)], True), paint, 0.7)  # fmt: skip


def _draw_kimono(pen: Pen, person: Person, neck: float, paint: Paint) -> None:
    _skin_v(pen, person, neck, (0.48, 0.8))
    under = [(0.42, neck - 0.2), (0.62, neck - 0.1), (-0.3, neck + 1.9), (-0.55, neck + 1.9)]
    over = [(-0.42, neck - 0.2), (-0.64, neck - 0.1), (0.35, neck + 2.1), (0.65, neck + 2.1)]
    shape(pen, under, paint, 1.2)
    shape(pen, over, paint, 1.2)


def _draw_open_neck(pen: Pen, person: Person, neck: float, paint: Paint) -> None:
    _skin_v(pen, person, neck, (0.62, 0.72))
    for side in (-1.0, 1.0):
        frill = curve(
            np.array(
                [
                    (0.6, neck - 0.04),
                    (0.5, neck + 0.45),
                    (0.02, neck + 0.72),
                    (0.02, neck + 0.92),
                    (0.66, neck + 0.62),
                    (0.84, neck + 0.05),
                ]
            )
            * [side, 1.0]
        )
        shape(pen, frill, paint, 1.0)


def _draw_round_neck(pen: Pen, person: Person, neck: float, paint: Paint) -> None:
    ring = np.array(
        [
            (-0.55, neck - 0.04),
            (-0.35, neck + 0.24),
            (0.0, neck + 0.33),
            (0.35, neck + 0.24),
            (0.55, neck - 0.04),
        ]
    )
    fill(pen, curve(ring), person.skin_paint)
    rim = np.concatenate([curve(ring), curve(ring * [1.18, 1.0] + (0, 0.1))[::-1]])
    shape(pen, rim, paint, 1.0)


def _draw_turtleneck(pen: Pen, person: Person, neck: float) -> None:
    half = 0.52 + 0.1 * (person.sex == "male")
    roll = [(-half, neck - 0.32), (0, neck - 0.16), (half, neck - 0.32), (half + 0.12, neck + 0.14),
            (0, neck + 0.34), (-half - 0.12, neck + 0.14)]  # fmt: skip
    shape(pen, curve(roll, True), person.cloth[0], 1.3)
    for x in np.linspace(-0.4, 0.4, 6):
        stroke(pen, [(x, neck - 0.15), (x * 1.1, neck + 0.2)], 0.6)
