"""Mosaic: a picture of any size translated in overlapping tiles, blended so that no seam shows."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from anymus.images import RgbU8

Translate = Callable[[list[RgbU8]], list[RgbU8]]

_OVERLAP_SHARE = 0.375


def translate_mosaic(
    rgb_u8: RgbU8, translate: Translate, tile_px: int, batch_size: int = 4
) -> RgbU8:
    """Return the picture (H, W, 3) translated tile by tile, at its own size.

    Neighbouring tiles overlap by three eighths of their side or more, and are mixed by a raised
    cosine whose weights add up to one at every pixel, so that a translation that changes nothing
    gives the picture itself. A picture smaller than a tile is extended by its mirror image.
    Held at a time, beside the picture and the result: one float band of a tile's height, and
    `batch_size` tiles.

    Args:
        rgb_u8: The picture.
        translate: Translates tiles (tile_px, tile_px, 3), all of a list or any part of it.
        tile_px: Side of a tile, the size that the network was trained for.
        batch_size: Tiles translated in one call.
    """
    height_px, width_px = rgb_u8.shape[:2]
    padded = _extend(rgb_u8, tile_px)
    top, left = (padded.shape[0] - height_px) // 2, (padded.shape[1] - width_px) // 2
    tops = tile_offsets(padded.shape[0], tile_px)
    row_weights = _weights(tops, padded.shape[0], tile_px)
    mosaic = np.empty_like(padded)
    band = np.zeros((tile_px, padded.shape[1], 3), np.float32)
    for index, offset in enumerate(tops):
        strip = padded[offset : offset + tile_px]
        band += row_weights[index][:, None, None] * _blend_row(strip, translate, batch_size)
        # Rows above the next strip are complete; the others wait for it at the top of the band.
        is_last = index == len(tops) - 1
        done = tile_px if is_last else tops[index + 1] - offset
        mosaic[offset : offset + done] = np.clip(np.rint(band[:done]), 0, 255)
        band = np.concatenate([band[done:], np.zeros_like(band[:done])])
    return mosaic[top : top + height_px, left : left + width_px].copy()


def tile_offsets(length_px: int, tile_px: int) -> list[int]:
    """Return where tiles begin along a side: evenly spread, the first at 0, the last at the end."""
    stride_px = max(1, tile_px - round(_OVERLAP_SHARE * tile_px))
    gaps = -(-(length_px - tile_px) // stride_px)
    return (
        [round(index * (length_px - tile_px) / gaps) for index in range(gaps + 1)] if gaps else [0]
    )


def _blend_row(strip: RgbU8, translate: Translate, batch_size: int) -> NDArray[np.float32]:
    """Return one row of tiles translated and mixed, (tile_px, W, 3) float 0-255."""
    tile_px, width_px = strip.shape[:2]
    lefts = tile_offsets(width_px, tile_px)
    weights = _weights(lefts, width_px, tile_px)
    row = np.zeros(strip.shape, np.float32)
    for first in range(0, len(lefts), batch_size):
        batch = range(first, min(first + batch_size, len(lefts)))
        tiles = [np.ascontiguousarray(strip[:, lefts[i] : lefts[i] + tile_px]) for i in batch]
        for i, tile in zip(batch, translate(tiles), strict=True):
            row[:, lefts[i] : lefts[i] + tile_px] += weights[i][None, :, None] * tile
    return row


def _weights(offsets: list[int], length_px: int, tile_px: int) -> list[NDArray[np.float32]]:
    """Return each tile's weights along a side, (tile_px,) each; they add up to 1 at every pixel."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(tile_px) + 0.5) / tile_px)
    total = np.zeros(length_px)
    for offset in offsets:
        total[offset : offset + tile_px] += window
    return [(window / total[o : o + tile_px]).astype(np.float32) for o in offsets]


def _extend(rgb_u8: RgbU8, tile_px: int) -> RgbU8:
    """Return the picture mirrored outwards on both sides where a side is shorter than a tile."""
    missing = [max(0, tile_px - length_px) for length_px in rgb_u8.shape[:2]]
    if not any(missing):
        return rgb_u8
    pads = [(lack // 2, lack - lack // 2) for lack in missing]
    return np.pad(rgb_u8, [*pads, (0, 0)], mode="symmetric")
