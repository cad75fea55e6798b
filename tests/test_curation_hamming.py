"""The join finds exactly the pairs that comparing every pair finds."""

from itertools import combinations

import numpy as np
import pytest

from anymus.params import Params
from curation import hamming
from curation.groups import Groups
from curation.hamming import near_pairs
from curation.hashes import near_fingerprints


def _hashes(rng: np.random.Generator, count: int) -> np.ndarray:
    base = rng.integers(0, 2**64, count, dtype=np.uint64)
    for index in range(0, count - 1, 3):  # plant neighbours at every distance from 0 to 8
        bits = rng.choice(64, size=index % 9, replace=False)
        base[index + 1] = base[index] ^ np.uint64(sum(1 << int(bit) for bit in bits))
    return base


@pytest.mark.parametrize("agreeing", [1, 2, 3, 5])
@pytest.mark.parametrize("max_distance", [0, 3, 6, 10])
def test_pairs_equal_brute_force(
    monkeypatch: pytest.MonkeyPatch, agreeing: int, max_distance: int
) -> None:
    monkeypatch.setattr(hamming, "_choose_agreeing", lambda *_: agreeing)
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


def test_planted_neighbours_among_many_are_all_found() -> None:
    rng = np.random.default_rng(4)
    hashes = rng.integers(0, 2**64, 40_000, dtype=np.uint64)
    planted = set()
    for index in range(0, 7_000, 2):
        bits = rng.choice(64, size=index // 2 % 7, replace=False)
        hashes[index + 1] = hashes[index] ^ np.uint64(sum(1 << int(bit) for bit in bits))
        planted.add((index, index + 1))
    found = {
        (int(i), int(j))
        for left, right in near_pairs(hashes, 6)
        for i, j in zip(left, right, strict=True)
    }
    assert planted <= found
    order = rng.permutation(len(hashes))
    shuffled = {
        tuple(sorted((int(order[i]), int(order[j]))))
        for left, right in near_pairs(hashes[order], 6)
        for i, j in zip(left, right, strict=True)
    }
    assert shuffled == found


def test_tables_grow_with_the_number_of_hashes() -> None:
    chosen = [hamming._choose_agreeing(count, 6) for count in (100, 100_000, 10_000_000)]
    assert chosen == sorted(chosen)
    assert chosen[0] < chosen[-1]


def test_a_hundred_thousand_blank_pages_take_no_time(
    params: Params, caplog: pytest.LogCaptureFixture
) -> None:
    """Blank but for specks: one coarse hash, all fine ones different; and two real copies."""
    rng = np.random.default_rng(6)
    words = rng.integers(0, 2**64, (100_003, 2, 5), dtype=np.uint64)
    words[:100_000, :, 0] = 1 << 63
    words[100_001] = words[100_000]
    words[7] = words[8]
    pairs = {
        (i, j)
        for one, other, _ in near_fingerprints(words, params.dedupe)
        for i, j in zip(one.tolist(), other.tolist(), strict=True)
    }
    assert {tuple(sorted(pair)) for pair in pairs} == {(7, 8), (100_000, 100_001)}
    assert any("next to nothing" in record.message for record in caplog.records)


def test_a_pile_of_nearly_one_hash_stays_linear(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hamming, "_MAX_PARTNERS", 8)
    hashes = np.arange(3_000, dtype=np.uint64)  # they differ in their last 12 bits
    count = sum(len(left) for left, _ in near_pairs(hashes, 2))
    assert 0 < count <= 8 * 3_000 * 15
    assert any("nearly one" in record.message for record in caplog.records)


def test_groups_name_the_smallest_member() -> None:
    groups = Groups(6)
    for one, other in ((4, 2), (5, 4), (0, 1)):
        groups.join(one, other)
    assert groups.roots().tolist() == [0, 0, 2, 3, 2, 2]
    assert groups.find(5) == 2
