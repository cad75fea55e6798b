"""Contenders: weights to compare with others, from files, folders or revisions."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch

from anymus.errors import CheckpointError, ParamsError
from anymus.files import sha256_file

from .checkpoint import load_generator
from .networks import Generator
from .revision import fetch_weights

Direction = Literal["a2b", "b2a"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


@dataclass(frozen=True, slots=True)
class Contender:
    """Generators, and where they come from.

    Attributes:
        name: What the user called them.
        generators: One or both, by direction; in eval mode on their device.
        sha256: Hash of each weights file, by direction.
    """

    name: str
    generators: Mapping[Direction, Generator]
    sha256: Mapping[Direction, str]


def load_contender(name: str, models_dir: Path, device: torch.device) -> Contender:
    """Return the weights that a name stands for.

    Args:
        name: A weights file, a folder of generator_a2b.safetensors and generator_b2a.safetensors,
            or else a revision of this repository (a tag, a branch, a commit, an experiment of DVC).
        models_dir: Where a revision keeps its weights.
        device: Where the generators go.

    Raises:
        CheckpointError: Weights are missing, damaged, or not in the cache.
        ParamsError: The name is no path and no revision.
    """
    path = Path(name)
    if path.exists():
        return _load(name, _files_of(path), device)
    if path.suffix == ".safetensors":
        raise CheckpointError(f"{name}: no such file", "name weights, or a revision")
    with tempfile.TemporaryDirectory() as folder:
        fetch_weights(name, [models_dir / weights_name(one) for one in DIRECTIONS], Path(folder))
        return _load(name, _files_of(Path(folder)), device)


def find_different(one: Contender, other: Contender) -> list[Direction]:
    """Return the directions in which two contenders have different weights, at least one.

    Raises:
        ParamsError: They have no direction in common, or the same weights.
    """
    both = [way for way in DIRECTIONS if way in one.sha256 and way in other.sha256]
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


def weights_name(direction: Direction) -> str:
    """Return the file name of a direction's generator."""
    return f"generator_{direction}.safetensors"


def _files_of(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = [path / weights_name(one) for one in DIRECTIONS if (path / weights_name(one)).is_file()]
    if not files:
        raise CheckpointError(
            f"{path}: no generator_a2b.safetensors and no generator_b2a.safetensors in this folder",
            "train first (anymus train), or name another folder",
        )
    return files


def _load(name: str, files: list[Path], device: torch.device) -> Contender:
    generators: dict[Direction, Generator] = {}
    sha256: dict[Direction, str] = {}
    for path in files:
        generator, card = load_generator(path)
        direction = card.get("direction")
        if direction not in DIRECTIONS:
            raise CheckpointError(f"{path} does not say which way it translates", "train again")
        if direction in generators:
            raise CheckpointError(
                f"both weights of {name} translate {direction}",
                "put each generator under its own name",
            )
        generators[direction] = generator.to(device)
        sha256[direction] = sha256_file(path)
    return Contender(name, generators, sha256)
