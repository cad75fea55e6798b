import pytest
import torch
from torch import Tensor

from training.even import even_loss
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


def face(level: float, *, side_px: int = 64) -> Tensor:
    """Return a drawing (1, 3, S, S) of a flat face with black eyes, on white paper."""
    drawn = torch.ones(1, 3, side_px, side_px)
    quarter = side_px // 4
    drawn[..., quarter : 3 * quarter, quarter : 3 * quarter] = level
    drawn[..., side_px * 3 // 8 : side_px * 7 // 16, quarter + 4 : 3 * quarter - 4] = -1
    return drawn


def test_skin_of_one_tone_is_even_whichever_tone_was_wanted() -> None:
    wanted = face(0.1)
    for level in (-0.6, 0.1, 1.0):
        assert even_loss(face(level), wanted) == pytest.approx(0.0, abs=1e-6)


def test_patches_of_skin_cost_what_they_differ_by() -> None:
    wanted, patchy = face(0.1), face(0.1)
    patchy[..., 32:48, 16:32] = 1.0  # the left half below the eyes, a third of the skin
    assert float(even_loss(patchy, wanted)) == pytest.approx(0.9 * 2 * (1 / 3) * (2 / 3), rel=0.15)
    both = even_loss(torch.cat([face(0.1), patchy]), torch.cat([wanted, wanted]))
    assert both.shape == (2,)
    assert both[0] < 1e-6 < both[1]


def test_what_is_no_skin_need_not_be_even() -> None:
    wanted, other = face(0.1), face(0.1)
    other[..., :16, :] = torch.rand(3, 16, 64)
    other[..., 24:28, 20:44] = 0.9
    assert even_loss(other, wanted) == pytest.approx(0.0, abs=1e-6)


def test_patches_grow_smaller_by_descent_and_a_wrong_tone_stays() -> None:
    wanted, drawn = face(0.1), face(1.0)
    drawn[..., 32:48, 16:32] = 0.2
    drawn.requires_grad_()
    before = even_loss(drawn, wanted).sum()
    before.backward()
    better = (drawn - 200 * drawn.grad).detach() if drawn.grad is not None else drawn
    assert even_loss(better, wanted).sum() < before
    still = face(1.0).requires_grad_()
    even_loss(still, wanted).sum().backward()
    assert still.grad is not None
    assert still.grad.abs().max() < 1e-6
