"""Unpaired folders of pictures to batches, where every random draw is a function of its place.

Nothing here has a state that a checkpoint would have to hold: which pictures step 1000 sees, and
how they are cropped and flipped, follows from the seed and the number 1000.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anymus.errors import DatasetError
from anymus.files import sha256_bytes
from anymus.images import RgbU8, read_rgb, resize_rgb, to_grey
from anymus.shards import plain_path, read_stored, walk_stored

from .diffaug import draw_numbers
from .skin import matched_levels, skin_level

SIDES = ("A", "B")
DISPLAY_GAMMA = 2.2  # twice the light is 2^(1 / 2.2) times the level


class Batch(NamedTuple):
    """One iteration's pictures."""

    real_a: Tensor  # (N, 3, H, W) in [-1, 1]
    real_b: Tensor  # (N, 3, H, W) in [-1, 1]
    numbers: Tensor  # for differentiable augmentation, see diffaug.draw_numbers
    skin: Tensor  # (2 domains, N) in [-1, 1], for translations, see `UnpairedBatches.match_skin`
    shaded_a: Tensor  # (N, 3, H, W) in [-1, 1]: `real_a` in the shadow that is translated
    names: list[str]  # of all 2 N pictures, as "trainA/x.png" or "trainA/shard-0.tar/x.png"


class _Shown(NamedTuple):
    path: Path
    picture: RgbU8
    shaded: RgbU8


@dataclass(frozen=True)
class Augmentation:
    """What happens to a picture on its way into a batch."""

    load_size_px: int
    image_size_px: int
    flip_probability: float
    gamma_jitter: float = 0.0  # of photos
    grey_share: float = 0.0  # of photos
    shadow_stops: float = 0.0  # on photos that are translated


def find_pictures(folder: Path) -> list[Path]:
    """Return the pictures below a folder, in sorted order: files, or members of shards.

    Raises:
        DatasetError: no such folder, no picture in it, or a shard that cannot be read.
    """
    try:
        pictures = list(walk_stored(folder)) if folder.is_dir() else []
    except OSError as error:
        raise DatasetError(f"{error.filename}: {error.strerror}", "run anymus split") from error
    if not pictures:
        missing = "holds no picture" if folder.is_dir() else "does not exist"
        raise DatasetError(f"{folder} {missing}", "run anymus split, or dvc repro split")
    return pictures


def training_data_sha256(dataset_dir: Path) -> str:
    """Return a hash of trainA and trainB: names and bytes of all pictures.

    It is the same for the same pictures in files and in shards.
    """
    digest = hashlib.sha256()
    for side in SIDES:
        folder = dataset_dir / f"train{side}"
        for path in find_pictures(folder):
            name = f"train{side}/{plain_path(path).relative_to(folder).as_posix()}"
            digest.update(f"{name}\0{sha256_bytes(read_stored(path))}\n".encode())
    return digest.hexdigest()


def to_signed(rgb_u8: NDArray[np.uint8]) -> Tensor:
    """Return x_signed (N, 3, H, W) in [-1, 1] from pictures (N, H, W, 3)."""
    x = torch.from_numpy(rgb_u8.astype(np.float32)).permute(0, 3, 1, 2)
    return x / 127.5 - 1.0


class UnpairedBatches:
    """The batches of a training run by their step, from the folders trainA and trainB.

    Each side walks through its own pictures in its own epochs, shuffled anew in each; the sides
    may differ in length, and be shorter than a batch. Decoded pictures are kept in memory at
    `load_size_px`, up to `cache_bytes`; others are read again each time.
    """

    def __init__(
        self,
        dataset_dir: Path,
        augmentation: Augmentation,
        *,
        seed: int,
        batch_size: int,
        cache_bytes: int,
        share: slice = slice(None),
    ) -> None:
        self.dataset_dir = dataset_dir
        self.paths: list[Sequence[Path]] = [
            find_pictures(dataset_dir / f"train{side}") for side in SIDES
        ]
        self.augmentation = augmentation
        self.seed = seed
        self.batch_size = batch_size
        self.share = share  # of every batch: what this process trains on
        self._free_bytes = cache_bytes
        self._lock = Lock()
        self._cache: dict[Path, RgbU8] = {}
        self._skin: dict[Path, float] = {}

    def match_skin(self) -> None:
        """Look at all pictures, and tell from now on how light the skin of translations should be.

        Raises:
            ImageError: one cannot be read.
        """
        own = [np.array([self._skin_level(path) for path in paths]) for paths in self.paths]
        for paths, levels, others in zip(self.paths, own, reversed(own), strict=True):
            self._skin |= zip(paths, matched_levels(levels, others), strict=True)

    def _skin_level(self, path: Path) -> float:
        return float(skin_level(to_signed(self._loaded(path)[None])))

    def at(self, step: int) -> Batch:
        """Return the batch of a step, counted from 1: the same at every call.

        Raises:
            ImageError: a picture cannot be read any more.
        """
        places = range((step - 1) * self.batch_size, step * self.batch_size)[self.share]
        shown = [[self._shown(side, place) for place in places] for side in range(len(SIDES))]
        real_a, real_b = (to_signed(np.stack([one.picture for one in side])) for side in shown)
        shaded_a = real_a
        if self.augmentation.shadow_stops > 0:
            shaded_a = to_signed(np.stack([one.shaded for one in shown[0]]))
        paths = [one.path for side in shown for one in side]
        return Batch(
            real_a,
            real_b,
            draw_numbers(self.seed, step, self.batch_size)[:, :, self.share],
            torch.tensor([self._skin.get(path, 0.0) for path in paths]).view(len(SIDES), -1),
            shaded_a,
            [path.relative_to(self.dataset_dir).as_posix() for path in paths],
        )

    def _shown(self, side: int, place: int) -> "_Shown":
        """Return the picture at a place in the endless row of a side's epochs, augmented."""
        epoch, position = divmod(place, len(self.paths[side]))
        index = int(_shuffled(self.seed, epoch, side, len(self.paths[side]))[position])
        path = self.paths[side][index]
        rng = np.random.default_rng([self.seed, epoch, side, 1 + index])
        picture = augment(self._loaded(path), self.augmentation, rng)
        if SIDES[side] == "A":
            picture = photograph_otherwise(picture, self.augmentation, rng)
            return _Shown(path, picture, shadowed(picture, self.augmentation.shadow_stops, rng))
        return _Shown(path, picture, picture)

    def _loaded(self, path: Path) -> RgbU8:
        if path in self._cache:
            return self._cache[path]
        rgb_u8 = to_square(read_rgb(path), self.augmentation.load_size_px)
        with self._lock:  # several threads prepare batches
            if path not in self._cache and rgb_u8.nbytes <= self._free_bytes:
                self._free_bytes -= rgb_u8.nbytes
                self._cache[path] = rgb_u8
        return rgb_u8


def to_square(rgb_u8: RgbU8, size_px: int) -> RgbU8:
    """Return the picture as a square of that size; other proportions are stretched."""
    if rgb_u8.shape[:2] == (size_px, size_px):
        return rgb_u8
    return resize_rgb(rgb_u8, size_px, size_px)


def augment(rgb_u8: RgbU8, augmentation: Augmentation, rng: np.random.Generator) -> RgbU8:
    """Return a random crop of the loaded picture, mirrored by chance."""
    size_px = augmentation.image_size_px
    top, left = rng.integers(0, augmentation.load_size_px - size_px + 1, size=2)
    crop = rgb_u8[top : top + size_px, left : left + size_px]
    return crop[:, ::-1] if rng.random() < augmentation.flip_probability else crop


def photograph_otherwise(
    rgb_u8: RgbU8, augmentation: Augmentation, rng: np.random.Generator
) -> RgbU8:
    """Return the photo in another light and on black-and-white film, as the augmentation wants."""
    if augmentation.gamma_jitter > 0:
        rgb_u8 = light_otherwise(rgb_u8, augmentation.gamma_jitter, rng)
    if augmentation.grey_share > 0 and rng.random() < augmentation.grey_share:
        return np.repeat(to_grey(rgb_u8)[..., None], 3, axis=2)
    return rgb_u8


def light_otherwise(rgb_u8: RgbU8, jitter: float, rng: np.random.Generator) -> RgbU8:
    """Return the picture as under another light: a gamma in all, and a tint by a gamma a channel.

    Args:
        rgb_u8: (H, W, 3).
        jitter: the picture's gamma lies between 2^-jitter and 2^jitter; each channel's up to a
            quarter of the jitter beside it.
        rng: of this picture alone.
    """
    stops = rng.uniform(-jitter, jitter) + rng.uniform(-jitter / 4, jitter / 4, size=3)
    return with_gamma(rgb_u8, stops)


def with_gamma(rgb_u8: RgbU8, stops: float | NDArray[np.float64]) -> RgbU8:
    """Return the picture (H, W, 3) with the gamma 2^stops, of all channels or (3,) one of each."""
    levels = np.linspace(0.0, 1.0, 256)[:, None] ** (2.0 ** np.broadcast_to(stops, 3))
    table_u8 = np.round(levels * 255).astype(np.uint8)  # (256 levels, 3 channels)
    return table_u8[rgb_u8, np.arange(3)]


def shadowed(rgb_u8: RgbU8, stops: float, rng: np.random.Generator) -> RgbU8:
    """Return the picture with a shadow on one side of a line near its middle.

    Args:
        rgb_u8: (H, W, 3).
        stops: how deep the shadow may be: it takes that many halvings of the light at most, on
            average half of them; 0: the picture itself.
        rng: of this picture alone: it turns and moves the line, and makes the shadow's edge
            anything from sharp to a slope over the whole picture.
    """
    if stops == 0:
        return rgb_u8
    height, width = rgb_u8.shape[:2]
    angle, place = rng.uniform(0, 2 * np.pi), rng.uniform(-0.25, 0.25)  # shares of the side
    softness, depth = rng.uniform(0.01, 0.25), rng.uniform(0, stops)
    y, x = (np.arange(height) + 0.5) / height - 0.5, (np.arange(width) + 0.5) / width - 0.5
    beyond = x * np.cos(angle) + y[:, None] * np.sin(angle) - place  # (H, W)
    share = 0.5 + 0.5 * np.tanh(beyond / (2 * softness))
    gain = 2.0 ** (-depth / DISPLAY_GAMMA * share)
    shaded_u8: RgbU8 = np.round(rgb_u8 * gain[..., None]).astype(np.uint8)
    return shaded_u8


@lru_cache(maxsize=4)
def _shuffled(seed: int, epoch: int, side: int, count: int) -> NDArray[np.int64]:
    # The last number is 0 here and 1 or more for a picture, so that no two draws share a stream.
    return np.random.default_rng([seed, epoch, side, 0]).permutation(count)
