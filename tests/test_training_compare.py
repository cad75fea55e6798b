"""The comparison of two weights: paired intervals, verdicts, and figures like the evaluation's."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from anymus.cli import build_app
from anymus.errors import CheckpointError, DatasetError, ParamsError
from anymus.files import sha256_file, walk_files
from anymus.images import read_rgb, write_png
from anymus.params import Params, read_preset
from training.compare import compare
from training.contender import load_contender
from training.differences import CompareReport, Difference
from training.features import RandomVgg
from training.metrics import (
    bootstrap,
    cover,
    kid_gain,
    kid_value,
    mean_within,
    pair_distances,
    spread,
)
from training.pair import read_squares, translate

COUNTS = {"testA": 7, "testB": 9}
SaveWeights = Callable[..., Path]
PAIRS = (
    ("the first is better", "the second is better"),
    ("the second is higher", "the second is lower"),
)
SWAPPED = dict(PAIRS) | {after: before for before, after in PAIRS}


def test_only_an_interval_on_one_side_of_zero_is_a_difference() -> None:
    verdicts = {
        ("kid_b", 0.1, 0.3): "the first is better",
        ("kid_b", -0.3, -0.1): "the second is better",
        ("kid_b", -0.1, 0.3): "no difference",
        ("kid_b", 0.0, 0.3): "no difference",
        ("cycle_l1_a", -0.3, -0.1): "the second is better",
        ("coverage_b", 0.1, 0.3): "the second is better",
        ("coverage_b", -0.3, -0.1): "the first is better",
        ("diversity_b", 0.1, 0.3): "the second is higher",
        ("diversity_b", -0.3, -0.1): "the second is lower",
    }
    for (figure, low, high), verdict in verdicts.items():
        assert Difference(figure, "a2b", 1.0, 1.2, low, high).verdict == verdict


def test_the_table_is_markdown_and_the_figures_are_flat() -> None:
    one = Difference("kid_b", "a2b", 0.0123456, 0.02, -0.01, 0.02)
    other = Difference("kid_a", "b2a", 0.5, 0.25, -0.3, -0.2)
    facts: dict[str, int | str] = {"first": "old", "second": "new", "test_a": 7, "test_b": 9}
    facts |= {"image_size_px": 16, "feature_network": "random_vgg_v1"}
    report = CompareReport(facts, [one, other])
    lines = report.as_text().splitlines()
    assert lines[0].startswith("First: old. Second: new. 7 photos and 9 manga faces at 16 px")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    assert rows[2] == ["kid_b", "0.0123", "0.02", "0.00765", "-0.01 to 0.02", "no difference"]
    assert len({len(line) for line in lines[4:7]}) == 1
    figures = report.as_metrics()
    assert figures["kid_b_first"] == 0.0123
    assert (figures["kid_a_difference"], figures["kid_a_high"]) == (-0.25, -0.2)
    assert figures["kid_a_verdict"] == "the second is better"


def test_a_paired_interval_is_that_of_the_differences(rng: np.random.Generator) -> None:
    each = rng.normal(0.3, 1.0, 400)
    found = bootstrap(lambda w, _: w @ each / w.sum(axis=1), (400, 5), 4000, rng)
    half = 1.96 * each.std() / 20
    assert found.value == pytest.approx(each.mean())
    assert found.low == pytest.approx(each.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(each.mean() + half, abs=0.1 * half)


def test_what_only_noise_tells_apart_is_no_difference() -> None:
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        target, inputs = rng.normal(size=(24, 8)), rng.normal(size=(20, 8))
        first, second = (inputs + rng.normal(0, 0.3, inputs.shape) for _ in range(2))
        gain = kid_gain(first, second, target, 200, rng)
        found += gain.is_better or gain.is_worse
    assert found <= 6  # 5 % of 40, and chance


def test_the_mean_of_distances_is_the_spread(rng: np.random.Generator) -> None:
    x = rng.normal(size=(9, 5))
    assert mean_within(pair_distances(x, x), np.ones((1, 9)))[0] == pytest.approx(spread(x))


@pytest.fixture
def place(tmp_path: Path, save_weights: SaveWeights) -> Path:
    """Return a folder with test pictures and the weights `one` and `two`."""
    rng = np.random.default_rng(4)
    for part, count in COUNTS.items():
        for index in range(count):
            picture = rng.integers(0, 256, (16, 16, 3), np.uint8)
            write_png(tmp_path / "data" / part / f"{index}.png", picture)
    for seed, name in enumerate(("one", "two")):
        for direction in ("a2b", "b2a"):
            save_weights(tmp_path / name, direction, seed)
    return tmp_path


def _compare(place: Path, params: Params, *names: str, dst: str = "out") -> CompareReport:
    first, second = (str(place / name) for name in names)
    changed = params.model_copy(
        update={
            "paths": params.paths.model_copy(update={"dataset": str(place / "data")}),
            "evaluate": params.evaluate.model_copy(
                update={"device": "cpu", "resamples": 100, "sheet_rows": 2, "batch_size": 4}
            ),
        }
    )
    return compare(changed, (first, second), place / dst)


def test_two_folders_are_compared_both_ways(place: Path, params: Params) -> None:
    report = _compare(place, params, "one", "two")
    by_name = {one.figure: one for one in report.differences}
    assert set(by_name) == {
        *("kid_b", "diversity_b", "density_b", "coverage_b", "cycle_l1_a", "identity_l1_a"),
        *("kid_a", "diversity_a", "density_a", "coverage_a", "cycle_l1_b", "identity_l1_b"),
    }
    one = load_contender(str(place / "one"), place, torch.device("cpu"))
    paths = sorted((place / "data" / "testA").iterdir())
    (some,) = translate(paths, "a", one.pair, 10)
    network = RandomVgg()
    targets = network.describe(read_squares(sorted((place / "data" / "testB").iterdir()), 16))
    made = network.describe(some.translated)
    assert by_name["kid_b"].first == pytest.approx(kid_value(made, targets), rel=1e-4)
    expected = spread(made) / spread(targets)
    assert by_name["diversity_b"].first == pytest.approx(expected, rel=1e-4)
    covered = cover(made, targets)
    assert by_name["density_b"].first == pytest.approx(covered.density)
    assert by_name["coverage_b"].first == pytest.approx(covered.coverage)
    assert by_name["cycle_l1_a"].first == pytest.approx(np.mean(some.cycle_l1), rel=1e-4)
    again = _compare(place, params, "two", "one", dst="again")
    for found in again.differences:
        before = by_name[found.figure]
        assert (found.first, found.second) == (before.second, before.first)
        assert found.low == pytest.approx(-before.high)
        assert SWAPPED.get(found.verdict, found.verdict) == before.verdict
    written = json.loads((place / "out" / "compare.json").read_text())
    assert written == report.as_metrics()
    assert (place / "out" / "compare.md").read_text() == report.as_text()
    assert read_rgb(place / "out" / "samples.png").shape == (22 + 4 * 132, 3 * 132 - 4, 3)
    _compare(place, params, "one", "two", dst="twice")
    for path in walk_files(place / "out"):
        assert sha256_file(path) == sha256_file(place / "twice" / path.name), path.name


def test_of_one_direction_there_is_no_way_back(place: Path, params: Params) -> None:
    name = "generator_b2a.safetensors"
    report = _compare(place, params, f"one/{name}", "two")
    assert [one.figure for one in report.differences] == [
        "kid_a", "diversity_a", "density_a", "coverage_a",
    ]  # fmt: skip


def test_what_cannot_be_compared_is_named(
    place: Path, params: Params, save_weights: SaveWeights
) -> None:
    with pytest.raises(ParamsError, match="the same weights"):
        _compare(place, params, "one", "one")
    save_weights(place / "large", "a2b", size_px=32)
    with pytest.raises(ParamsError, match=r"for 16 and .* for 32 pixels"):
        _compare(place, params, "one", "large")
    with pytest.raises(CheckpointError, match="no such file"):
        _compare(place, params, "one", "none.safetensors")
    (place / "data" / "testB" / "3.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"3\.png"):
        _compare(place, params, "one", "two")
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "here"), "-o goes with --compare"),
        (("--compare", "a", "--compare", "b", "--compare", "c"), "two weights at most"),
        (("--compare", "none.safetensors"), "no such file"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    (tmp_path / "params.yaml").write_text(read_preset("demo"), encoding="utf-8")
    found = CliRunner().invoke(
        build_app(), ["evaluate", "--params", str(tmp_path / "params.yaml"), *arguments]
    )
    assert message in str(found.exception)


def test_the_command_prints_the_table(place: Path) -> None:
    (place / "params.yaml").write_text(read_preset("demo"), encoding="utf-8")
    options = ["--params", str(place / "params.yaml"), "-o", str(place / "out")]
    options += ["-S", f"paths.dataset={place / 'data'}", "-S", f"paths.models={place / 'two'}"]
    found = CliRunner().invoke(build_app(), ["evaluate", "--compare", str(place / "one"), *options])
    assert found.exception is None
    assert found.stdout == (place / "out" / "compare.md").read_text()
    assert f"First: {place / 'one'}. Second: {place / 'two'}." in found.stdout
