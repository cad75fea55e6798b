"""Finish: how a translation is shown - how strongly, in dots, and where the network looked."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.images import RgbU8, resize_rgb

from .options import PasteColour
from .redraw import redraw
from .screentone import lay_screentone

Heat = NDArray[np.float32]

_HEAT_SHARE = 0.55


@dataclass(frozen=True, slots=True)
class Finish:
    """How results are shown.

    Attributes:
        strength: Share of the translation in the result, the rest is the input: 0 to 1.
        screentone_px: Distance of the dots that greys are laid in; None: greys stay.
        enlarge: How many times as large results are shown, 1 to 8; pasted faces keep their size in
            the picture and gain detail.
        has_lines: Whether translations are drawings, whose lines are redrawn when they grow.
        paste_colour: What a face takes on that is pasted back, see `paste_faces`.
    """

    strength: float = 1.0
    screentone_px: float | None = None
    paste_colour: PasteColour = "match"
    enlarge: int = 1
    has_lines: bool = True


def finish_picture(before: RgbU8, after: RgbU8, finish: Finish) -> RgbU8:
    """Return a translation (H, W, 3) as it is to be shown, from it and the input it lies over.

    Args:
        before: The input, as large as the result is to be: see `enlarge_input`.
        after: The translation, as the network gave it.
        finish: How to show it.
    """
    after = enlarge_translation(after, finish)
    if finish.screentone_px is not None:
        after = lay_screentone(after, finish.screentone_px)
    if finish.strength == 1.0:
        return after
    mixed = cv2.addWeighted(before, 1 - finish.strength, after, finish.strength, 0)
    return np.asarray(mixed, np.uint8)


def enlarge_translation(after: RgbU8, finish: Finish) -> RgbU8:
    """Return a translation (H, W, 3) as large as the finish asks for, a drawing's lines sharp."""
    return redraw(after, finish.enlarge) if finish.has_lines else enlarge_input(after, finish)


def enlarge_input(rgb_u8: RgbU8, finish: Finish) -> RgbU8:
    """Return a picture (H, W, 3) as large as the finish asks for."""
    if finish.enlarge == 1:
        return rgb_u8
    height_px, width_px = (finish.enlarge * side for side in rgb_u8.shape[:2])
    return resize_rgb(rgb_u8, width_px, height_px)


def show_heat(rgb_u8: RgbU8, heat: Heat) -> RgbU8:
    """Return a picture (H, W, 3) under the colours of a heat map: from blue, cold, to red, hot.

    Args:
        rgb_u8: What the network saw.
        heat: (h, w) of any size and range; it is stretched over the picture and over the colours.
    """
    low, high = float(heat.min()), float(heat.max())
    level = (heat - low) / max(high - low, 1e-12)
    size = (rgb_u8.shape[1], rgb_u8.shape[0])
    level = np.clip(cv2.resize(level.astype(np.float32), size, interpolation=cv2.INTER_CUBIC), 0, 1)
    bgr = cv2.applyColorMap(np.rint(255 * level).astype(np.uint8), cv2.COLORMAP_TURBO)
    grey = cv2.cvtColor(cv2.cvtColor(rgb_u8, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    mixed = cv2.addWeighted(grey, 1 - _HEAT_SHARE, bgr[:, :, ::-1], _HEAT_SHARE, 0)
    return np.asarray(mixed, np.uint8)
