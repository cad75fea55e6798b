"""Building blocks of the U-GAT-IT networks: convolutions, norms, attention, residual blocks."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everyone writes it

from .fused import (
    NORM_EPS,
    PadMode,
    folded_upsampling_conv,
    fused_instance_layer_norm,
    fused_instance_norm,
    pad_map,
)

Padding = Literal["reflect", "zeros"]
Activation = Literal["relu", "leaky_relu"]

SPECTRAL_EPS = 1e-12
LEAKY_SLOPE = 0.2


class Forms(NamedTuple):
    """Which of two forms of the same mathematics the layers compute in; they differ in rounding.

    All False is what the official port computes, operation by operation.
    """

    is_norm_fused: bool = False  # norms with a backward pass of their own
    is_folded: bool = False  # doubling folded into its convolution, CAM weights into the mixing one
    is_spectral_scaled: bool = False  # outputs divided by the singular value, not the weights


def set_forms(module: nn.Module, forms: Forms) -> None:
    """Make every layer of this module, in place, compute in these forms from now on."""
    for layer in module.modules():
        if isinstance(layer, AdaLIN | LIN | InstanceNorm | UpConv | CamAttention | _Spectral):
            layer.forms = forms


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
        self.pad_mode: PadMode = "constant" if padding == "zeros" else "reflect"

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved map (N, C_out, H', W')."""
        return super().forward(pad_map(x, self.pads_px, self.pad_mode))


class UpConv(PaddedConv):
    """A padded convolution of a map that is first doubled to its nearest pixels."""

    forms = Forms()

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved map (N, C_out, 2 H, 2 W)."""
        if self.forms.is_folded and self.kernel_size == (3, 3) and self.bias is None:
            return folded_upsampling_conv(x, self.weight, is_reflecting=self.pad_mode == "reflect")
        return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest"))


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


def singular_values(
    weight: Tensor, u: Tensor, v: Tensor, *, passes: int, is_updating: bool
) -> Tensor:
    """Return what each of several passes divides the weight by, (passes,), in one sum.

    The same estimates as `spectral_weight` makes in as many calls.

    Args:
        weight: (C_out, C_in, ...) raw weight; gradients flow to it.
        u: (C_out,) left singular vector; replaced in place when `is_updating`.
        v: (the rest,) right singular vector; replaced in place when `is_updating`.
        passes: forward passes, each with its own estimate.
        is_updating: do one power iteration before each pass.
    """
    # Channels last: so the weight is a matrix as it lies in memory, and needs no copy.
    matrix = weight.movedim(1, -1).flatten(1)
    right_map = v.view(weight.shape[1:]).movedim(0, -1)  # a view of v in the matrix's order
    left, right = u.clone(), right_map.flatten().clone()
    lefts, rights = [], []
    with torch.no_grad():
        for _ in range(passes):
            if is_updating:
                right = F.normalize(matrix.t().mv(left), dim=0, eps=SPECTRAL_EPS)
                left = F.normalize(matrix.mv(right), dim=0, eps=SPECTRAL_EPS)
            lefts.append(left)
            rights.append(right)
        if is_updating:
            u.copy_(left)
            right_map.copy_(right.view(right_map.shape))
    return (torch.stack(lefts) * (torch.stack(rights) @ matrix.t())).sum(dim=1)


def _unit_vector(length: int) -> Tensor:
    return F.normalize(torch.randn(length), dim=0, eps=SPECTRAL_EPS)


class _Spectral(nn.Module):
    """What a spectrally normed layer has: a raw weight, both singular vectors, and two forms."""

    weight: Tensor
    u: Tensor
    v: Tensor
    kept_vectors: tuple[Tensor, Tensor]  # u and v at the start of an accumulated step
    forms = Forms()

    def _normed_weight(self) -> Tensor:
        with torch.autocast(self.weight.device.type, enabled=False):
            return spectral_weight(self.weight, self.u, self.v, is_updating=self.training)

    def _scales(self, counts: Sequence[int]) -> Tensor:
        """Return (N,): what each image's output is multiplied by, pass by pass."""
        with torch.autocast(self.weight.device.type, enabled=False):
            values = singular_values(
                self.weight, self.u, self.v, passes=len(counts), is_updating=self.training
            )
            scales = torch.split(values.reciprocal(), 1)
            pairs = zip(scales, counts, strict=True)
            return torch.cat([scale.expand(count) for scale, count in pairs])


class SpectralConv(_Spectral, PaddedConv):
    """A padded convolution whose weight is spectrally normed on every forward pass.

    `weight` is the raw weight; the buffers `u` and `v` take part in the state dict.
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

    def forward(self, x: Tensor, counts: Sequence[int] | None = None) -> Tensor:
        """Return the convolved map; in training mode also does one power iteration a pass.

        Args:
            x: (N, C, H, W).
            counts: images of each pass that x holds one after another; None: one pass. Only the
                scaled form takes more than one.
        """
        padded = pad_map(x, self.pads_px, self.pad_mode)
        if not self.forms.is_spectral_scaled:
            assert counts is None or len(counts) == 1
            weight, bias = self._normed_weight(), self.bias
            return F.conv2d(padded, weight, bias, stride=self.stride, dilation=self.dilation)
        scales = self._scales(counts or [len(x)])[:, None, None, None]
        y = F.conv2d(padded, self.weight, stride=self.stride, dilation=self.dilation)
        if self.bias is None:
            return (y * scales).to(y.dtype)
        return torch.addcmul(self.bias[:, None, None], y, scales).to(y.dtype)


class SpectralLinear(_Spectral, nn.Linear):
    """A linear layer whose weight is spectrally normed on every forward pass."""

    def __init__(self, in_features: int, out_features: int, *, has_bias: bool = False) -> None:
        super().__init__(in_features, out_features, bias=has_bias)
        self.register_buffer("u", _unit_vector(out_features))
        self.register_buffer("v", _unit_vector(in_features))

    def forward(self, x: Tensor, counts: Sequence[int] | None = None) -> Tensor:
        """Return (N, out_features); see `SpectralConv.forward`."""
        if not self.forms.is_spectral_scaled:
            assert counts is None or len(counts) == 1
            return F.linear(x, self._normed_weight(), self.bias)
        y = F.linear(x, self.weight) * self._scales(counts or [len(x)])[:, None]
        return y if self.bias is None else y + self.bias


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


class InstanceNorm(nn.Module):
    """Instance normalisation without an affine part, eps 1e-5, biased variance."""

    forms = Forms()

    def forward(self, x: Tensor) -> Tensor:
        """Return x (N, C, H, W) with mean 0 and variance 1 in each channel of each image."""
        return fused_instance_norm(x) if self.forms.is_norm_fused else F.instance_norm(x)


class AdaLIN(nn.Module):
    """Adaptive layer-instance normalisation: gamma and beta come from outside, per image."""

    forms = Forms()

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((1, channels, 1, 1), 0.9))

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """Return x (N, C, H, W) normed, scaled by gamma (N, C) and shifted by beta (N, C)."""
        norm = fused_instance_layer_norm if self.forms.is_norm_fused else instance_layer_norm
        return norm(x, self.rho, gamma[:, :, None, None], beta[:, :, None, None])


class LIN(nn.Module):
    """Layer-instance normalisation with gamma and beta of its own."""

    forms = Forms()

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return x (N, C, H, W) normed."""
        norm = fused_instance_layer_norm if self.forms.is_norm_fused else instance_layer_norm
        return norm(x, self.rho, self.gamma, self.beta)


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

    forms = Forms()

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

    def forward(self, x: Tensor, counts: Sequence[int] | None = None) -> Attended:
        """Return the attended features, the classifier's logits and the heatmap.

        `counts` says which images of x belong to one pass, see `SpectralConv.forward`.
        """
        pass_counts = () if counts is None else (counts,)
        average_logit = self.average(x.mean(dim=(2, 3)), *pass_counts)
        maximum_logit = self.maximum(x.flatten(2).max(dim=2).values, *pass_counts)
        x = self.activation(self._mixed(x))
        logits = torch.cat([average_logit, maximum_logit], dim=1)  # (N, 2)
        return Attended(x, logits, x.sum(dim=1, keepdim=True))

    def _mixed(self, x: Tensor) -> Tensor:
        """Return the 1x1 convolution of both weighted copies of x (N, C, H, W)."""
        by_average, by_maximum = self.average.weight, self.maximum.weight  # (1, C) each
        if not self.forms.is_folded:
            copies = [x * by_average[:, :, None, None], x * by_maximum[:, :, None, None]]
            return self.mix(torch.cat(copies, dim=1))  # type: ignore[no-any-return]
        of_average, of_maximum = self.mix.weight.flatten(1).chunk(2, dim=1)  # (C, C) each
        weight = of_average * by_average + of_maximum * by_maximum
        return F.conv2d(x, weight[:, :, None, None], self.mix.bias)


class ResidualBlock(nn.Module):
    """The encoder's block: x + IN(conv(act(IN(conv(x))))), 3x3, no bias."""

    def __init__(self, channels: int, *, activation: Activation, padding: Padding) -> None:
        super().__init__()
        self.conv1 = PaddedConv(channels, channels, 3, padding=padding)
        self.conv2 = PaddedConv(channels, channels, 3, padding=padding)
        self.norm = InstanceNorm()
        self.activation = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of x's shape (N, C, H, W)."""
        y: Tensor = self.activation(self.norm(self.conv1(x)))
        y = self.norm(self.conv2(y))
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
