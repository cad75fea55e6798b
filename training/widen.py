"""Wider generators that begin with what narrower ones have learned (Net2WiderNet).

Every channel is there several times over, and what reads it takes a random share of each copy, the
shares adding up to 1: the wide network draws what the narrow one drew, and its copies part as soon
as it is trained, because none of them counts for as much as the other.

Source: Chen et al. 2016 (arXiv:1511.05641); random shares stand for equal ones with noise.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .networks import Generator

_SEED = 20240501  # the shares are part of no run: the same weights are widened alike everywhere


@torch.no_grad()
def widen(narrow: Mapping[str, Tensor], wide: Generator) -> None:
    """Put the weights of a narrower generator into a wide one, in place.

    Args:
        narrow: State of a generator that differs from `wide` in `base_channels` alone, of which it
            has one half, one third and so on.
        wide: Draws afterwards what the narrow one draws, to rounding.
    """
    rng = torch.Generator().manual_seed(_SEED)
    for path, module in wide.named_modules():
        for name, target in module.named_parameters(recurse=False):
            source = narrow[f"{path}.{name}" if path else name]
            if not isinstance(module, nn.Conv2d | nn.Linear) or name != "weight":
                target.copy_(_repeated(source, target.shape))
            elif path == "cam.mix":
                target.copy_(_repeated_halves(source, target))
            else:
                target.copy_(_shared_out(source, target, rng))


def _repeated(source: Tensor, shape: torch.Size) -> Tensor:
    """Return the tensor laid end to end until it has the shape."""
    return source.repeat([wide // narrow for wide, narrow in zip(shape, source.shape, strict=True)])


def _shared_out(source: Tensor, target: Tensor, rng: torch.Generator) -> Tensor:
    """Return weights (out, in, ...) of which the copies of each input have shares that sum to 1.

    A film layer that reads a whole map has its inputs channel by channel, so copies of channels lie
    end to end there, too.
    """
    copies = target.shape[1] // source.shape[1]
    repeated = _repeated(source, target.shape)
    shares = torch.rand(target.shape[0], copies, source.shape[1], generator=rng) + 0.5
    shares = (shares / shares.sum(dim=1, keepdim=True)).flatten(1)  # (out, in)
    return repeated * shares.view(*shares.shape, *[1] * (source.ndim - 2))


def _repeated_halves(source: Tensor, target: Tensor) -> Tensor:
    """Return the weights (C, 2 C, 1, 1) that mix maps weighted by each of the CAM classifiers.

    The classifiers' own weights, by which the maps were multiplied, are shared out already.
    """
    half = torch.Size([target.shape[0], target.shape[1] // 2, 1, 1])
    return torch.cat([_repeated(part, half) for part in source.chunk(2, dim=1)], dim=1)
