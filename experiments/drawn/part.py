"""Tell how hair is combed, for a table of portraits: `anymus weights refine --portraits`.

    python experiments/drawn/part.py portraits.csv data/processed/trainA -o new.csv

Each person's hair is laid over the photo as our renderer combs it from the left, from the right
and, of those with a side part, back; where one way has hair and another a bare forehead, the
photo's colours, compared with those of the cheeks, tell which of them agrees with it. Writes the
column `parting`, and the cut `combed` for who has a side part and a bare forehead.
"""

import argparse
import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.drawing.manga_ink import BLACK, WHITE, Paint
from anymus.drawing.portrait import CHOICES, Sitting, as_manga
from anymus.drawing.twin import draw_in_place
from anymus.images import RgbU8, read_rgb, resize_rgb
from training.complexion import cheek_colour
from training.portraits import parse_sitting

SIDE_PX = 128
BARE = 0.32  # less unlike the cheeks than that, a forehead is bare
MARGIN = 0.05  # in sides: so far above the brows the forehead begins


def main() -> None:
    """Write the table with how hair is combed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("crops", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    with arguments.table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        comb(row, resize_rgb(read_rgb(arguments.crops / f"{row['id']}.png"), SIDE_PX, SIDE_PX))
    with arguments.output.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for column in ("parting", "cut"):
        print(Counter(row[column] for row in rows))


def comb(row: dict[str, str], photo: RgbU8) -> None:
    """Give a row its parting, and the cut `combed` where that agrees with the photo."""
    sitting = parse_sitting(row | {"parting": "left"}, row["id"])
    unlike = unlike_cheeks(photo, sitting)
    unlike[max(round((sitting.brow_y - MARGIN) * SIDE_PX), 1) :] = 0
    hairs = {side: hair_of(replace(sitting, parting=side)) for side in CHOICES["parting"]}
    row["parting"] = max(hairs, key=lambda side: float((unlike * hairs[side]).sum()))
    if row["cut"] == "side part":
        back = hair_of(replace(sitting, cut="combed", parting=row["parting"]))
        fringe = np.maximum(hairs[row["parting"]] - back, 0.0) * (unlike > 0)
        if (fringe * unlike).sum() < BARE * fringe.sum():
            row["cut"] = "combed"


def hair_of(sitting: Sitting) -> NDArray[np.float64]:
    """Return where the drawing has hair, (SIDE_PX, SIDE_PX), 0 to 1."""
    person, eyes_px = as_manga(sitting), np.array(sitting.eyes) * SIDE_PX
    black, white = (
        draw_in_place(
            replace(person, hair_paint=paint),
            eyes_px,
            sitting.half_width * SIDE_PX,
            (SIDE_PX, SIDE_PX),
            0.0,
        ).rgb_u8[..., 0]
        for paint in (Paint(BLACK), Paint(WHITE))
    )
    return np.abs(white.astype(np.float64) - black) / 255


def unlike_cheeks(photo: RgbU8, sitting: Sitting) -> NDArray[np.float64]:
    """Return how unlike its cheeks a photo is, (SIDE_PX, SIDE_PX): 1 is as unlike as anything."""
    lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    distance = np.linalg.norm(lab - cheek_colour(lab, sitting), axis=-1)
    return np.minimum(distance / np.percentile(distance, 90), 1.0)


if __name__ == "__main__":
    main()
