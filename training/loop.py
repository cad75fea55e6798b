"""Training: the loop and what it writes."""

import copy
import json
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anymus.errors import AnymusError, DatasetError, ImageError, InterruptedRunError
from anymus.files import atomic_folder, write_json
from anymus.images import read_rgb, write_png
from anymus.params_train import TrainParams
from anymus.progress import log
from anymus.torchlib import deterministic, pick_device

from .checkpoint import TrainingState, save_generator
from .curves import append_history, cut_history, read_history, write_curves
from .data import (
    Augmentation,
    Batch,
    UnpairedBatches,
    find_pictures,
    to_signed,
    to_square,
    training_data_sha256,
)
from .guard import StopRequest, only_run_in, stop_on_signal
from .networks import Generator, Networks, build_networks
from .run_folder import RunFolder, open_run_folder, resume, save
from .samples import sample_grid
from .step import LossWeights, make_optimizers, train_step


@dataclass(frozen=True)
class TrainReport:
    """What a training run did."""

    step: int
    resumed_from_step: int
    losses: dict[str, float]  # means since the row before the last
    generators: dict[str, Path]  # by direction
    results_dir: Path

    def as_metrics(self) -> dict[str, int | float]:
        """Return the figures by name."""
        steps = {"step": self.step, "resumed_from_step": self.resumed_from_step}
        return steps | self.losses


@dataclass(frozen=True)
class _Run:
    """What stays the same during a run."""

    params: TrainParams
    device: torch.device
    batches: UnpairedBatches
    samples: tuple[Tensor, Tensor]  # test pictures of A and B, (N, 3, H, W) in [-1, 1]
    folder: RunFolder


@dataclass
class _Clock:
    """The speed since the last status line."""

    log_path: Path | None
    step: int
    started_s: float = field(default_factory=time.monotonic)

    def lap(self, step: int) -> float:
        """Return the iterations per second since the last lap; also noted in the log file."""
        now_s = time.monotonic()
        speed = (step - self.step) / max(now_s - self.started_s, 1e-9)
        self.step, self.started_s = step, now_s
        if self.log_path is not None:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            with self.log_path.open("a") as file:
                row = {"step": step, "iterations_per_s": round(speed, 4)}
                file.write(json.dumps(row) + "\n")
        return speed


def train(  # noqa: PLR0913 - one object, the rest are paths by keyword
    params: TrainParams,
    *,
    seed: int,
    dataset_dir: Path,
    models_dir: Path,
    results_dir: Path,
    framing: Mapping[str, Any] | None = None,
    log_path: Path | None = None,
) -> TrainReport:
    """Train both generators and return what was done; goes on from the newest good checkpoint.

    Writes `models_dir/generator_a2b.safetensors` and `generator_b2a.safetensors` (running mean of
    the weights), `results_dir` (metrics.json, plots/, samples/) and, while it runs, the folder
    `models_dir/checkpoints/<run>/`, whose name follows from parameters, seed and data. On the CPU
    a run that was killed and went on ends with the same bits as one that was not.

    Args:
        params: the section `train`.
        seed: of the initial weights, and of order and augmentation of the pictures.
        dataset_dir: holds trainA and trainB, and for the sample grids testA and testB.
        models_dir: checkpoints and generators; one run at a time.
        results_dir: replaced as a whole when the run is done.
        framing: of the faces in the pictures; kept in the generators' cards for conversion.
        log_path: lines of speed (JSON) are added here; no result, since it differs in every run.

    Raises:
        DatasetError: no pictures, or one that cannot be read any more.
        CheckpointError: checkpoints exist and all are damaged.
        DeviceError: the device is not there.
        InterruptedRunError: a signal stopped it; the state is saved.
        AnymusError: a loss is not finite, the disk is full, or another run holds `models_dir`.
    """
    device = pick_device(params.device)
    run = _open_run(params, seed, dataset_dir, models_dir / "checkpoints", device)
    with only_run_in(models_dir), deterministic(device), stop_on_signal() as stop:
        state = _new_state(run, seed)
        resumed_from_step = resume(run.folder, state)
        try:
            _clear_after(run, state)
            _loop(run, state, stop, _Clock(log_path, state.step))
            generators = _export(run, state, models_dir, framing)
            losses = _publish(run, results_dir)
        except OSError as error:
            raise AnymusError(f"cannot write: {error}", "make room on the disk") from error
    return TrainReport(state.step, resumed_from_step, losses, generators, results_dir)


def learning_rate(params: TrainParams, step: int) -> float:
    """Return the rate of a step (from 1): constant for half the run, then linearly to 0."""
    half = params.iterations // 2
    left = (params.iterations - step) / (params.iterations - half)
    return params.lr * min(1.0, left)


def build_networks_of(params: TrainParams, *, seed: int) -> Networks:
    """Return freshly initialised networks of the shape that the parameters tell."""
    judge = params.discriminator
    shape = judge.model_dump(exclude={"global_layers", "local_layers"})
    layers = {"global": judge.global_layers, "local": judge.local_layers}
    return build_networks(
        {**params.generator.model_dump(), "image_size_px": params.image_size_px},
        {name: {**shape, "layers": count} for name, count in layers.items() if count},
        seed=seed,
    )


def _open_run(
    params: TrainParams, seed: int, dataset_dir: Path, checkpoints_dir: Path, device: torch.device
) -> _Run:
    augmentation = Augmentation(params.load_size_px, params.image_size_px, params.flip_probability)
    batches = UnpairedBatches(
        dataset_dir,
        augmentation,
        seed=seed,
        batch_size=params.batch_size,
        cache_bytes=params.cache_mib * 2**20,
    )
    log.info(
        "training on %s: %d pictures of A, %d of B, %d iterations of batch %d at %d px",
        device,
        *map(len, batches.paths),
        params.iterations,
        params.batch_size,
        params.image_size_px,
    )
    data_sha256 = training_data_sha256(dataset_dir)
    folder = open_run_folder(checkpoints_dir, params, seed=seed, data_sha256=data_sha256)
    samples = (
        _sample_pictures(dataset_dir, "A", params),
        _sample_pictures(dataset_dir, "B", params),
    )
    return _Run(params, device, batches, samples, folder)


def _sample_pictures(dataset_dir: Path, side: str, params: TrainParams) -> Tensor:
    """Return the first test pictures of a side, or training pictures where there are none."""
    folder = dataset_dir / f"test{side}"
    pictures = find_pictures(folder if folder.is_dir() else dataset_dir / f"train{side}")
    squares = [
        to_square(read_rgb(path), params.image_size_px) for path in pictures[: params.sample_rows]
    ]
    return torch.cat([to_signed(square[None]) for square in squares])


def _new_state(run: _Run, seed: int) -> TrainingState:
    params = run.params
    networks = build_networks_of(params, seed=seed)
    networks.to(run.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    networks.train()
    optimizers = make_optimizers(
        networks,
        lr=params.lr,
        betas=(params.beta1, params.beta2),
        weight_decay=params.weight_decay,
    )
    return TrainingState(
        networks,
        optimizers,
        ema_a2b=copy.deepcopy(networks.generator_a2b).eval().requires_grad_(False),
        ema_b2a=copy.deepcopy(networks.generator_b2a).eval().requires_grad_(False),
    )


def _clear_after(run: _Run, state: TrainingState) -> None:
    """Drop curves and grids of steps that will be done again."""
    run.folder.samples_dir.mkdir(parents=True, exist_ok=True)
    cut_history(run.folder.history_path, state.step)
    for path in run.folder.samples_dir.glob("step_*.png"):
        if int(path.stem.removeprefix("step_")) > state.step:
            path.unlink()


def _loop(run: _Run, state: TrainingState, stop: StopRequest, clock: _Clock) -> None:
    params = run.params
    if state.step == 0:
        _write_grid(run, state)
    while state.step < params.iterations:
        _one_iteration(run, state)
        is_last = state.step == params.iterations
        if state.step % params.log_every_iter == 0 or is_last:
            _write_row(run, state, clock)
        if state.step % params.sample_every_iter == 0 or is_last:
            _write_grid(run, state)
        is_due = state.step % params.checkpoint_every_iter == 0
        if is_due or is_last or stop.signal_name:
            save(run.folder, state, is_required=is_last or stop.signal_name is not None)
        if stop.signal_name and not is_last:
            raise InterruptedRunError(
                f"{stop.signal_name} at step {state.step} of {params.iterations}: state saved in"
                f" {run.folder.path}",
                "run the same command again: it goes on from there",
            )


def _one_iteration(run: _Run, state: TrainingState) -> None:
    """Do the next step: networks, running means and the sums of losses move on by one."""
    params, step = run.params, state.step + 1
    batch = _read_batch(run, state, step)
    state.optimizers.set_lr(learning_rate(params, step))
    losses = train_step(
        state.networks,
        state.optimizers,
        batch.real_a.to(run.device),
        batch.real_b.to(run.device),
        LossWeights(
            params.adv_weight, params.cycle_weight, params.identity_weight, params.cam_weight
        ),
        order=params.order,
    )
    values = dict(zip(losses, torch.stack(list(losses.values())).tolist(), strict=True))
    _check_finite(run, step, values, batch)
    decay = min(params.ema_decay, (1 + step) / (10 + step))
    _follow(state.ema_a2b, state.networks.generator_a2b, decay)
    _follow(state.ema_b2a, state.networks.generator_b2a, decay)
    for name, value in values.items():
        state.loss_sums[name] = state.loss_sums.get(name, 0.0) + value
    state.loss_count += 1
    state.step = step


def _read_batch(run: _Run, state: TrainingState, step: int) -> Batch:
    try:
        return run.batches.at(step)
    except ImageError as error:
        if state.step > 0:
            save(run.folder, state, is_required=True)
        raise DatasetError(
            f"step {step}: {error}",
            f"restore the file, then run again: it goes on from step {state.step}",
        ) from error


def _check_finite(run: _Run, step: int, values: Mapping[str, float], batch: Batch) -> None:
    bad = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
    if bad:
        saved = next((f"step {saved}" for saved, _ in run.folder.checkpoints()), "none yet")
        raise AnymusError(
            f"step {step}: {', '.join(bad)} (pictures {', '.join(batch.names)})",
            f"last good checkpoint: {saved}, in {run.folder.path}; lower train.lr or the weights",
        )


@torch.no_grad()
def _follow(mean: Generator, generator: Generator, decay: float) -> None:
    """Move the running mean of the weights towards the generator's, in place."""
    for target, source in zip(mean.parameters(), generator.parameters(), strict=True):
        target.lerp_(source, 1.0 - decay)


def _write_row(run: _Run, state: TrainingState, clock: _Clock) -> None:
    """Add the losses' means since the last row to the curves, and say how it goes."""
    params, step = run.params, state.step
    losses = {name: total / state.loss_count for name, total in state.loss_sums.items()}
    state.loss_sums, state.loss_count = {}, 0
    append_history(
        run.folder.history_path, {"step": step, "lr": learning_rate(params, step), **losses}
    )
    speed = clock.lap(step)
    log.info(
        "step %d/%d: %s; %.2f iterations/s, %.0f s left",
        step,
        params.iterations,
        ", ".join(f"{name} {value:.4g}" for name, value in losses.items()),
        speed,
        (params.iterations - step) / speed,
    )


def _write_grid(run: _Run, state: TrainingState) -> None:
    pictures_a, pictures_b = (pictures.to(run.device) for pictures in run.samples)
    grid = sample_grid(state.ema_a2b, state.ema_b2a, pictures_a, pictures_b)
    write_png(run.folder.samples_dir / f"step_{state.step:08d}.png", grid)


def _export(
    run: _Run, state: TrainingState, models_dir: Path, framing: Mapping[str, Any] | None
) -> dict[str, Path]:
    """Write both generators for conversion and return their paths by direction."""
    paths = {}
    for direction, generator in (("a2b", state.ema_a2b), ("b2a", state.ema_b2a)):
        card = {
            **run.folder.facts,
            "direction": direction,
            "framing": None if framing is None else dict(framing),
            "image_size_px": run.params.image_size_px,
            "step": state.step,
        }
        paths[direction] = models_dir / f"generator_{direction}.safetensors"
        save_generator(paths[direction], generator, card)
    return paths


def _publish(run: _Run, results_dir: Path) -> dict[str, float]:
    """Put curves, grids and figures in the place of `results_dir`; return the last losses."""
    rows = read_history(run.folder.history_path)
    last = rows[-1] if rows else {"step": 0.0}
    losses = {name: value for name, value in last.items() if name not in ("step", "lr")}
    counts = dict(zip(("pictures_a", "pictures_b"), map(len, run.batches.paths), strict=True))
    with atomic_folder(results_dir) as folder:
        write_json(folder / "metrics.json", {"step": last["step"], **counts, **losses})
        write_curves(folder, rows)
        shutil.copytree(run.folder.samples_dir, folder / "samples")
    return losses
