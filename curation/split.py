"""Split: trainA, trainB, testA and testB, by groups, so that no face is on both sides."""

import heapq
from array import array
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anymus.blocklist import load_blocklist
from anymus.errors import AnymusError, DatasetError
from anymus.files import atomic_folder
from anymus.ledger import key_of, load_ledger, write_ledger
from anymus.manifest import (
    DOMAINS,
    Domain,
    ImageRecord,
    RowCount,
    iter_manifest,
    order_of,
    write_manifest,
)
from anymus.params import Params
from anymus.progress import log, track
from anymus.shards import PictureStore, choose_shards, count_shards

from .links import Faces
from .overrides import read_overrides, report_unknown
from .sides import Sides, choose_sides

SIDE_OF_DOMAIN: dict[Domain, str] = {"photo": "A", "manga": "B"}
PARTS = ("trainA", "trainB", "testA", "testB")
LEFT_OUT = "twin_in_test"
_KINDS = ("group", "parent")


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What the stage made: pictures of each folder, groups, and groups on both sides (always 0).

    Attributes:
        counts: Faces of each part.
        groups: Groups with a face in the data set.
        leaks: Duplicate groups and source pictures in train and in test; always 0.
        moved: Groups that overrides put on another side.
        twins_in_test: Train faces left out, because a copy of each is in test.
        torn_values: Values of `split.group_by` fields that recorded sides put into both parts.
        unknown_overrides: Overrides that name no face.
    """

    counts: Mapping[str, int]
    groups: int
    leaks: int
    moved: int
    twins_in_test: int
    torn_values: int
    unknown_overrides: int

    def as_metrics(self) -> dict[str, int]:
        """Return the figures by name."""
        figures = asdict(self)
        return {**figures.pop("counts"), **figures}


def split(params: Params, src: Path, dst: Path) -> SplitReport:
    """Write `dst/{trainA,trainB,testA,testB}/*.png` and `dst/manifest.jsonl`.

    Faces of one duplicate group, of one picture, and of one value of every `split.group_by` field
    stay together, those of both domains. `paths.sides` says which side each source picture was
    first given, and that holds (see `choose_sides`); new pictures are added to it once the folder
    is written. `overrides` may move a group, which is not recorded. A train face whose copy is in
    test is left out, a row `twin_in_test`.

    Rows stream; of each face some 250 bytes are held. With more faces than `shards.above` the parts
    are tar shards.

    Args:
        params: All parameters; `split`, `shards`, `seed`, `paths.sides`, `paths.overrides` and
            `paths.blocklist` are read.
        src: Folder of `dedupe`, with a folder for photo and one for manga; only read.
        dst: Folder to write, replaced as a whole.

    Raises:
        DatasetError: No manifest, too few faces for a part, or a broken `paths.sides`.
        ParamsError: The overrides cannot be read, or move a group to both sides.
        AnymusError: A group lies on both sides.
    """
    overrides = read_overrides(Path(params.paths.overrides))
    ledger_file = Path(params.paths.sides)
    ledger = load_ledger(ledger_file)
    blocklist = load_blocklist(Path(params.paths.blocklist))
    faces = Faces(src, blocklist, params.split.group_by, overrides)
    sides = choose_sides(params, faces, overrides, ledger)
    placed, torn = sides.counts(), sides.torn_values()
    counts = {
        _part_of(domain, is_test=is_test): int(placed[index, int(is_test)])
        for is_test in (False, True)
        for index, domain in enumerate(DOMAINS)
    }
    _require_enough(counts, params)
    _tell(counts, len(sides.ledger) - len(ledger), len(ledger), torn, params)
    is_sharded = choose_shards(sum(counts.values()), params.shards.above, params.shards.pictures)
    leaks, written = LeakCount(), RowCount()
    with atomic_folder(dst) as partial, ExitStack() as stack:
        stores = {}
        for part in PARTS:
            shards = count_shards(counts[part], params.shards.pictures) if is_sharded else 0
            stores[part] = stack.enter_context(PictureStore(partial / part, shards))
        rows = track(_place(sides, src, dst, leaks), "split", int(faces.is_kept.sum()))
        write_manifest(partial, written.watch(_store(row, stores) for row in rows))
        stack.close()
        if found := leaks.count():
            raise AnymusError(f"split: {found} groups lie in train and test", "this is a bug")
    write_ledger(ledger_file, sides.ledger)
    unknown = report_unknown(overrides, _known_ids(src)) if overrides else []
    return SplitReport(
        counts=counts,
        groups=sides.groups,
        leaks=0,
        moved=sides.moved,
        twins_in_test=written.rejected,
        torn_values=torn,
        unknown_overrides=len(unknown),
    )


def _tell(counts: Mapping[str, int], new: int, recorded: int, torn: int, params: Params) -> None:
    """Say what of the split was there before."""
    path, group_by = params.paths.sides, ", ".join(params.split.group_by)
    test = sum(count for part, count in counts.items() if part.startswith("test"))
    log.info(
        "split: %d pictures are new, %s names %d others; %.1f %% of the faces are in test",
        *(new, path, recorded, 100 * test / sum(counts.values())),
    )
    if torn:
        log.warning("split: %d values of %s are in train and in test, as %s has them; without that"
                    " file all sides are drawn anew", torn, group_by, path)  # fmt: skip


def _place(sides: Sides, src: Path, dst: Path, leaks: "LeakCount") -> Iterator[ImageRecord]:
    """Yield the kept rows of both domains by id, with group and side; `file` leads from here.

    Leaks are counted by the duplicate groups that `dedupe` found, not by those that are written.
    """
    placed = (sides.faces.placed_rows(domain) for domain in DOMAINS)
    for index, row in heapq.merge(*placed, key=lambda pair: order_of(pair[1])):
        found = {
            "group": bytes(sides.names[index]).hex(),
            "file": f"{src / row.domain / str(row.file)}",
        }
        if sides.is_left_out[index]:
            left = row.relocated(src / row.domain, dst).reject(LEFT_OUT)
            yield left.model_copy(update={"group": found["group"]})
            continue
        side = "test" if sides.is_test[index] else "train"
        leaks.add(row.model_copy(update={"split": side}))
        yield row.model_copy(update={**found, "split": side})


class LeakCount:
    """Counts groups and source pictures with faces in train and in test, from the rows written."""

    def __init__(self) -> None:
        self._names = {kind: array("Q") for kind in _KINDS}
        self._is_test = array("b")

    def add(self, row: ImageRecord) -> None:
        """Note the side of a row, if it has one."""
        if row.split is not None:
            for kind, names in self._names.items():
                names.append(key_of(getattr(row, kind) or "0"))
            self._is_test.append(row.split == "test")

    def count(self) -> int:
        """Return the number of names that stand on both sides."""
        is_test = np.array(self._is_test, bool)
        leaks = 0
        for column in self._names.values():
            names: NDArray[np.uint64] = np.array(column, np.uint64)
            train, test = (names[(names > 0) & (is_test == side)] for side in (0, 1))
            leaks += len(np.intersect1d(train, test))
        return leaks


def _known_ids(src: Path) -> Iterator[str]:
    return (row.id for domain in DOMAINS for row in iter_manifest(src / domain))


def _store(row: ImageRecord, stores: Mapping[str, PictureStore]) -> ImageRecord:
    """Put a face into its part, unless it is left out, and return its row."""
    if not row.is_kept:
        return row
    part = _part_of(row.domain, is_test=row.split == "test")
    file = stores[part].take(row.id, Path(str(row.file)))
    return row.model_copy(update={"file": f"{part}/{file}"})


def _part_of(domain: Domain, *, is_test: bool) -> str:
    return f"{'test' if is_test else 'train'}{SIDE_OF_DOMAIN[domain]}"


def _require_enough(counts: Mapping[str, int], params: Params) -> None:
    for name, count in counts.items():
        least = params.split.min_train if name.startswith("train") else params.split.min_test
        if count < least:
            key = "min_train" if name.startswith("train") else "min_test"
            raise DatasetError(
                f"split: {count} faces in {name}, fewer than split.{key} = {least}",
                "collect more pictures, keep less together (split.group_by), or remove"
                f" {params.paths.sides} to draw all sides anew",
            )
