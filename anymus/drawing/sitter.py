"""Manga portraits: the people and poses that photographs show, for data sets of faces."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from anymus.drawing.manga import paint_person, reduce_canvas, scale_truth
from anymus.drawing.manga_backdrop import tone_fade
from anymus.drawing.manga_ink import SUPERSAMPLING, Frame, Pen
from anymus.drawing.manga_person import NATURAL_HAIRS, Person, Pose, draw_person, with_skin
from anymus.drawing.shares import Shares
from anymus.drawing.truth import Drawing

_MAX_YAW_DEG = 26.0
_ROLL_LIMIT_DEG = 10.0
_OLD_HAIRS = ("grey", "white", "black", "brown")
_FREE_TRAITS = ("skin", "mood", "lids", "glasses", "clothes")
"""Traits that change nothing else of a person: they are drawn by their shares alone."""


def draw_sitter(
    rng: np.random.Generator,
    width_px: int = 320,
    height_px: int = 400,
    shares: Shares | None = None,
    *,
    is_on_paper: bool = False,
) -> Drawing:
    """A portrait in ink and flat greys: one person, looking about ahead, before a plain ground.

    Args:
        rng: where every trait and line comes from; the same state gives the same bytes.
        width_px: width of the picture.
        height_px: height of the picture.
        shares: how often each trait occurs; None: as in portrait photographs.
        is_on_paper: whether the ground is always white and no side of a face in shadow.
    """
    person = draw_sitting_person(rng, shares)
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
    if rng.random() < 0.5:
        tones = (rng.uniform(0.0, 0.3), rng.uniform(0.0, 0.3))
        if not is_on_paper:
            tone_fade(pen, tones)
    truth = paint_person(pen, person, rng, has_side_shadow=False if is_on_paper else None)
    return Drawing(reduce_canvas(canvas, is_grey=True), (scale_truth(truth, 1 / SUPERSAMPLING),))


def draw_sitting_person(rng: np.random.Generator, shares: Shares | None = None) -> Person:
    """A person drawn by chance among those who could sit for a portrait photograph."""
    shares = shares or Shares()
    sex, age = (_choose_by(rng, shares.weights_of(trait)) for trait in ("sex", "age"))
    while True:
        person = draw_person(rng, is_colour=False, roll_limit=_ROLL_LIMIT_DEG)
        if person.sex == sex and person.age == age and _may_sit(person):
            break
    skin, mood, lids, glasses, clothes = (
        _choose_by(rng, shares.weights_of(trait)) for trait in _FREE_TRAITS
    )
    sitting = replace(
        person,
        mood=mood,
        lids=lids,
        glasses=glasses,
        clothes=clothes,
        beard=_choose_by(rng, shares.weights_of("beard"))
        if sex == "male" and age != "young"
        else "none",
        bangs=_bangs(rng, person),
        pose=_pose(rng, person),
    )
    return with_skin(sitting, skin)


def _choose_by(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    values, numbers = list(weights), np.array(list(weights.values()))
    return values[int(rng.choice(len(values), p=numbers / numbers.sum()))]


def _may_sit(person: Person) -> bool:
    hairs = _OLD_HAIRS if person.age == "old" else NATURAL_HAIRS
    return (
        person.hair_colour in hairs
        and person.headwear == "none"
        and not person.marks - {"earrings", "mole"}
        and person.hair not in ("twin tails", "spiky")
        and not (person.sex == "male" and person.hair in ("bob", "ponytail"))
    )


def _bangs(rng: np.random.Generator, person: Person) -> str:
    """Hair combed aside or back for most men; nothing that covers an eye."""
    if person.bangs == "back":
        return "back"
    if person.sex == "male" and person.age != "young":
        return ("side", "side", "back", "zigzag")[int(rng.integers(4))]
    return ("side", "side", "centre", "straight", "zigzag")[int(rng.integers(5))]


def _pose(rng: np.random.Generator, person: Person) -> Pose:
    """Looking about ahead, as people do before a camera."""
    yaw = min(abs(rng.normal(0.0, 10.0)), _MAX_YAW_DEG)
    pitch = float(np.clip(rng.normal(0.0, 5.0), -12.0, 12.0))
    return replace(person.pose, yaw_rad=float(np.radians(yaw)), pitch_rad=float(np.radians(pitch)))
