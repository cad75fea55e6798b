"""Weights files without torch: arrays and facts about them, with a SHA-256 over both.

They are safetensors files with one JSON in their metadata, written whole or not at all; a flipped
bit anywhere is found. `training.checkpoint` keeps networks in them.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from anymus.errors import CheckpointError

METADATA_KEY = "anymus"
FORMAT = 1
GENERATOR_KIND = "generator"
TRAINING_KIND = "training"
NETWORKS_KIND = "networks"
_JOINT = " and "  # between licences

Facts = dict[str, Any]
Arrays = Mapping[str, NDArray[Any]]


def unit_px(architecture: Mapping[str, Any]) -> int:
    """Return what sides of pictures are a multiple of, by `Generator.arguments`."""
    return int(2 ** len(architecture["channel_multipliers"]))


def takes_any_size(architecture: Mapping[str, Any]) -> bool:
    """Return whether the network takes pictures of other sizes than those of its training."""
    return bool(architecture["film"] == "pooled")


def write_arrays(path: Path, arrays: Arrays, facts: Facts) -> None:
    """Write arrays and facts (JSON values, `kind` among them), atomically.

    Raises:
        CheckpointError: something that is no file is in the way.
        OSError: it cannot be written; an older file at `path` is untouched.
    """
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path} is not a regular file, refusing to replace it")
    facts = {**facts, "format": FORMAT}
    facts["sha256"] = digest(facts, arrays)
    # One key only: safetensors writes several keys of its metadata in chance order.
    metadata = {METADATA_KEY: json.dumps(facts)}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_file(dict(arrays), partial, metadata)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.chmod(0o644)  # safetensors writes for the owner alone
        partial.replace(path)
    except SafetensorError as error:
        partial.unlink(missing_ok=True)
        raise OSError(f"cannot write {path}: {error}") from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def joint_licence(parts: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the licence of what several generators made: one that all share, or all that differ.

    Args:
        parts: Their facts, the most important first; what says nothing of a licence adds none.
    """
    said = [str(facts["licence"]) for facts in parts if facts.get("licence")]
    named = dict.fromkeys(name for text in said for name in text.split(_JOINT))
    return _JOINT.join(named) or None


def read_facts(path: Path) -> Facts:
    """Return the facts in a weights file without reading, or verifying, its tensors.

    Raises:
        CheckpointError: missing, no safetensors file, or from another program.
    """
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: no such file", "train first (anymus train), or give other weights"
        ) from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: damaged, or no safetensors file: {error}", "use another copy of the weights"
        ) from error
    return parse_facts(metadata.get(METADATA_KEY, ""), path)


def parse_facts(text: str, path: Path) -> Facts:
    """Return the facts that a file's metadata hold as JSON.

    Raises:
        CheckpointError: they are of another program, or of another format.
    """
    try:
        facts = json.loads(text)
    except ValueError as error:
        raise CheckpointError(
            f"{path}: weights of another program, without Anymus's description",
            "give a file that anymus train or anymus export wrote",
        ) from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise CheckpointError(f"{path}: its description is not of format {FORMAT}")
    return facts


def read_arrays(path: Path, *, kind: str) -> tuple[dict[str, NDArray[Any]], Facts]:
    """Return the tensors of a weights file as arrays of their own, verified, and its facts.

    Raises:
        CheckpointError: missing, damaged, of another kind or from another program.
    """
    facts = read_facts(path)
    with safe_open(path, framework="np") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    saved = facts.pop("sha256", None)
    if saved != digest(facts, arrays):
        raise damaged(path)
    require_kind(path, facts, kind)
    return arrays, facts


def damaged(path: Path) -> CheckpointError:
    """Return the error of a file whose contents are not those that were written."""
    return CheckpointError(
        f"{path}: damaged: its contents do not have the SHA-256 written into it",
        "use another copy of the weights",
    )


def require_kind(path: Path, facts: Facts, kind: str) -> None:
    """Do nothing for facts of weights of this kind.

    Raises:
        CheckpointError: they are of another.
    """
    if facts.get("kind") != kind:
        raise CheckpointError(
            f"{path} holds {facts.get('kind')} weights where {kind} weights are needed",
            "translate with generator_a2b.safetensors or generator_b2a.safetensors",
        )


def digest(facts: Mapping[str, Any], arrays: Arrays) -> str:
    """Return the SHA-256 over the facts and the names, types, shapes and bytes of all arrays."""
    sums = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        # Types have the names that torch gives them.
        sums.update(f"\0{name} torch.{array.dtype.name} {list(array.shape)}\0".encode())
        sums.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return sums.hexdigest()
