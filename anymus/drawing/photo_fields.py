"""Scalar fields on pixel grids: ramps, domes, noise, strokes and light curves."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Field = NDArray[np.float32]
"""A float32 array, (H, W) or (H, W, C)."""

Curve = list[tuple[float, float]]
"""Points (u, v) in sheet units."""

SUBPIXEL_BITS = 4


def as_field(values: Any) -> Field:
    """Returns the values as float32."""
    return np.asarray(values, dtype=np.float32)


def ramp(x: Field, low: float, high: float) -> Field:
    """Returns a smooth step from 0 (at low) to 1 (at high); high may be below low."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return as_field(t * t * (3.0 - 2.0 * t))


def dome(u: Field, v: Field, centre: tuple[float, float], radii: tuple[float, float]) -> Field:
    """Returns a Gaussian hill of height 1."""
    du = (u - centre[0]) / radii[0]
    dv = (v - centre[1]) / radii[1]
    return as_field(cv2.exp(-(du * du) - dv * dv))


def blur(field: Field, sigma_px: float) -> Field:
    """Returns the field blurred by a Gaussian; unchanged below a fifth of a pixel."""
    if sigma_px < 0.2:
        return field
    return as_field(cv2.GaussianBlur(field, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE))


def soft_noise(rng: np.random.Generator, shape: tuple[int, int], cell_px: float) -> Field:
    """Returns smooth noise of about unit deviation whose grains are cell_px wide."""
    rows = max(2, int(shape[0] / cell_px) + 2)
    cols = max(2, int(shape[1] / cell_px) + 2)
    seed = rng.standard_normal((rows, cols), dtype=np.float32)
    size = (shape[1], shape[0])
    return as_field(cv2.resize(seed, size, interpolation=cv2.INTER_CUBIC)) * np.float32(1.3)


def mix(base: Field, other: ArrayLike, share: Field) -> Field:
    """Returns base and other (an image or one colour) mixed by share, (H, W) in [0, 1]."""
    weight = share[..., None] if base.ndim == share.ndim + 1 else share
    return as_field(base + (as_field(other) - base) * weight)


def along(at: Field, knots: tuple[tuple[float, float], ...]) -> Field:
    """Returns a smooth curve through the knots (x, y), read at the values of at."""
    xs = np.array([knot[0] for knot in knots])
    ys = np.array([knot[1] for knot in knots])
    grid = np.linspace(xs[0], xs[-1], 160)
    line = as_field(np.interp(grid, xs, ys)).reshape(1, -1)
    return as_field(np.interp(at, grid, blur(line, 4.0).ravel()))


def to_linear(rgb: ArrayLike) -> Field:
    """Returns linear light, 0 to 1, of sRGB values in 0 to 255."""
    return as_field((np.asarray(rgb, dtype=np.float32) / 255.0) ** 2.2)


@dataclass(frozen=True, slots=True)
class Grid:
    """A pixel grid over a plane measured in units (half the width of a head, about 70 mm)."""

    u: Field
    v: Field
    per_unit: float

    @classmethod
    def over(cls, corner: tuple[float, float], far: tuple[float, float], per_unit: float) -> "Grid":
        """Returns the grid that spans corner (left, top) to far (right, bottom), in units."""
        cols = round((far[0] - corner[0]) * per_unit)
        rows = round((far[1] - corner[1]) * per_unit)
        left = corner[0] + (np.arange(cols, dtype=np.float32) + 0.5) / per_unit
        top = corner[1] + (np.arange(rows, dtype=np.float32) + 0.5) / per_unit
        return cls(
            as_field(np.repeat(left[None], rows, 0)),
            as_field(np.repeat(top[:, None], cols, 1)),
            per_unit,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.u.shape[0], self.u.shape[1]

    def pixels(self, points: ArrayLike) -> NDArray[np.float64]:
        """Returns the pixel positions (x, y) of points (N, 2) in units."""
        corner = np.array([self.u[0, 0], self.v[0, 0]], dtype=np.float64)
        return (np.asarray(points, dtype=np.float64) - corner) * self.per_unit

    def window(
        self, centre: tuple[float, float], radii: tuple[float, float]
    ) -> tuple[slice, slice]:
        """Returns the rows and columns around centre, cut to the grid."""
        low = self.pixels([(centre[0] - radii[0], centre[1] - radii[1])])[0]
        high = self.pixels([(centre[0] + radii[0], centre[1] + radii[1])])[0]
        rows, cols = self.shape
        return (
            slice(int(np.clip(low[1], 0, rows - 1)), int(np.clip(high[1] + 1, 1, rows))),
            slice(int(np.clip(low[0], 0, cols - 1)), int(np.clip(high[0] + 1, 1, cols))),
        )


def fixed(points: ArrayLike) -> NDArray[np.int32]:
    """Returns pixel positions as the fixed-point integers that OpenCV draws."""
    return np.round(np.asarray(points) * (1 << SUBPIXEL_BITS)).astype(np.int32)


def ink_lines(grid: Grid, curves: list[Curve], width: float) -> Field:
    """Returns the coverage, 0 to 1, of lines of one width (units) along the curves."""
    canvas = np.zeros(grid.shape, np.uint8)
    width_px = width * grid.per_unit
    lines = [fixed(grid.pixels(curve)) for curve in curves]
    cv2.polylines(canvas, lines, False, 255, max(1, round(width_px)), cv2.LINE_AA, SUBPIXEL_BITS)
    return as_field(canvas) * np.float32(min(1.0, max(width_px, 0.15)) / 255.0)


def ink_shape(grid: Grid, outline: Curve) -> Field:
    """Returns the coverage, 0 to 1, of a filled outline."""
    canvas = np.zeros(grid.shape, np.uint8)
    cv2.fillPoly(canvas, [fixed(grid.pixels(outline))], 255, cv2.LINE_AA, SUBPIXEL_BITS)
    return as_field(canvas) / np.float32(255.0)
