"""Weights on disk: checkpoints to go on from, and generators to translate with.

Both are safetensors files with one JSON in their metadata, which holds a SHA-256 over itself and
all tensors: a flipped bit anywhere is found. Both are written whole or not at all.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from anymus.errors import CheckpointError

from .networks import Generator, Networks
from .step import Optimizers
from .weights_file import (
    GENERATOR_KIND,
    NETWORKS_KIND,
    TRAINING_KIND,
    Facts,
    read_arrays,
    write_arrays,
)

_FIGURES = (
    "step",
    "loss_sums",
    "loss_count",
    "augment_probability",
    "best_step",
    "best_kid",
)


@dataclass
class TrainingState:
    """All that a training run has to remember."""

    networks: Networks
    optimizers: Optimizers
    ema_a2b: Generator
    ema_b2a: Generator
    step: int = 0
    loss_sums: dict[str, float] = field(default_factory=dict)  # since the last row of the curves
    loss_count: int = 0
    augment_probability: float = 0.0
    best_step: int = 0  # of the lowest KID on held-out pictures; 0: none was scored
    best_kid: float | None = None


def save_checkpoint(path: Path, state: TrainingState, facts: Mapping[str, Any]) -> None:
    """Write the training state and facts about the run, atomically.

    Raises:
        OSError: it cannot be written (a full disk); an older file at `path` is untouched.
    """
    own = {name: getattr(state, name) for name in _FIGURES}
    write_tensors(path, dict(_tensors_of(state)), {**facts, **own, "kind": TRAINING_KIND})


def find_not_finite(state: TrainingState) -> str | None:
    """Return the name of a tensor of the state that holds NaN or infinity, or None."""
    for name, tensor in _tensors_of(state):
        if not torch.isfinite(tensor).all():
            return name
    return None


def load_checkpoint(path: Path, state: TrainingState) -> Facts:
    """Load a checkpoint into the state and return the facts saved with it.

    Raises:
        CheckpointError: missing, damaged, of another kind, or of other networks.
    """
    tensors, facts = read_tensors(path, kind=TRAINING_KIND)
    missing = [name for name in _FIGURES if name not in facts]
    if missing:
        raise CheckpointError(f"{path}: written by another version of Anymus: no {missing[0]}")
    _check_names(path, set(tensors), {name for name, _ in _tensors_of(state)} | _adam_names(state))
    with torch.no_grad():
        for name, tensor in _network_tensors(state):
            _copy(path, name, tensors[name], tensor)
    for name, optimizer in _optimizers(state):
        load_adam(optimizer, {k.removeprefix(f"{name}."): t for k, t in tensors.items()})
    for name in _FIGURES:
        setattr(state, name, facts[name])
    return facts


def save_generator(path: Path, generator: Generator, card: Mapping[str, Any]) -> None:
    """Write one generator's weights, its architecture and a card about it, atomically.

    Args:
        path: ends in `.safetensors`.
        generator: whose weights and arguments are saved.
        card: JSON values; `direction` (a2b or b2a), `framing`, `step` and what else a user of the
            weights should know.

    Raises:
        OSError: it cannot be written.
    """
    facts = {**card, "kind": GENERATOR_KIND, "architecture": generator.arguments}
    write_tensors(path, generator.state_dict(), facts)


def save_networks(path: Path, networks: Networks, facts: Mapping[str, Any]) -> None:
    """Write all networks with their shapes and facts about them, atomically.

    Raises:
        OSError: it cannot be written.
    """
    shapes = {
        "generator": networks.generator_a2b.arguments,
        "discriminators": networks.discriminator_arguments,
    }
    tensors = {f"networks.{name}": tensor for name, tensor in networks.state_dict().items()}
    write_tensors(path, tensors, {**facts, "kind": NETWORKS_KIND, "architecture": shapes})


def load_generator(path: Path) -> tuple[Generator, Facts]:
    """Return a generator on the CPU in eval mode, in single precision, and its card.

    Raises:
        CheckpointError: missing, damaged, of another kind or from another program.
    """
    tensors, facts = read_tensors(path, kind=GENERATOR_KIND)
    try:
        with torch.device("meta"):
            generator = Generator(**facts["architecture"])
        wide = {name: tensor.float() for name, tensor in tensors.items()}
        generator.load_state_dict(wide, assign=True)
    except (KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: its weights do not fit its architecture: {str(error).splitlines()[0]}"
        ) from error
    return generator.eval().requires_grad_(False), facts


def adam_tensors(prefix: str, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """Yield the name and tensor of each moment and step count; none before the first step."""
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            yield f"{prefix}.{index}.{name}", value


def load_adam(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load what `adam_tensors` gave, without its prefix; what was not there is left out."""
    values: dict[int, dict[str, Tensor]] = {}
    for index, parameter in enumerate(_parameters(optimizer)):
        if f"{index}.step" not in tensors:
            continue  # saved before the first step
        values[index] = {"step": tensors[f"{index}.step"]}
        for name in ("exp_avg", "exp_avg_sq"):
            # In the parameter's own memory layout: another order of sums is another rounding.
            moment = torch.empty_like(parameter).copy_(tensors[f"{index}.{name}"])
            values[index][name] = moment
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": values, "param_groups": groups})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Facts) -> None:
    """Write tensors and facts, atomically; see `write_arrays`.

    Raises:
        OSError: it cannot be written.
    """
    arrays = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors.items()}
    write_arrays(path, arrays, facts)


def read_tensors(path: Path, *, kind: str) -> tuple[dict[str, Tensor], Facts]:
    """Return tensors of their own memory, on the CPU, and the facts; see `read_arrays`.

    Raises:
        CheckpointError: missing, damaged or of another kind.
    """
    arrays, facts = read_arrays(path, kind=kind)
    return {name: torch.from_numpy(array).clone() for name, array in arrays.items()}, facts


def _network_tensors(state: TrainingState) -> Iterator[tuple[str, Tensor]]:
    modules: dict[str, nn.Module] = {
        "networks": state.networks,
        "ema_a2b": state.ema_a2b,
        "ema_b2a": state.ema_b2a,
    }
    for prefix, module in modules.items():
        for name, tensor in module.state_dict().items():
            yield f"{prefix}.{name}", tensor


def _optimizers(state: TrainingState) -> list[tuple[str, torch.optim.Optimizer]]:
    return [
        ("adam_generators", state.optimizers.generators),
        ("adam_discriminators", state.optimizers.discriminators),
    ]


def _tensors_of(state: TrainingState) -> Iterator[tuple[str, Tensor]]:
    yield from _network_tensors(state)
    for prefix, optimizer in _optimizers(state):
        yield from adam_tensors(prefix, optimizer)


def _adam_names(state: TrainingState) -> set[str]:
    """Return the names of the optimisers' tensors after a step, also before the first one."""
    return {
        f"{prefix}.{index}.{name}"
        for prefix, optimizer in _optimizers(state)
        for index in range(len(_parameters(optimizer)))
        for name in ("step", "exp_avg", "exp_avg_sq")
    }


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return list(chain.from_iterable(group["params"] for group in optimizer.param_groups))


def _check_names(path: Path, given: set[str], allowed: set[str]) -> None:
    adam = {name for name in allowed if name.startswith("adam_")}
    for word, names in (("lacks", allowed - adam - given), ("has a foreign", given - allowed)):
        if names:
            raise CheckpointError(f"{path} {word} {min(names)} ({len(names)} such tensors)")


def _copy(path: Path, name: str, source: Tensor, target: Tensor) -> None:
    if source.shape != target.shape:
        raise CheckpointError(
            f"{path}: {name} is {list(source.shape)}, the networks have {list(target.shape)}"
        )
    target.copy_(source)
