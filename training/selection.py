"""Instance selection: train on the typical pictures of a domain, leave the odd ones out.

A generator spends its strength on what is rare. Source: DeVries, Drozdzal and Taylor 2020
(arXiv:2007.15255): the likelihood under a Gaussian in feature space decides.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from anymus.images import read_rgb

from .features import Features, RandomVgg

SHRINKAGE = 0.1  # of the covariance towards a multiple of the identity: few pictures, many features
CHUNK = 64


def typical_pictures(paths: Sequence[Path], share: float) -> list[Path]:
    """Return the most typical share of the pictures, in their order; at least two.

    Raises:
        ImageError: one cannot be read.
    """
    if share >= 1:
        return list(paths)
    network = RandomVgg()
    chunks = [paths[first : first + CHUNK] for first in range(0, len(paths), CHUNK)]
    features = np.concatenate([network.describe([read_rgb(p) for p in part]) for part in chunks])
    oddness = squared_distances(features)
    count = max(2, round(share * len(paths)))
    chosen = np.argsort(oddness, kind="stable")[:count]
    return [paths[index] for index in sorted(chosen)]


def squared_distances(features: Features) -> Features:
    """Return each vector's squared Mahalanobis distance (N,) from the mean of all (N, D)."""
    centred = features - features.mean(axis=0)
    covariance = centred.T @ centred / max(1, len(features) - 1)
    level = np.trace(covariance) / len(covariance)
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * level * np.eye(len(covariance))
    covariance += 1e-12 * np.eye(len(covariance))
    return np.asarray((np.linalg.solve(covariance, centred.T) * centred.T).sum(axis=0))
