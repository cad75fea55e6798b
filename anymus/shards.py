"""Tar shards: many small files in a few deterministic archives, each member readable by its path.

A folder of tens of thousands of files makes DVC slow; a few archives do not. A member's path is the
archive's path with the member's name below it (`raw/photo/shard-3.tar/abcd.jpg`), so a
manifest names it as it names a file, and `read_stored` reads both.
"""

import functools
import io
import os
import tarfile
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from anymus.files import IMAGE_SUFFIXES, atomic_file, copy_file, link_file, walk_files

SHARD_SUFFIX = ".tar"
_BLOCK_BYTES = 512


def shard_name(sha256: str, shards: int) -> str:
    """Return the name of the shard that a content hash belongs to, of a power of two of shards.

    It depends on the hash alone, so a picture that comes or goes changes one shard of them all.
    """
    width = len(f"{shards - 1:x}")
    return f"shard-{int(sha256[:8], 16) * shards >> 32:0{width}x}{SHARD_SUFFIX}"


def count_shards(files: int, per_shard: int) -> int:
    """Return the least power of two of shards that hold at most `per_shard` files on average."""
    shards = 1
    while shards * per_shard < files:
        shards *= 2
    return shards


def choose_shards(files: int, above: int | None, per_shard: int) -> int:
    """Return the number of shards for so many files; 0, plain files, up to `above` (None: all)."""
    return 0 if above is None or files <= above else count_shards(files, per_shard)


def write_shard(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write an archive atomically: the same bytes for the same members in the same order.

    The format is POSIX.1-1988 ustar, without times and owners.

    Args:
        path: The archive to write.
        members: Name (relative, with `/`) and content of each; streamed, so only one is held.

    Raises:
        ValueError: A name is absolute, leads out of the archive, or is given twice.
        OSError: The archive cannot be written.
    """
    with ShardWriter(path) as shard:
        for name, content in members:
            shard.add(name, content)


class ShardWriter:
    """An archive that grows member by member in a `with` block; see `write_shard`.

    It takes its place when the block ends, and leaves nothing when the block fails.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names: set[str] = set()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stream = stack.enter_context(atomic_file(self.path))
            archive = tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT)
            self._archive = stack.enter_context(archive)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def add(self, name: str, content: bytes) -> None:
        """Append a member.

        Raises:
            ValueError: The name is absolute, leads out of the archive, or was given before.
        """
        if name in self._names or Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{self.path}: member name {name!r} is not usable")
        self._names.add(name)
        header = tarfile.TarInfo(name)
        header.size = len(content)
        header.mode = 0o644
        self._archive.addfile(header, io.BytesIO(content))


class PictureStore:
    """A folder that is filled with pictures named by their hash: plain files, or shards of them.

    The caller adds the pictures in the order of their hashes, so one shard is open at a time. To
    be used in a `with` block.

    Args:
        folder: Made if missing.
        shards: Number of shards, a power of two (see `count_shards`); 0: plain files.
    """

    def __init__(self, folder: Path, shards: int) -> None:
        self.folder = folder
        self._shards = shards
        self._open: ShardWriter | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._open is not None:
            self._open.__exit__(kind, error, traceback)
            self._open = None

    def take(self, sha256: str, source: Path, *, is_own: bool = False) -> str:
        """Store a picture of another place and return its path below this folder.

        Args:
            sha256: Its content hash, not less than that of the picture before.
            source: A file, or a member of a shard.
            is_own: The source is this program's own, so that a link to it may be made.
        """
        name = f"{sha256}{source.suffix}"
        if self._shards:
            shard = shard_name(sha256, self._shards)
            self._writer(shard).add(name, read_stored(source))
            return f"{shard}/{name}"
        if find_shard(source) is not None:
            (self.folder / name).write_bytes(read_stored(source))
        else:
            (link_file if is_own else copy_file)(source, self.folder / name)
        return name

    def _writer(self, shard: str) -> ShardWriter:
        path = self.folder / shard
        if self._open is None or self._open.path != path:
            if self._open is not None:
                self._open.__exit__(None, None, None)
            self._open = ShardWriter(path)
            self._open.__enter__()
        return self._open


class ShardIndex(Mapping[str, tuple[int, int]]):
    """Offset and size in bytes of the members of an archive by name, in the archive's order.

    A member takes its name and 28 bytes, so the indices of a million faces fit into 100 MB.
    """

    def __init__(self, members: Iterable[tuple[str, int, int]]) -> None:
        names = bytearray()
        self._ends, self._offsets, self._sizes = array("Q"), array("Q"), array("Q")
        for name, offset, size_bytes in members:
            names += name.encode("utf-8", "surrogateescape")
            self._ends.append(len(names))
            self._offsets.append(offset)
            self._sizes.append(size_bytes)
        self._names = bytes(names)
        self._sorted = array("I", sorted(range(len(self._ends)), key=self._name))

    def __getitem__(self, name: str) -> tuple[int, int]:
        wanted = name.encode("utf-8", "surrogateescape")
        place = bisect_right(self._sorted, wanted, key=self._name) - 1
        if place < 0 or self._name(self._sorted[place]) != wanted:
            raise KeyError(name)
        member = self._sorted[place]
        return self._offsets[member], self._sizes[member]

    def __iter__(self) -> Iterator[str]:
        for member in range(len(self._ends)):
            yield self._name(member).decode("utf-8", "surrogateescape")

    def __len__(self) -> int:
        return len(self._ends)

    def _name(self, member: int) -> bytes:
        return self._names[self._ends[member - 1] if member else 0 : self._ends[member]]


def read_index(path: Path) -> ShardIndex:
    """Return offset and size in bytes of every member of an archive, by name, in its order.

    The headers are read once a process and kept while the archive does not change.

    Raises:
        OSError: It cannot be read, or is no whole archive.
    """
    facts = path.stat()
    return _scan(path, facts.st_size, facts.st_mtime_ns, facts.st_ino)


def iter_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every member of an archive, in its order."""
    with path.open("rb") as stream:
        for name, (offset, size_bytes) in read_index(path).items():
            stream.seek(offset)
            yield name, stream.read(size_bytes)


def find_shard(path: Path) -> tuple[Path, str] | None:
    """Return the archive and the member's name of a path below an archive, or None."""
    for parent in path.parents:
        if parent.suffix == SHARD_SUFFIX and parent.is_file():
            return parent, path.relative_to(parent).as_posix()
    return None


def read_stored(path: Path) -> bytes:
    """Return the bytes of a file, or of a member of an archive that a path names.

    Raises:
        OSError: There is no such file or member, or it cannot be read.
    """
    shard = find_shard(path)
    if shard is None:
        return path.read_bytes()
    archive, name = shard
    offset, size_bytes = _find_member(archive, name)
    with archive.open("rb") as stream:
        stream.seek(offset)
        return stream.read(size_bytes)


def size_stored(path: Path) -> int:
    """Return the size in bytes of a file or a member; errors as `read_stored`."""
    shard = find_shard(path)
    return path.stat().st_size if shard is None else _find_member(*shard)[1]


def walk_stored(folder: Path) -> Iterator[Path]:
    """Yield the pictures below a folder, files and members of shards, each as a path, in order.

    Raises:
        OSError: A shard cannot be read.
    """
    for path in walk_files(folder):
        if path.suffix == SHARD_SUFFIX:
            members = (path / name for name in sorted(read_index(path)))
            yield from (member for member in members if _is_picture(member))
        elif _is_picture(path):
            yield path


def plain_path(path: Path) -> Path:
    """Return a path without the shard in it: what a member would be called as a file."""
    shard = find_shard(path)
    return path if shard is None else shard[0].parent / shard[1]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _find_member(archive: Path, name: str) -> tuple[int, int]:
    place = read_index(archive).get(name)
    if place is None:
        raise FileNotFoundError(2, os.strerror(2), str(archive / name))
    return place


@functools.lru_cache(maxsize=4096)
def _scan(
    path: Path,
    size_bytes: int,
    mtime_ns: int,  # noqa: ARG001 - part of the cache's key
    inode: int,  # noqa: ARG001
) -> ShardIndex:
    try:
        with tarfile.open(path, "r:") as archive:
            index = ShardIndex((m.name, m.offset_data, m.size) for m in archive if m.isfile())
    except tarfile.TarError as error:
        raise OSError(5, f"not a whole archive: {error}", str(path)) from error
    last = max((offset + size for offset, size in index.values()), default=0)
    if last > size_bytes or size_bytes % _BLOCK_BYTES:
        raise OSError(5, "the archive is cut short", str(path))
    return index
