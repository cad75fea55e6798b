"""The iteration as the loop calls it."""

from typing import Any

import pytest
import torch
from test_training_loop import tiny
from torch.utils._python_dispatch import TorchDispatchMode

from anymus.params_train import AugmentParams
from training.diffaug import draw_numbers
from training.loop import new_state
from training.stepper import Stepper
from training.world import World

CPU = torch.device("cpu")


class NothingFromTheHost(TorchDispatchMode):
    """Refuses what a CUDA graph cannot record: numbers brought to the device or asked from it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do the operation, if a graph can record it."""
        forbidden = ("lift_fresh", "_local_scalar_dense", "nonzero")
        assert not any(word in str(func) for word in forbidden), func
        return func(*args, **(kwargs or {}))


def test_a_whole_iteration_can_be_recorded_as_a_cuda_graph() -> None:
    augment = AugmentParams(
        kinds=["colour", "translation", "cutout"], probability=0.5, target_sign=0.6
    )
    params = tiny(precision="bf16", tone_weight=1.0, skin_weight=1.0, augment=augment)
    stepper = Stepper(params, new_state(params, CPU, World(), seed=1), CPU, World())
    shape = (params.batch_size, 3, params.image_size_px, params.image_size_px)
    inputs = (
        torch.rand(shape),
        torch.rand(shape),
        torch.rand(shape),
        draw_numbers(1, 1, params.batch_size),
        torch.zeros(2, params.batch_size),
        torch.tensor(0.5),
    )
    with NothingFromTheHost():
        losses = stepper._compute(*inputs)
    assert torch.isfinite(losses).all()


@pytest.mark.slow  # a compiler's minute
def test_a_compiled_iteration_has_the_losses_of_a_plain_one() -> None:
    shape = (1, 3, 32, 32)
    inputs = (
        (torch.rand(shape) * 2 - 1).contiguous(memory_format=torch.channels_last),
        (torch.rand(shape) * 2 - 1).contiguous(memory_format=torch.channels_last),
        (torch.rand(shape) * 2 - 1).contiguous(memory_format=torch.channels_last),
        draw_numbers(1, 1, 1),
        torch.zeros(2, 1),
        torch.tensor(0.0),
    )
    losses = []
    for is_compiled in (False, True):
        params = tiny(batch_size=1, is_compiled=is_compiled)
        stepper = Stepper(params, new_state(params, CPU, World(), seed=1), CPU, World())
        losses.append(torch.stack([stepper._compute(*inputs) for _ in range(2)]))
    assert torch.allclose(losses[0], losses[1], rtol=1e-3)
