"""Grey: a generator whose pictures have no colour, for domains that have none."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anymus.images import LUMA
from training.weights_file import GENERATOR_KIND, read_arrays

from .engines import require_numbers
from .generator_file import require_another_file, write_weights

_HEAD = "head.weight"  # (3, width, kernel, kernel): the last convolution, before tanh


@dataclass(frozen=True, slots=True)
class GreyReport:
    """What was written.

    Attributes:
        file: The generator without colours.
    """

    file: Path

    def as_metrics(self) -> dict[str, float | str]:
        """Return the figures by name."""
        return {"file": str(self.file)}


def take_colour(weights: Path, dst: Path) -> GreyReport:
    """Write a generator whose red, green and blue are all what the luma of the old ones was.

    A network that learned from grey drawings paints them in three channels all the same, and tints
    what it is unsure of. Its last convolution gets the luma of its three filters in place of each,
    so there is no tint, whatever the photo; all else stays (but for tanh, which comes after).

    Args:
        weights: A generator's weights.
        dst: The file to write, fp32; replaced as a whole.

    Raises:
        ParamsError: `dst` is that file.
        CheckpointError: The file is missing, damaged or not a generator's.
        AnymusError: The file cannot be written.
    """
    require_another_file(dst, weights)
    arrays, facts = read_arrays(weights, kind=GENERATOR_KIND)
    require_numbers(weights, arrays)
    luma = np.tensordot(LUMA, arrays[_HEAD].astype(np.float64), axes=1)
    grey = {**arrays, _HEAD: np.repeat(luma[None], 3, axis=0)}
    write_weights(dst, grey, {**facts, "is_grey": True})
    return GreyReport(dst)
