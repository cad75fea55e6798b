"""One training iteration: the official port's order of operations against ours, alternating.

    python benchmarks/train_step.py --preset light --size 256 --rounds 3
    python benchmarks/train_step.py --preset light --variants port ours ours-bf16
    python benchmarks/train_step.py --device cuda --variants port ours-bf16-compiled-graph

All variants start from the same weights and see the same pictures, in one process, in turns. A row
is a variant: the median of its CPU seconds and wall seconds an iteration with the half-width of
their spread, both as ratios to the first variant (above 1: quicker), the peak of the memory that
it needs (weights, optimiser and step), and the largest relative difference of its first losses.

`port` is written here plainly, from the description of the official PyTorch port: its order, norms
of five statements, no shared work, Adam tensor by tensor, contiguous memory.
"""

import argparse
import statistics
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from anymus.params import load_params
from anymus.params_train import TrainParams
from training import layers
from training.layers import Forms, set_forms
from training.loop import build_networks_of
from training.memory import keep_freed_memory
from training.networks import Networks
from training.step import How, LossWeights, Optimizers, make_optimizers, train_step
from training.stepper import StepGraph

ROOT = Path(__file__).parent.parent


PLAIN, FAST = Forms(), How()


@dataclass(frozen=True)
class Variant:
    forms: Forms = PLAIN
    how: How = FAST
    is_port: bool = False
    is_channels_last: bool = False
    is_fused_adam: bool = False
    is_keeping: bool = False  # freed memory, see training.memory
    is_compiled: bool = False
    is_graphed: bool = False  # recorded once, then replayed; on a GPU alone
    is_checkpointing: bool = False


SHARED = Variant()
OURS = Variant(Forms(True, True, True), is_channels_last=True, is_fused_adam=True, is_keeping=True)
COMPILED = replace(OURS, forms=Forms(False, True, True), is_compiled=True)
BF16 = How(precision="bf16")
VARIANTS = {
    "port": Variant(how=How(order="strict"), is_port=True),
    "strict": Variant(how=How(order="strict")),
    "shared": SHARED,  # fakes once, frozen discriminators, translation and identity in one batch
    "+norm": replace(SHARED, forms=Forms(is_norm_fused=True)),
    "+folded": replace(SHARED, forms=Forms(is_folded=True)),
    "+scaled": replace(SHARED, forms=Forms(is_spectral_scaled=True)),  # real and fake together
    "+channels-last": replace(SHARED, is_channels_last=True),
    "+adam": replace(SHARED, is_fused_adam=True),
    "+malloc": replace(SHARED, is_keeping=True),
    "ours": OURS,
    "ours-handing-back": replace(OURS, is_keeping=False),
    "ours-contiguous": replace(OURS, is_channels_last=False),
    "ours-plain-norm": replace(OURS, forms=Forms(False, True, True)),
    "ours-unfolded": replace(OURS, forms=Forms(True, False, True)),
    "ours-checkpointing": replace(OURS, is_checkpointing=True),
    "ours-compiled": COMPILED,
    "ours-bf16": replace(OURS, how=BF16),
    "ours-bf16-checkpointing": replace(OURS, how=BF16, is_checkpointing=True),
    "ours-bf16-compiled": replace(COMPILED, how=BF16),
    "ours-bf16-graph": replace(OURS, how=BF16, is_graphed=True),
    "ours-bf16-compiled-graph": replace(COMPILED, how=BF16, is_graphed=True),
    "ours-bf16-compiled-unfolded": replace(COMPILED, how=BF16, forms=Forms(False, False, True)),
}


def literal_norm(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """The norm as the port writes it: both norms in full, then mixed."""
    in_mean, in_var = x.mean(dim=[2, 3], keepdim=True), x.var(dim=[2, 3], keepdim=True)
    out_in = (x - in_mean) / torch.sqrt(in_var + 1e-5)
    ln_mean, ln_var = x.mean(dim=[1, 2, 3], keepdim=True), x.var(dim=[1, 2, 3], keepdim=True)
    out_ln = (x - ln_mean) / torch.sqrt(ln_var + 1e-5)
    rho = rho.expand(x.shape[0], -1, -1, -1)
    return (rho * out_in + (1 - rho) * out_ln) * gamma + beta


@dataclass
class Contestant:
    name: str
    variant: Variant
    networks: Networks
    optimizers: Optimizers
    weights: LossWeights
    names: list[str] = field(default_factory=list)  # of the losses
    graph: StepGraph | None = None
    cpu_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    peak_bytes: list[int] = field(default_factory=list)
    first_losses: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.variant.is_graphed:
            self.graph = StepGraph(self._compute)

    def step(self, real_a: Tensor, real_b: Tensor) -> None:
        """Do one iteration; the losses of the very first one are kept."""
        losses = self._compute(real_a, real_b) if not self.graph else self.graph([real_a, real_b])
        if not self.first_losses:
            self.first_losses = dict(zip(self.names, losses.tolist(), strict=True))

    def _compute(self, real_a: Tensor, real_b: Tensor) -> Tensor:
        losses = train_step(
            self.networks, self.optimizers, real_a, real_b, self.weights, how=self.variant.how
        )
        self.names = list(losses)
        return torch.stack([loss.float() for loss in losses.values()])

    @property
    def state_bytes(self) -> int:
        own = [*self.networks.parameters(), *self.networks.buffers()]
        for optimizer in (self.optimizers.generators, self.optimizers.discriminators):
            own += [t for state in optimizer.state.values() for t in state.values()]
        return sum(t.numel() * t.element_size() for t in own)


def make_contestant(name: str, params: TrainParams, device: torch.device) -> Contestant:
    variant = VARIANTS[name]
    networks = build_networks_of(params, seed=1).to(device).train()
    if variant.is_channels_last:
        networks.to(memory_format=torch.channels_last)
    set_forms(networks, variant.forms)
    for generator in (networks.generator_a2b, networks.generator_b2a):
        generator.is_checkpointing = variant.is_checkpointing
    if variant.is_compiled:
        for network in (networks.generator_a2b, networks.generator_b2a, *networks.judges()):
            network.compile(dynamic=False)
    optimizers = make_optimizers(
        networks,
        lr=params.lr,
        betas=(params.beta1, params.beta2),
        weight_decay=params.weight_decay,
        is_fused=variant.is_fused_adam,
        is_capturable=variant.is_graphed,
    )
    weights = LossWeights(
        params.adv_weight, params.cycle_weight, params.identity_weight, params.cam_weight
    )
    return Contestant(name, variant, networks, optimizers, weights)


def main() -> None:
    args = parse_arguments()
    params = load_params(ROOT / "anymus" / "presets" / f"{args.preset}.yaml", args.set).train
    size_px = args.size or params.image_size_px
    params = params.model_copy(update={"image_size_px": size_px})
    device = torch.device(args.device)
    contestants = [make_contestant(name, params, device) for name in args.variants]
    generator = torch.Generator().manual_seed(0)
    shape = (2, args.batch, 3, size_px, size_px)
    print(
        f"{args.preset}, {size_px} px, batch {args.batch}, {describe(device)},"
        f" torch {torch.__version__}, {torch.get_num_threads()} threads,"
        f" {args.rounds} rounds after {args.warm_up} to warm up"
    )
    for index in range(args.warm_up + args.rounds):
        real_a, real_b = (torch.rand(shape, generator=generator) * 2 - 1).to(device)
        for contestant in contestants:
            run(contestant, real_a, real_b, is_counted=index >= args.warm_up)
    print_table(contestants)


def run(one: Contestant, real_a: Tensor, real_b: Tensor, *, is_counted: bool) -> None:
    keep_freed_memory(is_kept=False)
    keep_freed_memory(is_kept=one.variant.is_keeping)
    if one.variant.is_channels_last:
        real_a, real_b = (x.contiguous(memory_format=torch.channels_last) for x in (real_a, real_b))
    plain = layers.instance_layer_norm
    layers.instance_layer_norm = literal_norm if one.variant.is_port else plain
    repeats = 10 if real_a.is_cuda else 1
    resting = allocated_bytes(real_a.device)
    with PeakMemory(real_a.device) as peak:
        synchronise(real_a.device)
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        for _ in range(repeats):
            one.step(real_a, real_b)
        synchronise(real_a.device)
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    layers.instance_layer_norm = plain
    if not one.graph:  # gradients are part of what a graph has recorded
        for optimizer in (one.optimizers.generators, one.optimizers.discriminators):
            optimizer.zero_grad()
    if is_counted:
        one.cpu_s.append(cpu_s / repeats)
        one.wall_s.append(wall_s / repeats)
    if is_counted or one.graph:  # a replay allocates nothing: its memory is that of the recording
        one.peak_bytes.append(peak.bytes - resting + one.state_bytes)


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def allocated_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class PeakMemory:
    """The most memory in use within the block: resident on a CPU, allocated on a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.bytes = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device)
        else:
            self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(0.01):
            self.bytes = max(self.bytes, allocated_bytes(self.device))


def print_table(contestants: list[Contestant]) -> None:
    first = contestants[0]
    print(f"{'variant':<28}{'CPU s':>16}{'ratio':>7}{'wall s':>16}{'ratio':>7}{'MiB':>8}  losses")
    for one in contestants:
        differences = [
            abs(one.first_losses[name] - value) / max(abs(value), 1e-12)
            for name, value in first.first_losses.items()
        ]
        row = f"{one.name:<28}"
        for ours, theirs in ((one.cpu_s, first.cpu_s), (one.wall_s, first.wall_s)):
            spread = (max(ours) - min(ours)) / 2
            ratio = statistics.median(t / o for o, t in zip(ours, theirs, strict=True))
            row += f"{statistics.median(ours):>10.4f} ±{spread:<5.2g}{ratio:>6.2f}"
        mib = (max if one.graph else statistics.median)(one.peak_bytes) / 2**20
        print(f"{row}{mib:>8.0f}  {max(differences):.1e}")


def describe(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "CPU")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="light")
    parser.add_argument("--size", type=int, help="side of the pictures, pixels; the preset's")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm-up", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["port", "ours"])
    parser.add_argument("-S", "--set", action="append", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
