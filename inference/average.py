"""Average: the mean of two generators of one family, often steadier than either."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anymus.errors import CheckpointError, ParamsError
from anymus.files import sha256_file
from anymus.shipped import resolve_weights
from training.weights_file import GENERATOR_KIND, joint_licence, read_arrays

from .engines import require_numbers
from .generator_file import weights_name, write_weights
from .options import DIRECTIONS, Direction
from .translator import find_weights


@dataclass(frozen=True, slots=True)
class AverageReport:
    """What was averaged.

    Attributes:
        folder: Where both generators of the mean are.
        share: Of the second run.
    """

    folder: Path
    share: float

    def as_metrics(self) -> dict[str, float | str]:
        """Return the figures by name."""
        return {"folder": str(self.folder), "share": self.share}


def average_both(first: Path, second: Path, share: float, folder: Path) -> AverageReport:
    """Write the mean of the generators of two runs; see `average`.

    Args:
        first: A set that comes with Anymus, or a folder with generators.
        second: Another. A direction that either of them lacks is left out.
        share: Of the second in the mean, above 0 and below 1.
        folder: Where to write; made if missing.
    """
    for direction in _shared_directions(first, second):
        one, two = (find_weights(weights, direction) for weights in (first, second))
        average(one, two, share, folder / weights_name(direction))
    return AverageReport(folder, share)


def _shared_directions(first: Path, second: Path) -> list[Direction]:
    """Return the directions that both have; a2b where they share none, which then says so."""
    folders = [resolve_weights(weights) for weights in (first, second)]
    shared = [
        direction
        for direction in DIRECTIONS
        if all((folder / weights_name(direction)).is_file() for folder in folders)
    ]
    return shared or [DIRECTIONS[0]]


def average(first: Path, second: Path, share: float, dst: Path) -> None:
    """Write the weighted mean of two generators' weights, fp32.

    It is a good generator only if one was trained from the other, or both from a third
    (`train.start_from`; Wortsman and others 2022, arXiv:2203.05482): the mean of strangers draws
    nothing. The facts are those of the second, which was trained last, and `averaged_with` names
    the file's hash and share of the first; where their licences differ it is under both.

    Args:
        first: A generator's weights.
        second: Another's, of the same architecture and direction.
        share: Of the second in the mean, above 0 and below 1.
        dst: The file to write; replaced as a whole.

    Raises:
        ParamsError: The share is none, or `dst` is one of the two files.
        CheckpointError: A file is missing, damaged, not a generator's, or they differ in
            architecture, size or direction.
        AnymusError: The file cannot be written.
    """
    if not 0 < share < 1:
        raise ParamsError(f"--share {share:g} is not between 0 and 1", "--share 0.5")
    if dst.resolve() in (first.resolve(), second.resolve()):
        raise ParamsError(f"{dst} is one of the two itself", "give another folder with -o")
    (one, one_facts), (two, two_facts) = (
        read_arrays(path, kind=GENERATOR_KIND) for path in (first, second)
    )
    for fact in ("architecture", "direction", "image_size_px", "framing"):
        if one_facts.get(fact) != two_facts.get(fact):
            raise CheckpointError(
                f"{first} and {second} differ in {fact}",
                "average a run with one that it began from",
            )
    require_numbers(first, one)
    require_numbers(second, two)
    mean = {
        name: (1 - share) * one[name].astype(np.float64) + share * two[name].astype(np.float64)
        for name in two
    }
    source = {"sha256": sha256_file(first), "share": round(1 - share, 6)}
    licence = joint_licence([two_facts, one_facts])
    facts = {**two_facts, "averaged_with": source} | ({"licence": licence} if licence else {})
    write_weights(dst, mean, facts)
