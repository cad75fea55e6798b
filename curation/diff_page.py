"""Page of a diff: the faces that differ as contact sheets, by what became of them and why."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from anymus.files import write_text
from anymus.params import ReportParams
from anymus.progress import log

from .diff import Change, DatasetDiff
from .page import read_tile, render
from .snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Pair:
    """The pictures of one change: of one side, of both, or a near-duplicate and what is kept."""

    pictures: list[str]
    note: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """Changes of one kind, domain, part and reason; `shown` of `total` have pictures here."""

    title: str
    total: int
    pairs: list[Pair]


def write_page(
    found: DatasetDiff, before: Snapshot, after: Snapshot, params: ReportParams, path: Path
) -> int:
    """Write one HTML page of a diff, pictures inside, and return how many changes it shows.

    Args:
        found: The diff.
        before: The state before, whose pictures are read; so is `after`.
        after: The state after.
        params: Most changes on one sheet, and the side of a picture.
        path: The file to write.
    """
    by_kind: dict[tuple[str, ...], list[Change]] = defaultdict(list)
    for change in found.changes:
        by_kind[change.kind, change.domain, change.where, change.reason].append(change)
    reader = _Reader(before, after, params.tile_px)
    sheets = [
        Sheet(
            title=f"{kind}, {where}: {reason}",
            total=len(changes),
            pairs=[reader.read(change) for change in changes[: params.tiles]],
        )
        for (kind, _, where, reason), changes in by_kind.items()
    ]
    html = render(
        "diff.html",
        found=found,
        counts=[(*key, count) for key, count in found.counts().items()],
        sheets=sheets,
        tile_px=params.tile_px,
    )
    write_text(path, html)
    if reader.missing:
        log.warning("%d pictures cannot be read: `dvc fetch --all-commits`", reader.missing)
    return sum(len(sheet.pairs) for sheet in sheets)


class _Reader:
    def __init__(self, before: Snapshot, after: Snapshot, tile_px: int) -> None:
        self._before, self._after = before, after
        self._tile_px = tile_px
        self.missing = 0

    def read(self, change: Change) -> Pair:
        """Return the pictures of a change; of a move one, because both are the same."""
        wanted = [(self._before, _in_dataset(self._before, change.before))]
        if change.kind != "moved":
            wanted.append((self._after, _in_dataset(self._after, change.after)))
        other = self._after if change.kind == "removed" else self._before
        wanted.append((other, change.twin))
        note = f"{change.id[:12]}: {change.detail or change.reason}"
        return Pair(list(self._tiles(wanted)), note)

    def _tiles(self, wanted: Iterable[tuple[Snapshot, str | None]]) -> Iterable[str]:
        for state, path in wanted:
            if path is None:
                continue
            try:
                stored = state.find(path)
            except FileNotFoundError:
                stored = None
            tile = None if stored is None else read_tile(stored, self._tile_px)
            if tile is None:
                self.missing += 1
            else:
                yield tile


def _in_dataset(state: Snapshot, file: str | None) -> str | None:
    return None if file is None else f"{state.path_of('dataset')}/{file}"
