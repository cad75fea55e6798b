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
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everyone writes it

from anymus.drawing.portrait import Sitting
from anymus.errors import CheckpointError, InterruptedRunError, ParamsError
from anymus.files import sha256_file
from anymus.framing import Framing
from anymus.images import read_rgb
from anymus.progress import log, track
from anymus.torchlib import check_device, deterministic, half_precision, pick_device

from .checkpoint import load_generator, save_generator
from .data import find_pictures, to_square, training_data_sha256
from .diffaug import Kind, augmented, draw_numbers
from .distil import FORMS, drawing_loss, taught_facts, warming_decay
from .even import even_loss
from .greys import draws_greys, keep_greys
from .guard import only_run_in, stop_on_signal
from .layers import set_forms
from .lessons import BEST, Lesson, count_in_place, make_lessons
from .losses import adversarial_loss, discriminator_loss, find_head, skin_loss
from .memory import keep_freed_memory
from .networks import Discriminator, Generator, Judged
from .portraits import Again, how_often, make_portrait_lessons, read_sittings
from .refine_state import (
    RefineFolder,
    RefineState,
    folder_of,
    keep_lessons,
    load_state,
    save_state,
)
from .schoolbook import Batch, Schoolbook, Shares, batches, compile_book, draw_twin_lessons
from .sitter_choices import read_choices
from .step import frozen, update
from .weights_file import joint_licence

JUDGE_LR = 2e-4
WARM_UP = 150  # iterations in which discriminators alone learn, on the lessons' drawings
SAVE_EVERY_S = 300.0
COMPILED_FORMS = FORMS._replace(is_norm_fused=False)  # a compiler fuses norms by itself
_TONE_SIDE = 1 / 8  # in sides: tones are means over such squares, and lines what is left
_RAMP = 50  # iterations in which the rate then rises
_LOG_EVERY = 50
_MOST_WORKERS = 12
_CHANGES: tuple[Kind, ...] = ("colour", "translation", "cutout")
_NAMES = ("adversarial", "lesson", "skin", "twins", "even", "judges")


@dataclass(frozen=True, slots=True)
class RefineOptions:
    """How a generator is refined.

    Attributes:
        others: Generators of other runs that also draw each photo; of any size, one framing.
        learns_from_own: Whether its own drawings may be lessons, too; else those of others alone.
        best: How many of a photo's drawings its lesson is the median of.
        portraits: Table of who sits in which photo, and where (`portraits`): our renderer draws
            the lessons, and discriminators know its portraits alone. None: generators draw them.
        twins: People whom the renderers draw both ways; 0: none.
        lesson_weight: Of the difference to lessons in the loss, beside 1 for each discriminator.
        around_weight: How many times as much lessons weigh around the head, where pages have panel
            borders, balloons and letters.
        lesson_tones: Which share of lessons' tones counts beside their lines. Where twins tell
            how dark skin and hair are, lessons need not: they know the light, not the person.
        twin_weight: Of the difference to twins.
        skin_weight: Of the order of skin, by how light cheeks are in the photo.
        even_weight: Of the differences of a drawing's skin from its own mean, where the lesson's
            skin is one tone: dark skin in patches is neither dark nor light.
        rough_share: Which share of photos is shown soft, as many with JPEG's blocks, as many noisy.
        wall_share: Which share of sitters stands before a wall of another photo, where it is clear
            who sits there (`sitters`); above 0 their lessons are drawn before the wall of a studio
            and are white around them.
        sitters: Table of cuts that a person chose (`sitter_choices`); None: who is not clear is not
            cut out.
        fade_share: Which share of photos has less contrast, as old prints have.
        lamp_share: Which share of photos is lit by a lamp from one side (`lamp`), instead of the
            shadow with a straight edge that others have.
        plain_share: Which share of photos is shown as it is, neither rough nor faded nor in shadow
            nor before another wall: what light tells of skin and hair holds there.
        darken_share: How often who has light skin in the table of portraits is shown with dark skin
            (`complexion`), beside how often as the photo is; who has light hair a quarter of that.
        disguise_share: How often who wears no glasses or no beard is shown with them (`disguise`),
            likewise.
        variants: As how many others each of them is shown in turn, other each time: who is shown
            dark as one other has one skin, one shine on it and one beard in the whole run.
        judges_know_dataset: Whether, beside portraits, discriminators know the drawings of the data
            set instead of the portraits: those are of a style that our renderer does not draw.
        augment_share: Which share of the pictures that discriminators see has other colours, as
            many are shifted, as many have a hole (`diffaug`): so that few real drawings last long.
        margin_share: Which share of the width on the left and on the right, and of the height
            above, discriminators do not see: there pages have panel borders, balloons and letters.
        iterations: Of training, after the discriminators' warm-up.
        batch_size: Photos, twins, and real drawings beside those of twins, an iteration.
        lr: Learning rate of Adam; it falls to 0 over the second half.
        seed: Of discriminators, light, shadows, order and shifts.
        device: Where all of them run.
        is_compiled: Whether torch.compile makes kernels for it, in its first minutes.
        workers: Processes that prepare the next iterations' pictures; None: beside a GPU as many as
            it has cores, up to 12, else none. They change no weight.
    """

    others: tuple[Path, ...] = ()
    learns_from_own: bool = True
    best: int = BEST
    portraits: Path | None = None
    twins: int = 0
    lesson_weight: float = 10.0
    around_weight: float = 1.0
    lesson_tones: float = 1.0
    twin_weight: float = 5.0
    skin_weight: float = 2.0
    even_weight: float = 0.0
    rough_share: float = 0.0
    wall_share: float = 0.0
    sitters: Path | None = None
    fade_share: float = 0.0
    lamp_share: float = 0.0
    plain_share: float = 0.0
    darken_share: float = 0.0
    disguise_share: float = 0.0
    variants: int = 1
    judges_know_dataset: bool = False
    augment_share: float = 0.0
    margin_share: float = 0.0
    iterations: int = 2000
    batch_size: int = 2
    lr: float = 1e-4
    seed: int = 20240501
    device: str = "auto"
    is_compiled: bool = False
    workers: int | None = None


@dataclass(frozen=True, slots=True)
class RefineReport:
    """What was refined.

    Attributes:
        file: The generator.
        lessons: Photos that it learned from.
        hard: Those of them whose drawing lacked a face or eyes in their place before; of portraits
            those who have a rare trait.
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


def refine(weights: Path, dataset_dir: Path, dst: Path, options: RefineOptions) -> RefineReport:
    """Write a generator that draws more steadily than the one it began as.

    A run that was cut goes on where it was, given the same arguments (`refine_state`). What draws
    in greys alone is refined without colours.

    Args:
        weights: A generator from photo to manga.
        dataset_dir: Holds trainA, trainB and testA in the framing of the generator, with their
            manifest, which tells where eyes are.
        dst: The file to write, fp32; replaced as a whole.
        options: How.

    Raises:
        ParamsError: `dst` is a file that is read, or lies in no folder that can be written; there
            is nobody to learn from; or sitters are no table of cuts, or not cut out.
        CheckpointError: Weights are missing, damaged, of another framing, or draw no manga; or
            training made them give values that are no numbers.
        DatasetError: There are no pictures.
        ImageError: A picture cannot be read.
        DeviceError: The device is not there, it has no compiler, or the detector does not run.
        InterruptedRunError: A signal stopped it; the state is saved beside `dst`.
        OSError: It cannot be written.
    """
    files = (weights, *options.others)
    _require_sense(options, files, dst)
    known = _read_tables(options, dataset_dir)
    device = pick_device(options.device)
    check_device(device, is_compiled=options.is_compiled)
    if device.type == "cpu":
        keep_freed_memory()
    generators, cards = _load(files, device)
    own, exam = generators[0], dataset_dir / "testA"
    _require_folder(dst)
    held_out = find_pictures(exam)
    framing = _framing(weights, cards[0]) if options.twins else None
    facts = _facts(cards, files, options)
    folder = folder_of(dst, {**facts, "data_sha256": training_data_sha256(dataset_dir)})
    with only_run_in(folder.path), folder.kept_if_used(), deterministic(device):
        twins = draw_twin_lessons(options.twins, options.seed, framing) if framing else []
        before = count_in_place(own, exam, device)
        book = _make_book(generators, twins, dataset_dir, known, folder, options)
        mean = _learn(own, book, options, folder, device)
        after = count_in_place(mean, exam, device)
        is_grey = {"is_grey": True} if draws_greys(mean) else {}
        save_generator(dst, mean.cpu(), {**facts, **is_grey})
        folder.remove()
    return RefineReport(
        file=dst,
        lessons=len(book.lessons),
        hard=sum(lesson.is_hard for lesson in book.lessons),
        without_face=sum(not lesson.has_face for lesson in book.lessons),
        held_out=len(held_out),
        in_place_before=before,
        in_place=after,
    )


def _require_sense(options: RefineOptions, files: Sequence[Path], dst: Path) -> None:
    """Refuse options that cannot be meant together."""
    if dst.resolve() in {path.resolve() for path in files}:
        raise ParamsError(f"{dst} is one of the weights that draw", "give another folder with -o")
    if not (options.learns_from_own or options.others):
        raise ParamsError("--no-own leaves nobody to draw the photos", "name weights with --with")
    if options.sitters and not options.wall_share:
        raise ParamsError("--sitters are cut out for --wall-share, which is 0", "give it, too")
    if options.variants > 1 and not (options.darken_share or options.disguise_share):
        raise ParamsError(
            "--variants is for --darken-share and --disguise-share, which are 0", "give one of them"
        )
    if options.portraits and options.others:
        raise ParamsError("--portraits are the lessons: nobody else draws", "leave out --with")
    needs_portraits = {
        "--darken-share": options.darken_share,
        "--disguise-share": options.disguise_share,
        "--judge-by-dataset": options.judges_know_dataset,
    }
    for option, value in needs_portraits.items():
        if value and not options.portraits:
            raise ParamsError(f"{option} is for --portraits, which say who sits there", "give them")


def _load(
    files: Sequence[Path], device: torch.device
) -> tuple[list[Generator], list[Mapping[str, Any]]]:
    """Return the generators, and what each says of itself."""
    loaded = [load_generator(path) for path in files]
    _, first = loaded[0]
    generators = []
    for path, (generator, card) in zip(files, loaded, strict=True):
        if card.get("direction") != "a2b":
            raise CheckpointError(
                f"{path} translates {card.get('direction')}, not a2b",
                "refine a generator from photo to manga",
            )
        if _lie(card) != _lie(first):
            raise CheckpointError(
                f"{path}: not of the framing of {files[0]}",
                "let generators draw that learned from one data set",
            )
        set_forms(generator, FORMS)
        generators.append(generator.to(device).to(memory_format=torch.channels_last).eval())  # type: ignore[call-overload]
    return generators, [card for _, card in loaded]


class _Known(NamedTuple):
    """What tables say of the photos, by their path below the data set."""

    sittings: Mapping[str, Sitting]
    """Who sits there; empty: nothing is known."""
    cuts: Mapping[str, int] | None
    """Which cut of the sitter a person chose; None: nobody is cut out."""


def _read_tables(options: RefineOptions, dataset_dir: Path) -> _Known:
    chosen = read_choices(options.sitters, dataset_dir) if options.sitters else {}
    sittings = read_sittings(options.portraits, dataset_dir) if options.portraits else {}
    return _Known(sittings, chosen if options.wall_share else None)


def _make_book(
    generators: Sequence[Generator],
    twins: Sequence[Lesson],
    dataset_dir: Path,
    known: _Known,
    folder: RefineFolder,
    options: RefineOptions,
) -> Schoolbook:
    """Return the lessons, as kept in the folder or made now, with all that batches need."""
    own, photos = generators[0], dataset_dir / "trainA"
    side_px = int(own.arguments["image_size_px"])
    drawings = often = None
    if known.sittings:
        again = Again(options.darken_share, options.disguise_share, options.seed, options.variants)
        make = partial(make_portrait_lessons, photos, side_px, known.sittings, known.cuts, again)
        often = how_often(photos, known.sittings, again)
    else:
        teachers = generators if options.learns_from_own else generators[1:]
        device = next(own.parameters()).device
        make = partial(make_lessons, own, teachers, photos, device, options.best, cuts=known.cuts)
    lessons = keep_lessons(folder, make)
    if options.judges_know_dataset or not known.sittings:
        paths = find_pictures(dataset_dir / "trainB")
        drawings = [to_square(read_rgb(path), side_px) for path in paths]
    return compile_book(lessons, drawings, twins, often)


def _lie(card: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return how faces lie in a generator's pictures, whatever their size."""
    framing = card.get("framing")
    return framing and (framing["face_share"], framing["eye_line"])


def _require_folder(dst: Path) -> None:
    """Find out before an hour of work whether its result could be written."""
    folder = next(parent for parent in dst.absolute().parents if parent.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise ParamsError(f"{folder} is no folder to write to", "give another folder with -o")


def _learn(
    generator: Generator,
    book: Schoolbook,
    options: RefineOptions,
    folder: RefineFolder,
    device: torch.device,
) -> Generator:
    """Train the generator in place and return the running mean of its weights, in eval mode."""
    state = _begin(generator, options, device)
    load_state(folder, state)
    total, counted, saved_s = torch.zeros(len(_NAMES)), 0, time.monotonic()
    steps = range(state.step + 1, options.iterations + 1)
    with stop_on_signal() as stop:
        shown = _batches_of(book, steps, options, device)
        for step in track(steps, "refine", len(steps)):
            total += _one_iteration(state, next(shown).to(device), options, device)
            counted += step > 0
            if not torch.isfinite(total).all():
                raise CheckpointError(f"step {step}: a loss is no number", "give a smaller --lr")
            if step > 0 and step % _LOG_EVERY == 0:
                means = zip(_NAMES, total / counted, strict=True)
                text = ", ".join(f"{name} {value:.4f}" for name, value in means)
                log.info("step %d/%d: %s", step, options.iterations, text)
                total, counted = torch.zeros_like(total), 0
            if stop.signal_name or time.monotonic() - saved_s > SAVE_EVERY_S:
                save_state(folder, state)
                saved_s = time.monotonic()
            if stop.signal_name:
                raise InterruptedRunError(
                    f"{stop.signal_name} at step {step} of {options.iterations}: state saved in"
                    f" {folder.path}",
                    "run the same command again: it goes on from there",
                )
    return state.mean


def _batches_of(
    book: Schoolbook, steps: range, options: RefineOptions, device: torch.device
) -> Iterator[Batch]:
    """Yield what each iteration sees."""
    cores = min(os.cpu_count() or 1, _MOST_WORKERS) if device.type == "cuda" else 0
    shares = Shares(
        options.rough_share,
        options.wall_share,
        options.fade_share,
        options.lamp_share,
        options.plain_share,
    )
    return batches(
        book,
        range(steps.start + WARM_UP, steps.stop + WARM_UP),
        seed=options.seed,
        count=options.batch_size,
        shares=shares,
        workers=cores if options.workers is None else options.workers,
    )


def _begin(generator: Generator, options: RefineOptions, device: torch.device) -> RefineState:
    """Return the state before the first iteration of the discriminators' warm-up."""
    mean = copy.deepcopy(generator).eval().requires_grad_(False)
    generator.train().requires_grad_(True)
    if draws_greys(generator):
        keep_greys(generator)
    judges = _make_judges(generator, options.seed).to(device)
    adam = {"betas": (0.5, 0.999), "fused": True}
    optimizer = torch.optim.Adam(generator.parameters(), lr=options.lr, **adam)  # type: ignore[arg-type]
    judges_optimizer = torch.optim.Adam(judges.parameters(), lr=JUDGE_LR, **adam)  # type: ignore[arg-type]
    if options.is_compiled:
        for network in (generator, *judges):
            set_forms(network, COMPILED_FORMS)
            network.compile(dynamic=False)
    return RefineState(generator, mean, judges, optimizer, judges_optimizer, step=-WARM_UP)


def _one_iteration(
    state: RefineState, batch: Batch, options: RefineOptions, device: torch.device
) -> Tensor:
    """Teach discriminators, and after their warm-up the generator; return the losses (6,)."""
    step = state.step = state.step + 1
    numbers, _ = draw_numbers(options.seed, step + WARM_UP, len(batch.real))
    real, drawn, own = (
        partial(_as_judged, numbers=x, augment=options.augment_share, margin=options.margin_share)
        for x in numbers
    )
    with half_precision(device):
        image = batch.wanted if step < 1 else state.generator(batch.photos).image
        judged = _judge_both(state.judges, real(batch.real), drawn(image.detach()))
    update(state.judges_optimizer, judged)
    if step < 1:
        return torch.zeros(len(_NAMES))
    state.optimizer.param_groups[0]["lr"] = options.lr * _rate(step, options.iterations)
    with half_precision(device):
        losses = _losses(state.judges, image, own(image), batch, options)
    weights = (
        1.0,
        options.lesson_weight,
        options.skin_weight,
        options.twin_weight,
        options.even_weight,
    )
    update(
        state.optimizer, torch.stack([w * x for w, x in zip(weights, losses, strict=True)]).sum()
    )
    state.generator.clip_rho()
    state.mean.follow(state.generator, warming_decay(step))
    return torch.stack([*losses, judged]).detach().cpu().float()


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


def _as_judged(x: Tensor, numbers: Tensor, augment: float, margin: float) -> Tensor:
    """Return pictures (N, 3, H, W) as discriminators see them: some changed, all without margin."""
    if augment:
        x = augmented(x, numbers.to(x.device), torch.tensor(augment, device=x.device), _CHANGES)
    cut_px = round(x.shape[-1] * margin)
    return x[..., cut_px:, cut_px : x.shape[-1] - cut_px]


def _judge_both(judges: nn.ModuleList, real: Tensor, drawn: Tensor) -> Tensor:
    """Return the loss of all discriminators on real drawings and on drawn ones."""
    both, counts = torch.cat([real, drawn]), [len(real), len(drawn)]
    losses = []
    for judge in judges:
        of_real, of_drawn = zip(*(part.split(counts) for part in judge(both, counts)), strict=True)
        losses.append(discriminator_loss(Judged(*of_real), Judged(*of_drawn)))
    return torch.stack(losses).sum()


def _losses(
    judges: nn.ModuleList, image: Tensor, judged_image: Tensor, batch: Batch, options: RefineOptions
) -> list[Tensor]:
    """Return what the generator pays: to discriminators, for lessons, skin, twins, uneven skin."""
    with frozen(judges):
        adversarial = torch.stack([adversarial_loss(judge(judged_image)) for judge in judges]).sum()
    count = len(batch.skin)
    of_photos, of_twins = image[:count], image[count:]
    is_head = find_head(image.shape[-1], image.device)
    counts = batch.is_taught * torch.where(is_head, 1.0, options.around_weight)
    shown = [_lines(x, options.lesson_tones) * counts for x in (of_photos, batch.wanted[:count])]
    lesson = drawing_loss(*shown)
    twin = drawing_loss(of_twins, batch.wanted[count:]) if len(of_twins) else lesson.new_zeros(())
    even = (even_loss(of_photos, batch.wanted[:count]) * batch.is_taught.flatten()).mean()
    return [adversarial, lesson, skin_loss(of_photos, batch.skin), twin, even]


def _lines(x: Tensor, tones: float) -> Tensor:
    """Return pictures (N, 3, H, W) in [-1, 1] with a share of their tones, and all their lines."""
    if tones == 1:
        return x
    reach = round(x.shape[-1] * _TONE_SIDE / 2)
    padded = F.pad(x.float(), [reach] * 4, mode="reflect")
    return x - (1 - tones) * F.avg_pool2d(padded, 2 * reach + 1, stride=1)


def _framing(weights: Path, card: Mapping[str, Any]) -> Framing:
    own = card.get("framing")
    if own is None:
        raise CheckpointError(
            f"{weights} does not say how faces lie in its pictures", "refine it without --twins"
        )
    return Framing(card["architecture"]["image_size_px"], own["face_share"], own["eye_line"])


def _facts(
    cards: Sequence[Mapping[str, Any]], files: Sequence[Path], options: RefineOptions
) -> dict[str, Any]:
    """Return what is said of the refined generator: by whom it was taught, and whose it is."""
    card = {**cards[0], "licence": joint_licence(cards)}
    how = {
        **asdict(options),
        "others": [sha256_file(path) for path in options.others],
        "sitters": sha256_file(options.sitters) if options.sitters else None,
        "portraits": sha256_file(options.portraits) if options.portraits else None,
    }
    size_px = card["architecture"]["image_size_px"]
    del how["workers"]
    return {**taught_facts(card, "refine", how, size_px), "refined_from": sha256_file(files[0])}
