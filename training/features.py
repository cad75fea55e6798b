"""Feature networks: what the distances of the evaluation see in a picture."""

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as everyone writes it

from anymus.errors import ParamsError
from anymus.images import RgbU8, resize_rgb

from .data import to_signed

Features = NDArray[np.float64]

_WIDTHS = (16, 16, 32, 32, 64, 64)
_SEED = 20190725
_GRID_CHANNELS = 4
_GRID_CELLS = 4


class FeatureNetwork(Protocol):
    """Turns pictures into vectors; values of two different networks must never be compared."""

    name: str
    """Name and version: another version is another network."""
    sha256: str
    """Hash of the weights."""

    def describe(self, pictures: Sequence[RgbU8]) -> Features:
        """Return one vector a picture (N, D), for pictures of any sizes."""
        ...


class RandomVgg:
    """A VGG-like network with fixed random weights: texture, colour and rough layout.

    Three stages of two 3x3 convolutions with ReLU, 2x2 average pooling between stages. A picture's
    vector holds, for each convolution, the mean and the standard deviation of every channel; and
    of the second and third stage's first channels the means over a 4x4 grid, which see where
    things lie. Square roots are taken of all, so that strong edges do not outweigh everything.

    The weights come from the raw integers of PCG64, whose stream numpy promises never to change:
    uniform with He's variance; from the second layer on every 3x3 slice has its mean taken off, so
    that it answers to structure and not to brightness.
    """

    name = "random_vgg_v1"
    size_px = 128
    features = 2 * sum(_WIDTHS) + 2 * _GRID_CHANNELS * _GRID_CELLS**2

    def __init__(self) -> None:
        bits = np.random.PCG64(_SEED)
        shapes = [(wide, narrow, 3, 3) for narrow, wide in pairwise((3, *_WIDTHS))]
        weights = [_draw_weights(bits, shape) for shape in shapes]
        weights[1:] = [_without_mean(weight) for weight in weights[1:]]
        raw = b"".join(weight.astype("<f4").tobytes() for weight in weights)
        self.sha256 = hashlib.sha256(raw).hexdigest()
        self._weights = [torch.from_numpy(weight.astype(np.float32)) for weight in weights]

    @torch.inference_mode()
    def describe(self, pictures: Sequence[RgbU8]) -> Features:
        """Return the vectors (N, `features`), computed on the CPU at 128x128 pixels."""
        if not pictures:
            return np.zeros((0, self.features))
        resized = [resize_rgb(picture, self.size_px, self.size_px) for picture in pictures]
        x = to_signed(np.stack(resized))  # (N, 3, 128, 128)
        parts: list[Tensor] = []
        for layer, weight in enumerate(self._weights):
            x = F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), weight))  # (N, C, h, w)
            parts += [x.mean(dim=(2, 3)), x.std(dim=(2, 3), correction=0)]  # (N, C) each
            if layer in (3, 5):
                parts.append(F.adaptive_avg_pool2d(x[:, :_GRID_CHANNELS], _GRID_CELLS).flatten(1))
            if layer % 2:
                x = F.avg_pool2d(x, 2)
        return np.asarray(torch.cat(parts, dim=1).sqrt().numpy(), dtype=np.float64)


def load_feature_network(
    name: str, inception_weights: str | None = None, device: torch.device | None = None
) -> FeatureNetwork:
    """Return the feature network of that name.

    Args:
        name: `random_vgg`, which needs nothing, or `inception`.
        inception_weights: File of Inception's weights; None: where torch-fidelity keeps them.
        device: Where Inception runs; None: the CPU. `random_vgg` always runs on the CPU, so that
            its figures are the same for every device.

    Raises:
        ParamsError: There is none of that name, or no weights at that path.
        DeviceError: A library that it needs is not installed.
        CheckpointError: The weights are damaged or not Inception's.
    """
    if name == "random_vgg":
        return RandomVgg()
    if name == "inception":
        from .inception import Inception

        path = Path(inception_weights) if inception_weights else None
        return Inception(path, device or torch.device("cpu"))
    raise ParamsError(
        f"evaluate.feature_network: no network {name!r}", "one of: random_vgg, inception"
    )


def _draw_weights(bits: np.random.PCG64, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return He-uniform weights: the upper 53 bits of each raw integer as a number in [-b, b)."""
    raw = np.asarray(bits.random_raw(int(np.prod(shape))), dtype=np.uint64)
    bound = np.sqrt(6.0 / np.prod(shape[1:]))
    unit = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53  # exact
    return np.asarray((2.0 * unit - 1.0) * bound).reshape(shape)


def _without_mean(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights with the mean of every 3x3 slice taken off."""
    mean = np.zeros(weight.shape[:2])
    for row in range(3):  # one fixed order of additions, so that the bits are the same everywhere
        for column in range(3):
            mean += weight[:, :, row, column]
    return weight - (mean / 9.0)[:, :, None, None]
