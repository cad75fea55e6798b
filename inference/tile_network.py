"""The network of a mosaic: a generator whose norms take one statistic for all tiles of a picture.

U-GAT-IT's norms divide each picture by its own mean and variance, so tiles that are translated
alone disagree: a tile of sky is stretched until its noise fills the range, and next to it a face is
not. Here a first pass over samples of the picture takes the statistics of every norm over a whole
batch of them, layer by layer, and AdaLIN's gamma and beta with them; of several batches, each from
all over the picture, the mean counts. A second pass uses these for every tile: then the network is
one map of a pixel's surroundings, the same everywhere.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from anymus.errors import CheckpointError, DeviceError
from anymus.images import RgbU8
from anymus.torchlib import pick_device
from training.checkpoint import load_generator
from training.fused import NORM_EPS
from training.layers import LIN, AdaLIN, Forms, InstanceNorm, set_forms
from training.networks import FilmLayers, Generator, Translated
from training.weights_file import takes_any_size, unit_px

Tile = NDArray[np.float32]

# Largest use of memory in a pass, measured at 16 to 64 channels and 256 to 512 px: 35 to 40 bytes
# a pixel and channel of the first convolution, and some reserve; a few copies of the picture.
_BYTES_PER_VALUE = 46
_BYTES_PER_PICTURE_PIXEL = 70


class TileNetwork:
    """A generator at work on tiles of one picture after the other.

    Attributes:
        size_px: Side of the pictures that it was trained on.
        unit_px: Tiles must be a multiple of this.
        is_any_size: Whether it takes tiles of other sides than `size_px`.
        reach_px: How far the network sees around a pixel.
        pixel_bytes: Memory that it takes for each pixel of a batch of tiles.

    Args:
        generator: Its weights are shared, not copied, and moved to the device.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        DeviceError: The device is not on this machine.
    """

    def __init__(self, generator: Generator, device: str = "auto") -> None:
        self._device = pick_device(device)
        self._generator = _with_shared_norms(generator).to(self._device)
        modules = self._generator.modules()
        self._norms = [module for module in modules if isinstance(module, _SharedNorm)]
        arguments = generator.arguments
        self.size_px = int(arguments["image_size_px"])
        self.unit_px = unit_px(arguments)
        self.is_any_size = takes_any_size(arguments)
        self.reach_px = _reach_px(arguments)
        values = int(arguments["base_channels"])
        self.pixel_bytes = _BYTES_PER_VALUE * values + _BYTES_PER_PICTURE_PIXEL

    @classmethod
    def load(cls, path: Path, device: str = "auto") -> "TileNetwork":
        """Return the tile network of a weights file.

        Raises:
            CheckpointError: The file is missing, damaged or not a generator's.
            DeviceError: The device is not on this machine.
        """
        return cls(load_generator(path)[0], device)

    def fit(self, groups: Iterable[Sequence[RgbU8]]) -> Callable[[list[RgbU8]], list[Tile]]:
        """Return the translation of tiles that samples of their picture give the statistics of.

        The statistics are kept until the next call.

        Args:
            groups: At least one group of parts of the picture, each group from all over it, all
                parts of one size, (side, side, 3) each.

        Returns:
            A function of tiles of one size: for each (h, w, 4) float32, RGB in 0-255, not rounded,
            and the class activation map, without a range of its own.

        Raises:
            CheckpointError: The weights give values that are no numbers.
            DeviceError: The device has not enough memory for the samples.
        """
        for norm in self._norms:
            norm.forget()
        for samples in groups:
            self._forward(samples, is_fitting=True)
        return self._translate

    def _translate(self, tiles: list[RgbU8]) -> list[Tile]:
        translated = self._forward(tiles, is_fitting=False)
        rgb = (translated.image + 1.0) * 127.5
        heat = nn.functional.interpolate(translated.heatmap, rgb.shape[2:], mode="bilinear")
        stacked = torch.cat([rgb, heat], dim=1).permute(0, 2, 3, 1)  # (N, h, w, 4)
        return list(stacked.contiguous().cpu().numpy())

    @torch.inference_mode()
    def _forward(self, pictures: Sequence[RgbU8], *, is_fitting: bool) -> Translated:
        for norm in self._norms:
            norm.start_pass(is_fitting=is_fitting)
        batch = torch.from_numpy(np.stack(pictures)).to(self._device)
        try:
            translated: Translated = self._generator(batch.permute(0, 3, 1, 2).float() / 127.5 - 1)
        except torch.OutOfMemoryError as error:
            raise DeviceError(
                f"not enough memory on {self._device} for {len(pictures)} tiles of"
                f" {pictures[0].shape[0]} px at once",
                "use a smaller --max-memory",
            ) from error
        if not torch.isfinite(translated.image).all():
            raise CheckpointError("the weights give values that are no numbers", "train them again")
        return translated


class _SharedNorm(nn.Module):
    """A norm that works out an affine map from some batches and keeps to it for all others.

    A generator may use one norm at several places, so there is a map for each call of a pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forget()

    def forget(self) -> None:
        """Keep nothing, before the first of the batches to fit to."""
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._batches = 0
        self._calls = 0
        self._is_fitting = True

    def start_pass(self, *, is_fitting: bool) -> None:
        """Begin a forward pass over a batch to fit to, or over any other."""
        self._is_fitting = is_fitting
        self._batches += is_fitting
        self._calls = 0

    def keep(self, work_out: Callable[[], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Return a fitting batch's own map, which goes into the kept mean, or that mean."""
        call, self._calls = self._calls, self._calls + 1
        if not self._is_fitting:
            return self._kept[call]
        own = work_out()
        if call == len(self._kept):
            self._kept.append(own)
        else:
            scale, shift = self._kept[call]
            share = 1 / self._batches
            self._kept[call] = (torch.lerp(scale, own[0], share), torch.lerp(shift, own[1], share))
        return own


class _SharedInstanceNorm(_SharedNorm):
    def forward(self, x: Tensor) -> Tensor:
        scale, shift = self.keep(lambda: self._affine(x))
        return torch.addcmul(shift, x, scale)

    def _affine(self, x: Tensor) -> tuple[Tensor, Tensor]:
        var, mean = torch.var_mean(x, dim=(0, 2, 3), keepdim=True, correction=0)
        scale = torch.rsqrt(var + NORM_EPS)  # (1, C, 1, 1)
        return scale, -mean * scale


class _SharedLayerNorm(_SharedNorm):
    """AdaLIN, and LIN with gamma and beta of its own: `layers.instance_layer_norm` over a batch."""

    def __init__(self, norm: AdaLIN | LIN) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor, *film: Tensor) -> Tensor:
        scale, shift = self.keep(lambda: self._affine(x, *film))
        return torch.addcmul(shift, x, scale)

    def _affine(self, x: Tensor, *film: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and shift, (1, C, 1, 1) both."""
        gamma: Tensor
        beta: Tensor
        if isinstance(self.norm, LIN):
            gamma, beta = self.norm.gamma, self.norm.beta
        else:
            gamma, beta = (values[:, :, None, None] for values in film)
        in_var, in_mean = torch.var_mean(x, dim=(0, 2, 3), keepdim=True)
        ln_var, ln_mean = torch.var_mean(x)
        rho = self.norm.rho
        in_scale = rho * torch.rsqrt(in_var + NORM_EPS)
        ln_scale = (1 - rho) * torch.rsqrt(ln_var + NORM_EPS)
        shift = beta - gamma * (in_scale * in_mean + ln_scale * ln_mean)
        return gamma * (in_scale + ln_scale), shift


class _SharedFilm(_SharedNorm):
    """One gamma and beta for all: of the mean of pooled maps, or the mean over flattened ones."""

    def __init__(self, film: FilmLayers) -> None:
        super().__init__()
        self.film = film

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.keep(lambda: self._film(x))

    def _film(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.film.map_px is None:
            x = x.mean(dim=(0, 2, 3), keepdim=True)
        gamma, beta = self.film(x)
        return gamma.mean(dim=0, keepdim=True), beta.mean(dim=0, keepdim=True)


def _with_shared_norms(generator: Generator) -> Generator:
    """Return a generator of the same weights, not copied, with norms that share statistics."""
    shared_tensors = {id(p): p for p in (*generator.parameters(), *generator.buffers())}
    twin = copy.deepcopy(generator, shared_tensors).eval()
    for module in list(twin.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, InstanceNorm):
                module.register_module(name, _SharedInstanceNorm())
            elif isinstance(child, AdaLIN | LIN):
                module.register_module(name, _SharedLayerNorm(child))
            elif isinstance(child, FilmLayers):
                module.register_module(name, _SharedFilm(child))
    set_forms(twin, Forms(is_folded=True))
    return twin


def _reach_px(arguments: Mapping[str, Any]) -> int:
    """Return how many pixels beyond its own place an output pixel depends on, along an axis."""
    unit = unit_px(arguments)
    blocks, up_px, head_px = (
        int(arguments[name]) for name in ("residual_blocks", "up_kernel_px", "head_kernel_px")
    )
    below_unit = unit - 1  # 1 + 2 + 4 ...: a step at each size on the way down, or up
    in_blocks = 4 * unit * blocks  # two 3x3 convolutions each, in encoder and decoder
    return int(3 + below_unit + in_blocks + up_px // 2 * below_unit + unit + head_px // 2)
