"""Split: trainA, trainB, testA and testB, by groups, so that no face is on both sides."""

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anymus.errors import AnymusError, DatasetError
from anymus.files import atomic_folder
from anymus.manifest import DOMAINS, Domain, ImageRecord, read_manifest, write_manifest
from anymus.params import Params
from curation.groups import Groups

SIDE_OF_DOMAIN: dict[Domain, str] = {"photo": "A", "manga": "B"}


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What the stage made: pictures of each folder, groups, and groups on both sides (always 0)."""

    counts: Mapping[str, int]
    groups: int
    leaks: int

    def as_metrics(self) -> dict[str, int]:
        """Return the figures by name."""
        return {**self.counts, "groups": self.groups, "leaks": self.leaks}


def split(params: Params, src: Path, dst: Path) -> SplitReport:
    """Write `dst/{trainA,trainB,testA,testB}/*.png` and `dst/manifest.jsonl`.

    Faces of one duplicate group, of one picture, and of one value of every `split.group_by` field
    stay together. A group's side is a hash of the seed and its name, so a group stays where it is
    when others come or go.

    Args:
        params: All parameters; `split` and `seed` are read.
        src: Folder of `dedupe`, with a folder for photo and one for manga; only read.
        dst: Folder to write, replaced as a whole.

    Raises:
        DatasetError: No manifest, or too few faces for a part.
        AnymusError: A group lies on both sides.
    """
    rows: list[ImageRecord] = []
    sources: dict[str, Path] = {}
    for domain in DOMAINS:
        folder = src / domain
        kept = [row for row in read_manifest(folder) if row.is_kept]
        for row, group in zip(kept, _name_groups(kept, params.split.group_by), strict=True):
            is_test = _draw(params.seed, group) < params.split.test_share
            part = "test" if is_test else "train"
            name = f"{part}{SIDE_OF_DOMAIN[domain]}/{row.id}.png"
            sources[name] = folder / str(row.file)
            rows.append(row.model_copy(update={"group": group, "split": part, "file": name}))
    counts = _count_parts(rows)
    _require_enough(counts, params)
    leaks = count_leaks(rows)
    if leaks:
        raise AnymusError(f"split: {leaks} groups lie in train and test", "this is a bug")
    with atomic_folder(dst) as partial:
        for part in counts:
            (partial / part).mkdir()
        for name, source in sources.items():
            shutil.copyfile(source, partial / name)
        write_manifest(partial, rows)
    return SplitReport(counts, len({(row.domain, row.group) for row in rows}), leaks)


def count_leaks(rows: list[ImageRecord]) -> int:
    """Return how many groups and how many source pictures have faces in train and in test."""
    sides: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        for kind, name in (("group", row.group), ("parent", row.parent)):
            if name is not None and row.split is not None:
                sides[kind, name].add(row.split)
    return sum(len(parts) > 1 for parts in sides.values())


def _name_groups(rows: list[ImageRecord], group_by: tuple[str, ...]) -> list[str]:
    """Return for each row the smallest duplicate-group id among the rows it hangs together with."""
    groups = Groups(len(rows))
    first: dict[tuple[str, str], int] = {}
    for index, row in enumerate(rows):
        for field in ("group", "parent", *group_by):
            value = getattr(row, field)
            if value is not None:
                groups.join(index, first.setdefault((field, value), index))
    names = [""] * len(rows)
    for members in groups.members():
        name = min(rows[index].group or rows[index].id for index in members)
        for index in members:
            names[index] = name
    return names


def _draw(seed: int, group: str) -> float:
    """Return a number in [0, 1) that depends on the seed and the group's name alone."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _count_parts(rows: list[ImageRecord]) -> dict[str, int]:
    names = [f"{part}{side}" for part in ("train", "test") for side in ("A", "B")]
    return {name: sum(str(row.file).startswith(f"{name}/") for row in rows) for name in names}


def _require_enough(counts: Mapping[str, int], params: Params) -> None:
    for name, count in counts.items():
        least = params.split.min_train if name.startswith("train") else params.split.min_test
        if count < least:
            key = "min_train" if name.startswith("train") else "min_test"
            raise DatasetError(
                f"split: {count} faces in {name}, fewer than split.{key} = {least}",
                "collect more pictures, or change split.test_share or the seed",
            )
