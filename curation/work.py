"""Work: a stage's rows through the engine, in batches that outlive a run that is cut off.

The work folder lies beside the stage's output, `.<name>.work`. It keeps every finished batch under
a key of its pictures' rows, in a folder named by the parameters, the code and the libraries. The
next run takes what it finds there and works on the rest; the stage removes the folder once its
output is written.
"""

import hashlib
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from pydantic import BaseModel

from anymus.engine import EngineOptions, Failure, map_items
from anymus.files import code_sha256, write_text
from anymus.manifest import QUARANTINE_REASONS, ImageRecord, iter_rows, write_rows
from anymus.progress import log, track

Rows = list[ImageRecord]
_LIBRARIES = ("dlib-bin", "imagehash", "numpy", "opencv-python", "pillow")
_KEY_DIGITS = 24


class WorkFolder:
    """The finished batches of one stage with one set of parameters.

    Args:
        dst: The stage's output.
        stage: Name of the stage and its domain, for the progress.
        parts: The parameters that the results depend on.
    """

    def __init__(self, dst: Path, stage: str, *parts: BaseModel) -> None:
        self._stage = stage
        self._root = dst.absolute().with_name(f".{dst.name}.work")
        libraries = [f"{name} {version(name)}" for name in _LIBRARIES]
        lines = [part.model_dump_json() for part in parts]
        self.path = self._root / _key(stage, code_sha256(), *libraries, *lines)
        for other in self._root.iterdir() if self._root.is_dir() else ():
            if other != self.path:
                shutil.rmtree(other)

    def picture(self, sha256: str) -> Path:
        """Return where a picture that a batch makes waits until the output is written."""
        return self.path / "pictures" / sha256[:2] / f"{sha256}.png"

    def run(
        self,
        function: Callable[[ImageRecord], Rows],
        pictures: Callable[[], Iterable[ImageRecord]],
        engine: EngineOptions,
    ) -> int:
        """Work on every picture that no earlier run has done, and return how many there are.

        Args:
            function: Returns the rows that a picture becomes; a failed picture's own row is
                rejected instead.
            pictures: Returns the pictures, the same at each call.
            engine: See `anymus.engine`; `batch_size` pictures are one unit of resuming.
        """
        total, todo = self._plan(pictures(), engine.batch_size)
        if todo < total:
            log.info("%s: %d of %d are done already", self._stage, total - todo, total)
        waiting: deque[tuple[Path, int]] = deque()

        def undone() -> Iterator[ImageRecord]:
            for path, batch in self._batches(pictures(), engine.batch_size):
                if not path.is_file():
                    waiting.append((path, len(batch)))
                    yield from batch

        rows: Rows = []
        count = 0
        for outcome in track(map_items(function, undone(), engine), self._stage, todo):
            rows += _rows_of(outcome)
            count += 1
            path, size = waiting[0]
            if count == size:
                _write_batch(path, rows)
                waiting.popleft()
                rows, count = [], 0
        return total

    def rows(self) -> Iterator[ImageRecord]:
        """Yield what all pictures became, in their order."""
        with self._plan_path.open(encoding="utf-8") as plan:
            for line in plan:
                path = self.path / line.strip()
                yield from iter_rows(path if path.is_file() else _tried(path))

    def remove(self) -> None:
        """Remove the folder: the output is written."""
        shutil.rmtree(self._root, ignore_errors=True)

    @property
    def _plan_path(self) -> Path:
        return self.path / "plan"

    def _plan(self, pictures: Iterable[ImageRecord], batch_size: int) -> tuple[int, int]:
        """Note which batches make up this run; return how many pictures there are and are to do."""
        total = todo = 0
        names = []
        for path, batch in self._batches(pictures, batch_size):
            names.append(f"{path.name}\n")
            total += len(batch)
            todo += 0 if path.is_file() else len(batch)
        write_text(self._plan_path, "".join(names))
        return total, todo

    def _batches(
        self, pictures: Iterable[ImageRecord], batch_size: int
    ) -> Iterator[tuple[Path, Rows]]:
        stream = iter(pictures)
        while batch := list(islice(stream, batch_size)):
            key = _key(*(row.model_dump_json(exclude_defaults=True) for row in batch))
            yield self.path / f"{key}.jsonl", batch


def _rows_of(outcome: Rows | Failure[ImageRecord]) -> Rows:
    if not isinstance(outcome, Failure):
        return outcome
    if outcome.is_quarantined:
        log.warning("%s: %s", outcome.reason, outcome.message)
    return [outcome.item.reject(outcome.reason)]


def _write_batch(path: Path, rows: Rows) -> None:
    """Write a finished batch; one with a picture in quarantine is tried again by the next run."""
    is_calm = not any(row.reason in QUARANTINE_REASONS for row in rows)
    write_rows(path if is_calm else _tried(path), rows)


def _tried(path: Path) -> Path:
    return path.with_suffix(".tried")


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_KEY_DIGITS]
