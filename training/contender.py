"""Contenders: weights to compare with others, from files, folders or revisions."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from anymus.errors import CheckpointError, ParamsError
from anymus.files import sha256_file
from anymus.revision import Revision
from anymus.shipped import resolve_weights

from .pair import DIRECTIONS, Domain, Pair, load_generators, weights_name
from .weights_file import read_facts

Direction = Literal["a2b", "b2a"]
NAMES: Mapping[Domain, Direction] = {"a": "a2b", "b": "b2a"}


@dataclass(frozen=True, slots=True)
class Contender:
    """One generator or both, and where they come from.

    Attributes:
        name: What the user called them.
        pair: The generators.
        sha256: Hash of each weights file, by direction.
    """

    name: str
    pair: Pair
    sha256: Mapping[Direction, str]


def load_contender(name: str, models_dir: Path, device: torch.device) -> Contender:
    """Return the weights that a name stands for.

    Args:
        name: A set that comes with Anymus, such as `drawn`; a weights file; a folder of
            generator_a2b.safetensors and generator_b2a.safetensors; or else a revision of this
            repository (a tag, a branch, a commit, an experiment of DVC).
        models_dir: Where a revision keeps its weights.
        device: Where the generators go.

    Raises:
        CheckpointError: Weights are missing, damaged, or not in the cache.
        ParamsError: The name is no path and no revision.
    """
    path = resolve_weights(Path(name))
    if path.exists():
        return _load(name, _files_of(path), device)
    if path.suffix == ".safetensors":
        raise CheckpointError(f"{name}: no such file", "name weights, or a revision")
    with tempfile.TemporaryDirectory() as folder:
        _copy_weights(name, models_dir, Path(folder))
        return _load(name, _files_of(Path(folder)), device)


def find_different(one: Contender, other: Contender) -> list[Direction]:
    """Return the directions in which two contenders have different weights, at least one.

    Raises:
        ParamsError: They have no direction in common, or the same weights.
    """
    both = [way for way in NAMES.values() if way in one.sha256 and way in other.sha256]
    if not both:
        ways = (" and ".join(contender.sha256) for contender in (one, other))
        raise ParamsError(
            f"{one.name} and {other.name} have no direction in common ({', '.join(ways)})",
            "name weights of one direction, or folders of both",
        )
    different = [way for way in both if one.sha256[way] != other.sha256[way]]
    if not different:
        raise ParamsError(f"{one.name} and {other.name} are the same weights", "name others")
    return different


def _copy_weights(name: str, models_dir: Path, dst: Path) -> None:
    """Copy the weights that a revision has; at least one."""
    try:
        revision = Revision(name)
    except ParamsError as error:
        hint = "name weights, a folder of them, or a revision (git log --oneline)"
        raise ParamsError(f"{name!r} is no path, and {error.message}", hint) from error
    paths = [models_dir / weights_name(source) for source, _ in DIRECTIONS]
    found = [path for path in paths if revision.has(path)]
    if not found:
        raise CheckpointError(
            f"revision {name} has no {paths[0]}", "name another, or a folder of weights"
        )
    for path in found:
        try:
            revision.copy(path, dst / path.name)
        except FileNotFoundError as error:
            raise CheckpointError(
                f"DVC's cache lacks {path} of {name}", revision.fetch_hint
            ) from error


def _files_of(path: Path) -> dict[Domain, Path]:
    """Return the weights files of a file or a folder, by the domain of what they take."""
    if path.is_file():
        direction = read_facts(path).get("direction")
        found = {source: path for source, way in NAMES.items() if way == direction}
        if not found:
            raise CheckpointError(f"{path} does not say which way it translates", "train again")
        return found
    files = {source: path / weights_name(source) for source, _ in DIRECTIONS}
    files = {source: file for source, file in files.items() if file.is_file()}
    if not files:
        raise CheckpointError(
            f"{path}: no generator_a2b.safetensors and no generator_b2a.safetensors in this folder",
            "train first (anymus train), or name another folder",
        )
    return files


def _load(name: str, files: Mapping[Domain, Path], device: torch.device) -> Contender:
    pair = load_generators(files, device)
    return Contender(
        name, pair, {NAMES[source]: sha256_file(path) for source, path in files.items()}
    )
