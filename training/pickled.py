"""Pickled weights of other people: tensors are read, and nothing else."""

from pathlib import Path
from typing import Any

import torch

from anymus.errors import CheckpointError


def read_pickled(path: Path, what: str, hint: str) -> Any:
    """Return what a `.pt` or `.pth` file holds, on the CPU.

    Nothing but tensors and plain containers is unpickled, so a hostile file cannot run code.

    Args:
        path: The file.
        what: What it should hold, for the error.
        hint: What to do if it does not, for the error.

    Raises:
        CheckpointError: No such file, or none that can be read so.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpicklers fail in many ways for hostile bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: cannot be read as {what}: {reason}", hint) from error
