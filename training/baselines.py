"""Baselines: what is cheap to do to a picture, and what a model has to be better than.

Every filter takes and returns one picture (H, W, 3) and draws nothing at random. Lengths are shares
of its shorter side, so that the same filter is as strong at 64 as at 256 pixels.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.images import RgbU8, to_grey

Filter = Callable[[RgbU8], RgbU8]
LabF32 = NDArray[np.float32]

_LEAST_SPREAD = 1e-3
"""Smallest standard deviation that a channel of Lab is divided by."""


@dataclass(frozen=True, slots=True)
class Palette:
    """How bright and how coloured a picture is, in CIE L*a*b*.

    Attributes:
        mean: Mean L* (0-100), a*, b* (3,).
        std: Their standard deviations over the pixels (3,).
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]


def measure_palette(rgb_u8: RgbU8) -> Palette:
    """Return the palette of a picture."""
    values = _to_lab(rgb_u8).reshape(-1, 3).astype(np.float64)
    return Palette(values.mean(axis=0), values.std(axis=0))


def mean_palette(palettes: Sequence[Palette]) -> Palette:
    """Return the means over pictures of their means and of their standard deviations."""
    return Palette(
        np.mean([palette.mean for palette in palettes], axis=0),
        np.mean([palette.std for palette in palettes], axis=0),
    )


def transfer_colours(rgb_u8: RgbU8, palette: Palette) -> RgbU8:
    """Return the picture with the means and standard deviations of a palette.

    As Reinhard et al. 2001 ("Color transfer between images") do, but in CIE L*a*b*.
    """
    own = measure_palette(rgb_u8)
    stretch = palette.std / np.maximum(own.std, _LEAST_SPREAD)
    lab = (_to_lab(rgb_u8) - own.mean) * stretch + palette.mean
    rgb = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
    return np.asarray(np.clip(rgb, 0, 1) * 255 + 0.5, dtype=np.uint8)


def draw_cartoon(rgb_u8: RgbU8) -> RgbU8:
    """Return flat areas between black lines: edge-preserving smoothing, adaptive threshold."""
    side_px = min(rgb_u8.shape[:2])
    flat = cv2.edgePreservingFilter(
        rgb_u8, flags=cv2.RECURS_FILTER, sigma_s=0.15 * side_px, sigma_r=0.4
    )
    calm = cv2.GaussianBlur(to_grey(rgb_u8), (0, 0), max(0.5, 0.006 * side_px))
    paper = cv2.adaptiveThreshold(
        calm, 255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY, _odd(0.06 * side_px), 5
    )
    return np.asarray(np.minimum(flat, paper[:, :, None]), dtype=np.uint8)


def stylise(rgb_u8: RgbU8) -> RgbU8:
    """Return OpenCV's `stylization`: smooth areas, darkened edges, the colours kept."""
    side_px = min(rgb_u8.shape[:2])
    return np.asarray(cv2.stylization(rgb_u8, sigma_s=0.15 * side_px, sigma_r=0.45), np.uint8)


def sketch(rgb_u8: RgbU8) -> RgbU8:
    """Return OpenCV's `pencilSketch` in grey: strokes on white paper."""
    side_px = min(rgb_u8.shape[:2])
    grey, _ = cv2.pencilSketch(rgb_u8, sigma_s=0.15 * side_px, sigma_r=0.07, shade_factor=0.05)
    return np.repeat(np.asarray(grey, np.uint8)[:, :, None], 3, axis=2)


def make_baselines(palette: Palette, *, is_to_drawing: bool) -> Mapping[str, Filter]:
    """Return the baselines of one direction by name, without `identity`, which does nothing.

    Args:
        palette: Of the target's training pictures.
        is_to_drawing: Whether the target is drawn: the filters that draw are then among them.
    """
    recolour = functools.partial(transfer_colours, palette=palette)
    if not is_to_drawing:
        return {"colour": recolour}
    return {
        "colour": recolour,
        "cartoon": draw_cartoon,
        "cartoon_colour": lambda rgb_u8: recolour(draw_cartoon(rgb_u8)),
        "stylised": stylise,
        "sketch": sketch,
    }


def _to_lab(rgb_u8: RgbU8) -> LabF32:
    """Return L* (0-100), a*, b* (H, W, 3)."""
    unit = rgb_u8.astype(np.float32) / np.float32(255)
    return np.asarray(cv2.cvtColor(unit, cv2.COLOR_RGB2LAB), dtype=np.float32)


def _odd(length_px: float) -> int:
    """Return the nearest odd number of pixels, at least 3."""
    return max(3, 2 * round((length_px - 1) / 2) + 1)
