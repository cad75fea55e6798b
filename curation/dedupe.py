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
from anymus.params import DedupeParams, Params
from anymus.progress import track
from curation.groups import Groups
from curation.hamming import near_pairs


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


@dataclass(frozen=True, slots=True)
class FaceHash:
    """The perceptual hashes of one picture: 64 bits to find candidates, 256 to make sure."""

    coarse: int
    fine: tuple[int, int, int, int]


def dedupe(params: Params, domain: Domain, src: Path, dst: Path) -> DedupeReport:
    """Write `dst/manifest.jsonl`: the crops of `src`, grouped, all but the best of each rejected.

    Two faces are near-duplicates when the 64-bit perceptual hashes of them (or of one and the
    other's mirror picture) differ in at most `dedupe.max_distance` bits and the 256-bit ones in at
    most `dedupe.max_fine_distance`; groups are the connected components, so the result does not
    depend on the order of the faces. The second hash is needed because aligned faces of different
    people look alike at 64 bits (docs/datasets.md has the figures).

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
    rows, hashed, hashes = [], [], []
    for row, outcome in zip(crops, track(outcomes, f"dedupe {domain}", len(crops)), strict=True):
        if isinstance(outcome, Failure):
            rows.append(row.reject(outcome.reason))
            continue
        hashed.append(len(rows))
        hashes.append(outcome)
        rows.append(row.model_copy(update={"phash": f"{outcome[0].coarse:016x}"}))
    groups = group_near(hashes, params.dedupe)
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


def group_near(
    hashes: Sequence[tuple[FaceHash, FaceHash]], params: DedupeParams
) -> list[list[int]]:
    """Return the connected components of near pictures, each a sorted list of indices.

    Args:
        hashes: For each picture its hash and that of its mirror picture.
        params: The two distances, and whether mirror pictures count.
    """
    count = len(hashes)
    entries = [plain for plain, _ in hashes]
    if params.is_mirror_aware:
        entries += [mirrored for _, mirrored in hashes]
    groups = Groups(count)
    owners: dict[FaceHash, int] = {}
    for index, entry in enumerate(entries):  # equal hashes need no join and would fill its tables
        groups.join(index % count, owners.setdefault(entry, index % count))
    unique = list(owners)
    owner = np.array([owners[entry] for entry in unique], np.int64)
    coarse = np.array([entry.coarse for entry in unique], np.uint64)
    fine = np.array([entry.fine for entry in unique], np.uint64).reshape(-1, 4)  # (n, 4)
    for left, right in near_pairs(coarse, params.max_distance):
        distance = np.bitwise_count(fine[left] ^ fine[right]).sum(axis=1)  # (pairs,)
        near = distance <= params.max_fine_distance
        pairs = zip(owner[left[near]].tolist(), owner[right[near]].tolist(), strict=True)
        for one, other in pairs:
            groups.join(one, other)
    return groups.members()


def hash_face(picture: Image.Image) -> FaceHash:
    """Return the perceptual hashes (DCT, 8 x 8 and 16 x 16 lowest frequencies) of a picture."""
    fine = str(imagehash.phash(picture, hash_size=16))
    parts = [int(fine[start : start + 16], 16) for start in range(0, 64, 16)]
    coarse = int(str(imagehash.phash(picture)), 16)
    return FaceHash(coarse, (parts[0], parts[1], parts[2], parts[3]))


def _hash_crop(src: Path, row: ImageRecord) -> tuple[FaceHash, FaceHash]:
    picture = Image.fromarray(read_rgb(src / str(row.file)))
    return hash_face(picture), hash_face(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT))


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
