"""Sitters: who is in a portrait, cut out from the wall behind them.

A generator that has seen few walls draws people as the wall is: grey before grey, with strokes
before leaves. To show it a face before another wall, the face must be cut out. GrabCut (Rother et
al. 2004) does that from a guess: what is as even as a wall, from the borders inwards, and a head in
the middle. Cut from several guesses, a sitter who comes out alike each time is believed; of the
others nothing is said, unless a person chose one of the cuts (`sitter_choices`).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.images import RgbU8, resize_rgb

MaskU8 = NDArray[np.uint8]
MaskBool = NDArray[np.bool_]

_SIDE_PX = 128  # at which sitters are cut out
_EVEN = 2  # levels by which neighbours on a wall differ at most
_ROUNDS = 4  # of GrabCut
_LEAST_ALIKE = 0.85  # intersection over union of two cuts
_MOST_WALL = 0.04  # of an even wall, within the sitter
_LEAST_PLAIN = 0.8  # of the border beside and above a head: then the wall is seen
_AREA = (0.3, 0.85)  # of the picture, that a sitter fills
_MARGIN_PX = 3  # by which a drawing's outline may lie beside the photo's
_EDGE_PX = 0.8  # sigma of a cut's edge

_X, _Y = np.meshgrid(*[(np.arange(_SIDE_PX) + 0.5) / _SIDE_PX - 0.5] * 2)
_CORE = (_X / 0.17) ** 2 + ((_Y - 0.05) / 0.24) ** 2 < 1  # between brow and chin
_BORDER = ((_Y < 0.1) & (np.abs(_X) > 0.46)) | (_Y < -0.46)  # beside and above a head
_LOWEST = _Y >= 0.3  # where shoulders may reach the borders


def _head(half_width: float, half_height: float, shoulders: float) -> MaskBool:
    """Return a head in the middle with shoulders below, lengths in sides."""
    is_head = (_X / half_width) ** 2 + ((_Y + 0.02) / half_height) ** 2 < 1
    below = _Y - shoulders
    return is_head | ((below > 0) & (np.abs(_X) < half_width / 2 + 1.2 * below))


_HEADS = (_head(0.36, 0.47, 0.3), _head(0.30, 0.42, 0.28), _head(0.42, 0.5, 0.25))
_GUESSES = ((0, True), (1, True), (2, True), (0, False), (1, False))
"""Of each cut: the head that it begins with, and whether it knows what is even as a wall. Tables
that people filled in name cuts by their place here, from 1."""
CUTS = len(_GUESSES)


def find_sitter(photo: RgbU8, choice: int | None = None) -> MaskU8 | None:
    """Return who is in an aligned portrait, or nothing where that is not clear.

    Args:
        photo: (H, H, 3), a face in the middle.
        choice: The cut that a person chose, 1 to `CUTS`; 0: none is right; None: nobody looked.

    Returns:
        (H, H): 255 where the sitter is, 0 where the wall is, between them at the edge.
    """
    if choice == 0:
        return None
    small = resize_rgb(photo, _SIDE_PX, _SIDE_PX)
    wall = _even_wall(small)
    if choice is not None:
        return _enlarged(_cut_out(small, wall, choice), len(photo))
    cuts = [_cut_out(small, wall, number) for number in (1, 2, 3)]
    sitter = np.sum(cuts, axis=0) > len(cuts) / 2
    is_clear = (
        min(_alike(cut, sitter) for cut in cuts) > _LEAST_ALIKE
        and (wall & sitter).sum() <= _MOST_WALL * wall.sum()
        and _AREA[0] < sitter.mean() < _AREA[1]
        and (
            wall[_BORDER].mean() > _LEAST_PLAIN
            or _alike(_cut_out(small, wall, 4), sitter) > _LEAST_ALIKE  # without knowing the wall
        )
    )
    return _enlarged(sitter, len(photo)) if is_clear else None


def find_cuts(photo: RgbU8) -> list[MaskU8]:
    """Return all `CUTS` cuts of an aligned portrait (H, H, 3), right or not, as `find_sitter` does.

    A person chooses from them.
    """
    small = resize_rgb(photo, _SIDE_PX, _SIDE_PX)
    wall = _even_wall(small)
    return [_enlarged(_cut_out(small, wall, number), len(photo)) for number in range(1, CUTS + 1)]


def before(picture: RgbU8, sitter: MaskU8, wall: RgbU8) -> RgbU8:
    """Return the sitter of a picture (H, W, 3) before another wall, of that size or one pixel."""
    share = sitter[..., None] / 255
    mixed: RgbU8 = (picture * share + wall * (1 - share)).round().astype(np.uint8)
    return mixed


def with_margin(sitter: MaskU8) -> MaskU8:
    """Return a sitter and what lies so close that an outline of it may."""
    reach = 2 * round(_MARGIN_PX * len(sitter) / _SIDE_PX) + 1
    wide = cv2.dilate(sitter, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    return np.asarray(wide, np.uint8)


def _even_wall(small: RgbU8) -> MaskBool:
    """Return what is reached from the borders without a step, round the middle of the face."""
    smooth = cv2.bilateralFilter(small, 5, 12, 3)
    reached = np.zeros((_SIDE_PX + 2, _SIDE_PX + 2), np.uint8)
    reached[1:-1, 1:-1][_CORE] = 1
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | (2 << 8)
    for y in (2, _SIDE_PX // 4, _SIDE_PX // 2):
        for x in (2, _SIDE_PX - 3):
            if reached[y + 1, x + 1] == 0:
                cv2.floodFill(smooth, reached, (x, y), 0, (_EVEN,) * 3, (_EVEN,) * 3, flags)
    return np.asarray(reached[1:-1, 1:-1] == 2)


def _guess(head: MaskBool, wall: MaskBool | None) -> MaskU8:
    """Return what GrabCut begins with: surely or probably sitter or wall."""
    if wall is None:
        guess = np.where(head, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
        guess[_BORDER & (np.abs(_X) > 0.47)] = cv2.GC_BGD
    else:
        guess = np.where(wall | (~head & ~_LOWEST), cv2.GC_PR_BGD, cv2.GC_PR_FGD)
        guess[_BORDER & wall] = cv2.GC_BGD
    guess[_CORE] = cv2.GC_FGD
    return guess.astype(np.uint8)


def _cut_out(small: RgbU8, wall: MaskBool, number: int) -> MaskBool:
    """Return a cut, the first is 1, beginning with the guess that it stands for."""
    head, knows_wall = _GUESSES[number - 1]
    return _cut(small, _guess(_HEADS[head], wall if knows_wall else None))


def _cut(small: RgbU8, guess: MaskU8) -> MaskBool:
    """Return the piece around the middle of the face that GrabCut finds, its holes filled."""
    cv2.setRNGSeed(0)  # its mixtures begin with a random choice
    of_wall, of_sitter = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, guess, None, of_wall, of_sitter, _ROUNDS, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    is_sitter = (guess == cv2.GC_FGD) | (guess == cv2.GC_PR_FGD)
    _, pieces = cv2.connectedComponents(is_sitter.astype(np.uint8), connectivity=4)
    is_wall = (pieces != pieces[round(0.55 * _SIDE_PX), _SIDE_PX // 2]).astype(np.uint8)
    _, pieces = cv2.connectedComponents(is_wall, connectivity=4)
    open_pieces = np.unique(np.concatenate([pieces[0], pieces[:, 0], pieces[:, -1]]))
    return np.asarray(~((is_wall > 0) & np.isin(pieces, open_pieces)))


def _alike(cut: MaskBool, other: MaskBool) -> float:
    return float((cut & other).sum() / max(1, (cut | other).sum()))


def _enlarged(sitter: MaskBool, side_px: int) -> MaskU8:
    soft = cv2.GaussianBlur(sitter.astype(np.float32) * 255, (0, 0), _EDGE_PX)
    return np.asarray(cv2.resize(soft, (side_px, side_px)).round(), np.uint8)
