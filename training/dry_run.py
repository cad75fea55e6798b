"""Dry run: what a training would be like - its size, its memory, its pace - without training."""

import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from anymus.errors import DatasetError
from anymus.options import print_report
from anymus.params_train import TrainParams
from anymus.progress import log
from anymus.torchlib import check_device, deterministic, pick_device

from .data import Batch, find_pictures
from .diffaug import draw_numbers
from .loop import build_networks_of, new_state, peak_memory_mib
from .memory import keep_freed_memory
from .networks import Networks
from .step import LossWeights, choose_forms, make_optimizers, train_step
from .stepper import WARM_UP_STEPS, Stepper, has_graph, how_of
from .world import World

_MEASURED_ITERATIONS = 3
_MAX_MEASURED_S = 60.0
_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class DryRunReport:
    """What a training with these parameters would be like.

    Attributes:
        parameters: The section `train`, flat, by key path.
        sizes: Parameters of one generator, of each discriminator of a domain, and of all networks.
        pictures: To train on, by side, A and B; 0: there are none.
        state_mib: Weights, gradients, Adam's two means and the running means of the generators.
        kept_mib: What one iteration keeps for its backward passes, at most at a time.
        device: Where it was measured; None: it was not.
        iteration_s: Median seconds of an iteration, without loading pictures.
        peak_memory_mib: Most memory while measuring: of the process on a CPU, else on the device.
        iterations: Of the whole training.
    """

    parameters: dict[str, Any]
    sizes: dict[str, int]
    pictures: dict[str, int]
    state_mib: float
    kept_mib: float
    iterations: int
    device: str | None = None
    iteration_s: float | None = None
    peak_memory_mib: float | None = None

    def as_metrics(self) -> dict[str, int | float | str]:
        """Return the figures by name."""
        figures: dict[str, int | float | str] = {
            **{f"parameters_{name}": count for name, count in self.sizes.items()},
            **{f"pictures_{side.lower()}": count for side, count in self.pictures.items()},
            "memory_state_mib": round(self.state_mib, 1),
            "memory_kept_for_backward_mib": round(self.kept_mib, 1),
            "memory_estimate_mib": round(self.state_mib + self.kept_mib, 1),
        }
        if self.device and self.iteration_s and self.peak_memory_mib:
            figures |= {
                "device": self.device,
                "peak_memory_mib": round(self.peak_memory_mib, 1),
                "seconds_per_iteration": round(self.iteration_s, 4),
                "hours_for_all_iterations": round(self.iterations * self.iteration_s / 3600, 2),
            }
        return figures


def dry_run(
    params: TrainParams, *, seed: int, dataset_dir: Path, is_measured: bool = True
) -> DryRunReport:
    """Return what a training would be like; writes nothing.

    Sizes and memory are computed from shapes alone, without the memory. The estimate leaves out
    what lives shorter than a layer. Pace and peak are measured on pictures of noise: one iteration
    to warm up (four before a CUDA graph is replayed), then three, or as many as fit a minute.

    Args:
        params: The section `train`.
        seed: Of the weights that are measured with.
        dataset_dir: Its pictures are counted.
        is_measured: Do the iterations.

    Raises:
        DeviceError: The device or its compiler is not there; not raised if nothing is measured.
    """
    sizes, state_mib, kept_mib = _count(params)
    measured: dict[str, Any] = {}
    if is_measured:
        device = pick_device(params.device)
        is_half = params.precision == "bf16"
        check_device(device, is_compiled=params.is_compiled, is_half=is_half)
        with deterministic(device, is_on=params.is_deterministic):
            iteration_s = _measure(params, device, seed)
        measured = {
            "device": str(device),
            "iteration_s": iteration_s,
            "peak_memory_mib": peak_memory_mib(device),
        }
    return DryRunReport(
        _flat(params.model_dump(mode="json"), "train"),
        sizes,
        {side: _count_pictures(dataset_dir / f"train{side}") for side in "AB"},
        state_mib,
        kept_mib,
        params.iterations,
        **measured,
    )


def print_dry_run(report: DryRunReport, is_json: bool) -> None:
    """Print the parameters on stdout and the figures on stderr, or all of it as JSON on stdout."""
    if is_json:
        everything = {"parameters": report.parameters, **report.as_metrics()}
        sys.stdout.write(json.dumps(everything, indent=2) + "\n")
        return
    for name, value in report.parameters.items():
        sys.stdout.write(f"{name} = {value}\n")
    print_report(report, is_json)


def _flat(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{prefix}.{name}"
        flat |= _flat(value, key) if isinstance(value, dict) else {key: value}
    return flat


def _count_pictures(folder: Path) -> int:
    try:
        return len(find_pictures(folder))
    except DatasetError as error:
        log.warning("%s", error.message)
        return 0


def _count(params: TrainParams) -> tuple[dict[str, int], float, float]:
    """Return the sizes of the networks, MiB of their state and MiB kept for the backward pass."""
    with FakeTensorMode():  # shapes without memory
        networks = build_networks_of(params, seed=0).train()
        numbers = {
            "generator": sum(p.numel() for p in networks.generator_a2b.parameters()),
            **{
                f"discriminator_{name.removesuffix('_a')}": sum(
                    p.numel() for p in judge.parameters()
                )
                for name, judge in networks.judges_of("a")
            },
            "all": sum(p.numel() for p in networks.parameters()),
        }
        kept_bytes = _kept_bytes(params, networks)
    # Each parameter has a gradient and two means of Adam; each generator a running mean.
    state = _FLOAT_BYTES * (4 * numbers["all"] + 2 * numbers["generator"])
    return numbers, state / 2**20, kept_bytes / 2**20


def _kept_bytes(params: TrainParams, networks: Networks) -> int:
    """Return the most that one iteration keeps for its backward passes at a time."""
    choose_forms(networks, params.order, is_compiled=params.is_compiled)
    for generator in (networks.generator_a2b, networks.generator_b2a):
        generator.is_checkpointing = params.is_checkpointing
    optimizers = make_optimizers(networks, lr=params.lr, betas=(0.5, 0.999), weight_decay=0.0)
    weights = LossWeights(1.0, 1.0, 1.0, 1.0)
    meter = _Meter()
    shape = (params.batch_size, 3, params.image_size_px, params.image_size_px)
    real_a, real_b = torch.zeros(shape), torch.zeros(shape)
    meter.leave_out(networks)
    with saved_tensors_hooks(meter.pack, meter.unpack):
        train_step(networks, optimizers, real_a, real_b, weights, how=how_of(params))
    return meter.peak_bytes


class _Meter:
    """Counts the bytes that autograd keeps, each memory once, from packing until it is freed."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._bytes = 0
        self._holders: dict[int, int] = {}
        self._own: set[int] = set()

    def leave_out(self, networks: Networks) -> None:
        """Count the networks' own weights and buffers no more: they are in the state."""
        tensors = (*networks.parameters(), *networks.buffers())
        self._own = {tensor.untyped_storage()._cdata for tensor in tensors}

    def pack(self, x: Tensor) -> Any:
        """Return what autograd keeps in the place of a tensor."""
        key = x.untyped_storage()._cdata
        return x if key in self._own else _Kept(self, x, key)

    @staticmethod
    def unpack(kept: Any) -> Tensor:
        """Return the tensor again."""
        return kept.tensor if isinstance(kept, _Kept) else kept


class _Kept:
    """One tensor that is kept; counts for as long as it lives."""

    def __init__(self, meter: _Meter, tensor: Tensor, key: int) -> None:
        self.tensor = tensor
        self._meter, self._key, self._bytes = meter, key, tensor.untyped_storage().nbytes()
        meter._holders[key] = meter._holders.get(key, 0) + 1
        if meter._holders[key] == 1:
            meter._bytes += self._bytes
            meter.peak_bytes = max(meter.peak_bytes, meter._bytes)

    def __del__(self) -> None:
        meter = self._meter
        meter._holders[self._key] -= 1
        if not meter._holders[self._key]:
            meter._bytes -= self._bytes
            del meter._holders[self._key]


def _measure(params: TrainParams, device: torch.device, seed: int) -> float:
    """Return the median seconds of an iteration on noise."""
    if device.type == "cpu":
        keep_freed_memory()
    world = World()
    state = new_state(params, device, world, seed=seed)
    stepper = Stepper(params, state, device, world)
    generator = torch.Generator().manual_seed(seed)
    shape = (2, params.batch_size, 3, params.image_size_px, params.image_size_px)
    warm_up = WARM_UP_STEPS + 1 if has_graph(params, device, world) else 1
    started_s, times_s = time.monotonic(), list[float]()
    for step in range(warm_up + _MEASURED_ITERATIONS):
        real_a, real_b = torch.rand(shape, generator=generator) * 2 - 1
        numbers = draw_numbers(seed, step, params.batch_size)
        batch = Batch(real_a, real_b, numbers, torch.zeros(2, params.batch_size), real_a, [])
        begun_s = time.perf_counter()
        stepper(batch, state.augment_probability).tolist()  # waits for a GPU
        if step >= warm_up:
            times_s.append(time.perf_counter() - begun_s)
            if time.monotonic() - started_s > _MAX_MEASURED_S:
                break
    return statistics.median(times_s)
