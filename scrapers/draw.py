"""Draw a folder of portraits: a source of faces that anyone may use and share."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anymus.drawing.shares import Shares
from anymus.drawing.sitter import draw_sitter
from anymus.drawing.twin import draw_twins, twins_rng
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


def draw_folder(
    params: Params,
    dst: Path,
    count: int,
    shares: Shares | None = None,
    *,
    is_on_paper: bool = False,
) -> DrawReport:
    """Fill `dst` with `count` manga portraits (PNG, ink and flat greys) and their credits.csv.

    A picture depends on the seed and its number alone, so more of them leave the first ones as
    they are. `anymus scrape folder` takes the folder with its licence.

    Args:
        params: `seed` and `engine` are used.
        dst: Folder to fill; an earlier drawing in it is replaced as a whole.
        count: How many, at least 1.
        shares: How often each trait occurs; None: as in portrait photographs.
        is_on_paper: Whether they are on white paper, without shadows.

    Raises:
        ParamsError: `count` is below 1, or `dst` holds other things.
        AnymusError: A picture could not be drawn.
    """
    _require_count(count)
    _require_own(dst, _name_of(0))
    with atomic_folder(dst) as filling:
        work = _Draw(filling, params.seed, shares or Shares(), is_on_paper)
        _draw_all(work, count, params)
        write_text(filling / "credits.csv", _credits(_name_of(number) for number in range(count)))
    return DrawReport(count, dst.as_posix())


def draw_twins_folder(params: Params, dst: Path, count: int) -> DrawReport:
    """Fill `dst/photo` and `dst/manga` with `count` people, drawn like a photo and as manga.

    Pictures of one name show one person, with the eyes in the same place; each folder has its
    credits.csv. Else as `draw_folder`.

    Args:
        params: As for `draw_folder`.
        dst: Folder to fill; an earlier drawing in it is replaced as a whole.
        count: How many people, at least 1.

    Raises:
        ParamsError: As for `draw_folder`.
        AnymusError: As for `draw_folder`.
    """
    _require_count(count)
    _require_own(dst, f"manga/{_twin_name(0)}")
    with atomic_folder(dst) as filling:
        for side in ("photo", "manga"):
            (filling / side).mkdir()
            names = (_twin_name(number) for number in range(count))
            write_text(filling / side / "credits.csv", _credits(names))
        _draw_all(_DrawTwins(filling, params.seed), count, params)
    return DrawReport(2 * count, dst.as_posix())


def _draw_all(work: "_Draw | _DrawTwins", count: int, params: Params) -> None:
    for outcome in track(map_items(work, range(count), params.engine), "draw", count):
        if not isinstance(outcome, str):
            raise AnymusError(f"a portrait was not drawn: {outcome}", "run it again")


@dataclass(frozen=True, slots=True)
class _Draw:
    """Draws and stores one portrait; picklable for the engine's processes."""

    folder: Path
    seed: int
    shares: Shares
    is_on_paper: bool

    def __call__(self, number: int) -> str:
        rng = np.random.default_rng([self.seed, number])
        drawing = draw_sitter(rng, *_SIZE_PX, self.shares, is_on_paper=self.is_on_paper)
        write_png(self.folder / _name_of(number), drawing.rgb_u8)
        return _name_of(number)


@dataclass(frozen=True, slots=True)
class _DrawTwins:
    """Draws and stores one person twice; picklable for the engine's processes."""

    folder: Path
    seed: int

    def __call__(self, number: int) -> str:
        twins = draw_twins(twins_rng(self.seed, number), *_SIZE_PX)
        for side, drawing in (("photo", twins.photo), ("manga", twins.manga)):
            write_png(self.folder / side / _twin_name(number), drawing.rgb_u8)
        return _twin_name(number)


def _require_count(count: int) -> None:
    if count < 1:
        raise ParamsError(f"--count {count} is less than 1", "--count 500")


def _require_own(dst: Path, first: str) -> None:
    if dst.is_dir() and any(dst.iterdir()) and not (dst / first).is_file():
        raise ParamsError(
            f"{dst} holds files that `anymus draw` did not put there",
            "give a new or empty folder with -o",
        )
    if dst.exists() and not dst.is_dir():
        raise ParamsError(f"{dst} is a file", "give a folder with -o")


def _name_of(number: int) -> str:
    return f"sitter-{number:05d}.png"


def _twin_name(number: int) -> str:
    return f"twin-{number:05d}.png"


def _credits(names: Iterable[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "author", "licence", "licence_url", "group"])
    for name in names:
        writer.writerow([name, AUTHOR, *LICENCE, Path(name).stem])
    return text.getvalue()
