"""Distil: a small generator that draws what a large one draws, for films and slow machines.

The large one translates pictures once, each also in other light; the small one then sees these
pairs, like any supervised network. What it needs is minutes to an hour of a CPU, and no drawings.

Source: Hinton et al. 2015 (arXiv:1503.02531), with pictures in the place of class probabilities.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everyone writes it

from anymus.errors import CheckpointError, ParamsError
from anymus.files import sha256_file
from anymus.images import read_rgb, resize_rgb
from anymus.progress import log, track
from anymus.torchlib import deterministic, half_precision, pick_device

from .checkpoint import load_generator, save_generator
from .data import Augmentation, augment, find_pictures, photograph_otherwise, to_signed, to_square
from .layers import Forms, set_forms
from .memory import keep_freed_memory
from .networks import Generator
from .samples import to_rgb
from .weights_file import unit_px

GAMMA_JITTER, GREY_SHARE = 0.8, 0.25  # of all passes over the pictures but the first
LOAD_SHARE = 1.1  # side of a kept pair, in sides of the small generator's pictures
EMA_DECAY = 0.998
FORMS = Forms(is_norm_fused=True, is_folded=True, is_spectral_scaled=True)
HELD_OUT = 48  # pictures on which both generators are compared in the end
_LOG_EVERY = 250


@dataclass(frozen=True, slots=True)
class DistilOptions:
    """How a small generator learns.

    Attributes:
        size_px: Side of its pictures, as many times divisible by 2 as the network halves them.
        base_channels: Of its first convolution.
        lessons: Pictures that the large generator translates: all once, then all in other light,
            and so on.
        iterations: Of training.
        batch_size: Pairs an iteration.
        lr: Learning rate of Adam; it falls to 0 along a cosine.
        seed: Of weights, light, order and crops.
        start_from: A generator of the small shape to begin with; None: from chance.
        device: Where both run.
    """

    size_px: int = 128
    base_channels: int = 32
    lessons: int = 2000
    iterations: int = 6000
    batch_size: int = 4
    lr: float = 5e-4
    seed: int = 20240501
    start_from: Path | None = None
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class DistilReport:
    """What was distilled.

    Attributes:
        file: The small generator.
        lessons: Pairs that it learned from.
        held_out: Pictures of the test side that both were compared on.
        difference_levels: Mean absolute difference between both there, at the small size, 0 to 255.
        untaught_levels: The same for the small generator before it learned.
    """

    file: Path
    lessons: int
    held_out: int
    difference_levels: float
    untaught_levels: float

    def as_metrics(self) -> dict[str, int | float | str]:
        """Return the figures by name."""
        return {**asdict(self), "file": str(self.file)}


class Pairs(NamedTuple):
    """Pictures and what the large generator made of them, (N, H, W, 3) uint8 both."""

    given: NDArray[np.uint8]
    wanted: NDArray[np.uint8]


def distil(
    teacher_path: Path, dataset_dir: Path, dst: Path, options: DistilOptions
) -> DistilReport:
    """Write a small generator that draws what a large one draws, and return how near it came.

    Args:
        teacher_path: Weights of the large generator.
        dataset_dir: Holds trainA and testA, or trainB and testB for the way back: pictures in the
            framing of the large generator. Its drawings are not needed.
        dst: The file to write, fp32; replaced as a whole.
        options: How.

    Raises:
        ParamsError: `dst` is the large generator's file, or the size is none that
            its kind of network takes.
        CheckpointError: Weights are missing, damaged, or do not fit.
        DatasetError: There are no pictures.
        DeviceError: The device is not there.
        OSError: It cannot be written.
    """
    if dst.resolve() == teacher_path.resolve():
        raise ParamsError(f"{dst} is the large generator itself", "give another folder with -o")
    device = pick_device(options.device)
    if device.type == "cpu":
        keep_freed_memory()
    teacher, card = load_generator(teacher_path)
    unit = unit_px(teacher.arguments)
    if options.size_px % unit:
        raise ParamsError(f"--size {options.size_px} is no multiple of {unit}", "use --size 128")
    set_forms(teacher.to(device).to(memory_format=torch.channels_last), FORMS)  # type: ignore[call-overload]
    student = _new_student(teacher, options).to(device)
    side = str(card.get("direction", "a2b"))[0].upper()
    with deterministic(device):
        lessons = _teach(teacher, dataset_dir / f"train{side}", options.lessons, options, device)
        exam = _teach(teacher, dataset_dir / f"test{side}", HELD_OUT, options, device)
        untaught = _difference(student, exam, device)
        mean = _learn(student, lessons, options, device)
    how = asdict(options)
    how["start_from"] = options.start_from and sha256_file(options.start_from)
    facts = taught_facts(card, "distil", how, options.size_px)
    save_generator(dst, mean.cpu(), {**facts, "distilled_from": sha256_file(teacher_path)})
    levels = _difference(mean.to(device), exam, device)
    count = len(exam.given)
    return DistilReport(dst, len(lessons.given), count, round(levels, 3), round(untaught, 3))


def _new_student(teacher: Generator, options: DistilOptions) -> Generator:
    shape = {"base_channels": options.base_channels, "image_size_px": options.size_px}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        student = Generator(**{**teacher.arguments, **shape})
    if options.start_from is not None:
        source, _ = load_generator(options.start_from)
        if source.arguments != student.arguments:
            raise CheckpointError(
                f"{options.start_from}: not of the shape that is to be learned",
                "give --size and --channels as it has them, or no --start",
            )
        student.load_state_dict(source.state_dict())
    set_forms(student, FORMS)
    return student.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


@torch.inference_mode()
def _teach(
    teacher: Generator, folder: Path, most: int, options: DistilOptions, device: torch.device
) -> Pairs:
    """Return pairs of at most so many pictures of a folder; each pass but the first in other light.

    Of a test folder, which is passed once, all pictures are as they are.
    """
    paths = find_pictures(folder)
    is_test = folder.name.startswith("test")
    count = min(most, len(paths)) if is_test else most
    size_px = int(teacher.arguments["image_size_px"])
    light = Augmentation(size_px, size_px, 0.0, GAMMA_JITTER, GREY_SHARE)
    load_px = options.size_px if is_test else round(LOAD_SHARE * options.size_px)
    given, wanted = (np.empty((count, load_px, load_px, 3), np.uint8) for _ in range(2))
    for index in track(range(count), f"translate {folder.name}", count):
        rgb_u8 = to_square(read_rgb(paths[index % len(paths)]), size_px)
        if index >= len(paths):
            rng = np.random.default_rng([options.seed, index])
            rgb_u8 = photograph_otherwise(rgb_u8, light, rng)
        with half_precision(device):
            image = teacher(to_signed(rgb_u8[None]).to(device)).image
        given[index] = resize_rgb(rgb_u8, load_px, load_px)
        wanted[index] = resize_rgb(to_rgb(image.float()), load_px, load_px)
    return Pairs(given, wanted)


def _learn(
    student: Generator, lessons: Pairs, options: DistilOptions, device: torch.device
) -> Generator:
    """Train the student in place and return the running mean of its weights, in eval mode."""
    mean = copy.deepcopy(student).eval().requires_grad_(False)
    student.train().requires_grad_(True)
    optimizer = torch.optim.Adam(student.parameters(), lr=options.lr, fused=True)
    total, steps = 0.0, range(1, options.iterations + 1)
    for step in track(steps, "distil", options.iterations):
        given, wanted = (x.to(device) for x in _batch(lessons, step, options))
        share = (step - 1) / options.iterations
        optimizer.param_groups[0]["lr"] = options.lr * (0.5 + 0.5 * math.cos(math.pi * share))
        with half_precision(device):
            loss = drawing_loss(student(given).image, wanted)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        student.clip_rho()
        mean.follow(student, warming_decay(step))
        total += float(loss.detach())
        if step % _LOG_EVERY == 0:
            log.info("step %d/%d: loss %.4f", step, options.iterations, total / _LOG_EVERY)
            total = 0.0
    return mean


def warming_decay(step: int) -> float:
    """Return the decay of the running mean at a step, which forgets its first weights soon."""
    return min(EMA_DECAY, (1 + step) / (10 + step))


def drawing_loss(image: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean absolute difference of pictures, and of the steps between their pixels.

    Args:
        image: (N, 3, H, W) in [-1, 1].
        wanted: The same.
    """
    loss = F.l1_loss(image, wanted)
    for dim in (2, 3):
        loss = loss + F.l1_loss(image.diff(dim=dim), wanted.diff(dim=dim))
    return loss


def _batch(lessons: Pairs, step: int, options: DistilOptions) -> tuple[Tensor, Tensor]:
    """Return a step's pictures and what is wanted of them, cropped and mirrored alike."""
    rng = np.random.default_rng([options.seed, step, 0xD157])
    crop = Augmentation(lessons.given.shape[1], options.size_px, 0.5)
    pairs = []
    for index in rng.integers(len(lessons.given), size=options.batch_size):
        seed = int(rng.integers(2**63))
        pairs.append([augment(side[index], crop, np.random.default_rng(seed)) for side in lessons])
    given, wanted = (to_signed(np.stack(side)) for side in zip(*pairs, strict=True))
    return given.contiguous(memory_format=torch.channels_last), wanted


@torch.inference_mode()
def _difference(student: nn.Module, exam: Pairs, device: torch.device) -> float:
    """Return by how many levels a generator differs from what is wanted, mean of all pixels."""
    student.eval()
    differences = []
    for given, wanted in zip(*exam, strict=True):
        drawn = to_rgb(student(to_signed(given[None]).to(device)).image)
        differences.append(np.abs(drawn.astype(int) - wanted).mean())
    return float(np.mean(differences))


def taught_facts(
    card: Mapping[str, Any], name: str, how: Mapping[str, Any], size_px: int
) -> dict[str, Any]:
    """Return what is said of a generator that another one taught.

    Args:
        card: Of the generator that taught it: whose it is, and how faces lie.
        name: Of the way it was taught.
        how: The options, JSON values; `seed` and `iterations` among them, the device left out.
        size_px: Side of its pictures.
    """
    kept = ("direction", "framing", "licence")
    return {
        **{key: card[key] for key in kept if key in card},
        "parameters": {name: {key: value for key, value in how.items() if key != "device"}},
        "seed": how["seed"],
        "image_size_px": size_px,
        "step": how["iterations"],
    }
