"""Sitters by hand: which cut a person chose, where the machine is not sure who sits in a photo.

`write_sheets` shows each such photo beside its cuts and writes a table to fill in; `read_choices`
reads what was filled in.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np

from anymus.errors import AnymusError, DatasetError, ParamsError
from anymus.files import atomic_folder, write_text
from anymus.images import RgbU8, write_png
from anymus.manifest import MANIFEST_NAME, iter_manifest
from anymus.progress import log
from anymus.tables import read_table

from .data import find_pictures
from .lessons import squares
from .samples import titled_grid
from .sitters import CUTS, before, find_cuts, find_sitter

Row = TypeVar("Row")

TABLE = "sitters.csv"
_COLUMNS = ("number", "id", "cut")
_SHOWN_PX = 128
_ROWS = 12  # of a sheet
_BEHIND = np.array((255, 0, 255), np.uint8)  # no wall and no skin is magenta


class _Unclear(NamedTuple):
    """A photo whose sitter a person must find."""

    id: str
    photo: RgbU8


@dataclass(frozen=True, slots=True)
class SheetsReport:
    """What was shown.

    Attributes:
        folder: With the sheets and the table.
        photos: Of trainA.
        unclear: Those of them on the sheets.
        sheets: How many there are.
    """

    folder: Path
    photos: int
    unclear: int
    sheets: int

    def as_metrics(self) -> dict[str, int | str]:
        """Return the figures by name."""
        return {**asdict(self), "folder": str(self.folder)}


def write_sheets(dataset_dir: Path, dst: Path) -> SheetsReport:
    """Write sheets of the photos whose sitter is not clear, with their cuts, and a table.

    Args:
        dataset_dir: Holds trainA and its manifest; only read.
        dst: The folder to write, new or empty: a table that a person filled in stays.

    Raises:
        ParamsError: The folder holds something, or is a file.
        DatasetError: There are no photos, or no manifest that names them.
        ImageError: One cannot be read.
        AnymusError: The folder cannot be written.
    """
    if dst.is_file() or (dst.is_dir() and any(dst.iterdir())):
        raise ParamsError(f"{dst} holds something already", "give a new folder with -o")
    paths = find_pictures(dataset_dir / "trainA")
    try:
        with atomic_folder(dst) as partial:  # made before minutes of work: can it be written?
            unclear = list(_find_unclear(paths, dataset_dir))
            sheets = _write_all(unclear, partial)
    except OSError as error:
        raise AnymusError(
            f"cannot write {dst}: {error.strerror}", "give another folder with -o"
        ) from error
    return SheetsReport(dst, len(paths), len(unclear), sheets)


def read_choices(path: Path, dataset_dir: Path) -> dict[str, int]:
    """Return which cut was chosen, by the photo's path below the data set.

    Args:
        path: A CSV with the columns `id`, of the manifest, and `cut`: 1 to `CUTS`, 0 where no cut
            is right, empty where nobody looked.
        dataset_dir: Holds the manifest.

    Raises:
        ParamsError: It cannot be read, is no such table, or names no photo of the data set.
        DatasetError: There is no manifest, or it is damaged.
    """
    known = by_photo(dict(_read_table(path)), path, dataset_dir)
    if not known:
        raise ParamsError(f"{path} has no choice for a photo of {dataset_dir}", "fill in its cuts")
    return known


def by_photo(rows: Mapping[str, Row], path: Path, dataset_dir: Path) -> dict[str, Row]:
    """Return what a table says of each photo that the data set has.

    Args:
        rows: What it says, by the manifest's id.
        path: Of the table, which is named where ids name no photo.
        dataset_dir: Holds the manifest.

    Returns:
        The same, by the photo's path below the data set.

    Raises:
        DatasetError: There is no manifest, or it is damaged.
    """
    names = {row: name for name, row in _ids(dataset_dir).items()}
    known = {names[one]: said for one, said in rows.items() if one in names}
    if known and len(known) < len(rows):
        log.warning("%s: %d ids name no photo", path, len(rows) - len(known))
    return known


def _read_table(path: Path) -> Iterator[tuple[str, int]]:
    for line, where in read_table(path, _COLUMNS, needed=_COLUMNS[1:]):
        cut = (line["cut"] or "").strip()
        if cut and cut not in map(str, range(CUTS + 1)):
            raise ParamsError(f"{where}: cut {cut!r}", f"write 1 to {CUTS}, or 0 for none")
        if cut:
            yield line["id"] or "", int(cut)


def _ids(dataset_dir: Path) -> Mapping[str, str]:
    """Return the id of each picture by its path below the data set."""
    if not (dataset_dir / MANIFEST_NAME).is_file():
        raise DatasetError(
            f"{dataset_dir} has no {MANIFEST_NAME}, which names its photos",
            "give the folder that `anymus split` wrote",
        )
    return {row.file: row.id for row in iter_manifest(dataset_dir) if row.file}


def _find_unclear(paths: Sequence[Path], dataset_dir: Path) -> Iterator[_Unclear]:
    ids = _ids(dataset_dir)
    for name, photo in squares(paths, dataset_dir, _SHOWN_PX, "cut out"):
        if name in ids and find_sitter(photo) is None:
            yield _Unclear(ids[name], photo)


def _write_all(unclear: Sequence[_Unclear], folder: Path) -> int:
    """Write the sheets and the table; return how many sheets."""
    starts = range(0, len(unclear), _ROWS)
    for index, start in enumerate(starts, 1):
        sheet = _draw_sheet(unclear[start : start + _ROWS], first=start + 1)
        write_png(folder / f"sheet_{index:02d}.png", sheet)
    lines = [f"{number},{one.id}," for number, one in enumerate(unclear, 1)]
    write_text(folder / TABLE, "\n".join([",".join(_COLUMNS), *lines]) + "\n")
    return len(starts)


def _draw_sheet(some: Sequence[_Unclear], first: int) -> RgbU8:
    """Return a sheet (H, W, 3): a row for each photo, with its number and its cuts."""
    rows = []
    for number, one in enumerate(some, first):
        cuts = [before(one.photo, cut, _BEHIND) for cut in find_cuts(one.photo)]
        rows.append([_numbered(one.photo, number), *cuts])
    return titled_grid(["photo", *(f"cut {number}" for number in range(1, CUTS + 1))], rows)


def _numbered(photo: RgbU8, number: int) -> RgbU8:
    marked = photo.copy()
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(marked, str(number), (3, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, thickness)
    return marked
