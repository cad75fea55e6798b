"""The blocklist: what must never be collected or used again, honoured by every stage.

A text file, one entry a line, `#` begins a comment. `anymus forget` adds hashes, which name nobody;
people may add `url` prefixes, `domain`s and `author`s by hand.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from anymus.errors import ParamsError
from anymus.files import sha256_bytes, write_text
from anymus.manifest import ImageRecord

if TYPE_CHECKING:
    from anymus.images import RgbU8

KINDS = ("sha256", "phash", "url", "domain", "author", "url-sha256", "author-sha256")
MAX_PHASH_DISTANCE = 32  # of 256 bits: a re-save, another size; not another picture
REASON = "blocked"
_HASHED_PX = 256
_HEADER = """\
# What must never be collected or used, one entry a line; every stage honours it.
#   sha256 HEX          a picture by its bytes
#   phash HEX           a picture and its re-saves, by its 256-bit perceptual hash
#   url PREFIX          everything whose URL begins so
#   domain HOST         everything of a host and its subdomains
#   author NAME         everything of an author
#   url-sha256 HEX, author-sha256 HEX   the same without naming them
# `anymus forget` adds entries; keep this file under version control.
"""


@dataclass(frozen=True, slots=True)
class Blocklist:
    """The entries of a blocklist by kind."""

    entries: frozenset[tuple[str, str]] = frozenset()

    @property
    def has_phashes(self) -> bool:
        """Say whether pictures have to be hashed to be judged."""
        return any(kind == "phash" for kind, _ in self.entries)

    def blocks_bytes(self, sha256: str) -> bool:
        """Say whether a picture is blocked by the SHA-256 of its bytes."""
        return ("sha256", sha256) in self.entries

    def blocks_url(self, url: str) -> bool:
        """Say whether a URL is blocked, by itself, by its beginning, or by its host."""
        if not self.entries:
            return False
        if ("url-sha256", sha256_bytes(url.encode())) in self.entries:
            return True
        host = (urlsplit(url).hostname or "").rstrip(".")
        return any(
            (kind == "url" and url.startswith(value))
            or (kind == "domain" and (host == value or host.endswith(f".{value}")))
            for kind, value in self.entries
        )

    def blocks_author(self, author: str) -> bool:
        """Say whether an author is blocked; case and spaces do not matter."""
        if not self.entries:
            return False
        name = fold_author(author)
        digest = sha256_bytes(name.encode())
        return ("author-sha256", digest) in self.entries or any(
            kind == "author" and fold_author(value) == name for kind, value in self.entries
        )

    def blocks_picture(self, rgb_u8: "RgbU8") -> bool:
        """Say whether a picture (H, W, 3) is near one that is blocked."""
        if not self.has_phashes:
            return False
        own = int(hash_picture(rgb_u8), 16)
        return any(
            kind == "phash" and (own ^ int(value, 16)).bit_count() <= MAX_PHASH_DISTANCE
            for kind, value in self.entries
        )

    def blocks(self, row: ImageRecord) -> bool:
        """Say whether a row, or the picture it was cut from, is blocked."""
        if not self.entries:
            return False
        urls = [url for url in (row.url, row.asked_url) if url]
        return (
            any(self.blocks_bytes(name) for name in (row.id, row.parent) if name)
            or any(self.blocks_url(url) for url in urls)
            or (row.author is not None and self.blocks_author(row.author))
        )

    def allowed(self, rows: Iterable[ImageRecord]) -> Iterator[ImageRecord]:
        """Yield the rows that are not blocked."""
        return (row for row in rows if not self.blocks(row))


def hash_picture(rgb_u8: "RgbU8") -> str:
    """Return the 256-bit perceptual hash of a picture (H, W, 3), 64 hexadecimal digits."""
    import imagehash
    from PIL import Image

    from anymus.images import fit_rgb

    picture = Image.fromarray(fit_rgb(rgb_u8, _HASHED_PX))
    return str(imagehash.phash(picture, hash_size=16))


def fold_author(author: str) -> str:
    """Return an author's name as it is compared."""
    return " ".join(author.split()).casefold()


def load_blocklist(path: Path) -> Blocklist:
    """Return the entries of a blocklist; a missing file blocks nothing.

    Raises:
        ParamsError: A line is no entry; it is named.
    """
    if not path.is_file():
        return Blocklist()
    entries = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        kind, _, value = line.partition("#")[0].strip().partition(" ")
        if not kind:
            continue
        value = value.strip()
        if kind not in KINDS or not value or not _is_hash_of(kind, value):
            raise ParamsError(
                f"{path}:{number}: {line.strip()!r} is no entry",
                f"KIND VALUE, of {', '.join(KINDS)}",
            )
        entries.add((kind, value.lower() if kind not in ("url", "author") else value))
    return Blocklist(frozenset(entries))


def add_entries(path: Path, entries: Iterable[tuple[str, str]]) -> int:
    """Add entries to a blocklist, atomically, and return how many were new."""
    known = load_blocklist(path).entries
    new = sorted(set(entries) - known)
    text = path.read_text(encoding="utf-8") if path.is_file() else _HEADER
    if text and not text.endswith("\n"):
        text += "\n"
    if new or not path.is_file():
        write_text(path, text + "".join(f"{kind} {value}\n" for kind, value in new))
    return len(new)


def _is_hash_of(kind: str, value: str) -> bool:
    if kind in ("url", "domain", "author"):
        return True
    return len(value) == 64 and all(digit in "0123456789abcdefABCDEF" for digit in value)
