"""Continuous integration takes another processor's floats, and no other change of dvc.lock."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from compare_lock import differing

from anymus.yaml_file import read_yaml

ROOT = Path(__file__).parent.parent


@pytest.fixture
def lock() -> dict[str, Any]:
    loaded: dict[str, Any] = read_yaml(ROOT / "dvc.lock")
    return loaded


def change(lock: dict[str, Any], stage: str, kind: str, path: str) -> dict[str, Any]:
    """Return a lock in which one file of a stage has another hash."""
    changed = deepcopy(lock)
    (file,) = (one for one in changed["stages"][stage][kind] if one["path"] == path)
    file["md5"] = "0" * 32
    return changed


def test_a_lock_differs_from_itself_in_nothing(lock: dict[str, Any]) -> None:
    assert list(differing(lock, lock)) == []


@pytest.mark.parametrize(
    ("stage", "kind", "path"),
    [
        ("train", "outs", "models/generator_a2b.safetensors"),
        ("evaluate", "deps", "models/generator_a2b.safetensors"),
        ("evaluate", "outs", "results/evaluate/metrics.json"),
        ("report", "deps", "results/train"),
        ("report", "outs", "reports"),
    ],
)
def test_what_a_training_rounds_may_differ(
    lock: dict[str, Any], stage: str, kind: str, path: str
) -> None:
    assert list(differing(lock, change(lock, stage, kind, path))) == []


@pytest.mark.parametrize(
    ("stage", "kind", "path"),
    [
        ("train", "deps", "training/loop.py"),
        ("train", "deps", "data/processed"),
        ("split", "outs", "data/processed"),
        ("crop@photo", "outs", "data/interim/faces/photo"),
        ("report", "deps", "curation/report.py"),
    ],
)
def test_code_and_curated_pictures_may_not(
    lock: dict[str, Any], stage: str, kind: str, path: str
) -> None:
    differences = list(differing(lock, change(lock, stage, kind, path)))
    assert differences == [f"{stage}: {kind} {path}"]


def test_commands_parameters_and_stages_may_not(lock: dict[str, Any]) -> None:
    changed = deepcopy(lock)
    changed["stages"]["train"]["cmd"] += " --json"
    changed["stages"]["split"]["params"]["params.yaml"]["seed"] = 7
    del changed["stages"]["report"]
    differences = list(differing(lock, changed))
    assert {"train: cmd", "split: params", "report: cmd"} <= set(differences)
    assert {one.partition(":")[0] for one in differences} == {"train", "split", "report"}
