"""Does training wait for its pictures? From files and from tar shards, with and without a cache.

    python benchmarks/loading.py --dataset data/processed
    python benchmarks/loading.py --dataset data/processed --step 0.05

The training pictures are copied twice into a temporary folder: as files, and as shards of 100.
A row is a source, the number of threads that prepare batches, and whether decoded pictures are kept
(then the epoch that fills the cache is left out). `ms a batch` is the CPU time that a batch costs;
`waiting` the share of the time that steps waited for their batch, by the loader's own figure,
the one that `anymus train` logs. Steps sleep for `--step` seconds: a device at work, which leaves
the processor free; the shorter they are, the harder it is to keep up.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from anymus.shards import PictureStore, count_shards
from training.data import Augmentation, UnpairedBatches, find_pictures
from training.loader import BatchLoader

PER_SHARD = 100


def main() -> None:
    """Print the table."""
    args = _parse()
    torch.set_num_threads(1)
    print(
        f"pictures of {args.load_size} px cropped to {args.size}, batches of {args.batch}, steps"
        f" of {1000 * args.step:.0f} ms, {args.steps} of them"
    )
    print(f"{'source':<8}{'threads':>8}{'cache':>7}{'ms a batch':>12}{'waiting':>10}")
    with tempfile.TemporaryDirectory() as name:
        for source, folder in _copies(args.dataset, Path(name)):
            for threads in (1, 2, 4):
                for is_cached in (False, True):
                    cpu_ms, waiting = _measure(args, folder, threads, is_cached=is_cached)
                    print(
                        f"{source:<8}{threads:>8}{'all' if is_cached else 'none':>7}"
                        f"{cpu_ms:>12.1f}{waiting:>9.1%}"
                    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", type=Path, default=Path("data/processed"))
    parser.add_argument("--size", type=int, default=256, help="side of the pictures, pixels")
    parser.add_argument("--load-size", type=int, default=286, help="side before the crop, pixels")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--step", type=float, default=0.1, help="seconds that a step takes")
    parser.add_argument("--steps", type=int, default=100)
    return parser.parse_args()


def _copies(dataset: Path, root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the data set as files and as shards, both below `root`."""
    for source in ("files", "shards"):
        for side in "AB":
            paths = sorted(find_pictures(dataset / f"train{side}"), key=lambda path: path.stem)
            shards = count_shards(len(paths), PER_SHARD) if source == "shards" else 0
            with PictureStore(root / source / f"train{side}", shards) as store:
                for path in paths:
                    store.take(path.stem, path)
        yield source, root / source


def _measure(
    args: argparse.Namespace, folder: Path, threads: int, *, is_cached: bool
) -> tuple[float, float]:
    """Return the CPU milliseconds that a batch costs, and the share of time spent waiting."""
    batches = UnpairedBatches(
        folder,
        Augmentation(args.load_size, args.size, flip_probability=0.5),
        seed=1,
        batch_size=args.batch,
        cache_bytes=2**33 if is_cached else 0,
    )
    first = 1
    if is_cached:
        first += max(map(len, batches.paths)) // args.batch + 1
        for step in range(1, first):
            batches.at(step)
    last = first + args.steps - 1
    with BatchLoader(batches, last_step=last, workers=threads) as loader:
        loader.at(first)
        loader.waited_s = 0.0
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        for step in range(first + 1, last + 1):
            time.sleep(args.step)
            loader.at(step)
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    return 1000 * cpu_s / (args.steps - 1), loader.waited_s / wall_s


if __name__ == "__main__":
    main()
