"""Eyes, brows and glasses: where a manga face is read first."""

import cv2
import numpy as np
from numpy.typing import ArrayLike

from anymus.drawing.manga_head import place
from anymus.drawing.manga_ink import (
    WHITE,
    Colour,
    Paint,
    Pen,
    Points,
    curve,
    darken,
    ellipse,
    fill,
    fill_px,
    mix,
    outline,
    stroke,
    stroke_px,
)
from anymus.drawing.manga_person import Person

_CORNERS = {
    "round": (0.02, 0.02),
    "tall": (0.05, 0.02),
    "sharp": (0.1, -0.09),
    "drooping": (-0.04, 0.1),
    "narrow": (0.04, -0.04),
    "seinen": (0.03, -0.015),
}
"""y of the inner and of the outer corner, in figure units, by kind of eye."""


def eye_centre(person: Person, side: float) -> Points:
    """The middle (2,) of the eye on one side (-1 or 1) of the unmirrored figure."""
    low = 0.35 * person.size.eye_half[1]
    return np.asarray(place(person, [(side * person.size.eye_x, low * 0.2)], 0.02)[0])


def draw_eyes(pen: Pen, person: Person, gaze: tuple[float, float]) -> None:
    """Draws both eyes; `gaze` is where the irises look, each -1 to 1."""
    for side in (-1.0, 1.0):
        is_shut = person.lids in ("closed", "happy") or (person.lids == "wink" and side < 0)
        if is_shut:
            _draw_shut(pen, person, side)
        else:
            _draw_open(pen, person, side, gaze)


def _eye_place(person: Person, side: float, points: ArrayLike) -> Points:
    """Points of an eye (outwards is +x, middle at 0) on the turned face."""
    local = np.asarray(points, dtype=np.float64)
    x = side * (person.size.eye_x + local[:, 0])
    return place(person, np.stack([x, local[:, 1]], axis=1), 0.02)


def _lids(person: Person) -> tuple[Points, Points]:
    """Upper and lower lid curves from the inner to the outer corner, in the eye's own place."""
    half, height = person.size.eye_half
    inner_y, outer_y = _CORNERS[person.eye]
    top = -height * (1.15 if person.lids == "wide" else 0.45 if person.lids == "half" else 1.0)
    low = height * (0.72 if person.lids != "half" else 0.6)
    apex = {"sharp": -0.25, "drooping": 0.05, "seinen": -0.15}.get(person.eye, -0.1) * half
    upper = curve(
        [
            (-half, inner_y),
            (-half * 0.72, top * 0.66),
            (apex, top),
            (half * 0.7, top * 0.72 + outer_y * 0.4),
            (half, outer_y),
        ]
    )
    lower = curve(
        [
            (-half, inner_y),
            (-half * 0.55, low * 0.8),
            (half * 0.1, low),
            (half * 0.72, low * 0.72 + outer_y * 0.3),
            (half, outer_y),
        ]
    )
    return upper, lower


def _draw_open(pen: Pen, person: Person, side: float, gaze: tuple[float, float]) -> None:
    upper, lower = _lids(person)
    white = _eye_place(person, side, np.concatenate([upper, lower[::-1]]))
    fill(pen, white, Paint(WHITE))
    _draw_iris(pen, person, side, (white, gaze))
    half, height = person.size.eye_half
    is_small = person.eye in ("seinen", "narrow")
    lash = upper.copy()
    weight = (2.3 if is_small else 4.2) * (1.25 if person.sex == "female" else 0.95)
    weight *= 0.75 + 0.5 * half
    outer = upper[-1]
    flick = 0.09 if person.sex == "female" else 0.03
    lash = np.concatenate(
        [lash, [outer + np.array((flick, 0.05 if person.eye == "drooping" else -0.02))]]
    )
    _lid_stroke(pen, _eye_place(person, side, lash), weight, (0.45, 0.12))
    _lid_stroke(pen, _eye_place(person, side, lower[14:]), 0.9 + 0.5 * (not is_small), (0.7, 0.1))
    if is_small:
        _lid_stroke(pen, _eye_place(person, side, lower[:20]), 0.6, (0.2, 0.6))
    crease = upper[6:-4] * [1.02, 1.0] + (0.02, -0.065 - 0.05 * height)
    _lid_stroke(pen, _eye_place(person, side, crease), 0.65, (0.4, 0.4))
    if person.sex == "female" and not is_small:
        for reach, y in ((0.1, -0.07), (0.07, -0.12)):
            start = upper[-7 if reach == 0.1 else -12]
            hair = [start, start + np.array((reach * 0.7, y * 0.4)), start + np.array((reach, y))]
            _lid_stroke(pen, _eye_place(person, side, np.array(hair)), 1.3, (0.0, 0.9))


def _lid_stroke(pen: Pen, line: Points, width: float, taper: tuple[float, float]) -> None:
    stroke_px(pen, pen.frame.to_px(line), width * pen.line_px, taper)


def _draw_iris(
    pen: Pen, person: Person, side: float, opening: tuple[Points, tuple[float, float]]
) -> None:
    """Paints iris, pupil, lights and the lid's shadow, clipped to the eye's white."""
    white, gaze = opening
    corners = np.rint(pen.frame.to_px(white)).astype(np.int32)
    before = pen.canvas
    height_px, width_px = before.shape[:2]
    x, y, w, h = cv2.boundingRect(corners)
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, width_px), min(y + h, height_px)
    if right <= left or bottom <= top:
        return
    kept = before[top:bottom, left:right].copy()
    _paint_iris(pen, person, side, gaze)
    mask = np.zeros(kept.shape[:2], np.uint8)
    cv2.fillPoly(mask, [corners - np.array([left, top], np.int32)], 1)
    patch = before[top:bottom, left:right]
    np.copyto(patch, kept, where=(mask == 0)[:, :, None])


def _iris_shape(person: Person, gaze: tuple[float, float]) -> tuple[Points, Points]:
    """Centre (2,) and radii (2,) of the iris in the eye's own place."""
    half, height = person.size.eye_half
    shrink = 0.62 if person.lids == "wide" else 1.0
    if person.eye in ("seinen", "narrow"):
        radius = np.array([0.118, 0.125]) * shrink * (half / 0.22)
    else:
        radius = np.array([half * 0.62, height * 0.84]) * shrink
        radius[1] = max(radius[1], radius[0] * 0.9)
    reach = half - radius[0]
    centre = np.array([gaze[0] * reach * 0.55, -0.1 * height + gaze[1] * 0.12 * height])
    return centre, radius


def _paint_iris(pen: Pen, person: Person, side: float, gaze: tuple[float, float]) -> None:
    sided = (gaze[0] * side, gaze[1])
    centre, radius = _iris_shape(person, sided)

    def disc(shift: tuple[float, float], share: tuple[float, float]) -> Points:
        round_ = ellipse((0, 0), (1, 1)) * (radius * share) + centre + radius * shift
        return pen.frame.to_px(_eye_place(person, side, round_))

    dark, light = _iris_colours(person)
    fill_px(pen, disc((0, 0), (1, 1)), Paint(pen.ink))
    fill_px(pen, disc((0, 0.02), (0.88, 0.9)), Paint(dark))
    bands = 5
    for i in range(bands):
        rgb = mix(dark, light, (i + 1) / bands)
        drop = 0.1 + 0.42 * i / bands
        fill_px(pen, disc((0, drop), (0.8 - 0.11 * i, 0.86 - drop - 0.02 * i)), Paint(rgb))
    fill_px(pen, disc((0, -0.02), (0.4, 0.44)), Paint(pen.ink))
    _paint_lid_shadow(pen, person, side)
    flip = 1.0 if (side > 0) != pen.frame.is_mirrored else -1.0
    fill_px(pen, disc((-0.34 * flip, -0.42), (0.34, 0.3)), Paint(WHITE))
    if person.eye not in ("seinen", "narrow"):
        fill_px(pen, disc((0.36 * flip, 0.42), (0.16, 0.15)), Paint(WHITE))


def _iris_colours(person: Person) -> tuple[Colour, Colour]:
    rgb = person.iris
    depth = 0.9 if rgb == WHITE else 0.45
    return darken(rgb, depth), mix(rgb, WHITE, 0.45)


def _paint_lid_shadow(pen: Pen, person: Person, side: float) -> None:
    """Darkens what lies right under the upper lid: the white softly, the iris a lot."""
    upper, _ = _lids(person)
    depth = 0.1 * person.size.eye_half[1] + 0.02
    band = np.concatenate([upper + np.array((0, -0.03)), (upper + np.array((0, depth)))[::-1]])
    corners = np.rint(pen.frame.to_px(_eye_place(person, side, band))).astype(np.int32)
    x, y, w, h = cv2.boundingRect(corners)
    left, top = max(x, 0), max(y, 0)
    patch = pen.canvas[top : y + h, left : x + w]
    if patch.size:
        mask = np.zeros(patch.shape[:2], np.uint8)
        cv2.fillPoly(mask, [corners - np.array([left, top], np.int32)], 1)
        patch[mask > 0] = (patch[mask > 0] * 0.68).astype(np.uint8)


def _draw_shut(pen: Pen, person: Person, side: float) -> None:
    half, height = person.size.eye_half
    rise = -0.5 * max(height, 0.2) if person.lids == "happy" else 0.4 * max(height, 0.16)
    base = 0.06 if person.lids == "happy" else 0.0
    line = np.array([(-half, base), (-half * 0.5, base + rise * 0.8), (half * 0.1, base + rise),
                     (half * 0.65, base + rise * 0.7), (half * 1.05, base - 0.02)])  # fmt: skip
    weight = 2.2 if person.eye in ("seinen", "narrow") else 3.2
    _lid_stroke(pen, _eye_place(person, side, curve(line)), weight, (0.35, 0.2))
    if person.sex == "female" and person.lids != "happy":
        for at, reach in ((3, 0.09), (4, 0.08)):
            start = line[at]
            hair = np.array([start, start + np.array((reach, 0.06))])
            _lid_stroke(pen, _eye_place(person, side, hair), 1.4, (0.0, 0.9))


def draw_brows(pen: Pen, person: Person) -> None:
    """Draws the brows as the mood moves them."""
    tilt = {"shout": 0.13, "grit": 0.15, "frown": 0.12, "smirk": 0.06, "sad": -0.13,
            "wavy": -0.1, "surprise": -0.04, "pout": 0.05}.get(person.mood, -0.02)  # fmt: skip
    lift = -0.08 if person.mood in ("surprise", "laugh") else 0.03 if tilt > 0.1 else 0.0
    y, half = person.size.brow_y + lift, person.size.eye_half[0] * 1.05
    is_heavy = person.sex == "male" or person.age == "old"
    weight = (3.2 if is_heavy else 1.9) * (1.2 if person.eye == "seinen" else 1.0)
    colour = _brow_colour(pen, person)
    for side in (-1.0, 1.0):
        line = np.array(
            [
                (-half, y + tilt),
                (-half * 0.2, y - 0.05 + 0.2 * tilt),
                (half * 0.5, y - 0.06 - 0.3 * tilt),
                (half * 1.1, y + 0.02 - 0.3 * tilt),
            ]
        )
        px = pen.frame.to_px(_eye_place(person, side, curve(line)))
        stroke_px(pen, px, weight * pen.line_px, (0.18, 0.75), colour)


def _brow_colour(pen: Pen, person: Person) -> Colour:
    if not person.is_colour:
        is_grey = person.age == "old" and person.hair_colour in ("white", "grey")
        return (120, 120, 122) if is_grey else pen.ink
    return darken(person.hair_paint.rgb, 0.6)


def draw_glasses(pen: Pen, person: Person) -> None:
    """Draws the frames, the bridge, the near temple and a gleam on each glass."""
    if person.glasses == "none":
        return
    half = 0.34 if person.glasses != "round" else 0.33
    tall = {"round": 0.32, "square": 0.26, "half": 0.2, "thick": 0.3}[person.glasses]
    tall = max(tall, person.size.eye_half[1] * 0.95)
    middle = 0.06
    weight = {"thick": 2.6, "half": 1.3}.get(person.glasses, 1.6)
    power = 2.0 if person.glasses == "round" else 4.0
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    rim_x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / power) * half
    rim_y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / power) * tall + middle
    for side in (-1.0, 1.0):
        rim = _eye_place(person, side, np.stack([rim_x, rim_y], axis=1))
        if person.glasses == "half":
            low = [i for i in range(48) if rim_y[i] > middle - 0.02]
            stroke(pen, rim[low], weight, taper=(0.05, 0.05))
        else:
            outline(pen, rim, weight)
        gleam = np.array([(half * 0.35, middle - tall * 0.7), (half * 0.1, middle - tall * 0.15)])
        for shift in (0.0, 0.08):
            px = pen.frame.to_px(_eye_place(person, side, gleam + np.array((shift, 0.04))))
            stroke_px(pen, px, 1.1 * pen.line_px, colour=WHITE)
    x = person.size.eye_x
    bridge = place(person, [(half - x, -0.02), (0, -0.07), (x - half, -0.02)], 0.1)
    stroke(pen, bridge, weight, taper=(0.0, 0.0))
    arm = place(person, [(-x - half, -0.03), (-0.97, -0.08)])
    stroke(pen, arm, weight, taper=(0.0, 0.0))
