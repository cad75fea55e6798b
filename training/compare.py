"""Compare: do two weights differ on the same test pictures, figure by figure, and how surely?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from anymus.errors import ParamsError
from anymus.files import write_json, write_text
from anymus.images import RgbU8, write_png
from anymus.params import Params
from anymus.torchlib import pick_device

from .contender import Contender, find_different, load_contender
from .data import find_pictures
from .differences import CompareReport, Difference
from .features import FeatureNetwork, Features, load_feature_network
from .metrics import (
    Statistic,
    Weights,
    bootstrap,
    find_inside,
    kernel_gram,
    mean_within,
    pair_distances,
    squared_mmd,
)
from .pair import (
    DIRECTIONS,
    OTHER,
    Domain,
    Pair,
    chunks,
    direction_of,
    read_squares,
    translate,
)
from .samples import titled_grid


class _Subject(NamedTuple):
    """The test pictures that both are compared on, and what looks at them."""

    parts: Mapping[Domain, Sequence[Path]]
    real: Mapping[Domain, Features]
    network: FeatureNetwork
    size_px: int


class _Seen(NamedTuple):
    """What one contender makes of the test pictures of a domain, in their order."""

    translated: Features
    cycle_l1: list[float]  # both empty where there is no generator of the way back
    identity_l1: list[float]
    pictures: list[RgbU8]  # translations of the few that the sheet shows


def compare(params: Params, names: tuple[str, str], dst: Path) -> CompareReport:
    """Return in which figures two weights differ on the same test pictures.

    Writes `dst/compare.json`, `dst/compare.md` (the table) and `dst/samples.png`, where both
    translations stand side by side. The same input gives the same bytes on one machine.

    Args:
        params: All parameters; `evaluate`, `seed`, `paths.dataset` and `paths.models` are read.
        names: The first and the second contender; see `contender.load_contender`.
        dst: Folder to write to; other files in it stay.

    Raises:
        CheckpointError: Weights are missing, damaged, or not in DVC's cache.
        ParamsError: A name is no path and no revision; the two are the same weights, have no
            direction in common, or take pictures of different sizes.
        DatasetError: A test part is missing, has fewer than two pictures, or holds a broken one.
        DeviceError: The device is not on this machine.
    """
    device = pick_device(params.evaluate.device)
    first, second = (load_contender(name, Path(params.paths.models), device) for name in names)
    different = find_different(first, second)
    subject = _read_subject(params, _common_size_px(first, second))
    differences: list[Difference] = []
    sheet: list[list[RgbU8]] = []
    for source, _ in DIRECTIONS:
        if direction_of(source) in different:
            shown = _spread_places(len(subject.parts[source]), params.evaluate.sheet_rows)
            seen = [_look_at(params, one.pair, source, subject, shown) for one in (first, second)]
            differences += _differences(params, source, subject, seen)
            inputs = read_squares([subject.parts[source][n] for n in shown], subject.size_px)
            sheet += map(list, zip(inputs, seen[0].pictures, seen[1].pictures, strict=True))
    report = CompareReport(_facts(first, second, subject), differences)
    write_json(dst / "compare.json", report.as_metrics())
    write_text(dst / "compare.md", report.as_text())
    write_png(dst / "samples.png", titled_grid(("input", "first", "second"), sheet))
    return report


def _common_size_px(first: Contender, second: Contender) -> int:
    sizes_px = first.pair.size_px, second.pair.size_px
    if sizes_px[0] != sizes_px[1]:
        raise ParamsError(
            f"{first.name} is for {sizes_px[0]} and {second.name} for {sizes_px[1]} pixels: their"
            " figures are not comparable",
            "compare weights of one size, or let people vote (anymus vote)",
        )
    return sizes_px[0]


def _read_subject(params: Params, size_px: int) -> _Subject:
    own = params.evaluate
    device = pick_device(own.device)
    network = load_feature_network(own.feature_network, own.inception_weights, device)
    parts: dict[Domain, Sequence[Path]] = {}
    real: dict[Domain, Features] = {}
    for domain, _ in DIRECTIONS:
        parts[domain] = find_pictures(Path(params.paths.dataset) / f"test{domain.upper()}")
        pieces = chunks(parts[domain], own.batch_size)
        described = [network.describe(read_squares(some, size_px)) for some in pieces]
        real[domain] = np.concatenate(described)
    return _Subject(parts, real, network, size_px)


def _look_at(
    params: Params, pair: Pair, source: Domain, subject: _Subject, shown: Sequence[int]
) -> _Seen:
    """Translate the pictures of a domain, and describe what comes out."""
    features: list[Features] = []
    pictures: list[RgbU8] = []
    cycle_l1: list[float] = []
    identity_l1: list[float] = []
    for some in translate(subject.parts[source], source, pair, params.evaluate.batch_size):
        features.append(subject.network.describe(some.translated))
        pictures += some.translated
        cycle_l1 += some.cycle_l1
        identity_l1 += some.identity_l1
    sheet = [pictures[place] for place in shown]
    return _Seen(np.concatenate(features), cycle_l1, identity_l1, sheet)


def _differences(
    params: Params, source: Domain, subject: _Subject, seen: Sequence[_Seen]
) -> list[Difference]:
    """Return the differences of one direction."""
    real = subject.real[OTHER[source]]
    sizes = len(seen[0].translated), len(real)
    first, second = (_statistics(source, one, real) for one in seen)
    found = []
    for figure in (name for name in first if name in second):
        rng = np.random.default_rng([params.seed, *figure.encode()])
        of_both = _subtract(second[figure], first[figure])
        gap = bootstrap(of_both, sizes, params.evaluate.resamples, rng)
        of_first, of_second = (_of_all(one[figure], sizes) for one in (first, second))
        direction = direction_of(source)
        found.append(Difference(figure, direction, of_first, of_second, gap.low, gap.high))
    return found


def _statistics(source: Domain, seen: _Seen, real: Features) -> dict[str, Statistic]:
    """Return the figures of a contender by name, as functions of how often a picture counts."""
    target = OTHER[source]
    gram = kernel_gram(seen.translated, real)
    among_own = pair_distances(seen.translated, seen.translated)
    among_real = pair_distances(real, real)
    is_inside, neighbours = find_inside(seen.translated, real)
    inside = is_inside.astype(np.float64)  # (n, m)
    figures: dict[str, Statistic] = {
        f"kid_{target}": lambda w, v: squared_mmd(gram, w, v),
        f"diversity_{target}": lambda w, v: _share(
            mean_within(among_own, w), mean_within(among_real, v)
        ),
        f"density_{target}": lambda w, v: (
            ((w @ inside) * v).sum(axis=1) / (neighbours * w.sum(axis=1))
        ),
        f"coverage_{target}": lambda w, v: ((w @ inside > 0) * v).sum(axis=1) / v.sum(axis=1),
    }
    if seen.cycle_l1:
        figures[f"cycle_l1_{source}"] = _mean_of(seen.cycle_l1)
        figures[f"identity_l1_{source}"] = _mean_of(seen.identity_l1)
    return figures


def _mean_of(values: Sequence[float]) -> Statistic:
    each = np.asarray(values)
    return lambda w, _: w @ each / w.sum(axis=1)


def _share(part: Weights, whole: Weights) -> Weights:
    """Return part / whole, 0 where the whole is nothing."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _subtract(one: Statistic, other: Statistic) -> Statistic:
    return lambda w, v: one(w, v) - other(w, v)


def _of_all(statistic: Statistic, sizes: tuple[int, int]) -> float:
    once: list[Weights] = [np.ones((1, size)) for size in sizes]
    return float(statistic(*once)[0])


def _spread_places(count: int, rows: int) -> list[int]:
    """Return at most `rows` places spread evenly over `count`."""
    places = np.linspace(0, count - 1, min(rows, count)).round()
    return [int(place) for place in places]


def _facts(first: Contender, second: Contender, subject: _Subject) -> dict[str, int | str]:
    hashes = {
        f"{word}_sha256_{direction}": sha256
        for word, one in (("first", first), ("second", second))
        for direction, sha256 in one.sha256.items()
    }
    return {
        "first": first.name,
        "second": second.name,
        **hashes,
        "feature_network": subject.network.name,
        "feature_sha256": subject.network.sha256,
        "image_size_px": subject.size_px,
        "test_a": len(subject.parts["a"]),
        "test_b": len(subject.parts["b"]),
    }
