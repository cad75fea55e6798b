"""Mouths of many moods."""

import numpy as np

from anymus.drawing.manga_head import place
from anymus.drawing.manga_ink import WHITE, Paint, Pen, Points, curve, fill, shape, stroke
from anymus.drawing.manga_person import Person

Line = list[tuple[float, float]]

_LINES: dict[str, Line] = {
    "calm": [(-0.19, 0.0), (0.0, 0.012), (0.19, -0.01)],
    "smile": [(-0.3, -0.06), (-0.14, 0.03), (0.0, 0.05), (0.14, 0.03), (0.3, -0.07)],
    "frown": [(-0.2, 0.05), (0.0, -0.01), (0.2, 0.06)],
    "sad": [(-0.17, 0.05), (-0.06, 0.0), (0.06, 0.01), (0.18, 0.06)],
    "pout": [(-0.1, 0.03), (0.0, -0.02), (0.1, 0.03)],
    "smirk": [(-0.16, 0.03), (0.05, 0.03), (0.3, -0.08)],
    "wavy": [(-0.27, 0.0), (-0.18, -0.04), (-0.09, 0.03), (0.0, -0.03), (0.09, 0.03),
             (0.18, -0.04), (0.27, 0.01)],
    "cat": [(-0.27, -0.06), (-0.14, 0.05), (0.0, -0.02), (0.14, 0.05), (0.27, -0.06)],
}  # fmt: skip

_OPENINGS: dict[str, Line] = {
    "laugh": [(-0.38, -0.1), (-0.38, -0.1), (0.0, -0.04), (0.38, -0.1), (0.38, -0.1), (0.2, 0.2),
              (0.0, 0.27), (-0.2, 0.2)],
    "shout": [(-0.3, -0.12), (0.0, -0.16), (0.3, -0.12), (0.33, 0.14), (0.2, 0.3), (-0.2, 0.3),
              (-0.33, 0.14)],
    "talk": [(-0.2, -0.04), (-0.2, -0.04), (0.0, -0.02), (0.2, -0.04), (0.2, -0.04), (0.08, 0.11),
             (-0.08, 0.11)],
    "surprise": [(0.0, -0.09), (0.1, 0.02), (0.0, 0.15), (-0.1, 0.02)],
    "grit": [(-0.27, -0.05), (-0.27, -0.05), (0.0, -0.03), (0.3, -0.07), (0.3, -0.07),
             (0.24, 0.08), (0.0, 0.09), (-0.22, 0.07)],
    "grin": [(-0.38, -0.12), (-0.38, -0.12), (0.0, -0.03), (0.38, -0.12), (0.38, -0.12),
             (0.2, 0.08), (0.0, 0.13), (-0.2, 0.08)],
}  # fmt: skip


def mouth_corners(person: Person) -> tuple[Points, Points]:
    """Left and right corner (2,) of the mouth of the unmirrored figure."""
    points = np.array(_LINES.get(person.mood) or _OPENINGS[person.mood])
    left, right = points[np.argmin(points[:, 0])], points[np.argmax(points[:, 0])]
    corners = _on_face(person, np.array([left, right]))
    return corners[0], corners[1]


def _stretch(person: Person) -> tuple[float, float]:
    wide = 1.2 if person.eye in ("seinen", "narrow") else 1.0
    room = person.size.chin_y - person.size.mouth_y
    return wide * (1.08 if person.sex == "male" else 0.95), min(1.0, 2.8 * room)


def draw_mouth(pen: Pen, person: Person) -> None:
    """Draws the mouth of the person's mood."""
    if person.mood in _OPENINGS:
        _draw_opening(pen, person)
        return
    line = _on_face(person, np.array(_LINES[person.mood]))
    stroke(pen, line, 1.5, taper=(0.25, 0.25))
    _draw_lips(pen, person)


def _on_face(person: Person, points: Points) -> Points:
    return place(person, points * _stretch(person) + (0.0, person.size.mouth_y), -0.06)


def _draw_lips(pen: Pen, person: Person) -> None:
    """A lower lip for all, full lips for some women."""
    low = _on_face(person, np.array([(-0.08, 0.11), (0.0, 0.125), (0.08, 0.11)]))
    if (
        person.sex == "female"
        and person.age != "young"
        and person.mood in ("calm", "smile", "smirk")
    ):
        lips = np.array([(-0.2, 0.0), (-0.07, -0.05), (0.0, -0.03), (0.07, -0.05), (0.2, 0.0),
                         (0.08, 0.085), (-0.08, 0.085)])  # fmt: skip
        rgb = (200, 96, 96) if person.is_colour else (255, 255, 255)
        fill(pen, _on_face(person, curve(lips, True)), Paint(rgb, 0.0 if person.is_colour else 0.4))
        stroke(pen, _on_face(person, np.array(_LINES[person.mood])), 1.3)
    if person.mood not in ("wavy", "cat"):
        stroke(pen, low, 0.8)


def _draw_opening(pen: Pen, person: Person) -> None:
    hole = curve(np.array(_OPENINGS[person.mood]), True)
    inside = Paint((122, 40, 44)) if person.is_colour else Paint((26, 24, 26))
    if person.mood == "grit":
        _draw_teeth(pen, person, hole)
        return
    if person.mood == "grin":
        shape(pen, _on_face(person, hole), Paint(WHITE), 1.5)
        return
    shape(pen, _on_face(person, hole), inside, 1.2)
    top, low = hole[:, 1].min(), hole[:, 1].max()
    width = 0.7 * (hole[:, 0].max() - hole[:, 0].min())
    if person.mood in ("laugh", "shout", "talk"):
        tongue = hole.copy()
        tongue[:, 1] = np.maximum(tongue[:, 1], top + 0.66 * (low - top))
        tongue = tongue * [0.72, 0.93]
        red = Paint((226, 112, 112)) if person.is_colour else Paint((255, 255, 255), 0.3)
        fill(pen, _on_face(person, tongue), red)
    if person.mood in ("laugh", "shout"):
        teeth = hole.copy()
        teeth[:, 1] = np.minimum(teeth[:, 1], top + 0.27 * (low - top))
        fill(pen, _on_face(person, teeth * [0.93, 0.95]), Paint(WHITE))
    line = _on_face(person, hole)
    stroke(pen, line, 1.25, taper=(0.02, 0.02))
    under = np.array([(-0.2 * width, low + 0.07), (0.0, low + 0.085), (0.2 * width, low + 0.07)])
    stroke(pen, _on_face(person, under), 0.7)


def _draw_teeth(pen: Pen, person: Person, hole: Points) -> None:
    shape(pen, _on_face(person, hole), Paint(WHITE), 1.3)
    stroke(pen, _on_face(person, np.array([(-0.24, 0.01), (0.0, 0.025), (0.26, 0.0)])), 0.8)
    for x in np.linspace(-0.16, 0.16, 4):
        stroke(pen, _on_face(person, np.array([(x, -0.03), (x * 0.97, 0.075)])), 0.6)
