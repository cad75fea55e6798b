"""Forms of U-GAT-IT's layers that cost less and compute the same, with backward passes of our own.

A norm is one affine map per image and channel, so its backward pass needs two sums a channel and
one more affine map. The plain forms in `layers` are what these are tested against, and what
`torch.compile` turns into good kernels by itself.
"""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as everyone writes it

Pads = tuple[int, int, int, int]  # left, right, top, bottom; pixels
PadMode = Literal["constant", "reflect", "replicate"]

NORM_EPS = 1e-5


def widened(x: Tensor) -> Tensor:
    """Return x itself, or x in single precision where it has half of that."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _apply(x: Tensor, wide: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return scale * x + shift (N, C, H, W) in the type of x; `wide` is x in full precision."""
    return torch.addcmul(shift, wide, scale).to(x.dtype)


def _channel_sums(grad: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums of grad and of grad * x over each channel, (N, C, 1, 1) both."""
    return grad.sum(dim=(2, 3), keepdim=True), (grad * x).sum(dim=(2, 3), keepdim=True)


class _InstanceNorm(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps) for each channel of each image, with the biased variance."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        wide = widened(x)
        var, mean = torch.var_mean(wide, dim=(2, 3), keepdim=True, correction=0)
        scale = torch.rsqrt(var + NORM_EPS)  # (N, C, 1, 1)
        ctx.save_for_backward(x, mean, scale)
        return _apply(x, wide, scale, -mean * scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        x, mean, scale = ctx.saved_tensors
        wide, wide_grad = widened(x), widened(grad)
        pixels = x.shape[2] * x.shape[3]
        grad_sum, grad_x_sum = _channel_sums(wide_grad, wide)
        slope = -(grad_x_sum - mean * grad_sum) * scale.pow(3) / pixels
        level = -grad_sum * scale / pixels - slope * mean
        return torch.addcmul(level, wide_grad, scale).addcmul_(wide, slope).to(x.dtype)


class _InstanceLayerNorm(torch.autograd.Function):
    """The mathematics of `layers.instance_layer_norm`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        channels, pixels = x.shape[1], x.shape[2] * x.shape[3]
        wide = widened(x)
        rho, gamma, beta = widened(rho), widened(gamma), widened(beta)
        in_var, in_mean = torch.var_mean(wide, dim=(2, 3), keepdim=True)  # (N, C, 1, 1)
        ln_mean = in_mean.mean(dim=1, keepdim=True)  # (N, 1, 1, 1)
        within = (pixels - 1) * in_var.sum(dim=1, keepdim=True)
        between = pixels * (in_mean - ln_mean).square().sum(dim=1, keepdim=True)
        ln_var = (within + between) / (channels * pixels - 1)
        in_scale, ln_scale = torch.rsqrt(in_var + NORM_EPS), torch.rsqrt(ln_var + NORM_EPS)
        in_part, ln_part = rho * in_scale, (1 - rho) * ln_scale
        scale = gamma * (in_part + ln_part)
        shift = beta - gamma * (in_part * in_mean + ln_part * ln_mean)
        ctx.save_for_backward(x, rho, gamma, in_mean, ln_mean, in_scale, ln_scale)
        return _apply(x, wide, scale, shift)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, rho, gamma, in_mean, ln_mean, in_scale, ln_scale = ctx.saved_tensors
        wide, wide_grad = widened(x), widened(grad)
        channels, pixels = x.shape[1], x.shape[2] * x.shape[3]
        grad_sum, grad_x_sum = _channel_sums(wide_grad, wide)
        # Sums of grad times the centred x: what the scales of the two norms feel.
        in_sum = grad_x_sum - in_mean * grad_sum
        ln_sum = grad_x_sum - ln_mean * grad_sum
        in_part, ln_part = rho * in_scale, (1 - rho) * ln_scale
        grad_gamma = in_part * in_sum + ln_part * ln_sum
        grad_rho = (gamma * (in_scale * in_sum - ln_scale * ln_sum)).sum(dim=0, keepdim=True)
        # Through the variances: d rsqrt(v) / dv = -rsqrt(v)^3 / 2.
        grad_ln_scale = ((1 - rho) * gamma * ln_sum).sum(dim=1, keepdim=True)
        grad_ln_var = -0.5 * grad_ln_scale * ln_scale.pow(3) / (channels * pixels - 1)
        grad_in_var = -0.5 * rho * gamma * in_sum * in_scale.pow(3) / (pixels - 1) + grad_ln_var
        # Through the means.
        grad_ln_mean = -(gamma * ln_part * grad_sum).sum(dim=1, keepdim=True) / channels
        grad_in_mean = (
            grad_ln_mean
            - gamma * in_part * grad_sum
            + 2 * pixels * grad_ln_var * (in_mean - ln_mean)
        )
        slope = 2 * grad_in_var
        level = grad_in_mean / pixels - slope * in_mean
        scale = gamma * (in_part + ln_part)
        grad_x = torch.addcmul(level, wide_grad, scale).addcmul_(wide, slope).to(x.dtype)
        is_shared = gamma.shape[0] == 1 and x.shape[0] > 1
        if is_shared:
            grad_gamma = grad_gamma.sum(dim=0, keepdim=True)
            grad_sum = grad_sum.sum(dim=0, keepdim=True)
        return grad_x, grad_rho, grad_gamma, grad_sum


def fused_instance_norm(x: Tensor) -> Tensor:
    """Return what `torch.nn.functional.instance_norm` returns for x (N, C, H, W)."""
    y: Tensor = _InstanceNorm.apply(x)  # type: ignore[no-untyped-call]
    return y


def fused_instance_layer_norm(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Return what `layers.instance_layer_norm` returns; only x is kept for the backward pass."""
    y: Tensor = _InstanceLayerNorm.apply(x, rho, gamma, beta)  # type: ignore[no-untyped-call]
    return y


def folded_upsampling_conv(x: Tensor, weight: Tensor, *, is_reflecting: bool) -> Tensor:
    """Return a 3x3 convolution of the map doubled to its nearest pixels, computed on x itself.

    Every second row of the doubled map repeats the one before, so each output pixel sees only 2x2
    pixels of x: four 2x2 convolutions, one for each parity of row and column, 4/9 of the
    multiplications. Doubling and then reflecting one pixel repeats the border of x.

    Args:
        x: (N, C_in, h, w).
        weight: (C_out, C_in, 3, 3).
        is_reflecting: what the convolution sees at the border: the doubled map reflected by one
            pixel, or zeros.
    """
    rows = _halved_kernels(weight, dim=2)  # for even and for odd output rows
    phases = [kernel for row in rows for kernel in _halved_kernels(row, dim=3)]
    padded = pad_map(x, (1, 1, 1, 1), "replicate" if is_reflecting else "constant")
    y = F.conv2d(padded, torch.cat(phases))  # (N, 4 C_out, h + 1, w + 1)
    interleaved: Tensor = _Interleave.apply(y)  # type: ignore[no-untyped-call]
    return interleaved


def pad_map(x: Tensor, pads_px: Pads, mode: PadMode) -> Tensor:
    """Return what `torch.nn.functional.pad` returns for x (N, C, H, W), in the quickest way."""
    if torch.compiler.is_compiling() and mode == "replicate":
        return _joined(x, pads_px)
    if mode == "constant" or x.device.type == "cpu" or torch.compiler.is_compiling():
        return F.pad(x, pads_px, mode=mode)
    return pad_channels_last(x, pads_px, mode)


def pad_channels_last(x: Tensor, pads_px: Pads, mode: PadMode) -> Tensor:
    """Return x (N, C, H, W) reflected or replicated at its borders, for maps on a GPU.

    There torch's own take and give contiguous maps, between convolutions that want channels last,
    and their backward passes add in no fixed order. Here the channels are one more dimension of a
    picture that is not padded, so maps stay as they lie, and the backward pass adds row by row and
    column by column: it repeats to the bit.
    """
    y: Tensor = _PadChannelsLast.apply(x, pads_px, mode)  # type: ignore[no-untyped-call]
    return y


def _joined(x: Tensor, pads_px: Pads) -> Tensor:
    """Return x with its outermost pixels repeated, for the compiler.

    It expects another memory layout of the backward pass of `replicate` than channels last has
    (torch 2.13), so it is shown copies to join.
    """
    assert set(pads_px) == {1}
    x = torch.cat([x[:, :, :1], x, x[:, :, -1:]], dim=2)
    return torch.cat([x[..., :1], x, x[..., -1:]], dim=3)


class _PadChannelsLast(torch.autograd.Function):
    """`pad_channels_last`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pads_px: Pads, mode: PadMode) -> Tensor:
        ctx.pads_px, ctx.mode = pads_px, mode
        pictures = x.permute(0, 2, 3, 1).contiguous()[:, None]  # (N, 1, H, W, C)
        padded = F.pad(pictures, (0, 0, *pads_px), mode=mode)
        return padded[:, 0].permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        left, right, top, bottom = ctx.pads_px
        grad = _folded(grad, 2, (top, bottom), ctx.mode)
        return _folded(grad, 3, (left, right), ctx.mode), None, None


def _folded(grad: Tensor, dim: int, pads_px: tuple[int, int], mode: PadMode) -> Tensor:
    """Return the gradient without the padding of one dimension, which is added to its sources."""
    before, after = pads_px
    length = grad.shape[dim] - before - after
    inner = grad.narrow(dim, before, length).clone(memory_format=torch.channels_last)
    for count, start, is_first in ((before, 0, True), (after, before + length, False)):
        if count == 0:
            continue
        border = grad.narrow(dim, start, count)
        if mode == "replicate":
            place = 0 if is_first else length - 1
            inner.narrow(dim, place, 1).add_(border.sum(dim=dim, keepdim=True))
        else:
            place = 1 if is_first else length - 1 - count
            inner.narrow(dim, place, count).add_(border.flip(dim) if count > 1 else border)
    return inner


class _Interleave(torch.autograd.Function):
    """Four phases, one after another in the channels, to every second pixel of one map."""

    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        count, channels, height, width = y.shape
        ctx.shape, ctx.layout = y.shape, _layout_of(y)
        shape = (count, channels // 4, 2 * (height - 1), 2 * (width - 1))
        out = torch.empty(shape, dtype=y.dtype, device=y.device, memory_format=ctx.layout)
        for phase, place in _phases(y, out):
            place.copy_(phase)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad_y = torch.zeros(ctx.shape, dtype=grad.dtype, device=grad.device).contiguous(
            memory_format=ctx.layout
        )
        for phase, place in _phases(grad_y, grad):
            phase.copy_(place)
        return grad_y


def _phases(y: Tensor, out: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return the four pairs of a phase in y (N, 4 C, h + 1, w + 1) and its pixels in `out`."""
    channels, height, width = out.shape[1], y.shape[2] - 1, y.shape[3] - 1
    pairs = []
    for index in range(4):
        row, column = divmod(index, 2)
        phase = y[:, index * channels : (index + 1) * channels]
        phase = phase[:, :, row : row + height, column : column + width]
        pairs.append((phase, out[:, :, row::2, column::2]))
    return pairs


def _halved_kernels(weight: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return the two-tap kernels of even and of odd output pixels along one dimension of three."""
    first, middle, last = torch.split(weight, 1, dim=dim)
    return (
        torch.cat([first, middle + last], dim=dim),
        torch.cat([first + middle, last], dim=dim),
    )


def _layout_of(x: Tensor) -> torch.memory_format:
    is_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if is_last else torch.contiguous_format
