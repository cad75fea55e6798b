"""Sample grids: what the generators make of fixed test pictures, side by side."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as everyone writes it

from anymus.images import RgbU8, read_rgb, resize_rgb, write_png

from .networks import Generator

COLUMNS = ("input", "CAM", "translation", "CAM of cycle", "cycle", "identity")
MIN_CELL_PX = 128
GAP_PX = 4
TITLE_PX = 22
MAX_STRIP = 12  # columns over time
HEATMAP_SHARE = 0.6


@torch.no_grad()
def sample_grid(
    generator_a2b: Generator, generator_b2a: Generator, pictures_a: Tensor, pictures_b: Tensor
) -> RgbU8:
    """Return a titled grid (H, W, 3): rows of photos to manga, then rows of manga to photos.

    Columns are the input, the generator's CAM heatmap over it, the translation, the heatmap of the
    way back over the translation, the picture after both ways, and the input through the generator
    of its own domain.

    Args:
        generator_a2b: in eval mode.
        generator_b2a: in eval mode.
        pictures_a: (N, 3, H, W) in [-1, 1].
        pictures_b: (M, 3, H, W) in [-1, 1].
    """
    rows = [sample_row(generator_a2b, generator_b2a, x[None]) for x in pictures_a]
    rows += [sample_row(generator_b2a, generator_a2b, x[None]) for x in pictures_b]
    return titled_grid(COLUMNS, rows)


def titled_grid(titles: Sequence[str], rows: Sequence[Sequence[RgbU8]]) -> RgbU8:
    """Return pictures in rows under the titles of their columns (H, W, 3).

    Args:
        titles: One for each column.
        rows: Squares (h, h, 3); all are brought to the largest side, `MIN_CELL_PX` at least.
    """
    cell_px = max(MIN_CELL_PX, *(len(cell) for row in rows for cell in row))
    step_px = cell_px + GAP_PX
    grid = np.full(
        (TITLE_PX + len(rows) * step_px, len(titles) * step_px - GAP_PX, 3), 255, np.uint8
    )
    for column, title in enumerate(titles):
        left = column * step_px
        _write_title(grid, title, left)
        for index, row in enumerate(rows):
            top = TITLE_PX + index * step_px
            cell = resize_rgb(row[column], cell_px, cell_px)
            grid[top : top + cell_px, left : left + cell_px] = cell
    return grid


@torch.no_grad()
def sample_row(there: Generator, back: Generator, x: Tensor) -> list[RgbU8]:
    """Return the pictures (H, W, 3) of a row of the grid, one for each of `COLUMNS`.

    Args:
        there: translates the picture; in eval mode.
        back: translates back.
        x: (1, 3, H, W) in [-1, 1].
    """
    translated = there(x)
    cycled = back(translated.image)
    same = back(x)
    input_rgb, translated_rgb = to_rgb(x), to_rgb(translated.image)
    return [
        input_rgb,
        heatmap_over(input_rgb, translated.heatmap),
        translated_rgb,
        heatmap_over(translated_rgb, cycled.heatmap),
        to_rgb(cycled.image),
        to_rgb(same.image),
    ]


def write_strips(folder: Path, grids_dir: Path) -> None:
    """Write strip.png: the fixed pictures, and beside each what became of it over time.

    Args:
        folder: where to write.
        grids_dir: holds the sample grids, `step_<number>.png`.
    """
    grids = sorted(grids_dir.glob("step_*.png"))
    places = np.unique(np.linspace(0, len(grids) - 1, min(MAX_STRIP, len(grids))).round())
    chosen = [grids[int(place)] for place in places]
    if not chosen:
        return
    columns: list[RgbU8] = []
    for path in chosen:
        grid = read_rgb(path)
        cell_px = (grid.shape[1] + GAP_PX) // len(COLUMNS) - GAP_PX
        left = COLUMNS.index("translation") * (cell_px + GAP_PX)
        if not columns:
            columns.append(grid[:, : cell_px + GAP_PX].copy())
        column = grid[:, left : left + cell_px + GAP_PX].copy()
        column[:TITLE_PX] = 255
        _write_title(column, f"step {int(path.stem.removeprefix('step_'))}", 0)
        columns.append(column)
    write_png(folder / "strip.png", np.concatenate(columns, axis=1)[:, :-GAP_PX])


def to_rgb(x_signed: Tensor) -> RgbU8:
    """Return pixels (H, W, 3) of one image (1, 3, H, W) in [-1, 1]."""
    levels = (x_signed[0].float().clamp(-1, 1) * 127.5 + 127.5).round()
    return np.asarray(levels.to(torch.uint8).permute(1, 2, 0).cpu())


def heatmap_over(rgb_u8: RgbU8, heatmap: Tensor) -> RgbU8:
    """Return the picture under its attention: (1, 1, h, w) of any range, stretched to 0-1."""
    height_px, width_px = rgb_u8.shape[:2]
    smooth = F.interpolate(heatmap.float(), (height_px, width_px), mode="bilinear")[0, 0]
    level = (smooth - smooth.min()) / (smooth.max() - smooth.min()).clamp_min(1e-12)
    index = (level * 255).round().to(torch.uint8).cpu().numpy()
    mixed = HEATMAP_SHARE * _colours()[index] + (1 - HEATMAP_SHARE) * rgb_u8
    return np.asarray(mixed + 0.5, dtype=np.uint8)


def _write_title(grid: RgbU8, title: str, left: int) -> None:
    baseline = (left + 4, TITLE_PX - 7)
    cv2.putText(grid, title, baseline, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)


@cache
def _colours() -> NDArray[np.float64]:
    """Return 256 RGB levels from dark to bright."""
    from matplotlib import colormaps

    return np.asarray(colormaps["inferno"](np.arange(256))[:, :3] * 255.0)
