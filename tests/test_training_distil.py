"""A small generator learns to draw what a large one draws."""

from pathlib import Path

import numpy as np
import pytest
import torch
from test_training_loop import TINY
from typer.testing import CliRunner

from anymus.cli import build_app
from anymus.errors import CheckpointError, DatasetError, ParamsError
from anymus.images import write_png
from training.checkpoint import load_generator, save_generator
from training.distil import DistilOptions, distil, drawing_loss
from training.networks import Generator

FRAMING = {"size_px": 64, "face_share": 0.55, "eye_line": 0.46}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    for part, count in (("trainA", 3), ("testA", 2)):
        for index in range(count):
            coarse = rng.integers(0, 256, (8, 8, 3), np.uint8)
            write_png(tmp_path / "data" / part / f"{index}.png", coarse.repeat(8, 0).repeat(8, 1))
    return tmp_path / "data"


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """Return a generator that hands its input on, darker: something that can be learned."""
    torch.manual_seed(3)
    generator = Generator(**TINY["generator"] | {"base_channels": 4, "image_size_px": 64})
    path = tmp_path / "teacher" / "generator_a2b.safetensors"
    save_generator(path, generator, {"direction": "a2b", "framing": FRAMING, "licence": "MIT"})
    return path


def options(**changes: object) -> DistilOptions:
    few = {"size_px": 32, "base_channels": 2, "lessons": 5, "iterations": 60, "lr": 1e-2}
    return DistilOptions(**few | {"device": "cpu"} | changes)  # type: ignore[arg-type]


def test_a_small_generator_comes_nearer_to_the_large_one(
    dataset: Path, teacher: Path, tmp_path: Path
) -> None:
    report = distil(teacher, dataset, tmp_path / "small.safetensors", options())
    assert (report.lessons, report.held_out) == (5, 2)
    assert report.difference_levels < 0.8 * report.untaught_levels
    student, card = load_generator(report.file)
    assert student.arguments["base_channels"] == 2
    assert student.arguments["image_size_px"] == 32
    assert card["direction"] == "a2b"
    assert card["framing"] == FRAMING
    assert card["licence"] == "MIT"
    assert len(card["distilled_from"]) == 64


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    dataset: Path, teacher: Path, tmp_path: Path
) -> None:
    files = [tmp_path / f"{name}.safetensors" for name in ("one", "same", "other")]
    for file, seed in zip(files, (1, 1, 2), strict=True):
        distil(teacher, dataset, file, options(iterations=2, seed=seed))
    one, same, other = (file.read_bytes() for file in files)
    assert one == same
    assert one != other


def test_learning_goes_on_from_a_generator_of_the_same_shape(
    dataset: Path, teacher: Path, tmp_path: Path
) -> None:
    first = distil(teacher, dataset, tmp_path / "first.safetensors", options())
    more = options(iterations=1, lr=1e-9, start_from=first.file)
    second = distil(teacher, dataset, tmp_path / "second.safetensors", more)
    assert second.untaught_levels == first.difference_levels
    with pytest.raises(CheckpointError, match="not of the shape"):
        distil(teacher, dataset, tmp_path / "x", options(start_from=teacher))


def test_a_network_that_halves_three_times_wants_multiples_of_eight(
    dataset: Path, tmp_path: Path
) -> None:
    generator = Generator(
        **TINY["generator"] | {"channel_multipliers": [2, 2, 4], "image_size_px": 64}
    )
    path = tmp_path / "seed" / "generator_a2b.safetensors"
    save_generator(path, generator, {"direction": "a2b", "framing": FRAMING})
    with pytest.raises(ParamsError, match="36 is no multiple of 8"):
        distil(path, dataset, tmp_path / "x", options(size_px=36))
    assert distil(path, dataset, tmp_path / "y", options(size_px=40, iterations=1)).lessons == 5


def test_what_cannot_be_distilled_is_refused(dataset: Path, teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="large generator itself"):
        distil(teacher, dataset, teacher, options())
    with pytest.raises(ParamsError, match="multiple of 4"):
        distil(teacher, dataset, tmp_path / "x", options(size_px=30))
    with pytest.raises(DatasetError, match="does not exist"):
        distil(teacher, tmp_path / "nowhere", tmp_path / "x", options())
    assert not (tmp_path / "x").exists()


def test_the_loss_counts_wrong_edges_beside_wrong_levels() -> None:
    wanted = torch.zeros(1, 3, 8, 8)
    level = torch.full_like(wanted, 0.5)
    stripes = level.clone()
    stripes[..., ::2] = -0.5
    assert drawing_loss(wanted, wanted) == 0
    assert drawing_loss(level, wanted) == pytest.approx(0.5)
    assert drawing_loss(stripes, wanted) == pytest.approx(1.5)


def test_the_command_writes_beside_nothing_else(
    dataset: Path, teacher: Path, tmp_path: Path
) -> None:
    few = ["--size", "32", "--channels", "2", "--lessons", "3", "--iterations", "1", "--json"]
    command = ["weights", "distil", str(teacher.parent), "-o", str(tmp_path / "small")]
    done = CliRunner().invoke(build_app(), [*command, "--dataset", str(dataset), *few])
    assert done.exit_code == 0, done.output
    assert [path.name for path in (tmp_path / "small").iterdir()] == ["generator_a2b.safetensors"]
