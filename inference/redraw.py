"""Redraw: a small drawing made larger, with lines as sharp as if they had been drawn there."""

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.images import RgbU8

# Specks of this few levels are smoothed away before a drawing grows, edges stay.
_SPECK_LEVELS, _SPECK_PX = 28, 5
# Lines are drawn together in so many rounds, each by this share.
_ROUNDS, _ROUND_SHARE = 5, 0.7
# How far apart (levels) the darkest and the lightest pixel around are where there is no line, and
# where there surely is one.
_NO_LINE_LEVELS, _LINE_LEVELS = 40.0, 90.0
_TONE_LEVELS = 20
# Levels that become black and white: ink is black, paper is white.
_INK_LEVEL, _PAPER_LEVEL = 22.0, 236.0
_EDGE_SIGMA_PX = 0.7
# A drawing whose colours are this near to grey (levels, on average) becomes grey.
_GREY_CHROMA_LEVELS = 8.0
_NEUTRAL = 128
_NEXT = np.ones((3, 3), np.uint8)

Grey = NDArray[np.float32]


def redraw(rgb_u8: RgbU8, factor: int) -> RgbU8:
    """Return a drawing (H, W, 3) `factor` times as high and wide, its lines sharp.

    Along lines and edges the light grows together on one side and the dark on the other, along
    their direction: a coherence-enhancing shock filter (Weickert 2003). Greys between lines stay
    soft. Colours are enlarged without being redrawn, a mere tinge of them goes. Photographs would
    look painted.

    Args:
        rgb_u8: The drawing, of a few hundred pixels.
        factor: 1 to 8; 1 gives back the drawing itself.
    """
    if factor == 1:
        return rgb_u8
    size = (rgb_u8.shape[1] * factor, rgb_u8.shape[0] * factor)
    luma, *chroma = cv2.split(cv2.cvtColor(rgb_u8, cv2.COLOR_RGB2YCrCb))
    smooth = cv2.bilateralFilter(luma, _SPECK_PX, _SPECK_LEVELS, 2)
    large = np.asarray(cv2.resize(smooth, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    share = _find_lines(large, factor)
    tones = cv2.bilateralFilter(large, 3 * factor | 1, _TONE_LEVELS, 2 * factor)
    drawn = tones + share * (_draw_together(large, factor).astype(np.float32) - tones)
    levels = (drawn - _INK_LEVEL) * 255 / (_PAPER_LEVEL - _INK_LEVEL)
    softened = cv2.GaussianBlur(np.clip(levels, 0, 255), (0, 0), _EDGE_SIGMA_PX)
    luma_u8 = np.rint(softened).astype(np.uint8)
    if (
        np.mean([np.abs(plane.astype(np.int64) - _NEUTRAL).mean() for plane in chroma])
        < _GREY_CHROMA_LEVELS
    ):
        chroma = [np.full_like(luma, _NEUTRAL)] * 2
    planes = [cv2.resize(plane, size, interpolation=cv2.INTER_CUBIC) for plane in chroma]
    redrawn = cv2.cvtColor(cv2.merge([luma_u8, *planes]), cv2.COLOR_YCrCb2RGB)
    return np.asarray(redrawn, np.uint8)


def _find_lines(grey_u8: NDArray[np.uint8], factor: int) -> Grey:
    """Return how surely a line or an edge of the small drawing lies at each pixel (H, W), 0-1."""
    near = np.ones((int(2.5 * factor) | 1,) * 2, np.uint8)
    spread = cv2.dilate(grey_u8, near).astype(np.float32) - cv2.erode(grey_u8, near)
    share = np.clip((spread - _NO_LINE_LEVELS) / (_LINE_LEVELS - _NO_LINE_LEVELS), 0, 1)
    return np.asarray(cv2.GaussianBlur(share, (0, 0), factor), np.float32)


def _draw_together(grey_u8: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Return the drawing with its edges steepened along their own direction."""
    drawn = grey_u8
    for _ in range(_ROUNDS):
        vectors = cv2.cornerEigenValsAndVecs(drawn, 3 * factor | 1, 3).reshape(*drawn.shape, 3, 2)
        x, y = vectors[:, :, 1, 0], vectors[:, :, 1, 1]
        smooth = cv2.GaussianBlur(drawn.astype(np.float32), (0, 0), 0.45 * factor)
        across, mixed, down = (
            cv2.Sobel(smooth, cv2.CV_32F, *orders, ksize=5) for orders in ((2, 0), (1, 1), (0, 2))
        )
        bend = x * x * across + 2 * x * y * mixed + y * y * down
        pushed = np.where(bend < 0, cv2.dilate(drawn, _NEXT), cv2.erode(drawn, _NEXT))
        pulled = (1 - _ROUND_SHARE) * drawn + _ROUND_SHARE * pushed
        drawn = np.rint(pulled).astype(np.uint8)
    return drawn
