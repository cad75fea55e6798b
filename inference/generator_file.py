"""A generator's file: its name in a folder, what it may be asked for, how a new one is written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anymus.errors import AnymusError, ParamsError
from training.weights_file import Facts, takes_any_size, unit_px, write_arrays

from .options import Direction


def weights_name(direction: Direction) -> str:
    """Return the name of a direction's weights in a folder of generators."""
    return f"generator_{direction}.safetensors"


def require_size(architecture: Mapping[str, Any], size_px: int) -> None:
    """Do nothing where the network takes pictures of that side.

    Args:
        architecture: What `Generator.arguments` has.
        size_px: Side of square pictures.

    Raises:
        ParamsError: It takes none of that size.
    """
    own_px, unit = architecture["image_size_px"], unit_px(architecture)
    if size_px != own_px and not takes_any_size(architecture):
        raise ParamsError(
            f"size {size_px}: this network takes pictures of its own size, {own_px} px alone",
            "leave --size out",
        )
    if size_px < unit or size_px % unit:
        raise ParamsError(
            f"size {size_px} is no multiple of {unit}",
            f"--size {max(1, round(size_px / unit)) * unit}",
        )


def require_another_file(dst: Path, weights: Path) -> None:
    """Do nothing where `dst` is not the weights file itself.

    Raises:
        ParamsError: It is.
    """
    if dst.resolve() == weights.resolve():
        raise ParamsError(f"{dst} is the weights file itself", "give another folder with -o")


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
