"""Detect: find the faces of every collected picture; writes a manifest, no pictures."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anymus.detectors import FaceDetector, make_detector
from anymus.engine import Failure, map_items, require_share
from anymus.errors import DatasetError
from anymus.files import atomic_folder
from anymus.images import read_rgb
from anymus.manifest import (
    Domain,
    Face,
    ImageRecord,
    count_reasons,
    read_manifest,
    write_manifest,
)
from anymus.params import DetectorParams, Params
from anymus.progress import track


@dataclass(frozen=True, slots=True)
class DetectReport:
    """What the stage found: pictures looked at, faces, and pictures without one by reason."""

    pictures: int
    pictures_with_faces: int
    faces: int
    reasons: Mapping[str, int]

    def as_metrics(self) -> dict[str, int]:
        """Return the figures by name, one `rejected_<reason>` a reason."""
        figures = {
            "pictures": self.pictures,
            "pictures_with_faces": self.pictures_with_faces,
            "faces": self.faces,
        }
        return figures | {f"rejected_{reason}": n for reason, n in self.reasons.items()}


def detect(params: Params, domain: Domain, src: Path, dst: Path) -> DetectReport:
    """Write `dst/manifest.jsonl`: the kept pictures of `src` with the faces found in each.

    A picture without a face, or one that cannot be read, becomes a rejected row.

    Args:
        params: All parameters; `detect.<domain>` and `engine` are read.
        domain: Whose detector is used, photo or manga.
        src: Folder with pictures and their manifest; only read.
        dst: Folder to write, replaced as a whole.

    Raises:
        DatasetError: No manifest, no picture, or no face in any picture.
        AnymusError: More than `detect.max_rejected_share` of the pictures cannot be read.
    """
    pictures = [row for row in read_manifest(src) if row.is_kept]
    if not pictures:
        raise DatasetError(f"no kept pictures in {src}", f"run `anymus scrape` for {domain}")
    find = functools.partial(_find_faces, src, params.detect.of(domain))
    outcomes = map_items(find, pictures, params.engine.workers)
    rows = [
        _row(picture.relocated(src, dst), outcome)
        for picture, outcome in zip(
            pictures, track(outcomes, f"detect {domain}", len(pictures)), strict=True
        )
    ]
    failed = sum(1 for row in rows if row.reason not in (None, "no_face"))
    require_share(failed, len(rows), params.detect.max_rejected_share, f"detect {domain}")
    if not any(row.is_kept for row in rows):
        raise DatasetError(
            f"no face in any of the {len(rows)} pictures of {src}",
            f"is {domain} the right domain? lower detect.{domain}.min_score or min_face_px",
        )
    with atomic_folder(dst) as partial:
        write_manifest(partial, rows)
    return DetectReport(
        pictures=len(rows),
        pictures_with_faces=sum(row.is_kept for row in rows),
        faces=sum(len(row.faces) for row in rows),
        reasons=count_reasons(rows),
    )


def _find_faces(src: Path, params: DetectorParams, picture: ImageRecord) -> tuple[Face, ...]:
    return _detector(params).find(read_rgb(src / str(picture.file)))


@functools.cache
def _detector(params: DetectorParams) -> FaceDetector:
    """Return this process's detector, loaded once."""
    return make_detector(
        params.detector,
        upsample=params.upsample,
        second_upsample=params.second_upsample,
        max_side_px=params.max_side_px,
        min_score=params.min_score,
        min_face_px=params.min_face_px,
        max_faces=params.max_faces,
    )


def _row(picture: ImageRecord, outcome: tuple[Face, ...] | Failure[ImageRecord]) -> ImageRecord:
    if isinstance(outcome, Failure):
        return picture.reject(outcome.reason)
    if not outcome:
        return picture.reject("no_face")
    return picture.model_copy(update={"faces": outcome})
