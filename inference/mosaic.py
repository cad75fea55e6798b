"""Mosaic: a picture of any size translated in overlapping tiles, blended so that no seam shows."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from anymus.errors import ParamsError
from anymus.images import RgbU8

from .finish import Heat

Tile = NDArray[np.float32]
Translate = Callable[[list[RgbU8]], Sequence[Tile]]
Corners = tuple[tuple[int, int], ...]

_OVERLAP_SHARE = 0.375
_MAX_TILE_PX = 1024
_MAX_BATCH = 8
# In one group. Fewer large ones, or more small ones, are further off the whole (docs/convert.md).
_ENOUGH_SAMPLES = 16
_LEAST_SAMPLE_UNITS = 4
# Floats that are held for each pixel of a row of tiles: band, row, one of them moved on; reserve.
_BAND_BYTES = 56


class TileFacts(Protocol):
    """What the plan of a mosaic needs to know of a network, see `TileNetwork`."""

    size_px: int
    unit_px: int
    is_any_size: bool
    reach_px: int
    pixel_bytes: int


class Mosaic(NamedTuple):
    """A translated picture."""

    rgb_u8: RgbU8  # (H, W, 3)
    heat: Heat | None  # (H, W), where the tiles have one


@dataclass(frozen=True, slots=True)
class TilePlan:
    """How a picture is taken apart.

    Attributes:
        tile_px: Side of a tile.
        overlap_px: What neighbours share of it, at least.
        batch_size: Tiles translated in one call.
        samples: Top left corners (y, x) of the parts that give the statistics, in groups that the
            memory has room for, each from all over the picture; together they cover it.
        sample_px: Their side.
    """

    tile_px: int
    overlap_px: int
    batch_size: int
    samples: tuple[Corners, ...]
    sample_px: int


def plan_tiles(
    height_px: int,
    width_px: int,
    network: TileFacts,
    max_memory_mib: int,
    tile_px: int | None = None,
) -> TilePlan:
    """Return the largest tiles, and groups of samples, that a picture and the memory allow.

    The bound is on what comes on top of the program, the weights, the picture and the result.

    Args:
        height_px: The picture's.
        width_px: The picture's.
        network: What will translate the tiles.
        max_memory_mib: The bound.
        tile_px: Side of a tile; None: chosen, up to 1024 px where the network takes any size.

    Raises:
        ParamsError: The network does not take such tiles, or the bound is too small for one.
    """
    budget = max_memory_mib * 2**20
    chosen_px = _choose_tile(max(height_px, width_px), width_px, network, budget, tile_px)
    tile_bytes = _tile_bytes(chosen_px, width_px, network)
    if tile_bytes > budget:
        raise ParamsError(
            f"a tile of {chosen_px} px takes {math.ceil(tile_bytes / 2**20)} MiB,"
            f" --max-memory is {max_memory_mib}",
            f"--max-memory {math.ceil(tile_bytes / 2**20)}",
        )
    spare = budget - (tile_bytes - network.pixel_bytes * chosen_px**2)
    overlap_px = min(round(_OVERLAP_SHARE * chosen_px), 2 * network.reach_px)
    batch_size = min(_MAX_BATCH, int(spare // (network.pixel_bytes * chosen_px**2)))
    extended = (max(height_px, chosen_px), max(width_px, chosen_px))
    sample_px, samples = _choose_samples(*extended, network, budget)
    return TilePlan(chosen_px, overlap_px, batch_size, samples, sample_px)


def take_samples(rgb_u8: RgbU8, plan: TilePlan) -> Iterator[list[RgbU8]]:
    """Yield the groups of parts of a picture that its plan takes the statistics of."""
    extended = _extend(rgb_u8, plan.tile_px)
    side_px = plan.sample_px
    for group in plan.samples:
        parts = (extended[top : top + side_px, left : left + side_px] for top, left in group)
        yield [np.ascontiguousarray(part) for part in parts]


def translate_mosaic(
    rgb_u8: RgbU8,
    translate: Translate,
    tile_px: int,
    batch_size: int = 4,
    overlap_px: int | None = None,
) -> Mosaic:
    """Return the picture (H, W, 3) translated tile by tile, at its own size.

    Neighbouring tiles are mixed by a raised cosine whose weights add up to one at every pixel, so
    that a translation that changes nothing gives the picture itself. A picture smaller than a tile
    is extended by its mirror image. Held at a time, beside the picture and the result: one float
    band of a tile's height, and `batch_size` tiles.

    Args:
        rgb_u8: The picture.
        translate: Translates tiles (tile_px, tile_px, 3), all of a list or any part of it, to as
            many of RGB in 0-255, or of RGB and heat.
        tile_px: Side of a tile.
        batch_size: Tiles translated in one call.
        overlap_px: What neighbours share at least; None: three eighths of a tile.
    """
    overlap_px = round(_OVERLAP_SHARE * tile_px) if overlap_px is None else overlap_px
    height_px, width_px = rgb_u8.shape[:2]
    padded = _extend(rgb_u8, tile_px)
    tops = tile_offsets(padded.shape[0], tile_px, overlap_px)
    row_weights = _weights(tops, padded.shape[0], tile_px)
    mosaic = np.empty_like(padded)
    heat: Heat | None = None
    band: Tile | None = None
    for index, offset in enumerate(tops):
        strip = padded[offset : offset + tile_px]
        row = _blend_row(strip, translate, batch_size, overlap_px)
        row *= row_weights[index][:, None, None]
        band = row if band is None else np.add(band, row, out=row)
        # Rows above the next strip are complete; the others wait for it at the top of the band.
        done = tile_px if index == len(tops) - 1 else tops[index + 1] - offset
        mosaic[offset : offset + done] = np.clip(np.rint(band[:done, :, :3]), 0, 255)
        if band.shape[2] > 3:
            heat = np.empty(padded.shape[:2], np.float32) if heat is None else heat
            heat[offset : offset + done] = band[:done, :, 3]
        band = np.concatenate([band[done:], np.zeros_like(band[:done])])
    top, left = (padded.shape[0] - height_px) // 2, (padded.shape[1] - width_px) // 2
    place = slice(top, top + height_px), slice(left, left + width_px)
    return Mosaic(mosaic[place].copy(), None if heat is None else heat[place].copy())


def tile_offsets(length_px: int, tile_px: int, overlap_px: int) -> list[int]:
    """Return where tiles begin along a side: evenly spread, the first at 0, the last at the end."""
    stride_px = max(1, tile_px - overlap_px)
    gaps = -(-(length_px - tile_px) // stride_px)
    return (
        [round(index * (length_px - tile_px) / gaps) for index in range(gaps + 1)] if gaps else [0]
    )


def _choose_tile(
    longest_px: int, width_px: int, network: TileFacts, budget: int, tile_px: int | None
) -> int:
    """Return the side of the tiles, in units of the network."""
    if tile_px is not None:
        if not network.is_any_size and tile_px != network.size_px:
            raise ParamsError(
                f"--tile {tile_px}: these weights take tiles of {network.size_px} px alone",
                "leave --tile out",
            )
        if tile_px < network.size_px or tile_px % network.unit_px:
            raise ParamsError(
                f"--tile {tile_px} is not a multiple of {network.unit_px}"
                f" from {network.size_px} on",
                f"--tile {max(2, math.ceil(tile_px / network.size_px)) * network.size_px}",
            )
        return tile_px
    if not network.is_any_size:
        return network.size_px
    unit_px = network.unit_px
    side_px = min(_MAX_TILE_PX, math.ceil(longest_px / unit_px) * unit_px)
    while side_px > network.size_px and _tile_bytes(side_px, width_px, network) > budget:
        side_px -= unit_px
    return max(side_px, network.size_px)


def _tile_bytes(tile_px: int, width_px: int, network: TileFacts) -> int:
    """Return the memory that one tile in work takes, and the band that it is blended into."""
    return network.pixel_bytes * tile_px**2 + _BAND_BYTES * tile_px * max(width_px, tile_px)


def _choose_samples(
    height_px: int, width_px: int, network: TileFacts, budget: int
) -> tuple[int, tuple[Corners, ...]]:
    """Return the side of the samples and the groups of their corners.

    Parts of the training size that cover the picture are best. Where the memory has no room for
    them at once, groups of enough smaller parts from all over it are nearer to the whole than
    groups of a few large ones.
    """
    sides_px = [network.size_px]
    while network.is_any_size and sides_px[-1] // 2 >= _LEAST_SAMPLE_UNITS * network.unit_px:
        sides_px.append(sides_px[-1] // 2 // network.unit_px * network.unit_px)
    for side_px in sides_px:
        most = max(1, budget // (network.pixel_bytes * side_px**2))
        corners = _cover(height_px, width_px, side_px)
        if most >= min(_ENOUGH_SAMPLES, len(corners)):
            break
    groups = math.ceil(len(corners) / most)
    order = np.random.default_rng(0).permutation(len(corners))
    return side_px, tuple(
        tuple(corners[index] for index in order[first::groups]) for first in range(groups)
    )


def _cover(height_px: int, width_px: int, side_px: int) -> Corners:
    """Return the corners (y, x) of squares spread evenly over all of a picture."""
    rows, columns = math.ceil(height_px / side_px), math.ceil(width_px / side_px)
    return tuple(
        (top, left)
        for top in _spread_along(height_px, side_px, rows)
        for left in _spread_along(width_px, side_px, columns)
    )


def _spread_along(length_px: int, side_px: int, count: int) -> list[int]:
    """Return where squares begin along a side, each in the middle of its share of it."""
    share = length_px / count
    starts = (round((index + 0.5) * share - side_px / 2) for index in range(count))
    return [min(max(0, start), length_px - side_px) for start in starts]


def _blend_row(strip: RgbU8, translate: Translate, batch_size: int, overlap_px: int) -> Tile:
    """Return one row of tiles translated and mixed, (tile_px, W, C) float."""
    tile_px, width_px = strip.shape[:2]
    lefts = tile_offsets(width_px, tile_px, overlap_px)
    weights = _weights(lefts, width_px, tile_px)
    row: Tile | None = None
    for first in range(0, len(lefts), batch_size):
        batch = range(first, min(first + batch_size, len(lefts)))
        tiles = [np.ascontiguousarray(strip[:, lefts[i] : lefts[i] + tile_px]) for i in batch]
        for i, tile in zip(batch, translate(tiles), strict=True):
            if row is None:
                row = np.zeros((tile_px, width_px, tile.shape[2]), np.float32)
            row[:, lefts[i] : lefts[i] + tile_px] += weights[i][None, :, None] * tile
    assert row is not None
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
