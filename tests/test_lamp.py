"""A portrait as lit by a lamp: what gets darker, where, and how much."""

import numpy as np
import pytest

from training import lamp
from training.lamp import lit_by_a_lamp

CHALK = np.full((64, 64, 3), 220, np.uint8)


def lit_from(
    monkeypatch: pytest.MonkeyPatch, azimuth: float, *, stops: float = 3.0
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the grey of chalk (64, 64) lit from 45 degrees aside; azimuth 0: from the right."""
    for name, value in (("_FEWEST_STOPS", stops), ("_MOST_STOPS", stops), ("_MISPLACED", 0.0)):
        monkeypatch.setattr(lamp, name, value)
    monkeypatch.setattr(lamp, "_ASIDE", (np.pi / 4, np.pi / 4))
    monkeypatch.setattr(lamp, "_AZIMUTHS", (azimuth, azimuth))
    return lit_by_a_lamp(CHALK, np.random.default_rng(1))[..., 0].astype(np.float64)


def test_the_cheek_towards_the_lamp_is_lighter(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = np.s_[34:44, 18:25], np.s_[34:44, 39:46]
    from_right, from_left = (lit_from(monkeypatch, azimuth) for azimuth in (0.0, np.pi))
    assert from_right[right].mean() > 1.3 * from_right[left].mean()
    assert np.allclose(from_left, from_right[:, ::-1], atol=1)
    from_above = lit_from(monkeypatch, -np.pi / 2)
    assert from_above[8:14, 28:36].mean() > 1.3 * from_above[50:56, 28:36].mean()
    assert np.allclose(from_above, from_above[:, ::-1], atol=1)


def test_a_nose_has_a_dark_side(monkeypatch: pytest.MonkeyPatch) -> None:
    lit = lit_from(monkeypatch, 0.0)
    row = lit[36]  # above the tip
    assert row[29:31].mean() < row[22:25].mean() < row[33:35].mean()


def test_nothing_gets_lighter_and_the_shadow_has_its_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    for stops in (2.0, 4.0):
        lit = lit_from(monkeypatch, 0.0, stops=stops)
        assert lit.max() == 220
        assert lit.min() / 220 == pytest.approx(2 ** (-stops / 2.2), abs=0.03)


def test_lamps_differ_and_follow_from_their_numbers() -> None:
    rng = np.random.default_rng(3)
    shown = [lit_by_a_lamp(CHALK, rng) for _ in range(24)]
    again = np.random.default_rng(3)
    assert all(np.array_equal(one, lit_by_a_lamp(CHALK, again)) for one in shown)
    leans = [one[:, 32:].mean() - one[:, :32].mean() for one in shown]
    assert min(leans) < -20
    assert max(leans) > 20
    assert all(one.max() == 220 for one in shown)


def test_borders_are_lit_as_what_is_beside_them() -> None:
    rng = np.random.default_rng(4)
    for _ in range(8):
        lit = lit_by_a_lamp(CHALK, rng).astype(int)[..., 0]
        for grid in (lit, lit.T):
            steps = np.abs(np.diff(grid, axis=0))
            assert steps[[0, -1]].max() <= steps[1:-1].max()
