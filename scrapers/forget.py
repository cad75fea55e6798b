"""Forget: a picture, or all of an author, out of everything that was made of it, for good.

Which rows are meant is decided by their origin; what was cut from a picture carries its id as
`parent`, so every later stage can be searched. What must not come back goes into the blocklist.
"""

import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from anymus.blocklist import add_entries, fold_author, hash_picture
from anymus.errors import DatasetError, ImageError
from anymus.files import sha256_bytes
from anymus.images import read_rgb
from anymus.ledger import load_ledger, write_ledger
from anymus.manifest import DOMAINS, MANIFEST_NAME, ImageRecord, read_manifest, write_manifest
from anymus.params import Params
from anymus.shards import find_shard, iter_members, write_shard

from .page import PAGE_NAME, write_page
from .page_cache import forget_pages
from .state import STORE_NAME, iter_entries, state_folder, write_entries

_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_STORED = re.compile(r"^[0-9a-f]{64}\.[a-z]+$")


@dataclass(frozen=True, slots=True)
class Place:
    """What was removed from one place."""

    path: str
    files: int
    rows: int


@dataclass
class Forgotten:
    """What was removed, and what may still hold it."""

    is_dry: bool
    places: list[Place] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    tombstones: int = 0

    def as_json(self) -> dict[str, object]:
        """Return it as plain values."""
        places = [{"path": p.path, "files": p.files, "rows": p.rows} for p in self.places]
        return {
            "is_dry": self.is_dry,
            "removed": places,
            "tombstones": self.tombstones,
            "remarks": self.remarks,
        }


@dataclass(frozen=True, slots=True)
class _Target:
    """What is to be forgotten: as it was typed, and the ids of the pictures that it means."""

    what: str
    ids: frozenset[str]

    def means(self, row: ImageRecord) -> bool:
        return row.id in self.ids or row.parent in self.ids or _is_named(row, self.what)


def forget(params: Params, what: str, *, is_dry: bool = False) -> Forgotten:
    """Remove what is named from every folder of the pipeline, and block it from coming back.

    Removed are the original bytes, the crawl's state (store, journal, cached pages), rows of all
    manifests, lines of the ledger of sides, crops, the files of the split, members of tar shards,
    and whole pages and sample sheets on which it may be seen; those are made again by their
    commands.

    Args:
        params: All parameters; `paths` says where everything lies.
        what: A picture's URL, the SHA-256 of its bytes (or of a crop), or an author's name.
        is_dry: Only say what would be removed.

    Raises:
        DatasetError: Nothing of that name is known; it is blocked all the same.
    """
    folders = [folder for folder in _folders(params) if (folder / MANIFEST_NAME).is_file()]
    states = [state for state in _states(params) if state.is_dir()]
    rows = [(folder, row) for folder in folders for row in read_manifest(folder)]
    known = [row for _, row in rows] + [e.row for state in states for e in iter_entries(state)]
    target = _Target(what, _find_ids(known, what))
    result = Forgotten(is_dry)
    entries = set(_tombstones(what, target, rows))
    if not is_dry:
        result.tombstones = add_entries(Path(params.paths.blocklist), entries)
    for state in states:
        _add(result, _as_given(state), _forget_in_state(state, target, is_dry=is_dry))
    for folder in folders:
        _add(result, folder, _forget_in_folder(folder, target, is_dry=is_dry))
    if not result.places:
        raise DatasetError(
            f"nothing is known of {what!r}" + ("" if is_dry else "; it is blocked from now on"),
            "give a picture's URL, its SHA-256, or an author's name as the manifest has it; a"
            " folder that was filled with -o is looked at with -S paths.raw=...",
        )
    _forget_sides(Path(params.paths.sides), target, result)
    _forget_pages_of_runs(params, result)
    _forget_work(folders, result)
    result.remarks += _remarks(params, is_dry=is_dry)
    return result


def _folders(params: Params) -> Iterator[Path]:
    paths = params.paths
    for base in (paths.raw, paths.detected, paths.faces, paths.unique):
        for domain in DOMAINS:
            yield Path(base) / domain
    yield Path(paths.dataset)


def _states(params: Params) -> Iterator[Path]:
    return (state_folder(Path(params.paths.raw) / domain) for domain in DOMAINS)


def _as_given(path: Path) -> Path:
    """Return a path as the parameters have it: below the working folder, relative to it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _find_ids(rows: Iterable[ImageRecord], what: str) -> frozenset[str]:
    """Return the ids of the collected pictures that are meant, and of their copies."""
    rows = list(rows)
    ids = {row.parent or row.id for row in rows if _is_named(row, what)}
    ids |= {row.parent for row in rows if row.id in ids and row.parent}
    return frozenset(ids)


def _is_named(row: ImageRecord, what: str) -> bool:
    is_author = row.author is not None and fold_author(row.author) == fold_author(what)
    return what.lower() == row.id or what in (row.url, row.asked_url) or is_author


def _tombstones(
    what: str, target: _Target, rows: list[tuple[Path, ImageRecord]]
) -> Iterator[tuple[str, str]]:
    """Yield what keeps it out: hashes, which name nobody."""
    if _SHA256.match(what.lower()):
        yield "sha256", what.lower()
    elif what.startswith(("http://", "https://")):
        yield "url-sha256", sha256_bytes(what.encode())
    else:
        yield "author-sha256", sha256_bytes(fold_author(what).encode())
    for folder, row in rows:
        is_first = row.is_kept and row.parent is None
        if not (target.means(row) and (is_first or row.reason == "same_bytes")):
            continue
        for url in (row.url, row.asked_url):
            if url:
                yield "url-sha256", sha256_bytes(url.encode())
        if not is_first:
            continue
        yield "sha256", row.id
        try:
            yield "phash", hash_picture(read_rgb(folder / str(row.file)))
        except ImageError:
            continue


def _forget_in_folder(folder: Path, target: _Target, *, is_dry: bool) -> tuple[int, int]:
    """Remove rows, their files, and shard members from a stage's folder; return how many."""
    rows = read_manifest(folder)
    gone = [row for row in rows if target.means(row)]
    files = [folder / row.file for row in gone if row.file and ".." not in Path(row.file).parts]
    there = [path for path in files if path.is_file() or find_shard(path)]
    if not gone or is_dry:
        return len(there), len(gone)
    _remove_members([path for path in there if find_shard(path)])
    for path in there:
        path.unlink(missing_ok=True) if not find_shard(path) else None
    left = [row for row in rows if not target.means(row)]
    write_manifest(folder, left)
    if (folder / PAGE_NAME).is_file():
        write_page(folder, left, (left or gone)[0].site or folder.name)
    return len(there), len(gone)


def _remove_members(paths: list[Path]) -> None:
    """Write the shards of these members again without them."""
    gone: dict[Path, set[str]] = {}
    for path in paths:
        shard = find_shard(path)
        assert shard is not None
        gone.setdefault(shard[0], set()).add(shard[1])
    for archive, names in gone.items():
        left = [member for member in iter_members(archive) if member[0] not in names]
        if left:
            write_shard(archive, left)
        else:
            archive.unlink()


def _forget_in_state(state: Path, target: _Target, *, is_dry: bool) -> tuple[int, int]:
    """Remove entries, stored bytes and the pages that showed them from a crawl's state."""
    entries = list(iter_entries(state))
    gone = [entry.row for entry in entries if target.means(entry.row)]
    stored = [path for path in (state / STORE_NAME).rglob("*") if _STORED.match(path.name)]
    files = [path for path in stored if path.stem in target.ids]
    if is_dry or not (gone or files):
        return len(files), len(gone)
    for path in files:
        path.unlink()
    write_entries(state, (entry for entry in entries if not target.means(entry.row)))
    pages = {url for row in gone for url in (row.page_url, row.url, row.asked_url) if url}
    for path in state.glob("pages*.sqlite"):
        forget_pages(path, pages)
    return len(files), len(gone)


def _forget_sides(path: Path, target: _Target, result: Forgotten) -> None:
    """Remove the lines of its pictures from the ledger of sides."""
    ledger = load_ledger(path)
    left = ledger.without(target.ids)
    _add(result, path, (0, len(ledger) - len(left)))
    if len(left) < len(ledger) and not result.is_dry:
        write_ledger(path, left)


def _forget_pages_of_runs(params: Params, result: Forgotten) -> None:
    """Remove pages and sheets on which it may be seen."""
    paths = params.paths
    sheets = [
        *Path(paths.report).glob("*"),
        *Path(paths.train_results).glob("samples/*"),
        *Path(paths.evaluate_results).glob("samples*.png"),
    ]
    for path in sorted(sheet for sheet in sheets if sheet.is_file()):
        result.places.append(Place(str(path), 1, 0))
        if not result.is_dry:
            path.unlink()


def _forget_work(folders: list[Path], result: Forgotten) -> None:
    """Remove what a stage that was cut off had made so far: it is made again."""
    for folder in folders:
        work = folder.with_name(f".{folder.name}.work")
        if work.is_dir():
            result.places.append(Place(str(work), sum(1 for _ in work.rglob("*.*")), 0))
            if not result.is_dry:
                shutil.rmtree(work)


def _remarks(params: Params, *, is_dry: bool) -> list[str]:
    dataset = Path(params.paths.dataset)
    remarks = [] if is_dry else [f"blocked from now on: {params.paths.blocklist} (commit it)"]
    remarks.append("`dvc repro` makes reports and sheets again, without it")
    if Path(".dvc").is_dir():
        remarks.append(
            "DVC's cache and remotes keep earlier versions: after `dvc repro` or `dvc commit`, "
            "`dvc gc -w` here and `dvc gc -w -c` for the remote remove what no workspace needs"
        )
    models = Path(params.paths.models)
    if models.is_dir() and any(models.rglob("*.safetensors")) and dataset.is_dir():
        remarks.append(
            f"models in {models} were perhaps trained on it and may hold traces of it: "
            "only training again without it removes them"
        )
    remarks.append("folders filled with -o are not looked at: forget there with -S paths.raw=...")
    remarks.append("copies that you gave away or converted elsewhere are beyond this command")
    return remarks


def _add(result: Forgotten, path: Path, counts: tuple[int, int]) -> None:
    if any(counts):
        result.places.append(Place(str(path), *counts))
