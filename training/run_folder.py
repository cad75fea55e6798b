"""The folder of one training run: its name, its checkpoints, and where to go on."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anymus.errors import AnymusError, CheckpointError
from anymus.params_train import TrainParams
from anymus.progress import log

from .checkpoint import TrainingState, find_not_finite, load_checkpoint, save_checkpoint
from .weights_file import read_facts

# What may change without making it another run: where to compute, how long, what to write. How
# `iterations` binds a checkpoint is told at `fits_schedule`.
FREE_PARAMETERS = frozenset(
    {
        "device",
        "is_compiled",
        "has_cuda_graph",
        "is_deterministic",
        "guard",
        "iterations",
        "log_every_iter",
        "sample_every_iter",
        "sample_rows",
        "checkpoint_every_iter",
        "keep_checkpoints",
        "cache_mib",
        "loader_workers",
        "max_seconds",
        "is_checkpointing",
        "has_tensorboard",
        "export",
    }
)
MAX_FAILED_SAVES = 3


@dataclass
class RunFolder:
    """A run's folder below the checkpoints folder, named after what determines its weights.

    Another seed, other data or another parameter is another run with a folder of its own, so that
    nothing is lost by trying something and going back.
    """

    path: Path
    facts: dict[str, Any]  # parameters, seed, data_sha256, start_sha256
    failed_saves: int = field(default=0)

    @property
    def history_path(self) -> Path:
        """Return where the rows of the loss curves are kept."""
        return self.path / "history.jsonl"

    @property
    def scores_path(self) -> Path:
        """Return where the rows of scores on held-out pictures are kept."""
        return self.path / "scores.jsonl"

    @property
    def selection_path(self) -> Path:
        """Return where the names of the selected pictures are kept."""
        return self.path / "selection.json"

    @property
    def samples_dir(self) -> Path:
        """Return where the sample grids are kept."""
        return self.path / "samples"

    def checkpoint_path(self, step: int) -> Path:
        """Return where the checkpoint of a step lies."""
        return self.path / f"step_{step:08d}.safetensors"

    def checkpoints(self) -> Iterator[tuple[int, Path]]:
        """Yield (step, path) of every checkpoint there, the newest first."""
        for path in sorted(self.path.glob("step_*.safetensors"), reverse=True):
            yield int(path.stem.removeprefix("step_")), path


def open_run_folder(
    checkpoints_dir: Path,
    params: TrainParams,
    *,
    seed: int,
    data_sha256: str,
    start_sha256: str | None = None,
) -> RunFolder:
    """Return the folder of the run with these parameters, seed, data and first weights."""
    facts = {
        "parameters": params.model_dump(mode="json"),
        "seed": seed,
        "data_sha256": data_sha256,
        "start_sha256": start_sha256,
    }
    text = json.dumps(_binding(facts), sort_keys=True)
    return RunFolder(checkpoints_dir / hashlib.sha256(text.encode()).hexdigest()[:12], facts)


def fits_schedule(step: int, parameters: Mapping[str, Any], saved_iterations: int) -> bool:
    """Return whether a checkpoint of a run over `saved_iterations` belongs to one of these.

    While the rate is held a run's length has no effect. After that the rate falls towards the end,
    so that only the same length leads to the same weights.
    """
    if parameters["iterations"] == saved_iterations:
        return True
    return step <= min(held_iterations(parameters), held_iterations(parameters, saved_iterations))


def resume(folder: RunFolder, state: TrainingState) -> int:
    """Load the newest good checkpoint that fits into the state; return its step, 0 if none.

    A damaged checkpoint gives a warning and the one before it is tried.

    Raises:
        CheckpointError: checkpoints are there and all are damaged.
    """
    iterations = folder.facts["parameters"]["iterations"]
    found, damaged, lengths = 0, 0, set()
    for step, path in folder.checkpoints():
        found += 1
        try:
            saved = int(read_facts(path)["parameters"]["iterations"])
            if not fits_schedule(step, folder.facts["parameters"], saved):
                lengths.add(saved)
                continue
            load_checkpoint(path, state)
        except CheckpointError as error:
            damaged += 1
            log.warning("%s; trying the one before it", error)
            continue
        log.info("going on from step %d (%s)", state.step, path)
        return state.step
    if found and found == damaged:
        raise CheckpointError(
            f"{folder.path}: all {found} checkpoints are damaged",
            f"restore one, or delete {folder.path} to start from the beginning",
        )
    if lengths:
        log.info(
            "starting from the beginning: the checkpoints in %s are from the falling half of a run"
            " over %s iterations, not %d",
            folder.path,
            " or ".join(map(str, sorted(lengths))),
            iterations,
        )
    else:
        _explain_fresh_start(folder)
    return 0


def save(folder: RunFolder, state: TrainingState, *, is_required: bool) -> None:
    """Write a checkpoint and drop those that it makes superfluous.

    A save that fails (a full disk) gives a warning and leaves the older checkpoints; the third in
    a row, or a required one, is an error.

    Raises:
        AnymusError: a weight is not finite, or the checkpoint cannot be written.
    """
    name = find_not_finite(state)
    if name is not None:
        raise AnymusError(
            f"step {state.step}: {name} is not finite",
            f"the checkpoints in {folder.path} are from before; lower train.lr",
        )
    path = folder.checkpoint_path(state.step)
    try:
        save_checkpoint(path, state, folder.facts)
    except OSError as error:
        folder.failed_saves += 1
        if is_required or folder.failed_saves >= MAX_FAILED_SAVES:
            raise AnymusError(
                f"no checkpoint of step {state.step}: {error}",
                "make room on the disk, then run again: it goes on from the last checkpoint",
            ) from error
        log.warning("no checkpoint of step %d, training goes on: %s", state.step, error)
        return
    folder.failed_saves = 0
    _drop_superfluous(folder, state)


def _drop_superfluous(folder: RunFolder, state: TrainingState) -> None:
    """Delete older checkpoints but the newest few, the best, and the last before the rate falls.

    Those that an interruption left between two regular ones go first, so that the folder of an
    interrupted run ends like that of another.
    """
    parameters = folder.facts["parameters"]
    every, held = parameters["checkpoint_every_iter"], held_iterations(parameters)
    older = [(step, path) for step, path in folder.checkpoints() if step <= state.step]
    regular = [step for step, _ in older if step % every == 0 or step == state.step]
    kept = {*regular[: parameters["keep_checkpoints"]], state.best_step}
    kept |= set([step for step in regular if step <= held][:1])
    for step, path in older:
        if step not in kept:
            path.unlink()


def held_iterations(parameters: Mapping[str, Any], iterations: int | None = None) -> int:
    """Return the iterations before the length of a run has an effect on its learning rate.

    Args:
        parameters: the section `train`, as plain values.
        iterations: of the run; None: those of the parameters.
    """
    iterations = iterations or parameters["iterations"]
    schedule = parameters["schedule"]
    if schedule["shape"] == "constant":
        return iterations
    if schedule["hold_pictures"] is None:
        return int(iterations // 2)
    return min(iterations, int(schedule["hold_pictures"] // parameters["batch_size"]))


def _binding(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that determine the weights, flat: `generator.base_channels` and so on."""
    names = ("seed", "data_sha256", "start_sha256")
    flat = {name: facts[name] for name in names}
    for name, value in facts["parameters"].items():
        if name in FREE_PARAMETERS:
            continue
        if isinstance(value, dict):
            flat |= {f"train.{name}.{key}": inner for key, inner in value.items()}
        else:
            flat[f"train.{name}"] = value
    return flat


def _explain_fresh_start(folder: RunFolder) -> None:
    """Log what differs from the run here that differs least, if there is any."""
    wanted = _binding(folder.facts)
    closest: list[str] | None = None
    closest_name = ""
    for path in sorted(folder.path.parent.glob("*/step_*.safetensors")):
        try:
            other = _binding(read_facts(path))
        except (CheckpointError, KeyError):
            continue
        changes = [
            f"{name} {other.get(name)} -> {value}"
            for name, value in wanted.items()
            if other.get(name) != value
        ]
        if closest is None or len(changes) < len(closest):
            closest, closest_name = changes, path.parent.name
    if closest:
        log.info(
            "starting from the beginning; the run %s differs in %s",
            closest_name,
            ", ".join(closest),
        )
