"""Dedupe: group near-duplicate faces globally and keep the best of each group."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

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
from anymus.params import Params
from anymus.progress import track
from curation.groups import Groups
from curation.hamming import Hashes, near_pairs


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

    Two faces are near-duplicates when their 64-bit perceptual hashes (or that of one's mirror
    picture) differ in at most `dedupe.max_distance` bits; groups are the connected components, so
    the result does not depend on the order of the faces.

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
    outcomes = map_items(hash_file, crops, params.engine.workers)
    rows, hashes = [], []
    for row, outcome in zip(crops, track(outcomes, f"dedupe {domain}", len(crops)), strict=True):
        if isinstance(outcome, Failure):
            rows.append(row.reject(outcome.reason))
            continue
        rows.append(row.model_copy(update={"phash": f"{outcome[0]:016x}"}))
        hashes.append((len(rows) - 1, *outcome))
    groups = group_near(
        np.array([plain for _, plain, _ in hashes], np.uint64),
        np.array([mirrored for _, _, mirrored in hashes], np.uint64),
        params.dedupe.max_distance,
        is_mirror_aware=params.dedupe.is_mirror_aware,
    )
    for members in groups:
        _settle(rows, [hashes[member][0] for member in members])
    with atomic_folder(dst) as partial:
        write_manifest(partial, (row.relocated(src, dst) for row in rows))
    return DedupeReport(
        faces=len(rows),
        kept=sum(row.is_kept for row in rows),
        duplicate_groups=sum(len(members) > 1 for members in groups),
        reasons=count_reasons(rows),
    )


def group_near(
    plain: Hashes, mirrored: Hashes, max_distance: int, *, is_mirror_aware: bool
) -> list[list[int]]:
    """Return the connected components of near hashes, each a sorted list of indices.

    Args:
        plain: (n,) uint64 hashes of the pictures.
        mirrored: (n,) uint64 hashes of their mirror pictures.
        max_distance: Most differing bits of two duplicates.
        is_mirror_aware: Whether a picture near another's mirror picture is a duplicate.
    """
    count = len(plain)
    entries = np.concatenate([plain, mirrored]) if is_mirror_aware else plain
    unique, first, inverse = np.unique(entries, return_index=True, return_inverse=True)
    groups = Groups(count)
    for entry, owner in enumerate(first[inverse]):  # equal hashes, mirrored or not
        groups.join(entry % count, int(owner) % count)
    for left, right in near_pairs(unique, max_distance):
        for one, other in zip(first[left].tolist(), first[right].tolist(), strict=True):
            groups.join(one % count, other % count)
    return groups.members()


def _hash_crop(src: Path, row: ImageRecord) -> tuple[int, int]:
    picture = Image.fromarray(read_rgb(src / str(row.file)))
    mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return int(str(imagehash.phash(picture)), 16), int(str(imagehash.phash(mirrored)), 16)


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
