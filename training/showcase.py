"""The showcase of an evaluation: its best, worst and random test pictures, by a stated figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from anymus.images import RgbU8, read_rgb
from anymus.shards import plain_path

from .data import to_signed, to_square
from .features import Features
from .metrics import pair_distances
from .networks import Generator
from .samples import COLUMNS, sample_row

NEIGHBOURS = 3
Distances = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shown:
    """One test picture, what both generators make of it, and how far that is from its target."""

    name: str
    distance: float
    """See `distance_to_targets`: about 1 is as near as real targets are to one another."""
    cycle_l1: float
    """Mean absolute difference after both ways, values in [-1, 1]."""
    cells: list[RgbU8]
    """(H, W, 3) each, one for each of `samples.COLUMNS`."""


def distance_to_targets(outputs: Features, targets: Features) -> Distances:
    """Return for each output how far it is from the targets nearest to it.

    That is the mean Euclidean distance to its `NEIGHBOURS` nearest targets (or to all, if there are
    fewer), as a multiple of the median of the same figure among the targets themselves.

    Args:
        outputs: (n, D) vectors.
        targets: (m, D) vectors, m >= 2.

    Returns:
        (n,) distances; 0 where an output and its targets are one.
    """
    among = pair_distances(targets, targets)
    np.fill_diagonal(among, np.inf)  # a target is not its own neighbour
    usual = float(np.median(_mean_of_nearest(among, min(NEIGHBOURS, len(targets) - 1))))
    own = _mean_of_nearest(pair_distances(outputs, targets), min(NEIGHBOURS, len(targets)))
    return own / usual if usual > 0 else own


def pick(distances: Distances, count: int, rng: np.random.Generator) -> dict[str, list[int]]:
    """Return the places of the worst, of the best and of random pictures, at most `count` each.

    Worst and best do not overlap; the random ones are drawn from all, so they may hold either.

    Args:
        distances: (n,) as of `distance_to_targets`.
        count: Pictures of a group, at most half of all for worst and best.
        rng: Draws the random ones.
    """
    order = np.argsort(distances, kind="stable")
    ends = min(count, len(order) // 2)
    drawn = rng.permutation(len(order))[:count]
    return {
        "worst": [int(place) for place in order[::-1][:ends]],
        "best": [int(place) for place in order[:ends]],
        "random": sorted(int(place) for place in drawn),
    }


def show(
    path: Path, distance: float, generators: Sequence[Generator], device: torch.device
) -> Shown:
    """Return a test picture with what the generators make of it.

    Args:
        path: A picture, or a member of a shard.
        distance: Its distance, to be shown beside it.
        generators: The one that translates it, and the one that translates back; in eval mode.
        device: Where they are.

    Raises:
        ImageError: The picture cannot be read.
    """
    there, back = generators
    picture = to_square(read_rgb(path), int(there.arguments["image_size_px"]))
    cells = sample_row(there, back, to_signed(picture[None]).to(device))
    cycled = cells[COLUMNS.index("cycle")].astype(np.float64)
    cycle_l1 = float(np.abs(cycled - picture).mean() / 127.5)
    return Shown(plain_path(path).name, distance, cycle_l1, cells)


def show_groups(
    paths: Sequence[Path],
    distances: Distances,
    groups: Mapping[str, Sequence[int]],
    generators: Sequence[Generator],
    device: torch.device,
) -> dict[str, list[Shown]]:
    """Return the pictures of each group by its name; see `pick` and `show`."""
    return {
        name: [show(paths[place], float(distances[place]), generators, device) for place in places]
        for name, places in groups.items()
    }


def _mean_of_nearest(distances: Distances, count: int) -> Distances:
    return np.asarray(np.sort(distances, axis=1)[:, :count].mean(axis=1))
