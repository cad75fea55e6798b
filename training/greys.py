"""Greys: generators that draw without colours, by one filter thrice (`anymus weights grey`)."""

import torch
from torch import Tensor

from .networks import Generator


def draws_greys(generator: Generator) -> bool:
    """Return whether red, green and blue come out of one filter thrice."""
    filters = generator.head.weight
    return torch.equal(filters, filters[:1].expand_as(filters))


def keep_greys(generator: Generator) -> None:
    """Let the three filters get one gradient from now on, so that they stay alike."""
    generator.head.weight.register_hook(_alike)  # type: ignore[no-untyped-call]


def _alike(filters: Tensor) -> Tensor:
    """Return the mean of filters (3, C, K, K) in place of each."""
    return filters.mean(dim=0, keepdim=True).expand_as(filters)
