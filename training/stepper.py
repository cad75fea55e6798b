"""The iteration as the loop calls it: networks, precision, compiler, CUDA graph and processes."""

from collections.abc import Callable

import torch
from torch import Tensor

from anymus.params_train import TrainParams

from .checkpoint import TrainingState
from .data import Batch
from .networks import Networks
from .step import (
    Augmenting,
    How,
    LossWeights,
    Optimizers,
    choose_forms,
    make_optimizers,
    train_step,
    wrap,
)
from .world import World

WARM_UP_STEPS = 3  # real ones, before an iteration is recorded


def how_of(params: TrainParams) -> How:
    """Return how the parameters want an iteration computed."""
    return How(params.order, params.precision, params.micro_batches)


def has_graph(params: TrainParams, device: torch.device, world: World) -> bool:
    """Return whether iterations are recorded and replayed."""
    return params.has_cuda_graph and device.type == "cuda" and world.size == 1


def make_optimizers_of(
    params: TrainParams, networks: Networks, *, is_capturable: bool
) -> Optimizers:
    """Return fresh optimisers as the parameters want them; `strict` has the port's plain Adam."""
    return make_optimizers(
        networks,
        lr=params.lr,
        betas=(params.beta1, params.beta2),
        weight_decay=params.weight_decay,
        is_fused=params.order == "fast",
        is_capturable=is_capturable,
    )


class Stepper:
    """Trains a state's networks on one batch a call.

    Args:
        params: the section `train`.
        state: whose networks and optimisers are trained, on `device`.
        device: where.
        world: this process's place among those that train together.
    """

    def __init__(
        self, params: TrainParams, state: TrainingState, device: torch.device, world: World
    ) -> None:
        self.names: list[str] = []
        self._kinds = params.augment.kinds
        self._how = how_of(params)
        self._device = device
        self._networks, self._optimizers = state.networks, state.optimizers
        self._weights = LossWeights(
            params.adv_weight,
            params.cycle_weight,
            params.identity_weight,
            params.cam_weight,
            params.tone_weight,
            params.skin_weight,
        )
        choose_forms(state.networks, params.order, is_compiled=params.is_compiled)
        for generator in (state.networks.generator_a2b, state.networks.generator_b2a):
            generator.is_checkpointing = params.is_checkpointing
        if params.is_compiled:
            _compile(state.networks)
        self._wrapped = wrap(state.networks, world.wrap)
        self._graph = StepGraph(self._compute) if has_graph(params, device, world) else None

    def __call__(self, batch: Batch, probability: float) -> Tensor:
        """Do one iteration and return its losses, in the order of `names`; still on the device.

        Args:
            batch: what to train on.
            probability: of augmentation.
        """
        inputs = [self._placed(x) for x in (batch.real_a, batch.real_b, batch.shaded_a)]
        inputs += [x.to(self._device) for x in (batch.numbers, batch.skin)]
        inputs.append(torch.tensor(probability, device=self._device))
        return self._compute(*inputs) if self._graph is None else self._graph(inputs)

    def _placed(self, x: Tensor) -> Tensor:
        if self._device.type == "cuda":
            x = x.pin_memory().to(self._device, non_blocking=True)
        return x.to(self._device).contiguous(memory_format=torch.channels_last)

    def _compute(
        self,
        real_a: Tensor,
        real_b: Tensor,
        shaded_a: Tensor,
        numbers: Tensor,
        skin: Tensor,
        probability: Tensor,
    ) -> Tensor:
        augmenting = Augmenting(self._kinds, numbers, probability) if self._kinds else None
        losses = train_step(
            self._networks,
            self._optimizers,
            real_a,
            real_b,
            self._weights,
            how=self._how,
            augmenting=augmenting,
            skin=skin,
            shaded_a=shaded_a,
            wrapped=self._wrapped,
        )
        self.names = list(losses)
        return torch.stack([loss.float() for loss in losses.values()])


def _compile(networks: Networks) -> None:
    """Compile every network in place; the names in its state dict stay."""
    for network in (networks.generator_a2b, networks.generator_b2a, *networks.judges()):
        network.compile(dynamic=False)


class StepGraph:
    """Records one call on a CUDA device and replays it: one launch instead of thousands.

    The first calls are made plainly, on a stream of their own, so that everything that allocates
    or tunes itself has done so; recording computes nothing, so no iteration is done twice.
    """

    def __init__(self, compute: Callable[..., Tensor]) -> None:
        self._compute = compute
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self._losses = torch.empty(0)

    def __call__(self, inputs: list[Tensor]) -> Tensor:
        """Return what `compute` returns for the inputs, which have the same shapes every time."""
        self._calls += 1
        if self._calls <= WARM_UP_STEPS:
            return self._on_a_stream_of_its_own(inputs)
        if self._graph is None:
            self._inputs = [x.clone() for x in inputs]
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._losses = self._compute(*self._inputs)
            self._graph = graph
        for static, x in zip(self._inputs, inputs, strict=True):
            static.copy_(x)
        self._graph.replay()
        return self._losses.clone()

    def _on_a_stream_of_its_own(self, inputs: list[Tensor]) -> Tensor:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            losses: Tensor = self._compute(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return losses
