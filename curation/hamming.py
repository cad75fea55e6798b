"""All pairs of 64-bit hashes within a Hamming distance, exactly, by pigeonhole keys.

Cut 64 bits into r + k blocks: two hashes that differ in at most r bits agree in at least k whole
blocks. So pairs that agree in no choice of k blocks need not be compared (Manku et al., WWW 2007).
"""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from anymus.progress import log

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]

_BITS = 64
_MAX_AGREEING = 6
_DIGIT_BITS = 16  # numpy sorts such keys in linear time
_PAIR_COST = 0.1  # of a comparison, in costs of sorting one hash into a table
_PAIRS_PER_CHUNK = 1 << 16  # what the caches of a core hold
_MAX_PARTNERS = 4096


def near_pairs(hashes: Hashes, max_distance: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield arrays (i, j), i < j, that together hold every pair within `max_distance` bits.

    A pair may come more than once. Where more than `_MAX_PARTNERS` hashes share a key, a pile of
    one picture or of none, each is compared with so many of the next in order alone, and the log
    says so: the work stays linear.

    Args:
        hashes: (n,) uint64, without repeats for speed: equal hashes make large buckets.
        max_distance: 0-16 bits.
    """
    agreeing = _choose_agreeing(len(hashes), max_distance)
    blocks = _cut_blocks(max_distance + agreeing)
    places = np.argsort(hashes, kind="stable")  # alike ones side by side within every key
    hashes = hashes[places]
    crowded = 0
    for choice in combinations(blocks, agreeing):
        order, partners = _bucket(hashes, choice)
        crowded = max(crowded, int(partners.max(initial=0)))
        partners = np.minimum(partners, _MAX_PARTNERS)
        for left, right in _join(hashes[order], partners, max_distance):
            one, other = places[order[left]], places[order[right]]
            yield np.minimum(one, other), np.maximum(one, other)
    if crowded > _MAX_PARTNERS:
        log.warning("%d hashes are nearly one: not every pair of them was compared", crowded + 1)


def _choose_agreeing(count: int, max_distance: int) -> int:
    """Return how many blocks must agree: more means more tables with fewer candidates in each."""

    def cost(agreeing: int) -> float:
        blocks = max_distance + agreeing
        candidates: float = count * count / 2 / 2.0 ** (_BITS * agreeing / blocks)
        return float(math.comb(blocks, agreeing) * (count + _PAIR_COST * candidates))

    return min(range(1, _MAX_AGREEING + 1), key=cost)


def _cut_blocks(count: int) -> list[tuple[int, int]]:
    """Return (shift, width) of `count` blocks that cover 64 bits evenly."""
    edges = [round(index * _BITS / count) for index in range(count + 1)]
    return [(low, high - low) for low, high in pairwise(edges)]


def _bucket(hashes: Hashes, choice: Sequence[tuple[int, int]]) -> tuple[Indices, Indices]:
    """Return an order by the chosen blocks, and how many later entries share those of each."""
    keys, bits = _pack(hashes, choice)
    order = np.arange(len(keys))
    for shift in range(0, bits, _DIGIT_BITS):
        digits = (keys >> np.uint64(shift)).astype(np.uint16)[order]
        order = order[np.argsort(digits, kind="stable")]
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    ends = np.repeat(np.append(starts[1:], len(keys)), np.diff(np.append(starts, len(keys))))
    ends -= np.arange(1, len(keys) + 1)
    return order, ends


def _pack(hashes: Hashes, choice: Sequence[tuple[int, int]]) -> tuple[Hashes, int]:
    """Return the chosen blocks of each hash as the lowest bits of one word, and how many bits."""
    keys, bits = np.zeros_like(hashes), 0
    for shift, width in choice:
        block = (hashes >> np.uint64(shift)) & np.uint64((1 << width) - 1)
        keys |= block << np.uint64(bits)
        bits += width
    return keys, bits


def _join(
    hashes: Hashes, partners: Indices, max_distance: int
) -> Iterator[tuple[Indices, Indices]]:
    """Yield the near pairs of each hash with its next `partners`."""
    running = np.cumsum(partners)
    start = 0
    while start < len(hashes):
        base = running[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(running, base + _PAIRS_PER_CHUNK)))
        counts = partners[start:stop]
        left = np.repeat(np.arange(start, stop), counts)
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        right = left + 1 + offsets
        near = np.bitwise_count(hashes[left] ^ hashes[right]) <= max_distance
        yield left[near], right[near]
        start = stop
