"""The join finds exactly the pairs that comparing every pair finds."""

from itertools import combinations

import numpy as np
import pytest

from curation import hamming
from curation.groups import Groups
from curation.hamming import near_pairs


def _hashes(rng: np.random.Generator, count: int) -> np.ndarray:
    base = rng.integers(0, 2**64, count, dtype=np.uint64)
    for index in range(0, count - 1, 3):  # plant neighbours at every distance from 0 to 8
        bits = rng.choice(64, size=index % 9, replace=False)
        base[index + 1] = base[index] ^ np.uint64(sum(1 << int(bit) for bit in bits))
    return base


@pytest.mark.parametrize("agreeing_from", [(10**9, 10**9), (0, 10**9), (0, 0)])
@pytest.mark.parametrize("max_distance", [0, 3, 6, 10])
def test_pairs_equal_brute_force(
    monkeypatch: pytest.MonkeyPatch, agreeing_from: tuple[int, int], max_distance: int
) -> None:
    monkeypatch.setattr(hamming, "_FEW", agreeing_from[0])
    monkeypatch.setattr(hamming, "_MANY", agreeing_from[1])
    monkeypatch.setattr(hamming, "_PAIRS_PER_CHUNK", 50)
    hashes = _hashes(np.random.default_rng(3), 240)
    expected = {
        (i, j)
        for i, j in combinations(range(240), 2)
        if int(hashes[i] ^ hashes[j]).bit_count() <= max_distance
    }
    found = {
        (int(i), int(j))
        for left, right in near_pairs(hashes, max_distance)
        for i, j in zip(left, right, strict=True)
    }
    assert found == expected
    assert len(expected) >= 20


def test_groups_name_the_smallest_member() -> None:
    groups = Groups(6)
    for one, other in ((4, 2), (5, 4), (0, 1)):
        groups.join(one, other)
    assert groups.members() == [[0, 1], [2, 4, 5], [3]]
    assert groups.find(5) == 2
