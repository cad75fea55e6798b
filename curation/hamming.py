"""All pairs of 64-bit hashes within a Hamming distance, exactly, by pigeonhole keys.

Cut 64 bits into r + k blocks: two hashes that differ in at most r bits agree in at least k whole
blocks. So pairs that agree in no choice of k blocks need not be compared (Manku et al., WWW 2007).
"""

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]

_BITS = 64
# Blocks that must agree: more means more tables with fewer candidates in each.
_FEW, _MANY = 10_000, 200_000
_PAIRS_PER_CHUNK = 1 << 22


def near_pairs(hashes: Hashes, max_distance: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield arrays (i, j), i < j, that together hold every pair within `max_distance` bits.

    A pair may come more than once.

    Args:
        hashes: (n,) uint64, without repeats for speed: equal hashes make large buckets.
        max_distance: 0-16 bits.
    """
    agreeing = 1 if len(hashes) < _FEW else 2 if len(hashes) < _MANY else 3
    blocks = _cut_blocks(max_distance + agreeing)
    for choice in combinations(blocks, agreeing):
        mask = np.uint64(sum(((1 << width) - 1) << shift for shift, width in choice))
        yield from _join(hashes, hashes & mask, max_distance)


def _cut_blocks(count: int) -> list[tuple[int, int]]:
    """Return (shift, width) of `count` blocks that cover 64 bits evenly."""
    edges = [round(index * _BITS / count) for index in range(count + 1)]
    return [(low, high - low) for low, high in pairwise(edges)]


def _join(hashes: Hashes, keys: Hashes, max_distance: int) -> Iterator[tuple[Indices, Indices]]:
    order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    sorted_hashes = hashes[order]
    ends = np.searchsorted(sorted_keys, sorted_keys, side="right")
    partners = ends - np.arange(len(keys)) - 1  # how many later entries share the key
    start = 0
    running = np.cumsum(partners)
    while start < len(keys):
        base = running[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(running, base + _PAIRS_PER_CHUNK)))
        counts = partners[start:stop]
        left = np.repeat(np.arange(start, stop), counts)
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        right = left + 1 + offsets
        distance = np.bitwise_count(sorted_hashes[left] ^ sorted_hashes[right])
        near = distance <= max_distance
        first, second = order[left[near]], order[right[near]]
        yield np.minimum(first, second), np.maximum(first, second)
        start = stop
