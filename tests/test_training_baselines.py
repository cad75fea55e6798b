"""Baselines: filters that do what they say, and a verdict that says no more than the intervals."""

import numpy as np
import pytest

from anymus.drawing.photo import draw_portrait
from anymus.images import RgbU8, to_grey
from training.baselines import (
    Palette,
    draw_cartoon,
    make_baselines,
    mean_palette,
    measure_palette,
    sketch,
    stylise,
    transfer_colours,
)
from training.metrics import Estimate, Gain
from training.standing import Standing
from training.verdict import judge


@pytest.fixture(scope="module")
def portrait() -> RgbU8:
    return draw_portrait(np.random.default_rng(3), 128, 128).rgb_u8


def _lines(rgb_u8: RgbU8) -> float:
    """Return the share of black pixels."""
    return float((to_grey(rgb_u8) < 8).mean())


def _texture(rgb_u8: RgbU8) -> float:
    """Return the median difference of neighbouring pixels: small in flat areas."""
    return float(np.median(np.abs(np.diff(to_grey(rgb_u8).astype(float), axis=1))))


def test_colours_become_those_of_the_palette(portrait: RgbU8) -> None:
    wanted = Palette(np.array([60.0, 5.0, -10.0]), np.array([12.0, 4.0, 6.0]))
    found = measure_palette(transfer_colours(portrait, wanted))
    np.testing.assert_allclose(found.mean, wanted.mean, atol=0.5)
    np.testing.assert_allclose(found.std, wanted.std, atol=0.5)


def test_a_palette_without_colour_makes_grey(portrait: RgbU8) -> None:
    ink = np.repeat(to_grey(portrait)[:, :, None], 3, axis=2)
    found = transfer_colours(portrait, measure_palette(ink)).astype(int)
    assert np.ptp(found, axis=2).max() <= 3


def test_an_even_picture_has_colours_to_be_given() -> None:
    even = np.full((16, 16, 3), 90, np.uint8)
    wanted = Palette(np.array([50.0, 0.0, 0.0]), np.array([20.0, 5.0, 5.0]))
    found = measure_palette(transfer_colours(even, wanted))
    np.testing.assert_allclose(found.mean, wanted.mean, atol=0.5)
    assert found.std.max() < 0.5


def test_the_palette_of_a_set_is_the_mean() -> None:
    one, other = (Palette(np.full(3, value), np.full(3, value)) for value in (1.0, 3.0))
    found = mean_palette([one, other])
    assert found.mean.tolist() == found.std.tolist() == [2.0, 2.0, 2.0]


def test_a_cartoon_has_flat_areas_between_black_lines(portrait: RgbU8) -> None:
    found = draw_cartoon(portrait)
    assert 0.03 < _lines(found) - _lines(portrait) < 0.5
    assert _texture(found) <= _texture(portrait)


def test_a_stylised_picture_keeps_its_colours_and_a_sketch_has_none(portrait: RgbU8) -> None:
    styled = stylise(portrait)
    assert np.abs(styled.mean(axis=(0, 1)) - portrait.mean(axis=(0, 1))).max() < 40
    assert not np.array_equal(styled, portrait)
    drawn = sketch(portrait)
    assert np.ptp(drawn, axis=2).max() == 0
    assert np.median(drawn) > 128  # paper


@pytest.mark.parametrize("side_px", [2, 5, 33])
def test_every_baseline_keeps_the_size_and_repeats_itself(side_px: int) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (side_px, side_px, 3), np.uint8)
    given = picture.copy()
    drawn = make_baselines(measure_palette(picture // 2), is_to_drawing=True)
    assert set(make_baselines(measure_palette(picture), is_to_drawing=False)) == {"colour"}
    for name, change in drawn.items():
        once = change(picture)
        assert (once.shape, once.dtype) == (picture.shape, np.uint8), name
        assert np.array_equal(once, change(picture)), name
    assert np.array_equal(picture, given)


def _standing(**gains: Gain) -> Standing:
    rows = {row: Estimate(0.5, 0.1, 0.4, 0.6, 20, 10) for row in ("floor", "model", *gains)}
    baselines = {row: rows[row] for row in gains}
    return Standing("a", "b", rows["floor"], rows["model"], baselines, gains)


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (Gain(0.2, 0.1, 0.3), "It beats the baseline colour transfer."),
        (Gain(0.2, -0.1, 0.3), "No difference is shown to colour transfer."),
        (Gain(-0.2, -0.3, -0.1), "It does not beat colour transfer: nearer than the translation."),
    ],
)
def test_the_verdict_says_what_the_intervals_show(gain: Gain, said: str) -> None:
    standing = _standing(untouched=Gain(0.4, 0.3, 0.5), colour=gain)
    figures = standing.figures() | {"test_a": 20, "test_b": 30}
    assert figures["beats_colour_a2b"] == int(gain.is_better)
    assert said in judge("a2b", figures)


def test_the_table_has_a_row_for_each_baseline() -> None:
    lines = _standing(untouched=Gain(0.4, 0.3, 0.5)).table().splitlines()
    assert lines[0].startswith("Photo to manga, n = 20")
    assert [line.split("  ")[1] for line in lines[2:5]] == [
        "real, other pictures",
        "translated",
        "untouched",
    ]
    assert lines[4].split()[-3:] == ["0.4", "0.3", "0.5"]
