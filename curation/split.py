"""Split: trainA, trainB, testA and testB, by groups, so that no face is on both sides."""

import hashlib
import heapq
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anymus.blocklist import load_blocklist
from anymus.errors import AnymusError, DatasetError, ParamsError
from anymus.files import atomic_folder
from anymus.manifest import (
    DOMAINS,
    Domain,
    ImageRecord,
    iter_kept,
    iter_manifest,
    order_of,
    write_manifest,
)
from anymus.params import Params
from anymus.progress import track
from anymus.shards import PictureStore, choose_shards, count_shards

from .groups import Groups, Indices, id_columns, least_of_each
from .overrides import Overrides, read_overrides, report_unknown

SIDE_OF_DOMAIN: dict[Domain, str] = {"photo": "A", "manga": "B"}
PARTS = ("trainA", "trainB", "testA", "testB")
_KINDS = ("group", "parent")


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What the stage made: pictures of each folder, groups, and groups on both sides (always 0).

    Also the groups that overrides moved, and the overrides that name no face.
    """

    counts: Mapping[str, int]
    groups: int
    leaks: int
    moved: int
    unknown_overrides: int

    def as_metrics(self) -> dict[str, int]:
        """Return the figures by name."""
        return {
            **self.counts,
            "groups": self.groups,
            "leaks": self.leaks,
            "moved": self.moved,
            "unknown_overrides": self.unknown_overrides,
        }


def split(params: Params, src: Path, dst: Path) -> SplitReport:
    """Write `dst/{trainA,trainB,testA,testB}/*.png` and `dst/manifest.jsonl`.

    Faces of one duplicate group, of one picture, and of one value of every `split.group_by` field
    stay together, those of both domains. A group's side is a hash of the seed and its name, so a
    group stays where it is when others come or go; `overrides` may move it.

    Rows stream; of each face some 100 bytes are held. With more faces than `shards.above` the parts
    are tar shards.

    Args:
        params: All parameters; `split`, `shards`, `seed`, `paths.overrides` and `paths.blocklist`
            are read.
        src: Folder of `dedupe`, with a folder for photo and one for manga; only read.
        dst: Folder to write, replaced as a whole.

    Raises:
        DatasetError: No manifest, or too few faces for a part.
        ParamsError: The overrides cannot be read, or move a group to both sides.
        AnymusError: A group lies on both sides.
    """
    overrides = read_overrides(Path(params.paths.overrides))
    sides = Sides(params, src, overrides)
    counts = sides.counts()
    _require_enough(counts, params)
    total = sum(counts.values())
    is_sharded = choose_shards(total, params.shards.above, params.shards.pictures) > 0
    rows = heapq.merge(*(sides.rows(domain) for domain in DOMAINS), key=order_of)
    leaks = LeakCount()
    with atomic_folder(dst) as partial, ExitStack() as stack:
        stores = {}
        for part in PARTS:
            shards = count_shards(counts[part], params.shards.pictures) if is_sharded else 0
            stores[part] = stack.enter_context(PictureStore(partial / part, shards))
        stored = (_store(row, stores) for row in track(rows, "split", total))
        write_manifest(partial, leaks.watch(stored))
        stack.close()
        if found := leaks.count():
            raise AnymusError(f"split: {found} groups lie in train and test", "this is a bug")
    unknown = report_unknown(overrides, _known_ids(src)) if overrides else []
    return SplitReport(
        counts=counts,
        groups=sides.groups,
        leaks=0,
        moved=sides.moved,
        unknown_overrides=len(unknown),
    )


class Sides:
    """Which side every kept face is on, photos first, each domain in the order of its manifest.

    Attributes:
        groups: Number of groups.
        moved: Groups that overrides put on another side than their draw.
    """

    def __init__(self, params: Params, src: Path, overrides: Overrides) -> None:
        self._src = src
        self._blocklist = load_blocklist(Path(params.paths.blocklist))
        self._spans: dict[Domain, tuple[int, int]] = {}
        kinds = (*_KINDS, *params.split.group_by)
        values = [array("Q") for _ in kinds]
        ids = bytearray()
        wishes: dict[int, str] = {}
        for domain in DOMAINS:
            start = len(ids) // 32
            for index, row in enumerate(self._faces(domain), start):
                for kind, column in zip(kinds, values, strict=True):
                    column.append(_digest(kind, getattr(row, kind)))
                ids += bytes.fromhex(row.group or row.id)
                if row.id in overrides and overrides[row.id].side:
                    wishes[index] = row.id
            self._spans[domain] = (start, len(ids) // 32)
        own = np.frombuffer(ids, "V32")
        roots = _join_equals(len(own), values)
        self._names = own[least_of_each(roots, *id_columns(own))]
        self.is_test, self.groups, self.moved = _choose_sides(
            params, roots, self._names, wishes, overrides
        )

    def _faces(self, domain: Domain) -> Iterator[ImageRecord]:
        return self._blocklist.allowed(iter_kept(self._src / domain))

    def rows(self, domain: Domain) -> Iterator[ImageRecord]:
        """Yield the kept rows of a domain with group and side; `file` is the path from here."""
        for index, row in enumerate(self._faces(domain), self._spans[domain][0]):
            yield row.model_copy(
                update={
                    "group": bytes(self._names[index]).hex(),
                    "split": "test" if self.is_test[index] else "train",
                    "file": str(self._src / domain / str(row.file)),
                }
            )

    def counts(self) -> dict[str, int]:
        """Return the number of faces of each part."""
        counts = dict.fromkeys(PARTS, 0)
        for domain, (start, stop) in self._spans.items():
            tests = int(self.is_test[start:stop].sum())
            counts[_part_of(domain, is_test=True)] = tests
            counts[_part_of(domain, is_test=False)] = stop - start - tests
        return counts


def _choose_sides(
    params: Params,
    roots: Indices,
    names: NDArray[np.void],
    wishes: Mapping[int, str],
    overrides: Overrides,
) -> tuple[NDArray[np.bool_], int, int]:
    """Return which faces go to test, the number of groups, and of those that were moved."""
    wishes_of: dict[int, list[str]] = {}
    for index, identity in wishes.items():
        wishes_of.setdefault(int(roots[index]), []).append(identity)
    heads = np.unique(roots)
    is_test = np.zeros(len(roots), bool)
    moved = 0
    for head in heads.tolist():
        drawn = _draw(params.seed, bytes(names[head]).hex()) < params.split.test_share
        wish = _wish_of(wishes_of.get(head, []), overrides)
        is_test[head] = drawn if wish is None else wish == "test"
        moved += wish is not None and drawn != (wish == "test")
    return is_test[roots], len(heads), moved


class LeakCount:
    """Counts groups and source pictures with faces in train and in test, from the rows written."""

    def __init__(self) -> None:
        self._names = {kind: array("Q") for kind in _KINDS}
        self._is_test = array("b")

    def watch(self, rows: Iterable[ImageRecord]) -> Iterator[ImageRecord]:
        """Yield the rows as they are, and note their sides."""
        for row in rows:
            if row.split is not None:
                for kind, names in self._names.items():
                    names.append(_digest(kind, getattr(row, kind)))
                self._is_test.append(row.split == "test")
            yield row

    def count(self) -> int:
        """Return the number of names that stand on both sides."""
        is_test = np.frombuffer(self._is_test, bool) if self._is_test else np.zeros(0, bool)
        leaks = 0
        for column in self._names.values():
            names = _as_array(column)
            train, test = (np.unique(names[(names > 0) & (is_test == side)]) for side in (0, 1))
            leaks += len(np.intersect1d(train, test, assume_unique=True))
        return leaks


def _join_equals(count: int, columns: list["array[int]"]) -> Indices:
    """Return the first of each index's set: those with equal values of any column; 0 is none."""
    groups = Groups(count)
    for column in columns:
        values = _as_array(column)
        order = np.argsort(values, kind="stable")
        is_same = (values[order][1:] == values[order][:-1]) & (values[order][1:] > 0)
        groups.join_all(order[:-1][is_same], order[1:][is_same])
    return groups.roots()


def _as_array(column: "array[int]") -> NDArray[np.uint64]:
    return np.frombuffer(column, np.uint64) if column else np.zeros(0, np.uint64)


def _digest(kind: str, value: str | None) -> int:
    """Return 64 bits for a value, 0 for none; two values that met there would be one group."""
    if value is None:
        return 0
    digest = hashlib.blake2b(f"{kind}\0{value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") or 1


def _wish_of(ids: list[str], overrides: Overrides) -> str | None:
    """Return the side that people want a group on; None if they say nothing."""
    sides = {str(overrides[identity].side): identity for identity in ids}
    if len(sides) > 1:
        one, other = (f"{overrides[key].where} ({side})" for side, key in sorted(sides.items()))
        raise ParamsError(
            f"{one} and {other} move faces of one group to different sides",
            "near-duplicates and faces of one picture stay together: remove one of the lines",
        )
    return next(iter(sides), None)


def _known_ids(src: Path) -> Iterator[str]:
    return (row.id for domain in DOMAINS for row in iter_manifest(src / domain))


def _store(row: ImageRecord, stores: Mapping[str, PictureStore]) -> ImageRecord:
    """Put a face into its part and return its row."""
    part = _part_of(row.domain, is_test=row.split == "test")
    file = stores[part].take(row.id, Path(str(row.file)))
    return row.model_copy(update={"file": f"{part}/{file}"})


def _part_of(domain: Domain, *, is_test: bool) -> str:
    return f"{'test' if is_test else 'train'}{SIDE_OF_DOMAIN[domain]}"


def _draw(seed: int, group: str) -> float:
    """Return a number in [0, 1) that depends on the seed and the group's name alone."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _require_enough(counts: Mapping[str, int], params: Params) -> None:
    for name, count in counts.items():
        least = params.split.min_train if name.startswith("train") else params.split.min_test
        if count < least:
            key = "min_train" if name.startswith("train") else "min_test"
            raise DatasetError(
                f"split: {count} faces in {name}, fewer than split.{key} = {least}",
                "collect more pictures, or change split.test_share or the seed",
            )
