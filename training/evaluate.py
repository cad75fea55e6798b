"""Evaluate: is a translation near its target, is it nearer than what is cheap, how sure is that?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from anymus.errors import DatasetError
from anymus.files import atomic_folder, write_json, write_text
from anymus.images import RgbU8, write_png
from anymus.params import Params
from anymus.torchlib import pick_device

from .baselines import Filter, Palette, make_baselines, mean_palette, measure_palette
from .content import Content, load_tools, read_eyes
from .data import find_pictures, to_signed
from .distances import Figures, Seen, compare, stand
from .evaluation_page import Direction, render_page
from .features import FeatureNetwork, Features, load_feature_network
from .kid_plot import draw_kid
from .pair import DIRECTIONS, Pair, Translated, chunks, load_pair, read_squares, translate
from .samples import sample_grid
from .showcase import distance_to_targets, pick, show_groups
from .standing import DIGITS, Standing
from .verdict import judge


@dataclass(frozen=True, slots=True)
class EvaluateReport:
    """What the evaluation found: flat figures, explained in docs/evaluation.md, and two tables."""

    figures: Mapping[str, int | float | str]
    """Without the verdicts, whose sentences would make `dvc metrics diff` too wide to read."""
    standings: tuple[Standing, ...]

    def as_metrics(self) -> Mapping[str, int | float | str]:
        """Return the figures by name."""
        return self.figures

    def as_text(self) -> str:
        """Return the table of baselines of each direction, with its verdict."""
        return "\n".join(
            f"{one.table()}  {judge(one.direction, self.figures)}\n" for one in self.standings
        )


class _Target(NamedTuple):
    """What is known of a domain from its training part, as many pictures as its test part has."""

    features: Features
    palette: Palette


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
    pair = load_pair(models_dir, device)
    own = params.evaluate
    network = load_feature_network(own.feature_network, own.inception_weights, device)
    batch = params.evaluate.batch_size
    targets: dict[str, _Target] = {}
    for domain, _ in DIRECTIONS:
        drawn = _draw_pictures(parts[f"train{domain}"], len(parts[f"test{domain}"]), params.seed)
        targets[domain] = _know_target(drawn, pair, network, batch)
    seen: dict[str, Seen] = {}
    tools, known = load_tools(), read_eyes(dataset_dir)
    contents = {source: Content(source, tools, known, dataset_dir) for source, _ in DIRECTIONS}
    for source, target in DIRECTIONS:
        filters = make_baselines(targets[target].palette, is_to_drawing=target == "b")
        batches = translate(parts[f"test{source}"], source, pair, batch)
        seen[source] = _look_at(batches, network, filters, contents[source])
    standings = tuple(stand(params, way, seen, targets[way[1]].features) for way in DIRECTIONS)
    figures: Figures = {
        "feature_network": network.name,
        "feature_sha256": network.sha256,
        "image_size_px": pair.size_px,
        "test_a": seen["a"].pictures,
        "test_b": seen["b"].pictures,
    }
    for standing, way in zip(standings, DIRECTIONS, strict=True):
        figures |= standing.figures()
        figures |= compare(params, way, seen, targets[way[1]].features)
        figures |= contents[way[0]].figures()
    sheet = _draw_sheet(parts, pair, params.evaluate.sheet_rows)
    figures = {name: _rounded(value) for name, value in figures.items()}
    report = EvaluateReport(figures, standings)
    kid_plot = draw_kid(standings)
    shown = {one.direction: _show(params, parts, pair, seen, one) for one in standings}
    page = render_page(figures, shown, kid_plot, Path(params.paths.train_results))
    with atomic_folder(dst) as partial:
        write_json(partial / "metrics.json", report.as_metrics())
        write_text(partial / "plots" / "kid.tsv", _kid_table(standings))
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


def _know_target(
    paths: Sequence[Path], pair: Pair, network: FeatureNetwork, batch_size: int
) -> _Target:
    """Return the features and the palette of training pictures."""
    pictures = (read_squares(chunk, pair.size_px) for chunk in chunks(paths, batch_size))
    features: list[Features] = []
    palettes: list[Palette] = []
    for some in pictures:
        features.append(network.describe(some))
        palettes += map(measure_palette, some)
    return _Target(np.concatenate(features), mean_palette(palettes))


def _look_at(
    batches: Iterable[Translated],
    network: FeatureNetwork,
    filters: Mapping[str, Filter],
    content: Content,
) -> Seen:
    """Describe the pictures of one domain before, after and filtered, and note their content."""
    real, translated, cycle_l1, identity_l1 = [], [], [], []
    filtered: dict[str, list[Features]] = {name: [] for name in filters}
    for some in batches:
        cycle_l1 += some.cycle_l1
        identity_l1 += some.identity_l1
        real.append(network.describe(some.real))
        translated.append(network.describe(some.translated))
        for name, change in filters.items():
            filtered[name].append(network.describe([change(picture) for picture in some.real]))
        content.see(some)
    return Seen(
        pictures=len(cycle_l1),
        real=np.concatenate(real),
        translated=np.concatenate(translated),
        baselines={name: np.concatenate(features) for name, features in filtered.items()},
        cycle_l1=sum(cycle_l1) / len(cycle_l1),
        identity_l1=sum(identity_l1) / len(identity_l1),
    )


def _rounded(value: int | float | str) -> int | float | str:
    """Return a figure without the digits that another number of threads may change."""
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _draw_pictures(paths: Sequence[Path], count: int, seed: int) -> list[Path]:
    """Return at most `count` of the paths, drawn by the seed, in their order."""
    order = np.random.default_rng([seed, len(paths)]).permutation(len(paths))
    return [paths[index] for index in sorted(order[:count])]


def _draw_sheet(parts: Mapping[str, Sequence[Path]], pair: Pair, rows: int) -> RgbU8:
    """Return the sample sheet: test pictures spread evenly over each domain."""
    inputs = []
    for domain, _ in DIRECTIONS:
        paths = parts[f"test{domain}"]
        places = np.linspace(0, len(paths) - 1, min(rows, len(paths))).round().astype(int)
        pictures = read_squares([paths[place] for place in places], pair.size_px)
        inputs.append(to_signed(np.stack(pictures)).to(pair.device))
    return sample_grid(pair.generators["a"], pair.generators["b"], *inputs)


def _show(
    params: Params,
    parts: Mapping[str, Sequence[Path]],
    pair: Pair,
    seen: Mapping[str, Seen],
    standing: Standing,
) -> Direction:
    """Return what the page shows of a direction: estimates, and pictures good and bad."""
    source, target = standing.source, standing.target
    distances = distance_to_targets(seen[source].translated, seen[target].real)
    rng = np.random.default_rng([params.seed, ord(source), len(distances)])
    groups = pick(distances, params.evaluate.sheet_rows, rng)
    generators = pair.generators[source], pair.generators[target]
    paths = parts[f"test{source}"]
    return Direction(
        standing.rows(), show_groups(paths, distances, groups, generators, pair.device)
    )


def _kid_table(standings: Sequence[Standing]) -> str:
    names = ("kid", "low", "high", "gain", "gain_low", "gain_high", "n")
    lines = ["\t".join(("direction", "pictures", *names))]
    for standing in standings:
        for row, one in standing.rows().items():
            gain = standing.gains.get(row, ("", "", ""))
            values = (_text(value) for value in (one.value, one.low, one.high, *gain, one.n))
            lines.append("\t".join((standing.direction, row, *values)))
    return "\n".join(lines) + "\n"


def _text(value: float | int | str) -> str:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)
