"""What a feature network is worth: does KID rise with the strength of a damage, and from where on?

    python benchmarks/features.py                          # drawn portraits
    python benchmarks/features.py --pictures FOLDER        # the pictures below a folder
    python benchmarks/features.py --network inception --weights FILE

Half of the pictures are damaged in nine ways at four strengths; KID is measured to the other half.
The table has KID x 1e5 of all of them; the rank agreement (Spearman) of KID with the strength, in
brackets its mean over random draws; and the least strength that is seen: the 95 % interval of KID
lies above 0 in at least half of the draws.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.drawing.photo import draw_portrait
from anymus.files import walk_images
from anymus.images import RgbU8, read_rgb, resize_rgb, to_grey
from training.features import FeatureNetwork, Features, load_feature_network
from training.metrics import Estimate, Sampling, kid

SIDE_PX = 128
SAMPLING = Sampling(subset_size=10, subsets=2, resamples=400)
Rng = np.random.Generator
Damage = Callable[[RgbU8, float, Rng], NDArray[np.float64]]


def blur(rgb_u8: RgbU8, sigma_px: float, _rng: Rng) -> NDArray[np.float64]:
    return cv2.GaussianBlur(rgb_u8.astype(np.float64), (0, 0), sigma_px)


def add_noise(rgb_u8: RgbU8, sigma: float, rng: Rng) -> NDArray[np.float64]:
    return rgb_u8 + rng.normal(0.0, sigma, rgb_u8.shape)


def shift_colour(rgb_u8: RgbU8, levels: float, _rng: Rng) -> NDArray[np.float64]:
    return rgb_u8 + levels * np.array([1.0, 0.0, -1.0])


def fade_to_grey(rgb_u8: RgbU8, share: float, _rng: Rng) -> NDArray[np.float64]:
    return (1 - share) * rgb_u8 + share * to_grey(rgb_u8)[:, :, None]


def scale_contrast(rgb_u8: RgbU8, factor: float, _rng: Rng) -> NDArray[np.float64]:
    mean = rgb_u8.mean(axis=(0, 1))
    return mean + factor * (rgb_u8 - mean)


def lay_halftone(rgb_u8: RgbU8, share: float, _rng: Rng) -> NDArray[np.float64]:
    y, x = np.indices(rgb_u8.shape[:2]) * (np.pi / 2)  # a screen of dots, 4 pixels from each other
    screen = 127.5 + 63.7 * (np.cos(x) + np.cos(y))
    dots = np.where(to_grey(rgb_u8) > screen, 255.0, 0.0)
    return (1 - share) * rgb_u8 + share * dots[:, :, None]


def posterise(rgb_u8: RgbU8, step: float, _rng: Rng) -> NDArray[np.float64]:
    return (rgb_u8 // step + 0.5) * step


def swirl(rgb_u8: RgbU8, angle: float, _rng: Rng) -> NDArray[np.float64]:
    y, x = np.indices(rgb_u8.shape[:2]) - (SIDE_PX - 1) / 2
    turn = angle * np.exp(-np.hypot(x, y) / (SIDE_PX / 4))
    back_x, back_y = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
    return _remap(rgb_u8, back_x + (SIDE_PX - 1) / 2, back_y + (SIDE_PX - 1) / 2)


def warp(rgb_u8: RgbU8, root_mean_square_px: float, rng: Rng) -> NDArray[np.float64]:
    y, x = np.indices(rgb_u8.shape[:2]).astype(np.float64)
    fields = [cv2.GaussianBlur(rng.normal(size=x.shape), (0, 0), SIDE_PX / 10) for _ in range(2)]
    dx, dy = (field * root_mean_square_px / np.sqrt(np.mean(field**2)) for field in fields)
    return _remap(rgb_u8, x + dx, y + dy)


DAMAGES: dict[str, tuple[Damage, tuple[float, ...]]] = {
    "blur, sigma 0.5, 1, 2, 4 px": (blur, (0.5, 1, 2, 4)),
    "noise, sigma 4, 8, 16, 32 levels": (add_noise, (4, 8, 16, 32)),
    "colour shift by 5, 10, 20, 40 levels": (shift_colour, (5, 10, 20, 40)),
    "grey, 15, 30, 60, 100 %": (fade_to_grey, (0.15, 0.3, 0.6, 1)),
    "contrast, x 0.9, 0.8, 0.6, 0.3": (scale_contrast, (0.9, 0.8, 0.6, 0.3)),
    "halftone, 10, 25, 50, 100 %": (lay_halftone, (0.1, 0.25, 0.5, 1)),
    "posterised, steps of 8, 16, 48, 96": (posterise, (8, 16, 48, 96)),
    "swirl, 0.25, 0.5, 1, 2 rad": (swirl, (0.25, 0.5, 1, 2)),
    "elastic, 1, 2, 4, 8 px": (warp, (1, 2, 4, 8)),
}


def main() -> None:
    options = _read_options()
    network = load_feature_network(options.network, options.weights)
    start = time.process_time()
    pictures = list(_pictures(options))
    order = np.random.default_rng(options.seed).permutation(len(pictures))
    damaged, others = ([pictures[index] for index in half] for half in np.array_split(order, 2))
    target, untouched = network.describe(others), network.describe(damaged)
    print(
        f"{network.name}, {len(damaged)} damaged against {len(others)} other pictures,"
        f" {options.draws} draws of {options.draw_size}\n"
    )
    print("| damage (at 128 px) | none | 1 | 2 | 3 | 4 | rank | seen from |")
    print("|---|---|---|---|---|---|---|---|")
    for title, (damage, strengths) in DAMAGES.items():
        sets = [untouched]
        for place, strength in enumerate(strengths):
            rng = np.random.default_rng([options.seed, place])
            sets.append(_describe(network, [_hurt(x, damage, strength, rng) for x in damaged]))
        print(_row(title, sets, target, options), flush=True)
    print(f"\n{time.process_time() - start:.0f} CPU s")


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pictures", type=Path, help="folder; else portraits are drawn")
    parser.add_argument("--count", type=int, default=200, help="pictures of both halves together")
    parser.add_argument("--network", default="random_vgg")
    parser.add_argument("--weights", help="file of Inception's weights")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--draw-size", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _pictures(options: argparse.Namespace) -> Iterator[RgbU8]:
    """Yield squares of SIDE_PX: drawn portraits, or the middles of random pictures of a folder."""
    if options.pictures is None:
        for index in range(options.count):
            rng = np.random.default_rng([options.seed, index])
            yield draw_portrait(rng, SIDE_PX, SIDE_PX).rgb_u8
        return
    paths = list(walk_images(options.pictures))
    chosen = np.random.default_rng(options.seed).permutation(len(paths))[: options.count]
    for index in sorted(chosen):
        rgb_u8 = read_rgb(paths[index])
        side = min(rgb_u8.shape[:2])
        top, left = ((length - side) // 2 for length in rgb_u8.shape[:2])
        middle = rgb_u8[top : top + side, left : left + side]
        yield resize_rgb(np.ascontiguousarray(middle), SIDE_PX, SIDE_PX)


def _hurt(rgb_u8: RgbU8, damage: Damage, strength: float, rng: Rng) -> RgbU8:
    return np.clip(np.rint(damage(rgb_u8, strength, rng)), 0, 255).astype(np.uint8)


def _remap(rgb_u8: RgbU8, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    maps = x.astype(np.float32), y.astype(np.float32)
    moved = cv2.remap(rgb_u8, *maps, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(moved, dtype=np.float64)


def _describe(network: FeatureNetwork, pictures: list[RgbU8]) -> Features:
    parts = [pictures[start : start + 16] for start in range(0, len(pictures), 16)]
    return np.concatenate([network.describe(part) for part in parts])


def _row(title: str, sets: list[Features], target: Features, options: argparse.Namespace) -> str:
    rng = np.random.default_rng(options.seed)
    values = [kid(one, target, SAMPLING, rng).value for one in sets]
    draws = [_draw(sets, target, options.draw_size, rng) for _ in range(options.draws)]
    rank = statistics.mean(_rank([one.value for one in draw]) for draw in draws)
    seen = [
        strength
        for strength in range(1, len(sets))
        if sum(draw[strength].low > 0 for draw in draws) * 2 >= len(draws)
    ]
    cells = " | ".join(f"{float(f'{1e5 * value:.3g}'):g}" for value in values)
    return f"| {title} | {cells} | {_rank(values):.2f} ({rank:.2f}) | {min(seen, default='no')} |"


def _draw(sets: list[Features], target: Features, size: int, rng: Rng) -> list[Estimate]:
    """Return KID at each strength for one random draw of the same pictures on each side."""
    mine, theirs = (rng.permutation(len(one))[:size] for one in (sets[0], target))
    return [kid(one[mine], target[theirs], SAMPLING, rng) for one in sets]


def _rank(values: list[float]) -> float:
    """Return Spearman's agreement of values with their order."""
    places = np.argsort(np.argsort(values))
    return float(np.corrcoef(places, np.arange(len(values)))[0, 1])


if __name__ == "__main__":
    main()
