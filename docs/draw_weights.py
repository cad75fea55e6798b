"""Draws docs/images/drawn.png: what the shipped weights make of portraits of our own renderer.

python docs/draw_weights.py
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from anymus.drawing.photo import draw_portrait
from anymus.images import RgbU8, write_png
from inference.faces import FaceFinder, cut_face
from inference.redraw import redraw
from inference.translator import Translator

ROOT = Path(__file__).parent
PEOPLE = (5, 11, 12, 18, 19, 20)  # before plain walls, as in portrait photographs
SIZE_PX = (400, 480)
GAP_PX = 4
ENLARGE = 1


def main() -> None:
    """Write the picture: people above, what becomes of them below."""
    translator = Translator.load("drawn", "cpu")
    finder = FaceFinder("photo")
    pairs = [_pair(number, finder, translator) for number in PEOPLE]
    rows = [_row([pair[index] for pair in pairs]) for index in (0, 1)]
    gap = np.full((GAP_PX, rows[0].shape[1], 3), 255, np.uint8)
    write_png(ROOT / "images" / "drawn.png", np.concatenate([rows[0], gap, rows[1]]))


def _pair(number: int, finder: FaceFinder, translator: Translator) -> tuple[RgbU8, RgbU8]:
    portrait = draw_portrait(np.random.default_rng([21, number]), *SIZE_PX).rgb_u8
    face = finder.find(portrait)[0]
    crop, _ = cut_face(portrait, face, "photo", translator.framing)
    size_px = ENLARGE * translator.size_px
    large, _ = cut_face(portrait, face, "photo", replace(translator.framing, size_px=size_px))
    return large, redraw(translator(crop), ENLARGE)


def _row(tiles: list[RgbU8]) -> RgbU8:
    gap = np.full((tiles[0].shape[0], GAP_PX, 3), 255, np.uint8)
    parts = [part for tile in tiles for part in (gap, tile)]
    return np.concatenate(parts[1:], axis=1)


if __name__ == "__main__":
    main()
