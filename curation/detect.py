"""Detect: find the faces of every collected picture; writes a manifest, no pictures."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anymus.blocklist import load_blocklist
from anymus.detectors import FaceDetector, make_detector
from anymus.engine import require_calm, require_share
from anymus.errors import DatasetError
from anymus.files import atomic_folder
from anymus.images import read_rgb
from anymus.manifest import (
    Domain,
    ImageRecord,
    RowCount,
    iter_kept,
    write_manifest,
)
from anymus.params import DetectorParams, Params

from .work import WorkFolder


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
        params: All parameters; `detect.<domain>`, `engine` and `paths.blocklist` are read.
        domain: Whose detector is used, photo or manga.
        src: Folder with pictures and their manifest; only read.
        dst: Folder to write, replaced as a whole.

    Raises:
        DatasetError: No manifest, no picture, or no face in any picture.
        AnymusError: More than `detect.max_rejected_share` of the pictures cannot be read.
        PartialError: More than `engine.max_quarantined` pictures crashed, hung or exhausted their
            worker; everything else is written.
    """
    limits, name = params.detect.of(domain), f"detect {domain}"
    work = WorkFolder(dst, name, limits)
    blocklist = load_blocklist(Path(params.paths.blocklist))
    find = functools.partial(_find_faces, src.absolute(), limits)
    total = work.run(find, lambda: blocklist.allowed(iter_kept(src)), params.engine)
    if not total:
        work.remove()
        raise DatasetError(f"no kept pictures in {src}", f"run `anymus scrape` for {domain}")
    count = RowCount()
    with atomic_folder(dst) as partial:
        write_manifest(partial, count.watch(row.relocated(src, dst) for row in work.rows()))
        failed = count.rejected - count.reasons["no_face"]
        require_share(failed, total, params.detect.max_rejected_share, name)
        if not count.kept:
            raise DatasetError(
                f"no face in any of the {total} pictures of {src}",
                f"is {domain} the right domain? lower detect.{domain}.min_score or min_face_px",
            )
    require_calm(count.quarantined, params.engine, name)
    work.remove()
    return DetectReport(total, count.kept, count.faces, count.ordered_reasons())


def _find_faces(src: Path, params: DetectorParams, picture: ImageRecord) -> list[ImageRecord]:
    faces = load_detector(params).find(read_rgb(src / str(picture.file)))
    found = picture.model_copy(update={"faces": faces})
    return [found if faces else found.reject("no_face")]


@functools.cache
def load_detector(params: DetectorParams) -> FaceDetector:
    """Return this process's detector, loaded once."""
    return make_detector(
        params.detector,
        upsample=params.upsample,
        second_upsample=params.second_upsample,
        second_look_share=params.second_look_share,
        max_side_px=params.max_side_px,
        min_score=params.min_score,
        min_face_px=params.min_face_px,
        max_faces=params.max_faces,
    )
