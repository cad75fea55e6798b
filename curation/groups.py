"""Groups: disjoint sets over 0..n-1, joined pair by pair."""

from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


class Groups:
    """Disjoint sets with path halving, in eight bytes an index; the smallest stands for its set."""

    def __init__(self, count: int) -> None:
        self._parent = array("q", range(count))

    def find(self, index: int) -> int:
        """Return the smallest index of the set that holds `index`."""
        parent = self._parent
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    def join(self, one: int, other: int) -> None:
        """Unite the sets of two indices."""
        first, second = self.find(one), self.find(other)
        self._parent[max(first, second)] = min(first, second)

    def join_all(self, ones: Indices, others: Indices) -> None:
        """Unite the sets of many pairs of indices."""
        for one, other in zip(ones.tolist(), others.tolist(), strict=True):
            self.join(one, other)

    def roots(self) -> Indices:
        """Return for each index the smallest of its set."""
        roots = np.array(self._parent, np.int64)
        while not np.array_equal(above := roots[roots], roots):
            roots = above
        return roots


def least_of_each(roots: Indices, *columns: NDArray[np.generic]) -> Indices:
    """Return for each index the member of its set that is least by the columns, the first first."""
    order = np.lexsort((*reversed(columns), roots))
    starts = np.flatnonzero(np.diff(roots[order], prepend=-1))
    least = np.empty(len(roots), np.int64)
    least[order] = np.repeat(order[starts], np.diff(starts, append=len(roots)))
    return least


def near_best(
    roots: Indices, values: NDArray[np.float32], is_in: NDArray[np.bool_], share: float
) -> NDArray[np.bool_]:
    """Return which of the members that are in come near the greatest value of their set.

    Args:
        roots: For each index the smallest of its set (n,).
        values: More is better (n,).
        is_in: Which indices take part (n,); at least one of each set.
        share: Of a greatest value g, those from g - (1 - share) |g| on are near it; 0 to 1.
    """
    best = np.full(len(roots), -np.inf, np.float32)
    np.maximum.at(best, roots[is_in], values[is_in])
    least = best[roots] - np.float32(1 - share) * np.abs(best[roots])
    return is_in & (values >= least)


def id_columns(ids: NDArray[np.void]) -> tuple[NDArray[np.uint64], ...]:
    """Return SHA-256 ids (n,) of 32 bytes as four columns that sort as they do."""
    words = ids.view(">u8").reshape(-1, 4).astype(np.uint64)
    return tuple(words.T)


def join_equals(columns: Sequence[NDArray[np.uint64]]) -> Indices:
    """Return the first of each index's set: those with equal values of any column; 0 is none.

    Args:
        columns: At least one, each (n,).
    """
    groups = Groups(len(columns[0]))
    for values in columns:
        order = np.argsort(values, kind="stable")
        is_same = (values[order][1:] == values[order][:-1]) & (values[order][1:] > 0)
        groups.join_all(order[:-1][is_same], order[1:][is_same])
    return groups.roots()
