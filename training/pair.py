"""Both generators of a run, and what they make of test pictures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from anymus.errors import CheckpointError, DatasetError, ImageError
from anymus.images import RgbU8, read_rgb
from anymus.progress import track

from .checkpoint import load_generator
from .data import to_signed, to_square
from .networks import Generator
from .samples import to_rgb

Domain = Literal["a", "b"]
DIRECTIONS: tuple[tuple[Domain, Domain], ...] = (("a", "b"), ("b", "a"))
OTHER: Mapping[Domain, Domain] = dict(DIRECTIONS)


@dataclass(frozen=True, slots=True)
class Pair:
    """Both generators, or one, in eval mode on their device, and the side of their pictures."""

    generators: Mapping[Domain, Generator]
    """By the domain of what they take."""
    size_px: int
    device: torch.device


class Translated(NamedTuple):
    """Some test pictures of one domain, and what becomes of them; all (H, W, 3) of one size.

    The last three are empty where the pair has no generator of the way back.
    """

    paths: Sequence[Path]
    real: list[RgbU8]
    translated: list[RgbU8]
    cycled: list[RgbU8]
    cycle_l1: list[float]
    """Mean absolute difference of each picture after both ways, values in [-1, 1]."""
    identity_l1: list[float]
    """The same for the pictures through the generator of their own domain."""


def load_pair(models_dir: Path, device: torch.device) -> Pair:
    """Return both generators of a folder, on the device.

    Raises:
        CheckpointError: Weights are missing, damaged, or do not belong together.
    """
    files = {source: models_dir / weights_name(source) for source, _ in DIRECTIONS}
    return load_generators(files, device)


def direction_of(source: Domain) -> str:
    """Return the name of the way from a domain to the other: a2b, b2a."""
    return f"{source}2{OTHER[source]}"


def weights_name(source: Domain) -> str:
    """Return the file name of the generator that takes pictures of a domain."""
    return f"generator_{direction_of(source)}.safetensors"


def load_generators(files: Mapping[Domain, Path], device: torch.device) -> Pair:
    """Return one generator or both, on the device.

    Args:
        files: Weights by the domain of what they take.
        device: Where the generators go.

    Raises:
        CheckpointError: Weights are missing, damaged, or do not belong together.
    """
    generators: dict[Domain, Generator] = {}
    for source, path in files.items():
        generator, card = load_generator(path)
        direction = direction_of(source)
        if card.get("direction") != direction:
            raise CheckpointError(
                f"{path} translates {card.get('direction')}, not {direction}",
                "train again, or put each generator under its own name",
            )
        generators[source] = generator.to(device)
    sizes_px = [int(generator.arguments["image_size_px"]) for generator in generators.values()]
    if len(set(sizes_px)) > 1:
        folder = next(iter(files.values())).parent
        raise CheckpointError(
            f"the generators in {folder} are for {sizes_px[0]} and {sizes_px[1]} pixels",
            "use two generators of one training run",
        )
    return Pair(generators, sizes_px[0], device)


@torch.inference_mode()
def translate(
    paths: Sequence[Path], domain: Domain, pair: Pair, batch_size: int
) -> Iterator[Translated]:
    """Yield the pictures of one domain in batches, there and back again.

    Raises:
        DatasetError: A picture cannot be read.
        CheckpointError: The weights give values that are no numbers.
    """
    there, back = pair.generators[domain], pair.generators.get(OTHER[domain])
    batches = chunks(paths, batch_size)
    for chunk in track(batches, f"evaluate test{domain.upper()}", len(batches)):
        real = read_squares(chunk, pair.size_px)
        x = to_signed(np.stack(real)).to(pair.device)  # (N, 3, H, W)
        image = there(x).image
        cycled = image[:0] if back is None else back(image).image
        cycle_l1 = [] if back is None else _l1(cycled, x)
        identity_l1 = [] if back is None else _l1(back(x).image, x)
        if not (torch.isfinite(image).all() and np.isfinite([*cycle_l1, *identity_l1]).all()):
            raise CheckpointError("the weights give values that are no numbers", "train them again")
        yield Translated(chunk, real, _pixels(image), _pixels(cycled), cycle_l1, identity_l1)


def read_squares(paths: Sequence[Path], size_px: int) -> list[RgbU8]:
    """Return pictures as squares of that size, resized with the one filter of the project.

    Raises:
        DatasetError: One cannot be read.
    """
    try:
        return [to_square(read_rgb(path), size_px) for path in paths]
    except ImageError as error:
        raise DatasetError(error.message, "run `anymus split` again") from error


def chunks(paths: Sequence[Path], size: int) -> list[Sequence[Path]]:
    """Return the paths in pieces of at most that size."""
    return [paths[start : start + size] for start in range(0, len(paths), size)]


def _pixels(x_signed: torch.Tensor) -> list[RgbU8]:
    return [to_rgb(one[None]) for one in x_signed]


def _l1(one: torch.Tensor, other: torch.Tensor) -> list[float]:
    """Return the mean absolute difference of each picture of a batch."""
    return [float(value) for value in (one - other).abs().mean(dim=(1, 2, 3)).double()]
