"""Contenders: weights by file, by folder and by revision, and plain words where there are none."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from anymus.errors import AnymusError, CheckpointError, ParamsError
from training.contender import find_different, load_contender

CPU = torch.device("cpu")
SaveWeights = Callable[..., Path]


def test_a_file_and_a_folder_are_weights(tmp_path: Path, save_weights: SaveWeights) -> None:
    path = save_weights(tmp_path, "a2b")
    save_weights(tmp_path, "b2a")
    one = load_contender(str(path), tmp_path, CPU)
    both = load_contender(str(tmp_path), tmp_path / "other", CPU)
    assert (list(one.sha256), list(both.sha256)) == (["a2b"], ["a2b", "b2a"])
    assert one.sha256["a2b"] == both.sha256["a2b"]
    with pytest.raises(ParamsError, match="the same weights"):
        find_different(one, both)


def test_what_differs_is_found(tmp_path: Path, save_weights: SaveWeights) -> None:
    for name, seed in (("one", 0), ("two", 1)):
        save_weights(tmp_path / name, "a2b", seed)
        save_weights(tmp_path / name, "b2a", 0)
    one, two = (load_contender(str(tmp_path / name), tmp_path, CPU) for name in ("one", "two"))
    assert find_different(one, two) == ["a2b"]
    back = load_contender(str(tmp_path / "one" / "generator_b2a.safetensors"), tmp_path, CPU)
    there = load_contender(str(tmp_path / "two" / "generator_a2b.safetensors"), tmp_path, CPU)
    with pytest.raises(ParamsError, match=r"no direction in common \(b2a, a2b\)"):
        find_different(back, there)


def test_a_folder_without_weights_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no generator_a2b"):
        load_contender(str(tmp_path), tmp_path, CPU)
    with pytest.raises(CheckpointError, match="no such file"):
        load_contender(str(tmp_path / "x.safetensors"), tmp_path, CPU)


def _git(*arguments: str) -> None:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", *arguments], check=True, capture_output=True, env=environment)


@pytest.fixture
def repository(tmp_path: Path, save_weights: SaveWeights, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository whose tag `old` has other weights in DVC than its working tree."""
    from dvc.repo import Repo

    root = tmp_path / "repository"
    root.mkdir()
    monkeypatch.chdir(root)
    _git("init", "-q")
    for key in ("user.name", "user.email"):
        _git("config", key, "test")
    save_weights(root / "models", "a2b", seed=1)
    with Repo.init(str(root)) as repo:
        repo.add("models/generator_a2b.safetensors")
    _git("add", ".")
    _git("commit", "-qm", "old")
    _git("tag", "old")
    save_weights(root / "models", "a2b", seed=2)
    return root


def test_a_revision_is_read_from_the_cache(repository: Path, save_weights: SaveWeights) -> None:
    models = Path("models")
    old = load_contender("old", models, CPU)
    now = load_contender("models", models, CPU)
    expected = load_contender(str(save_weights(repository / "again", seed=1)), models, CPU)
    assert old.sha256 == expected.sha256
    assert find_different(old, now) == ["a2b"]
    cases: list[tuple[str, Path, type[AnymusError], str]] = [
        (
            "older",
            models,
            ParamsError,
            "'older' is no path, and cannot read revision 'older': unknown Git",
        ),
        ("old", Path("weights"), CheckpointError, "revision old has no weights/generator_a2b"),
        ("old", repository.parent, ParamsError, "lies outside the repository"),
    ]
    for name, folder, error, message in cases:
        with pytest.raises(error, match=message):
            load_contender(name, folder, CPU)
    shutil.rmtree(repository / ".dvc" / "cache")
    with pytest.raises(
        CheckpointError, match=r"DVC's cache lacks models/generator_a2b\.safetensors of old"
    ) as caught:
        load_contender("old", models, CPU)
    assert "dvc pull" in str(caught.value.hint)


def test_outside_a_repository_a_name_is_no_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParamsError, match="'old' is no path, and cannot read revision 'old'"):
        load_contender("old", Path("models"), CPU)


def test_a_set_that_comes_with_anymus_is_a_contender(tmp_path: Path) -> None:
    drawn = load_contender("drawn", tmp_path, torch.device("cpu"))
    assert drawn.name == "drawn"
    assert set(drawn.sha256) == {"a2b", "b2a"}
    assert drawn.pair.size_px == 256
