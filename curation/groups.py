"""Groups: disjoint sets over 0..n-1, joined pair by pair."""

import numpy as np
from numpy.typing import NDArray


class Groups:
    """Disjoint sets with path halving; the smallest index stands for its set."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

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

    def join_all(self, ones: NDArray[np.int64], others: NDArray[np.int64]) -> None:
        """Unite the sets of many pairs of indices."""
        for one, other in zip(ones.tolist(), others.tolist(), strict=True):
            self.join(one, other)

    def members(self) -> list[list[int]]:
        """Return all sets, each sorted, in the order of their smallest index."""
        sets: dict[int, list[int]] = {}
        for index in range(len(self._parent)):
            sets.setdefault(self.find(index), []).append(index)
        return list(sets.values())
