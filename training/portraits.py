"""Portraits as lessons: what each photo's person looks like where our renderer of manga draws it.

Who is in a photo and where the face lies says a table that a person and a detector of landmarks
filled in; `anymus.drawing.portrait` draws it. So the lesson is a whole drawing, its eyes open and
alike, on white paper, whatever a generator would make of the photo.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from anymus.drawing.portrait import CHOICES, Sitting, draw_portrait
from anymus.errors import ParamsError
from anymus.images import RgbU8
from anymus.tables import read_table

from .complexion import COMPLEXIONS, LIGHT_SKINS, exposed_for_skin, with_complexion
from .data import find_pictures
from .disguise import BEARDS, GLASSES, with_beard, with_glasses
from .lessons import Lesson, photo_name, squares
from .schoolbook import HARD_WEIGHT
from .sitter_choices import by_photo
from .sitters import find_sitter

RARE_SHARE = 1 / 12
DARK_SKINS = ("brown", "dark")
HIDDEN_WEIGHT = 2.0
"""How many times as often, beside other rare traits, who has dark skin or a beard is shown: light
and shadow look like them."""
_BEARD_SHARE, _BOTH_SHARE = 0.6, 0.3
"""Of men in disguise who could wear either: so many have a beard, and so many of them glasses, too.
"""
_DARK_IN_DISGUISE = 0.5
"""Of who is darkened and could wear a beard or glasses, where people are disguised, too."""
_EXPOSED = 0.5
"""Of who is darkened: so many photos are as from a camera that was set for their skin."""
_DARK_HAIR, _OTHER_HAIR_SHARE = ("black", "dark brown"), 0.25
"""Light hair beside dark skin is rare: who has it is darkened a quarter as often."""
_EYES = ("left_eye_x", "left_eye_y", "right_eye_x", "right_eye_y")
_NUMBERS = tuple(one.name for one in fields(Sitting) if one.name not in (*CHOICES, "eyes"))
COLUMNS = ("id", *CHOICES, *_EYES, *_NUMBERS)


class Again(NamedTuple):
    """How often people of a table are shown once more as somebody else, beside as they are."""

    darkened: float = 0.0
    """Who has light skin, with dark skin (`complexion`); of light hair a quarter as often."""
    disguised: float = 0.0
    """Who has no beard or no glasses, with them (`disguise`)."""
    seed: int = 0
    """Of what they look like then."""
    variants: int = 1
    """As how many others each is shown in turn."""


NEVER_AGAIN = Again()


def read_sittings(path: Path, dataset_dir: Path) -> dict[str, Sitting]:
    """Return who sits in which photo, by the photo's path below the data set.

    Args:
        path: A CSV with the columns `COLUMNS`; `id` is of the manifest.
        dataset_dir: Holds the manifest.

    Raises:
        ParamsError: It cannot be read, is no such table, or names no photo of the data set.
        DatasetError: There is no manifest, or it is damaged.
    """
    known = by_photo(dict(_read_rows(path)), path, dataset_dir)
    if not known:
        raise ParamsError(f"{path} names no photo of {dataset_dir}", "give its own table")
    return known


def _read_rows(path: Path) -> Iterator[tuple[str, Sitting]]:
    for line, where in read_table(path, COLUMNS, needed=COLUMNS):
        row = {column: (line[column] or "").strip() for column in COLUMNS}
        yield row["id"], parse_sitting(row, where)


def parse_sitting(row: Mapping[str, str], where: str) -> Sitting:
    """Return who a row of a table says sits there.

    Args:
        row: What it says, by the names of `COLUMNS`; the id may be missing.
        where: Of the row, for errors.

    Raises:
        ParamsError: It has a trait or a number that cannot be drawn.
    """
    for column, choices in CHOICES.items():
        if row[column] not in choices:
            raise ParamsError(f"{where}: {column} {row[column]!r}", f"one of {', '.join(choices)}")
    numbers = {column: _number(row[column], f"{where}: {column}") for column in (*_EYES, *_NUMBERS)}
    _check(numbers, row, where)
    left_x, left_y, right_x, right_y = (numbers.pop(column) for column in _EYES)
    eyes = ((left_x, left_y), (right_x, right_y))
    values: dict[str, Any] = {column: row[column] for column in CHOICES} | numbers
    return Sitting(eyes=eyes, **values)


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ParamsError(f"{where} {text!r} is no number", "mend the table")
    return value


def _check(numbers: Mapping[str, float], row: Mapping[str, str], where: str) -> None:
    """Refuse what cannot be drawn."""
    if numbers["half_width"] <= 0:
        raise ParamsError(
            f"{where}: half_width {row['half_width']!r} is no width", "mend the table"
        )
    if numbers["chin_y"] <= max(numbers["left_eye_y"], numbers["right_eye_y"]):
        raise ParamsError(f"{where}: the chin is not below the eyes", "mend the table")


def make_portrait_lessons(
    folder: Path,
    size_px: int,
    sittings: Mapping[str, Sitting],
    cuts: Mapping[str, int] | None = None,
    again: Again = NEVER_AGAIN,
) -> list[Lesson]:
    """Return a lesson for each photo of a folder, in the order of `find_pictures`.

    Who is in no row of the table has no lesson: of that photo discriminators alone judge. Who has a
    trait that few have (a beard, dark skin, an afro: below `RARE_SHARE`) counts as hard, and so is
    shown more often. After all these come, in the same order, those of light skin once more, with
    dark skin in the photo and in the drawing (`complexion`), then those who could wear a beard or
    glasses and do not, in the same order, with them (`disguise`); each of them as many times, one
    after the other, as there are variants.

    Args:
        folder: trainA of a data set.
        size_px: Of the lessons.
        sittings: Who sits there, by the photo's path below the data set.
        cuts: As for `make_lessons`.
        again: Who is shown once more; with shares of 0 nobody.

    Raises:
        DatasetError: There are no photos.
        ImageError: One cannot be read.
    """
    lessons: list[Lesson] = []
    darker, disguised, rare = [], [], _find_rare(sittings)
    for name, photo in squares(
        find_pictures(folder), folder.parent, size_px, f"portray {folder.name}"
    ):
        sitting, place = sittings.get(name), len(lessons)
        sitter = None if cuts is None else find_sitter(photo, cuts.get(name))
        drawing = photo if sitting is None else _drawing(sitting, size_px)
        odds = 1 / _weight(sitting, name in rare) if _is_dark(sitting) else 1.0
        lessons.append(Lesson(photo, drawing, sitting is not None, name in rare, sitter, odds))
        for variant in range(again.variants):
            if again.darkened and _can_darken(sitting):
                rng = np.random.default_rng([again.seed, place, 0xDA2C, variant])
                darker.append(_darkened(lessons[-1], sitting, rng, bool(again.disguised)))
            if again.disguised and _can_disguise(sitting):
                rng = np.random.default_rng([again.seed, place, 0xD159, variant])
                disguised.append(_disguised(lessons[-1], sitting, rng))
    return lessons + darker + disguised


@lru_cache(maxsize=32)
def _drawing(sitting: Sitting, size_px: int) -> RgbU8:
    """Return who sits there as drawn, (H, H, 3), not to be changed: variants may look alike."""
    return draw_portrait(sitting, size_px).rgb_u8


def _is_dark(sitting: Sitting | None) -> bool:
    return sitting is not None and sitting.skin in DARK_SKINS


def _can_darken(sitting: Sitting | None) -> TypeGuard[Sitting]:
    return sitting is not None and sitting.skin in LIGHT_SKINS


def _can_disguise(sitting: Sitting | None) -> TypeGuard[Sitting]:
    return sitting is not None and (sitting.glasses == "none" or _can_grow_a_beard(sitting))


def _can_grow_a_beard(sitting: Sitting) -> bool:
    return sitting.sex == "man" and sitting.beard == "none"


def _darkened(
    lesson: Lesson, sitting: Sitting, rng: np.random.Generator, may_disguise: bool
) -> Lesson:
    """Return a lesson of the same person with one of the darker skins, some of them in disguise."""
    skin = _chosen({name: one.share for name, one in COMPLEXIONS.items()}, rng)
    photo = with_complexion(lesson.photo, sitting, skin, rng)
    sitting = replace(sitting, skin=skin)
    if may_disguise and _can_disguise(sitting) and rng.random() < _DARK_IN_DISGUISE:
        photo, sitting = _in_disguise(photo, sitting, rng)
    if rng.random() < _EXPOSED:
        photo = exposed_for_skin(photo, sitting, rng)
    drawing = _drawing(sitting, len(photo))
    return lesson._replace(photo=photo, drawing=drawing, grey_odds=0.0)


def _disguised(lesson: Lesson, sitting: Sitting, rng: np.random.Generator) -> Lesson:
    """Return a lesson of the same person with a beard, glasses or both."""
    photo, sitting = _in_disguise(lesson.photo, sitting, rng)
    return lesson._replace(photo=photo, drawing=_drawing(sitting, len(photo)))


def _in_disguise(photo: RgbU8, sitting: Sitting, rng: np.random.Generator) -> tuple[RgbU8, Sitting]:
    """Return a photo of who can wear a beard or glasses with them, and who sits there then."""
    has_glasses = sitting.glasses != "none"
    grows = _can_grow_a_beard(sitting) and (has_glasses or rng.random() < _BEARD_SHARE)
    if grows:
        sitting = replace(sitting, beard=_chosen(BEARDS, rng))
        photo = with_beard(photo, sitting, rng)
    if not has_glasses and (not grows or rng.random() < _BOTH_SHARE):
        sitting = replace(sitting, glasses=_chosen(GLASSES, rng))
        photo = with_glasses(photo, sitting, rng)
    return photo, sitting


def _chosen(shares: Mapping[str, float], rng: np.random.Generator) -> str:
    return list(shares)[int(rng.choice(len(shares), p=list(shares.values())))]


def how_often(
    folder: Path, sittings: Mapping[str, Sitting], again: Again = NEVER_AGAIN
) -> NDArray[np.float64]:
    """Return how often each lesson of a folder is shown beside the others, (lessons,).

    Args:
        folder: trainA of a data set.
        sittings: As for `make_portrait_lessons`, in whose order the lessons are.
        again: As for it.
    """
    rare, often, darker, disguised = _find_rare(sittings), [], [], []
    for path in find_pictures(folder):
        name = photo_name(path, folder.parent)
        sitting = sittings.get(name)
        weight = _weight(sitting, name in rare)
        often.append(weight)
        of_each = weight / again.variants
        if again.darkened and _can_darken(sitting):
            share = again.darkened * (1.0 if sitting.hair in _DARK_HAIR else _OTHER_HAIR_SHARE)
            darker += [of_each * share] * again.variants
        if again.disguised and _can_disguise(sitting):
            disguised += [of_each * again.disguised] * again.variants
    return np.array(often + darker + disguised)


def _weight(sitting: Sitting | None, is_rare: bool) -> float:
    """Return how often somebody is shown, as they are, beside those of no rare trait."""
    weight = HARD_WEIGHT if is_rare else 1.0
    if sitting and (_is_dark(sitting) or sitting.beard != "none"):
        weight *= HIDDEN_WEIGHT
    return weight


def _find_rare(sittings: Mapping[str, Sitting]) -> set[str]:
    """Return of whom some trait is rare."""
    counts = {trait: Counter(getattr(one, trait) for one in sittings.values()) for trait in CHOICES}
    few = RARE_SHARE * len(sittings)
    return {
        name
        for name, one in sittings.items()
        if any(count[getattr(one, trait)] < few for trait, count in counts.items())
    }
