"""Draw a folder of manga portraits: a source of faces that anyone may use and share."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anymus.drawing.shares import Shares
from anymus.drawing.sitter import draw_sitter
from anymus.engine import map_items
from anymus.errors import AnymusError, ParamsError
from anymus.files import atomic_folder, write_text
from anymus.images import write_png
from anymus.params import Params
from anymus.progress import track

AUTHOR = "Anymus renderer"
LICENCE = ("MIT", "https://opensource.org/license/mit")
_SIZE_PX = (320, 400)


@dataclass(frozen=True, slots=True)
class DrawReport:
    """What was drawn."""

    pictures: int
    folder: str

    def as_metrics(self) -> Mapping[str, int | str]:
        """Return the figures by name."""
        return {"pictures": self.pictures, "folder": self.folder}


def draw_folder(params: Params, dst: Path, count: int, shares: Shares | None = None) -> DrawReport:
    """Fill `dst` with `count` manga portraits (PNG, ink and flat greys) and their credits.csv.

    A picture depends on the seed and its number alone, so more of them leave the first ones as
    they are. `anymus scrape folder` takes the folder with its licence.

    Args:
        params: `seed` and `engine` are used.
        dst: Folder to fill; an earlier drawing in it is replaced as a whole.
        count: How many, at least 1.
        shares: How often each trait occurs; None: as in portrait photographs.

    Raises:
        ParamsError: `count` is below 1, or `dst` holds other things.
        AnymusError: A picture could not be drawn.
    """
    if count < 1:
        raise ParamsError(f"--count {count} is less than 1", "--count 500")
    _require_own(dst)
    with atomic_folder(dst) as filling:
        work = _Draw(filling, params.seed, shares or Shares())
        for outcome in track(map_items(work, range(count), params.engine), "draw", count):
            if not isinstance(outcome, str):
                raise AnymusError(f"a portrait was not drawn: {outcome}", "run it again")
        write_text(filling / "credits.csv", _credits(count))
    return DrawReport(count, dst.as_posix())


@dataclass(frozen=True, slots=True)
class _Draw:
    """Draws and stores one portrait; picklable for the engine's processes."""

    folder: Path
    seed: int
    shares: Shares

    def __call__(self, number: int) -> str:
        drawing = draw_sitter(np.random.default_rng([self.seed, number]), *_SIZE_PX, self.shares)
        write_png(self.folder / _name_of(number), drawing.rgb_u8)
        return _name_of(number)


def _require_own(dst: Path) -> None:
    if dst.is_dir() and any(dst.iterdir()) and not (dst / _name_of(0)).is_file():
        raise ParamsError(
            f"{dst} holds files that `anymus draw` did not put there",
            "give a new or empty folder with -o",
        )
    if dst.exists() and not dst.is_dir():
        raise ParamsError(f"{dst} is a file", "give a folder with -o")


def _name_of(number: int) -> str:
    return f"sitter-{number:05d}.png"


def _credits(count: int) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "author", "licence", "licence_url", "group"])
    for number in range(count):
        writer.writerow([_name_of(number), AUTHOR, *LICENCE, f"sitter-{number:05d}"])
    return text.getvalue()
