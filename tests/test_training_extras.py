"""What surrounds the loop: alarms, augmentation, selection, schedules, time limits, processes."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from ruamel.yaml import YAML
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from anymus.cli import build_app
from anymus.errors import CollapseError, DeviceError, UnfinishedRunError
from anymus.images import write_png
from anymus.params import read_preset
from anymus.params_train import TrainParams
from anymus.torchlib import load_torchvision
from training.diffaug import NUMBERS, augmented, draw_numbers, next_probability
from training.health import check, kid_value, look_at
from training.loop import learning_rate, train
from training.selection import squared_distances, typical_pictures
from training.tensorboard import Board
from training.world import World

SMALL = [
    "train.image_size_px=32",
    "train.load_size_px=36",
    "train.iterations=4",
    "train.batch_size=2",
    "train.generator.base_channels=2",
    "train.generator.residual_blocks=1",
    "train.discriminator.base_channels=2",
    "train.discriminator.global_layers=0",
    "train.discriminator.local_layers=4",
    "train.checkpoint_every_iter=2",
    "train.sample_every_iter=4",
    "train.sample_rows=2",
    "train.log_every_iter=2",
    "train.guard.pictures=2",
    "train.guard.min_contrast=0.0",
    "train.guard.min_diversity=0.0",
    "train.device=cpu",
]


def _params(**changes: Any) -> TrainParams:
    values = YAML(typ="safe").load(read_preset("demo"))["train"]
    return TrainParams(**values | changes)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dataset")
    rng = np.random.default_rng(1)
    for part, count in (("trainA", 5), ("trainB", 4), ("testA", 2), ("testB", 2)):
        for index in range(count):
            write_png(root / part / f"{index}.png", rng.integers(0, 256, (40, 40, 3), np.uint8))
    return root


@pytest.mark.parametrize(
    ("scores", "word"),
    [
        ({"kid_a2b": 0.1, "contrast_a2b": 0.01, "diversity_a2b": 0.9}, "a2b is blank"),
        ({"kid_b2a": 0.1, "contrast_b2a": 0.9, "diversity_b2a": 0.01}, "b2a is collapsed"),
        ({"contrast_a2b": float("nan")}, "a2b is blank"),
    ],
)
def test_a_generator_that_has_failed_is_named(scores: dict[str, float], word: str) -> None:
    with pytest.raises(CollapseError, match=word) as caught:
        check(scores, 7, min_contrast=0.1, min_diversity=0.1)
    assert caught.value.exit_code == 8
    assert "step 7" in caught.value.message


def test_a_healthy_generator_goes_on() -> None:
    check({"kid_a2b": -0.1, "contrast_a2b": 0.5, "diversity_a2b": 0.5}, 7, min_contrast=0.1,
          min_diversity=0.1)  # fmt: skip


def test_a_run_that_collapses_stops_and_keeps_its_last_good_checkpoint(
    dataset: Path, tmp_path: Path
) -> None:
    from anymus.params import load_params

    path = tmp_path / "params.yaml"
    path.write_text(read_preset("demo"), encoding="utf-8")
    overrides = [*SMALL, "train.guard.min_contrast=1.0", "train.guard.after_iter=3"]
    params = load_params(path, overrides).train
    folders = {"models_dir": tmp_path / "models", "results_dir": tmp_path / "results"}
    with pytest.raises(CollapseError, match=r"step 4: generator .* blank"):
        train(params, seed=1, dataset_dir=dataset, framing={}, log_path=None, **folders)
    assert len(list((tmp_path / "models" / "checkpoints").rglob("*.safetensors"))) == 1


def test_the_watch_measures_kid_as_the_evaluation_does(dataset: Path) -> None:
    a = look_at(sorted((dataset / "trainA").glob("*.png")), 32).features
    b = look_at(sorted((dataset / "trainB").glob("*.png")), 32).features
    load_torchvision()
    from torchmetrics.image.kid import poly_mmd

    reference = poly_mmd(torch.from_numpy(a[:4]), torch.from_numpy(b))
    assert kid_value(a[:4], b) == pytest.approx(float(reference), abs=1e-6)


def _photo(rng: np.random.Generator, count: int = 2) -> torch.Tensor:
    return torch.from_numpy(rng.uniform(-1, 1, (count, 3, 16, 16)).astype(np.float32))


@pytest.mark.parametrize("kind", ["colour", "translation", "cutout"])
def test_augmentation_changes_pictures_only_as_probability_says(
    kind: Any, rng: np.random.Generator
) -> None:
    x = _photo(rng)
    numbers = draw_numbers(1, 2, 2)[0, 0]
    assert numbers.shape == (2, NUMBERS)
    assert torch.allclose(augmented(x, numbers, torch.tensor(0.0), [kind]), x, atol=1e-6)
    changed = augmented(x, numbers, torch.tensor(1.0), [kind])
    assert not torch.equal(changed, x)
    assert torch.equal(changed, augmented(x, numbers, torch.tensor(1.0), [kind]))


def test_gradients_flow_back_through_augmentation(rng: np.random.Generator) -> None:
    x = _photo(rng).requires_grad_()
    kinds: list[Any] = ["colour", "translation", "cutout"]
    augmented(x, draw_numbers(1, 3, 2)[0, 0], torch.tensor(1.0), kinds).sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().sum()) > 0


def test_the_probability_follows_the_discriminators() -> None:
    assert next_probability(0.5, sign=0.9, target=0.6, pictures=500) == pytest.approx(0.51)
    assert next_probability(0.5, sign=0.1, target=0.6, pictures=500) == pytest.approx(0.49)
    assert next_probability(0.0, sign=-1.0, target=0.6, pictures=500) == 0.0


def test_selection_leaves_out_what_is_odd(tmp_path: Path, rng: np.random.Generator) -> None:
    def grey(level: float) -> NDArray[np.uint8]:
        return np.clip(rng.normal(level, 12, (40, 40, 3)), 0, 255).astype(np.uint8)

    paths = [tmp_path / f"{index}.png" for index in range(9)]
    for index, path in enumerate(paths):
        write_png(path, rng.integers(0, 256, (40, 40, 3), np.uint8) if index == 4 else grey(120))
    kept = typical_pictures(paths, 8 / 9)
    assert kept == [path for index, path in enumerate(paths) if index != 4]
    assert typical_pictures(paths, 1.0) == paths


def test_distances_are_mahalanobis(rng: np.random.Generator) -> None:
    x = rng.normal(size=(400, 3)) * (1, 2, 3)
    distances = squared_distances(x)
    assert distances.shape == (400,)
    assert float(distances.min()) >= 0
    assert int(np.argmax(squared_distances(np.vstack([x, [[9, 0, 0]]])))) == 400


def test_learning_rates_follow_their_schedule() -> None:
    def rates(shape: str, warm_up: int, hold: int | None) -> list[float]:
        schedule = {"shape": shape, "warm_up_pictures": warm_up, "hold_pictures": hold}
        params = _params(iterations=100, batch_size=2, micro_batches=1, lr=1.0, schedule=schedule)
        return [learning_rate(params, step) for step in (0, 1, 10, 50, 75, 99)]

    assert rates("constant", 0, None) == [1.0] * 6
    linear, cosine = rates("linear", 0, 100), rates("cosine", 0, 100)
    assert linear[:3] == cosine[:3] == [1.0] * 3
    assert linear[4] == pytest.approx(0.5, abs=0.02)
    assert cosine[5] < linear[5] < 0.1
    warmed = rates("constant", 40, None)
    assert warmed[0] < warmed[1] < warmed[2] < warmed[3] == 1.0


def test_a_batch_is_shared_equally() -> None:
    parts = [World(rank, 2).share(6) for rank in range(2)]
    assert [list(range(6))[part] for part in parts] == [[0, 1, 2], [3, 4, 5]]


def test_tensorboard_that_is_not_there_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(DeviceError, match="TensorBoard is not installed"):
        Board(tmp_path)


def _arguments(root: Path, dataset: Path, *more: str) -> list[str]:
    """Return the arguments of a small training in a folder, which has its parameters then."""
    root.mkdir(exist_ok=True)
    (root / "params.yaml").write_text(read_preset("demo"), encoding="utf-8")
    overrides = (*SMALL, f"paths.dataset={dataset}", *more)
    return ["train", *(word for override in overrides for word in ("-S", override))]


def test_a_time_limit_ends_a_run_well_and_the_next_goes_on(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(root: Path, *more: str) -> Result:
        arguments = _arguments(root, dataset, *more)
        monkeypatch.chdir(root)
        return CliRunner().invoke(build_app(), arguments)

    root, again, whole = (tmp_path / name for name in ("run", "again", "whole"))
    ended = run(root, "train.max_seconds=0.001").exception
    assert isinstance(ended, UnfinishedRunError)
    assert ended.exit_code == 9
    assert "train.max_seconds is over at step 1 of" in str(ended)
    assert (root / "models" / "generator_a2b.safetensors").is_file()
    assert list((root / "models" / "checkpoints").rglob("*.safetensors"))
    root.rename(again)
    for folder in (whole, again):
        assert run(folder).exit_code == 0
    first, second = (
        load_file(folder / "models" / "generator_a2b.safetensors") for folder in (whole, again)
    )
    assert all(torch.equal(first[key], second[key]) for key in first)


def _start(root: Path, dataset: Path, processes: int, *more: str) -> "subprocess.Popen[str]":
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command += ["-m", "anymus.cli", *_arguments(root, dataset, *more)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        text=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def _finish(process: "subprocess.Popen[str]") -> None:
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors


@pytest.mark.slow
def test_two_processes_train_what_one_does(dataset: Path, tmp_path: Path) -> None:
    for name, processes in (("one", 1), ("two", 2)):
        _finish(_start(tmp_path / name, dataset, processes))
    one, two = (
        load_file(tmp_path / name / "models" / "generator_a2b.safetensors")
        for name in ("one", "two")
    )
    assert one.keys() == two.keys()
    assert max(float((one[key] - two[key]).abs().max()) for key in one) < 2e-4


@pytest.mark.slow
@pytest.mark.parametrize("rank", [1, 0])
def test_a_killed_process_ends_the_others(rank: int, dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "killed"
    process = _start(root, dataset, 2, "train.iterations=100000", "train.guard.pictures=0")
    log = root / "models" / "speed.jsonl"
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not log.exists():
        time.sleep(0.3)
    children = _children(process.pid)
    os.kill(children[rank], 9)
    start = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - start < 10
    assert process.returncode != 0
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    lines = [line for line in errors.splitlines() if "error:" in line]
    assert lines == [f"error: process {1 - rank} of 2: another one has ended, or cannot be reached"]
    newest = max((root / "models" / "checkpoints").rglob("*.safetensors"))
    assert all(torch.isfinite(tensor).all() for tensor in load_file(newest).values())


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return sorted(int(word) for word in text.split())
