"""What weights do to held-out people: is there a face, are its eyes where they were, for whom?

    python benchmarks/held_out.py -g drawn --dataset data/processed -o results/held_out
    python benchmarks/held_out.py ... --people experiments/drawn/held_out_people.csv
    python benchmarks/held_out.py ... --shadow 4     # each photo in a shadow

Prints a table of all test photos and of groups by skin tone (the individual typology angle of the
cheeks: above 28 light, 10 to 28 intermediate, below 10 dark; Chardon et al. 1991), and writes
sheet.png, the photos beside their translations, sorted by tone, and figures.json. `--people` adds
groups: a CSV with the column `id`, the face's in the manifest, and a column for every trait; each
value that five faces or more have becomes a row.

`face` is the share of translations in which the detector `drawn_faces` finds a face; `eye drift` is
that of `anymus evaluate`: the distance between the eyes of the photo and those of the drawing, in
widths of the face. The detector errs too: the row `drawings` shows it on portraits of our
renderer whose eyes are known. `cheeks` is how light the drawn skin is, 0 black to 1 white, the
group's mean (`training.skin`); `grey` is the share whose cheeks have a median below 0.875, and
`uneven` the share in which cells of the cheeks, 32 a side of the picture, are more than 0.125 from
their median, on average: patches, or lines of a face that came apart.
"""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.detectors import FaceDetector, make_detector
from anymus.drawing.sitter import draw_sitter
from anymus.files import write_json
from anymus.framing import crop_transform, cut
from anymus.images import RgbU8, read_rgb, resize_rgb, write_png
from anymus.manifest import Domain, ImageRecord, read_manifest
from inference.translator import Translator, find_weights
from training.content import LOOK_PX, NEAR, Eyes, eye_drift, look
from training.data import shadowed, to_signed
from training.skin import CHEEKS, skin_level

LIGHT_DEG, DARK_DEG = 28.0, 10.0
SHEET_COLUMNS = 8
MIN_GROUP = 5
CELLS = 32  # a side, in which cheeks are compared
WHITE, EVEN = 0.875, 0.125  # of the scale from black to white


@dataclass(frozen=True)
class Seen:
    """One translation: what the detector found in it, and where it should be."""

    id: str
    photo: RgbU8
    drawing: RgbU8
    tone_deg: float
    has_face: bool
    drift: float | None  # mean of both eyes, share of the face's width; None: no face


def main() -> None:
    """Print the table and write the sheet and the figures."""
    arguments = _parse()
    translator = Translator.load(find_weights(Path(arguments.weights), "a2b"), "cpu")
    if arguments.size:
        translator = translator.at_size(arguments.size)
    detector = make_detector("drawn_faces", upsample=0, max_side_px=LOOK_PX, min_score=0.0,
                             min_face_px=32, max_faces=5, second_look_share=0.0,
                             second_upsample=0)  # fmt: skip
    rows = [row for row in read_manifest(arguments.dataset) if _is_test_photo(row)]
    seen = [_look(row, arguments, translator, detector) for row in rows]
    seen.sort(key=lambda one: -one.tone_deg)
    groups = {
        "all": seen,
        "light": [one for one in seen if one.tone_deg > LIGHT_DEG],
        "intermediate": [one for one in seen if DARK_DEG < one.tone_deg <= LIGHT_DEG],
        "dark": [one for one in seen if one.tone_deg <= DARK_DEG],
        "drawings": [_look_at_drawing(number, translator, detector) for number in range(64)],
    }
    if arguments.people is not None:
        groups |= _groups_of_people(seen, arguments.people)
    figures = {name: _figures(group) for name, group in groups.items()}
    print("group                 n  face  eye drift: median  95 %  within 5 %  cheeks grey  uneven")
    for name, row in figures.items():
        print(
            f"{name:19} {row['n']:4.0f}  {row['face']:.2f}              {row['drift_median']:.3f}"
            f" {row['drift_95']:.3f}        {row['within_5']:.2f}    {row['cheeks']:.2f}"
            f" {row['grey']:.2f}    {row['uneven']:.2f}"
        )
    write_json(arguments.output / "figures.json", figures)
    write_png(arguments.output / "sheet.png", _sheet(seen))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-g", "--weights", default="drawn")
    parser.add_argument("--size", type=int, help="side at which faces are seen; the weights'")
    parser.add_argument("--dataset", type=Path, default=Path("data/processed"))
    parser.add_argument("--shadow", type=float, default=0.0, help="on each photo: at most, stops")
    parser.add_argument("--people", type=Path, help="CSV: id and one column for each trait")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/held_out"))
    return parser.parse_args()


def _is_test_photo(row: ImageRecord) -> bool:
    return row.is_kept and row.domain == "photo" and row.split == "test"


def _groups_of_people(seen: Sequence[Seen], path: Path) -> dict[str, list[Seen]]:
    """The faces of every value of every trait, under `trait: value`."""
    by_id = {one.id: one for one in seen}
    groups: dict[str, list[Seen]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            one = by_id.get(row.pop("id"))
            for trait, value in row.items():
                if one is not None and value:
                    groups.setdefault(f"{trait}: {value}", []).append(one)
    return {name: group for name, group in sorted(groups.items()) if len(group) >= MIN_GROUP}


def _look(
    row: ImageRecord, arguments: argparse.Namespace, translator: Translator, detector: FaceDetector
) -> Seen:
    assert row.landmarks is not None
    photo = read_rgb(arguments.dataset / str(row.file))
    eyes_px = np.array([row.landmarks["left_eye"], row.landmarks["right_eye"]])
    small = resize_rgb(photo, translator.size_px, translator.size_px)
    small = shadowed(small, arguments.shadow, np.random.default_rng(list(bytes.fromhex(row.id))))
    drawing = translator(small)
    found = _measure(drawing, eyes_px / len(photo), "photo", detector)
    return Seen(row.id, small, drawing, _tone_deg(photo, eyes_px), *found)


def _look_at_drawing(number: int, translator: Translator, detector: FaceDetector) -> Seen:
    """The detector on a drawing whose eyes are known, through the same framing."""
    drawing = draw_sitter(np.random.default_rng([77, number]))
    truth = drawing.faces[0]
    matrix = crop_transform(truth.as_found(), "manga", translator.framing)
    crop = cut(drawing.rgb_u8, matrix, translator.size_px)
    points = np.array([truth.landmarks["left_eye"], truth.landmarks["right_eye"]])
    eyes_px = points @ matrix[:, :2].T + matrix[:, 2]
    found = _measure(crop, eyes_px / translator.size_px, "manga", detector)
    return Seen(f"drawing {number}", crop, crop, 0.0, *found)


def _measure(
    drawing: RgbU8, eyes: Eyes, kind: Domain, detector: FaceDetector
) -> tuple[bool, float | None]:
    """Whether the detector finds a face in a drawing, and how far its eyes are from `eyes`."""
    seen = look(detector, drawing)
    return seen.has_face, None if seen.eyes is None else eye_drift(eyes, seen.eyes, kind)


def _tone_deg(photo: RgbU8, eyes: NDArray[np.float64]) -> float:
    """Return the individual typology angle of the cheeks, in degrees; high is light."""
    apart = np.linalg.norm(eyes[1] - eyes[0])
    patches = []
    for x, y in eyes + np.array([0.0, 0.62 * apart]):
        left, top, half = round(x), round(y), max(2, round(0.14 * apart))
        patches.append(photo[top - half : top + half, left - half : left + half].reshape(-1, 3))
    rgb = np.median(np.concatenate(patches), axis=0).astype(np.float32) / 255
    lab = cv2.cvtColor(rgb.reshape(1, 1, 3), cv2.COLOR_RGB2LAB)[0, 0]
    return float(np.degrees(np.arctan2(lab[0] - 50.0, lab[2])))


def _cheeks(drawing: RgbU8) -> float:
    return (skin_level(to_signed(drawing[None])).item() + 1) / 2


def _tones(drawing: RgbU8) -> tuple[float, float]:
    """Return the median of the cells of the cheeks, 0 to 1, and how far from it they are."""
    cells = cv2.resize(drawing[..., 0], (CELLS, CELLS), interpolation=cv2.INTER_AREA) / 255
    top, bottom, left, right = (round(share * CELLS) for share in CHEEKS)
    cheeks = cells[top:bottom, left:right]
    median = float(np.median(cheeks))
    return median, float(np.abs(cheeks - median).mean())


def _figures(group: Sequence[Seen]) -> dict[str, float]:
    tones = np.array([_tones(one.drawing) for one in group] or [(np.nan, np.nan)])
    drifts = np.array([one.drift for one in group if one.drift is not None] or [np.nan])
    return {
        "n": float(len(group)),
        "face": float(np.mean([one.has_face for one in group] or [False])),
        "drift_median": round(float(np.median(drifts)), 4),
        "drift_95": round(float(np.percentile(drifts, 95)), 4),
        "within_5": round(float((drifts < NEAR).mean()), 3),
        "cheeks": round(float(np.mean([_cheeks(one.drawing) for one in group] or [np.nan])), 3),
        "grey": round(float((tones[:, 0] < WHITE).mean()), 3),
        "uneven": round(float((tones[:, 1] > EVEN).mean()), 3),
    }


def _sheet(seen: Sequence[Seen]) -> RgbU8:
    tiles = [np.concatenate([one.photo, one.drawing], axis=1) for one in seen]
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % SHEET_COLUMNS)
    rows = [
        np.concatenate(tiles[first : first + SHEET_COLUMNS], axis=1)
        for first in range(0, len(tiles), SHEET_COLUMNS)
    ]
    return np.concatenate(rows)


if __name__ == "__main__":
    main()
