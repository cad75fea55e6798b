"""The page of an evaluation: one HTML file that needs no network, to look at and to quote from."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from anymus.images import RgbU8, encode_jpeg, encode_png

from .metrics import Estimate
from .samples import COLUMNS
from .showcase import NEIGHBOURS, Shown
from .standing import LABELS, PICTURES, TITLES
from .verdict import Figures, baselines, is_beaten, judge

_TEMPLATE = Path(__file__).with_suffix(".html")
_JPEG_QUALITY = 92
_FROM_SOURCE = ("cycle_", "identity_l1_")
"""Beginnings of the figures whose letter names the domain that the pictures come from."""
_ENDS = ("_low", "_high")
_CURVES = {
    "plots/scores.png": "KID, contrast and diversity on held-out pictures at each checkpoint",
    "samples/strip.png": "The same test pictures over the training",
    "plots/losses.png": "Losses",
}


@dataclass(frozen=True, slots=True)
class Direction:
    """What the page shows of one direction.

    Attributes:
        estimates: KID and its interval by row: `floor`, `translated`, `untouched`, baselines.
        groups: Test pictures by group (`worst`, `best`, `random`).
    """

    estimates: Mapping[str, Estimate]
    groups: Mapping[str, Sequence[Shown]]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: texts, and how to show them."""

    name: str
    value: str
    interval: str
    note: str = ""
    mark: str = ""
    """CSS class: `own` for the translation, `good` and `bad` for a verdict."""


def render_page(
    figures: Figures, directions: Mapping[str, Direction], kid_plot: RgbU8, train_results: Path
) -> str:
    """Return the HTML of the page.

    Args:
        figures: Those of metrics.json.
        directions: What is shown of each direction (a2b, b2a).
        kid_plot: Picture of the KID estimates.
        train_results: Where training wrote its plots; those that are not there are left out.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["jpeg"] = lambda rgb_u8: _url("jpeg", encode_jpeg(rgb_u8, _JPEG_QUALITY))
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    curves = [
        {"title": title, "url": _url("png", (train_results / name).read_bytes())}
        for name, title in _CURVES.items()
        if (train_results / name).is_file()
    ]
    return template.render(
        figures=figures,
        sections=[_section(name, one, figures) for name, one in directions.items()],
        common=_table_of(None, figures),
        kid_plot=_url("png", encode_png(kid_plot)),
        curves=curves,
        columns=COLUMNS,
        neighbours=NEIGHBOURS,
    )


def _section(name: str, shown: Direction, figures: Figures) -> dict[str, object]:
    return {
        "name": name,
        "title": TITLES[name],
        "target": PICTURES[name[-1]],
        "verdict": judge(name, figures),
        "is_better": bool(figures[f"beats_identity_{name}"]),
        "rows": _kid_rows(name, shown.estimates, figures),
        "figures": _table_of(name, figures),
        "groups": shown.groups,
    }


def _kid_rows(name: str, estimates: Mapping[str, Estimate], figures: Figures) -> list[Row]:
    """Return the rows of the KID table, the nearest to the target first."""
    beaten = baselines(name, figures) | {"untouched": is_beaten(name, figures, "identity")}
    notes = {
        True: ("beaten", "good"),
        None: ("no difference shown", "bad"),
        False: ("nearer than the translation", "bad"),
    }
    rows = []
    for row, one in sorted(estimates.items(), key=lambda item: item[1].value):
        note, mark = notes[beaten[row]] if row in beaten else ("", "")
        mark = "own" if row == "translated" else mark
        interval = f"{_number(one.low)} to {_number(one.high)}"
        rows.append(Row(LABELS[row], _number(one.value), interval, note, mark))
    return rows


def _table_of(direction: str | None, figures: Figures) -> list[Row]:
    """Return the rows of the figures that belong to a direction; None: to both."""
    rows = []
    for name, value in figures.items():
        is_end = any(name.endswith(end) and name[: -len(end)] in figures for end in _ENDS)
        if is_end or _direction_of(name) != direction:
            continue
        ends = [figures.get(f"{name}{end}") for end in _ENDS]
        interval = " to ".join(_number(end) for end in ends if end is not None)
        rows.append(Row(name, _number(value), interval))
    return rows


def _direction_of(name: str) -> str | None:
    """Return the direction that a figure is about, by the letters in its name; None: both."""
    parts = name.split("_")
    for direction in TITLES:
        if direction in parts:
            return direction
    if "test" in parts:
        return None
    letters = [part for part in parts if part in ("a", "b")]
    if not letters:
        return None
    is_source = name.startswith(_FROM_SOURCE)
    return "a2b" if (letters[0] == "b") != is_source else "b2a"


def _number(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _url(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
