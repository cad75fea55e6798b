"""Overrides: what people decided by looking, read from `overrides/*.csv`.

A line is `id,action,to,note`. `keep` takes a face that a stage would reject, `drop` leaves a face
out, `move` puts a face, and with it its whole group, on the side `to`: train or test. The report
page writes such a file.
"""

import string
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from anymus.errors import ParamsError
from anymus.progress import log
from anymus.tables import Row, read_table

COLUMNS = ("id", "action", "to", "note")
_ACTIONS = ("keep", "drop", "move")
_SIDES = ("train", "test")
_ID_DIGITS = 64
_NAMED = 5

Side = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class Override:
    """What is to become of one face: whether it is kept, and its side; None leaves it open."""

    is_kept: bool | None = None
    side: Side | None = None
    where: str = ""
    note: str = ""


Overrides = dict[str, Override]


def read_overrides(folder: Path) -> Overrides:
    """Return the decisions of all CSV files of a folder, by face id.

    Args:
        folder: The folder; a CSV file is taken, too. Missing, it says nothing.

    Raises:
        ParamsError: A file is no such CSV, or two lines contradict each other; both are named.
    """
    found: Overrides = {}
    paths = sorted(folder.glob("*.csv")) if folder.is_dir() else [folder]
    for path in paths:
        if path.is_file():
            for line, where in read_table(path, COLUMNS, needed=COLUMNS[:2]):
                identity, override = _read_line(line, where)
                found[identity] = _merge(identity, found.get(identity), override)
    return found


def report_unknown(overrides: Overrides, known: Iterable[str]) -> list[str]:
    """Return the ids of decisions that no face has, sorted, after a warning that names some."""
    unknown = sorted(set(overrides).difference(known))
    if unknown:
        named = ", ".join(f"{key[:12]}... ({overrides[key].where})" for key in unknown[:_NAMED])
        log.warning("%d overrides name no face: %s", len(unknown), named)
    return unknown


def _read_line(line: Row, where: str) -> tuple[str, Override]:
    identity, action, to = ((line.get(name) or "").strip().lower() for name in COLUMNS[:3])
    note = (line.get("note") or "").strip()
    if len(identity) != _ID_DIGITS or not set(identity) <= set(string.hexdigits):
        raise ParamsError(
            f"{where}: {identity!r} is no id", "64 hexadecimal digits, as on the page"
        )
    if action not in _ACTIONS:
        raise ParamsError(f"{where}: unknown action {action!r}", f"one of {', '.join(_ACTIONS)}")
    if action != "move":
        return identity, Override(is_kept=action == "keep", where=where, note=note)
    if to not in _SIDES:
        raise ParamsError(f"{where}: cannot move to {to!r}", "`to` is train or test")
    return identity, Override(side=cast("Side", to), where=where, note=note)


def _merge(identity: str, one: Override | None, other: Override) -> Override:
    if one is None:
        return other
    for first, second in ((one.is_kept, other.is_kept), (one.side, other.side)):
        if None not in (first, second) and first != second:
            raise ParamsError(
                f"{one.where} and {other.where} say opposite things of {identity}", "remove one"
            )
    is_kept = other.is_kept if one.is_kept is None else one.is_kept
    notes = "; ".join(dict.fromkeys(note for note in (one.note, other.note) if note))
    return Override(is_kept, one.side or other.side, other.where, notes)
