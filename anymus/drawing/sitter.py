"""Manga portraits: the people and poses that photographs show, for data sets of faces."""

import numpy as np
from numpy.typing import NDArray

from anymus.drawing.manga import paint_person, reduce_canvas, scale_truth
from anymus.drawing.manga_backdrop import tone_fade
from anymus.drawing.manga_ink import SUPERSAMPLING, Frame, Pen
from anymus.drawing.manga_person import NATURAL_HAIRS, Person, draw_person
from anymus.drawing.truth import Drawing

_MAX_YAW_DEG = 26.0
_ROLL_LIMIT_DEG = 10.0
_MOODS = frozenset({"calm", "smile", "laugh", "talk", "frown", "smirk", "sad"})
_LIDS = frozenset({"open", "half"})
_ODD_MARKS = frozenset({"sweat", "tears", "vein", "scar", "shadowed", "blush"})
_OLD_HAIRS = frozenset({"grey", "white"})
_COVERING_BANGS = frozenset({"one eye", "swept"})


def draw_sitter(rng: np.random.Generator, width_px: int = 320, height_px: int = 400) -> Drawing:
    """A portrait in ink and flat greys: one person, looking about ahead, before a plain ground.

    Args:
        rng: where every trait and line comes from; the same state gives the same bytes.
        width_px: width of the picture.
        height_px: height of the picture.
    """
    person = draw_sitting_person(rng)
    canvas: NDArray[np.uint8] = np.full(
        (height_px * SUPERSAMPLING, width_px * SUPERSAMPLING, 3), 255, np.uint8
    )
    side = min(width_px, height_px * 0.8) * SUPERSAMPLING
    unit = side * rng.uniform(0.25, 0.29)
    middle = (
        canvas.shape[1] * rng.uniform(0.47, 0.53) - 0.12 * unit * np.sin(person.pose.yaw_rad),
        max(canvas.shape[0] * rng.uniform(0.42, 0.46), 1.7 * unit),
    )
    frame = Frame(middle, unit, person.pose.roll_rad, person.pose.is_mirrored)
    pen = Pen(canvas, frame, line_px=float(unit * rng.uniform(0.026, 0.034)), screen="grey")
    if rng.random() < 0.6:
        tone_fade(pen, (rng.uniform(0.0, 0.45), rng.uniform(0.0, 0.45)))
    truth = paint_person(pen, person, rng)
    return Drawing(reduce_canvas(canvas, is_grey=True), (scale_truth(truth, 1 / SUPERSAMPLING),))


def draw_sitting_person(rng: np.random.Generator) -> Person:
    """A person drawn by chance among those who could sit for a portrait photograph."""
    while True:
        person = draw_person(rng, is_colour=False, roll_limit=_ROLL_LIMIT_DEG)
        if _may_sit(person):
            return person


def _may_sit(person: Person) -> bool:
    return (
        abs(np.degrees(person.pose.yaw_rad)) <= _MAX_YAW_DEG
        and person.mood in _MOODS
        and person.lids in _LIDS
        and not person.marks & _ODD_MARKS
        and (person.hair_colour in NATURAL_HAIRS or _has_aged(person))
        and person.headwear == "none"
        and person.bangs not in _COVERING_BANGS
        and person.hair not in ("twin tails", "spiky")
    )


def _has_aged(person: Person) -> bool:
    return person.age == "old" and person.hair_colour in _OLD_HAIRS
