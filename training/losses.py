"""The losses of U-GAT-IT as plain functions over tensors, none of them weighted."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as everyone writes it

from anymus.images import LUMA

from .fused import widened
from .networks import Judged
from .skin import skin_level

TONE_CELLS = 16  # a side: an eye fills about one of them in a crop of the common framing
_HEAD_CENTRE, _HEAD_RADII = (0.5, 0.47), (0.34, 0.42)
"""x and y of heads with their hair, in shares of a side."""


def least_squares_loss(prediction: Tensor, *, is_real: bool) -> Tensor:
    """Return the mean squared distance to 1 (real) or 0 (fake), a scalar (LSGAN)."""
    return (prediction - 1).square().mean() if is_real else prediction.square().mean()


def discriminator_loss(real: Judged, fake: Judged) -> Tensor:
    """Return one discriminator's loss, a scalar: patches and CAM logits, real and fake."""
    return (
        least_squares_loss(real.patch, is_real=True)
        + least_squares_loss(fake.patch, is_real=False)
        + least_squares_loss(real.cam_logits, is_real=True)
        + least_squares_loss(fake.cam_logits, is_real=False)
    )


def adversarial_loss(fake: Judged) -> Tensor:
    """Return what a generator pays for one discriminator not being fooled, a scalar."""
    patch_loss = least_squares_loss(fake.patch, is_real=True)
    return patch_loss + least_squares_loss(fake.cam_logits, is_real=True)


def cycle_loss(restored: Tensor, real: Tensor) -> Tensor:
    """Return the mean absolute difference after translating there and back, a scalar."""
    return F.l1_loss(restored, real)


def identity_loss(same: Tensor, real: Tensor) -> Tensor:
    """Return the mean absolute difference after translating into the own domain, a scalar."""
    return F.l1_loss(same, real)


def cam_loss(translation_logits: Tensor, identity_logits: Tensor) -> Tensor:
    """Return the loss of a generator's auxiliary classifier, a scalar.

    It tells images to translate (towards 1) from images already in the target domain (towards 0).
    """
    return F.binary_cross_entropy_with_logits(
        translation_logits, torch.ones_like(translation_logits)
    ) + F.binary_cross_entropy_with_logits(identity_logits, torch.zeros_like(identity_logits))


def tone_loss(translation: Tensor, real: Tensor) -> Tensor:
    """Return how little a translation keeps what is light and what is dark, a scalar in [0, 2].

    One less the correlation (Pearson's) of the brightness of both pictures over those means of a
    grid of TONE_CELLS x TONE_CELLS that lie in the head, the mean of all pairs. Contrast and
    exposure of either picture do not count, and neither does the wall behind a head or anything
    smaller than a cell: lines, dots, the look of a domain.

    Args:
        translation: (N, 3, H, W) in [-1, 1].
        real: (N, 3, H, W) in [-1, 1], what was translated.
    """
    made, given = _cell_brightness(translation), _cell_brightness(real)
    return (1 - F.cosine_similarity(made, given, dim=1, eps=1e-4)).mean()


def _cell_brightness(x: Tensor) -> Tensor:
    """Return (N, cells) means of the brightness less their own mean; 0 outside the head.

    Nothing is brought from the host: a CUDA graph cannot record that.
    """
    red, green, blue = widened(x).unbind(dim=1)
    brightness = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    cells = F.adaptive_avg_pool2d(brightness, TONE_CELLS).flatten(1)
    is_head = find_head(TONE_CELLS, x.device).flatten().float()
    means = (cells * is_head).sum(dim=1, keepdim=True) / is_head.sum()
    return (cells - means) * is_head


def find_head(side: int, device: torch.device) -> Tensor:
    """Return which of side x side cells have their middle in the head with its hair, bool."""
    middles = (torch.arange(side, device=device) + 0.5) / side
    x, y = (
        (middles - centre) / radius
        for centre, radius in zip(_HEAD_CENTRE, _HEAD_RADII, strict=True)
    )
    return y.square()[:, None] + x.square() <= 1


def skin_loss(translation: Tensor, levels: Tensor) -> Tensor:
    """Return how far the skin of translations is from the lightness it should have, a scalar.

    Args:
        translation: (N, 3, H, W) in [-1, 1].
        levels: (N,) in [-1, 1], see `skin.matched_levels`.
    """
    return F.l1_loss(skin_level(translation), levels)
