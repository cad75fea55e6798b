"""Dedupe: group near-duplicate faces globally and keep the best of each group."""

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from anymus.engine import Failure, map_items
from anymus.errors import DatasetError
from anymus.files import atomic_folder
from anymus.images import read_rgb
from anymus.manifest import (
    Domain,
    ImageRecord,
    count_reasons,
    read_manifest,
    write_manifest,
)
from anymus.params import DedupeParams, Params
from anymus.progress import track
from curation.groups import Groups
from curation.hashes import Fingerprint, fingerprint, near_fingerprints, read_fingerprint

_SAME_PLACE = 0.4  # of the face width: how far apart the same face may be found in two copies


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

    Args:
        params: All parameters; `dedupe` and `engine` are read.
        domain: Photo or manga, for messages only.
        src: Folder of `crop`; only read.
        dst: Folder to write, replaced as a whole.

    Raises:
        DatasetError: No manifest, or no crop in it.
    """
    crops = [row for row in read_manifest(src) if row.is_kept]
    if not crops:
        raise DatasetError(f"no crops in {src}", f"run `anymus crop {domain}`")
    hash_file = functools.partial(_hash_crop, src)
    outcomes = map_items(hash_file, crops, params.engine)
    rows, hashed, prints = [], [], []
    for row, outcome in zip(crops, track(outcomes, f"dedupe {domain}", len(crops)), strict=True):
        if isinstance(outcome, Failure):
            rows.append(row.reject(outcome.reason))
            continue
        hashed.append(len(rows))
        prints.append(outcome)
        rows.append(row.model_copy(update={"phash": f"{outcome.plain.coarse:016x}"}))
    groups = group_faces([rows[index] for index in hashed], prints, params.dedupe)
    for members in groups:
        _settle(rows, [hashed[member] for member in members])
    with atomic_folder(dst) as partial:
        write_manifest(partial, (row.relocated(src, dst) for row in rows))
    return DedupeReport(
        faces=len(rows),
        kept=sum(row.is_kept for row in rows),
        duplicate_groups=sum(len(members) > 1 for members in groups),
        reasons=count_reasons(rows),
    )


def group_faces(
    faces: Sequence[ImageRecord], prints: Sequence[Fingerprint], params: DedupeParams
) -> list[list[int]]:
    """Return the groups of duplicate faces, each a sorted list of indices.

    Args:
        faces: Rows of `crop`.
        prints: The fingerprints of their crops.
        params: The two distances, and whether mirror pictures count.
    """
    groups = Groups(len(faces))
    for one, other, _ in near_fingerprints(prints, params):
        groups.join(one, other)
    of_picture: dict[str, list[int]] = defaultdict(list)
    for index, face in enumerate(faces):
        if face.parent_print is not None:
            of_picture[face.parent_print].append(index)
    pictures = list(of_picture)
    parents = [read_fingerprint(digits) for digits in pictures]
    pairs = [(index, index, False) for index in range(len(pictures))]  # equal, or one and the same
    for one, other, is_mirrored in (*pairs, *near_fingerprints(parents, params)):
        for first, second in product(of_picture[pictures[one]], of_picture[pictures[other]]):
            if _lie_alike(faces[first], faces[second], is_mirrored=is_mirrored):
                groups.join(first, second)
    return groups.members()


def _lie_alike(one: ImageRecord, other: ImageRecord, *, is_mirrored: bool) -> bool:
    """Say whether two faces lie in the same place of their pictures, one mirrored or not."""
    x1, y1, side1 = _place(one)
    x2, y2, side2 = _place(other)
    x2 = 1 - x2 if is_mirrored else x2
    reach = _SAME_PLACE * max(side1, side2)
    return abs(x1 - x2) <= reach and abs(y1 - y2) <= reach


def _place(face: ImageRecord) -> tuple[float, float, float]:
    """Return the middle (x, y) and the width of a face in widths and heights of its picture."""
    if face.box is None or face.parent_size_px is None:
        raise DatasetError(f"crop {face.id} does not say where its face was", "run `anymus crop`")
    x, y, width, height = face.box
    picture_width, picture_height = face.parent_size_px
    return (
        (x + width / 2) / picture_width,
        (y + height / 2) / picture_height,
        width / picture_width,
    )


def _hash_crop(src: Path, row: ImageRecord) -> Fingerprint:
    return fingerprint(read_rgb(src / str(row.file)))


def _settle(rows: list[ImageRecord], members: Sequence[int]) -> None:
    """Name the group of these rows and reject all but the best one, in place."""
    best = min(members, key=lambda index: _rank(rows[index]))
    group = min(rows[index].id for index in members)
    for index in members:
        row = rows[index].model_copy(update={"group": group})
        rows[index] = row if index == best else row.reject("near_duplicate")


def _rank(row: ImageRecord) -> tuple[float, float, str]:
    """Order duplicates: least enlarged (finest original) first, then sharpest, then by id."""
    quality = row.quality or {}
    return (quality.get("upscale", 0.0), -quality.get("sharpness", 0.0), row.id)
