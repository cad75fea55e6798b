"""Perceptual hashes of pictures: what a re-save, a rescale or a mirror leaves nearly as it was."""

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anymus.images import RgbU8, fit_rgb
from anymus.params import DedupeParams
from anymus.progress import log

from .hamming import near_pairs

_HASHED_PX = 256
_MAX_SAME_COARSE = 1000
_WORDS = 10  # of 64 bits: a coarse and four fine ones, plain and mirrored
_read_words = struct.Struct(f">{_WORDS}Q").unpack


@dataclass(frozen=True, slots=True)
class PictureHash:
    """DCT hashes of one picture: 64 bits to find candidates, 256 to make sure."""

    coarse: int
    fine: int


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The hashes of a picture and of its mirror picture."""

    plain: PictureHash
    mirrored: PictureHash

    def to_hex(self) -> str:
        """Return the four hashes as 160 hexadecimal digits, for the manifest."""
        return "".join(
            f"{part.coarse:016x}{part.fine:064x}" for part in (self.plain, self.mirrored)
        )


def fingerprint(rgb_u8: RgbU8) -> Fingerprint:
    """Return the fingerprint of a picture (H, W, 3) of any size."""
    picture = Image.fromarray(fit_rgb(rgb_u8, _HASHED_PX)).convert("L")
    return Fingerprint(_hash(picture), _hash(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))


class Prints:
    """The fingerprints of many pictures in 80 bytes each."""

    def __init__(self) -> None:
        self._words = array("Q")

    def append(self, digits: str) -> None:
        """Add a fingerprint as `Fingerprint.to_hex` wrote it."""
        self._words.extend(_read_words(bytes.fromhex(digits)))

    def __len__(self) -> int:
        return len(self._words) // _WORDS

    def words(self) -> NDArray[np.uint64]:
        """Return (n, 2, 5): plain and mirrored, each the coarse word and the four fine ones.

        They are not copied: while they are looked at, none can be added.
        """
        return np.frombuffer(self._words, np.uint64).reshape(-1, 2, _WORDS // 2)


Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]


def near_fingerprints(words: NDArray[np.uint64], params: DedupeParams) -> Iterator[Pairs]:
    """Yield arrays (i, j, whether one is mirrored) of all near pairs, some more than once.

    Two are near when their 64-bit hashes differ in at most `max_distance` bits and their 256-bit
    hashes in at most `max_fine_distance`, mirrored or not.

    Args:
        words: (n, 2, 5) as `Prints.words` returns them.
        params: The two distances, and whether mirror pictures count.
    """
    sides = 2 if params.is_mirror_aware else 1
    entries = words[:, :sides].reshape(-1, words.shape[2])  # plain, mirrored, plain, ...
    first, kind = first_of_equals(entries)
    repeats = np.flatnonzero(first[kind] != np.arange(len(entries)))
    # Equal hashes need no join and would fill its tables.
    yield _as_pairs(first[kind[repeats]], repeats, sides)
    del kind, repeats
    first = first[~_is_crowded(entries[first, 0])]
    for left, right in near_pairs(entries[first, 0], params.max_distance):
        i, j = first[left], first[right]
        distance = np.bitwise_count(entries[i, 1:] ^ entries[j, 1:]).sum(axis=1)  # (pairs,)
        is_near = distance <= params.max_fine_distance
        yield _as_pairs(i[is_near], j[is_near], sides)


def _is_crowded(coarse: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return for each hash whether so many different pictures have it that it says nothing.

    Blank pages are such pictures: they are near to one another without being copies, and comparing
    all their pairs would take for ever.
    """
    _, kind, counts = np.unique(coarse, return_inverse=True, return_counts=True)
    is_crowded = counts[kind] > _MAX_SAME_COARSE
    if crowd := int(is_crowded.sum()):
        log.warning("%d pictures have next to nothing on them: only equal ones are copies", crowd)
    return np.asarray(is_crowded)


def first_of_equals(rows: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of the first of each kind of row, and for each row its kind."""
    order = np.lexsort(rows.T)
    is_new = np.ones(len(order), bool)
    is_new[1:] = False
    for column in rows.T:
        ordered = column[order]
        is_new[1:] |= ordered[1:] != ordered[:-1]
    kind = np.empty(len(order), np.int64)
    kind[order] = np.cumsum(is_new) - 1
    return order[is_new], kind


def _as_pairs(one: NDArray[np.int64], other: NDArray[np.int64], sides: int) -> Pairs:
    return one // sides, other // sides, (one % sides) != (other % sides)


def _hash(picture: Image.Image) -> PictureHash:
    coarse, fine = (_bits(imagehash.phash(picture, hash_size=side)) for side in (8, 16))
    return PictureHash(coarse, fine)


def _bits(found: imagehash.ImageHash) -> int:
    return int.from_bytes(np.packbits(found.hash).tobytes(), "big")
