"""The ledger of sides: train or test, as it was first given to each source picture.

A text file, one picture a line: the first 16 digits of its SHA-256, and its side; `#` begins a
comment. `anymus split` reads it and adds to it, so that a picture once in test stays in test
whatever comes or goes (docs/decisions/0018). Two pictures that met in 64 bits would share a side.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anymus.errors import DatasetError
from anymus.files import atomic_file

Keys = NDArray[np.uint64]
NEW, TRAIN, TEST = -1, 0, 1
"""What `Ledger.sides_of` says of a picture; NEW: the ledger does not name it."""

_LINE = re.compile(rb"([0-9a-f]{16}) (train|test)\s*")
_CHUNK_LINES = 65_536
_HEADER = """\
# The side that each source picture was first given, by the first 16 digits of its SHA-256.
# `anymus split` keeps to it and adds new pictures; keep this file under version control.
# Without it all sides are drawn anew.
"""


def key_of(sha256: str) -> int:
    """Return what the ledger knows a picture by: the first 64 bits of its SHA-256."""
    return int(sha256[:16], 16)


@dataclass(frozen=True)
class Ledger:
    """Keys of pictures (n,), sorted, each once, and whether each is a test picture (n,)."""

    keys: Keys = field(default_factory=lambda: np.zeros(0, np.uint64))
    is_test: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

    def __len__(self) -> int:
        return len(self.keys)

    def sides_of(self, keys: Keys) -> NDArray[np.int8]:
        """Return TRAIN, TEST or NEW for each key (m,)."""
        sides = np.full(len(keys), NEW, np.int8)
        if len(self):
            place = np.minimum(np.searchsorted(self.keys, keys), len(self) - 1)
            is_known = self.keys[place] == keys
            sides[is_known] = self.is_test[place[is_known]]
        return sides

    def side_of(self, sha256: str) -> str | None:
        """Return train or test for a picture, None if the ledger does not name it."""
        side = self.sides_of(np.array([key_of(sha256)], np.uint64))[0]
        return None if side == NEW else "test" if side == TEST else "train"

    def with_new(self, keys: Keys, is_test: NDArray[np.bool_]) -> "Ledger":
        """Return the ledger with further pictures (m,); what it has already stays as it is."""
        every = np.concatenate([self.keys, keys])
        unique, first = np.unique(every, return_index=True)
        return Ledger(unique, np.concatenate([self.is_test, is_test])[first])

    def without(self, sha256s: Iterable[str]) -> "Ledger":
        """Return the ledger without some pictures."""
        gone = np.array([key_of(sha256) for sha256 in sha256s], np.uint64)
        is_left = ~np.isin(self.keys, gone)
        return Ledger(self.keys[is_left], self.is_test[is_left])


def load_ledger(path: Path) -> Ledger:
    """Return the ledger in a file; of a missing one, an empty ledger.

    Raises:
        DatasetError: A line is none of a ledger, or a picture has two sides; it is named.
    """
    if not path.is_file():
        return Ledger()
    lines = _count_lines(path)
    keys, is_test, count = np.empty(lines, np.uint64), np.empty(lines, bool), 0
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if found := _LINE.fullmatch(line):
                keys[count], is_test[count] = int(found[1], 16), found[2] == b"test"
                count += 1
            elif line.strip() and not line.startswith(b"#"):
                text = line.decode("utf-8", "replace").strip()
                raise DatasetError(
                    f"{path}:{number}: {text!r} is no line of it",
                    "16 digits and train or test; after a merge keep the lines of both branches",
                )
    return _sorted(path, keys[:count], is_test[:count])


def _count_lines(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(1 for _ in stream)


def _sorted(path: Path, keys: Keys, is_test: NDArray[np.bool_]) -> Ledger:
    order = np.lexsort((is_test, keys))
    keys, is_test = keys[order], is_test[order]
    is_again = keys[1:] == keys[:-1]
    if (is_torn := is_again & (is_test[1:] != is_test[:-1])).any():
        torn = int(keys[1:][is_torn][0])
        raise DatasetError(
            f"{path}: picture {torn:016x} is train and test",
            "remove one of its lines: test keeps it out of training, as it may have been before",
        )
    is_first = np.concatenate([[True], ~is_again]) if len(keys) else np.zeros(0, bool)
    return Ledger(keys[is_first], is_test[is_first])


def write_ledger(path: Path, ledger: Ledger) -> None:
    """Write a ledger, sorted, atomically."""
    with atomic_file(path) as stream:
        stream.write(_HEADER.encode())
        for start in range(0, len(ledger), _CHUNK_LINES):
            part = slice(start, start + _CHUNK_LINES)
            pairs = zip(ledger.keys[part].tolist(), ledger.is_test[part].tolist(), strict=True)
            lines = (f"{key:016x} {'test' if is_test else 'train'}\n" for key, is_test in pairs)
            stream.write("".join(lines).encode())
