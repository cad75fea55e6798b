"""Building blocks of the U-GAT-IT networks: convolutions, norms, attention, residual blocks."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everyone writes it

Padding = Literal["reflect", "zeros"]
Activation = Literal["relu", "leaky_relu"]

NORM_EPS = 1e-5
SPECTRAL_EPS = 1e-12
LEAKY_SLOPE = 0.2


def make_activation(name: Activation) -> nn.Module:
    """Return the in-place activation of that name; the leaky one has slope 0.2."""
    if name == "relu":
        return nn.ReLU(inplace=True)
    return nn.LeakyReLU(LEAKY_SLOPE, inplace=True)


class PaddedConv(nn.Conv2d):
    """A convolution that pads by itself, unevenly when its kernel is even.

    `pad_px` counts the pixels before and after each row and column; None keeps the map's size at
    stride 1 (an even kernel gets the extra pixel after).
    """

    def __init__(  # noqa: PLR0913 - the last five by keyword
        self,
        in_channels: int,
        out_channels: int,
        kernel_px: int,
        *,
        padding: Padding = "reflect",
        stride: int = 1,
        dilation: int = 1,
        pad_px: tuple[int, int] | None = None,
        has_bias: bool = False,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_px, stride=stride, dilation=dilation, bias=has_bias
        )
        total_px = dilation * (kernel_px - 1)
        before_px, after_px = pad_px or (total_px // 2, total_px - total_px // 2)
        self.pads_px = (before_px, after_px, before_px, after_px)
        self.pad_mode = "constant" if padding == "zeros" else "reflect"

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved map (N, C_out, H', W')."""
        return super().forward(F.pad(x, self.pads_px, mode=self.pad_mode))


def spectral_weight(weight: Tensor, u: Tensor, v: Tensor, *, is_updating: bool) -> Tensor:
    """Return the weight divided by its largest singular value, estimated by power iteration.

    Args:
        weight: (C_out, ...) raw weight; gradients flow to it, also through the estimate.
        u: (C_out,) left singular vector; replaced in place when `is_updating`.
        v: (the rest,) right singular vector; replaced in place when `is_updating`.
        is_updating: do one power iteration first (a forward pass in training mode).

    Source: Miyato et al. 2018, algorithm 1; the same sums as `torch.nn.utils.spectral_norm`.
    """
    matrix = weight.flatten(1)  # (C_out, C_in * kernel)
    if is_updating:
        with torch.no_grad():
            v.copy_(F.normalize(matrix.t().mv(u), dim=0, eps=SPECTRAL_EPS))
            u.copy_(F.normalize(matrix.mv(v), dim=0, eps=SPECTRAL_EPS))
    # Copies: a later pass writes into the buffers while this pass still waits for its backward.
    sigma = torch.dot(u.clone(), matrix.mv(v.clone()))
    return weight / sigma


def _unit_vector(length: int) -> Tensor:
    return F.normalize(torch.randn(length), dim=0, eps=SPECTRAL_EPS)


class SpectralConv(PaddedConv):
    """A padded convolution whose weight is spectrally normed on every forward pass.

    `weight` is the raw weight; the buffers `u` and `v` take part in the state dict.
    """

    u: Tensor
    v: Tensor

    def __init__(  # noqa: PLR0913 - the last five by keyword
        self,
        in_channels: int,
        out_channels: int,
        kernel_px: int,
        *,
        padding: Padding = "reflect",
        stride: int = 1,
        dilation: int = 1,
        pad_px: tuple[int, int] | None = None,
        has_bias: bool = True,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_px,
            padding=padding,
            stride=stride,
            dilation=dilation,
            pad_px=pad_px,
            has_bias=has_bias,
        )
        self.register_buffer("u", _unit_vector(out_channels))
        self.register_buffer("v", _unit_vector(in_channels * kernel_px * kernel_px))

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved map; in training mode also does one power iteration."""
        weight = spectral_weight(self.weight, self.u, self.v, is_updating=self.training)
        padded = F.pad(x, self.pads_px, mode=self.pad_mode)
        return F.conv2d(padded, weight, self.bias, stride=self.stride, dilation=self.dilation)


class SpectralLinear(nn.Linear):
    """A linear layer whose weight is spectrally normed on every forward pass."""

    u: Tensor
    v: Tensor

    def __init__(self, in_features: int, out_features: int, *, has_bias: bool = False) -> None:
        super().__init__(in_features, out_features, bias=has_bias)
        self.register_buffer("u", _unit_vector(out_features))
        self.register_buffer("v", _unit_vector(in_features))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out_features); in training mode also does one power iteration."""
        weight = spectral_weight(self.weight, self.u, self.v, is_updating=self.training)
        return F.linear(x, weight, self.bias)


def instance_layer_norm(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Return gamma * (rho * IN(x) + (1 - rho) * LN(x)) + beta, as one affine map per channel.

    Both norms use the unbiased variance and eps 1e-5. The statistics of the layer follow from
    those of the channels, so x is read once for them and once for the result.

    Args:
        x: (N, C, H, W), with H * W > 1.
        rho: (1, C, 1, 1), within [0, 1].
        gamma: (N or 1, C, 1, 1).
        beta: (N or 1, C, 1, 1).

    Source: Kim et al. 2020 (arXiv:1907.10830), equation 1.
    """
    channels, pixels = x.shape[1], x.shape[2] * x.shape[3]
    in_var, in_mean = torch.var_mean(x, dim=(2, 3), keepdim=True)  # (N, C, 1, 1) each
    ln_mean = in_mean.mean(dim=1, keepdim=True)  # (N, 1, 1, 1)
    within = (pixels - 1) * in_var.sum(dim=1, keepdim=True)
    between = pixels * (in_mean - ln_mean).square().sum(dim=1, keepdim=True)
    ln_var = (within + between) / (channels * pixels - 1)
    in_scale = rho * torch.rsqrt(in_var + NORM_EPS)
    ln_scale = (1 - rho) * torch.rsqrt(ln_var + NORM_EPS)
    scale = gamma * (in_scale + ln_scale)
    shift = beta - gamma * (in_scale * in_mean + ln_scale * ln_mean)
    return torch.addcmul(shift, x, scale)


class AdaLIN(nn.Module):
    """Adaptive layer-instance normalisation: gamma and beta come from outside, per image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((1, channels, 1, 1), 0.9))

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """Return x (N, C, H, W) normed, scaled by gamma (N, C) and shifted by beta (N, C)."""
        return instance_layer_norm(x, self.rho, gamma[:, :, None, None], beta[:, :, None, None])


class LIN(nn.Module):
    """Layer-instance normalisation with gamma and beta of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return x (N, C, H, W) normed."""
        return instance_layer_norm(x, self.rho, self.gamma, self.beta)


class Attended(NamedTuple):
    """What CAM attention gives back."""

    features: Tensor  # (N, C, H, W)
    logits: Tensor  # (N, 2): from average pooling, from maximum pooling
    heatmap: Tensor  # (N, 1, H, W), no fixed range


class CamAttention(nn.Module):
    """Class activation map attention: an auxiliary classifier's weights weigh the channels.

    Two linears C -> 1 classify the pooled maps; the maps times each linear's raw weight are
    concatenated and mixed back to C channels. With `is_spectral` the logits use the spectrally
    normed weights, the maps still the raw ones.
    """

    def __init__(
        self, channels: int, *, activation: Activation, has_bias: bool, is_spectral: bool
    ) -> None:
        super().__init__()
        self.average: nn.Linear | SpectralLinear
        self.maximum: nn.Linear | SpectralLinear
        if is_spectral:
            self.average = SpectralLinear(channels, 1, has_bias=has_bias)
            self.maximum = SpectralLinear(channels, 1, has_bias=has_bias)
        else:
            self.average = nn.Linear(channels, 1, bias=has_bias)
            self.maximum = nn.Linear(channels, 1, bias=has_bias)
        self.mix = nn.Conv2d(2 * channels, channels, kernel_size=1)
        self.activation = make_activation(activation)

    def forward(self, x: Tensor) -> Attended:
        """Return the attended features, the classifier's logits and the heatmap."""
        average_logit = self.average(x.mean(dim=(2, 3)))
        maximum_logit = self.maximum(x.flatten(2).max(dim=2).values)
        by_average = x * self.average.weight[:, :, None, None]
        by_maximum = x * self.maximum.weight[:, :, None, None]
        x = self.activation(self.mix(torch.cat([by_average, by_maximum], dim=1)))
        logits = torch.cat([average_logit, maximum_logit], dim=1)  # (N, 2)
        return Attended(x, logits, x.sum(dim=1, keepdim=True))


class ResidualBlock(nn.Module):
    """The encoder's block: x + IN(conv(act(IN(conv(x))))), 3x3, no bias."""

    def __init__(self, channels: int, *, activation: Activation, padding: Padding) -> None:
        super().__init__()
        self.conv1 = PaddedConv(channels, channels, 3, padding=padding)
        self.conv2 = PaddedConv(channels, channels, 3, padding=padding)
        self.activation = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of x's shape (N, C, H, W)."""
        y = self.activation(F.instance_norm(self.conv1(x)))
        y = F.instance_norm(self.conv2(y))
        return x + y


class AdaLINBlock(nn.Module):
    """The decoder's block: x + AdaLIN(conv(act(AdaLIN(conv(x))))), 3x3, no bias."""

    def __init__(self, channels: int, *, activation: Activation, padding: Padding) -> None:
        super().__init__()
        self.conv1 = PaddedConv(channels, channels, 3, padding=padding)
        self.norm1 = AdaLIN(channels)
        self.conv2 = PaddedConv(channels, channels, 3, padding=padding)
        self.norm2 = AdaLIN(channels)
        self.activation = make_activation(activation)

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """Return a map of x's shape (N, C, H, W); gamma and beta are (N, C)."""
        y: Tensor = self.activation(self.norm1(self.conv1(x), gamma, beta))
        y = self.norm2(self.conv2(y), gamma, beta)
        return x + y
