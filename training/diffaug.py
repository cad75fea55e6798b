"""Differentiable augmentation: what discriminators see, so that few pictures last longer.

Real and translated pictures go through the same random changes on their way into a discriminator,
and gradients flow back through them, so the generators never learn to make changed pictures.

Source: Zhao et al. 2020 (arXiv:2006.10738); the probability that follows the discriminators is that
of Karras et al. 2020 (arXiv:2006.06676), equation 1.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Kind = Literal["colour", "translation", "cutout"]

NUMBERS = 10  # uniform numbers that one picture needs
MAX_SHIFT = 0.125  # share of the side
CUTOUT = 0.5  # share of the side
USES = ("real", "fake", "fake_for_generators")
"""What is augmented in one iteration, for each domain: each has numbers of its own."""


def draw_numbers(seed: int, step: int, count: int) -> Tensor:
    """Return the uniform numbers of an iteration, (2 domains, 3 uses, count, NUMBERS) in [0, 1)."""
    rng = np.random.default_rng([seed, step, 0xD1FF])
    return torch.from_numpy(rng.random((2, len(USES), count, NUMBERS), np.float32))


def augmented(x: Tensor, numbers: Tensor, probability: Tensor, kinds: Sequence[Kind]) -> Tensor:
    """Return pictures changed at random, each kind of change with the given probability.

    Args:
        x: (N, 3, H, W) in [-1, 1].
        numbers: (N, NUMBERS) uniform in [0, 1): they decide everything.
        probability: () in [0, 1].
        kinds: `colour` (brightness, saturation, contrast), `translation` (up to an eighth of the
            side, the border repeated), `cutout` (a grey square of half the side).
    """
    happens = (numbers[:, :3] < probability).to(x.dtype)[:, :, None, None, None]  # (N, 3, 1, 1, 1)
    amounts = numbers[:, 3:].to(x.dtype)
    if "colour" in kinds:
        x = _recoloured(x, amounts[:, :3, None, None, None], happens[:, 0])
    if "translation" in kinds:
        x = _shifted(x, (amounts[:, 3:5] * 2 - 1) * MAX_SHIFT * happens[:, 1, :, 0, 0])
    if "cutout" in kinds:
        x = x * (1 - happens[:, 2] * _square(x, amounts[:, 5:7]))
    return x


def next_probability(probability: float, sign: float, target: float, pictures: int) -> float:
    """Return the probability after an iteration: up while discriminators know the real pictures.

    Args:
        probability: of now.
        sign: mean sign of the discriminators' verdict on real pictures, -1 to 1.
        target: of `sign`; 0.6 in the paper.
        pictures: seen in the iteration; from 0 to 1 takes at least 50,000 of them.
    """
    moved = probability + np.sign(sign - target) * pictures / 50_000
    return float(min(max(moved, 0.0), 1.0))


def _recoloured(x: Tensor, amounts: Tensor, happens: Tensor) -> Tensor:
    """Change brightness by up to 0.5, saturation by 0 to 2 times, contrast by 0.5 to 1.5."""
    x = x + (amounts[:, 0] - 0.5) * happens
    grey = x.mean(dim=1, keepdim=True)
    x = grey + (x - grey) * (1 + (amounts[:, 1] * 2 - 1) * happens)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * (1 + (amounts[:, 2] - 0.5) * happens)


def _shifted(x: Tensor, shifts: Tensor) -> Tensor:
    """Move each picture by whole pixels, `shifts` (N, 2) being shares of the side."""
    height, width = x.shape[2:]
    rows = torch.arange(height, device=x.device) + (shifts[:, :1] * height).round().long()
    columns = torch.arange(width, device=x.device) + (shifts[:, 1:] * width).round().long()
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)  # (N, H), (N, W)
    x = x.gather(2, rows[:, None, :, None].expand_as(x))
    return x.gather(3, columns[:, None, None, :].expand_as(x))


def _square(x: Tensor, places: Tensor) -> Tensor:
    """Return (N, 1, H, W): 1 in a square of half the side around a place, 0 elsewhere."""
    height, width = x.shape[2:]
    rows = torch.arange(height, device=x.device)[None] / height - places[:, :1]
    columns = torch.arange(width, device=x.device)[None] / width - places[:, 1:]
    is_in = (rows.abs() < CUTOUT / 2)[:, :, None] & (columns.abs() < CUTOUT / 2)[:, None, :]
    return is_in[:, None].to(x.dtype)
