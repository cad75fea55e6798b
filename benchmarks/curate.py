"""Pictures a second of each curation step, on one core and two, beside the library called alone.

    python benchmarks/curate.py [--photos FOLDER] [--drawings FOLDER] [--pictures 24] [--rounds 3]

Without a folder the pictures are drawn, a second each. A row is a step, done three ways in turns:

- library: a plain loop over what does the work. detect: dlib's detector and landmarks, OpenCV's
  network, with a second look where the first finds nothing; crop: cv2.warpAffine at the crop's
  size, a PNG of the same compression and imagehash for picture and crop; quality: cv2.Laplacian,
  mean, deviation, saturation and, of drawings, the connected parts; dedupe: every row read and
  written by `json`, all pairs of the 64-bit hashes compared by numpy; split: rows by `json`,
  pictures by shutil.copyfile;
- one core: the stage's function with `engine.workers: 1`, everything around the work included:
  rows read twice, figures, sorted manifests, atomic writes;
- two cores: the same with `engine.workers: 2`, less the time for the two smallest pictures, which
  is what starting the processes takes (the last column); dedupe and split are one process by
  design.

Library and one core do two pictures before they count, so that models are loaded. Ratios are of
CPU time and bear other work on the machine; rates by the clock do not. `quality` is a part of the
stage crop and shares its processes. dedupe and split run over `--rows` made-up faces a domain, with
the real crops' pictures. A figure is the median of the rounds, with the half-width of their spread.
"""

import argparse
import functools
import itertools
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import dlib
import imagehash
import numpy as np
from PIL import Image

from anymus.detectors import DETECTOR_OF_DOMAIN
from anymus.drawing.manga import draw_bust
from anymus.drawing.photo import draw_portrait
from anymus.drawn_faces import OPERATING_POINT, WEIGHTS_FOLDER
from anymus.files import sha256_bytes, walk_images
from anymus.framing import crop_transform
from anymus.images import encode_png, read_rgb
from anymus.manifest import DOMAINS, Domain, Face, ImageRecord, iter_kept, write_manifest
from anymus.params import PRESETS_FOLDER, Params, load_params
from anymus.photo_faces import model_path
from curation.crop import crop, framing_of
from curation.dedupe import dedupe
from curation.detect import detect
from curation.quality import measure
from curation.split import split

FIRST = 2
FEW_ROWS = 60
WAYS = ("library", "one core", "two cores")
PNG_LEVEL = 6


@dataclass
class Step:
    """A step over a number of pictures: ours for some parameters, and the library's alone."""

    name: str
    pictures: int
    ours: Callable[[Params, int], object]
    alone: Callable[[int], object]
    is_parallel: bool = True
    cpu_s: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in WAYS})
    wall_s: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in WAYS})
    start_s: list[float] = field(default_factory=list)


def main() -> None:
    options = _read_options()
    overrides = ["split.min_train=1", "split.min_test=1", "detect.max_rejected_share=1.0"]
    params = load_params(PRESETS_FOLDER / "light.yaml", overrides)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="anymus-curate-") as folder:
        root = Path(folder)
        os.chdir(root)
        steps: list[Step] = []
        for domain, source in zip(DOMAINS, (options.photos, options.drawings), strict=True):
            _collect(root / "raw" / domain, domain, source, options.pictures)
            detect(params, domain, root / "raw" / domain, root / "detected" / domain)
            crop(params, domain, root / "detected" / domain, root / "faces" / domain)
            steps += _steps_of_pictures(root, domain, params)
        steps += _steps_of_rows(root, params, options.rows)
        for index, step in itertools.product(range(options.rounds + 1), steps):
            _take_turns(step, params, is_counted=index > 0)
        _print(steps)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--drawings", type=Path)
    parser.add_argument("--pictures", type=int, default=24, help="of each domain")
    parser.add_argument("--rows", type=int, default=2000, help="faces of dedupe and split")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for name in ("photos", "drawings"):
        path = getattr(options, name)
        setattr(options, name, None if path is None else path.resolve())
    return options


def _collect(folder: Path, domain: Domain, source: Path | None, count: int) -> None:
    """Fill a folder as `anymus scrape` does, with drawn pictures or with those of a folder."""
    folder.mkdir(parents=True)
    if source is None:
        draw = draw_portrait if domain == "photo" else draw_bust
        drawn = (draw(np.random.default_rng([3, index])).rgb_u8 for index in range(count))
        files = [(encode_png(rgb_u8), ".png") for rgb_u8 in drawn]
    else:
        paths = list(walk_images(source))
        chosen = paths[:: max(1, len(paths) // count)][:count]
        files = [(path.read_bytes(), path.suffix) for path in chosen]
    rows = {}
    for content, suffix in files:
        name = sha256_bytes(content)
        (folder / f"{name}{suffix}").write_bytes(content)
        rows[name] = ImageRecord(id=name, domain=domain, file=f"{name}{suffix}", url=f"x/{name}")
    write_manifest(folder, rows.values())


def _steps_of_pictures(root: Path, domain: Domain, params: Params) -> list[Step]:
    raw, detected, faces = (root / name / domain for name in ("raw", "detected", "faces"))
    by_size = {row.id: (raw / str(row.file)).stat().st_size for row in iter_kept(raw)}
    pictures = [raw / str(row.file) for row in _smallest_first(raw, by_size)]
    found = _smallest_first(detected, by_size)
    crops = [row for row in iter_kept(faces) if row.file]
    scratch = root / "scratch" / domain
    look = _dlib if domain == "photo" else _network

    def run(stage: Callable[..., object], src: Path, params: Params, count: int) -> None:
        few = src.with_name(f"few-{domain}")
        rows = _smallest_first(src, by_size)[:count]
        write_manifest(few, (row.relocated(src, few) for row in rows))
        stage(params, domain, few, scratch)

    def judge(params: Params, count: int) -> None:
        for row in crops[:count]:
            _judge(faces, domain, params, row)

    return [
        Step(
            f"detect {domain} ({DETECTOR_OF_DOMAIN[domain]})",
            len(pictures),
            functools.partial(run, detect, raw),
            lambda count: look(pictures[:count], params),
        ),
        Step(
            f"crop {domain} ({sum(len(row.faces) for row in found)} faces)",
            len(found),
            functools.partial(run, crop, detected),
            lambda count: _warp(domain, detected, found[:count], params, root / "alone"),
        ),
        Step(
            f"quality {domain}",
            len(crops),
            judge,
            lambda count: _measure(domain, [faces / str(row.file) for row in crops[:count]]),
            is_parallel=False,
        ),
    ]


def _smallest_first(folder: Path, by_size: dict[str, int]) -> list[ImageRecord]:
    return sorted(iter_kept(folder), key=lambda row: by_size[row.id])


@functools.cache
def _load_dlib() -> tuple[Any, Any]:
    path = model_path("shape_predictor_5_face_landmarks.dat")
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(path))


@functools.cache
def _load_network() -> Any:
    return cv2.dnn.readNetFromONNX(str(WEIGHTS_FOLDER / "manga_faces.onnx"))


def _dlib(pictures: list[Path], params: Params) -> None:
    detector, predictor = _load_dlib()
    for path in pictures:
        grey = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
        scale = params.detect.photo.max_side_px / max(grey.shape)
        if scale < 1:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for box in detector(grey, 0) or detector(grey, params.detect.photo.second_upsample):
            predictor(grey, box)


def _network(pictures: list[Path], params: Params) -> None:
    """Look three times, as `manga_faces` does: as it is, mirrored, and at 0.7 of the size."""
    network = _load_network()

    def best(grey: np.ndarray, scale: float) -> float:
        answers = []
        for factor in (scale, scale, 0.7 * scale):
            small = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            below, beside = (-side % 64 for side in small.shape)
            padded = cv2.copyMakeBorder(small, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=255)
            network.setInput(padded[None, None].astype(np.float32) / 255)
            answers.append(float(network.forward()[0][:, 0].max()))
        return float(np.mean(1 / (1 + np.exp(-np.array(answers)))))

    for path in pictures:
        grey = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
        scale = min(1.0, params.detect.manga.max_side_px / max(grey.shape))
        if best(grey, scale) < OPERATING_POINT:
            best(grey, 2 * scale)


def _warp(
    domain: Domain, detected: Path, rows: list[ImageRecord], params: Params, folder: Path
) -> None:
    framing = framing_of(params.crop)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for row in rows:
        content = (detected / str(row.file)).read_bytes()
        bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        for index, face in enumerate(row.faces):
            matrix = crop_transform(face, domain, framing)
            cut = cv2.warpAffine(
                bgr, matrix, (framing.size_px, framing.size_px), flags=cv2.INTER_CUBIC
            )
            picture = Image.fromarray(cut[:, :, ::-1])
            picture.save(folder / f"{row.id}-{index}.png", compress_level=PNG_LEVEL)
            _hash(picture)
        _hash(Image.fromarray(bgr[:, :, ::-1]))


def _hash(picture: Image.Image) -> None:
    """Hash a picture as `crop` does: 64 and 256 bits, plain and mirrored."""
    for shown in (picture, picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)):
        imagehash.phash(shown)
        imagehash.phash(shown, hash_size=16)


def _judge(folder: Path, domain: Domain, params: Params, row: ImageRecord) -> dict[str, float]:
    face = Face(box=row.box or (0, 0, 1, 1), score=0.0, landmarks=row.landmarks or {})
    framing = framing_of(params.crop)
    matrix = crop_transform(face, domain, framing)
    size_px = row.parent_size_px or (1, 1)
    return measure(read_rgb(folder / str(row.file)), matrix, face, domain, framing, size_px)


def _measure(domain: Domain, paths: list[Path]) -> None:
    for path in paths:
        bgr = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        small = cv2.resize(bgr, (128, 128), interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        cv2.Laplacian(grey, cv2.CV_64F).var()
        cv2.meanStdDev(grey)
        cv2.mean(cv2.cvtColor(small, cv2.COLOR_BGR2HSV))
        if domain == "manga":
            dark = (cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY) < 110).astype(np.uint8)
            cv2.connectedComponentsWithStats(dark)


def _steps_of_rows(root: Path, params: Params, count: int) -> list[Step]:
    few, many = root / "few", root / "many"  # the few to load what is loaded once
    for folder, rows in ((few, FEW_ROWS), (many, count)):
        for domain in DOMAINS:
            faces = folder / "faces" / domain
            write_manifest(faces, _multiply(root / "faces" / domain, faces, rows))
            dedupe(params, domain, faces, folder / "unique" / domain)

    def of(rows: int) -> Path:
        return few if rows == FIRST else many

    def group(params: Params, rows: int) -> None:
        dedupe(params, "photo", of(rows) / "faces/photo", of(rows) / "again")

    def part(params: Params, rows: int) -> None:
        split(params, of(rows) / "unique", of(rows) / "dataset")

    kept = sum(1 for domain in DOMAINS for _ in iter_kept(many / "unique" / domain))
    return [
        Step("dedupe", count, group, lambda rows: _compare(of(rows)), is_parallel=False),
        Step("split", kept, part, lambda rows: _copy(of(rows)), is_parallel=False),
    ]


def _multiply(src: Path, dst: Path, count: int) -> Iterator[ImageRecord]:
    """Yield the crops of a folder again and again, each with other hashes and another picture."""
    rng = np.random.default_rng(7)
    crops = list(iter_kept(src))
    for index in range(count):
        row = crops[index % len(crops)].relocated(src, dst)
        shown, parent = rng.bytes(80).hex(), rng.bytes(80).hex()
        update = {"id": rng.bytes(32).hex(), "parent": rng.bytes(32).hex()}
        yield row.model_copy(update=update | {"picture_print": shown, "parent_print": parent})


def _read_lines(manifest: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]


def _compare(folder: Path) -> None:
    rows = _read_lines(folder / "faces/photo/manifest.jsonl")
    for kind in ("picture_print", "parent_print"):
        digits = [str(row[kind]) for row in rows]
        hashes = np.array([int(d[at : at + 16], 16) for d in digits for at in (0, 80)], np.uint64)
        for one in hashes:
            np.flatnonzero(np.bitwise_count(hashes ^ one) <= 10)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "alone.jsonl").write_text(lines, encoding="utf-8")


def _copy(folder: Path) -> None:
    target = folder / "alone"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    lines = []
    for domain in DOMAINS:
        unique = folder / "unique" / domain
        for row in _read_lines(unique / "manifest.jsonl"):
            if row.get("status") != "rejected":
                shutil.copyfile(unique / str(row["file"]), target / f"{row['id']}.png")
                lines.append(json.dumps(row) + "\n")
    (target / "manifest.jsonl").write_text("".join(lines), encoding="utf-8")


def _take_turns(step: Step, params: Params, *, is_counted: bool) -> None:
    ways: dict[str, Callable[[int], object]] = {"library": step.alone}
    for workers, way in enumerate(WAYS[1:], start=1):
        if workers == 1 or step.is_parallel:
            engine = params.engine.model_copy(update={"workers": workers})
            ours = params.model_copy(update={"engine": engine})
            ways[way] = functools.partial(step.ours, ours)
    for way, work in ways.items():
        if not is_counted:
            if way != "two cores":
                work(FIRST)
            continue
        cpu_s, wall_s = _time(work, step.pictures)
        if way == "two cores":
            step.start_s.append(_time(work, FIRST)[1])
            wall_s -= step.start_s[-1]
        step.cpu_s[way].append(cpu_s)
        step.wall_s[way].append(wall_s)


def _time(work: Callable[[int], object], count: int) -> tuple[float, float]:
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    work(count)
    return time.process_time() - cpu_s, time.perf_counter() - wall_s


def _print(steps: list[Step]) -> None:
    print(f"load of the machine over the last five minutes: {os.getloadavg()[1]:.1f}\n")
    print(
        "| step | pictures | library /CPU s | ours /CPU s | CPU time, ours over library"
        " | one core /s | two cores /s | start of two, s |"
    )
    print("|---" * 8 + "|")
    for step in steps:
        alone, ours = step.cpu_s["library"], step.cpu_s["one core"]
        rates = [[step.pictures / value for value in values] for values in (alone, ours)]
        rates.append([one / other for one, other in zip(ours, alone, strict=True)])
        rates.append([step.pictures / value for value in step.wall_s["one core"]])
        rates.append([(step.pictures - FIRST) / value for value in step.wall_s["two cores"]])
        cells = [_cell(values) for values in (*rates, step.start_s)]
        print(f"| {step.name} | {step.pictures} | " + " | ".join(cells) + " |")


def _cell(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{statistics.median(values):.3g} ± {(max(values) - min(values)) / 2:.2g}"


if __name__ == "__main__":
    main()
