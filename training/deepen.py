"""Deeper generators: one more halving and doubling around what a smaller one has learned.

A generator for 128 px that is shown 256 px sees faces twice as large as it knows. Inside a
generator that halves once more it sees them as large as ever, at a third of the cost; only the new
layers around it have to learn, for minutes of a CPU, to hand it what its own first layer made of
the halved photo, and to draw from its last map what it drew, at twice the size. What comes of that
is there to be refined: sharp lines it learns from lessons of its own size.

Source: growing a network from the middle (Karras et al. 2018, arXiv:1710.10196), with the small
network's own maps as targets (Romero et al. 2015, FitNets, arXiv:1412.6550).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everyone writes it

from anymus.errors import ParamsError
from anymus.files import sha256_file
from anymus.images import RgbU8
from anymus.progress import track
from anymus.torchlib import deterministic, pick_device

from .checkpoint import load_generator, save_generator
from .data import find_pictures, to_signed
from .distil import FORMS, taught_facts
from .greys import draws_greys, keep_greys
from .layers import set_forms
from .lessons import squares
from .memory import keep_freed_memory
from .networks import Generator

Part = tuple[nn.ModuleList, Callable[[Tensor], tuple[Tensor, Tensor]]]
"""Layers, and what they make of photos (N, 3, H, W) beside what is due."""


@dataclass(frozen=True, slots=True)
class DeepenOptions:
    """How the new layers learn.

    Attributes:
        base_channels: Of the first convolution, at twice the size.
        iterations: For the layers before the old ones, and as many for those after them.
        batch_size: Photos an iteration.
        lr: Learning rate of Adam; it falls to 0 in even steps.
        seed: Of the new layers and of the order of photos.
        device: Where both run.
    """

    base_channels: int = 32
    iterations: int = 500
    batch_size: int = 4
    lr: float = 2e-3
    seed: int = 20240501
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class DeepenReport:
    """What was written.

    Attributes:
        file: The deeper generator.
        size_px: Side of its pictures, twice as large as before.
        photos: Which the new layers learned from.
        held_out: Photos of the test side that both generators were compared on.
        difference_levels: Mean absolute difference there between its drawings, halved, and those of
            the smaller one, 0 to 255.
    """

    file: Path
    size_px: int
    photos: int
    held_out: int
    difference_levels: float

    def as_metrics(self) -> dict[str, int | float | str]:
        """Return the figures by name."""
        return {**asdict(self), "file": str(self.file)}


def deepen(weights: Path, dataset_dir: Path, dst: Path, options: DeepenOptions) -> DeepenReport:
    """Write a generator for pictures of twice the side, with another one inside it.

    Args:
        weights: The other one; either direction.
        dataset_dir: Holds trainA and testA (way back: trainB and testB) in its framing, at any
            size; best at twice its own.
        dst: The file to write, fp32; replaced as a whole.
        options: How.

    Raises:
        ParamsError: `dst` is that file; or the network is for one size alone, or of a width that is
            no multiple of `base_channels`.
        CheckpointError: Weights are missing or damaged.
        DatasetError: There are no pictures.
        ImageError: A picture cannot be read.
        DeviceError: The device is not there.
        OSError: It cannot be written.
    """
    if dst.resolve() == weights.resolve():
        raise ParamsError(f"{dst} is the smaller generator itself", "give another folder with -o")
    device = pick_device(options.device)
    if device.type == "cpu":
        keep_freed_memory()
    shallow, card = load_generator(weights)
    deep = enclose(shallow, options.base_channels, options.seed)
    for network in (shallow, deep):
        set_forms(network, FORMS)
        network.to(device).to(memory_format=torch.channels_last).requires_grad_(False)  # type: ignore[call-overload]
    side, size_px = str(card.get("direction", "a2b"))[0].upper(), deep.arguments["image_size_px"]
    photos, exam = (_read(dataset_dir, f"{part}{side}", size_px) for part in ("train", "test"))
    with deterministic(device):
        _learn(deep, photos, options, *_before(shallow, deep), "deepen encoder")
        _learn(deep, photos, options, *_after(shallow, deep), "deepen decoder")
        levels = _difference(shallow, deep, exam, device)
    facts = taught_facts(card, "deepen", asdict(options), size_px)
    is_grey = {"is_grey": True} if draws_greys(deep) else {}
    facts |= {**is_grey, "deepened_from": sha256_file(weights)}
    save_generator(dst, deep.cpu(), facts)
    return DeepenReport(dst, size_px, len(photos), len(exam), round(levels, 3))


def enclose(shallow: Generator, base_channels: int, seed: int) -> Generator:
    """Return a generator for twice the side, whose inner layers are the other's; others by chance.

    Args:
        shallow: With pooled film.
        base_channels: Of the new first convolution; the other's are a multiple of it.
        seed: Of the new layers.

    Raises:
        ParamsError: It is for one size alone, or its width does not fit.
    """
    shape = dict(shallow.arguments)
    if shape["film"] != "pooled":
        raise ParamsError(
            f"film {shape['film']!r} is for pictures of one size alone", "deepen a light generator"
        )
    times, rest = divmod(int(shape["base_channels"]), base_channels)
    if rest:
        raise ParamsError(
            f"{shape['base_channels']} channels are no multiple of {base_channels}",
            f"use --channels {shape['base_channels']}",
        )
    shape |= {
        "base_channels": base_channels,
        "image_size_px": 2 * int(shape["image_size_px"]),
        "channel_multipliers": [times, *(times * m for m in shape["channel_multipliers"])],
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        deep = Generator(**shape)
    deep.load_state_dict({**deep.state_dict(), **_inner(shallow.state_dict())})
    if draws_greys(shallow):
        with torch.no_grad():
            deep.head.weight.copy_(deep.head.weight[:1].expand_as(deep.head.weight).clone())
    return deep.eval()


def _inner(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a generator's layers but the first and the last, by their names one level deeper."""
    moved = {}
    for name, tensor in state.items():
        if name.startswith("down_convs."):
            _, index, rest = name.split(".", 2)
            moved[f"down_convs.{int(index) + 1}.{rest}"] = tensor
        elif not name.startswith(("stem.", "head.")):
            moved[name] = tensor
    return moved


def _before(shallow: Generator, deep: Generator) -> Part:
    """Return the new layers before the old ones, and what they make of photos beside what is due.

    Due is what the old first layer makes of the photos at half their size.
    """

    def compare(photos: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            due = shallow.activation(shallow.norm(shallow.stem(F.avg_pool2d(photos, 2))))
        x = deep.activation(deep.norm(deep.stem(photos)))
        return deep.activation(deep.norm(deep.down_convs[0](x))), due

    return nn.ModuleList([deep.stem, deep.down_convs[0]]), compare


def _after(shallow: Generator, deep: Generator) -> Part:
    """Return the new layers after the old ones, and what they draw beside what is due.

    Due is the old drawing, bicubic at twice its size; they draw from the map that it is drawn from.
    """

    def compare(photos: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            last: list[Tensor] = []
            hook = shallow.head.register_forward_pre_hook(lambda _, given: last.append(given[0]))
            drawn = shallow(F.avg_pool2d(photos, 2)).image
            hook.remove()
            due = F.interpolate(drawn, scale_factor=2.0, mode="bicubic").clamp(-1, 1)
        x = deep.activation(deep.up_norms[-1](deep.up_convs[-1](last[0])))
        return torch.tanh(deep.head(x)), due

    return nn.ModuleList([deep.up_convs[-1], deep.up_norms[-1], deep.head]), compare


def _learn(
    deep: Generator,
    photos: Sequence[RgbU8],
    options: DeepenOptions,
    layers: nn.ModuleList,
    compare: Callable[[Tensor], tuple[Tensor, Tensor]],
    title: str,
) -> None:
    """Train some layers, in place, to make of photos what is due."""
    layers.requires_grad_(True)
    if deep.head.weight.requires_grad and draws_greys(deep):
        keep_greys(deep)
    device = next(layers.parameters()).device
    optimizer = torch.optim.Adam(layers.parameters(), lr=options.lr, fused=True)
    for step in track(range(options.iterations), title, options.iterations):
        rng = np.random.default_rng([options.seed, step, 0xDEE9])
        shown = np.stack([photos[i] for i in rng.integers(len(photos), size=options.batch_size)])
        x = to_signed(shown).to(device).contiguous(memory_format=torch.channels_last)
        made, due = compare(x)
        optimizer.param_groups[0]["lr"] = options.lr * (1 - step / options.iterations)
        optimizer.zero_grad()
        F.l1_loss(made, due).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        deep.clip_rho()
    layers.requires_grad_(False)


def _read(dataset_dir: Path, part: str, size_px: int) -> list[RgbU8]:
    paths = find_pictures(dataset_dir / part)
    return [photo for _, photo in squares(paths, dataset_dir, size_px, f"read {part}")]


@torch.inference_mode()
def _difference(
    shallow: Generator, deep: Generator, photos: Sequence[RgbU8], device: torch.device
) -> float:
    """Return by how many levels halved drawings differ from the other's, mean of all pixels."""
    levels = []
    for photo in photos:
        x = to_signed(photo[None]).to(device)
        halved = F.avg_pool2d(deep(x).image, 2)
        levels.append(float((halved - shallow(F.avg_pool2d(x, 2)).image).abs().mean()) * 127.5)
    return float(np.mean(levels))
