"""The manifest: where every picture comes from and what became of it, one typed row each.

`manifest.jsonl` lies beside the pictures it speaks of, sorted by id and then by URL. A rejected
picture is a row with a reason; no row is ever dropped.
"""

import heapq
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Literal, TextIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from anymus.errors import DatasetError
from anymus.files import atomic_file

MANIFEST_NAME = "manifest.jsonl"
QUARANTINE_REASONS = frozenset({"crashed", "worker_died", "timed_out", "out_of_memory"})
"""Reasons of pictures that did something no picture should do; each is worth a look."""

_RUN_ROWS = 20_000

Domain = Literal["photo", "manga"]
DOMAINS: tuple[Domain, ...] = ("photo", "manga")
Box = tuple[int, int, int, int]
Point = tuple[float, float]


class Face(BaseModel):
    """A face found in a picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    box: Box = Field(description="x, y, width, height in pixels of the upright picture")
    score: float = Field(description="the detector's confidence; comparable within one detector")
    landmarks: dict[str, Point] = Field(
        description="named points (x, y) in pixels: left_eye and right_eye as seen, nose (its tip)"
        " or nose_base (between the nostrils), mouth_left, mouth_right"
    )


class ImageRecord(BaseModel):
    """One picture: its bytes, its origin, and what the stages found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(description="SHA-256 of the bytes; of the URL where no bytes were stored")
    domain: Domain = Field(description="photo (A) or manga (B)")
    file: str | None = Field(description="path below the manifest's folder; null: not stored")
    status: Literal["kept", "rejected"] = "kept"
    reason: str | None = Field(default=None, description="why it was rejected, one word")

    site: str | None = Field(default=None, description="recipe that collected it")
    url: str | None = Field(default=None, description="picture's URL after redirects")
    asked_url: str | None = Field(
        default=None, description="URL that the page gave, where a redirect led elsewhere"
    )
    source_path: str | None = Field(
        default=None, description="path below the local folder it was taken from"
    )
    page_url: str | None = Field(default=None, description="page that showed it")
    title: str | None = None
    author: str | None = None
    licence: str | None = None
    licence_url: str | None = None
    fetched_at: str | None = Field(default=None, description="UTC, ISO 8601, seconds")
    headers: dict[str, str] | None = Field(
        default=None, description="response headers that matter: validators, type, opt-outs"
    )

    format: str | None = Field(default=None, description="JPEG, PNG, WEBP ... as sniffed")
    size_bytes: int | None = None
    width_px: int | None = None
    height_px: int | None = None

    faces: tuple[Face, ...] = Field(default=(), description="faces found, largest first")

    parent: str | None = Field(
        default=None, description="id of the picture it was cut from, or is a copy of"
    )
    parent_size_px: tuple[int, int] | None = Field(
        default=None, description="width and height of the parent, pixels"
    )
    parent_print: str | None = Field(
        default=None, description="perceptual hashes of the parent (curation/hashes.py)"
    )
    picture_print: str | None = Field(
        default=None, description="perceptual hashes of this picture (curation/hashes.py)"
    )
    box: Box | None = Field(default=None, description="face box in the parent, pixels")
    landmarks: dict[str, Point] | None = Field(
        default=None, description="named points in pixels of this picture"
    )
    score: float | None = Field(default=None, description="detector's score of the face")
    quality: dict[str, float] | None = Field(default=None, description="figures of quality.py")
    phash: str | None = Field(default=None, description="64-bit perceptual hash, 16 hex digits")
    source_group: str | None = Field(
        default=None, description="of a face: the group that its picture's source named"
    )
    group: str | None = Field(
        default=None,
        description="of a collected picture what its source names, a person or a title; of a face"
        " the id of its duplicate group, after `split` of the group that stays on one side",
    )
    split: Literal["train", "test"] | None = None

    @property
    def is_kept(self) -> bool:
        """Say whether the picture goes on to the next stage."""
        return self.status == "kept"

    def reject(self, reason: str) -> "ImageRecord":
        """Return this row as rejected for a reason."""
        return self.model_copy(update={"status": "rejected", "reason": reason})

    def relocated(self, src: Path, dst: Path) -> "ImageRecord":
        """Return this row of a manifest in `src` with its file's path made relative to `dst`."""
        if self.file is None:
            return self
        path = Path(os.path.relpath(src / self.file, dst)).as_posix()
        return self.model_copy(update={"file": path})


def read_manifest(folder: Path) -> list[ImageRecord]:
    """Return the rows of `folder/manifest.jsonl`, in the order of the file.

    Raises:
        DatasetError: The manifest is missing, or a line is not a row (the line is named).
    """
    return list(iter_manifest(folder))


def iter_manifest(folder: Path) -> Iterator[ImageRecord]:
    """Yield the rows of `folder/manifest.jsonl` one by one; see `read_manifest`."""
    path = folder / MANIFEST_NAME
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    yield ImageRecord.model_validate_json(line)
                except ValidationError as error:
                    first = error.errors()[0]
                    where = ".".join(str(part) for part in first["loc"]) or "the line"
                    raise DatasetError(
                        f"{path}:{number}: {where}: {first['msg']}", "run the stage before it again"
                    ) from error
    except FileNotFoundError as error:
        raise DatasetError(
            f"no {MANIFEST_NAME} in {folder}", "run the stage that fills it, or `dvc repro`"
        ) from error


def iter_kept(folder: Path) -> Iterator[ImageRecord]:
    """Yield the kept rows of a manifest one by one; see `read_manifest`."""
    return (row for row in iter_manifest(folder) if row.is_kept)


class RowCount:
    """Counts the rows that pass by, so that nobody has to hold them."""

    def __init__(self) -> None:
        self.kept = 0
        self.faces = 0
        self.reasons: Counter[str] = Counter()
        self.quarantined: dict[str, str] = {}

    @property
    def rejected(self) -> int:
        """Return the number of rejected rows."""
        return self.reasons.total()

    def watch(self, rows: Iterable[ImageRecord]) -> Iterator[ImageRecord]:
        """Yield the rows as they are, and count them."""
        for row in rows:
            self.kept += row.is_kept
            self.faces += len(row.faces)
            if not row.is_kept:
                reason = row.reason or "unknown"
                self.reasons[reason] += 1
                if reason in QUARANTINE_REASONS:
                    self.quarantined[row.parent or row.id] = reason
            yield row

    def ordered_reasons(self) -> dict[str, int]:
        """Return how many rows were rejected for each reason; see `count_reasons`."""
        return dict(sorted(self.reasons.items(), key=lambda item: (-item[1], item[0])))


def iter_rows(path: Path) -> Iterator[ImageRecord]:
    """Yield the rows of a file that `write_rows` wrote."""
    with path.open(encoding="utf-8") as stream:
        yield from map(ImageRecord.model_validate_json, stream)


def write_rows(path: Path, rows: Iterable[ImageRecord]) -> int:
    """Write rows as lines, atomically, in the order given, and return how many they were."""
    count = 0
    with atomic_file(path) as stream:
        for row in rows:
            stream.write(_line_of(row).encode())
            count += 1
    return count


def write_manifest(folder: Path, records: Iterable[ImageRecord]) -> int:
    """Write `folder/manifest.jsonl` atomically and sorted, and return the number of rows.

    Rows stream: no more than `_RUN_ROWS` are held at a time, whatever their number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return write_rows(folder / MANIFEST_NAME, sort_rows(records, folder))


def sort_rows(records: Iterable[ImageRecord], scratch: Path) -> Iterator[ImageRecord]:
    """Yield rows sorted by id, URL and box: an external merge sort, for rows beyond memory.

    Args:
        records: Rows in any order.
        scratch: Folder that sorted runs are written below when there is more than one; they are
            removed at the end.
    """
    stream = iter(records)
    run = sorted(islice(stream, _RUN_ROWS), key=order_of)
    if len(run) < _RUN_ROWS:
        yield from run
        return
    with tempfile.TemporaryDirectory(prefix=".sort-", dir=scratch) as name, ExitStack() as stack:
        runs: list[TextIO] = []
        while run:
            path = Path(name) / str(len(runs))
            with path.open("w", encoding="utf-8") as target:
                target.writelines(f"{json.dumps(order_of(row))}\t{_line_of(row)}" for row in run)
            runs.append(stack.enter_context(path.open(encoding="utf-8")))
            del run  # before the next one is held
            run = sorted(islice(stream, _RUN_ROWS), key=order_of)
        for line in heapq.merge(*runs, key=_order_of_line):
            yield ImageRecord.model_validate_json(line.partition("\t")[2])


def count_reasons(records: Iterable[ImageRecord]) -> dict[str, int]:
    """Return how many rows were rejected for each reason, most frequent first, then by name."""
    count = RowCount()
    for _ in count.watch(records):
        pass
    return count.ordered_reasons()


def _line_of(row: ImageRecord) -> str:
    return row.model_dump_json(exclude_defaults=True) + "\n"


def _order_of_line(line: str) -> tuple[str, str, list[int]]:
    identity, url, box = json.loads(line.partition("\t")[0])
    return (identity, url, box)


def order_of(record: ImageRecord) -> tuple[str, str, Box]:
    """Return what the rows of a manifest are sorted by: id, URL and box."""
    return (record.id, record.url or "", record.box or (0, 0, 0, 0))
