"""Compares detectors of faces in photos: found faces by folder, where each picture holds so many.

    python benchmarks/detect_photo.py --photos FOLDER [--detectors dlib_hog opencv_yunet ...]

FOLDER (or the environment's ANYMUS_PHOTOS) holds sub-folders of pictures; of each sub-folder, or
picture of it, it is known how many faces a picture has: `--faces NAME=COUNT`, 1 where nothing is
said. Recall is the share of these that were found, at most COUNT a picture; whatever is found
beyond is a false positive. This counts, it does not look where a face is: a false alarm in a
picture whose face was missed passes for it. All detectors see a picture in turn, with the looks
and limits of the preset `light`; speed is of finding alone, in CPU seconds.
"""

import argparse
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from anymus.errors import DeviceError, ImageError
from anymus.files import walk_images
from anymus.images import RgbU8, read_rgb
from anymus.params import PRESETS_FOLDER, load_params
from anymus.photo_faces import PHOTO_MODELS
from curation.detect import load_detector

KNOWN = {"skimage": 0, "skimage/astronaut.png": 1, "zamba_wildlife": 0, "solvay": 29}


def main() -> None:
    options = _read_options()
    params = load_params(PRESETS_FOLDER / "light.yaml", []).detect.photo
    detectors = {}
    for name in options.detectors:
        try:
            detectors[name] = load_detector(params.model_copy(update={"detector": name}))
        except DeviceError as error:
            print(f"{name} is left out: {error.message}")
    expected = KNOWN | {name: int(count) for name, _, count in map(_cut, options.faces)}
    tables: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for folder, file, rgb_u8 in _pictures(options.photos, options.limit):
        count = expected.get(f"{folder}/{file}", expected.get(folder, 1))
        for name, detector in detectors.items():
            start = time.process_time()
            found = len(detector.find(rgb_u8))
            line = tables[folder][name]
            line["cpu_us"] += round(1e6 * (time.process_time() - start))
            line.update(
                pictures=1, faces=count, hits=min(found, count), false=max(0, found - count)
            )
    _print(tables, list(detectors))


def _cut(item: str) -> tuple[str, str, str]:
    return item.partition("=")


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    default = os.environ.get("ANYMUS_PHOTOS")
    parser.add_argument("--photos", type=Path, default=default, required=default is None)
    parser.add_argument("--detectors", nargs="+", choices=PHOTO_MODELS, default=PHOTO_MODELS)
    parser.add_argument("--faces", nargs="+", default=[], metavar="FOLDER=COUNT")
    parser.add_argument("--limit", type=int, help="most pictures of a folder, spread over it")
    return parser.parse_args()


def _pictures(root: Path, limit: int | None) -> Iterator[tuple[str, str, RgbU8]]:
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        paths = list(walk_images(folder))
        step = 1 if limit is None else max(1, len(paths) // limit)
        for path in paths[::step][:limit]:
            try:
                yield folder.name, path.name, read_rgb(path)
            except ImageError as error:
                print(f"{error.message}")


def _print(tables: dict[str, dict[str, Counter[str]]], names: list[str]) -> None:
    print("recall (false positives) by folder\n")
    print("| folder | pictures | faces | " + " | ".join(names) + " |")
    print("|---" * (3 + len(names)) + "|")
    total: dict[str, Counter[str]] = defaultdict(Counter)
    for folder, lines in tables.items():
        first = lines[names[0]]
        cells = [_cell(lines[name]) for name in names]
        print(f"| {folder} | {first['pictures']} | {first['faces']} | " + " | ".join(cells) + " |")
        for name in names:
            total[name] += lines[name]
    first = total[names[0]]
    cells = [_cell(total[name]) for name in names]
    print(f"| all | {first['pictures']} | {first['faces']} | " + " | ".join(cells) + " |")
    rates = [
        f"{total[name]['pictures'] * 1e6 / max(1, total[name]['cpu_us']):.1f}" for name in names
    ]
    print("| pictures a CPU second | | | " + " | ".join(rates) + " |")


def _cell(line: Counter[str]) -> str:
    recall = f"{line['hits'] / line['faces']:.3f}" if line["faces"] else "-"
    return f"{recall} ({line['false']})"


if __name__ == "__main__":
    main()
