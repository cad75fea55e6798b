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


@dataclass(frozen=True, slots=True)
class Pair:
    """Both generators, in eval mode on their device, and the side of their pictures."""

    generators: Mapping[Domain, Generator]
    """By the domain of what they take."""
    size_px: int
    device: torch.device


class Translated(NamedTuple):
    """Some test pictures of one domain, and what becomes of them; all (H, W, 3) of one size."""

    paths: Sequence[Path]
    real: list[RgbU8]
    translated: list[RgbU8]
    cycled: list[RgbU8]
    cycle_l1: float
    """Sum over the pictures of the mean absolute difference after both ways, values in [-1, 1]."""
    identity_l1: float
    """The same for the pictures through the generator of their own domain."""


def load_pair(models_dir: Path, device: torch.device) -> Pair:
    """Return both generators of a folder, on the device.

    Raises:
        CheckpointError: Weights are missing, damaged, or do not belong together.
    """
    generators: dict[Domain, Generator] = {}
    for source, target in DIRECTIONS:
        path = models_dir / f"generator_{source}2{target}.safetensors"
        generator, card = load_generator(path)
        if card.get("direction") != f"{source}2{target}":
            raise CheckpointError(
                f"{path} translates {card.get('direction')}, not {source}2{target}",
                "train again, or put each generator under its own name",
            )
        generators[source] = generator.to(device)
    sizes_px = [int(generator.arguments["image_size_px"]) for generator in generators.values()]
    if len(set(sizes_px)) > 1:
        raise CheckpointError(
            f"the generators in {models_dir} are for {sizes_px[0]} and {sizes_px[1]} pixels",
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
    there = pair.generators[domain]
    back = pair.generators["b" if domain == "a" else "a"]
    batches = chunks(paths, batch_size)
    for chunk in track(batches, f"evaluate test{domain.upper()}", len(batches)):
        real = read_squares(chunk, pair.size_px)
        x = to_signed(np.stack(real)).to(pair.device)  # (N, 3, H, W)
        image = there(x).image
        cycled = back(image).image
        cycle_l1, identity_l1 = _l1_sum(cycled, x), _l1_sum(back(x).image, x)
        if not np.isfinite(cycle_l1 + identity_l1):
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


def _l1_sum(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the sum over a batch of each picture's mean absolute difference."""
    return float((one - other).abs().mean(dim=(1, 2, 3)).double().sum())
