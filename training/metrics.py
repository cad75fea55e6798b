"""Distances between two sets of feature vectors: KID with its uncertainty, FID, what is covered."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from anymus.errors import DatasetError
from anymus.torchlib import load_torchvision

from .features import Features

Weights = NDArray[np.float64]
Statistic = Callable[[Weights, Weights], NDArray[np.float64]]

INTERVAL_PERCENT = (2.5, 97.5)
"""Ends of every interval: 95 % lie between them."""


PAPER_SOURCE_SHARE = 0.98
PAPER_BLOCK = 10
NEIGHBOURS = 5
"""Nearest neighbours that make a ball of density and coverage, as in their paper."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the uncertainty of a distance is measured."""

    subset_size: int
    subsets: int
    resamples: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """A distance and how sure it is.

    Attributes:
        value: KID: the mean over all subsets of any size, unbiased, so it may be below 0.
        std: Standard deviation over random subsets of `subset_size`, as papers give it.
        low: Lower end of the 95 % bootstrap interval of `value`.
        high: Its upper end.
        n: Vectors of the smaller set.
        subset_size: What was asked for, but at most half of n: subsets that are nearly the whole
            set hardly differ, and their spread would look like certainty.
    """

    value: float
    std: float
    low: float
    high: float
    n: int
    subset_size: int


class Gain(NamedTuple):
    """By how much one set is nearer to a target than another, with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def is_better(self) -> bool:
        """Say whether the whole interval is above 0."""
        return self.low > 0

    @property
    def is_worse(self) -> bool:
        """Say whether the whole interval is below 0."""
        return self.high < 0


class Cover(NamedTuple):
    """How well a set lies within another, real one."""

    density: float
    """Mean number of real balls that hold a vector, over `neighbours`; 1 for two equal sets."""
    coverage: float
    """Share of the real balls that hold a vector at all."""
    neighbours: int
    """Of each real vector, those that its ball reaches to."""


class Gram(NamedTuple):
    """Kernel values of a set x of n vectors and a set y of m."""

    xx: NDArray[np.float64]  # (n, n)
    yy: NDArray[np.float64]  # (m, m)
    xy: NDArray[np.float64]  # (n, m)


def kernel_gram(x: Features, y: Features) -> Gram:
    """Return the values of KID's kernel, (x.y / D + 1) ** 3, in double precision.

    Args:
        x: (n, D) vectors, n >= 2.
        y: (m, D) vectors, m >= 2.

    Raises:
        DatasetError: A set has fewer than two vectors.
    """
    load_torchvision()
    from torchmetrics.image.kid import poly_kernel

    _require_two(x, y)
    left, right = _as_tensor(x), _as_tensor(y)
    pairs = ((left, left), (right, right), (left, right))
    return Gram(*(poly_kernel(one, other).numpy() for one, other in pairs))


def kid(x: Features, y: Features, sampling: Sampling, rng: np.random.Generator) -> Estimate:
    """Return the kernel distance of two sets: the unbiased squared maximum mean discrepancy.

    Sets may differ in size. (Binkowski et al. 2018, arXiv:1801.01401, equation 4.)

    Args:
        x: (n, D) vectors.
        y: (m, D) vectors.
        sampling: Subsets for `std`, resamples for the interval.
        rng: Draws subsets and resamples.

    Raises:
        DatasetError: A set has fewer than two vectors.
    """
    gram = kernel_gram(x, y)
    n, m = gram.xy.shape
    subset_size = min(sampling.subset_size, max(2, min(n, m) // 2))
    subsets = [_draw_subsets(rng, count, subset_size, sampling.subsets) for count in (n, m)]
    resamples = [_draw_resamples(rng, count, sampling.resamples) for count in (n, m)]
    low, high = _interval(squared_mmd(gram, *resamples))
    return Estimate(
        value=_plain(gram),
        std=float(squared_mmd(gram, *subsets).std()),
        low=low,
        high=high,
        n=min(n, m),
        subset_size=subset_size,
    )


def kid_value(x: Features, y: Features) -> float:
    """Return the kernel distance of two sets without its uncertainty; see `kid`.

    Raises:
        DatasetError: A set has fewer than two vectors.
    """
    return _plain(kernel_gram(x, y))


def kid_gain(
    before: Features, after: Features, target: Features, resamples: int, rng: np.random.Generator
) -> Gain:
    """Return by how much KID to the target falls from `before` to `after`, and its interval.

    The same pictures are drawn on both sides in each resample, so that what the two distances have
    in common cancels out.

    Args:
        before: (n, D) vectors, as of untranslated pictures.
        after: (n, D) vectors of the same pictures, translated, in the same order.
        target: (m, D) vectors.
        resamples: Number of bootstrap resamples.
        rng: Draws them.

    Returns:
        The gain (positive: `after` is nearer) and the ends of its 95 % interval.
    """
    grams = (kernel_gram(before, target), kernel_gram(after, target))

    def gain(w: Weights, v: Weights) -> NDArray[np.float64]:
        return squared_mmd(grams[0], w, v) - squared_mmd(grams[1], w, v)

    return bootstrap(gain, (len(before), len(target)), resamples, rng)


def bootstrap(
    statistic: Statistic, sizes: tuple[int, int], resamples: int, rng: np.random.Generator
) -> Gain:
    """Return a statistic of two whole sets, and its 95 % interval over resamples of both.

    Args:
        statistic: Takes counts (R, n) and (R, m), as of `squared_mmd`; returns (R,) values.
        sizes: n and m.
        resamples: Number of bootstrap resamples.
        rng: Draws them.
    """
    n, m = sizes
    drawn = _draw_resamples(rng, n, resamples), _draw_resamples(rng, m, resamples)
    whole = np.ones((1, n)), np.ones((1, m))
    return Gain(float(statistic(*whole)[0]), *_interval(statistic(*drawn)))


def kid_paper_mix(translated: Features, source: Features, target: Features) -> float:
    """Return what the U-GAT-IT paper's figures are: a mixture of KIDs, mostly to the source.

    (0.98 KID(translated, source) + 0.02 KID(translated, target)) / 2, each the mean over blocks of
    about 10 vectors in the order given, as the author's metric code has it. It falls when nothing
    is translated: never take it for a distance to the target.

    Args:
        translated: (n, D) vectors.
        source: (l, D) vectors of what was translated.
        target: (m, D) vectors.

    Raises:
        DatasetError: A set has fewer than two vectors.
    """
    to_source, to_target = (
        _mean_over_blocks(kernel_gram(translated, other)) for other in (source, target)
    )
    return (PAPER_SOURCE_SHARE * to_source + (1 - PAPER_SOURCE_SHARE) * to_target) / 2


def cover(x: Features, real: Features) -> Cover:
    """Return the density and the coverage of a set with regard to a real one.

    A real vector's ball reaches to its fifth nearest neighbour among the real ones, or to the
    farthest if there are fewer. Values depend on both sizes: compare them with those of real
    pictures of the same number. (Naeem et al. 2020, arXiv:2002.09797, equations 3 and 4.)

    Args:
        x: (n, D) vectors.
        real: (m, D) vectors.

    Raises:
        DatasetError: A set has fewer than two vectors.
    """
    is_inside, neighbours = find_inside(x, real)
    return Cover(
        density=float(is_inside.sum(axis=1).mean()) / neighbours,
        coverage=float(is_inside.any(axis=0).mean()),
        neighbours=neighbours,
    )


def find_inside(x: Features, real: Features) -> tuple[NDArray[np.bool_], int]:
    """Return which vectors lie in which real balls (n, m), and the neighbours that a ball reaches.

    See `cover`.

    Raises:
        DatasetError: A set has fewer than two vectors.
    """
    _require_two(x, real)
    neighbours = min(NEIGHBOURS, len(real) - 1)
    among = np.sort(pair_distances(real, real), axis=1)  # (m, m), each vector its own nearest
    return pair_distances(x, real) < among[:, neighbours], neighbours


def squared_mmd(gram: Gram, w: Weights, v: Weights) -> NDArray[np.float64]:
    """Return the unbiased squared discrepancy (R,) for each row of counts.

    A vector counts as often as its weight says, and is never compared with itself: rows of ones
    give the plain estimate, rows of 0 and 1 that of a subset, multinomial counts a bootstrap
    resample. NaN where a set has only one distinct vector.

    Args:
        gram: Kernel values of n and m vectors.
        w: (R, n) counts.
        v: (R, m) counts.
    """
    between = ((w @ gram.xy) * v).sum(axis=1) / (w.sum(axis=1) * v.sum(axis=1))
    return np.asarray(mean_within(gram.xx, w) + mean_within(gram.yy, v) - 2.0 * between)


def mean_within(kernel: NDArray[np.float64], w: Weights) -> NDArray[np.float64]:
    """Return the mean of a value over the pairs of a set (R,) for each row of counts.

    Args:
        kernel: (n, n) value of each pair.
        w: (R, n) counts; no vector is paired with itself.
    """
    squares = w * w
    pairs = w.sum(axis=1) ** 2 - squares.sum(axis=1)
    total = ((w @ kernel) * w).sum(axis=1) - squares @ np.diag(kernel)
    return np.asarray(np.divide(total, pairs, out=np.full(len(w), np.nan), where=pairs > 0))


def pair_distances(x: Features, y: Features) -> NDArray[np.float64]:
    """Return the Euclidean distances (n, m) of vectors (n, D) and (m, D)."""
    exact = "donot_use_mm_for_euclid_dist"
    return np.asarray(torch.cdist(_as_tensor(x), _as_tensor(y), compute_mode=exact).numpy())


def fid(x: Features, y: Features) -> float:
    """Return the Frechet distance of two sets; biased upwards below some 2,000 vectors a set.

    Args:
        x: (n, D) vectors.
        y: (m, D) vectors.

    Raises:
        DatasetError: A set has fewer than two vectors.
    """
    load_torchvision()
    from torchmetrics.image.fid import FrechetInceptionDistance

    _require_two(x, y)
    x, y = _in_common_basis(x, y)
    metric = FrechetInceptionDistance(feature=_AsItIs(x.shape[1]))
    metric.update(_as_tensor(x), real=True)
    metric.update(_as_tensor(y), real=False)
    return float(metric.compute())


def spread(x: Features) -> float:
    """Return the mean Euclidean distance of two vectors (n, D) of a set: 0 when all are one."""
    _require_two(x, x)
    return float(torch.pdist(_as_tensor(x)).mean())


class _AsItIs(nn.Module):
    """Hands vectors through, where torchmetrics wants a network."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        return x


def _as_tensor(x: Features) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64))


def _in_common_basis(x: Features, y: Features) -> tuple[Features, Features]:
    """Return both sets in the space that they span: few vectors need few dimensions.

    A rotation and a shift, so no distance changes; the cost of FID is cubic in the dimensions.
    """
    both = np.concatenate([x, y])
    if len(both) >= x.shape[1]:
        return x, y
    centre = both.mean(axis=0)
    basis = np.linalg.svd(both - centre, full_matrices=False)[2]  # (n + m, D)
    return (x - centre) @ basis.T, (y - centre) @ basis.T


def _require_two(x: Features, y: Features) -> None:
    n = min(len(x), len(y))
    if n < 2:
        raise DatasetError(
            f"a distance needs two pictures on each side, there is {n}", "collect more pictures"
        )


def _mean_over_blocks(gram: Gram) -> float:
    """Return the mean discrepancy of consecutive blocks of both sets."""
    n, m = gram.xy.shape
    count = max(1, min(-(-max(n, m) // PAPER_BLOCK), min(n, m) // 2))
    return float(squared_mmd(gram, _blocks(n, count), _blocks(m, count)).mean())


def _blocks(n: int, count: int) -> Weights:
    """Return rows of 0 and 1 (count, n): consecutive blocks, their sizes equal or one apart."""
    place = np.arange(n) * count // n
    return np.asarray(place == np.arange(count)[:, None], dtype=np.float64)


def _plain(gram: Gram) -> float:
    """Return the unbiased squared discrepancy of the two whole sets."""
    n, m = gram.xy.shape
    return float(squared_mmd(gram, np.ones((1, n)), np.ones((1, m)))[0])


def _draw_subsets(rng: np.random.Generator, n: int, size: int, count: int) -> Weights:
    places = np.argsort(rng.random((count, n)), axis=1)
    return (places < size).astype(np.float64)


def _draw_resamples(rng: np.random.Generator, n: int, count: int) -> Weights:
    return rng.multinomial(n, np.full(n, 1.0 / n), size=count).astype(np.float64)


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.nanpercentile(values, INTERVAL_PERCENT)
    return float(low), float(high)
