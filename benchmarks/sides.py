"""The sides of many faces: time and memory of what `split` does beside copying pictures.

    python benchmarks/sides.py --faces 100000 1000000

Rows are made up: two faces a picture, one in ten a copy of another, three a title, twenty a page.
Each size is measured twice in processes of their own, without a ledger and with one that names
every picture. The reference is reading the same manifests and nothing else.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from anymus.blocklist import Blocklist
from anymus.ledger import load_ledger, write_ledger
from anymus.manifest import DOMAINS, Domain, ImageRecord, iter_manifest, write_rows
from anymus.params import PRESETS_FOLDER, load_params
from curation.links import Faces
from curation.sides import choose_sides


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, nargs="+", default=[100_000])
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_measure(options.one)))
        return
    print("| faces | ledger | reading alone, CPU s | columns | sides | ledger file | to reading"
          " | peak MiB above the start | bytes a face | ledger MB |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    for faces in options.faces:
        with tempfile.TemporaryDirectory(prefix="anymus-sides-") as name:
            for domain in DOMAINS:
                path = Path(name) / domain / "manifest.jsonl"
                write_rows(path, _rows(domain, faces // len(DOMAINS)))
            for ledger in ("none", "whole"):
                command = [sys.executable, __file__, "--one", name]
                done = subprocess.run(command, check=True, capture_output=True)
                _print(faces, ledger, json.loads(done.stdout))


def _rows(domain: Domain, count: int) -> Iterator[ImageRecord]:
    """Yield faces of one domain in the order of their ids."""
    rng = np.random.default_rng(DOMAINS.index(domain))
    ids = np.sort(rng.integers(0, 2**64, count, dtype=np.uint64)).tolist()
    pictures = rng.integers(0, 2**64, count, dtype=np.uint64).tolist()
    for index, number in enumerate(ids):
        is_copy = index % 10 == 1
        row = ImageRecord(
            id=f"{number:016x}{index:048x}", domain=domain, file=f"{number:016x}.png",
            url=f"https://example.org/{number:016x}", title=f"{domain} {index // 3}",
            page_url=f"https://example.org/page/{index // 20}", author=f"author {index // 50}",
            parent=f"{pictures[index // 2]:016x}{'0' * 48}", parent_print="0" * 160,
            picture_print="0" * 160, quality=dict.fromkeys(("sharpness", "upscale", "turn"), 1.25),
            group=f"{ids[index - is_copy]:016x}{index - is_copy:048x}",
        )  # fmt: skip
        yield row.reject("near_duplicate") if is_copy else row


def _measure(root: Path) -> dict[str, float]:
    """Run once, with the ledger in the folder if there is one; return CPU seconds and memory."""
    params = load_params(PRESETS_FOLDER / "light.yaml")
    start, found = time.process_time(), {}

    def lap(name: str) -> None:
        nonlocal start
        now = time.process_time()
        found[name], start = found.get(name, 0.0) + now - start, now

    count = sum(1 for domain in DOMAINS for _ in iter_manifest(root / domain))
    lap("reading")
    before = _peak_mib()
    ledger = load_ledger(root / "sides.txt")
    lap("ledger")
    faces = Faces(root, Blocklist(), params.split.group_by, {})
    lap("columns")
    sides = choose_sides(params, faces, {}, ledger)
    lap("sides")
    write_ledger(root / "sides.txt", sides.ledger)
    lap("ledger")
    own = _peak_mib() - before
    size = (root / "sides.txt").stat().st_size
    return found | {"peak_mib": own, "bytes": own * 2**20 / count, "mb": size / 1e6}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _print(faces: int, ledger: str, found: dict[str, float]) -> None:
    reading, columns, sides, files = (found[n] for n in ("reading", "columns", "sides", "ledger"))
    ratio = (columns + sides + files) / reading
    print(
        f"| {faces:,} | {ledger} | {reading:.1f} | {columns:.1f} | {sides:.1f} | {files:.1f}"
        f" | {ratio:.2f} | {found['peak_mib']:.0f} | {found['bytes']:.0f} | {found['mb']:.1f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
