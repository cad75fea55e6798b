"""Draws docs/images/drawn.png: what each set of weights makes of portraits of our own renderer.

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
PEOPLE = (5, 8, 34, 26, 14, 32)  # of about as many kinds as portrait photographs show
SIZE_PX = (400, 480)
GAP_PX = 4
SIDE_PX = 256
SETS = ("drawn", "manga", "drawn-small")


def main() -> None:
    """Write the picture: people above, what becomes of them with each set below."""
    translators = [Translator.load(name, "cpu") for name in SETS]
    finder = FaceFinder("photo")
    columns = [_column(number, finder, translators) for number in PEOPLE]
    rows = [_row(list(tiles)) for tiles in zip(*columns, strict=True)]
    gap = np.full((GAP_PX, rows[0].shape[1], 3), 255, np.uint8)
    parts = [part for row in rows for part in (gap, row)]
    write_png(ROOT / "images" / "drawn.png", np.concatenate(parts[1:]))


def _column(number: int, finder: FaceFinder, translators: list[Translator]) -> list[RgbU8]:
    """Return the portrait's face and its translations, all SIDE_PX wide."""
    portrait = draw_portrait(np.random.default_rng([21, number]), *SIZE_PX).rgb_u8
    face = finder.find(portrait)[0]
    framing = replace(translators[0].framing, size_px=SIDE_PX)
    tiles = [cut_face(portrait, face, "photo", framing)[0]]
    for translator in translators:
        crop, _ = cut_face(portrait, face, "photo", translator.framing)
        tiles.append(redraw(translator(crop), SIDE_PX // translator.size_px))
    return tiles


def _row(tiles: list[RgbU8]) -> RgbU8:
    gap = np.full((tiles[0].shape[0], GAP_PX, 3), 255, np.uint8)
    parts = [part for tile in tiles for part in (gap, tile)]
    return np.concatenate(parts[1:], axis=1)


if __name__ == "__main__":
    main()
