"""Perceptual hashes of pictures: what a re-save, a rescale or a mirror leaves nearly as it was."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image

from anymus.images import RgbU8, fit_rgb
from anymus.params import DedupeParams

from .hamming import near_pairs

_HASHED_PX = 256
_HEX_DIGITS = (16, 64)


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


def read_fingerprint(digits: str) -> Fingerprint:
    """Return the fingerprint that `Fingerprint.to_hex` wrote."""
    coarse, fine = _HEX_DIGITS
    parts = (digits[: coarse + fine], digits[coarse + fine :])
    plain, mirrored = (
        PictureHash(int(part[:coarse], 16), int(part[coarse:], 16)) for part in parts
    )
    return Fingerprint(plain, mirrored)


def fingerprint(rgb_u8: RgbU8) -> Fingerprint:
    """Return the fingerprint of a picture (H, W, 3) of any size."""
    picture = Image.fromarray(fit_rgb(rgb_u8, _HASHED_PX))
    return Fingerprint(_hash(picture), _hash(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))


def near_fingerprints(
    prints: Sequence[Fingerprint], params: DedupeParams
) -> Iterator[tuple[int, int, bool]]:
    """Yield (i, j, whether one is mirrored) for every pair of near pictures, some more than once.

    Two are near when their 64-bit hashes differ in at most `max_distance` bits and their 256-bit
    hashes in at most `max_fine_distance`, mirrored or not.
    """
    count = len(prints)
    entries = [item.plain for item in prints]
    if params.is_mirror_aware:
        entries += [item.mirrored for item in prints]
    first: dict[PictureHash, int] = {}
    for index, entry in enumerate(entries):  # equal hashes need no join and would fill its tables
        other = first.setdefault(entry, index)
        if other != index:
            yield index % count, other % count, (index < count) != (other < count)
    unique = list(first.values())
    coarse = np.array([entries[index].coarse for index in unique], np.uint64)
    fine = np.array([_words(entries[index].fine) for index in unique], np.uint64).reshape(-1, 4)
    for left, right in near_pairs(coarse, params.max_distance):
        distance = np.bitwise_count(fine[left] ^ fine[right]).sum(axis=1)  # (pairs,)
        is_near = distance <= params.max_fine_distance
        for one, other in zip(left[is_near].tolist(), right[is_near].tolist(), strict=True):
            i, j = unique[one], unique[other]
            yield i % count, j % count, (i < count) != (j < count)


def _hash(picture: Image.Image) -> PictureHash:
    coarse = int(str(imagehash.phash(picture)), 16)
    return PictureHash(coarse, int(str(imagehash.phash(picture, hash_size=16)), 16))


def _words(fine: int) -> list[int]:
    """Return 256 bits as four words of 64."""
    return [(fine >> shift) & (2**64 - 1) for shift in (192, 128, 64, 0)]
