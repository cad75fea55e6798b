"""How far are heads alone from drawn ones? KID of whole pictures, and of what is in the head.

    python benchmarks/heads.py -g manga -g drawn --dataset data/processed

Printed pages have panel borders, balloons and letters around heads, and portraits need none: KID of
whole pictures is less for weights that draw borders beside a head. Here photos held out are
translated, then all around the head (the ellipse of `training.losses.find_head`) is painted white,
in the drawings held out and in what filters make of the photos, too. A row: KID x 1e5 of whole
pictures and of heads, each with its 95 % interval over resamples of both sides.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from anymus.images import RgbU8, resize_rgb
from inference.translator import Translator, find_weights
from training.baselines import make_baselines, mean_palette, measure_palette
from training.data import find_pictures
from training.features import Features, RandomVgg
from training.losses import find_head
from training.metrics import Sampling, kid
from training.pair import read_squares

SEED = 1


def main() -> None:
    """Print a row for each set of weights and each filter."""
    arguments = _parse()
    sets = [Translator.load(find_weights(Path(name), "a2b"), "cpu") for name in arguments.weights]
    size_px = sets[0].size_px
    photos, drawings, learned = (
        read_squares(find_pictures(arguments.dataset / part), size_px)
        for part in ("testA", "testB", "trainB")
    )
    palette = mean_palette([measure_palette(picture) for picture in learned])
    ways: dict[str, Callable[[RgbU8], RgbU8]] = dict(
        zip(arguments.weights, sets, strict=True), **make_baselines(palette, is_to_drawing=True)
    )
    print(f"{len(photos)} photos, {len(drawings)} drawings, {size_px} px; KID x 1e5")
    print(f"{'':16}{'whole':>24}{'heads':>24}")
    network = RandomVgg()
    targets = [network.describe(one) for one in (drawings, _heads(drawings))]
    for name, way in ways.items():
        made = [resize_rgb(way(photo), size_px, size_px) for photo in photos]
        cells = [
            _kid(network.describe(pictures), target)
            for pictures, target in zip((made, _heads(made)), targets, strict=True)
        ]
        print(f"{Path(name).name:16}{cells[0]:>24}{cells[1]:>24}", flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-g", "--weights", action="append", required=True)
    parser.add_argument("--dataset", type=Path, default=Path("data/processed"))
    return parser.parse_args()


def _kid(made: Features, target: Features) -> str:
    found = kid(made, target, Sampling(50, 100, 1000), np.random.default_rng(SEED))
    return f"{found.value * 1e5:.0f} ({found.low * 1e5:.0f} to {found.high * 1e5:.0f})"


def _heads(pictures: Sequence[RgbU8]) -> list[RgbU8]:
    """Return square pictures with white around the head."""
    is_head = find_head(len(pictures[0]), torch.device("cpu")).numpy()[..., None]
    return [np.where(is_head, picture, np.uint8(255)) for picture in pictures]


if __name__ == "__main__":
    main()
