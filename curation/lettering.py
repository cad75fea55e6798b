"""Lettering: how much of a crop of a drawing is written text, without reading it.

Printed text is a row or a column of dark marks of one size on white. So dark connected parts of a
glyph's size whose surroundings are white are taken, and of these the ones with enough neighbours of
about their own size close by. Hatching and screentone have no white around their parts, eyes and
mouths no row of neighbours.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from .groups import Groups

_DARK = 110
_WHITE = 200
_GLYPH_SHARE = (0.02, 0.12)  # larger side of a glyph over the crop's side
_FILL = (0.12, 0.92)  # dark share of a glyph's box
_SAME_SIZE = 1.8  # ratio of two glyphs of one text
_REACH = 2.2  # distance of neighbours in a row or a column, in glyph sizes
_ASIDE = 0.4  # how far aside of the row or the column, in glyph sizes
_LEAST_GLYPHS = 5  # in one text: two eyes, two brows and a mouth are no text

Boxes = NDArray[np.int64]


def lettering_share(grey_u8: NDArray[np.uint8]) -> float:
    """Return which share (0-1) of a grey crop (H, W) lettering covers, the space between included.

    Args:
        grey_u8: Luma, 0-255.
    """
    glyphs = _find_glyphs(grey_u8)
    covered = np.zeros(grey_u8.shape, np.uint8)
    for x, y, width, height in glyphs[_is_in_text(glyphs)].tolist():
        pad = max(width, height) // 2
        covered[max(0, y - pad) : y + height + pad, max(0, x - pad) : x + width + pad] = 1
    return float(covered.mean())


def _find_glyphs(grey_u8: NDArray[np.uint8]) -> Boxes:
    """Return (n, 4) boxes x, y, width, height of dark parts of a glyph's size with white around."""
    dark = (grey_u8 < _DARK).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=8)
    parts = np.asarray(stats[1:count], np.int64)  # (n, 5): x, y, width, height, area
    larger = parts[:, 2:4].max(axis=1, initial=0) / max(grey_u8.shape)
    fill = parts[:, 4] / (parts[:, 2] * parts[:, 3])
    is_sized = (larger >= _GLYPH_SHARE[0]) & (larger <= _GLYPH_SHARE[1])
    boxes = parts[is_sized & (fill >= _FILL[0]) & (fill <= _FILL[1]), :4]
    stands = [_stands_on_white(grey_u8, *box) for box in boxes.tolist()]
    return np.asarray(boxes[np.array(stands, bool)], np.int64)


def _stands_on_white(grey_u8: NDArray[np.uint8], x: int, y: int, width: int, height: int) -> bool:
    """Say whether most of the frame around a box is white."""
    around = grey_u8[max(0, y - 2) : y + height + 2, max(0, x - 2) : x + width + 2]
    frame = np.concatenate([around[0], around[-1], around[:, 0], around[:, -1]])
    return float((frame > _WHITE).mean()) >= 0.75


def _is_in_text(glyphs: Boxes) -> NDArray[np.bool_]:
    """Return for each glyph (n, 4) whether it belongs to rows or columns of enough others."""
    size = glyphs[:, 2:].max(axis=1).astype(np.float64)
    middle = glyphs[:, :2] + glyphs[:, 2:] / 2
    away = np.abs(middle[:, None] - middle[None])  # (n, n, 2)
    larger = np.maximum(size[:, None], size[None])
    is_near = (larger <= _SAME_SIZE * np.minimum(size[:, None], size[None])) & (
        (away.max(axis=2) <= _REACH * larger) & (away.min(axis=2) <= _ASIDE * larger)
    )
    groups = Groups(len(glyphs))
    groups.join_all(*np.nonzero(is_near))
    roots = groups.roots()
    sizes = np.bincount(roots, minlength=len(roots))
    return np.asarray(sizes[roots] >= _LEAST_GLYPHS)
