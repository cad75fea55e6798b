"""Portraits as lessons: what each photo's person looks like where our renderer of manga draws it.

Who is in a photo and where the face lies says a table that a person and a detector of landmarks
filled in; `anymus.drawing.portrait` draws it. So the lesson is a whole drawing, its eyes open and
alike, on white paper, whatever a generator would make of the photo.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anymus.drawing.portrait import CHOICES, Sitting, draw_portrait
from anymus.errors import ParamsError
from anymus.tables import read_table

from .complexion import COMPLEXIONS, LIGHT_SKINS, with_complexion
from .data import find_pictures
from .lessons import Lesson, photo_name, squares
from .schoolbook import HARD_WEIGHT
from .sitter_choices import by_photo
from .sitters import find_sitter

RARE_SHARE = 1 / 12
DARK_SKINS = tuple(COMPLEXIONS)
HIDDEN_WEIGHT = 2.0
"""How many times as often, beside other rare traits, who has dark skin or a beard is shown: light
and shadow look like them."""
_EYES = ("left_eye_x", "left_eye_y", "right_eye_x", "right_eye_y")
_NUMBERS = tuple(one.name for one in fields(Sitting) if one.name not in (*CHOICES, "eyes"))
COLUMNS = ("id", *CHOICES, *_EYES, *_NUMBERS)


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
    darken_seed: int | None = None,
) -> list[Lesson]:
    """Return a lesson for each photo of a folder, in the order of `find_pictures`.

    Who is in no row of the table has no lesson: of that photo discriminators alone judge. Who has a
    trait that few have (a beard, dark skin, an afro: below `RARE_SHARE`) counts as hard, and so is
    shown more often. After all these come, in the same order, those of light skin once more, with
    dark skin in the photo and in the drawing (`complexion`).

    Args:
        folder: trainA of a data set.
        size_px: Of the lessons.
        sittings: Who sits there, by the photo's path below the data set.
        cuts: As for `make_lessons`.
        darken_seed: Of their dark skin; None: nobody is shown once more.

    Raises:
        DatasetError: There are no photos.
        ImageError: One cannot be read.
    """
    lessons, darker, rare = [], [], _find_rare(sittings)
    for name, photo in squares(
        find_pictures(folder), folder.parent, size_px, f"portray {folder.name}"
    ):
        sitting = sittings.get(name)
        sitter = None if cuts is None else find_sitter(photo, cuts.get(name))
        drawing = photo if sitting is None else draw_portrait(sitting, size_px).rgb_u8
        lessons.append(Lesson(photo, drawing, sitting is not None, name in rare, sitter))
        if darken_seed is not None and sitting is not None and sitting.skin in LIGHT_SKINS:
            rng = np.random.default_rng([darken_seed, len(lessons), 0xDA2C])
            darker.append(_darkened(lessons[-1], sitting, rng))
    return lessons + darker


def _darkened(lesson: Lesson, sitting: Sitting, rng: np.random.Generator) -> Lesson:
    """Return a lesson of the same person with one of the dark skins."""
    skin = DARK_SKINS[int(rng.integers(len(DARK_SKINS)))]
    photo = with_complexion(lesson.photo, sitting, skin, rng)
    drawing = draw_portrait(replace(sitting, skin=skin), len(photo)).rgb_u8
    return lesson._replace(photo=photo, drawing=drawing)


def how_often(
    folder: Path, sittings: Mapping[str, Sitting], darken_share: float = 0.0
) -> NDArray[np.float64]:
    """Return how often each photo of a folder is shown beside the others, (lessons,).

    Args:
        folder: trainA of a data set.
        sittings: As for `make_portrait_lessons`, in whose order the photos are.
        darken_share: How often who has light skin is shown with dark skin, beside how often
            without; 0: those lessons were not made.
    """
    rare, often, darker = _find_rare(sittings), [], []
    for path in find_pictures(folder):
        name = photo_name(path, folder.parent)
        sitting = sittings.get(name)
        weight = HARD_WEIGHT if name in rare else 1.0
        if sitting and (sitting.skin in DARK_SKINS or sitting.beard != "none"):
            weight *= HIDDEN_WEIGHT
        often.append(weight)
        if darken_share and sitting and sitting.skin in LIGHT_SKINS:
            darker.append(weight * darken_share)
    return np.array(often + darker)


def _find_rare(sittings: Mapping[str, Sitting]) -> set[str]:
    """Return of whom some trait is rare."""
    counts = {trait: Counter(getattr(one, trait) for one in sittings.values()) for trait in CHOICES}
    few = RARE_SHARE * len(sittings)
    return {
        name
        for name, one in sittings.items()
        if any(count[getattr(one, trait)] < few for trait, count in counts.items())
    }
