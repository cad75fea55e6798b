"""Crop: cut every face found into a square PNG, eyes level, one framing for both domains."""

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from anymus.blocklist import load_blocklist
from anymus.engine import require_calm, require_share
from anymus.errors import DatasetError
from anymus.files import atomic_folder, sha256_bytes, write_bytes
from anymus.framing import Framing, crop_transform, cut, map_points
from anymus.images import RgbU8, encode_png, read_rgb
from anymus.manifest import (
    Domain,
    Face,
    ImageRecord,
    RowCount,
    iter_kept,
    sort_rows,
    write_manifest,
)
from anymus.params import CropParams, Params
from anymus.shards import PictureStore, choose_shards

from .hashes import fingerprint
from .quality import find_fault, measure
from .work import WorkFolder


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
    """Write one PNG a face of `src`, named by the SHA-256 of its bytes, and the manifest.

    The pictures of rejected faces are written, too, so that they can be looked at and taken back
    (`curation.overrides`). More than `shards.above` pictures become tar shards.

    Args:
        params: All parameters; `crop`, `shards`, `engine` and `paths.blocklist` are read.
        domain: Photo or manga: the two measure a face's width differently.
        src: Folder of `detect`, whose manifest names the pictures; only read.
        dst: Folder to write, replaced as a whole.

    Raises:
        DatasetError: No manifest, or no face is good enough.
        AnymusError: More than `crop.max_rejected_share` of the pictures cannot be read.
        PartialError: More than `engine.max_quarantined` pictures crashed, hung or exhausted their
            worker; everything else is written.
    """
    name = f"crop {domain}"
    work = WorkFolder(dst, name, params.crop)
    blocklist = load_blocklist(Path(params.paths.blocklist))
    cut_faces = functools.partial(_crop_picture, params.crop, domain, src.absolute(), work)
    total = work.run(cut_faces, lambda: blocklist.allowed(iter_kept(src)), params.engine)
    if not total:
        work.remove()
        raise DatasetError(f"no picture with a face in {src}", f"run `anymus detect {domain}`")
    failed = sum(row.parent is None for row in work.rows())
    require_share(failed, total, params.crop.max_rejected_share, name)
    crops = sum(row.parent is not None for row in work.rows())
    shards = choose_shards(crops, params.shards.above, params.shards.pictures)
    made = RowCount()
    with atomic_folder(dst) as partial:
        with PictureStore(partial, shards) as store:
            rows = _reject_same_bytes(sort_rows(work.rows(), partial))
            stored = (_store(row, store, work) or row.relocated(src, dst) for row in rows)
            write_manifest(partial, made.watch(stored))
        if not made.kept:
            raise DatasetError(
                f"no usable face in {src}: {made.ordered_reasons()}",
                "relax the limits under `crop`",
            )
    require_calm(made.quarantined, params.engine, name)
    work.remove()
    return CropReport(made.kept + made.rejected, made.kept, made.ordered_reasons())


def _crop_picture(
    params: CropParams, domain: Domain, src: Path, work: WorkFolder, picture: ImageRecord
) -> list[ImageRecord]:
    rgb_u8 = read_rgb(src / str(picture.file))
    height_px, width_px = rgb_u8.shape[:2]
    picture = picture.model_copy(
        update={
            "parent": picture.id,
            "parent_size_px": (width_px, height_px),
            "parent_print": fingerprint(rgb_u8).to_hex(),
            "source_group": picture.group,
            "group": None,
        }
    )
    return [_crop_face(params, domain, work, picture, rgb_u8, face) for face in picture.faces]


def _crop_face(
    params: CropParams,
    domain: Domain,
    work: WorkFolder,
    picture: ImageRecord,
    rgb_u8: RgbU8,
    face: Face,
) -> ImageRecord:
    framing = framing_of(params)
    matrix = crop_transform(face, domain, framing)
    crop_u8 = cut(rgb_u8, matrix, framing.size_px)
    height_px, width_px = rgb_u8.shape[:2]
    figures = measure(crop_u8, matrix, face, domain, framing, (width_px, height_px))
    png = encode_png(crop_u8)
    sha256 = sha256_bytes(png)
    write_bytes(work.picture(sha256), png)
    row = picture.model_copy(
        update={
            "id": sha256,
            "file": f"{sha256}.png",
            "format": "PNG",
            "size_bytes": len(png),
            "width_px": framing.size_px,
            "height_px": framing.size_px,
            "faces": (),
            "box": face.box,
            "landmarks": map_points(matrix, face.landmarks),
            "score": face.score,
            "picture_print": fingerprint(crop_u8).to_hex(),
            "quality": figures,
        }
    )
    fault = find_fault(figures, params, domain)
    return row if fault is None else row.reject(fault)


def _reject_same_bytes(rows: Iterable[ImageRecord]) -> Iterator[ImageRecord]:
    """Yield rows, sorted by id, with all but one of the crops of the same bytes rejected."""
    for _, same in groupby(rows, key=lambda row: row.id):
        first, *others = sorted(same, key=lambda r: (not r.is_kept, r.parent or "", r.box or ()))
        yield first
        for row in others:
            rejected = row.reject("same_bytes") if row.is_kept else row
            yield rejected.model_copy(update={"file": None})


def _store(row: ImageRecord, store: PictureStore, work: WorkFolder) -> ImageRecord | None:
    """Put a crop into the output and return its row; None for a picture that gave no crop."""
    if row.parent is None:
        return None
    if row.file is None:
        return row
    file = store.take(row.id, work.picture(row.id), is_own=True)
    return row.model_copy(update={"file": file})
