"""Training recipes on few pictures: what does each of them change, by held-out pictures?

    python benchmarks/recipes.py --dataset data/processed -o results/recipes

Trains small networks (64 px) on a few pictures a side: once as the preset has it (`baseline`), once
with each recipe changed alone, for every seed; the seed also draws the pictures. Each training is a
cell with a folder of its own: a cell that is done is not done again, one that was stopped goes on.

A row is a recipe. `KID` is that of the translated test photos to real test drawings, mean over
seeds; `less than baseline` its difference to the baseline of the same seed, seed by seed (above 0:
nearer to drawings); `back` the same of drawings that became photos; `cycle` the mean L1 difference
of photos after both ways; `face` the share of translated photos in which the detector of drawings
finds a face; `sign` the mean sign of the discriminators' verdict on training pictures at the end
(1: they know them all). Below it stands every cell with the 95 % interval of its KID over pictures.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from anymus.detectors import FaceDetector
from anymus.files import write_json
from anymus.params import PRESETS_FOLDER, load_params
from training.content import load_tools, look
from training.data import find_pictures
from training.features import Features, RandomVgg
from training.loop import train
from training.metrics import Sampling, kid
from training.pair import DIRECTIONS, OTHER, chunks, load_pair, read_squares, translate

BASE = (
    "train.device=cpu",
    "train.batch_size=1",
    "train.generator.base_channels=8",
    "train.discriminator.base_channels=8",
    "train.guard.pictures=0",
    "train.keep_checkpoints=1",
)
_AUGMENT = "train.augment.kinds=[colour,translation,cutout]"
_ONE_JUDGE = "train.discriminator.global_layers=0"
RECIPES: Mapping[str, Sequence[str]] = {
    "baseline": (),
    "augment": (_AUGMENT, "train.augment.probability=1.0"),
    "augment-0.3": (_AUGMENT, "train.augment.probability=0.3"),
    "select-0.8": ("train.select_share=0.8",),
    "constant": ("train.schedule.shape=constant",),
    "cosine": ("train.schedule.shape=cosine", "train.schedule.hold_pictures=0"),
    "tone": ("train.tone_weight=2",),
    "skin": ("train.skin_weight=5",),
    "light": ("train.gamma_jitter=0.8",),
    "grey": ("train.grey_share=0.25",),
    "shadow": ("train.shadow_stops=4",),
    "local-only": (_ONE_JUDGE,),
    "local-dilated": (_ONE_JUDGE, "train.discriminator.dilations=[2,4,8]"),
}
SAMPLING = Sampling(subset_size=47, subsets=100, resamples=1000)
CHUNK = 16

Figures = dict[str, float]


def main() -> None:
    """Train the cells that are missing and print the table of those that are there."""
    args = _parse()
    torch.set_num_threads(1)
    cells: dict[tuple[str, int], Figures] = {}
    real: dict[str, Features] = {}
    detector = load_tools().detectors.get("b")
    for seed in range(1, args.seeds + 1):
        for recipe in RECIPES:
            folder = args.output / f"{recipe}-{seed}"
            if not (folder / "figures.json").is_file() and not args.is_table_only:
                real = real or {side: _describe_test(args.dataset, side) for side in "ab"}
                _train_cell(args, recipe, seed, folder)
                write_json(folder / "figures.json", _measure(args.dataset, folder, real, detector))
            if (folder / "figures.json").is_file():
                cells[recipe, seed] = json.loads((folder / "figures.json").read_text())
    _print_table(cells, args.seeds)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", type=Path, default=Path("data/processed"))
    parser.add_argument("-o", "--output", type=Path, default=Path("results/recipes"))
    parser.add_argument("--pictures", type=int, default=100, help="to train on, of each side")
    parser.add_argument("--iterations", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table-only", dest="is_table_only", action="store_true")
    return parser.parse_args()


def _train_cell(args: argparse.Namespace, recipe: str, seed: int, folder: Path) -> None:
    """Train one cell in its folder, or go on with it."""
    few = _link_few(args.dataset, args.output / f"few-{args.pictures}-{seed}", args.pictures, seed)
    every = max(1, args.iterations // 4)
    overrides = [
        *BASE,
        f"train.iterations={args.iterations}",
        f"train.checkpoint_every_iter={every}",
        f"train.sample_every_iter={args.iterations}",
        f"train.log_every_iter={every}",
        *RECIPES[recipe],
    ]
    params = load_params(PRESETS_FOLDER / "demo.yaml", overrides).train
    train(
        params,
        seed=seed,
        dataset_dir=few,
        models_dir=folder / "models",
        results_dir=folder / "train",
    )


def _link_few(dataset: Path, few: Path, count: int, seed: int) -> Path:
    """Return a folder with links to some pictures of each training part, drawn by the seed."""
    for side in "AB":
        paths = find_pictures(dataset / f"train{side}")
        chosen = np.random.default_rng([seed, ord(side)]).permutation(len(paths))[:count]
        part = few / f"train{side}"
        part.mkdir(parents=True, exist_ok=True)
        for path in (paths[index] for index in chosen):
            link = part / path.name
            if not link.is_symlink():
                link.symlink_to(path.resolve())
    return few


def _describe_test(dataset: Path, side: str) -> Features:
    paths = find_pictures(dataset / f"test{side.upper()}")
    network, size_px = RandomVgg(), 64
    return np.concatenate(
        [network.describe(read_squares(some, size_px)) for some in chunks(paths, CHUNK)]
    )


def _measure(
    dataset: Path, folder: Path, real: Mapping[str, Features], detector: FaceDetector | None
) -> Figures:
    """Return what the generators of a cell make of the test pictures."""
    pair = load_pair(folder / "models", torch.device("cpu"))
    last = json.loads((folder / "train" / "metrics.json").read_text())
    figures: Figures = {"real_sign": last["d_real_sign"]}
    for source, target in DIRECTIONS:
        features, cycle_l1, has_face = [], [], []
        paths = find_pictures(dataset / f"test{source.upper()}")
        for some in translate(paths, source, pair, CHUNK):
            features.append(RandomVgg().describe(some.translated))
            cycle_l1 += some.cycle_l1
            if source == "a" and detector is not None:
                has_face += [look(detector, picture).has_face for picture in some.translated]
        rng = np.random.default_rng([ord(source)])
        found = kid(np.concatenate(features), real[OTHER[source]], SAMPLING, rng)
        name = f"kid_{target}"
        figures |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        figures[f"cycle_l1_{source}"] = float(np.mean(cycle_l1))
        if has_face:
            figures[f"face_share_{target}"] = float(np.mean(has_face))
    return figures


def _print_table(cells: Mapping[tuple[str, int], Figures], seeds: int) -> None:
    print(
        f"{'recipe':<14}{'seeds':>6}{'KID':>9}  {'less than baseline':<26}{'back':<26}"
        f"{'cycle':>7}{'face':>6}{'sign':>6}"
    )
    for recipe in RECIPES:
        own = {seed: cells[recipe, seed] for seed in range(1, seeds + 1) if (recipe, seed) in cells}
        if not own:
            continue
        gains = {
            name: " ".join(
                f"{cells['baseline', seed][name] - one[name]:+.4f}"
                for seed, one in own.items()
                if ("baseline", seed) in cells
            )
            for name in ("kid_b", "kid_a")
        }
        print(
            f"{recipe:<14}{len(own):>6}{_mean(own, 'kid_b'):>9.4f}  {gains['kid_b']:<26}"
            f"{gains['kid_a']:<26}{_mean(own, 'cycle_l1_a'):>7.3f}"
            f"{_mean(own, 'face_share_b'):>6.2f}{_mean(own, 'real_sign'):>6.2f}"
        )
    print()
    for (recipe, seed), one in sorted(cells.items()):
        print(
            f"{recipe:<14} seed {seed}: KID {one['kid_b']:.4f}"
            f" ({one['kid_b_low']:.4f} to {one['kid_b_high']:.4f}), back {one['kid_a']:.4f}"
            f" ({one['kid_a_low']:.4f} to {one['kid_a_high']:.4f})"
        )


def _mean(own: Mapping[int, Figures], name: str) -> float:
    return float(np.mean([one.get(name, np.nan) for one in own.values()]))


if __name__ == "__main__":
    main()
