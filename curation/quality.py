"""Quality: figures that say how good a face crop is."""

import math

import cv2
import numpy as np

from anymus.framing import Matrix, scale_of
from anymus.images import RgbU8, resize_rgb, to_grey

_MEASURE_PX = 128


def measure(crop_u8: RgbU8, matrix: Matrix) -> dict[str, float]:
    """Return the quality figures of a crop, each rounded to four digits.

    Args:
        crop_u8: The crop (size_px, size_px, 3).
        matrix: The affine map (2, 3) that cut it from its picture.

    Returns:
        sharpness: variance of the Laplacian of the grey crop at 128 px (Pech-Pacheco 2000);
        brightness and contrast: mean and standard deviation of the luma, 0-255;
        saturation: mean of HSV saturation, 0-255 (0 is a grey picture);
        upscale: crop pixels per picture pixel; roll_deg: head roll that the crop took out.
    """
    small = resize_rgb(crop_u8, _MEASURE_PX, _MEASURE_PX)
    grey = to_grey(small)
    figures = {
        "sharpness": float(cv2.Laplacian(grey, cv2.CV_64F).var()),
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "saturation": _saturation(small),
        "upscale": scale_of(matrix),
        "roll_deg": math.degrees(math.atan2(matrix[0, 1], matrix[0, 0])),
    }
    return {name: round(value, 4) for name, value in figures.items()}


def _saturation(rgb_u8: RgbU8) -> float:
    high = rgb_u8.max(axis=2).astype(np.float64)
    low = rgb_u8.min(axis=2)
    return float((255.0 * (high - low) / np.maximum(high, 1.0)).mean())
