"""A generator's file: its name in a folder, the pictures its network takes, how one is written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anymus.errors import AnymusError
from training.weights_file import Facts, write_arrays

from .options import Direction


def weights_name(direction: Direction) -> str:
    """Return the name of a direction's weights in a folder of generators."""
    return f"generator_{direction}.safetensors"


def unit_px(architecture: Mapping[str, Any]) -> int:
    """Return what sides of pictures are a multiple of, by `Generator.arguments`."""
    return int(2 ** len(architecture["channel_multipliers"]))


def takes_any_size(architecture: Mapping[str, Any]) -> bool:
    """Return whether the network takes pictures of other sizes than those of its training."""
    return bool(architecture["film"] == "pooled")


def write_weights(dst: Path, arrays: Mapping[str, NDArray[Any]], facts: Facts) -> None:
    """Write weights in single precision, and that into their facts; `dst` is replaced as a whole.

    Raises:
        AnymusError: The file cannot be written.
    """
    single = {name: array.astype(np.float32) for name, array in arrays.items()}
    try:
        dst.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(dst, single, {**facts, "precision": "fp32"})
    except OSError as error:
        raise AnymusError(f"cannot write {dst}: {error}", "give another folder with -o") from error
