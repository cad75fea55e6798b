"""Evaluate: is a translation near its target, is it nearer than doing nothing, how sure is that?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from anymus.errors import CheckpointError, DatasetError, ImageError
from anymus.files import atomic_folder, write_json, write_text
from anymus.images import RgbU8, read_rgb, write_png
from anymus.params import Params
from anymus.progress import track
from anymus.torchlib import pick_device

from .checkpoint import load_generator
from .data import find_pictures, to_signed, to_square
from .evaluation_page import Direction, render_page
from .features import FeatureNetwork, Features, load_feature_network
from .kid_plot import draw_kid
from .metrics import Estimate, Sampling, fid, kid, kid_gain, spread
from .networks import Generator
from .samples import sample_grid, to_rgb
from .showcase import distance_to_targets, pick, show_groups

Domain = Literal["a", "b"]
DIRECTIONS: tuple[tuple[Domain, Domain], ...] = (("a", "b"), ("b", "a"))
DIGITS = 4


@dataclass(frozen=True, slots=True)
class EvaluateReport:
    """What the evaluation found: flat figures, explained in docs/evaluation.md."""

    figures: Mapping[str, int | float | str]

    def as_metrics(self) -> Mapping[str, int | float | str]:
        """Return the figures by name."""
        return self.figures


@dataclass(frozen=True, slots=True)
class _Pair:
    """Both generators, on their device, and what they were trained for."""

    generators: Mapping[Domain, Generator]  # by the domain of what they take
    size_px: int
    device: torch.device


class _Seen(NamedTuple):
    """The test pictures of one domain and what became of them."""

    pictures: int
    real: Features
    translated: Features  # into the other domain, in the order of `real`
    cycle_l1: float
    identity_l1: float


def evaluate(params: Params, dataset_dir: Path, models_dir: Path, dst: Path) -> EvaluateReport:
    """Translate the test parts both ways and return how far the results are from their targets.

    Writes `dst/metrics.json`, `dst/samples.png`, `dst/plots/kid.png`, `dst/plots/kid.tsv` and the
    page `dst/index.html`, which also shows training's plots where they are there. All pictures,
    real ones too, are brought to the generators' size first, so that the distances compare drawing
    and not resolution. The same input gives the same bytes on the same machine.

    Args:
        params: All parameters; `evaluate`, `seed` and `paths.train_results` are read.
        dataset_dir: Folder of `split`; only read.
        models_dir: Folder with generator_a2b.safetensors and generator_b2a.safetensors.
        dst: Folder to write, replaced as a whole.

    Raises:
        DatasetError: A part is missing, has fewer than two pictures, or holds a broken one.
        CheckpointError: Weights are missing, damaged, or do not belong together.
        DeviceError: The device is not on this machine.
    """
    device = pick_device(params.evaluate.device)
    parts = {
        part + side: _find_part(dataset_dir / f"{part}{side.upper()}")
        for part in ("test", "train")
        for side in ("a", "b")
    }
    pair = _load_pair(models_dir, device)
    network = load_feature_network(params.evaluate.feature_network)
    batch = params.evaluate.batch_size
    seen = {d: _look_at(parts[f"test{d}"], d, pair, network, batch) for d, _ in DIRECTIONS}
    figures: dict[str, int | float | str] = {
        "feature_network": network.name,
        "feature_sha256": network.sha256,
        "image_size_px": pair.size_px,
        "test_a": seen["a"].pictures,
        "test_b": seen["b"].pictures,
    }
    bars: dict[str, dict[str, Estimate]] = {}
    for source, target in DIRECTIONS:
        train = _draw_pictures(parts[f"train{target}"], seen[target].pictures, params.seed)
        floor = _describe(train, pair, network, batch)
        found, estimates = _compare(params, (source, target), seen, floor)
        figures |= found
        bars[f"{source}2{target}"] = estimates
    sheet = _draw_sheet(parts, pair, params.evaluate.sheet_rows)
    shown = _show(params, parts, pair, seen, bars)
    report = EvaluateReport({name: _rounded(value) for name, value in figures.items()})
    kid_plot = draw_kid(bars)
    page = render_page(report.figures, shown, kid_plot, Path(params.paths.train_results))
    with atomic_folder(dst) as partial:
        write_json(partial / "metrics.json", report.as_metrics())
        write_text(partial / "plots" / "kid.tsv", _kid_table(bars))
        write_png(partial / "plots" / "kid.png", kid_plot)
        write_text(partial / "index.html", page)
        write_png(partial / "samples.png", sheet)
    return report


def _find_part(folder: Path) -> list[Path]:
    pictures = find_pictures(folder)
    if len(pictures) < 2:
        raise DatasetError(
            f"{folder}: 1 picture, a distance needs 2", "collect more, or change split.test_share"
        )
    return pictures


def _load_pair(models_dir: Path, device: torch.device) -> _Pair:
    """Return both generators on the device, in eval mode."""
    generators: dict[Domain, Generator] = {}
    for source, target in DIRECTIONS:
        path = models_dir / f"generator_{source}2{target}.safetensors"
        generator, card = load_generator(path)
        if card.get("direction") != f"{source}2{target}":
            raise CheckpointError(
                f"{path} translates {card.get('direction')}, not {source}2{target}",
                "train again, or put each generator under its own name",
            )
        generators[source] = generator.to(device)
    sizes_px = [int(generator.arguments["image_size_px"]) for generator in generators.values()]
    if len(set(sizes_px)) > 1:
        raise CheckpointError(
            f"the generators in {models_dir} are for {sizes_px[0]} and {sizes_px[1]} pixels",
            "use two generators of one training run",
        )
    return _Pair(generators, sizes_px[0], device)


@torch.inference_mode()
def _look_at(
    paths: Sequence[Path], domain: Domain, pair: _Pair, network: FeatureNetwork, batch_size: int
) -> _Seen:
    """Translate the pictures of one domain and describe them before and after."""
    there = pair.generators[domain]
    back = pair.generators["b" if domain == "a" else "a"]
    real, translated, cycle_sum, identity_sum = [], [], 0.0, 0.0
    batches = _batches(paths, batch_size)
    for chunk in track(batches, f"evaluate test{domain.upper()}", len(batches)):
        pictures = _read(chunk, pair.size_px)
        x = to_signed(np.stack(pictures)).to(pair.device)  # (N, 3, H, W)
        image = there(x).image
        cycle_sum += _l1_sum(back(image).image, x)
        identity_sum += _l1_sum(back(x).image, x)
        real.append(network.describe(pictures))
        translated.append(network.describe([to_rgb(one[None]) for one in image]))
    if not np.isfinite(cycle_sum + identity_sum):
        raise CheckpointError("the weights give values that are no numbers", "train them again")
    count = len(paths)
    return _Seen(
        pictures=count,
        real=np.concatenate(real),
        translated=np.concatenate(translated),
        cycle_l1=cycle_sum / count,
        identity_l1=identity_sum / count,
    )


def _compare(
    params: Params,
    direction: tuple[Domain, Domain],
    seen: Mapping[Domain, _Seen],
    target_train: Features,
) -> tuple[dict[str, int | float], dict[str, Estimate]]:
    """Return the figures of one direction, and its KID estimates by row of the plot."""
    source, target = direction
    own = params.evaluate
    sampling = Sampling(own.subset_size, own.subsets, own.resamples)
    before, after = seen[source].real, seen[source].translated
    real = seen[target].real
    streams = [np.random.default_rng([params.seed, ord(target), index]) for index in range(5)]
    floor = kid(target_train, real, sampling, streams[0])
    translated = kid(after, real, sampling, streams[1])
    untouched = kid(before, real, sampling, streams[2])
    gain, gain_low, gain_high = kid_gain(before, after, real, own.resamples, streams[3])
    figures = {
        **_named(f"kid_{target}", translated),
        **_named(f"kid_{target}_identity", untouched),
        **_named(f"kid_{target}_floor", floor),
        f"kid_{target}_n": translated.n,
        f"kid_{target}_subset_size": translated.subset_size,
        f"is_subset_reduced_{target}": int(translated.subset_size < own.subset_size),
        f"kid_{target}_to_source": kid(after, before, sampling, streams[4]).value,
        f"kid_{target}_gain": gain,
        f"kid_{target}_gain_low": gain_low,
        f"kid_{target}_gain_high": gain_high,
        f"kid_{target}_gap_closed": _share(gain, untouched.value - floor.value),
        f"beats_identity_{source}2{target}": int(gain_low > 0),
        f"fid_{target}": fid(after, real),
        f"fid_{target}_identity": fid(before, real),
        f"fid_{target}_floor": fid(target_train, real),
        f"fid_{target}_n": translated.n,
        f"diversity_{target}": _share(spread(after), spread(real)),
        f"cycle_l1_{source}": seen[source].cycle_l1,
        f"identity_l1_{source}": seen[source].identity_l1,
    }
    return figures, {"floor": floor, "translated": translated, "untouched": untouched}


def _named(name: str, estimate: Estimate) -> dict[str, float]:
    values = asdict(estimate)
    ends = {f"{name}_{end}": values[end] for end in ("std", "low", "high")}
    return {name: estimate.value, **ends}


def _share(part: float, whole: float) -> float:
    """Return part / whole, 0 where the whole is nothing."""
    return part / whole if whole > 0 else 0.0


def _rounded(value: int | float | str) -> int | float | str:
    """Return a figure without the digits that another number of threads may change."""
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _describe(
    paths: Sequence[Path], pair: _Pair, network: FeatureNetwork, batch_size: int
) -> Features:
    chunks = _batches(paths, batch_size)
    return np.concatenate([network.describe(_read(chunk, pair.size_px)) for chunk in chunks])


def _draw_pictures(paths: Sequence[Path], count: int, seed: int) -> list[Path]:
    """Return at most `count` of the paths, drawn by the seed, in their order."""
    order = np.random.default_rng([seed, len(paths)]).permutation(len(paths))
    return [paths[index] for index in sorted(order[:count])]


def _read(paths: Sequence[Path], size_px: int) -> list[RgbU8]:
    try:
        return [to_square(read_rgb(path), size_px) for path in paths]
    except ImageError as error:
        raise DatasetError(error.message, "run `anymus split` again") from error


def _batches(paths: Sequence[Path], size: int) -> list[Sequence[Path]]:
    return [paths[start : start + size] for start in range(0, len(paths), size)]


def _l1_sum(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the sum over a batch of each picture's mean absolute difference."""
    return float((one - other).abs().mean(dim=(1, 2, 3)).double().sum())


def _draw_sheet(parts: Mapping[str, Sequence[Path]], pair: _Pair, rows: int) -> RgbU8:
    """Return the sample sheet: test pictures spread evenly over each domain."""
    inputs = []
    for domain, _ in DIRECTIONS:
        paths = parts[f"test{domain}"]
        places = np.linspace(0, len(paths) - 1, min(rows, len(paths))).round().astype(int)
        pictures = _read([paths[place] for place in places], pair.size_px)
        inputs.append(to_signed(np.stack(pictures)).to(pair.device))
    return sample_grid(pair.generators["a"], pair.generators["b"], *inputs)


def _show(
    params: Params,
    parts: Mapping[str, Sequence[Path]],
    pair: _Pair,
    seen: Mapping[Domain, _Seen],
    bars: Mapping[str, Mapping[str, Estimate]],
) -> dict[str, Direction]:
    """Return what the page shows of each direction: estimates, and pictures good and bad."""
    shown = {}
    for source, target in DIRECTIONS:
        name = f"{source}2{target}"
        distances = distance_to_targets(seen[source].translated, seen[target].real)
        rng = np.random.default_rng([params.seed, ord(source), len(distances)])
        groups = pick(distances, params.evaluate.sheet_rows, rng)
        generators = pair.generators[source], pair.generators[target]
        paths = parts[f"test{source}"]
        shown[name] = Direction(
            bars[name], show_groups(paths, distances, groups, generators, pair.device)
        )
    return shown


def _kid_table(bars: Mapping[str, Mapping[str, Estimate]]) -> str:
    lines = ["direction\tpictures\tkid\tlow\thigh\tn"]
    for direction, estimates in bars.items():
        for row, one in estimates.items():
            ends = "\t".join(f"{value:.{DIGITS}g}" for value in (one.value, one.low, one.high))
            lines.append(f"{direction}\t{row}\t{ends}\t{one.n}")
    return "\n".join(lines) + "\n"
