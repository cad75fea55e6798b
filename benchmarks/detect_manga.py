"""Compares detectors of drawn faces on the same labelled pages: recall, precision, speed.

    python benchmarks/detect_manga.py PICTURES --labels LABELS.jsonl \
        [--only PREFIX ...] [--lbp lbpcascade_animeface.xml] [--boxes other_detectors.csv] \
        [--weights NAME=FILE.onnx ...] [--min-score 0 0.05 0.1 ...]

PICTURES is the folder that the rows of the label file are relative to. `--boxes` takes a table of
boxes that other detectors gave (columns path, detector, x, y, w, h, score; the end of `path` names
the picture), so that a detector that cannot be installed here can still be compared. A found box
counts when it overlaps a labelled one by half (IoU 0.5), each label once. A network sees every
picture once, for the least of the scores; the other rows are a part of what it found, so only the
first has a speed.
"""

import argparse
import csv
import functools
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2

from anymus.drawn_faces import WEIGHTS_FOLDER
from anymus.looks import Sight
from curation.face_samples import Grey, Sample, read_samples
from curation.measure_detector import DetectorFigures, measure_detector, network_finder


def main() -> None:
    options = _read_options()
    labelled = read_samples(options.labels, options.pictures, tuple(options.only or [""]))
    rows: dict[str, DetectorFigures] = {}
    files = dict(item.split("=", 1) for item in options.weights or [])
    files = files or {path.stem: str(path) for path in sorted(WEIGHTS_FOLDER.glob("*_faces.onnx"))}
    for name, file in files.items():
        look = network_finder(Path(file), min_score=min(options.min_score))
        seen: dict[int, Sequence[Sight]] = {}
        for min_score in options.min_score:
            find = functools.partial(_find_once, look, seen, min_score)
            rows[f"{name} >= {min_score}"] = measure_detector(find, labelled)
    if options.lbp:
        cascade = cv2.CascadeClassifier(str(options.lbp))
        rows["lbpcascade_animeface"] = measure_detector(functools.partial(_lbp, cascade), labelled)
    if options.boxes:
        rows |= _measure_boxes(options.boxes, labelled)
    _print_table(rows)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--only", nargs="+", help="only pictures whose path begins so")
    parser.add_argument("--lbp", type=Path)
    parser.add_argument("--boxes", type=Path)
    parser.add_argument("--weights", action="append", help="NAME=FILE.onnx; else the shipped ones")
    parser.add_argument("--min-score", type=float, nargs="+", default=[0.0])
    return parser.parse_args()


def _find_once(
    look: Callable[[Grey], Sequence[Sight]],
    seen: dict[int, Sequence[Sight]],
    min_score: float,
    grey_u8: Grey,
) -> Sequence[Sight]:
    if id(grey_u8) not in seen:
        seen[id(grey_u8)] = look(grey_u8)
    return [sight for sight in seen[id(grey_u8)] if sight.score >= min_score]


def _lbp(cascade: cv2.CascadeClassifier, grey_u8: Grey) -> Sequence[Sight]:
    boxes, counts = cascade.detectMultiScale2(grey_u8, scaleFactor=1.1, minNeighbors=5)
    return [
        Sight(*(float(side) for side in box), float(count), {})
        for box, count in zip(boxes, counts, strict=True)
    ]


def _measure_boxes(path: Path, labelled: Sequence[Sample]) -> dict[str, DetectorFigures]:
    found: dict[str, dict[str, list[Sight]]] = defaultdict(lambda: defaultdict(list))
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            sight = Sight(*(float(row[side]) for side in "xywh"), float(row["score"] or 1.0), {})
            found[row["detector"]][row["path"]].append(sight)
    figures = {}
    for detector, faces in found.items():
        of_sample = {
            sample.name: next((f for p, f in faces.items() if p.endswith(sample.name)), [])
            for sample in labelled
        }
        if any(of_sample.values()):
            figures[detector] = measure_detector(_look_up(of_sample, labelled), labelled)
    return figures


def _look_up(
    of_sample: dict[str, list[Sight]], labelled: Sequence[Sample]
) -> Callable[[Grey], Sequence[Sight]]:
    names = {id(sample.grey_u8): sample.name for sample in labelled}
    return lambda grey_u8: of_sample[names[id(grey_u8)]]


def _print_table(rows: dict[str, DetectorFigures]) -> None:
    views = sorted({view for row in rows.values() for view in row.hits_by_view})
    first = next(iter(rows.values()))
    print(f"{first.pictures} pictures, {first.labelled} labelled faces, IoU 0.5\n")
    print("| detector | recall | precision | AP | eyes | " + " | ".join(views) + " | pages/CPU s |")
    print("|---" * (6 + len(views)) + "|")
    for name, row in rows.items():
        by_view = " | ".join("{}/{}".format(*row.hits_by_view.get(view, (0, 0))) for view in views)
        rate = f"{row.pictures / row.cpu_s:.1f}" if row.cpu_s > 1e-2 * row.pictures else "-"
        print(
            f"| {name} | {row.recall:.2f} | {row.precision:.2f} | {row.average_precision:.2f}"
            f" | {row.eye_error:.3f} | {by_view} | {rate} |"
        )


if __name__ == "__main__":
    main()
