"""A local folder as a source: its pictures copied under content names, with the same manifest."""

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from anymus.engine import Failure, map_items
from anymus.errors import DatasetError, ImageError, ParamsError
from anymus.files import (
    atomic_folder,
    content_path,
    sha256_bytes,
    walk_files,
    walk_images,
    write_bytes,
)
from anymus.manifest import Domain, ImageRecord
from anymus.params import Params, ScrapeParams
from anymus.progress import log, track

from .report import ScrapeReport, finish, require_own_folder
from .storing import check_picture

CREDITS_NAMES = ("credits.csv", "manifest.csv")
CREDIT_COLUMNS = ("title", "author", "licence", "licence_url", "group")
_SITE = "folder"

Credits = dict[Path, dict[str, str]]


def scrape_folder(
    params: Params, source: Path, domain: Domain, dst: Path, credits_file: Path | None = None
) -> ScrapeReport:
    """Copy a folder's pictures into `dst` by content name and write their manifest.

    The source is only read. Subfolders are walked; hidden files are left out, and files that are no
    pictures by their suffix are counted in the log.

    Args:
        params: All parameters; `scrape` and `engine` are used.
        source: The folder to read.
        domain: photo or manga.
        dst: The folder to fill; it is replaced as a whole at the end.
        credits_file: CSV with a `path` column (relative to the CSV or to the source) and any of
            title, author, licence, licence_url, group. None: the source's credits.csv or
            manifest.csv, if it has one.

    Raises:
        ParamsError: `source` is no folder, `dst` overlaps it or holds other things, or the credits
            have no `path` column.
        DatasetError: No picture was kept.
        AnymusError: Too many pictures are unusable.
    """
    _require_apart(source, dst)
    require_own_folder(dst)
    paths = list(walk_images(source))
    others = sum(1 for _ in walk_files(source)) - len(paths)
    if not paths:
        raise DatasetError(
            f"no picture in {source} ({others} other files)", "give a folder of png, jpg or webp"
        )
    log.info("%s: %d pictures, %d other files left out", source, len(paths), others)
    limits = params.scrape
    chosen = paths[: limits.max_pictures]
    all_credits = _find_credits(source, credits_file)
    with atomic_folder(dst) as filling:
        outcomes = map_items(partial(_take, filling, limits), chosen, params.engine)
        rows = []
        for path, outcome in zip(chosen, track(outcomes, "copy", len(chosen)), strict=True):
            row = _row_of(path.relative_to(source), domain, outcome)
            rows.append(row.model_copy(update=all_credits.get(path.resolve(), {})))
        return finish(
            rows,
            filling,
            dst,
            site=_SITE,
            domain=domain,
            max_rejected_share=limits.max_rejected_share,
            is_complete=len(chosen) == len(paths),
        )


def _require_apart(source: Path, dst: Path) -> None:
    if not source.is_dir():
        raise ParamsError(f"{source} is not a folder", "give a folder of pictures")
    inner, outer = dst.resolve(), source.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise ParamsError(
            f"{dst} and {source} lie within one another", "give another folder with -o"
        )


def _take(folder: Path, limits: ScrapeParams, path: Path) -> ImageRecord:
    """Copy one picture into the folder and return a row of its facts."""
    content = _read(path, limits.max_picture_bytes)
    facts = check_picture(content, limits.min_side_px)
    sha256 = sha256_bytes(content)
    file = content_path(sha256, facts.suffix)
    if not (folder / file).exists():
        write_bytes(folder / file, content)
    return ImageRecord(
        id=sha256,
        domain="photo",
        file=file.as_posix(),
        format=facts.format,
        size_bytes=len(content),
        width_px=facts.width_px,
        height_px=facts.height_px,
    )


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        size_bytes = path.stat().st_size
        if size_bytes > max_bytes:
            raise ImageError(f"{path}: {size_bytes} bytes", reason="too_many_bytes")
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot open {path}: {error.strerror}", reason="unreadable") from error


def _row_of(relative: Path, domain: Domain, outcome: ImageRecord | Failure[Path]) -> ImageRecord:
    origin = {"domain": domain, "site": _SITE, "source_path": relative.as_posix()}
    if isinstance(outcome, Failure):
        log.info("%s: %s", relative, outcome.message)
        own_id = sha256_bytes(relative.as_posix().encode())
        row = ImageRecord(id=own_id, domain=domain, file=None).reject(outcome.reason)
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
