"""How light the skin of a face is, and which lightness of the other domain answers to it.

A network that learns from unpaired pictures may draw whom it likes dark. What it is told here is
an order: the face that is darker than a third of the photos is drawn as dark as the drawing that
is darker than a third of the drawings (optimal transport in one dimension).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CHEEKS = (0.5, 0.6875, 0.3125, 0.6875)  # top, bottom, left, right in shares of a side
"""From under the eyes to over the mouth, in crops of the common framing."""
BLUE = 2  # melanin takes most of the blue, and the light of a room changes it least of the three


def skin_level(x: Tensor) -> Tensor:
    """Return how light the skin of each picture is, (N,) in [-1, 1]: blue, mean of the cheeks.

    Args:
        x: (N, 3, H, W) in [-1, 1], faces in the common framing; grey drawings are their own blue.
    """
    height, width = x.shape[-2:]
    top, bottom = (round(share * height) for share in CHEEKS[:2])
    left, right = (round(share * width) for share in CHEEKS[2:])
    cheeks = x[:, BLUE, top:bottom, left:right]
    return cheeks.mean(dim=(1, 2), dtype=torch.promote_types(x.dtype, torch.float32))


def matched_levels(levels: NDArray[np.float64], others: NDArray[np.float64]) -> list[float]:
    """Return the level of the other domain at each level's rank in its own.

    Args:
        levels: (N,) of one domain, in any order; equal ones rank in that order.
        others: (M,) of the other domain.
    """
    rank = np.argsort(np.argsort(levels, kind="stable"), kind="stable")
    matched: list[float] = np.quantile(others, (rank + 0.5) / len(levels)).tolist()
    return matched
