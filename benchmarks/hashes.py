"""Near-duplicate hashes: CPU seconds, memory and recall of the exact join, beside a plain sort.

    python benchmarks/hashes.py --count 1000000 --max-distance 6
    python benchmarks/hashes.py --faces 1000000 [--tables 5]

The second form is what `dedupe` does between reading and writing its rows: made-up faces, each of
a picture of its own, are compared by the preset's distances, mirrored too, crops and pictures. A
join goes through hundreds of tables one after the other, each of the same size; so many of each
join are done, all of them without `--tables`, and the time for all is reckoned from these.
"""

import argparse
import math
import resource
import statistics
import time
from collections.abc import Iterable, Iterator
from itertools import combinations, islice

import numpy as np

from anymus.manifest import ImageRecord
from anymus.params import PRESETS_FOLDER, load_params
from curation import hamming
from curation.dedupe import Faces, group_faces
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
    parser.add_argument("--faces", type=int, help="compare so many faces instead")
    parser.add_argument("--tables", type=int, help="so many tables of each join")
    options = parser.parse_args()
    if options.faces:
        compare_faces(options.faces, options.tables)
    else:
        join_hashes(options.count, options.max_distance, options.repeats)


def join_hashes(count: int, max_distance: int, repeats: int) -> None:
    hashes, planted = plant(count, max_distance)
    seconds, sorting = [], []
    for _ in range(repeats):
        start = time.process_time()
        np.argsort(hashes, kind="stable")
        sorting.append(time.process_time() - start)
        start = time.process_time()
        found = [np.stack(pair, axis=1) for pair in near_pairs(hashes, max_distance)]
        seconds.append(time.process_time() - start)
    pairs = set(map(tuple, np.concatenate(found).tolist()))
    recall = len(planted & pairs) / len(planted)
    median = statistics.median(seconds)
    print("| hashes | bits | median CPU s | spread | sorts of one table | peak MiB | recall |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {count} | {max_distance} | {median:.1f}"
        f" | {min(seconds):.1f}-{max(seconds):.1f} | {median / statistics.median(sorting):.0f}"
        f" | {peak_mib():.0f} | {recall:.4f} |"
    )


def compare_faces(count: int, tables: int | None) -> None:
    params = load_params(PRESETS_FOLDER / "light.yaml", []).dedupe
    before = peak_mib()
    faces = Faces()
    for row in make_rows(count):
        faces.append(row)
    held = peak_mib() - before
    clock = TableClock(tables)
    hamming.combinations = clock.choose  # type: ignore[assignment]
    start = time.process_time()
    roots = group_faces(faces, params)
    faces.settle(roots)
    spent = time.process_time() - start
    peak = peak_mib() - before
    print("| faces | tables of each join | CPU s | CPU s for all | bytes a face | at the peak |")
    print("|---|---|---|---|---|---|")
    per_face = [f"{mib * 2**20 / count:.0f}" for mib in (held, peak)]
    print(
        f"| {count:,} | {clock.done // clock.joins} of {clock.of_join} | {spent:.0f}"
        f" | {spent + clock.missing_s():.0f} | {per_face[0]} | {per_face[1]} |"
    )


def make_rows(count: int) -> Iterator[ImageRecord]:
    """Yield rows with what the grouping reads of a face, all of it random."""
    rng = np.random.default_rng(1)
    for _ in range(count):
        digits = rng.bytes(192).hex()
        x, y = rng.integers(0, 400, 2).tolist()
        yield ImageRecord.model_construct(
            id=digits[:64],
            picture_print=digits[64:224],
            parent_print=digits[224:],
            box=(x, y, 200, 200),
            parent_size_px=(600, 600),
            quality={"upscale": 1.0, "sharpness": float(x)},
        )


class TableClock:
    """Lets only the first tables of each join be made, and takes their time."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._cpu_s = 0.0
        self.joins = self.done = self.of_join = 0

    def choose(self, blocks: list[tuple[int, int]], agreeing: int) -> Iterable[tuple[object, ...]]:
        """Return what `itertools.combinations` does, cut off, while the clock runs."""
        self.joins += 1
        self.of_join = math.comb(len(blocks), agreeing)
        start = time.process_time()
        for choice in islice(combinations(blocks, agreeing), self._limit):
            self.done += 1
            yield choice
        self._cpu_s += time.process_time() - start

    def missing_s(self) -> float:
        """Return the CPU seconds that the tables left out would take."""
        return self._cpu_s / self.done * (self.joins * self.of_join - self.done)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
