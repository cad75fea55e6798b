"""Say in what dvc.lock differs from the committed one, but for the floats of another processor.

    python .ci/compare_lock.py

Curation gives the same bytes on every machine. A training rounds by the instructions that the
processor has, so what `train` makes, and what is made of that, differs from one kind of processor
to another; commands, parameters, code and curated pictures must be those of the committed file.
Prints each stage and path that differs, and exits with 1 if there is any.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from anymus.yaml_file import parse_yaml, read_yaml

ROUNDED = ("train", "evaluate", "report")
"""Stages whose outputs hang on the processor."""

Lock = Mapping[str, Any]


def main() -> None:
    """Compare dvc.lock with that of HEAD."""
    committed = subprocess.run(
        ["git", "show", "HEAD:dvc.lock"], check=True, capture_output=True, text=True
    ).stdout
    differences = list(differing(parse_yaml(committed), read_yaml(Path("dvc.lock"))))
    for difference in differences:
        print(f"dvc.lock differs: {difference}", file=sys.stderr)
    sys.exit(1 if differences else 0)


def differing(one: Lock, other: Lock) -> Iterator[str]:
    """Yield `stage: what` for whatever two locks have otherwise than the processor explains."""
    stages, others = one["stages"], other["stages"]
    rounded = {out["path"] for name in ROUNDED for out in stages.get(name, {}).get("outs", ())}
    for name in sorted({*stages, *others}):
        ours, theirs = (_flat(lock.get(name, {}), rounded) for lock in (stages, others))
        for what in sorted({*ours, *theirs}):
            if ours.get(what) != theirs.get(what):
                yield f"{name}: {what}"


def _flat(stage: Mapping[str, Any], rounded: set[str]) -> dict[str, Any]:
    """Return a stage's command, parameters and hashes of its files, but of rounded ones none."""
    flat = {name: value for name, value in stage.items() if name not in ("deps", "outs")}
    for kind in ("deps", "outs"):
        for file in stage.get(kind, ()):
            path = file["path"]
            is_rounded = any(f"{one}/".startswith(f"{path}/") for one in rounded)
            flat[f"{kind} {path}"] = "rounded" if is_rounded else file["md5"]
    return flat


if __name__ == "__main__":
    main()
