"""Trainings that start from generators that were trained before."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_training_loop import TINY

from anymus.errors import CheckpointError
from anymus.images import write_png
from anymus.params_train import TrainParams
from training.checkpoint import load_generator, save_generator
from training.loop import build_networks_of, train
from training.networks import Generator
from training.start import open_start
from training.widen import widen


def tiny(**changes: Any) -> TrainParams:
    return TrainParams(**TINY | {"iterations": 1, "lr": 1e-9} | changes)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    for part in ("trainA", "trainB"):
        for index in range(2):
            picture = rng.integers(0, 256, (40, 40, 3), np.uint8)
            write_png(tmp_path / "data" / part / f"{index}.png", picture)
    return tmp_path / "data"


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """Return a folder with generators of another seed than the trainings below."""
    networks = build_networks_of(tiny(), seed=99)
    for direction in ("a2b", "b2a"):
        generator = getattr(networks, f"generator_{direction}")
        path = tmp_path / "trained" / f"generator_{direction}.safetensors"
        save_generator(path, generator, {"direction": direction})
    return tmp_path / "trained"


def run_in(root: Path, dataset: Path, **changes: Any) -> dict[str, torch.Tensor]:
    """Train and return the weights of photo to manga, laid out flat."""
    folders = {"models_dir": root / "models", "results_dir": root / "results"}
    train(tiny(**changes), seed=5, dataset_dir=dataset, framing={}, **folders)
    return weights_of(root / "models" / "generator_a2b.safetensors")


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return load_generator(path)[0].state_dict()


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_a_training_starts_from_the_weights_it_is_given(
    dataset: Path, trained: Path, tmp_path: Path
) -> None:
    given = weights_of(trained / "generator_a2b.safetensors")
    started = run_in(tmp_path / "started", dataset, start_from=str(trained))
    fresh = run_in(tmp_path / "fresh", dataset)
    assert distance(started, given) < 1e-6
    assert distance(fresh, given) > 1e-2


def test_other_first_weights_are_another_run(dataset: Path, trained: Path, tmp_path: Path) -> None:
    run_in(tmp_path, dataset, start_from=str(trained))
    path = trained / "generator_b2a.safetensors"
    generator, card = load_generator(path)
    with torch.no_grad():
        generator.head.weight += 0.1
    save_generator(path, generator, {"direction": card["direction"]})
    run_in(tmp_path, dataset, start_from=str(trained))
    assert len(list((tmp_path / "models" / "checkpoints").iterdir())) == 2


def test_pooled_generators_start_a_training_at_another_size(
    dataset: Path, trained: Path, tmp_path: Path
) -> None:
    given = weights_of(trained / "generator_a2b.safetensors")
    sizes = {"image_size_px": 48, "load_size_px": 48}
    started = run_in(tmp_path, dataset, start_from=str(trained), **sizes)
    assert distance(started, given) < 1e-6


@pytest.mark.parametrize(("copies", "film"), [(2, "pooled"), (3, "pooled"), (2, "flatten")])
def test_wider_generators_begin_with_the_pictures_of_narrow_ones(copies: int, film: str) -> None:
    shape = TINY["generator"] | {"film": film, "image_size_px": 32, "has_cam_bias": True}
    narrow = different(Generator(**shape))
    wide = Generator(**shape | {"base_channels": copies * shape["base_channels"]})
    widen(narrow.state_dict(), wide)
    x = torch.rand(3, 3, 32, 32) * 2 - 1
    (image, logits, _), (wide_image, wide_logits, _) = narrow(x), wide(x)
    assert image.std() > 0.1
    assert torch.allclose(wide_image, image, atol=2e-3)  # variances count the channels, less one
    assert torch.allclose(wide_logits, logits, atol=1e-4)


def different(generator: Generator) -> Generator:
    """Return the generator with weights, biases and norms of which no two are alike, in place."""
    rng = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(torch.rand(parameter.shape, generator=rng), alpha=0.3)
    return generator


def test_copies_of_a_channel_part_in_training(trained: Path) -> None:
    wide = build_networks_of(tiny(generator=TINY["generator"] | {"base_channels": 4}), seed=1)
    start = open_start(str(trained))
    assert start is not None
    start.put_into(wide)
    generator = wide.generator_a2b
    assert torch.equal(generator.stem.weight[:2], generator.stem.weight[2:])
    generator(torch.rand(1, 3, 32, 32)).image.square().sum().backward()
    for convolution in (generator.stem, generator.down_convs[0], generator.encoder_blocks[0].conv1):
        first, second = convolution.weight.grad.chunk(2)
        assert (first - second).abs().max() > 0.01 * first.abs().max()


def test_weights_that_do_not_fit_are_named(dataset: Path, trained: Path, tmp_path: Path) -> None:
    wider = TINY["generator"] | {"base_channels": 3}
    with pytest.raises(CheckpointError, match="base_channels 2, not 3"):
        run_in(tmp_path, dataset, start_from=str(trained), generator=wider)
    with pytest.raises(CheckpointError, match="no such file"):
        open_start(str(tmp_path / "nowhere"))
    a2b, b2a = (trained / f"generator_{way}.safetensors" for way in ("a2b", "b2a"))
    b2a.write_bytes(a2b.read_bytes())
    with pytest.raises(CheckpointError, match="translates a2b, not b2a"):
        open_start(str(trained))
    assert open_start(None) is None
