"""Dedupe: group near-duplicate faces globally and keep the best of each group."""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anymus.blocklist import load_blocklist
from anymus.errors import DatasetError
from anymus.files import atomic_folder
from anymus.manifest import (
    Domain,
    ImageRecord,
    RowCount,
    iter_manifest,
    write_manifest,
)
from anymus.params import DedupeParams, Params
from anymus.progress import log

from .groups import Groups, Indices, id_columns, least_of_each, near_best
from .hashes import Prints, first_of_equals, near_fingerprints
from .overrides import Override, Overrides, read_overrides

_OWN_REASONS = ("near_duplicate", "dropped")
_SAME_PLACE = 0.4  # of the face width: how far apart the same face may be found in two copies
_EYES = ("left_eye", "right_eye")
# What makes a face the better one of a group, in this order (`_merits`), and the share of the
# group's best that is as good as it. The scores of true copies differ (of 140 photos at four fifths
# of their size 5 % by more than half), so only one of less than a third is a doubt; places of eyes
# do, so sizes within a fiftieth are one.
_RANKING = (
    ("eyes", 1.0),
    ("score", 0.33),
    ("inside", 0.98),
    ("fineness", 0.98),
    ("sharpness", 1.0),
)


@dataclass(frozen=True, slots=True)
class DedupeReport:
    """What the stage found: faces, faces kept, groups of more than one face, rejected by reason."""

    faces: int
    kept: int
    duplicate_groups: int
    reasons: Mapping[str, int]

    def as_metrics(self) -> dict[str, int]:
        """Return the figures by name, one `rejected_<reason>` a reason."""
        figures = {
            "faces": self.faces,
            "kept": self.kept,
            "duplicate_groups": self.duplicate_groups,
        }
        return figures | {f"rejected_{reason}": n for reason, n in self.reasons.items()}


def dedupe(params: Params, domain: Domain, src: Path, dst: Path) -> DedupeReport:
    """Write `dst/manifest.jsonl`: the crops of `src`, grouped, all but the best of each rejected.

    Two faces are near-duplicates when their crops are near (`near_fingerprints`), or when their
    pictures are and both lie in the same place of them; groups are the connected components, so the
    result does not depend on the order of the faces. The pictures are looked at because a crop of a
    rescaled picture can be aligned a little differently, and two hashes because aligned faces of
    different people are alike at 64 bits (docs/decisions/0003).

    The best of a group shows both eyes, is surely a face, is not cut by its picture's edge, has
    the most pixels and is the sharpest, in this order (`_RANKING`).

    Rows stream; of each face its hashes, its place and its merits are held, 242 bytes, and while
    they are compared some 530 (`benchmarks/hashes.py`). A face that `overrides` keeps is kept
    beside the best of its group, a face that they drop is rejected, whatever else it is.

    Args:
        params: All parameters; `dedupe`, `paths.overrides` and `paths.blocklist` are read.
        domain: Photo or manga, for messages only.
        src: Folder of `crop`; only read.
        dst: Folder to write, replaced as a whole.

    Raises:
        DatasetError: No manifest, or no crop in it.
        ParamsError: The overrides cannot be read.
    """
    overrides = read_overrides(Path(params.paths.overrides))
    blocklist = load_blocklist(Path(params.paths.blocklist))
    faces = Faces()
    for row in _in_play(blocklist.allowed(iter_manifest(src)), overrides):
        faces.append(row)
    if not len(faces):
        raise DatasetError(f"no crops in {src}", f"run `anymus crop {domain}`")
    log.info("dedupe %s: %d faces", domain, len(faces))
    roots = group_faces(faces, params.dedupe)
    names, is_best = faces.settle(roots)
    count = RowCount()
    with atomic_folder(dst) as partial:
        settled = _settle(blocklist.allowed(iter_manifest(src)), overrides, names, is_best)
        write_manifest(partial, count.watch(row.relocated(src, dst) for row in settled))
    return DedupeReport(
        faces=len(faces),
        kept=count.kept,
        duplicate_groups=int((np.unique(roots, return_counts=True)[1] > 1).sum()),
        reasons={name: n for name, n in count.ordered_reasons().items() if name in _OWN_REASONS},
    )


class Faces:
    """What the grouping needs of the faces, in columns."""

    def __init__(self) -> None:
        self.prints = Prints()
        self.parent_prints = Prints()
        self._ids = bytearray()
        self._places = array("d")
        self._merits = array("f")

    def __len__(self) -> int:
        return len(self.prints)

    def append(self, row: ImageRecord) -> None:
        """Add a face.

        Raises:
            DatasetError: The row says too little about where its face was.
        """
        if None in (row.box, row.parent_size_px, row.parent_print, row.picture_print):
            raise DatasetError(
                f"crop {row.id} does not say where its face was", "run `anymus crop`"
            )
        self._ids += bytes.fromhex(row.id)
        self.prints.append(str(row.picture_print))
        self.parent_prints.append(str(row.parent_print))
        self._places.extend(_place(row))
        self._merits.extend(_merits(row))

    def places(self) -> NDArray[np.float64]:
        """Return (n, 3): middle x and y and width of a face, in sizes of its picture."""
        return np.frombuffer(self._places).reshape(-1, 3)

    def settle(self, roots: Indices) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
        """Return for each face the id of its group, and whether it is the best of it.

        The best is found by sieving: of the faces of a group those stay that are near its best eye
        count, of these those near the best score, and so on through `_RANKING`; then the first by
        id.
        """
        ids = np.frombuffer(self._ids, "V32")
        merits = np.frombuffer(self._merits, np.float32).reshape(-1, len(_RANKING))
        is_best = np.ones(len(roots), np.bool_)
        for values, (_, share) in zip(merits.T, _RANKING, strict=True):
            is_best = near_best(roots, values, is_best, share)
        columns = id_columns(ids)
        names = ids[least_of_each(roots, *columns)]
        best = least_of_each(roots, ~is_best, *columns)
        return names, best == np.arange(len(best))


def group_faces(faces: Faces, params: DedupeParams) -> Indices:
    """Return for each face the first of its group of duplicates (n,)."""
    groups = Groups(len(faces))
    for one, other, _ in near_fingerprints(faces.prints.words(), params):
        groups.join_all(one, other)
    words = faces.parent_prints.words()
    first, kind = first_of_equals(words.reshape(len(words), -1))
    of_picture = _Kinds(kind, len(first))
    del kind
    places = faces.places()
    for picture in of_picture.crowded():  # equal pictures, or one and the same
        _join_alike(groups, places, of_picture[picture])
    for one, other, is_mirrored in near_fingerprints(words[first], params):
        for left, right, flip in zip(one.tolist(), other.tolist(), is_mirrored, strict=True):
            ours, theirs = of_picture[left], of_picture[right]
            i, j = np.nonzero(_lie_alike(places[ours][:, None], places[theirs][None], flip))
            groups.join_all(ours[i], theirs[j])
    return groups.roots()


def _join_alike(groups: Groups, places: NDArray[np.float64], indices: NDArray[np.int64]) -> None:
    """Join the faces that hang together by lying in the same place, without trying every pair."""
    waiting = indices
    while len(waiting):
        frontier, waiting = [waiting[0]], waiting[1:]
        while frontier and len(waiting):
            face = frontier.pop()
            is_alike = _lie_alike(places[face], places[waiting], False)
            found, waiting = waiting[is_alike], waiting[~is_alike]
            groups.join_all(np.full(len(found), face), found)
            frontier += found.tolist()


class _Kinds:
    """The places where each kind stands."""

    def __init__(self, kind: Indices, kinds: int) -> None:
        self._order = np.argsort(kind, kind="stable")
        self._starts = np.searchsorted(kind[self._order], np.arange(kinds + 1))

    def __getitem__(self, kind: int) -> Indices:
        return self._order[self._starts[kind] : self._starts[kind + 1]]

    def crowded(self) -> list[int]:
        """Return the kinds that stand in more than one place."""
        kinds: list[int] = np.flatnonzero(np.diff(self._starts) > 1).tolist()
        return kinds


def _lie_alike(
    one: NDArray[np.float64], other: NDArray[np.float64], is_mirrored: bool
) -> NDArray[np.bool_]:
    """Say whether faces (..., 3) lie in the same place of their pictures, one mirrored or not."""
    x = 1 - other[..., 0] if is_mirrored else other[..., 0]
    reach = _SAME_PLACE * np.maximum(one[..., 2], other[..., 2])
    is_beside = np.abs(one[..., 0] - x) <= reach
    return np.asarray(is_beside & (np.abs(one[..., 1] - other[..., 1]) <= reach))


def _place(face: ImageRecord) -> tuple[float, float, float]:
    """Return the middle (x, y) and the width of a face in widths and heights of its picture."""
    assert face.box is not None
    assert face.parent_size_px is not None
    x, y, width, height = face.box
    picture_width, picture_height = face.parent_size_px
    return (
        (x + width / 2) / picture_width,
        (y + height / 2) / picture_height,
        width / picture_width,
    )


def _merits(face: ImageRecord) -> tuple[float, ...]:
    """Return what `_RANKING` names of a face; of each, more is better.

    That is the number of eyes found, the detector's score, the share of the face's box inside the
    picture, picture pixels per crop pixel, and sharpness.
    """
    quality = face.quality or {}
    return (
        len(set(_EYES).intersection(face.landmarks or {})),
        face.score or 0.0,
        1 - quality.get("face_outside_share", 0.0),
        1 / max(1e-4, quality.get("upscale", 1.0)),
        quality.get("sharpness", 0.0),
    )


def _in_play(rows: Iterable[ImageRecord], overrides: Overrides) -> Iterator[ImageRecord]:
    """Yield the faces to be grouped: all that crop kept or people keep, but those they drop."""
    return (row for row in rows if _is_in_play(row, overrides))


def _is_in_play(row: ImageRecord, overrides: Overrides) -> bool:
    if row.file is None or row.parent is None:
        return False
    word = overrides.get(row.id, Override()).is_kept
    return row.is_kept if word is None else word


def _settle(
    rows: Iterable[ImageRecord],
    overrides: Overrides,
    names: NDArray[np.void],
    is_best: NDArray[np.bool_],
) -> Iterator[ImageRecord]:
    """Yield the rows with their groups and what became of them."""
    index = 0
    for row in rows:
        word = overrides.get(row.id, Override()).is_kept
        if not _is_in_play(row, overrides):
            is_dropped = word is False and row.file is not None
            yield row.reject("dropped") if is_dropped else row
            continue
        assert row.picture_print is not None
        found: dict[str, str | None] = {
            "group": bytes(names[index]).hex(),
            "phash": row.picture_print[:16],
        }
        is_kept = is_best[index] or word is True
        index += 1
        if is_kept:
            found |= {"status": "kept", "reason": None}
            yield row.model_copy(update=found)
        else:
            yield row.model_copy(update=found).reject("near_duplicate")
