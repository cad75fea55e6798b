"""Training: the loop and what it writes."""

import copy
import json
import math
import resource
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anymus.errors import (
    AnymusError,
    DatasetError,
    ImageError,
    InterruptedRunError,
    UnfinishedRunError,
)
from anymus.files import atomic_folder, write_json
from anymus.images import read_rgb, write_png
from anymus.params_train import TrainParams
from anymus.progress import log
from anymus.torchlib import check_device, deterministic, pick_device

from .checkpoint import TrainingState, load_checkpoint, save_generator
from .curves import append_history, cut_history, read_history, write_curves, write_scores
from .data import (
    Augmentation,
    Batch,
    UnpairedBatches,
    find_pictures,
    to_signed,
    to_square,
    training_data_sha256,
)
from .diffaug import next_probability
from .guard import StopRequest, only_run_in, stop_on_signal
from .health import HeldOut, check, look_at, score
from .loader import BatchLoader
from .memory import keep_freed_memory
from .networks import Generator, Networks, build_networks
from .pair import Domain, direction_of, weights_name
from .run_folder import RunFolder, held_iterations, open_run_folder, resume, save
from .samples import sample_grid, write_strips
from .selection import typical_pictures
from .start import Start, open_start
from .stepper import Stepper, has_graph, make_optimizers_of
from .tensorboard import Board, open_board
from .world import World, join_world


@dataclass(frozen=True)
class TrainReport:
    """What a training run did."""

    step: int
    iterations: int
    resumed_from_step: int
    losses: dict[str, float]  # means since the row before the last
    generators: dict[str, Path]  # by direction
    results_dir: Path

    @property
    def is_finished(self) -> bool:
        """Return whether all iterations are done; if not, the same command goes on."""
        return self.step == self.iterations

    def require_finished(self) -> None:
        """Do nothing when all iterations are done.

        Raises:
            UnfinishedRunError: `max_seconds` ended the run before.
        """
        if not self.is_finished:
            raise UnfinishedRunError(
                f"train.max_seconds is over at step {self.step} of {self.iterations}: state saved",
                "run the same command again: it goes on from there",
            )

    def as_metrics(self) -> dict[str, int | float]:
        """Return the figures by name."""
        steps = {"step": self.step, "resumed_from_step": self.resumed_from_step}
        return steps | self.losses


@dataclass(frozen=True)
class _Run:
    """What stays the same during a run."""

    params: TrainParams
    device: torch.device
    world: World
    batches: UnpairedBatches
    samples: tuple[Tensor, Tensor]  # test pictures of A and B, (N, 3, H, W) in [-1, 1]
    held_out: Mapping[str, HeldOut]  # by domain, a and b; empty: nothing is scored
    folder: RunFolder
    start: Start | None = None
    board: Board | None = None


@dataclass
class _Clock:
    """The speed since the last status line, and the time that is left to this stretch."""

    log_path: Path | None
    step: int
    max_seconds: float | None = None
    opened_s: float = field(default_factory=time.monotonic)
    started_s: float = field(default_factory=time.monotonic)
    waited_s: float = 0.0

    @property
    def is_over(self) -> bool:
        """Return whether the stretch has had its time."""
        return self.max_seconds is not None and time.monotonic() - self.opened_s > self.max_seconds

    def lap(self, step: int, waited_s: float, device: torch.device) -> dict[str, float]:
        """Return the figures of speed since the last lap; also noted in the log file.

        Args:
            step: that is done.
            waited_s: seconds that batches were waited for, since the start.
            device: whose memory is looked at.
        """
        now_s = time.monotonic()
        passed_s = max(now_s - self.started_s, 1e-9)
        row = {
            "step": step,
            "iterations_per_s": round((step - self.step) / passed_s, 4),
            "data_wait_share": round((waited_s - self.waited_s) / passed_s, 4),
            "peak_memory_mib": round(peak_memory_mib(device)),
            "elapsed_s": round(now_s - self.opened_s, 2),
        }
        self.step, self.started_s, self.waited_s = step, now_s, waited_s
        if self.log_path is not None:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            with self.log_path.open("a") as file:
                file.write(json.dumps(row) + "\n")
        return row


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

    Under torchrun the processes share each batch; process 0 writes.

    Args:
        params: the section `train`.
        seed: of the initial weights, and of order and augmentation of the pictures.
        dataset_dir: holds trainA and trainB, and for the sample grids testA and testB.
        models_dir: checkpoints and generators; one run at a time.
        results_dir: replaced as a whole when the run is done, or stopped by `max_seconds`.
        framing: of the faces in the pictures; kept in the generators' cards for conversion.
        log_path: lines of speed (JSON) are added here; no result, since it differs in every run.

    Raises:
        DatasetError: no pictures, or one that cannot be read any more.
        CheckpointError: checkpoints exist and all are damaged.
        CollapseError: a generator makes blank pictures, or all alike.
        DeviceError: the device, its compiler or TensorBoard is not there.
        InterruptedRunError: a signal stopped it; the state is saved.
        AnymusError: a loss is not finite, the disk is full, or another run holds `models_dir`.
    """
    clock = _Clock(log_path, 0, params.max_seconds)
    with join_world(pick_device(params.device)) as (world, device), ExitStack() as stack:
        is_half = params.precision == "bf16"
        check_device(device, is_compiled=params.is_compiled, is_half=is_half)
        run = _open_run(params, seed, dataset_dir, models_dir / "checkpoints", device, world)
        if world.is_writer:
            stack.enter_context(only_run_in(models_dir))
        stack.enter_context(deterministic(device, is_on=params.is_deterministic))
        stop = stack.enter_context(stop_on_signal())
        if device.type == "cpu":
            keep_freed_memory()
        state = _new_state(run, seed)
        resumed_from_step = resume(run.folder, state)
        clock.step = state.step
        try:
            if world.is_writer:
                _clear_after(run, state)
            _loop(run, state, stop, clock)
            if not world.is_writer:
                return TrainReport(
                    state.step, params.iterations, resumed_from_step, {}, {}, results_dir
                )
            generators = _export(run, state, models_dir, framing)
            losses = _publish(run, results_dir)
        except OSError as error:
            raise AnymusError(f"cannot write: {error}", "make room on the disk") from error
    return TrainReport(
        state.step, params.iterations, resumed_from_step, losses, generators, results_dir
    )


def learning_rate(params: TrainParams, step: int) -> float:
    """Return the rate of a step (from 1): it rises, is held, then falls to 0 at the last step."""
    schedule = params.schedule
    warm_up = schedule.warm_up_pictures / params.batch_size
    rising = min(1.0, step / warm_up) if warm_up >= 1 else 1.0
    held = held_iterations(params.model_dump())
    if schedule.shape == "constant" or step <= held:
        return params.lr * rising
    left = (params.iterations - step) / (params.iterations - held)
    falling = left if schedule.shape == "linear" else 0.5 - 0.5 * math.cos(math.pi * left)
    return params.lr * rising * falling


def shapes_of(params: TrainParams) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return what the parameters tell of generators, and of discriminators by their name."""
    judge = params.discriminator
    shape = judge.model_dump(exclude={"global_layers", "local_layers"})
    layers = {"global": judge.global_layers, "local": judge.local_layers}
    return (
        {**params.generator.model_dump(), "image_size_px": params.image_size_px},
        {name: {**shape, "layers": count} for name, count in layers.items() if count},
    )


def build_networks_of(params: TrainParams, *, seed: int) -> Networks:
    """Return freshly initialised networks of the shape that the parameters tell."""
    return build_networks(*shapes_of(params), seed=seed)


def _open_run(
    params: TrainParams,
    seed: int,
    dataset_dir: Path,
    checkpoints_dir: Path,
    device: torch.device,
    world: World | None = None,
) -> _Run:
    world = world or World()
    batches = UnpairedBatches(
        dataset_dir,
        Augmentation(
            params.load_size_px,
            params.image_size_px,
            params.flip_probability,
            params.gamma_jitter,
            params.grey_share,
            params.shadow_stops,
        ),
        seed=seed,
        batch_size=params.batch_size,
        cache_bytes=params.cache_mib * 2**20,
        share=world.share(params.batch_size),
    )
    start = open_start(params.start_from)
    folder = open_run_folder(
        checkpoints_dir,
        params,
        seed=seed,
        data_sha256=training_data_sha256(dataset_dir),
        start_sha256=start.sha256 if start else None,
    )
    batches.paths = _selected(batches.paths, params.select_share, dataset_dir, folder, world)
    if params.skin_weight > 0:
        batches.match_skin()
    log.info(
        "training on %s: %d pictures of A, %d of B, %d iterations of batch %d at %d px",
        device,
        *map(len, batches.paths),
        params.iterations,
        params.batch_size,
        params.image_size_px,
    )
    tests = {side: _test_pictures(dataset_dir, side) for side in ("A", "B")}
    samples = [_as_samples(paths, params) for paths in tests.values()]
    held_out = {}
    if params.guard.pictures and world.is_writer and min(map(len, tests.values())) > 1:
        for side, paths in tests.items():
            chosen = paths[: params.guard.pictures]
            held_out[side.lower()] = look_at(chosen, params.image_size_px)
    board = open_board(folder.path) if params.has_tensorboard and world.is_writer else None
    return _Run(
        params, device, world, batches, (samples[0], samples[1]), held_out, folder, start, board
    )


def _selected(
    paths: list[Sequence[Path]], share: float, dataset_dir: Path, folder: RunFolder, world: World
) -> list[Sequence[Path]]:
    """Return the typical pictures of each side; once chosen, their names are kept in the folder."""
    if share >= 1:
        return paths
    kept = folder.selection_path
    if world.is_writer and not kept.is_file():
        chosen = [typical_pictures(side, share) for side in paths]
        names = [[path.relative_to(dataset_dir).as_posix() for path in side] for side in chosen]
        write_json(kept, dict(zip("AB", names, strict=True)))
    world.wait()
    named = json.loads(kept.read_text())
    return [[dataset_dir / name for name in named[side]] for side in "AB"]


def _test_pictures(dataset_dir: Path, side: str) -> list[Path]:
    """Return the test pictures of a side, or training pictures where there are none."""
    folder = dataset_dir / f"test{side}"
    return find_pictures(folder if folder.is_dir() else dataset_dir / f"train{side}")


def _as_samples(pictures: Sequence[Path], params: TrainParams) -> Tensor:
    squares = [
        to_square(read_rgb(path), params.image_size_px) for path in pictures[: params.sample_rows]
    ]
    return torch.cat([to_signed(square[None]) for square in squares])


def _new_state(run: _Run, seed: int) -> TrainingState:
    return new_state(run.params, run.device, run.world, seed=seed, start=run.start)


def new_state(
    params: TrainParams,
    device: torch.device,
    world: World,
    *,
    seed: int,
    start: Start | None = None,
) -> TrainingState:
    """Return the state of a training that has not begun, on the device."""
    networks = build_networks_of(params, seed=seed)
    if start is not None:
        start.put_into(networks)
    networks.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    networks.train()
    is_capturable = has_graph(params, device, world)
    optimizers = make_optimizers_of(params, networks, is_capturable=is_capturable)
    return TrainingState(
        networks,
        optimizers,
        ema_a2b=copy.deepcopy(networks.generator_a2b).eval().requires_grad_(False),
        ema_b2a=copy.deepcopy(networks.generator_b2a).eval().requires_grad_(False),
        augment_probability=params.augment.probability,
    )


def _clear_after(run: _Run, state: TrainingState) -> None:
    """Drop curves and grids of steps that will be done again."""
    run.folder.samples_dir.mkdir(parents=True, exist_ok=True)
    cut_history(run.folder.history_path, state.step)
    cut_history(run.folder.scores_path, state.step)
    for path in run.folder.samples_dir.glob("step_*.png"):
        if int(path.stem.removeprefix("step_")) > state.step:
            path.unlink()


def _loop(run: _Run, state: TrainingState, stop: StopRequest, clock: _Clock) -> None:
    params, is_writer = run.params, run.world.is_writer
    stepper = Stepper(params, state, run.device, run.world)
    loader = BatchLoader(run.batches, last_step=params.iterations, workers=params.loader_workers)
    if state.step == 0 and is_writer:
        _write_grid(run, state)
    with loader:
        while state.step < params.iterations:
            why_stop = _one_iteration(run, state, stepper, loader, _Ends(stop, clock))
            is_last = state.step == params.iterations
            if is_writer:
                _write_what_is_due(run, state, clock, loader)
                _save_if_due(run, state, is_stopping=bool(why_stop), is_last=is_last)
            if why_stop and not is_last:
                run.world.wait()
                _end_early(run, state, stop)
                return


@dataclass(frozen=True)
class _Ends:
    """What may end a stretch before the last iteration."""

    stop: StopRequest
    clock: _Clock

    @property
    def is_due(self) -> bool:
        """Return whether this process has a reason to stop now."""
        return self.stop.signal_name is not None or self.clock.is_over


def _one_iteration(
    run: _Run, state: TrainingState, stepper: Stepper, loader: BatchLoader, ends: _Ends
) -> bool:
    """Do the next step: networks, running means and the sums of losses move on by one.

    Returns:
        Whether to stop after it: all processes agree, since they share the answer with the losses.
    """
    params, step = run.params, state.step + 1
    batch = _read_batch(run, state, loader, step)
    state.optimizers.set_lr(learning_rate(params, step))
    losses = stepper(batch, state.augment_probability)
    *means, stopping = run.world.mean(
        torch.cat([losses, losses.new_tensor([float(ends.is_due)])])
    ).tolist()
    values = dict(zip(stepper.names, means, strict=True))
    _check_finite(run, step, values, batch)
    decay = min(params.ema_decay, (1 + step) / (10 + step))
    state.ema_a2b.follow(state.networks.generator_a2b, decay)
    state.ema_b2a.follow(state.networks.generator_b2a, decay)
    if params.augment.kinds and params.augment.target_sign is not None:
        values["augment_probability"] = state.augment_probability
        state.augment_probability = next_probability(
            state.augment_probability,
            values["d_real_sign"],
            params.augment.target_sign,
            params.batch_size,
        )
    for name, value in values.items():
        state.loss_sums[name] = state.loss_sums.get(name, 0.0) + value
    state.loss_count += 1
    state.step = step
    return bool(stopping > 0)


def _write_what_is_due(run: _Run, state: TrainingState, clock: _Clock, loader: BatchLoader) -> None:
    params = run.params
    is_last = state.step == params.iterations
    if state.step % params.log_every_iter == 0 or is_last:
        _write_row(run, state, clock, loader.waited_s)
    if state.step % params.sample_every_iter == 0 or is_last:
        _write_grid(run, state)


def _save_if_due(run: _Run, state: TrainingState, *, is_stopping: bool, is_last: bool) -> None:
    is_regular = state.step % run.params.checkpoint_every_iter == 0 or is_last
    if is_regular and run.held_out:
        _score(run, state)
    if is_regular or is_stopping:
        save(run.folder, state, is_required=is_last or is_stopping)


def _score(run: _Run, state: TrainingState) -> None:
    """Look at held-out pictures: remember the best step, stop a run that has failed."""
    guard = run.params.guard
    generators = {"a2b": state.ema_a2b, "b2a": state.ema_b2a}
    scores = score(generators, run.held_out, run.device)
    append_history(run.folder.scores_path, {"step": state.step, **scores})
    log.info(
        "step %d on held-out pictures: %s",
        state.step,
        ", ".join(f"{name} {value:.4g}" for name, value in scores.items()),
    )
    if run.board:
        run.board.write(state.step, scores)
    if state.step >= guard.after_iter:
        check(
            scores,
            state.step,
            min_contrast=guard.min_contrast,
            min_diversity=guard.min_diversity,
        )
    kid = (scores["kid_a2b"] + scores["kid_b2a"]) / 2
    if state.best_kid is None or kid < state.best_kid:
        state.best_step, state.best_kid = state.step, kid


def _end_early(run: _Run, state: TrainingState, stop: StopRequest) -> None:
    """Make an error of a stretch that a signal ended; of one that its time limit ended, do not."""
    if stop.signal_name:
        raise InterruptedRunError(
            f"{stop.signal_name} at step {state.step} of {run.params.iterations}: state saved in"
            f" {run.folder.path}",
            "run the same command again: it goes on from there",
        )


def _read_batch(run: _Run, state: TrainingState, loader: BatchLoader, step: int) -> Batch:
    try:
        return loader.at(step)
    except ImageError as error:
        if state.step > 0 and run.world.is_writer:
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


def _write_row(run: _Run, state: TrainingState, clock: _Clock, waited_s: float) -> None:
    """Add the losses' means since the last row to the curves, and say how it goes."""
    params, step = run.params, state.step
    losses = {name: total / state.loss_count for name, total in state.loss_sums.items()}
    state.loss_sums, state.loss_count = {}, 0
    row = {"step": step, "lr": learning_rate(params, step), **losses}
    append_history(run.folder.history_path, row)
    speed = clock.lap(step, waited_s, run.device)
    if run.board:
        run.board.write(step, row | speed)
    log.info(
        "step %d/%d: %s; %.2f iterations/s, %.1f %% of it waiting for data, %.0f MiB, %.0f s left",
        step,
        params.iterations,
        ", ".join(f"{name} {value:.4g}" for name, value in losses.items()),
        speed["iterations_per_s"],
        100 * speed["data_wait_share"],
        speed["peak_memory_mib"],
        (params.iterations - step) / max(speed["iterations_per_s"], 1e-9),
    )


def peak_memory_mib(device: torch.device) -> float:
    """Return the most memory used so far: allocated on a CUDA device, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _write_grid(run: _Run, state: TrainingState) -> None:
    pictures_a, pictures_b = (pictures.to(run.device) for pictures in run.samples)
    grid = sample_grid(state.ema_a2b, state.ema_b2a, pictures_a, pictures_b)
    write_png(run.folder.samples_dir / f"step_{state.step:08d}.png", grid)
    if run.board:
        run.board.show(state.step, grid)


def _export(
    run: _Run, state: TrainingState, models_dir: Path, framing: Mapping[str, Any] | None
) -> dict[str, Path]:
    """Write both generators for conversion and return their paths by direction."""
    paths = {}
    if run.params.export == "best" and state.best_step not in (0, state.step):
        load_checkpoint(run.folder.checkpoint_path(state.best_step), state)
    means: tuple[tuple[Domain, Generator], ...] = (("a", state.ema_a2b), ("b", state.ema_b2a))
    for source, generator in means:
        direction = direction_of(source)
        card = {
            **run.folder.facts,
            "direction": direction,
            "framing": None if framing is None else dict(framing),
            "image_size_px": run.params.image_size_px,
            "step": state.step,
        }
        paths[direction] = models_dir / weights_name(source)
        save_generator(paths[direction], generator, card)
    return paths


def _publish(run: _Run, results_dir: Path) -> dict[str, float]:
    """Put curves, grids and figures in the place of `results_dir`; return the last losses."""
    rows = read_history(run.folder.history_path)
    last = rows[-1] if rows else {"step": 0.0}
    losses = {name: value for name, value in last.items() if name not in ("step", "lr")}
    counts = dict(zip(("pictures_a", "pictures_b"), map(len, run.batches.paths), strict=True))
    scores = read_history(run.folder.scores_path)
    figures = {"step": last["step"], **counts, **losses}
    if scores:
        figures |= {name: value for name, value in scores[-1].items() if name != "step"}
    with atomic_folder(results_dir) as folder:
        write_json(folder / "metrics.json", figures)
        write_curves(folder, rows)
        write_scores(folder, scores)
        write_strips(folder / "samples", run.folder.samples_dir)
        shutil.copytree(run.folder.samples_dir, folder / "samples", dirs_exist_ok=True)
    return losses
