"""Distances: the library's formulas, honest intervals, and a feature network that sees damage."""

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from anymus.errors import DatasetError, ParamsError
from anymus.images import RgbU8
from anymus.torchlib import load_torchvision
from training.features import RandomVgg, load_feature_network
from training.metrics import (
    NEIGHBOURS,
    Sampling,
    cover,
    fid,
    kernel_gram,
    kid,
    kid_gain,
    kid_paper_mix,
    kid_value,
    spread,
    squared_mmd,
)

SAMPLING = Sampling(subset_size=10, subsets=20, resamples=400)
Vectors = NDArray[np.float64]


def _vectors(count: int, seed: int, shift: float = 0.0, features: int = 24) -> Vectors:
    return np.random.default_rng(seed).normal(shift, 1.0, (count, features))


def _kid(x: Vectors, y: Vectors, sampling: Sampling = SAMPLING) -> object:
    return kid(x, y, sampling, np.random.default_rng(3))


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_kid_is_the_librarys(scale: float) -> None:
    load_torchvision()
    from torchmetrics.image.kid import poly_mmd

    x, y = scale * _vectors(30, 1), scale * _vectors(30, 2, 0.3)
    expected = float(poly_mmd(torch.from_numpy(x), torch.from_numpy(y)))
    found = kid(x, y, SAMPLING, np.random.default_rng(0)).value
    assert abs(found - expected) <= 1e-10 * max(1.0, abs(expected))


def test_kid_over_subsets_is_the_librarys() -> None:
    load_torchvision()
    from torchmetrics.image.kid import poly_mmd

    x, y = _vectors(30, 1), _vectors(40, 2, 0.3)
    w, v = np.zeros((1, 30)), np.zeros((1, 40))
    w[0, 5:17], v[0, 9:21] = 1, 1
    expected = float(poly_mmd(torch.from_numpy(x[5:17]), torch.from_numpy(y[9:21])))
    assert squared_mmd(kernel_gram(x, y), w, v)[0] == pytest.approx(expected, abs=1e-10)


def test_a_resample_is_the_sum_over_distinct_pairs() -> None:
    x, y = _vectors(4, 1), _vectors(5, 2)
    gram = kernel_gram(x, y)
    w, v = np.array([[2.0, 0, 1, 1]]), np.array([[0.0, 3, 1, 0, 1]])

    def within(kernel: Vectors, counts: Vectors) -> float:
        pairs = [(i, j) for i in range(len(counts)) for j in range(len(counts)) if i != j]
        total = sum(counts[i] * counts[j] * kernel[i, j] for i, j in pairs)
        return float(total / sum(counts[i] * counts[j] for i, j in pairs))

    between = (np.outer(w[0], v[0]) * gram.xy).sum() / np.outer(w[0], v[0]).sum()
    expected = within(gram.xx, w[0]) + within(gram.yy, v[0]) - 2 * between
    assert squared_mmd(gram, w, v)[0] == pytest.approx(expected, rel=1e-12)


def test_kid_of_one_distribution_is_unbiased_and_its_interval_holds_zero() -> None:
    values, hits = [], 0
    for seed in range(40):
        found = kid(
            _vectors(25, seed), _vectors(35, 1000 + seed), SAMPLING, np.random.default_rng(1)
        )
        values.append(found.value)
        hits += found.low <= 0 <= found.high
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert hits >= 37


def test_kid_of_two_distributions_is_clear_of_zero() -> None:
    found = kid(_vectors(25, 1), _vectors(25, 2, 0.8), SAMPLING, np.random.default_rng(1))
    assert 0 < found.low < found.value < found.high
    assert found.std > 0


def test_kid_repeats_itself() -> None:
    x, y = _vectors(25, 1), _vectors(30, 2)
    assert _kid(x, y) == _kid(x, y)


def test_a_small_set_reduces_the_subset() -> None:
    found = kid(_vectors(9, 1), _vectors(30, 2), SAMPLING, np.random.default_rng(1))
    assert (found.n, found.subset_size) == (9, 4)
    assert found.std > 0


def test_two_vectors_are_enough_and_one_is_not() -> None:
    found = kid(_vectors(2, 1), _vectors(2, 2), SAMPLING, np.random.default_rng(1))
    assert np.isfinite([found.value, found.low, found.high]).all()
    for measure in (_kid, fid):
        with pytest.raises(DatasetError, match="there is 1"):
            measure(_vectors(1, 1), _vectors(9, 2))
    with pytest.raises(DatasetError):
        spread(_vectors(1, 1))


def test_gain_knows_nearer_from_no_difference() -> None:
    before, target = _vectors(30, 1, 0.8), _vectors(30, 2)
    rng = np.random.default_rng(5)
    value, low, high = kid_gain(before, before - 0.6, target, 400, rng)
    assert 0 < low < value < high
    value, low, high = kid_gain(before, before, target, 400, rng)
    assert value == low == high == 0
    noise = _vectors(30, 9) * 0.05
    _, low, high = kid_gain(before, before + noise, target, 400, rng)
    assert low < 0 < high


@pytest.mark.parametrize(("n", "m", "features"), [(60, 63, 24), (12, 15, 24), (30, 30, 200)])
def test_kid_and_fid_are_those_of_torch_fidelity(n: int, m: int, features: int) -> None:
    load_torchvision()
    from torch_fidelity import metric_fid, metric_kid

    x, y = _vectors(n, 1, 0.4, features), _vectors(m, 2, 0.0, features)
    statistics = [metric_fid.fid_features_to_statistics(torch.from_numpy(one)) for one in (x, y)]
    expected = metric_fid.fid_statistics_to_metric(*statistics, verbose=False)
    assert fid(x, y) == pytest.approx(expected["frechet_inception_distance"], rel=1e-6)
    y = y[:n]
    options = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None}
    options["kid_kernel_poly_coef0"] = 1
    kernels = [metric_kid.kernel_poly(*pair, **options) for pair in ((x, x), (x, y), (y, y))]
    assert kid_value(x, y) == pytest.approx(float(metric_kid.mmd2(*kernels)), rel=1e-6)


def test_density_and_coverage_are_those_of_their_authors() -> None:
    # Recorded from prdc 0.2 (clovaai/generative-evaluation-prdc) with five neighbours.
    first = cover(_vectors(40, 1, 0.3, 8), _vectors(50, 2, 0.0, 8))
    assert first == pytest.approx((1.255, 0.98, 5), abs=1e-6)
    second = cover(_vectors(21, 1, 0.1), _vectors(30, 2))
    assert second == pytest.approx((1.6571428571, 1.0, 5), abs=1e-6)


def test_density_and_coverage_are_what_the_paper_says() -> None:
    x, real = _vectors(17, 1, 0.9, 4), _vectors(23, 2, 0.0, 4)
    radii = [sorted(np.linalg.norm(real - one, axis=1))[NEIGHBOURS] for one in real]
    inside = [[np.linalg.norm(a - b) < r for b, r in zip(real, radii, strict=True)] for a in x]
    found = cover(x, real)
    assert found.density == pytest.approx(np.sum(inside) / (NEIGHBOURS * len(x)), abs=1e-6)
    assert found.coverage == pytest.approx(np.mean(np.any(inside, axis=0)), abs=1e-6)
    assert 0 < found.coverage < 1


def test_a_collapsed_set_is_dense_and_covers_little() -> None:
    real = _vectors(40, 1)
    middle = np.repeat(real.mean(axis=0, keepdims=True), 40, axis=0)
    spread_out, collapsed = cover(_vectors(40, 2), real), cover(middle, real)
    assert collapsed.density > spread_out.density
    assert cover(middle + 9, real).coverage == 0
    few = cover(_vectors(4, 2), _vectors(3, 1))
    assert few.neighbours == 2


@pytest.mark.parametrize(("n", "m"), [(40, 40), (21, 30), (2, 30), (3, 2)])
def test_the_papers_mix_is_mostly_the_distance_to_the_source(n: int, m: int) -> None:
    source, target = _vectors(n, 1), _vectors(m, 2, 0.8)
    translated = source + 0.1 * _vectors(n, 3)

    def mean_kid(y: Vectors) -> float:
        count = max(1, min(-(-max(n, len(y)) // 10), n // 2, len(y) // 2))
        parts = [
            [one[np.arange(len(one)) * count // len(one) == place] for place in range(count)]
            for one in (translated, y)
        ]
        return float(np.mean([kid_value(*pair) for pair in zip(*parts, strict=True)]))

    expected = (0.98 * mean_kid(source) + 0.02 * mean_kid(target)) / 2
    assert kid_paper_mix(translated, source, target) == pytest.approx(expected, abs=1e-10)


def test_the_papers_mix_rewards_doing_nothing() -> None:
    source, target = _vectors(60, 1), _vectors(60, 2, 0.8)
    untouched, translated = source + 1e-3, target + 0.1 * _vectors(60, 3)
    assert kid_value(translated, target) < kid_value(untouched, target)
    mixes = [kid_paper_mix(one, source, target) for one in (untouched, translated)]
    assert mixes[0] < mixes[1]


@pytest.mark.parametrize("count", [12, 60])
def test_fid_is_the_textbooks(count: int) -> None:
    from scipy.linalg import sqrtm

    x, y = _vectors(count, 1), _vectors(count + 3, 2, 0.4)
    covariances = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = sqrtm(covariances[0] @ covariances[1]).real
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(
        covariances[0] + covariances[1] - 2 * root
    )
    assert fid(x, y) == pytest.approx(float(expected), rel=1e-4)


def test_fid_is_biased_at_a_few_pictures_where_kid_is_not() -> None:
    assert fid(_vectors(20, 1), _vectors(20, 2)) > 2 * fid(_vectors(200, 1), _vectors(200, 2)) > 0


def test_spread_shows_a_collapse() -> None:
    x = _vectors(20, 1)
    assert spread(np.repeat(x[:1], 20, axis=0)) == pytest.approx(0)
    assert spread(2 * x) == pytest.approx(2 * spread(x))


def test_the_weights_of_random_vgg_are_the_same_everywhere() -> None:
    assert RandomVgg().sha256 == "88738940a727ad3d9183aee28c442f3053edca460fff72956427147272732bc2"
    assert RandomVgg.name == "random_vgg_v1"


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(ParamsError, match="'vgg'"):
        load_feature_network("vgg")


def _portraits(count: int, seed: int) -> list[RgbU8]:
    """Return coloured blobs on a shaded ground (96, 96, 3), each of its own."""
    pictures = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        picture = np.full((96, 96, 3), rng.integers(90, 200, 3), np.uint8)
        for _ in range(14):
            centre = tuple(int(value) for value in rng.integers(8, 88, 2))
            colour = tuple(int(value) for value in rng.integers(0, 256, 3))
            cv2.circle(picture, centre, int(rng.integers(3, 16)), colour, -1, cv2.LINE_AA)
        pictures.append(picture)
    return pictures


def _blur(picture: RgbU8, strength: float) -> RgbU8:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), strength), dtype=np.uint8)


def _noise(picture: RgbU8, strength: float) -> RgbU8:
    rng = np.random.default_rng(int(picture.sum()))
    noisy = picture + rng.normal(0, 6 * strength, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _tint(picture: RgbU8, strength: float) -> RgbU8:
    return np.clip(picture + strength * np.array([8.0, -4.0, -8.0]), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("damage", [_blur, _noise, _tint])
def test_kid_of_random_vgg_grows_with_damage(damage: object) -> None:
    assert callable(damage)
    network = load_feature_network("random_vgg")
    pictures, target = _portraits(24, 1), network.describe(_portraits(24, 2))
    values = [
        kid(
            network.describe([damage(picture, strength) for picture in pictures]),
            target,
            SAMPLING,
            np.random.default_rng(0),
        ).value
        for strength in (0.5, 1.0, 2.0, 4.0)
    ]
    assert values == sorted(values)
    assert values[-1] > 10 * abs(values[0])


def test_vectors_do_not_depend_on_the_batch() -> None:
    network = load_feature_network("random_vgg")
    pictures = _portraits(5, 3)
    together = network.describe(pictures)
    assert together.shape == (5, RandomVgg.features)
    alone = np.concatenate([network.describe([picture]) for picture in pictures])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert network.describe([]).shape == (0, RandomVgg.features)


def test_vectors_see_where_things_lie() -> None:
    network = load_feature_network("random_vgg")
    left, right = np.full((2, 96, 96, 3), 128, np.uint8)
    left[30:60, 5:35], right[30:60, 61:91] = 255, 255
    x, same, y = network.describe([left, left.copy(), right])
    assert np.array_equal(x, same)
    assert np.linalg.norm(x - y) > 0.05 * np.linalg.norm(x)
