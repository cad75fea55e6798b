"""The networks of U-GAT-IT (arXiv:1907.10830): generator, discriminator, and the set of them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everyone writes it
from torch.utils.checkpoint import checkpoint

from .fused import widened
from .layers import (
    LIN,
    Activation,
    AdaLIN,
    AdaLINBlock,
    CamAttention,
    InstanceNorm,
    PaddedConv,
    Padding,
    ResidualBlock,
    SpectralConv,
    UpConv,
    make_activation,
)

Film = Literal["flatten", "pooled"]
PAPER_CHANNEL_MULTIPLIERS = (2, 4)


class Translated(NamedTuple):
    """What a generator gives back."""

    image: Tensor  # (N, 3, H, W) in [-1, 1]
    cam_logits: Tensor  # (N, 2)
    heatmap: Tensor  # (N, 1, h, w), no fixed range


class Judged(NamedTuple):
    """What a discriminator gives back."""

    patch: Tensor  # (N, 1, h, w): towards 1 for real, 0 for fake
    cam_logits: Tensor  # (N, 2)
    heatmap: Tensor  # (N, 1, h', w'), no fixed range


class FilmLayers(nn.Module):
    """The fully connected layers that make AdaLIN's gamma and beta from the attended map.

    `flatten` reads the whole map (the paper; fixes the image size), `pooled` its global average
    (the light variant; any size).
    """

    def __init__(self, channels: int, *, film: Film, map_px: int) -> None:
        super().__init__()
        self.map_px = map_px if film == "flatten" else None
        features = channels * map_px * map_px if film == "flatten" else channels
        self.hidden1 = nn.Linear(features, channels, bias=False)
        self.hidden2 = nn.Linear(channels, channels, bias=False)
        self.gamma = nn.Linear(channels, channels, bias=False)
        self.beta = nn.Linear(channels, channels, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return gamma and beta, (N, C) each.

        Raises:
            ValueError: the map is not of the size that `flatten` was built for.
        """
        if self.map_px is None:
            y = x.mean(dim=(2, 3))  # (N, C)
        elif x.shape[2:] == (self.map_px, self.map_px):
            y = x.flatten(1)  # (N, C * H * W)
        else:
            seen_px = f"{x.shape[3]}x{x.shape[2]}"
            raise ValueError(
                f"film 'flatten' was built for maps of {self.map_px}x{self.map_px} px,"
                f" not {seen_px}: 'pooled' takes any image size"
            )
        y = F.relu(self.hidden2(F.relu(self.hidden1(y))))
        return self.gamma(y), self.beta(y)


class Generator(nn.Module):
    """Translates an image of one domain into the other.

    The defaults are the paper's. `arguments` holds what it was built from, so that
    `Generator(**generator.arguments)` has the same shape.

    Args:
        base_channels: channels of the first convolution (64 in the paper).
        image_size_px: side of the square image; only `flatten` depends on it.
        residual_blocks: blocks in the encoder, and as many in the decoder.
        film: how gamma and beta are made, see `FilmLayers`.
        channel_multipliers: channels after each halving, in multiples of `base_channels`; as many
            halvings as entries.
        activation: between the convolutions of encoder and decoder.
        padding: at the borders of every convolution.
        has_cam_bias: whether the CAM classifiers have a bias.
        up_kernel_px: kernel after each doubling.
        head_kernel_px: kernel of the last convolution.

    Attributes:
        is_checkpointing: compute the pass again for its gradients instead of keeping it.
    """

    is_checkpointing = False

    def __init__(  # noqa: PLR0913 - all by keyword
        self,
        *,
        base_channels: int,
        image_size_px: int,
        residual_blocks: int,
        film: Film,
        channel_multipliers: Sequence[int] = PAPER_CHANNEL_MULTIPLIERS,
        activation: Activation = "relu",
        padding: Padding = "reflect",
        has_cam_bias: bool = False,
        up_kernel_px: int = 3,
        head_kernel_px: int = 7,
    ) -> None:
        super().__init__()
        self.arguments: dict[str, Any] = {
            "base_channels": base_channels,
            "image_size_px": image_size_px,
            "residual_blocks": residual_blocks,
            "film": film,
            "channel_multipliers": list(channel_multipliers),
            "activation": activation,
            "padding": padding,
            "has_cam_bias": has_cam_bias,
            "up_kernel_px": up_kernel_px,
            "head_kernel_px": head_kernel_px,
        }
        widths = [base_channels, *(base_channels * m for m in channel_multipliers)]
        width = widths[-1]
        self.activation = make_activation(activation)

        # Encoder: full resolution, then one halving for each multiplier.
        self.norm = InstanceNorm()
        self.stem = PaddedConv(3, base_channels, 7, padding=padding)
        self.down_convs = nn.ModuleList(
            PaddedConv(narrow, wide, 3, stride=2, padding=padding)
            for narrow, wide in pairwise(widths)
        )
        self.encoder_blocks = nn.ModuleList(
            ResidualBlock(width, activation=activation, padding=padding)
            for _ in range(residual_blocks)
        )

        # Attention, and the gamma and beta that every decoder block shares.
        self.cam = CamAttention(
            width, activation=activation, has_bias=has_cam_bias, is_spectral=False
        )
        map_px = image_size_px // 2 ** len(channel_multipliers)
        self.film = FilmLayers(width, film=film, map_px=map_px)

        # Decoder: the encoder's widths backwards.
        self.decoder_blocks = nn.ModuleList(
            AdaLINBlock(width, activation=activation, padding=padding)
            for _ in range(residual_blocks)
        )
        self.up_convs = nn.ModuleList(
            UpConv(wide, narrow, up_kernel_px, padding=padding)
            for wide, narrow in pairwise(reversed(widths))
        )
        self.up_norms = nn.ModuleList(LIN(narrow) for narrow in reversed(widths[:-1]))
        self.head = PaddedConv(base_channels, 3, head_kernel_px, padding=padding)

    def forward(self, x: Tensor) -> Translated:
        """Return the translation of x (N, 3, H, W) in [-1, 1].

        H and W are multiples of 2 ** halvings; with film `flatten` both are `image_size_px`.
        """
        if self.is_checkpointing and torch.is_grad_enabled():
            return Translated(*checkpoint(self._translate, x, use_reentrant=False))
        return self._translate(x)

    def _translate(self, x: Tensor) -> Translated:
        x = self.activation(self.norm(self.stem(x)))  # (N, base, H, W)
        for conv in self.down_convs:
            x = self.activation(self.norm(conv(x)))
        for block in self.encoder_blocks:
            x = block(x)  # (N, C, h, w)
        x, cam_logits, heatmap = self.cam(x)
        gamma, beta = self.film(x)  # (N, C) each
        for block in self.decoder_blocks:
            x = block(x, gamma, beta)
        for conv, norm in zip(self.up_convs, self.up_norms, strict=True):
            x = self.activation(norm(conv(x)))
        image = torch.tanh(widened(self.head(x)))  # (N, 3, H, W)
        return Translated(image, widened(cam_logits), heatmap)

    @torch.no_grad()
    def clip_rho(self) -> None:
        """Clip every rho of AdaLIN and LIN to [0, 1], in place; due after each optimiser step."""
        for module in self.modules():
            if isinstance(module, AdaLIN | LIN):
                module.rho.clamp_(0.0, 1.0)

    @torch.no_grad()
    def follow(self, other: "Generator", decay: float) -> None:
        """Move the weights towards another generator's, in place: a running mean of them."""
        torch._foreach_lerp_(list(self.parameters()), list(other.parameters()), 1.0 - decay)


class Discriminator(nn.Module):
    """Judges patches of an image as real or fake, with spectral norm and CAM attention.

    Args:
        base_channels: channels of the first convolution (64 in the paper).
        layers: 4x4 convolutions down to the patch map, counted as in the paper: layers - 2 that
            halve, one more that widens, one to the map. 7 is the global one, 5 the local one.
        dilations: one more 3x3 convolution with that dilation each, at the smallest map's
            resolution: they widen the receptive field at no loss of resolution.
        padding: at the borders of every convolution. A reflection needs a map larger than itself:
            for dilations on small images take zeros.
        has_cam_bias: whether the CAM classifiers have a bias.
    """

    def __init__(
        self,
        *,
        base_channels: int,
        layers: int,
        dilations: Sequence[int] = (),
        padding: Padding = "reflect",
        has_cam_bias: bool = False,
    ) -> None:
        super().__init__()
        halvings = layers - 2
        widths = [3, *(base_channels * 2**i for i in range(halvings))]
        self.down_convs = nn.ModuleList(
            SpectralConv(narrow, wide, 4, stride=2, pad_px=(1, 1), padding=padding)
            for narrow, wide in pairwise(widths)
        )
        self.dilated_convs = nn.ModuleList(
            SpectralConv(widths[-1], widths[-1], 3, dilation=dilation, padding=padding)
            for dilation in dilations
        )
        width = base_channels * 2**halvings
        self.widen = SpectralConv(widths[-1], width, 4, pad_px=(1, 1), padding=padding)
        self.activation = make_activation("leaky_relu")
        self.cam = CamAttention(
            width, activation="leaky_relu", has_bias=has_cam_bias, is_spectral=True
        )
        self.head = SpectralConv(width, 1, 4, pad_px=(1, 1), padding=padding, has_bias=False)

    def forward(self, x: Tensor, counts: Sequence[int] | None = None) -> Judged:
        """Return the patch map of x (N, 3, H, W) in [-1, 1].

        In training mode every spectral norm does one power iteration.

        Args:
            x: images; with `counts`, those of several passes one after another.
            counts: images of each pass, N in all. Every pass has its own power iteration, as if
                it had been made alone; None: one pass.
        """
        if counts is not None and not self.head.forms.is_spectral_scaled:
            judged = [self(part) for part in torch.split(x, list(counts))]
            return Judged(*(torch.cat(parts) for parts in zip(*judged, strict=True)))
        for conv in (*self.down_convs, *self.dilated_convs, self.widen):
            x = self.activation(conv(x, counts))
        x, cam_logits, heatmap = self.cam(x, counts)
        return Judged(widened(self.head(x, counts)), widened(cam_logits), heatmap)


class Networks(nn.Module):
    """All networks of one training: two generators and the discriminators of both domains.

    Args:
        generator: arguments of both generators.
        discriminators: arguments of the discriminators of a domain by their name, as
            {"global": {...}, "local": {...}}; every domain gets its own of each.

    Attributes:
        discriminators: by name and domain: `global_a`, `local_a`, `global_b`, `local_b`.
        discriminator_arguments: what they were built from, by name.
    """

    def __init__(
        self, generator: Mapping[str, Any], discriminators: Mapping[str, Mapping[str, Any]]
    ) -> None:
        super().__init__()
        self.generator_a2b = Generator(**generator)
        self.generator_b2a = Generator(**generator)
        self.discriminator_arguments = {n: dict(shape) for n, shape in discriminators.items()}
        self.discriminators = nn.ModuleDict(
            {
                f"{name}_{domain}": Discriminator(**arguments)
                for domain in ("a", "b")
                for name, arguments in discriminators.items()
            }
        )

    def judges_of(self, domain: Literal["a", "b"]) -> Iterator[tuple[str, nn.Module]]:
        """Yield (name, discriminator) of one domain: `global_a`, `local_a` for "a"."""
        return (
            (name, network)
            for name, network in self.discriminators.items()
            if name.endswith(f"_{domain}")
        )

    def judges(self) -> Iterator[nn.Module]:
        """Yield the discriminators of both domains."""
        return iter(self.discriminators.values())

    def generator_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of both generators, a2b first."""
        yield from self.generator_a2b.parameters()
        yield from self.generator_b2a.parameters()


def build_networks(
    generator: Mapping[str, Any], discriminators: Mapping[str, Mapping[str, Any]], *, seed: int
) -> Networks:
    """Return freshly initialised networks on the CPU; their weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Networks(generator, discriminators)
