"""A local folder as a source: its pictures copied under content names, with the same manifest."""

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from anymus.blocklist import REASON, Blocklist, load_blocklist
from anymus.engine import Failure, map_items
from anymus.errors import DatasetError, ImageError, ParamsError
from anymus.files import atomic_folder, sha256_bytes, walk_files, walk_images
from anymus.manifest import MANIFEST_NAME, Domain, ImageRecord, iter_manifest
from anymus.params import Params, ScrapeParams
from anymus.progress import log, track
from anymus.shards import read_stored, size_stored

from .report import ScrapeReport, finish, require_own_folder
from .storing import check_picture, store_picture

CREDITS_NAMES = ("credits.csv", "manifest.csv")
CREDIT_COLUMNS = ("title", "author", "licence", "licence_url", "group")
# What a manifest of an earlier collection says of where a picture comes from.
_ORIGIN_FIELDS = (
    "site", "url", "asked_url", "source_path", "page_url", "title", "author", "licence",
    "licence_url", "fetched_at", "headers", "group",
)  # fmt: skip

Credits = dict[Path, dict[str, str]]


def scrape_folder(
    params: Params,
    source: Path,
    domain: Domain,
    dst: Path,
    credits_file: Path | None = None,
    *,
    site: str = "folder",
) -> ScrapeReport:
    """Copy a folder's pictures into `dst` by content name and write their manifest.

    The source is only read. Subfolders are walked; hidden files are left out, and files that are no
    pictures by their suffix are counted in the log. Where a subfolder has a `manifest.jsonl` of an
    earlier collection, its pictures (in tar shards, too) come with all that it says of them, and so
    do its rows of what was left out: parts of one crawl are gathered so.

    Args:
        params: All parameters; `scrape`, `engine` and `paths.blocklist` are used.
        source: The folder to read.
        domain: photo or manga.
        dst: The folder to fill; it is replaced as a whole at the end.
        credits_file: CSV with a `path` column (relative to the CSV or to the source) and any of
            title, author, licence, licence_url, group. None: the source's credits.csv or
            manifest.csv, if it has one.
        site: What rows without a site of their own are said to come from.

    Raises:
        ParamsError: `source` is no folder, `dst` overlaps it or holds other things, or the credits
            have no `path` column.
        DatasetError: No picture was kept.
        AnymusError: Too many pictures are unusable.
    """
    _require_apart(source, dst)
    require_own_folder(dst)
    listed, left_out = _read_manifests(source)
    plain = [path for path in walk_images(source) if path not in listed]
    paths = sorted([*listed, *plain])
    others = sum(1 for _ in walk_files(source)) - len(plain)
    if not paths:
        raise DatasetError(
            f"no picture in {source} ({others} other files)", "give a folder of png, jpg or webp"
        )
    log.info("%s: %d pictures, %d other files left out", source, len(paths), others)
    limits = params.scrape
    chosen = paths[: limits.max_pictures]
    all_credits = _find_credits(source, credits_file)
    blocklist = load_blocklist(Path(params.paths.blocklist))
    with atomic_folder(dst) as filling:
        work = partial(_take, filling, limits, blocklist)
        outcomes = map_items(work, chosen, params.engine)
        rows = [row.model_copy(update={"domain": domain}) for row in left_out]
        for path, outcome in zip(chosen, track(outcomes, "copy", len(chosen)), strict=True):
            origin: dict[str, object] = {"domain": domain, "site": site}
            if path in listed:
                origin |= _origin_of(listed[path])
            else:
                origin["source_path"] = path.relative_to(source).as_posix()
            origin |= all_credits.get(path.resolve(), {})
            row = _row_of(path, source, outcome, origin)
            is_blocked = row.is_kept and blocklist.blocks(row)
            rows.append(_without_file(row, filling) if is_blocked else row)
        return finish(
            rows,
            filling,
            filling,
            dst,
            site=site,
            domain=domain,
            params=params,
            is_complete=len(chosen) == len(paths),
        )


def _read_manifests(source: Path) -> tuple[dict[Path, ImageRecord], list[ImageRecord]]:
    """Return the kept rows of all manifests below a folder by their files, and the other rows."""
    if not source.is_dir():
        return {}, []
    kept: dict[Path, ImageRecord] = {}
    others = []
    for path in walk_files(source):
        if path.name == MANIFEST_NAME:
            for row in iter_manifest(path.parent):
                if row.is_kept and row.file:
                    kept[path.parent / row.file] = row
                elif row.reason != "same_bytes":
                    others.append(row)
    return kept, others


def _origin_of(row: ImageRecord) -> dict[str, object]:
    values = {name: getattr(row, name) for name in _ORIGIN_FIELDS}
    return {name: value for name, value in values.items() if value is not None}


def _without_file(row: ImageRecord, folder: Path) -> ImageRecord:
    (folder / str(row.file)).unlink(missing_ok=True)
    return row.reject(REASON).model_copy(update={"file": None})


def _require_apart(source: Path, dst: Path) -> None:
    if not source.is_dir():
        raise ParamsError(f"{source} is not a folder", "give a folder of pictures")
    inner, outer = dst.resolve(), source.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise ParamsError(
            f"{dst} and {source} lie within one another", "give another folder with -o"
        )


def _take(folder: Path, limits: ScrapeParams, blocklist: Blocklist, path: Path) -> ImageRecord:
    """Copy one picture into the folder and return a row of its facts."""
    content = _read(path, limits.max_picture_bytes)
    facts = check_picture(content, limits)
    sha256, file = store_picture(content, facts, folder, blocklist)
    return ImageRecord(
        id=sha256,
        domain="photo",
        file=file,
        format=facts.format,
        size_bytes=len(content),
        width_px=facts.width_px,
        height_px=facts.height_px,
    )


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        size_bytes = size_stored(path)
        if size_bytes > max_bytes:
            raise ImageError(f"{path}: {size_bytes} bytes", reason="too_many_bytes")
        return read_stored(path)
    except OSError as error:
        raise ImageError(f"cannot open {path}: {error.strerror}", reason="unreadable") from error


def _row_of(
    path: Path, source: Path, outcome: ImageRecord | Failure[Path], origin: dict[str, object]
) -> ImageRecord:
    if isinstance(outcome, Failure):
        relative = path.relative_to(source).as_posix()
        log.info("%s: %s", relative, outcome.message)
        own_id = sha256_bytes(relative.encode())
        row = ImageRecord(id=own_id, domain="photo", file=None).reject(outcome.reason)
        return row.model_copy(update=origin)
    return outcome.model_copy(update=origin)


def _find_credits(source: Path, credits_file: Path | None) -> Credits:
    if credits_file is not None:
        if not credits_file.is_file():
            raise ParamsError(f"no credits file {credits_file}", "give a CSV with --credits")
        return _read_credits(credits_file, source)
    for name in CREDITS_NAMES:
        if (source / name).is_file():
            return _read_credits(source / name, source)
    return {}


def _read_credits(path: Path, source: Path) -> Credits:
    """Return the credits by the resolved path of their picture."""
    found: Credits = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if "path" not in (reader.fieldnames or ()):
                raise ParamsError(
                    f"{path} has no column 'path'", "its first line names the columns"
                )
            for line in reader:
                found |= {place: _credit(line) for place in _places(line["path"], path, source)}
    except (UnicodeDecodeError, csv.Error) as error:
        raise ParamsError(f"{path} is not a CSV in UTF-8: {error}", "save it as UTF-8") from error
    log.info("%s: credits of %d pictures", path, len(found))
    return found


def _places(text: str | None, path: Path, source: Path) -> Iterator[Path]:
    for base in dict.fromkeys((path.parent, source)):
        place = (base / (text or "")).resolve()
        if place.is_file():
            yield place
            return


def _credit(line: dict[str, str | None]) -> dict[str, str]:
    values = {name: (line.get(name) or "").strip() for name in CREDIT_COLUMNS}
    return {name: value for name, value in values.items() if value}
