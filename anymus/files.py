"""Files: hashes, sorted walks and writes that are either whole or not there."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import AnymusError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
_CHUNK_BYTES = 1 << 20
_PACKAGES = ("anymus", "scrapers", "curation")


def sha256_bytes(content: bytes) -> str:
    """Return the hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def code_sha256() -> str:
    """Return a hash of the code and the weights that the stages run: equal code, equal results."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for path in walk_files(Path(__file__).parent.parent / package):
            if path.suffix == ".py" or path.parent.name == "weights":
                digest.update(f"{package}/{path.name}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()


def content_path(sha256: str, suffix: str) -> Path:
    """Return the relative path `ab/<sha256><suffix>` of content-addressed bytes.

    One level of folders: a folder is dearer to make than a file, and what would fill 256 of them
    too far is packed into shards (`anymus/shards.py`).
    """
    return Path(sha256[:2], f"{sha256}{suffix}")


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield every regular file below a folder, in sorted order, without hidden ones.

    A linked folder is not entered: it may lead back to where the walk is.
    """
    for entry in sorted(folder.iterdir(), key=lambda path: path.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if not entry.is_symlink():
                yield from walk_files(entry)
        elif entry.is_file():
            yield entry


def walk_images(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder whose suffix is a picture's, in sorted order."""
    return (path for path in walk_files(folder) if path.suffix.lower() in IMAGE_SUFFIXES)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that a killed run leaves the old content or the new, never a part.

    A symbolic or hard link at `path` is replaced, its target is not written to.
    """
    with atomic_file(path) as stream:
        stream.write(content)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Give a stream to fill a file with; it takes the place of `path` when the block succeeds."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with _create(partial) as stream:
            yield stream
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _create(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except FileNotFoundError:  # there is no such folder yet, which is rare
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep others who lock the same path out, in this process and in others, within the block.

    The lock is a hidden file beside `path`, which is made with its folder where it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def copy_file(source: Path, target: Path) -> None:
    """Copy the bytes of a file, nothing else of it."""
    shutil.copyfile(source, target)


def link_file(source: Path, target: Path) -> None:
    """Make a second name for a file that is never changed in place; copy it where links fail."""
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically (see `write_bytes`)."""
    write_bytes(path, text.encode())


def write_json(path: Path, values: Mapping[str, object]) -> None:
    """Write a JSON object atomically, indented, in the order of its keys as given."""
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def atomic_folder(dst: Path) -> Iterator[Path]:
    """Give an empty sibling folder to fill; it takes the place of `dst` when the block succeeds.

    On an error the sibling is removed and `dst` stays as it was.

    Raises:
        AnymusError: The sibling cannot be made.
    """
    dst = Path(os.path.abspath(dst))  # noqa: PTH100 - resolve() would follow a link at dst
    partial = dst.with_name(f".{dst.name}.partial")
    old = dst.with_name(f".{dst.name}.old")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise AnymusError(
            f"cannot write {dst}: {error.strerror}", "give a folder that can be written"
        ) from error
    try:
        yield partial
        shutil.rmtree(old, ignore_errors=True)
        if dst.exists():
            dst.rename(old)
        partial.rename(dst)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        if old.exists() and not dst.exists():
            old.rename(dst)
        raise
    shutil.rmtree(old, ignore_errors=True)
