"""What the stages hold: peak memory of crop, dedupe, split and report over synthetic manifests.

    python benchmarks/memory.py --rows 10000 100000 [--stages crop dedupe split report]
    python benchmarks/memory.py --rows 100000 1000000 --stages dedupe --domains photo

Rows are made up: random hashes, one in ten a near-duplicate of another face, tiny pictures. `crop`
runs with a stand-in for the work on one picture, because what is asked is what the stage holds
around it, not how long OpenCV takes. Each stage runs in a process of its own; its peak is compared
with that of the same process before the stage. Three things are held up to a bound that small runs
do not reach: 20,000 rows while manifests are sorted, the figures of 20,000 faces for the report's
histograms, 20,000 pictures in plain files. `--held` lowers all three, so that what grows without a
bound is seen at sizes that take minutes; the last column is the growth from the size before.
"""

import argparse
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

STAGES = ("crop", "dedupe", "split", "report")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--domains", nargs="+", default=["photo", "manga"], help="of dedupe")
    parser.add_argument("--held", type=int, default=20_000, help="the bounds, see above")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        stage, root = options.one
        print(json.dumps(_measure(stage, Path(root), options.held, options.domains)))
        return
    is_whole = "dedupe" in options.stages and len(options.domains) == 2
    if {"split", "report"} & set(options.stages) and not is_whole:
        parser.error("split and report read what dedupe writes of both domains: name it, too")
    print("| stage | faces a domain | CPU s | peak MiB | by the stage | bytes a further face |")
    print("|---|---|---|---|---|---|")
    last: dict[str, tuple[int, float]] = {}
    for rows in options.rows:
        with tempfile.TemporaryDirectory(prefix="anymus-memory-") as folder:
            _make_project(Path(folder), rows, options)
            for stage in options.stages:
                command = [sys.executable, __file__, "--one", stage, folder]
                command += ["--held", str(options.held), "--domains", *options.domains]
                found = json.loads(
                    subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
                )
                own = found["peak_mib"] - found["base_mib"]
                growth = "-"
                if stage in last:
                    fewer, before_mib = last[stage]
                    growth = f"{(own - before_mib) * 2**20 / (rows - fewer):.0f}"
                last[stage] = (rows, own)
                cells = (stage, f"{rows:,}", f"{found['cpu_s']:.0f}", f"{found['peak_mib']:.0f}")
                print("| " + " | ".join((*cells, f"{own:.0f}", growth)) + " |", flush=True)


def _make_project(root: Path, count: int, options: argparse.Namespace) -> None:
    """Write the manifests that the stages read, and for split the pictures of the faces."""
    from anymus.manifest import DOMAINS, MANIFEST_NAME, write_rows
    from anymus.shards import PictureStore, choose_shards

    stages = set(options.stages)
    (root / "one.png").write_bytes(_png())
    for side, domain in enumerate(DOMAINS):
        faces = functools.partial(_rows, side, domain, count)
        if stages - {"crop"} and (stages - {"crop", "dedupe"} or domain in options.domains):
            folder = root / "data/interim/faces" / domain
            shards = choose_shards(count, options.held, 1000)
            with PictureStore(folder, shards) as store:
                take = store.take if "split" in stages else lambda name, _: f"{name}.png"
                rows = (
                    r.model_copy(update={"file": take(r.id, root / "one.png")}) for r in faces()
                )
                write_rows(folder / MANIFEST_NAME, rows)
        for stage, name in (("scrape", "data/raw"), ("detect", "data/interim/detected")):
            if stages & {"report", *(("crop",) if stage == "detect" else ())}:
                pictures = (_picture(row, stage) for row in faces())
                write_rows(root / name / domain / MANIFEST_NAME, pictures)


def _rows(side: int, domain: str, count: int) -> Iterator[object]:
    """Yield faces in the order of their ids."""
    from anymus.manifest import ImageRecord

    rng = np.random.default_rng(side)
    ids = np.sort(rng.integers(0, 2**64, count, dtype=np.uint64))
    prints = rng.integers(0, 2**64, (count, 10), dtype=np.uint64)
    prints[1::10] = prints[: len(prints[1::10]) * 10 : 10]
    quality = dict.fromkeys(
        ("sharpness", "brightness", "contrast", "saturation", "upscale", "eye_line", "eye_share",
         "face_share", "head_room", "outside_share", "roll_deg", "turn"), 1.25,
    )  # fmt: skip
    for index, (number, words) in enumerate(zip(ids.tolist(), prints, strict=True)):
        name = f"{number:016x}{index:048x}"
        digits = words.astype(">u8").tobytes().hex()
        yield ImageRecord(
            id=name, domain=domain, file=None, site="a site", url=f"https://example.org/{name}",
            page_url=f"https://example.org/page/{index // 20}", title=f"picture {index}",
            author=f"author {index // 50}", licence="CC0-1.0", width_px=256, height_px=256,
            licence_url="https://creativecommons.org/publicdomain/zero/1.0/", format="PNG",
            parent=f"{index:064x}", parent_size_px=(600, 800), parent_print=digits,
            picture_print=digits, box=(100, 100, 200, 200), score=1.0, quality=quality,
            landmarks={"left_eye": (98.0, 118.0), "right_eye": (158.0, 118.0)},
        )  # fmt: skip


@functools.cache
def _png() -> bytes:
    from anymus.images import encode_png

    return encode_png(np.zeros((1, 1, 3), np.uint8))


def _picture(row, stage):
    """Return the row of the picture that a face was cut from."""
    from anymus.manifest import Face

    face = Face(box=row.box, score=1.0, landmarks=row.landmarks)
    update = {"id": row.parent, "parent": None, "box": None, "landmarks": None, "quality": None}
    update |= {"picture_print": None, "parent_print": None, "parent_size_px": None, "score": None}
    update["file"] = "none.png"
    return row.model_copy(update=update | ({"faces": (face,)} if stage == "detect" else {}))


def _cut(work, picture):
    """Stand in for the work on a picture: its face as a row, with a tiny picture written."""
    from anymus.files import sha256_bytes, write_bytes

    name = sha256_bytes(picture.id.encode())
    write_bytes(work.picture(name), _png())
    update = {"id": name, "file": f"{name}.png", "parent": picture.id, "faces": ()}
    return [picture.model_copy(update=update)]


def _measure(stage: str, root: Path, held: int, of_dedupe: list[str]) -> dict[str, float]:
    """Run one stage and return its peak memory, that before it, and its CPU seconds."""
    import os

    from anymus import manifest
    from anymus.params import PRESETS_FOLDER, load_params
    from curation import crop, dedupe, report, split, survey

    manifest._RUN_ROWS = survey.FIGURE_FACES = report.FIGURE_FACES = held
    shards = [f"shards.above={held}"]
    params = load_params(PRESETS_FOLDER / "light.yaml", ["engine.workers=1", *shards])
    os.chdir(root)
    write = manifest.write_manifest
    write(Path("warm"), _rows(0, "photo", 10))
    base_mib, start = _peak_mib(), time.process_time()
    domains = {"crop": ("photo",), "dedupe": of_dedupe}
    for domain in domains.get(stage, ("both",)):
        src, dst = (Path("data/interim") / name / domain for name in ("detected", "cut"))
        if stage == "crop":
            crop._crop_picture = lambda *args: _cut(args[3], args[4])
            crop.crop(params, domain, src, dst)
        elif stage == "dedupe":
            faces, unique = (Path("data/interim") / name / domain for name in ("faces", "unique"))
            dedupe.dedupe(params, domain, faces, unique)
        elif stage == "split":
            split.split(params, Path("data/interim/unique"), Path("data/processed"))
        else:
            report.report(params, Path("reports"))
    found = {"peak_mib": _peak_mib(), "base_mib": base_mib}
    return found | {"cpu_s": time.process_time() - start}


def _peak_mib() -> float:
    """Return the peak of this process: `getrusage` takes over that of its parent (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
