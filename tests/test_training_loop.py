import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from anymus.errors import (
    AnymusError,
    CheckpointError,
    DatasetError,
    DeviceError,
    InterruptedRunError,
)
from anymus.images import read_rgb, write_png
from anymus.params_train import TrainParams
from anymus.torchlib import deterministic
from training.checkpoint import load_checkpoint, load_generator, save_checkpoint
from training.data import Batch, find_pictures
from training.dry_run import dry_run
from training.guard import StopRequest, only_run_in, stop_on_signal
from training.loop import (
    TrainReport,
    _clear_after,
    _Clock,
    _loop,
    _new_state,
    _open_run,
    build_networks_of,
    learning_rate,
    train,
)
from training.run_folder import RunFolder, fits_schedule, open_run_folder, save

FullDisk = Callable[[], AbstractContextManager[None]]
TINY: dict[str, Any] = {
    "device": "cpu",
    "order": "fast",
    "precision": "fp32",
    "is_compiled": False,
    "has_cuda_graph": False,
    "is_checkpointing": False,
    "is_deterministic": True,
    "image_size_px": 32,
    "load_size_px": 36,
    "flip_probability": 0.5,
    "gamma_jitter": 0.3,
    "batch_size": 2,
    "micro_batches": 1,
    "iterations": 6,
    "max_seconds": None,
    "lr": 1e-3,
    "schedule": {"shape": "linear", "warm_up_pictures": 0, "hold_pictures": None},
    "beta1": 0.5,
    "beta2": 0.999,
    "weight_decay": 1e-4,
    "adv_weight": 1.0,
    "cycle_weight": 10.0,
    "identity_weight": 10.0,
    "cam_weight": 1000.0,
    "grey_share": 0.5,
    "shadow_stops": 2.0,
    "tone_weight": 1.0,
    "skin_weight": 1.0,
    "ema_decay": 0.9,
    "augment": {"kinds": ["colour", "cutout"], "probability": 0.5, "target_sign": 0.0},
    "select_share": 1.0,
    "start_from": None,
    "guard": {"pictures": 2, "min_contrast": 0.0, "min_diversity": 0.0, "after_iter": 0},
    "export": "last",
    "generator": {
        "base_channels": 2,
        "channel_multipliers": [2, 4],
        "residual_blocks": 1,
        "film": "pooled",
        "activation": "relu",
        "padding": "reflect",
        "has_cam_bias": False,
        "up_kernel_px": 3,
        "head_kernel_px": 7,
    },
    "discriminator": {
        "base_channels": 2,
        "global_layers": 0,
        "local_layers": 4,
        "dilations": [],
        "padding": "reflect",
        "has_cam_bias": False,
    },
    "log_every_iter": 4,
    "sample_every_iter": 3,
    "sample_rows": 2,
    "checkpoint_every_iter": 2,
    "keep_checkpoints": 2,
    "cache_mib": 16,
    "loader_workers": 2,
    "has_tensorboard": False,
}


def tiny(**changes: Any) -> TrainParams:
    return TrainParams(**TINY | changes)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with 5 photos and 3 drawings to train on, 2 of each to test on: noise."""
    root = tmp_path_factory.mktemp("dataset")
    rng = np.random.default_rng(1)
    for part, count in (("trainA", 5), ("trainB", 3), ("testA", 2), ("testB", 2)):
        for index in range(count):
            picture = rng.integers(0, 256, (40, 40, 3), np.uint8)
            write_png(root / part / f"{index}.png", picture)
    return root


def run_in(root: Path, dataset: Path, **changes: Any) -> TrainReport:
    return train(
        tiny(**changes),
        seed=5,
        dataset_dir=dataset,
        models_dir=root / "models",
        results_dir=root / "results",
        framing={"face_share": 0.5},
    )


def files_in(root: Path) -> dict[str, bytes]:
    """Return all files below a folder by their relative path, but the lock and speed log."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name not in (".train.lock", "speed.jsonl")
    }


def checkpoints_in(root: Path) -> list[Path]:
    return sorted((root / "models" / "checkpoints").glob("*/step_*.safetensors"))


@pytest.fixture(scope="module")
def whole(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an uninterrupted run."""
    root = tmp_path_factory.mktemp("whole")
    run_in(root, dataset)
    return root


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    logger = logging.getLogger("anymus")
    caplog.set_level(logging.INFO, logger="anymus")
    if not logger.propagate:
        logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_a_run_leaves_generators_curves_and_grids(whole: Path, dataset: Path) -> None:
    names = set(files_in(whole / "results"))
    losses = {"d_local_a", "d_local_b", "d_total", "d_real_sign", "lr", "augment_probability"}
    losses |= {"g_adversarial", "g_cycle", "g_identity", "g_cam", "g_tone", "g_skin", "g_total"}
    scores = {
        f"{figure}_{direction}"
        for figure in ("kid", "contrast", "diversity")
        for direction in ("a2b", "b2a")
    }
    assert names == {
        "metrics.json",
        "plots/losses.png",
        "plots/scores.png",
        *(f"plots/metrics/{figure}.tsv" for figure in losses | scores),
        "samples/strip.png",
        *(f"samples/step_{step:08d}.png" for step in (0, 3, 6)),
    }
    metrics = json.loads((whole / "results" / "metrics.json").read_text())
    assert metrics.keys() == {"step", "pictures_a", "pictures_b"} | losses - {"lr"} | scores
    assert (metrics["step"], metrics["pictures_a"], metrics["pictures_b"]) == (6, 5, 3)
    rows = (whole / "results/plots/metrics/g_total.tsv").read_text().splitlines()
    assert rows[0] == "step\tg_total"
    assert [row.split("\t")[0] for row in rows[1:]] == ["4", "6"]
    # Kept: the newest two, and the one half-way.
    assert [path.stem for path in checkpoints_in(whole)] == [
        "step_00000002",
        "step_00000004",
        "step_00000006",
    ]
    for direction in ("a2b", "b2a"):
        generator, card = load_generator(whole / "models" / f"generator_{direction}.safetensors")
        assert (card["direction"], card["step"], card["seed"]) == (direction, 6, 5)
        assert card["framing"] == {"face_share": 0.5}
        assert (
            card["parameters"]["generator"]["base_channels"] == generator.arguments["base_channels"]
        )
    text = b"".join(files_in(whole).values())
    for secret in (str(dataset), str(whole)):
        assert secret.encode() not in text


def test_grids_have_a_row_a_picture_and_six_columns(whole: Path) -> None:
    grid = read_rgb(whole / "results" / "samples" / "step_00000006.png")
    assert grid.shape == (22 + 4 * 132, 6 * 132 - 4, 3)
    start = read_rgb(whole / "results" / "samples" / "step_00000000.png")
    assert (grid[22:, :128] == start[22:, :128]).all(), "the input column changed"
    assert (grid[22:, 264:392] != start[22:, 264:392]).any(), "the translation did not change"


def test_a_second_run_elsewhere_gives_the_same_bytes(
    whole: Path, dataset: Path, tmp_path: Path
) -> None:
    run_in(tmp_path, dataset)
    assert files_in(tmp_path) == files_in(whole)


def test_a_finished_run_is_not_done_again(whole: Path, dataset: Path) -> None:
    before = files_in(whole)
    report = run_in(whole, dataset)
    assert (report.step, report.resumed_from_step) == (6, 6)
    assert files_in(whole) == before


PROGRAM = """
import json, sys
from pathlib import Path
import torch
from anymus.errors import AnymusError
from anymus.params_train import TrainParams
from training.loop import train
torch.set_num_threads(int(sys.argv[4]))
root = Path(sys.argv[2])
try:
    train(TrainParams(**json.loads(sys.argv[1])), seed=5, dataset_dir=Path(sys.argv[3]),
          models_dir=root / "models", results_dir=root / "results", framing={"face_share": 0.5})
except AnymusError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def signalled_run(root: Path, dataset: Path, number: int, step: int) -> int:
    """Train in a process of its own, send it a signal after a step; return its exit code."""
    # A grid after each step makes steps visible, and the run slow enough to be hit.
    settings = json.dumps(TINY | {"sample_every_iter": 1})
    arguments = [settings, str(root), str(dataset), str(torch.get_num_threads())]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    ) as process:
        deadline_s = time.monotonic() + 120
        while not list(root.glob(f"models/checkpoints/*/samples/step_{step:08d}.png")):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline_s
            time.sleep(0.002)
        process.send_signal(number)
        process.communicate(timeout=60)
        return process.returncode


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_killed_run_ends_with_the_bits_of_a_whole_one(
    whole: Path, dataset: Path, tmp_path: Path, step: int
) -> None:
    assert signalled_run(tmp_path, dataset, signal.SIGKILL, step) == -signal.SIGKILL
    assert not (tmp_path / "results").exists()
    report = run_in(tmp_path, dataset)
    assert report.resumed_from_step < 6
    assert_same_but_extra_grids(tmp_path, whole)


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(1200)  # six processes, one after another
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_run_ended_again_and_again_ends_with_the_same_bits(
    number: int, whole: Path, dataset: Path, tmp_path: Path
) -> None:
    for step in (0, 1, 3, 2, 4, 5):
        signalled_run(tmp_path, dataset, number, step)
    run_in(tmp_path, dataset)
    assert_same_but_extra_grids(tmp_path, whole)


def test_a_terminated_run_saves_its_state_and_goes_on(
    whole: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import loop

    draw, grids = loop.sample_grid, []

    def draw_and_be_asked_to_stop(*arguments: Any) -> Any:
        grids.append(draw(*arguments))
        if len(grids) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return grids[-1]

    with monkeypatch.context() as patched:
        patched.setattr(loop, "sample_grid", draw_and_be_asked_to_stop)
        with pytest.raises(InterruptedRunError, match="SIGTERM at step 2 of 6") as stopped:
            run_in(tmp_path, dataset, sample_every_iter=1)
    assert stopped.value.exit_code == 130
    assert checkpoints_in(tmp_path)[-1].stem == "step_00000002"
    assert run_in(tmp_path, dataset).resumed_from_step == 2
    assert_same_but_extra_grids(tmp_path, whole)


def assert_same_but_extra_grids(root: Path, whole: Path) -> None:
    ours, theirs = files_in(root), files_in(whole)
    assert {name for name in ours.keys() - theirs.keys() if "/samples/step_" not in name} == set()
    # Checkpoints say which grids were asked for; their tensors are compared by the generators.
    differing = {name for name, content in theirs.items() if ours[name] != content}
    differing -= {"results/samples/strip.png"}  # it shows the extra grids
    assert {name for name in differing if "/step_" not in name} == set()
    for name in differing:
        assert name.endswith(".safetensors")
        assert tensors_of(ours[name]) == tensors_of(theirs[name])


def tensors_of(content: bytes) -> bytes:
    """Return the part of a safetensors file after its header."""
    return content[8 + int.from_bytes(content[:8], "little") :]


def test_a_damaged_checkpoint_gives_a_warning_and_the_one_before_is_used(
    whole: Path, dataset: Path, tmp_path: Path, messages: pytest.LogCaptureFixture
) -> None:
    run_in(tmp_path, dataset)
    newest = checkpoints_in(tmp_path)[-1]
    content = bytearray(newest.read_bytes())
    content[-5] ^= 4
    newest.write_bytes(content)
    assert run_in(tmp_path, dataset).resumed_from_step == 4
    assert "step_00000006.safetensors: damaged" in messages.text
    assert files_in(tmp_path) == files_in(whole)


def test_damaged_checkpoints_alone_are_an_error(dataset: Path, tmp_path: Path) -> None:
    run_in(tmp_path, dataset, iterations=4)
    for path, content in zip(checkpoints_in(tmp_path), (b"", b"<html>"), strict=True):
        path.write_bytes(content)
    before = files_in(tmp_path)
    with pytest.raises(CheckpointError, match="all 2 checkpoints are damaged"):
        run_in(tmp_path, dataset, iterations=4)
    assert files_in(tmp_path) == before


def test_more_iterations_go_on_from_half_way(
    whole: Path, dataset: Path, tmp_path: Path, messages: pytest.LogCaptureFixture
) -> None:
    run_in(tmp_path, dataset, iterations=4)
    assert run_in(tmp_path, dataset).resumed_from_step == 2
    names = [name for name in files_in(whole) if "checkpoints" not in name]
    assert all(files_in(tmp_path)[name] == files_in(whole)[name] for name in names)
    for path in checkpoints_in(tmp_path)[:-1]:
        path.unlink()
    assert run_in(tmp_path, dataset, iterations=10).resumed_from_step == 0
    assert "falling half of a run over 6 iterations, not 10" in messages.text


def test_another_parameter_starts_afresh_and_the_first_run_is_kept(
    whole: Path, dataset: Path, tmp_path: Path, messages: pytest.LogCaptureFixture
) -> None:
    run_in(tmp_path, dataset)
    assert run_in(tmp_path, dataset, lr=2e-3, iterations=1).resumed_from_step == 0
    assert "differs in train.lr 0.001 -> 0.002" in messages.text
    assert run_in(tmp_path, dataset).resumed_from_step == 6
    name = "models/generator_a2b.safetensors"
    assert files_in(tmp_path)[name] == files_in(whole)[name]


def test_other_data_start_afresh(dataset: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for side in ("trainA", "trainB"):
        for path in find_pictures(dataset / side):
            write_png(data / side / path.name, read_rgb(path))
    run_in(tmp_path, data, iterations=2)
    assert run_in(tmp_path, data, iterations=2).resumed_from_step == 2
    write_png(data / "trainA" / "new.png", np.zeros((40, 40, 3), np.uint8))
    assert run_in(tmp_path, data, iterations=2).resumed_from_step == 0


def test_a_loss_that_is_not_finite_stops_the_run(dataset: Path, tmp_path: Path) -> None:
    run_in(tmp_path, dataset, iterations=4)
    good, newest = checkpoints_in(tmp_path)
    run = _open_run(tiny(), 5, dataset, tmp_path / "models" / "checkpoints", torch.device("cpu"))
    state = _new_state(run, 5)
    load_checkpoint(good, state)
    newest.unlink()
    with torch.no_grad():
        state.networks.generator_a2b.head.weight[0, 0, 0, 0] = float("nan")
    state.step = 3
    save_checkpoint(newest.with_stem("step_00000003"), state, run.folder.facts)
    before = {path.name: path.read_bytes() for path in checkpoints_in(tmp_path)}
    with pytest.raises(AnymusError, match=r"step 4: d_local_b is nan.*trainA/\d\.png") as caught:
        run_in(tmp_path, dataset)
    assert caught.value.exit_code == 1
    assert {path.name: path.read_bytes() for path in checkpoints_in(tmp_path)} == before
    assert "step_00000002.safetensors" in before


def test_weights_that_overflow_are_not_saved(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(AnymusError, match=r"step \d+: .* not finite|step \d+: .* is (nan|inf)"):
        run_in(tmp_path, dataset, lr=1.0, cycle_weight=1e6, beta2=0.0, iterations=400)
    for path in checkpoints_in(tmp_path):
        assert all(torch.isfinite(tensor).all() for tensor in load_file(path).values())


def _rotting_after(at: Callable[[int], Batch], path: Path, step: int) -> Callable[[int], Batch]:
    """Return `at`, but the file is damaged once the batch of a step was read."""

    def rotting(wanted: int) -> Batch:
        if wanted > step:
            path.write_bytes(b"\x89PNG\r\n\x1a\n rotten")
        return at(wanted)

    return rotting


def test_a_picture_that_rots_is_named_and_its_return_goes_on(
    whole: Path, dataset: Path, tmp_path: Path
) -> None:
    params, checkpoints = tiny(cache_mib=0, loader_workers=1), tmp_path / "models" / "checkpoints"
    run = _open_run(params, 5, dataset, checkpoints, torch.device("cpu"))
    seen_at = next(step for step in range(1, 7) if "trainB/1.png" in run.batches.at(step).names)
    again_at = next(
        step for step in range(seen_at + 1, 7) if "trainB/1.png" in run.batches.at(step).names
    )
    state = _new_state(run, 5)
    _clear_after(run, state)
    stop, clock = StopRequest(), _Clock(None, 0)
    rotten = dataset / "trainB" / "1.png"
    content = rotten.read_bytes()
    run.batches.at = _rotting_after(run.batches.at, rotten, seen_at)  # type: ignore[method-assign]
    try:
        with (
            deterministic(run.device),
            pytest.raises(DatasetError, match=rf"step {again_at}: .*trainB/1\.png"),
        ):
            _loop(run, state, stop, clock)
    finally:
        rotten.write_bytes(content)
    assert run_in(tmp_path, dataset).resumed_from_step == again_at - 1
    name = "models/generator_a2b.safetensors"
    weights = [tensors_of(files_in(root)[name]) for root in (tmp_path, whole)]
    assert weights[0] == weights[1]


def test_a_full_disk_is_borne_twice(
    dataset: Path, tmp_path: Path, messages: pytest.LogCaptureFixture, full_disk: FullDisk
) -> None:
    run = _open_run(tiny(), 5, dataset, tmp_path, torch.device("cpu"))
    state = _new_state(run, 5)
    save(run.folder, state, is_required=False)
    before = files_in(tmp_path)
    state.step = 2
    with full_disk():
        for _ in range(2):
            save(run.folder, state, is_required=False)
        with pytest.raises(AnymusError, match=r"no checkpoint of step 2.*File too large") as caught:
            save(run.folder, state, is_required=False)
    assert caught.value.exit_code == 1
    assert messages.text.count("training goes on") == 2
    assert files_in(tmp_path) == before


def test_two_runs_in_one_folder_are_refused(dataset: Path, tmp_path: Path) -> None:
    with (
        only_run_in(tmp_path / "models"),
        pytest.raises(AnymusError, match=rf"process {os.getpid()} on "),
    ):
        run_in(tmp_path, dataset, iterations=1)
    lock = tmp_path / "models" / ".train.lock"
    lock.write_text('{"pid": 1, "host": "elsewhere"}')  # what a killed run leaves
    assert run_in(tmp_path, dataset, iterations=1).step == 1
    assert lock.read_text() == ""


def test_the_second_signal_acts_at_once() -> None:
    with stop_on_signal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal_name == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_missing_pictures_are_an_error_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="trainA does not exist"):
        run_in(tmp_path, tmp_path / "nowhere")
    assert not checkpoints_in(tmp_path)
    assert not (tmp_path / "results").exists()


def test_where_nothing_compiles_no_run_is_begun(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_compiler(_: object) -> None:
        raise RuntimeError("InvalidCxxCompiler: none found\nand a long story")

    monkeypatch.setattr(torch, "compile", no_compiler)
    with pytest.raises(DeviceError, match=r"for cpu here \(InvalidCxxCompiler: none found\)"):
        run_in(tmp_path, dataset, is_compiled=True)
    with pytest.raises(DeviceError, match=r"torch\.compile does not work"):
        dry_run(tiny(is_compiled=True), seed=1, dataset_dir=dataset)
    assert not list(tmp_path.iterdir())


def test_the_rate_is_constant_then_falls_to_zero() -> None:
    params = tiny(iterations=10, lr=0.5)
    rates = [learning_rate(params, step) for step in range(1, 11)]
    assert rates == pytest.approx([0.5] * 5 + [0.4, 0.3, 0.2, 0.1, 0.0])


@pytest.mark.parametrize(
    ("step", "iterations", "saved_iterations", "fits"),
    [(8, 8, 8, True), (4, 100, 8, True), (5, 100, 8, False), (4, 6, 8, False), (3, 6, 8, True)],
)
def test_a_checkpoint_fits_while_both_schedules_agree(
    step: int, iterations: int, saved_iterations: int, *, fits: bool
) -> None:
    parameters = tiny(iterations=iterations, batch_size=1).model_dump()
    assert fits_schedule(step, parameters, saved_iterations) is fits
    rates = [
        [learning_rate(tiny(iterations=count), done) for done in range(1, step + 1)]
        for count in (iterations, saved_iterations)
    ]
    assert (rates[0] == rates[1]) is fits


def test_free_parameters_keep_the_run_and_others_do_not(tmp_path: Path) -> None:
    def folder(seed: int = 5, data: str = "d", **changes: Any) -> RunFolder:
        return open_run_folder(tmp_path, tiny(**changes), seed=seed, data_sha256=data)

    free = {"iterations": 9, "sample_every_iter": 1, "cache_mib": 0, "device": "auto"}
    assert folder(**free).path == folder().path
    deeper = TINY["generator"] | {"residual_blocks": 2}
    others = [folder(seed=6), folder(data="e"), folder(precision="bf16"), folder(generator=deeper)]
    assert len({folder().path, *(other.path for other in others)}) == 5


def test_networks_follow_the_parameters() -> None:
    one_judge = TINY["discriminator"] | {"global_layers": 0, "dilations": [2]}
    networks = build_networks_of(tiny(discriminator=one_judge), seed=1)
    assert sorted(networks.discriminators) == ["local_a", "local_b"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size_px": 34}, "no multiple of 4"),
        ({"load_size_px": 24}, "load_size_px 24 is below image_size_px 32"),
        ({"discriminator": TINY["discriminator"] | {"global_layers": 7}}, "global_layers 7"),
        ({"discriminator": TINY["discriminator"] | {"dilations": [8]}}, "local_layers 4"),
        ({"lr": "1e-4"}, "valid number"),
    ],
)
def test_parameters_that_cannot_work_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**changes)
