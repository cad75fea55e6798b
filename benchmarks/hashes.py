"""Near-duplicate hashes: seconds, memory and recall of the exact join, beside a plain sort.

python benchmarks/hashes.py --count 1000000 --max-distance 6
"""

import argparse
import resource
import statistics
import time

import numpy as np

from curation.hamming import near_pairs

PLANTED = 20_000


def plant(count: int, max_distance: int) -> tuple[np.ndarray, set[tuple[int, int]]]:
    """Return random hashes, and the pairs planted among them at every distance up to the most."""
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    pairs = set()
    for index in range(0, 2 * PLANTED, 2):
        bits = rng.choice(64, size=index // 2 % (max_distance + 1), replace=False)
        hashes[index + 1] = hashes[index] ^ np.uint64(sum(1 << int(bit) for bit in bits))
        pairs.add((index, index + 1))
    return hashes, pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--max-distance", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    hashes, planted = plant(options.count, options.max_distance)
    seconds, sorting = [], []
    for _ in range(options.repeats):
        start = time.perf_counter()
        np.argsort(hashes, kind="stable")
        sorting.append(time.perf_counter() - start)
        start = time.perf_counter()
        found = [np.stack(pair, axis=1) for pair in near_pairs(hashes, options.max_distance)]
        seconds.append(time.perf_counter() - start)
    pairs = set(map(tuple, np.concatenate(found).tolist()))
    recall = len(planted & pairs) / len(planted)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    median = statistics.median(seconds)
    print("| hashes | bits | median s | spread s | sorts of one table | peak MiB | recall |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {options.count} | {options.max_distance} | {median:.1f}"
        f" | {min(seconds):.1f}-{max(seconds):.1f} | {median / statistics.median(sorting):.0f}"
        f" | {peak_mib:.0f} | {recall:.4f} |"
    )


if __name__ == "__main__":
    main()
