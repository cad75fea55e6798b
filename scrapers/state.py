"""What a crawl keeps between runs, so that it may be killed at any time and goes on where it was.

Beside the folder that a crawl fills lies its state, `.NAME.crawl/`: the pages read
(`pages.sqlite`), the pictures' bytes under their content names (`store/`), and an append-only
journal with one row for each picture seen. Every write is whole or not there, so no step of a crawl
has to be the last one; a crawl walks from its start pages each time and asks for nothing that it
already has.
"""

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, ValidationError

from anymus.errors import AnymusError
from anymus.files import sha256_file, write_json, write_text
from anymus.manifest import ImageRecord

PAGES_NAME = "pages.sqlite"
STORE_NAME = "store"
_RUN_NAME = "run.json"
_KEY_NAME = "key"
_LOCK_NAME = "lock"
_WRITING_NAME = "writing"


class Entry(BaseModel):
    """A line of the journal: a picture's row, the run that wrote it, and that run's limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    limits: str
    row: ImageRecord


class Journal:
    """The rows of a crawl, appended one whole line at a time.

    Args:
        path: Its file; each crawler that shares a state has a journal of its own.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        _drop_torn_line(path)

    def append(self, entry: Entry) -> None:
        """Add a row with a single write.

        Raises:
            OSError: The disk is full; what was written of the line is taken back.
        """
        line = entry.model_dump_json(exclude_defaults=True).encode() + b"\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size_bytes = os.fstat(descriptor).st_size
            if os.write(descriptor, line) != len(line):
                os.ftruncate(descriptor, size_bytes)
                raise OSError(28, os.strerror(28), str(self._path))
        finally:
            os.close(descriptor)


def iter_entries(folder: Path) -> Iterator[Entry]:
    """Yield the entries of every journal of a state; a line that a kill cut off is left out."""
    for path in sorted(folder.glob("journal*.jsonl")):
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # another crawler has just joined it to journal.jsonl, the last
            continue
        for line in content.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                continue
            try:
                yield Entry.model_validate_json(line)
            except ValidationError as error:
                raise AnymusError(
                    f"{path} holds a line that no crawl wrote", f"remove {folder} to start afresh"
                ) from error


def journal_path(folder: Path, name: str | None = None) -> Path:
    """Return the path of a journal: the state's own, or that of one crawler of many."""
    return folder / (f"journal-{name}.jsonl" if name else "journal.jsonl")


def read_known(folder: Path) -> dict[str, Entry]:
    """Return the last entry of each picture, by the URL it was asked for under."""
    return {asked_url(entry.row): entry for entry in iter_entries(folder)}


def asked_url(row: ImageRecord) -> str:
    """Return the URL under which a page gave a picture."""
    return row.asked_url or row.url or ""


def state_folder(dst: Path) -> Path:
    """Return the folder of the state of the crawl that fills `dst`."""
    dst = Path(os.path.abspath(dst))  # noqa: PTH100 - resolve() would follow a link at dst
    return dst.with_name(f".{dst.name}.crawl")


@contextmanager
def open_state(dst: Path, key: str, *, is_shared: bool = False) -> Iterator["CrawlState"]:
    """Give the state of the crawl that fills `dst`, for one command at a time.

    Args:
        dst: The folder that the crawl fills.
        key: What the state is good for; a state of another key is thrown away.
        is_shared: Other crawlers of a shared crawl may work on it, too.

    Raises:
        AnymusError: Another command is at work on it.
    """
    folder = state_folder(dst)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK_NAME).open("a") as lock:
        state = CrawlState(folder)
        is_alone = _lock(lock, fcntl.LOCK_EX)
        if is_alone:
            state.require_key(key)
            state.sweep()
        is_free = is_alone if not is_shared else _lock(lock, fcntl.LOCK_SH) and state.is_for(key)
        if not is_free:
            raise AnymusError(
                f"another command is filling {dst}", "wait for it, or give another folder with -o"
            )
        yield state


def _lock(stream: IO[str], kind: int) -> bool:
    """Take a lock, or turn the one that is held into it, if nobody else's is in the way."""
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class CrawlState:
    """The state of one crawl; see the module."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / STORE_NAME

    def is_for(self, key: str) -> bool:
        """Say whether the state belongs to this key."""
        path = self.folder / _KEY_NAME
        return path.is_file() and path.read_text(encoding="utf-8") == key

    def require_key(self, key: str) -> None:
        """Throw away what belongs to another key."""
        if self.is_for(key):
            return
        for entry in self.folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != _LOCK_NAME:
                entry.unlink()
        write_text(self.folder / _KEY_NAME, key)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Let one crawler at a time write what the state holds into the folder that it fills."""
        with (self.folder / _WRITING_NAME).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def sweep(self) -> None:
        """Remove the half files that a killed crawl left, and flatten a store of an older version.

        That one had folders of folders.
        """
        for partial in self.folder.rglob(".*.partial"):
            partial.unlink(missing_ok=True)
        for path in self.store.glob("*/*/*.*"):
            path.replace(self.store / path.name)

    def begin_run(self, what: str, run: str | None = None) -> tuple[str, bool]:
        """Return the id of the run that goes on, or of a new one, and whether it goes on.

        Args:
            what: What is crawled; an unfinished run of something else is given up.
            run: The run of a shared crawl; another one is given up.
        """
        found = self._read_run()
        if found.get("what") == what and run in (None, found["run"]):
            return found["run"], True
        run = run or uuid.uuid4().hex
        write_json(self.folder / _RUN_NAME, {"run": run, "what": what})
        return run, False

    def _read_run(self) -> dict[str, str]:
        path = self.folder / _RUN_NAME
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}

    def end_run(self, pictures: int) -> None:
        """Say that the run is finished, and keep the last entry of each picture.

        Args:
            pictures: How many the run saw; a journal of so many lines has nothing to drop.
        """
        (self.folder / _RUN_NAME).unlink(missing_ok=True)
        lines = sum(path.read_bytes().count(b"\n") for path in self.folder.glob("journal*.jsonl"))
        if lines > pictures or any(self.folder.glob("journal-*.jsonl")):
            write_entries(self.folder, read_known(self.folder).values())

    def rows_of(self, run: str) -> list[ImageRecord]:
        """Return the last row of each picture that a run saw."""
        entries = (entry for entry in iter_entries(self.folder) if entry.run == run)
        return list({asked_url(entry.row): entry.row for entry in entries}.values())


def write_entries(folder: Path, entries: Iterable[Entry]) -> None:
    """Write a journal anew with these entries, and remove the others."""
    lines = [entry.model_dump_json(exclude_defaults=True) + "\n" for entry in entries]
    write_text(journal_path(folder), "".join(lines))
    for path in folder.glob("journal-*.jsonl"):
        path.unlink()


def stored_path(store: Path, row: ImageRecord) -> Path:
    """Return where a crawl's store holds a kept row's file.

    The store is one folder: a file in a folder of its own costs twice the CPU time.
    """
    return store / str(row.file).rpartition("/")[2]


def is_whole(store: Path, row: ImageRecord) -> bool:
    """Say whether a kept row's file is there and holds the bytes that its id names."""
    path = stored_path(store, row)
    return path.is_file() and sha256_file(path) == row.id


def _drop_torn_line(path: Path) -> None:
    """Cut off what follows the last line's end: a kill or a full disk in the middle of a write."""
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
