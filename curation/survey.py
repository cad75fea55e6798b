"""Survey: one pass over the manifests of a domain for all that the report and the card say of it.

What is held hardly grows with the data: counts, the first rows of each kind, the figures of the
first faces, and eight bytes a near-duplicate. Manifests are sorted by hashes, so the first rows are
a random sample, the same at every run.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np

from anymus.manifest import Domain, ImageRecord, RowCount, iter_manifest
from anymus.params import Params

from .overrides import Overrides

FIGURE_FACES = 20_000
_MOST_TWINS = 8
_MOST_KEYS = 1000

LicenceKey = tuple[str, str]


@dataclass
class Sample:
    """The first rows of a kind, and how many there are."""

    total: int = 0
    rows: list[ImageRecord] = field(default_factory=list)

    def add(self, row: ImageRecord, limit: int) -> None:
        """Count a row, and take it while there is room."""
        self.total += 1
        if len(self.rows) < limit:
            self.rows.append(row)


@dataclass
class Survey:
    """What the manifests of one domain say.

    Attributes:
        raw, detected, faces, unique: Counts of each stage.
        dataset: Counts of `split`: faces of the data set, and those left out.
        kept: Sample of the faces kept.
        rejected: Samples of the rejected faces by reason, without near-duplicates.
        left_out: Samples of the faces that `split` left out, by reason.
        missed: Samples of the pictures that gave no face, by reason.
        twins: Groups of near-duplicates, the kept face first.
        twin_groups: How many such groups there are.
        figures: Values of every quality and framing figure, of the first faces kept.
        licences, sites, authors: Faces kept by each; at most `_MOST_KEYS` authors are told apart.
        sides: Side of the split by the id of a sampled face.
        known: The ids among those that overrides name.
    """

    raw: RowCount = field(default_factory=RowCount)
    detected: RowCount = field(default_factory=RowCount)
    faces: RowCount = field(default_factory=RowCount)
    unique: RowCount = field(default_factory=RowCount)
    dataset: RowCount = field(default_factory=RowCount)
    kept: Sample = field(default_factory=Sample)
    rejected: dict[str, Sample] = field(default_factory=lambda: defaultdict(Sample))
    left_out: dict[str, Sample] = field(default_factory=lambda: defaultdict(Sample))
    missed: dict[str, Sample] = field(default_factory=lambda: defaultdict(Sample))
    twins: list[list[ImageRecord]] = field(default_factory=list)
    twin_groups: int = 0
    figures: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    licences: Counter[LicenceKey] = field(default_factory=Counter)
    sites: Counter[str] = field(default_factory=Counter)
    authors: Counter[str] = field(default_factory=Counter)
    sides: dict[str, str] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)


def survey(params: Params, domain: Domain, overrides: Overrides) -> Survey:
    """Return what the manifests of a domain say; a stage that has not run yet says nothing."""
    paths, tiles = params.paths, params.report.tiles
    found = Survey()
    for row in found.raw.watch(_rows(Path(paths.raw) / domain)):
        if row.is_kept:
            found.sites[row.site or "not stated"] += 1
    for row in found.detected.watch(_rows(Path(paths.detected) / domain)):
        if row.reason is not None and row.file is not None:
            found.missed[row.reason].add(row, tiles)
    faces, unique = Path(paths.faces) / domain, Path(paths.unique) / domain
    for row in found.faces.watch(_rows(faces)):
        if row.id in overrides:
            found.known.add(row.id)
    seen = found.unique if unique.is_dir() else RowCount()
    groups = _TwinGroups(tiles // 2)
    for row in seen.watch(_rows(unique if unique.is_dir() else faces)):
        _look_at_face(found, row, tiles, groups)
    found.twin_groups = groups.count()
    _collect_twins(found, unique, groups.first)
    own = (row for row in _rows(Path(paths.dataset)) if row.domain == domain)
    _look_at_dataset(found, found.dataset.watch(own), tiles)
    return found


def _rows(folder: Path) -> Iterator[ImageRecord]:
    return iter_manifest(folder) if folder.is_dir() else iter(())


class _TwinGroups:
    """The groups of near-duplicates: the names of the first, and of each row eight bytes."""

    def __init__(self, most: int) -> None:
        self.first: set[str] = set()
        self._most = most
        self._digests = array("Q")

    def add(self, group: str) -> None:
        if len(self.first) < self._most:
            self.first.add(group)
        self._digests.append(int(group[:16], 16))

    def count(self) -> int:
        return len(np.unique(np.array(self._digests, np.uint64)))


def _look_at_face(found: Survey, row: ImageRecord, tiles: int, groups: _TwinGroups) -> None:
    if row.reason == "near_duplicate":
        if row.group is not None:
            groups.add(row.group)
    elif not row.is_kept:
        if row.parent is not None:
            found.rejected[row.reason or "unknown"].add(row, tiles)
    else:
        found.kept.add(row, tiles)
        found.licences[row.licence or "not stated", row.licence_url or ""] += 1
        author = row.author or "not stated"
        is_told_apart = author in found.authors or len(found.authors) < _MOST_KEYS
        found.authors[author if is_told_apart else "others"] += 1
        if found.kept.total <= FIGURE_FACES:
            for name, value in (row.quality or {}).items():
                found.figures[name].append(value)


def _collect_twins(found: Survey, unique: Path, names: set[str]) -> None:
    """Gather the members of some groups of near-duplicates."""
    if not names:
        return
    rows = [row for row in iter_manifest(unique) if row.group in names and row.file]
    rows.sort(key=lambda row: (row.group or "", not row.is_kept, row.id))
    for _, members in groupby(rows, key=lambda row: row.group):
        found.twins.append(list(members)[:_MOST_TWINS])


def _look_at_dataset(found: Survey, rows: Iterator[ImageRecord], tiles: int) -> None:
    wanted = {row.id for row in found.kept.rows}
    wanted.update(row.id for group in found.twins for row in group)
    for row in rows:
        if row.id in wanted and row.split is not None:
            found.sides[row.id] = row.split
        if not row.is_kept:
            found.left_out[row.reason or "unknown"].add(row, tiles)
