"""Links: what of the faces belongs on one side of the split, in columns of numbers."""

import hashlib
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anymus.blocklist import Blocklist
from anymus.ledger import Keys, key_of
from anymus.manifest import DOMAINS, Domain, ImageRecord, iter_manifest
from anymus.progress import log

from .groups import join_equals
from .overrides import Overrides

COPY_REASONS = frozenset({"near_duplicate", "same_bytes"})
"""Reasons of faces that another face stands for; their pictures have its side."""

Mask = NDArray[np.bool_]


class Faces:
    """The faces that are kept, and their copies, in columns (n,): photos first, then drawings.

    Attributes:
        names: Names of the duplicate groups, 32 bytes each.
        twins: A number for each set of copies, from 1.
        pictures: Keys of the source pictures.
        fields: A number for each value of every `split.group_by` field; 0: it joins nothing.
        is_kept: Which of them the data set is made of.
        is_manga: Which are drawings.
        wishes: Ids of the faces that overrides move, by place.
    """

    def __init__(
        self, src: Path, blocklist: Blocklist, group_by: tuple[str, ...], overrides: Overrides
    ) -> None:
        self._src, self._blocklist = src, blocklist
        self._starts: dict[Domain, int] = {}
        self.wishes: dict[int, str] = {}
        names, ids, pictures, kept = bytearray(), array("Q"), array("Q"), bytearray()
        read = {name: array("Q") for name in _fields_of(group_by)}
        for domain in DOMAINS:
            self._starts[domain] = len(ids)
            for index, row in enumerate(self.rows(domain), len(ids)):
                if row.id in overrides and overrides[row.id].side:
                    self.wishes[index] = row.id
                names += bytes.fromhex(_group_of(row))
                ids.append(key_of(row.id))
                pictures.append(key_of(row.parent or row.id))
                kept.append(row.is_kept)
                for name, column in read.items():
                    column.append(_digest(getattr(row, name)))
        self.names = np.frombuffer(names, "V32")
        self.pictures = _as_keys(pictures)
        self.is_kept = np.frombuffer(kept, bool)
        self.is_manga = np.arange(len(self)) >= self._starts["manga"]
        groups = self.names.view(">u8").reshape(-1, 4)[:, 0].astype(np.uint64)
        self.twins = (join_equals([groups, _as_keys(ids)]) + 1).astype(np.uint64)
        columns = {name: _as_keys(column) for name, column in read.items()}
        self.fields = {name: self._link_field(name, columns) for name in group_by}

    def __len__(self) -> int:
        return len(self.pictures)

    def rows(self, domain: Domain) -> Iterator[ImageRecord]:
        """Yield the rows of a domain, in the order of the columns."""
        rows = self._blocklist.allowed(iter_manifest(self._src / domain))
        return (row for row in rows if row.is_kept or row.reason in COPY_REASONS)

    def placed_rows(self, domain: Domain) -> Iterator[tuple[int, ImageRecord]]:
        """Yield the kept rows of a domain with their places in the columns."""
        placed = enumerate(self.rows(domain), self._starts[domain])
        return ((place, row) for place, row in placed if row.is_kept)

    def links(self) -> list[Keys]:
        """Return the columns whose equal values belong on one side; 0 joins nothing."""
        return [self.twins, self.pictures, *self.fields.values()]

    def _link_field(self, name: str, columns: Mapping[str, Keys]) -> Keys:
        """Return the column of a field without the values that tell no works apart."""
        if name == "work_page":
            values = columns["page_url"].copy()
            for other in ("title", "author"):
                values[_differ_on_page(columns["page_url"], columns[other])] = 0
        else:
            values = columns[name].copy()
        for domain, is_own in zip(DOMAINS, (~self.is_manga, self.is_manga), strict=True):
            own = values[is_own]
            if len(own) > 1 and own[0] and (own == own[0]).all():
                log.warning("split: all faces of %s have one %s: it joins none", domain, name)
                values[is_own] = 0
        return values


def _fields_of(group_by: tuple[str, ...]) -> tuple[str, ...]:
    """Return the fields of a row that `split.group_by` needs."""
    needed = [name for name in group_by if name != "work_page"]
    needed += ["page_url", "title", "author"] if "work_page" in group_by else []
    return tuple(dict.fromkeys(needed))


def _group_of(row: ImageRecord) -> str:
    """Return the duplicate group of a face; one of the same bytes has none but its own id."""
    return row.id if row.group is None or row.reason == "same_bytes" else row.group


def _differ_on_page(pages: Keys, others: Keys) -> Mask:
    """Say of each face (n,) whether the faces on its page differ in another field (n,)."""
    order = np.lexsort((others, pages))
    is_mixed = (pages[order][1:] == pages[order][:-1]) & (others[order][1:] != others[order][:-1])
    return np.isin(pages, pages[order][1:][is_mixed])


def _as_keys(column: "array[int]") -> Keys:
    return np.frombuffer(column, np.uint64) if column else np.zeros(0, np.uint64)


def _digest(value: str | None) -> int:
    """Return 64 bits for a value, 0 for none; two values that met there would be one."""
    if value is None:
        return 0
    return int.from_bytes(hashlib.blake2b(value.encode(), digest_size=8).digest(), "big") or 1
