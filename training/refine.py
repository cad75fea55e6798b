"""Refine: a generator goes on learning, from what the best of its own drawings agree on.

What it is shown is a photo in other light, in grey, in shadow; what it should draw is the lesson of
the photo itself (`lessons`). Beside photos it may be shown twins, people whom our renderers draw
both ways: there what should be drawn is known, whatever generators make of it. Discriminators that
know real drawings keep lines sharp, and the loss of `skin` keeps the order of skin. There is no way
back in it and no cycle, so an iteration costs a quarter of one of `train`: an hour of two CPU cores
is worth having.
"""

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from anymus.drawing.twin import draw_twins, twins_rng
from anymus.errors import CheckpointError, ParamsError
from anymus.files import sha256_file
from anymus.framing import Framing, crop_transform, cut
from anymus.images import RgbU8, decode_rgb, encode_jpeg, read_rgb, resize_rgb
from anymus.manifest import Face
from anymus.progress import log, track
from anymus.torchlib import deterministic, pick_device

from .checkpoint import load_generator, save_generator
from .data import Augmentation, find_pictures, photograph_otherwise, shadowed, to_signed, to_square
from .distil import (
    FORMS,
    GAMMA_JITTER,
    GREY_SHARE,
    drawing_loss,
    taught_facts,
    warming_decay,
)
from .layers import set_forms
from .lessons import BEST, Lesson, count_in_place, make_lessons
from .losses import adversarial_loss, discriminator_loss, skin_loss
from .memory import keep_freed_memory
from .networks import Discriminator, Generator, Judged
from .skin import matched_levels, skin_level

SHADOW_STOPS = 4.0
SKIN_WEIGHT = 2.0  # beside 1 for each discriminator
HARD_WEIGHT = 3.0  # how often a photo is shown whose drawing lacks a face or eyes in their place
JUDGE_LR = 2e-4
MOST_SHIFT = 1 / 32  # in sides
WARM_UP = 150  # iterations in which discriminators alone learn, on the lessons' drawings
_ROUGH_SHARE = 0.4  # of twins' photos, for each kind of roughness
_RAMP = 50  # iterations in which the rate then rises
_LOG_EVERY = 50
_NAMES = ("adversarial", "lesson", "skin", "twins", "judges")


@dataclass(frozen=True, slots=True)
class RefineOptions:
    """How a generator is refined.

    Attributes:
        others: Generators of other runs that also draw each photo; of the same size.
        best: How many of a photo's drawings its lesson is the median of.
        twins: People whom the renderers draw both ways; 0: none.
        lesson_weight: Of the difference to lessons in the loss.
        twin_weight: Of the difference to twins.
        iterations: Of training, after the discriminators' warm-up.
        batch_size: Photos, twins, and real drawings beside those of twins, an iteration.
        lr: Learning rate of Adam; it falls to 0 over the second half.
        seed: Of discriminators, light, shadows, order and shifts.
        device: Where all of them run.
    """

    others: tuple[Path, ...] = ()
    best: int = BEST
    twins: int = 0
    lesson_weight: float = 10.0
    twin_weight: float = 5.0
    iterations: int = 2000
    batch_size: int = 2
    lr: float = 1e-4
    seed: int = 20240501
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class RefineReport:
    """What was refined.

    Attributes:
        file: The generator.
        lessons: Photos that it learned from.
        hard: Those of them whose drawing lacked a face or eyes in their place before.
        without_face: Those of them of which no drawing has a face; only discriminators saw them.
        held_out: Photos of the test side.
        in_place_before: How many of their drawings had a face with its eyes in their place.
        in_place: How many have now.
    """

    file: Path
    lessons: int
    hard: int
    without_face: int
    held_out: int
    in_place_before: int
    in_place: int

    def as_metrics(self) -> dict[str, int | str]:
        """Return the figures by name."""
        return {**asdict(self), "file": str(self.file)}


class Schoolbook(NamedTuple):
    """All lessons of a run, and the real drawings beside them."""

    lessons: Sequence[Lesson]
    skin: NDArray[np.float64]  # (lessons,) in [-1, 1]: how light the drawn skin should be
    share: NDArray[np.float64]  # (lessons,), sum 1: how often each is shown
    drawings: Sequence[RgbU8]
    twins: Sequence[Lesson] = ()


class Batch(NamedTuple):
    """What one iteration sees: N photos, or N photos and N twins; pictures in [-1, 1]."""

    photos: Tensor  # (N or 2 N, 3, H, W)
    wanted: Tensor  # of the same shape
    is_taught: Tensor  # (N, 1, 1, 1), 1 where `wanted` of a photo has a face, else 0
    skin: Tensor  # (N,) in [-1, 1], of photos
    real: Tensor  # (N or 2 N, 3, H, W): drawings, and the twins' own


def refine(weights: Path, dataset_dir: Path, dst: Path, options: RefineOptions) -> RefineReport:
    """Write a generator that draws more steadily than the one it began as.

    Args:
        weights: A generator from photo to manga.
        dataset_dir: Holds trainA, trainB and testA in the framing of the generator, with their
            manifest, which tells where eyes are.
        dst: The file to write, fp32; replaced as a whole.
        options: How.

    Raises:
        ParamsError: `dst` is a file that is read, or lies in no folder that can be written.
        CheckpointError: Weights are missing, damaged, of another size, or draw no manga; or
            training made them give values that are no numbers.
        DatasetError: There are no pictures.
        ImageError: A picture cannot be read.
        DeviceError: The device is not there, or the detector does not run.
        OSError: It cannot be written.
    """
    files = (weights, *options.others)
    if dst.resolve() in {path.resolve() for path in files}:
        raise ParamsError(f"{dst} is one of the weights that draw", "give another folder with -o")
    device = pick_device(options.device)
    if device.type == "cpu":
        keep_freed_memory()
    teachers, card = _load(files, device)
    _require_folder(dst)
    real, held_out = (find_pictures(dataset_dir / part) for part in ("trainB", "testA"))
    twins = _draw_twins(options, _framing(weights, card)) if options.twins else []
    with deterministic(device):
        before = count_in_place(teachers[0], dataset_dir / "testA", device)
        lessons = make_lessons(teachers, dataset_dir / "trainA", device, options.best)
        mean = _learn(teachers[0], _compile(lessons, real, twins), options, device)
        after = count_in_place(mean, dataset_dir / "testA", device)
    save_generator(dst, mean.cpu(), _facts(card, files, options))
    return RefineReport(
        file=dst,
        lessons=len(lessons),
        hard=sum(lesson.is_hard for lesson in lessons),
        without_face=sum(not lesson.has_face for lesson in lessons),
        held_out=len(held_out),
        in_place_before=before,
        in_place=after,
    )


def _load(files: Sequence[Path], device: torch.device) -> tuple[list[Generator], Mapping[str, Any]]:
    """Return the generators, and what the first says of itself."""
    loaded = [load_generator(path) for path in files]
    own, first = loaded[0]
    teachers = []
    for path, (generator, card) in zip(files, loaded, strict=True):
        if card.get("direction") != "a2b":
            raise CheckpointError(
                f"{path} translates {card.get('direction')}, not a2b",
                "refine a generator from photo to manga",
            )
        sizes_px = [one.arguments["image_size_px"] for one in (own, generator)]
        if sizes_px[0] != sizes_px[1] or card.get("framing") != first.get("framing"):
            raise CheckpointError(
                f"{path}: not of the size and framing of {files[0]}",
                "let generators of one family draw",
            )
        set_forms(generator, FORMS)
        teachers.append(generator.to(device).to(memory_format=torch.channels_last).eval())  # type: ignore[call-overload]
    return teachers, first


def _require_folder(dst: Path) -> None:
    """Find out before an hour of work whether its result could be written."""
    folder = next(parent for parent in dst.absolute().parents if parent.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise ParamsError(f"{folder} is no folder to write to", "give another folder with -o")


def _compile(
    lessons: Sequence[Lesson], real: Sequence[Path], twins: Sequence[Lesson]
) -> Schoolbook:
    """Return the lessons with all that their batches need."""
    side_px = len(lessons[0].photo)
    drawings = [to_square(read_rgb(path), side_px) for path in real]
    own = [_skin(lesson.photo) for lesson in lessons]
    skin = matched_levels(np.array(own), np.array([_skin(drawing) for drawing in drawings]))
    often = np.array([HARD_WEIGHT if lesson.is_hard else 1.0 for lesson in lessons])
    return Schoolbook(lessons, np.array(skin), often / often.sum(), drawings, twins)


def _skin(rgb_u8: RgbU8) -> float:
    return float(skin_level(to_signed(rgb_u8[None])))


def _learn(
    generator: Generator, book: Schoolbook, options: RefineOptions, device: torch.device
) -> Generator:
    """Train the generator in place and return the running mean of its weights, in eval mode."""
    mean = copy.deepcopy(generator).eval().requires_grad_(False)
    generator.train().requires_grad_(True)
    judges = _make_judges(generator, options.seed).to(device)
    adam = {"betas": (0.5, 0.999), "fused": True}
    optimizer = torch.optim.Adam(generator.parameters(), lr=options.lr, **adam)  # type: ignore[arg-type]
    judges_optimizer = torch.optim.Adam(judges.parameters(), lr=JUDGE_LR, **adam)  # type: ignore[arg-type]
    total = torch.zeros(len(_NAMES))
    steps = range(1 - WARM_UP, options.iterations + 1)
    for step in track(steps, "refine", len(steps)):
        batch = _batch(book, step + WARM_UP, options, device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            image = batch.wanted if step < 1 else generator(batch.photos).image
            judged = _judge_both(judges, batch.real, image.detach())
        _update(judges_optimizer, judged)
        if step < 1:
            continue
        optimizer.param_groups[0]["lr"] = options.lr * _rate(step, options.iterations)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            losses = _losses(judges, image, batch)
        weights = (1.0, options.lesson_weight, SKIN_WEIGHT, options.twin_weight)
        _update(optimizer, torch.stack([w * x for w, x in zip(weights, losses, strict=True)]).sum())
        generator.clip_rho()
        mean.follow(generator, warming_decay(step))
        total += torch.stack([*losses, judged]).detach().cpu().float()
        if not torch.isfinite(total).all():
            raise CheckpointError(f"step {step}: a loss is no number", "give a smaller --lr")
        if step % _LOG_EVERY == 0:
            text = ", ".join(
                f"{n} {v:.4f}" for n, v in zip(_NAMES, total / _LOG_EVERY, strict=True)
            )
            log.info("step %d/%d: %s", step, options.iterations, text)
            total.zero_()
    return mean


def _rate(step: int, iterations: int) -> float:
    """Return the share of the learning rate: a ramp, then held, then falling from half-way."""
    return min(1.0, step / _RAMP, 2 - 2 * (step - 1) / iterations)


def _make_judges(generator: Generator, seed: int) -> nn.ModuleList:
    """Return a local and a global discriminator, as presets have them, with half the channels."""
    side_px = int(generator.arguments["image_size_px"])
    channels = max(4, int(generator.arguments["base_channels"]) // 2)
    layers = max(4, side_px.bit_length() - 2)  # 7 for 256 px, 6 for 128
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judges = nn.ModuleList(
            Discriminator(base_channels=channels, layers=count) for count in (layers - 2, layers)
        )
    set_forms(judges, FORMS)
    return judges.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload,no-any-return]


def _judge_both(judges: nn.ModuleList, real: Tensor, drawn: Tensor) -> Tensor:
    """Return the loss of all discriminators on real drawings and on drawn ones."""
    both, counts = torch.cat([real, drawn]), [len(real), len(drawn)]
    losses = []
    for judge in judges:
        of_real, of_drawn = zip(*(part.split(counts) for part in judge(both, counts)), strict=True)
        losses.append(discriminator_loss(Judged(*of_real), Judged(*of_drawn)))
    return torch.stack(losses).sum()


def _losses(judges: nn.ModuleList, image: Tensor, batch: Batch) -> list[Tensor]:
    """Return what the generator pays: to discriminators, for lessons, for skin, for twins."""
    judges.requires_grad_(False)
    adversarial = torch.stack([adversarial_loss(judge(image)) for judge in judges]).sum()
    judges.requires_grad_(True)
    count = len(batch.skin)
    of_photos, of_twins = image[:count], image[count:]
    taught = batch.is_taught
    lesson = drawing_loss(of_photos * taught, batch.wanted[:count] * taught)
    twin = drawing_loss(of_twins, batch.wanted[count:]) if len(of_twins) else lesson.new_zeros(())
    return [adversarial, lesson, skin_loss(of_photos, batch.skin), twin]


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _batch(book: Schoolbook, place: int, options: RefineOptions, device: torch.device) -> Batch:
    """Return what the iteration at a place sees: the same at every call."""
    rng = np.random.default_rng([options.seed, place, 0x1E55])
    count = options.batch_size
    indices = rng.choice(len(book.lessons), size=count, p=book.share)
    shown = [_show(book.lessons[index], rng) for index in indices]
    real = [
        _shift([book.drawings[index]], rng)[0]
        for index in rng.integers(len(book.drawings), size=count)
    ]
    if book.twins:
        numbers = rng.integers(len(book.twins), size=count)
        twins = [_show(_roughened(book.twins[number], rng), rng) for number in numbers]
        shown, real = shown + twins, real + [drawing for _, drawing in twins]
    photos, wanted, drawings = (
        to_signed(np.stack(pictures)).to(device).contiguous(memory_format=torch.channels_last)
        for pictures in (*zip(*shown, strict=True), real)
    )
    is_taught = torch.tensor([float(book.lessons[index].has_face) for index in indices])
    skin = torch.tensor(book.skin[indices], dtype=torch.float32)
    return Batch(photos, wanted, is_taught.view(-1, 1, 1, 1).to(device), skin.to(device), drawings)


def _draw_twins(options: RefineOptions, framing: Framing) -> list[Lesson]:
    """Return twins as lessons, both cut where the photo's face is."""
    lessons = []
    for number in track(range(options.twins), "draw twins", options.twins):
        twins = draw_twins(twins_rng(options.seed, number))
        truth = twins.photo.faces[0]
        face = Face(box=truth.box, score=1.0, landmarks=truth.landmarks)
        matrix = crop_transform(face, "photo", framing)
        photo, drawing = (
            cut(one.rgb_u8, matrix, framing.size_px) for one in (twins.photo, twins.manga)
        )
        lessons.append(Lesson(photo, drawing, has_face=True, is_hard=False))
    return lessons


def _framing(weights: Path, card: Mapping[str, Any]) -> Framing:
    own = card.get("framing")
    if own is None:
        raise CheckpointError(
            f"{weights} does not say how faces lie in its pictures", "refine it without --twins"
        )
    return Framing(card["architecture"]["image_size_px"], own["face_share"], own["eye_line"])


def _show(lesson: Lesson, rng: np.random.Generator) -> tuple[RgbU8, RgbU8]:
    """Return a lesson's photo as under other light, and its drawing, both shifted alike."""
    photo, drawing = _shift([lesson.photo, lesson.drawing], rng)
    light = Augmentation(len(photo), len(photo), 0.0, GAMMA_JITTER, GREY_SHARE)
    return shadowed(photograph_otherwise(photo, light, rng), SHADOW_STOPS, rng), drawing


def _roughened(lesson: Lesson, rng: np.random.Generator) -> Lesson:
    """Return a drawn photo as small sensors and the web leave photos: soft, with blocks, noisy."""
    photo, side_px = lesson.photo, len(lesson.photo)
    is_soft, is_packed, is_noisy = rng.random(3) < _ROUGH_SHARE
    if is_soft:
        small_px = round(side_px * rng.uniform(0.35, 0.9))
        photo = resize_rgb(resize_rgb(photo, small_px, small_px), side_px, side_px)
    if is_packed:
        photo = decode_rgb(encode_jpeg(photo, int(rng.integers(30, 90))))
    if is_noisy:
        noisy = photo + rng.normal(0.0, rng.uniform(0.0, 8.0), photo.shape)
        photo = noisy.round().clip(0, 255).astype(np.uint8)
    return lesson._replace(photo=photo)


def _shift(pictures: Sequence[RgbU8], rng: np.random.Generator) -> list[RgbU8]:
    """Return pictures of one size, all shifted by the same whole pixels and mirrored by chance.

    What comes in at the borders is reflected; nothing is resampled, so lines stay as sharp.
    """
    side_px = len(pictures[0])
    most = round(MOST_SHIFT * side_px)
    top, left = rng.integers(0, 2 * most + 1, size=2)
    step = -1 if rng.random() < 0.5 else 1
    padded = [np.pad(one, ((most, most), (most, most), (0, 0)), mode="reflect") for one in pictures]
    return [one[top : top + side_px, left : left + side_px][:, ::step] for one in padded]


def _facts(
    card: Mapping[str, Any], files: Sequence[Path], options: RefineOptions
) -> dict[str, Any]:
    """Return what is said of the refined generator: by whom it was taught, and whose it is."""
    how = {**asdict(options), "others": [sha256_file(path) for path in options.others]}
    size_px = card["architecture"]["image_size_px"]
    return {**taught_facts(card, "refine", how, size_px), "refined_from": sha256_file(files[0])}
