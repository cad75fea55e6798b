"""Inception's features: the library's numbers from a file, and clear words when it is not there."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from anymus.errors import AnymusError, CheckpointError, DeviceError, ParamsError
from anymus.files import sha256_file
from anymus.images import RgbU8
from anymus.torchlib import load_torchvision
from training.features import load_feature_network
from training.inception import PUBLISHED_FILE, Inception

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of random weights as torch-fidelity would save them."""
    load_torchvision()
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Module, "load_state_dict", lambda *_arguments: None)
        patch.setattr(torch, "load", lambda *_arguments, **_options: {})
        torch.manual_seed(1)
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(path))
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def network(weights: Path) -> Inception:
    loaded = load_feature_network("inception", str(weights), CPU)
    assert isinstance(loaded, Inception)
    return loaded


def _noise(count: int, side_px: int) -> NDArray[np.uint8]:
    return np.random.default_rng(2).integers(0, 256, (count, side_px, side_px, 3), np.uint8)


@pytest.mark.slow
def test_vectors_are_the_librarys(weights: Path, network: Inception) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    pictures = _noise(2, 299)  # no resizing: torch-fidelity's own differs from torchmetrics' there
    library = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(weights))
    expected = library(torch.from_numpy(pictures).permute(0, 3, 1, 2))[0].numpy()
    found = network.describe(list(pictures))
    assert found.shape == (2, 2048)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert np.ptp(found) > 0


@pytest.mark.slow
def test_a_larger_picture_is_reduced_without_moire(network: Inception) -> None:
    checks = np.indices((600, 600)).sum(axis=0) % 2 * 255
    fine = np.repeat(checks[:, :, None], 3, axis=2).astype(np.uint8)
    even, dark = np.full_like(fine, 128), np.full_like(fine, 40)
    of_fine, of_even, of_dark = network.describe([fine, even, dark])
    assert np.linalg.norm(of_fine - of_even) < 0.1 * np.linalg.norm(of_dark - of_even)


@pytest.mark.slow
def test_sizes_may_differ_and_nothing_gives_nothing(network: Inception) -> None:
    pictures: list[RgbU8] = [_noise(1, 64)[0], _noise(1, 96)[0]]
    together = network.describe(pictures)
    np.testing.assert_allclose(together[1], network.describe(pictures[1:])[0], atol=1e-6)
    assert network.describe([]).shape == (0, 2048)


@pytest.mark.slow
def test_the_name_says_which_weights(weights: Path, network: Inception) -> None:
    assert network.sha256 == sha256_file(weights)
    assert network.name == f"inception_v3_{network.sha256[:8]}"


def _is_missing(_folder: Path) -> None:
    return


def _is_cut(folder: Path) -> None:
    torch.save({"fc.bias": torch.zeros(900)}, folder / "w.pth")
    content = (folder / "w.pth").read_bytes()
    (folder / "w.pth").write_bytes(content[: len(content) // 2])


def _is_another(folder: Path) -> None:
    torch.save({"fc.bias": torch.zeros(1008)}, folder / "w.pth")


def _is_no_dict(folder: Path) -> None:
    torch.save([1, 2], folder / "w.pth")


@pytest.mark.parametrize(
    ("prepare", "error", "said"),
    [
        (_is_missing, ParamsError, "no Inception weights .*w.pth"),
        (_is_cut, CheckpointError, "w.pth: cannot be read as weights of Inception"),
        pytest.param(
            _is_another, CheckpointError, "does not fit Inception v3", marks=pytest.mark.slow
        ),
        pytest.param(
            _is_no_dict, CheckpointError, "does not fit Inception v3", marks=pytest.mark.slow
        ),
    ],
)
def test_bad_weights_are_named(
    prepare: object, error: type[AnymusError], said: str, tmp_path: Path
) -> None:
    assert callable(prepare)
    prepare(tmp_path)
    with pytest.raises(error, match=said) as caught:
        load_feature_network("inception", str(tmp_path / "w.pth"), CPU)
    assert "random_vgg" in str(caught.value.hint)


def test_without_a_path_torchs_downloads_are_looked_at_and_nothing_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(ParamsError, match=PUBLISHED_FILE) as caught:
        load_feature_network("inception")
    assert "inception_weights is null" in caught.value.message


@pytest.mark.slow
def test_without_the_library_the_hint_names_it(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchmetrics.image.fid

    monkeypatch.setattr(torchmetrics.image.fid, "_TORCH_FIDELITY_AVAILABLE", False)
    with pytest.raises(DeviceError, match="torch-fidelity") as caught:
        Inception(weights, CPU)
    assert "pip install" in str(caught.value.hint)
