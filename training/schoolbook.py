"""What a refinement shows: lessons under other light, and twins that look photographed.

Each batch follows from the seed and its place alone, so a run that was cut shows the same again.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from anymus.drawing.twin import draw_twins, twins_rng
from anymus.forking import without_opencv_threads
from anymus.framing import Framing, crop_transform, cut
from anymus.images import RgbU8, decode_rgb, encode_jpeg, resize_rgb
from anymus.progress import track

from .data import (
    Augmentation,
    light_otherwise,
    photograph_otherwise,
    shadowed,
    to_signed,
)
from .distil import GAMMA_JITTER, GREY_SHARE
from .lamp import lit_by_a_lamp
from .lessons import Lesson
from .sitters import before
from .skin import matched_levels, skin_level

SHADOW_STOPS = 4.0
HARD_WEIGHT = 3.0  # how often a photo is shown whose drawing lacks a face or eyes in their place
MOST_SHIFT = 1 / 32  # in sides
_TWINS_ROUGH_SHARE = 0.4  # of twins' photos, for each kind of roughness
_COLOUR_SHARE = 0.5  # of twins' photos that take colours of a real one
_WALL_SIDES = (0.15, 0.4)  # of the corner that is enlarged to a wall, in sides of its photo
_WALL_STOPS = 2.0  # of its light
_WALL_HUE_SHARE = 0.5  # of walls with their colours exchanged
_COMPANY_SHARE = 0.2  # of walls, that are the whole other photo: somebody else stands there
_COMPANY_ASIDE = (0.4, 0.8)  # in sides, how far from the middle
_LEAST_CONTRAST = 0.35  # of faded photos
_COARSEST_GRAIN = 0.35  # cells of noise a pixel, each way
_MOST_GRAIN = 20.0  # levels, sigma


class Schoolbook(NamedTuple):
    """All lessons of a run, and the real drawings beside them."""

    lessons: Sequence[Lesson]
    skin: NDArray[np.float64]  # (lessons,) in [-1, 1]: how light the drawn skin should be
    share: NDArray[np.float64]  # (lessons,), sum 1: how often each is shown
    drawings: Sequence[RgbU8]
    twins: Sequence[Lesson] = ()
    drawings_share: NDArray[np.float64] | None = None
    """(drawings,), sum 1: how often discriminators see each; None: all as often."""


class Shares(NamedTuple):
    """How many photos are changed before they are shown, each a share in [0, 1]."""

    rough: float = 0.0
    """Of photos that are soft; as many have JPEG's blocks, as many are noisy."""
    walls: float = 0.0
    """Of sitters who are cut out, that stand before a wall of another photo."""
    faded: float = 0.0
    """Of photos with less contrast, as old prints have."""
    lamps: float = 0.0
    """Of photos that are lit by a lamp from one side instead of shadowed."""
    plain: float = 0.0
    """Of photos that are shown as they are: in their own light, before their own wall."""


AS_THEY_ARE = Shares()


class Batch(NamedTuple):
    """What one iteration sees: N photos, or N photos and N twins; pictures in [-1, 1]."""

    photos: Tensor  # (N or 2 N, 3, H, W)
    wanted: Tensor  # of the same shape
    is_taught: Tensor  # (N, 1, 1, 1), 1 where `wanted` of a photo has a face, else 0
    skin: Tensor  # (N,) in [-1, 1], of photos
    real: Tensor  # (N or 2 N, 3, H, W): drawings, and the twins' own

    def to(self, device: torch.device) -> "Batch":
        """Return it on a device, pictures in channels last."""
        return Batch(
            *(
                part.to(device, memory_format=torch.channels_last, non_blocking=True)
                if part.ndim == len("NCHW")
                else part.to(device, non_blocking=True)
                for part in self
            )
        )


def compile_book(
    lessons: Sequence[Lesson],
    drawings: Sequence[RgbU8] | None,
    twins: Sequence[Lesson],
    often: NDArray[np.float64] | None = None,
) -> Schoolbook:
    """Return the lessons with all that their batches need.

    Args:
        lessons: At least one.
        drawings: Real ones, for discriminators, of the lessons' size; None: those of the lessons
            that have a face, each as often as its photo. A discriminator that saw few drawings with
            dark skin beside many drawn from photos would call dark skin untrue.
        twins: As lessons; they may be none.
        often: (lessons,) above 0: how often each is shown beside the others; None: hard ones
            `HARD_WEIGHT` times as often.
    """
    if often is None:
        often = np.array([HARD_WEIGHT if lesson.is_hard else 1.0 for lesson in lessons])
    drawings_share = None
    if drawings is None:
        drawings = [lesson.drawing for lesson in lessons if lesson.has_face]
        drawings_share = often[[lesson.has_face for lesson in lessons]]
        drawings_share = drawings_share / drawings_share.sum()
    own = [_skin(lesson.photo) for lesson in lessons]
    skin = matched_levels(np.array(own), np.array([_skin(drawing) for drawing in drawings]))
    return Schoolbook(lessons, np.array(skin), often / often.sum(), drawings, twins, drawings_share)


def _skin(rgb_u8: RgbU8) -> float:
    return float(skin_level(to_signed(rgb_u8[None])))


def draw_twin_lessons(count: int, seed: int, framing: Framing) -> list[Lesson]:
    """Return that many twins as lessons, both cut where the photo's face is."""
    lessons = []
    for number in track(range(count), "draw twins", count):
        twins = draw_twins(twins_rng(seed, number))
        matrix = crop_transform(twins.photo.faces[0].as_found(), "photo", framing)
        photo, drawing = (
            cut(one.rgb_u8, matrix, framing.size_px) for one in (twins.photo, twins.manga)
        )
        lessons.append(Lesson(photo, drawing, has_face=True, is_hard=False))
    return lessons


def batch_at(
    book: Schoolbook,
    place: int,
    *,
    seed: int,
    count: int,
    shares: Shares = AS_THEY_ARE,
) -> Batch:
    """Return what the iteration at a place sees: the same at every call.

    Args:
        book: What there is to show.
        place: Of the iteration, 1 for the first.
        seed: Of light, shadows, order and shifts.
        count: Of photos; as many twins and real drawings come with them.
        shares: Of photos that are changed.
    """
    rng = np.random.default_rng([seed, place, 0x1E55])
    indices = rng.choice(len(book.lessons), size=count, p=book.share)
    shown = [_shown(book.lessons[index], book, shares, rng) for index in indices]
    real = [_shift([book.drawings[index]], rng)[0] for index in _drawings_at(book, count, rng)]
    if book.twins:
        twins = [
            _show(_as_photographed(book.twins[number], book, rng), rng)
            for number in rng.integers(len(book.twins), size=count)
        ]
        shown, real = shown + twins, real + [drawing for _, drawing in twins]
    photos, wanted, drawings = (
        to_signed(np.stack(pictures)).contiguous(memory_format=torch.channels_last)
        for pictures in (*zip(*shown, strict=True), real)
    )
    is_taught = torch.tensor([float(book.lessons[index].has_face) for index in indices])
    skin = torch.tensor(book.skin[indices], dtype=torch.float32)
    return Batch(photos, wanted, is_taught.view(-1, 1, 1, 1), skin, drawings)


def batches(
    book: Schoolbook, places: range, *, seed: int, count: int, shares: Shares, workers: int
) -> Iterator[Batch]:
    """Yield what iterations at these places see, prepared by so many processes ahead of them.

    Args:
        book: What there is to show.
        places: Of the iterations.
        seed: As for `batch_at`.
        count: As for it.
        shares: As for it.
        workers: Processes; 0: each batch is prepared when it is asked for.
    """
    make = partial(batch_at, book, seed=seed, count=count, shares=shares)
    loader: DataLoader[Batch] = DataLoader(
        _Batches(make, places),
        batch_size=None,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
    )
    with without_opencv_threads():
        made = iter(loader)
    yield from made


class _Batches(Dataset[Batch]):
    """Batches by number, for torch's loader."""

    def __init__(self, make: Callable[[int], Batch], places: range) -> None:
        self.make = make
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> Batch:
        return self.make(self.places[number])


def _drawings_at(book: Schoolbook, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return which drawings discriminators see, (count,)."""
    if book.drawings_share is None:
        return rng.integers(len(book.drawings), size=count)
    return rng.choice(len(book.drawings), size=count, p=book.drawings_share)


def _shown(
    lesson: Lesson, book: Schoolbook, shares: Shares, rng: np.random.Generator
) -> tuple[RgbU8, RgbU8]:
    """Return a lesson's photo, changed as the shares want by chance, and its drawing."""
    if shares.plain and rng.random() < shares.plain:
        photo, drawing = _shift([lesson.photo, lesson.drawing], rng)
        return photo, drawing
    lit = _lit(lesson, shares.lamps, rng)
    elsewhere = _before_another_wall(lit, book, shares.walls, rng)
    faded = _faded(elsewhere, shares.faded, rng)
    stops = SHADOW_STOPS if lit is lesson else 0.0
    return _show(_roughened(faded, shares.rough, rng), rng, stops)


def _show(
    lesson: Lesson, rng: np.random.Generator, stops: float = SHADOW_STOPS
) -> tuple[RgbU8, RgbU8]:
    """Return a lesson's photo as under other light, and its drawing, both shifted alike."""
    photo, drawing = _shift([lesson.photo, lesson.drawing], rng)
    grey_share = GREY_SHARE * lesson.grey_odds
    light = Augmentation(len(photo), len(photo), 0.0, GAMMA_JITTER, grey_share)
    return shadowed(photograph_otherwise(photo, light, rng), stops, rng), drawing


def _as_photographed(twins: Lesson, book: Schoolbook, rng: np.random.Generator) -> Lesson:
    """Return twins whose photo looks more like those of the book: in colours and in roughness."""
    if rng.random() < _COLOUR_SHARE:
        other = book.lessons[int(rng.integers(len(book.lessons)))].photo
        twins = twins._replace(photo=_coloured(twins.photo, other, rng.random()))
    return _roughened(twins, _TWINS_ROUGH_SHARE, rng)


def _coloured(photo: RgbU8, other: RgbU8, share: float) -> RgbU8:
    """Return a photo with each channel's mean and spread moved towards another's by a share.

    Source: Reinhard et al. 2001, "Color transfer between images", in RGB.
    """
    own, theirs = photo.astype(np.float64), other.reshape(-1, 3)
    spread = own.std(axis=(0, 1)) + 1.0  # a level, so that a flat channel stays flat
    wanted = (own - own.mean(axis=(0, 1))) / spread * theirs.std(axis=0) + theirs.mean(axis=0)
    mixed: RgbU8 = (own + share * (wanted - own)).round().clip(0, 255).astype(np.uint8)
    return mixed


def _lit(lesson: Lesson, share: float, rng: np.random.Generator) -> Lesson:
    """Return a photo as lit by a lamp, by that chance."""
    if not share or rng.random() >= share:
        return lesson
    return lesson._replace(photo=lit_by_a_lamp(lesson.photo, rng))


def _before_another_wall(
    lesson: Lesson, book: Schoolbook, share: float, rng: np.random.Generator
) -> Lesson:
    """Return a photo whose sitter, if known, stands by that chance before another photo's wall.

    The wall is an upper corner of that photo, enlarged, so as far out of focus as walls are, in
    other light and, for half of them, with red, green and blue exchanged. Before a few walls
    somebody else stands, half behind the sitter, as in photos of groups.
    """
    if not share or lesson.sitter is None or rng.random() >= share:
        return lesson
    other, side_px = book.lessons[int(rng.integers(len(book.lessons)))].photo, len(lesson.photo)
    if rng.random() < 0.5:
        other = other[:, ::-1]
    if rng.random() < _COMPANY_SHARE:
        company = light_otherwise(_aside(other, rng), _WALL_STOPS, rng)
        return lesson._replace(photo=before(lesson.photo, lesson.sitter, company))
    corner_px = round(side_px * rng.uniform(*_WALL_SIDES))
    corner = other[:corner_px, :corner_px]
    wall = light_otherwise(resize_rgb(corner, side_px, side_px), _WALL_STOPS, rng)
    if rng.random() < _WALL_HUE_SHARE:
        wall = wall[..., rng.permutation(3)]
    return lesson._replace(photo=before(lesson.photo, lesson.sitter, wall))


def _aside(photo: RgbU8, rng: np.random.Generator) -> RgbU8:
    """Return a photo (H, H, 3) moved to the left by most of its side, its right border reflected.

    Photos are mirrored by chance before, so that company stands on either side.
    """
    step = round(len(photo) * rng.uniform(*_COMPANY_ASIDE))
    padded = np.pad(photo, ((0, 0), (0, step), (0, 0)), mode="reflect")
    return padded[:, step:]


def _faded(lesson: Lesson, share: float, rng: np.random.Generator) -> Lesson:
    """Return a photo that by that chance has lost contrast, as a print that paled or darkened."""
    if not share or rng.random() >= share:
        return lesson
    contrast = rng.uniform(_LEAST_CONTRAST, 1.0)
    faded = lesson.photo * contrast + 255 * rng.uniform(0.0, 1.0 - contrast)
    return lesson._replace(photo=faded.round().astype(np.uint8))


def _roughened(lesson: Lesson, share: float, rng: np.random.Generator) -> Lesson:
    """Return a photo as small sensors and the web leave photos: soft, with blocks, noisy.

    Each of the three befalls it by a share of chance; by none, it draws no random numbers.
    """
    if not share:
        return lesson
    photo, side_px = lesson.photo, len(lesson.photo)
    is_soft, is_packed, is_noisy = rng.random(3) < share
    if is_soft:
        small_px = round(side_px * rng.uniform(0.35, 0.9))
        photo = resize_rgb(resize_rgb(photo, small_px, small_px), side_px, side_px)
    if is_packed:
        photo = decode_rgb(encode_jpeg(photo, int(rng.integers(30, 90))))
    if is_noisy:
        photo = (photo + _grain(side_px, rng)).round().clip(0, 255).astype(np.uint8)
    return lesson._replace(photo=photo)


def _grain(side_px: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return noise as of a sensor or of film, (H, H, 3) or grey (H, H, 1), as coarse as may be."""
    cells = round(side_px * rng.uniform(_COARSEST_GRAIN, 1.0))
    channels = 1 if rng.random() < 0.5 else 3
    noise = rng.normal(size=(cells, cells, channels)).astype(np.float32)
    smooth = cv2.resize(noise, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    grain = smooth.reshape(side_px, side_px, channels) * rng.uniform(0.0, _MOST_GRAIN)
    return np.asarray(grain, np.float32)


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
