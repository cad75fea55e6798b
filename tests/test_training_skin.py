import numpy as np
import pytest
import torch

from training.losses import skin_loss
from training.skin import CHEEKS, matched_levels, skin_level


def test_the_level_is_the_blue_of_the_cheeks() -> None:
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    top, bottom, left, right = (round(32 * share) for share in CHEEKS)
    x[0, 2, top:bottom, left:right] = -0.25
    x[1, 2, top:bottom, left:right] = 0.75
    assert skin_level(x).tolist() == [-0.25, 0.75]
    assert skin_level(x.bfloat16()).dtype == torch.float32


def test_levels_are_matched_by_rank() -> None:
    photos = np.array([0.1, -0.9, -0.2, -0.5])
    assert matched_levels(photos, np.array([0.0, 1.0])) == [0.875, 0.125, 0.625, 0.375]
    drawings = np.array([-1.0, 0.5, 0.9, 1.0, 1.0, 1.0, 1.0])
    matched = matched_levels(photos, drawings)
    assert matched[0] == 1.0
    assert sorted(matched) == [matched[1], matched[3], matched[2], matched[0]]
    assert matched_levels(drawings, drawings) == pytest.approx(
        np.quantile(drawings, (np.arange(7) + 0.5) / 7)
    )


def test_alike_faces_share_the_levels_of_their_ranks() -> None:
    assert matched_levels(np.zeros(4), np.array([0.0, 1.0])) == [0.125, 0.375, 0.625, 0.875]


def test_the_loss_pulls_cheeks_alone_to_their_level() -> None:
    made = torch.zeros(2, 3, 32, 32, requires_grad=True)
    loss = skin_loss(made, torch.tensor([0.5, -0.25]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(0.375)
    assert made.grad is not None
    assert made.grad[0, 2, 18, 16] < 0 < made.grad[1, 2, 18, 16]
    assert made.grad[:, :, :15].abs().max() == 0
