"""What a run looks at by itself: are its translations near the target, are they pictures still?

Held-out pictures go through both generators at every checkpoint. A low KID tells which checkpoint
was best; translations without contrast, or all alike, tell that the training has failed while its
losses may look well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anymus.errors import CollapseError
from anymus.images import RgbU8, read_rgb

from .data import to_signed, to_square
from .features import Features, RandomVgg
from .networks import Generator
from .samples import to_rgb

CHUNK = 16

Scores = dict[str, float]


@dataclass(frozen=True)
class HeldOut:
    """Pictures of one domain that no training sees, and what they are measured by."""

    pictures: list[RgbU8]
    features: Features

    @property
    def contrast(self) -> float:
        """Return the mean standard deviation of a picture's pixels, in levels."""
        return contrast(self.pictures)


def look_at(paths: Sequence[Path], size_px: int) -> HeldOut:
    """Return the pictures at the networks' size, with their features.

    Raises:
        ImageError: one cannot be read.
    """
    pictures = [to_square(read_rgb(path), size_px) for path in paths]
    return HeldOut(pictures, RandomVgg().describe(pictures))


@torch.no_grad()
def score(
    generators: Mapping[str, Generator], held_out: Mapping[str, HeldOut], device: torch.device
) -> Scores:
    """Return kid, contrast and diversity of both directions by name, as `kid_a2b`.

    KID is the unbiased estimate in the offline feature space, so it may be below 0; contrast and
    diversity (mean distance of two translations) are shares of what real pictures of the target
    have.

    Args:
        generators: `a2b` and `b2a`, in eval mode.
        held_out: by domain, `a` and `b`, two pictures or more each.
        device: of the generators.
    """
    scores: Scores = {}
    for direction, generator in generators.items():
        source, target = held_out[direction[0]], held_out[direction[-1]]
        translated = _translate(generator, source.pictures, device)
        features = RandomVgg().describe(translated)
        scores[f"kid_{direction}"] = kid_value(features, target.features)
        scores[f"contrast_{direction}"] = contrast(translated) / max(target.contrast, 1e-9)
        distance = max(_mean_distance(target.features), 1e-9)
        scores[f"diversity_{direction}"] = _mean_distance(features) / distance
    return scores


def check(scores: Scores, step: int, *, min_contrast: float, min_diversity: float) -> None:
    """Do nothing if both generators still make different pictures.

    Raises:
        CollapseError: names the figure, the direction and both values.
    """
    bounds = {"contrast": (min_contrast, "blank"), "diversity": (min_diversity, "collapsed")}
    for name, value in scores.items():
        figure, direction = name.split("_")
        least, word = bounds.get(figure, (-np.inf, ""))
        if not value >= least:
            raise CollapseError(
                f"step {step}: generator {direction} is {word}: {figure} of its translations is"
                f" {value:.3f} of the target's, below train.guard.min_{figure} {least}",
                "the last good checkpoint is kept; lower train.lr or train.adv_weight, or take"
                " another seed",
            )


def contrast(pictures: Sequence[RgbU8]) -> float:
    """Return the mean over pictures of the standard deviation of their pixels, in levels."""
    return float(np.mean([picture.std() for picture in pictures]))


def kid_value(x: Features, y: Features) -> float:
    """Return the unbiased kernel distance of two sets of vectors, as `metrics.kid` has it.

    Without torchmetrics, which a machine that only trains need not have.
    """
    within = [_off_diagonal_mean(_kernel(one, one)) for one in (x, y)]
    return float(sum(within) - 2 * _kernel(x, y).mean())


def _kernel(x: Features, y: Features) -> Any:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _off_diagonal_mean(gram: Any) -> float:
    count = len(gram)
    return float((gram.sum() - np.trace(gram)) / (count * (count - 1)))


def _mean_distance(features: Features) -> float:
    return float(torch.pdist(torch.from_numpy(features)).mean())


def _translate(
    generator: Generator, pictures: Sequence[RgbU8], device: torch.device
) -> list[RgbU8]:
    translated: list[RgbU8] = []
    for first in range(0, len(pictures), CHUNK):
        x: Tensor = to_signed(np.stack(pictures[first : first + CHUNK])).to(device)
        translated += [to_rgb(image[None]) for image in generator(x).image]
    return translated
