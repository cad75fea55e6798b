import pytest
import torch
from torch import Tensor

from training.losses import tone_loss


def noise(count: int = 3, size_px: int = 64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 16, 16, generator=generator) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=(size_px, size_px))


def test_tone_loss_is_0_for_the_same_1_for_any_and_2_for_the_negative() -> None:
    x = noise()
    assert tone_loss(x, x) == pytest.approx(0.0, abs=1e-6)
    assert tone_loss(-x, x) == pytest.approx(2.0, abs=1e-6)
    assert tone_loss(noise(200, 32, seed=1), noise(200, 32, seed=2)) == pytest.approx(1.0, abs=0.05)


def test_tone_loss_knows_neither_exposure_nor_contrast_nor_lines() -> None:
    x = noise()
    lines = torch.ones_like(x)
    lines[..., ::2] = -1  # both within each cell of 4 x 4
    assert tone_loss(0.3 * x - 0.5, x) == pytest.approx(0.0, abs=1e-6)
    assert tone_loss(0.5 * x + 0.4 * lines, x) == pytest.approx(0.0, abs=1e-6)


def test_tone_loss_is_the_mean_of_the_pairs_and_finite_on_a_blank_picture() -> None:
    x, y = noise(2), noise(2, seed=5)
    apart = [float(tone_loss(x[i : i + 1], y[i : i + 1])) for i in range(2)]
    assert float(tone_loss(x, y)) == pytest.approx(sum(apart) / 2, abs=1e-6)
    blank = torch.zeros(1, 3, 64, 64, requires_grad=True)
    loss = tone_loss(blank, x[:1])
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(1.0)
    assert blank.grad is not None
    assert torch.isfinite(blank.grad).all()


def test_tone_loss_moves_what_is_dark() -> None:
    target = torch.ones(1, 3, 64, 64)
    target[..., 20:40, 20:40] = -1
    made = (0.01 * noise(1)).requires_grad_()
    tone_loss(made, target).backward()  # type: ignore[no-untyped-call]
    assert made.grad is not None
    assert made.grad[..., 24:36, 24:36].min() > 0  # darker there, lighter around
    assert made.grad[..., 44:52, 28:36].max() < 0


def test_tone_loss_leaves_the_wall_behind_a_head_alone() -> None:
    x, y = noise(2), noise(2, seed=5)
    other_wall = x.clone()
    other_wall[..., :4] = other_wall[..., -4:] = 1.0
    other_wall[..., -4:, :] = -1.0
    assert torch.equal(tone_loss(other_wall, y), tone_loss(x, y))
    other_wall[..., 28:32, 28:32] += 0.5
    assert not torch.equal(tone_loss(other_wall, y), tone_loss(x, y))
