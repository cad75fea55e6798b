"""Crop: cut every face found into a square PNG, eyes level, one framing for both domains."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anymus.engine import Failure, map_items, require_share
from anymus.errors import DatasetError
from anymus.files import atomic_folder, sha256_bytes, write_bytes
from anymus.framing import Framing, crop_transform, cut, map_points, outside_share, scale_of
from anymus.images import RgbU8, encode_png, read_rgb
from anymus.manifest import (
    Domain,
    Face,
    ImageRecord,
    count_reasons,
    read_manifest,
    write_manifest,
)
from anymus.params import CropParams, Params
from anymus.progress import track
from curation.hashes import fingerprint
from curation.quality import measure


@dataclass(frozen=True, slots=True)
class CropReport:
    """What the stage made: faces seen, crops written, and faces rejected by reason."""

    faces: int
    crops: int
    reasons: Mapping[str, int]

    def as_metrics(self) -> dict[str, int]:
        """Return the figures by name, one `rejected_<reason>` a reason."""
        figures = {"faces": self.faces, "crops": self.crops}
        return figures | {f"rejected_{reason}": n for reason, n in self.reasons.items()}


def framing_of(params: CropParams) -> Framing:
    """Return the framing that the parameters name."""
    framing = params.framing
    return Framing(framing.size_px, framing.face_share, framing.eye_line)


def crop(params: Params, domain: Domain, src: Path, dst: Path) -> CropReport:
    """Write one PNG a good face of `src`, named by the SHA-256 of its bytes, and the manifest.

    Args:
        params: All parameters; `crop` and `engine` are read.
        domain: Photo or manga: the two measure a face's width differently.
        src: Folder of `detect`, whose manifest names the pictures; only read.
        dst: Folder to write, replaced as a whole.

    Raises:
        DatasetError: No manifest, or no face is good enough.
        AnymusError: More than `crop.max_rejected_share` of the pictures cannot be read.
    """
    pictures = [row for row in read_manifest(src) if row.is_kept]
    rows: list[ImageRecord] = []
    failed = 0
    with atomic_folder(dst) as partial:
        work = functools.partial(_crop_picture, params.crop, domain, src, partial)
        outcomes = map_items(work, pictures, params.engine.workers)
        for picture, outcome in zip(
            pictures, track(outcomes, f"crop {domain}", len(pictures)), strict=True
        ):
            if isinstance(outcome, Failure):
                failed += 1
                rows.append(picture.relocated(src, dst).reject(outcome.reason))
            else:
                rows += outcome
        require_share(failed, len(pictures), params.crop.max_rejected_share, f"crop {domain}")
        rows = _reject_same_bytes(rows)
        if not any(row.is_kept for row in rows):
            raise DatasetError(
                f"no usable face in {src}: {count_reasons(rows)}", "relax the limits under `crop`"
            )
        write_manifest(partial, rows)
    return CropReport(len(rows), sum(row.is_kept for row in rows), count_reasons(rows))


def _crop_picture(
    params: CropParams, domain: Domain, src: Path, dst: Path, picture: ImageRecord
) -> list[ImageRecord]:
    rgb_u8 = read_rgb(src / str(picture.file))
    height_px, width_px = rgb_u8.shape[:2]
    picture = picture.model_copy(
        update={
            "parent": picture.id,
            "parent_size_px": (width_px, height_px),
            "parent_print": fingerprint(rgb_u8).to_hex(),
        }
    )
    return [_crop_face(params, domain, dst, picture, rgb_u8, face) for face in picture.faces]


def _crop_face(
    params: CropParams,
    domain: Domain,
    dst: Path,
    picture: ImageRecord,
    rgb_u8: RgbU8,
    face: Face,
) -> ImageRecord:
    framing = framing_of(params)
    matrix = crop_transform(face, domain, framing)
    crop_u8 = cut(rgb_u8, matrix, framing.size_px)
    quality = measure(crop_u8, matrix)
    height_px, width_px = rgb_u8.shape[:2]
    outside = outside_share(matrix, width_px, height_px, framing.size_px)
    row = picture.model_copy(
        update={
            "id": sha256_bytes(f"{picture.id}:{face.box}".encode()),
            "file": None,
            "format": "PNG",
            "size_bytes": None,
            "width_px": framing.size_px,
            "height_px": framing.size_px,
            "faces": (),
            "box": face.box,
            "landmarks": map_points(matrix, face.landmarks),
            "score": face.score,
            "quality": quality | {"outside_share": round(outside, 4)},
        }
    )
    if scale_of(matrix) > params.max_upscale:
        return row.reject("too_small")
    if outside > params.max_outside_share:
        return row.reject("cut_by_edge")
    if quality["sharpness"] < params.min_sharpness:
        return row.reject("blurred")
    png = encode_png(crop_u8)
    crop_id = sha256_bytes(png)
    write_bytes(dst / f"{crop_id}.png", png)
    update = {"id": crop_id, "file": f"{crop_id}.png", "size_bytes": len(png)}
    return row.model_copy(update=update)


def _reject_same_bytes(rows: list[ImageRecord]) -> list[ImageRecord]:
    """Keep the first of the crops that have the same bytes, by parent."""
    seen: set[str] = set()
    result = []
    for row in sorted(rows, key=lambda row: (row.id, row.parent or "", row.box or ())):
        if row.is_kept and row.id in seen:
            result.append(row.reject("same_bytes").model_copy(update={"file": None}))
        else:
            seen.add(row.id)
            result.append(row)
    return result
