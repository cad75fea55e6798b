"""What a conversion tells when it is done."""

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from anymus.errors import DatasetError, ImageError, PartialError
from anymus.progress import log
from anymus.shipped import ShippedWeights

_MAX_NAMED = 10


@dataclass(frozen=True, slots=True)
class Failed:
    """A picture that could not be read: its name, one word, and the whole message."""

    name: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Done:
    """A picture that was dealt with: how many frames and faces it had, and the files made of it."""

    name: str
    faces: int = 0
    frames: int = 1
    files: tuple[Path, ...] = ()
    is_without_face: bool = False
    is_existing: bool = False


@dataclass(frozen=True, slots=True)
class ConvertReport:
    """The figures of a conversion.

    Attributes:
        done: The pictures dealt with, in the order of their names.
        failed: The pictures that could not be read.
        other_files: Files left out because their suffix is not a picture's.
        results: The folder of the results, or the one result.
        weights: The weights file's name.
        licence: Of the weights, as they say themselves; empty: they do not say.
        direction: a2b or b2a.
        seconds: Wall time.
    """

    done: tuple[Done, ...]
    failed: tuple[Failed, ...]
    other_files: int
    results: Path
    weights: str
    licence: str
    direction: str
    seconds: float

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the files written, picture by picture."""
        return tuple(path for done in self.done for path in done.files)

    def as_metrics(self) -> dict[str, int | float | str]:
        """Return the figures by name."""
        return {
            "pictures": len(self.done) + len(self.failed),
            "converted": sum(bool(done.files) for done in self.done),
            "frames": sum(done.frames for done in self.done if done.files),
            "faces": sum(done.faces for done in self.done),
            "no_face": sum(done.is_without_face for done in self.done),
            "existing": sum(done.is_existing for done in self.done),
            "failed": len(self.failed),
            "other_files": self.other_files,
            "files": len(self.files),
            "seconds": round(self.seconds, 2),
            "weights": self.weights,
            "licence": self.licence,
            "direction": self.direction,
            "results": str(self.results),
        }

    def as_json(self) -> dict[str, object]:
        """Return the figures, and what became of each picture, for a program.

        `outputs` has for each picture or film that was converted its `file`, the `faces` found, and
        the files of its `results`, in the order of the faces.
        """
        return {
            **self.as_metrics(),
            "outputs": [
                {"file": done.name, "faces": done.faces, "results": list(map(str, done.files))}
                for done in self.done
                if done.files
            ],
            "failures": [
                {"file": item.name, "reason": item.reason, "message": item.message}
                for item in self.failed
            ],
            "without_face": [done.name for done in self.done if done.is_without_face],
        }

    def require_success(self) -> None:
        """Do nothing when no picture failed.

        Raises:
            ImageError: The only picture failed.
            DatasetError: All of several failed.
            PartialError: Some failed; the others are done.
        """
        if not self.failed:
            return
        first = self.failed[0]
        total = len(self.done) + len(self.failed)
        if total == 1:
            raise ImageError(first.message, "give another picture", first.reason)
        if not self.done:
            raise DatasetError(
                f"none of {total} pictures can be read, the first: {first.message}",
                "check the folder",
            )
        raise PartialError(
            f"{len(self.failed)} of {total} pictures failed, the others are done",
            "the list above names them",
        )


def print_summary(report: ConvertReport) -> None:
    """Print the report on stderr: a table, and a line for each picture that failed.

    Without a word where all went well if the log is quiet.
    """
    if log.level <= logging.INFO:
        _print_table(report)
        without_face = [done.name for done in report.done if done.is_without_face]
        for name in without_face[:_MAX_NAMED]:
            sys.stderr.write(_printable(f"no face: {name}") + "\n")
        if len(without_face) > _MAX_NAMED:
            sys.stderr.write(f"no face: {len(without_face) - _MAX_NAMED} more, see --json\n")
    for item in report.failed:
        sys.stderr.write(_printable(f"failed: {item.name}: {item.message}") + "\n")


def _print_table(report: ConvertReport) -> None:
    figures = report.as_metrics()
    if figures["frames"] == figures["converted"]:
        del figures["frames"]
    for name, value in figures.items():
        if value or name in ("pictures", "converted"):
            label = name.replace("_", " ")
            sys.stderr.write(f" {label:<12}{_printable(str(value))}\n")


def _printable(text: str) -> str:
    """Return text that is safe on any terminal, control characters and stray bytes escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def print_weights(shipped: Sequence[ShippedWeights], *, is_json: bool) -> None:
    """Print the weights that come with Anymus, with what their cards say of them.

    Raises:
        CheckpointError: One is missing or has other bytes than those that were shipped.
    """
    rows = [_weights_row(one) for one in shipped]
    if is_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    else:
        _print_rows(rows)
    for one in shipped:
        one.require_sound()


def _weights_row(one: ShippedWeights) -> dict[str, str | int]:
    from training.weights_file import read_facts

    row: dict[str, str | int] = {"name": one.name, "file": str(one.path)}
    if not one.is_sound():
        return row | {"licence": "damaged"}
    facts = read_facts(one.path)
    return row | {
        "direction": str(facts["direction"]),
        "licence": str(facts.get("licence")),
        "size_px": int(facts["architecture"]["image_size_px"]),
        "bytes": one.path.stat().st_size,
        "sha256": one.sha256,
    }


def _print_rows(rows: Sequence[Mapping[str, str | int]]) -> None:
    from rich.console import Console
    from rich.table import Table

    names = ("name", "direction", "licence", "size_px", "bytes", "sha256")
    table = Table(*(name.replace("_", " ") for name in names), box=None)
    for row in rows:
        shown = {**row, "sha256": str(row.get("sha256", ""))[:12]}
        table.add_row(*(str(shown.get(name, "")) for name in names))
    Console().print(table)
