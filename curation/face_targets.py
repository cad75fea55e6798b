"""What the face network should answer on a piece, and how far off an answer is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from anymus.drawn_faces import STRIDES, cell_places
from curation.face_samples import Target

# Longest side of the heads that each level answers for, in strides; the levels overlap.
_LEAST, _MOST = 2.5, 9.0
_CENTRE = 1.6
"""Half the side of the square around a head's middle whose cells answer for it, in strides."""


class Wanted(NamedTuple):
    """Wanted answers of all cells (C, ...) of one piece, or of a batch (N, C, ...).

    `weight` is 0 for cells that do not count; `is_face` marks the cells that answer for a face.
    """

    is_face: Tensor  # (C,) bool
    weight: Tensor  # (C,) float
    sides: Tensor  # (C, 4) distances to the sides, strides
    eyes: Tensor  # (C, 4) from the cell's middle, strides; NaN: not to be seen
    is_eyed: Tensor  # (C,) bool: the eyes were labelled


def assign(target: Target, side_px: int) -> Wanted:
    """Return what each cell of a square piece should answer; the smaller of two heads wins."""
    places, strides = cell_places(side_px, side_px)
    count = len(places)
    owner = np.full(count, -1)
    weight = np.ones(count, np.float32)
    areas = target.boxes[:, 2] * target.boxes[:, 3]
    for index in np.argsort(-areas, kind="stable"):
        x, y, w, h = target.boxes[index]
        offset = np.abs(places - (x + w / 2, y + h / 2))
        if target.is_ignored[index]:
            weight[(offset <= np.array([w, h]) / 2).all(-1) & (owner < 0)] = 0.0
            continue
        size = max(w, h) / strides
        least = np.where(strides == STRIDES[0], 0.0, _LEAST)
        most = np.where(strides == STRIDES[-1], np.inf, _MOST)
        reach = np.minimum(_CENTRE * strides[:, None], np.array([w, h]) / 2)
        is_near = (offset <= np.maximum(reach, 0.51 * strides[:, None])).all(-1)
        owner[is_near & (size >= least) & (size < most)] = index
    weight[owner >= 0] = 1.0
    return _wanted(target, places, strides, owner, weight)


def _wanted(
    target: Target,
    places: NDArray[np.float32],
    strides: NDArray[np.float32],
    owner: NDArray[np.int64],
    weight: NDArray[np.float32],
) -> Wanted:
    sides = np.ones((len(places), 4), np.float32)
    eyes = np.full((len(places), 4), np.nan, np.float32)
    is_eyed = np.zeros(len(places), np.bool_)
    held = owner >= 0
    if held.any():
        x, y, w, h = target.boxes[owner[held]].T
        (cx, cy), s = places[held].T, strides[held]
        sides[held] = np.stack([cx - x, cy - y, x + w - cx, y + h - cy], -1) / s[:, None]
        eyes[held] = (target.eyes[owner[held]] - places[held][:, [0, 1, 0, 1]]) / s[:, None]
        is_eyed[held] = target.is_eyed[owner[held]]
    parts = (held, weight, np.maximum(sides, 0.05), eyes, is_eyed)
    return Wanted(*(torch.from_numpy(part) for part in parts))


def stack(pieces: Sequence[Wanted]) -> Wanted:
    """Return one batch of wanted answers."""
    return Wanted(*(torch.stack(parts) for parts in zip(*pieces, strict=True)))


def detection_loss(cells: Tensor, wanted: Wanted) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of a batch of answers (N, C, 11) and its parts by name.

    Scores: quality focal loss on the IoU that the answered box has; boxes: 1 - GIoU; eyes: L1 in
    head sizes; visibility: cross entropy.
    """
    held = wanted.is_face
    count = held.sum().clamp(min=1).float()
    sides, true_sides = cells[..., 1:5][held], wanted.sides[held]
    iou, giou = _overlaps(sides, true_sides)
    quality = torch.zeros_like(cells[..., 0])
    quality[held] = iou.detach().clamp(min=0.05)
    logits = cells[..., 0]
    focal = (quality - logits.sigmoid()).abs() ** 2
    score = functional.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    loss_score = (score * focal * wanted.weight).sum() / count
    loss_box = (1 - giou).sum() / count
    size = (true_sides[:, :2] + true_sides[:, 2:]).mean(-1)  # strides
    loss_eyes, loss_seen = _eye_losses(cells[..., 5:][held], wanted, held, size)
    loss = loss_score + 1.5 * loss_box + 4.0 * loss_eyes + 0.2 * loss_seen
    parts = {"score": loss_score, "box": loss_box, "eyes": loss_eyes, "seen": loss_seen}
    return loss, {name: float(value.detach()) for name, value in parts.items()}


def _eye_losses(
    answers: Tensor, wanted: Wanted, held: Tensor, size: Tensor
) -> tuple[Tensor, Tensor]:
    eyes, is_eyed = wanted.eyes[held].view(-1, 2, 2), wanted.is_eyed[held]
    is_seen = ~eyes.isnan().any(-1) & is_eyed[:, None]  # (P, 2)
    away = (answers[:, :4].reshape(-1, 2, 2) - eyes.nan_to_num()).abs().sum(-1)
    loss_eyes = ((away / size[:, None]) * is_seen).sum() / is_seen.sum().clamp(min=1)
    seen = functional.binary_cross_entropy_with_logits(
        answers[:, 4:], is_seen.float(), reduction="none"
    )
    return loss_eyes, (seen * is_eyed[:, None]).sum() / (2 * is_eyed.sum()).clamp(min=1)


def _overlaps(sides: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return IoU and GIoU (P,) of boxes given by their distances (P, 4) from one point."""
    area = (sides[:, 0] + sides[:, 2]) * (sides[:, 1] + sides[:, 3])
    true_area = (truth[:, 0] + truth[:, 2]) * (truth[:, 1] + truth[:, 3])
    least, most = torch.minimum(sides, truth), torch.maximum(sides, truth)
    both = (least[:, 0] + least[:, 2]) * (least[:, 1] + least[:, 3])
    hull = (most[:, 0] + most[:, 2]) * (most[:, 1] + most[:, 3])
    union = area + true_area - both
    iou = both / union.clamp(min=1e-6)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)
