"""Mosaic: seams, agreement of tiles, and memory, beside tiles that are normalised alone.

python benchmarks/mosaic.py -g models/generator_a2b.safetensors [--picture photo.jpg] [--side 1024]

Seam energy is the mean step across the borders of tiles over the mean step within 3 px beside them:
1 is no seam. "Off the whole" is the mean difference from the network on the whole picture at once.
Tiles disagree by the mean difference of two neighbours where they overlap.
"""

import argparse
import gc
import multiprocessing
import resource
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from anymus.drawing.photo import draw_couple
from anymus.images import RgbU8, fit_rgb, read_rgb
from inference.mosaic import (
    Tile,
    Translate,
    plan_tiles,
    take_samples,
    tile_offsets,
    translate_mosaic,
)
from inference.tile_network import TileNetwork
from training.checkpoint import load_generator
from training.networks import Generator


def alone(generator: Generator) -> Translate:
    """Return the translation of tiles by their own statistics."""

    @torch.inference_mode()
    def translate(tiles: list[RgbU8]) -> list[Tile]:
        x = torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2).float() / 127.5 - 1
        return list(((generator(x).image + 1) * 127.5).permute(0, 2, 3, 1).numpy())

    return translate


def seam_energy(rgb_u8: RgbU8, tile_px: int, overlap_px: int) -> float:
    """Return the mean step across tile borders over the mean step up to 3 px beside them."""
    across, beside = [], []
    for axis in (0, 1):
        steps = np.abs(np.diff(rgb_u8.astype(np.float32), axis=axis)).mean(axis=(1 - axis, 2))
        offsets = tile_offsets(rgb_u8.shape[axis], tile_px, overlap_px)
        edges = set(offsets) | {offset + tile_px for offset in offsets}
        for at in (edge - 1 for edge in edges if 4 < edge < rgb_u8.shape[axis] - 4):
            across.append(steps[at])
            beside.append(np.delete(steps[at - 3 : at + 4], 3).mean())
    return float(np.mean(across) / np.mean(beside))


def disagreement(picture: RgbU8, translate: Translate, tile_px: int, overlap_px: int) -> float:
    """Return the mean difference of horizontal neighbours in their overlap, in levels."""
    differences = []
    lefts = tile_offsets(picture.shape[1], tile_px, overlap_px)
    for top in tile_offsets(picture.shape[0], tile_px, overlap_px):
        tiles = [picture[top : top + tile_px, left : left + tile_px] for left in lefts]
        shown = [translate([tile])[0][:, :, :3] for tile in tiles]
        for index in range(1, len(lefts)):
            shift = lefts[index] - lefts[index - 1]
            pair = shown[index - 1][:, shift:], shown[index][:, : tile_px - shift]
            differences.append(np.abs(pair[0] - pair[1]).mean())
    return float(np.mean(differences))


def peak_mib(weights: Path, picture: RgbU8, max_memory_mib: int) -> tuple[float, float, int]:
    """Return what a mosaic takes beside picture and result, its seconds, its tile's side."""
    torch.set_num_threads(1)
    network = TileNetwork.load(weights, "cpu")
    small = picture[: network.size_px, : network.size_px]
    network.fit([[np.ascontiguousarray(small)]])
    gc.collect()
    before, peak, is_done = resident_mib(), [0.0], threading.Event()

    def watch() -> None:
        while not is_done.wait(0.005):
            peak[0] = max(peak[0], resident_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    plan = plan_tiles(*picture.shape[:2], network, max_memory_mib)
    translate = network.fit(take_samples(picture, plan))
    translate_mosaic(picture, translate, plan.tile_px, plan.batch_size, plan.overlap_px)
    seconds = time.perf_counter() - start
    is_done.set()
    watcher.join()
    return peak[0] - before - 2 * picture.nbytes / 2**20, seconds, plan.tile_px


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def print_seams(weights: Path, picture: RgbU8, tile_px: int, repeats: int) -> None:
    generator = load_generator(weights)[0]
    network = TileNetwork(generator, "cpu")
    plan = plan_tiles(*picture.shape[:2], network, 1024, tile_px)
    whole = np.rint(alone(generator)([picture])[0]).clip(0, 255)
    small = fit_rgb(picture, 4 * network.size_px)
    small = small[: small.shape[0] // 4 * 4, : small.shape[1] // 4 * 4]
    methods: dict[str, tuple[Callable[[], Translate], int]] = {
        "alone, side by side": (lambda: alone(generator), 0),
        "alone, blended": (lambda: alone(generator), plan.overlap_px),
        "shared, of a reduced copy": (lambda: network.fit([[small]]), plan.overlap_px),
        "shared, of samples (ours)": (
            lambda: network.fit(take_samples(picture, plan)),
            plan.overlap_px,
        ),
    }
    groups = [len(group) for group in plan.samples]
    print(f"tiles of {tile_px} px, overlap {plan.overlap_px}, {groups} samples")
    print("| statistics | seam energy | tiles disagree by | off the whole | median s | spread s |")
    print("|---|---|---|---|---|---|")
    for name, (fit, overlap_px) in methods.items():
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            translate = fit()
            mosaic = translate_mosaic(picture, translate, tile_px, 1, overlap_px).rgb_u8
            seconds.append(time.perf_counter() - start)
        energy = seam_energy(mosaic, tile_px, overlap_px)
        apart = disagreement(picture, translate, tile_px, plan.overlap_px)
        error = np.abs(mosaic - whole).mean()
        print(
            f"| {name} | {energy:.2f} | {apart:.1f} | {error:.1f}"
            f" | {statistics.median(seconds):.1f} | {min(seconds):.1f}-{max(seconds):.1f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-g", "--weights", type=Path, required=True)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--side", type=int, default=1024, help="longer side in pixels")
    parser.add_argument("--tile", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int, nargs="*", default=[32, 128, 512])
    options = parser.parse_args()
    torch.set_num_threads(1)
    drawn = draw_couple(np.random.default_rng([1, 1])).rgb_u8
    picture = fit_rgb(drawn if options.picture is None else read_rgb(options.picture), options.side)
    height_px, width_px = (side // options.tile * options.tile for side in picture.shape[:2])
    picture = picture[:height_px, :width_px].copy()  # whole tiles, for those side by side
    print_seams(options.weights, picture, options.tile, options.repeats)
    print("\n| --max-memory MiB | tile px | taken MiB | s |\n|---|---|---|---|")
    for mib in options.memory:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            taken, seconds, side = pool.apply(peak_mib, (options.weights, picture, mib))
        print(f"| {mib} | {side} | {taken:.0f} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
