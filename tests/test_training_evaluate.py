"""The evaluation: figures that mean something, the same bytes twice, clear words on bad input."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from anymus.cli import build_app
from anymus.errors import AnymusError, CheckpointError, DatasetError
from anymus.files import sha256_file, walk_files
from anymus.images import read_rgb, write_png
from anymus.params import Params, load_params, read_preset
from training.checkpoint import save_generator
from training.data import to_signed, to_square
from training.evaluate import EvaluateReport, evaluate
from training.networks import Generator

SIZE_PX = 32
COUNTS = {"trainA": 9, "trainB": 12, "testA": 7, "testB": 5}
FILES = ["index.html", "metrics.json", "plots/kid.png", "plots/kid.tsv", "samples.png"]


def _picture(part: str, index: int) -> np.ndarray:
    """Return noise for A, an almost even grey for B."""
    rng = np.random.default_rng([ord(part[-1]), len(part), index])
    low, high = (0, 256) if part.endswith("A") else (122, 134)
    return rng.integers(low, high, (40, 40, 3), np.uint8)


def _save(
    models: Path, direction: str, *, head: float | None = None, size_px: int = SIZE_PX
) -> None:
    """Save a small generator; a head of zeros makes every picture an even grey."""
    torch.manual_seed(len(direction))
    generator = Generator(base_channels=4, image_size_px=size_px, residual_blocks=1, film="pooled")
    if head is not None:
        torch.nn.init.constant_(generator.head.weight, head)
    card = {"direction": direction, "framing": {}, "step": 1}
    save_generator(models / f"generator_{direction}.safetensors", generator, card)


def _params(folder: Path) -> Params:
    path = folder / "preset.yaml"
    path.write_text(read_preset("demo"), encoding="utf-8")
    own = ("device=cpu", "batch_size=3", "sheet_rows=2")
    return load_params(path, [f"evaluate.{override}" for override in own])


def _fill(folder: Path) -> None:
    """Write folder/data and folder/models, both generators with a head of zeros."""
    for part, count in COUNTS.items():
        for index in range(count):
            write_png(folder / "data" / part / f"{index}.png", _picture(part, index))
    (folder / "models").mkdir()
    for direction in ("a2b", "b2a"):
        _save(folder / "models", direction, head=0.0)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with data and models that a test may spoil."""
    _fill(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EvaluateReport]:
    """Return a folder with data, models and results, and the report: all pictures become grey."""
    folder = tmp_path_factory.mktemp("grey")
    _fill(folder)
    return folder, _run(folder)


def _run(folder: Path, dst: str = "out") -> EvaluateReport:
    return evaluate(_params(folder), folder / "data", folder / "models", folder / dst)


def test_figures_tell_a_good_direction_from_a_bad_one(grey: tuple[Path, EvaluateReport]) -> None:
    found = grey[1].figures
    assert (found["test_a"], found["test_b"]) == (7, 5)
    assert (found["kid_b_n"], found["fid_b_n"], found["kid_a_n"]) == (5, 5, 5)
    assert found["is_subset_reduced_b"] == 1
    assert found["kid_b_subset_size"] == 2
    # Noise becomes grey, and grey is what B looks like.
    assert found["beats_identity_a2b"] == 1
    assert float(found["kid_b"]) < 0.1 * float(found["kid_b_identity"])
    assert 0.8 < float(found["kid_b_gap_closed"]) < 1.2
    assert float(found["fid_b"]) < float(found["fid_b_identity"])
    assert abs(float(found["kid_b_floor"])) < 0.01 * float(found["kid_b_identity"])
    # Grey stays grey, and A looks like noise.
    assert found["beats_identity_b2a"] == 0
    assert float(found["kid_a"]) > 0.5 * float(found["kid_a_identity"])
    # One grey lies among the greys of B, and noise does not.
    assert found["coverage_b_neighbours"] == 4
    assert float(found["density_b_identity"]) == float(found["coverage_b_identity"]) == 0
    assert float(found["coverage_b_floor"]) > 0
    # Nothing of A is left, and that is what the paper's mix counts.
    assert float(found["kid_paper_mix_b"]) > 0.4 * float(found["kid_b_to_source"])
    # Even greys have no face, and nothing came back that could be anybody.
    assert found["face_share_b"] == found["face_share_a"] == 0
    assert found["eye_drift_b_n"] == 0
    assert "eye_drift_b" not in found
    # All pictures become one.
    assert float(found["diversity_b"]) == pytest.approx(0, abs=1e-4)


def test_every_baseline_is_measured_and_the_verdict_says_which_are_beaten(
    grey: tuple[Path, EvaluateReport],
) -> None:
    found, text = grey[1].figures, grey[1].as_text()
    # The colours of B make noise an almost even grey that the constant model cannot match.
    assert float(found["kid_b_gain_over_colour_high"]) < 0
    assert found["beats_colour_a2b"] == 0
    assert "It does not beat colour transfer" in text
    # Lines on noise are no grey: the model is nearer than filters that draw.
    for name in ("cartoon", "stylised", "sketch"):
        assert found[f"beats_{name}_a2b"] == 1, name
        assert f"kid_a_{name}" not in found
    assert "Manga to photo: worse than doing nothing" in text
    assert max(len(str(value)) for value in found.values()) == 64  # `dvc metrics diff` is readable


def test_errors_of_content_are_those_of_the_networks(grey: tuple[Path, EvaluateReport]) -> None:
    folder, report = grey
    found = report.figures
    paths = [folder / "data" / "testA" / f"{index}.png" for index in range(COUNTS["testA"])]
    reals = [to_square(read_rgb(path), SIZE_PX) for path in paths]
    expected = float(to_signed(np.stack(reals)).abs().mean())  # both generators give 0 everywhere
    assert found["cycle_l1_a"] == pytest.approx(expected, rel=1e-3)
    assert found["identity_l1_a"] == pytest.approx(expected, rel=1e-3)
    assert float(found["cycle_l1_b"]) < 0.05


def test_what_is_written_is_flat_and_whole(grey: tuple[Path, EvaluateReport]) -> None:
    folder, report = grey
    dst = folder / "out"
    assert [path.relative_to(dst).as_posix() for path in walk_files(dst)] == FILES
    figures = json.loads((dst / "metrics.json").read_text())
    assert figures == dict(report.as_metrics())
    assert all(isinstance(value, int | float | str) for value in figures.values())
    assert figures["feature_network"] == "random_vgg_v1"
    assert len(figures["feature_sha256"]) == 64
    lines = (dst / "plots" / "kid.tsv").read_text().splitlines()
    names = ["kid", "low", "high", "gain", "gain_low", "gain_high", "n"]
    assert lines[0].split("\t") == ["direction", "pictures", *names]
    table = {tuple(line.split("\t")[:2]): line.split("\t")[2:] for line in lines[1:]}
    assert len(table) == 8 + 4
    assert float(table["a2b", "translated"][0]) == figures["kid_b"]
    assert float(table["b2a", "untouched"][1]) == figures["kid_a_identity_low"]
    assert float(table["a2b", "cartoon"][0]) == figures["kid_b_cartoon"]
    assert float(table["a2b", "sketch"][4]) == figures["kid_b_gain_over_sketch_low"]
    assert read_rgb(dst / "plots" / "kid.png").shape == (420, 1100, 3)
    assert read_rgb(dst / "samples.png").shape[1] > 6 * SIZE_PX
    page = (dst / "index.html").read_text()
    assert "better than doing nothing" in page
    assert page.count("Manga to photo: worst</h3>") == 1
    shown = 2 * 3 * 2  # directions, groups, rows
    assert page.count(' alt="translation of ') == shown


def test_the_same_input_gives_the_same_bytes(place: Path) -> None:
    _save(place / "models", "a2b")  # random weights: every digit counts
    before = [sha256_file(path) for path in walk_files(place / "data")]
    _run(place, "one")
    _run(place, "two")
    for name in FILES:
        assert sha256_file(place / "one" / name) == sha256_file(place / "two" / name), name
    assert [sha256_file(path) for path in walk_files(place / "data")] == before


def _remove_part(dataset: Path, _models: Path) -> None:
    for path in (dataset / "testB").iterdir():
        path.unlink()


def _leave_one(dataset: Path, _models: Path) -> None:
    for index in range(1, COUNTS["testA"]):
        (dataset / "testA" / f"{index}.png").unlink()


def _break_picture(dataset: Path, _models: Path) -> None:
    path = dataset / "testB" / "3.png"
    path.write_bytes(path.read_bytes()[:200])


def _remove_weights(_dataset: Path, models: Path) -> None:
    (models / "generator_b2a.safetensors").unlink()


def _damage_weights(_dataset: Path, models: Path) -> None:
    path = models / "generator_b2a.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 64
    path.write_bytes(content)


def _swap_weights(_dataset: Path, models: Path) -> None:
    (models / "generator_b2a.safetensors").replace(models / "generator_a2b.safetensors")
    _save(models, "b2a")


def _mix_sizes(_dataset: Path, models: Path) -> None:
    _save(models, "b2a", size_px=2 * SIZE_PX)


def _make_infinite(_dataset: Path, models: Path) -> None:
    _save(models, "a2b", head=float("nan"))


@pytest.mark.parametrize(
    ("harm", "error", "named"),
    [
        (_remove_part, DatasetError, "testB"),
        (_leave_one, DatasetError, "testA: 1 picture"),
        (_break_picture, DatasetError, "3.png"),
        (_remove_weights, CheckpointError, "generator_b2a"),
        (_damage_weights, CheckpointError, "generator_b2a"),
        (_swap_weights, CheckpointError, "translates b2a, not a2b"),
        (_mix_sizes, CheckpointError, "32 and 64 pixels"),
        (_make_infinite, CheckpointError, "no numbers"),
    ],
)
def test_bad_input_is_named_and_leaves_the_old_results(
    harm: Callable[[Path, Path], None], error: type[AnymusError], named: str, place: Path
) -> None:
    harm(place / "data", place / "models")
    old = place / "out" / "metrics.json"
    old.parent.mkdir()
    old.write_text("{}")
    with pytest.raises(error, match=named) as caught:
        _run(place)
    assert caught.value.hint
    assert [path.name for path in old.parent.iterdir()] == ["metrics.json"]
    assert old.read_text() == "{}"


def test_the_command_prints_the_figures_or_says_what_is_missing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "params.yaml").write_text(read_preset("demo"), encoding="utf-8")
    monkeypatch.chdir(place)
    own = ["evaluate", "-S", "paths.dataset=data", "-S", "evaluate.sheet_rows=1"]
    done = CliRunner().invoke(build_app(), [*own, "--json"])
    assert done.exit_code == 0, done.output
    written = (place / "results" / "evaluate" / "metrics.json").read_text()
    assert json.loads(done.stdout) == json.loads(written)
    (place / "models" / "generator_a2b.safetensors").unlink()
    failed = CliRunner().invoke(build_app(), own).exception
    assert isinstance(failed, CheckpointError)
    assert failed.exit_code == 6
    assert "generator_a2b.safetensors" in failed.message
