"""Deeper: one more halving around what a smaller generator has learned."""

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from anymus.cli import build_app
from anymus.drawing.sitter import draw_sitter
from anymus.errors import CheckpointError, DatasetError, ParamsError
from anymus.images import write_png
from inference.translator import Translator
from training.checkpoint import load_generator, save_generator
from training.deepen import DeepenOptions, deepen, enclose
from training.greys import draws_greys
from training.networks import Film, Generator

FRAMING = {"size_px": 32, "face_share": 0.55, "eye_line": 0.46}
QUICK = DeepenOptions(base_channels=4, iterations=2, batch_size=2, device="cpu")


def make(film: Film = "pooled", *, is_grey: bool = False) -> Generator:
    torch.manual_seed(3)
    generator = Generator(base_channels=8, image_size_px=32, residual_blocks=1, film=film)
    if is_grey:
        with torch.no_grad():
            generator.head.weight.copy_(generator.head.weight[:1].repeat(3, 1, 1, 1))
    return generator


def save(path: Path, generator: Generator, direction: str = "a2b") -> Path:
    card = {"direction": direction, "framing": FRAMING, "licence": "MIT", "precision": "fp32"}
    save_generator(path, generator, card)
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    for part, count in (("trainA", 4), ("testA", 2), ("trainB", 1), ("testB", 1)):
        for index in range(count):
            rng = np.random.default_rng([count, index])
            write_png(tmp_path / "data" / part / f"{index}.png", draw_sitter(rng, 64, 64).rgb_u8)
    return tmp_path / "data"


def test_inner_layers_are_those_of_the_smaller_one() -> None:
    shallow = make()
    deep = enclose(shallow, 4, seed=1)
    assert deep.arguments["channel_multipliers"] == [2, 4, 8]
    assert (deep.arguments["base_channels"], deep.arguments["image_size_px"]) == (4, 64)
    x = torch.randn(1, 8, 32, 32)
    inner = [network.down_convs for network in (shallow, deep)]
    assert torch.equal(inner[0][0](x), inner[1][1](x))
    for one, other in zip(
        (*shallow.encoder_blocks.parameters(), *shallow.film.parameters()),
        (*deep.encoder_blocks.parameters(), *deep.film.parameters()),
        strict=True,
    ):
        assert torch.equal(one, other)
    assert deep(torch.zeros(1, 3, 64, 64)).image.shape == (1, 3, 64, 64)
    again = enclose(shallow, 4, seed=1).stem.weight
    assert torch.equal(deep.stem.weight, again)
    assert not torch.equal(again, enclose(shallow, 4, seed=2).stem.weight)


def test_new_layers_learn_to_draw_what_the_smaller_one_drew(dataset: Path, tmp_path: Path) -> None:
    weights = save(tmp_path / "small" / "generator_a2b.safetensors", make(is_grey=True))
    before = _levels(tmp_path, weights, dataset, iterations=1)
    command = ["weights", "deepen", str(weights.parent), "-o", str(tmp_path / "deep")]
    command += ["--dataset", str(dataset), "--channels", "8", "--iterations", "30"]
    result = CliRunner().invoke(
        build_app(), [*command, "--lr", "0.01", "--batch-size", "2", "--device", "cpu"]
    )
    assert result.exit_code == 0, result.output
    file = tmp_path / "deep" / "generator_a2b.safetensors"
    generator, card = load_generator(file)
    assert generator.arguments["channel_multipliers"] == [1, 2, 4]
    assert (card["image_size_px"], card["licence"], card["framing"]) == (64, "MIT", FRAMING)
    assert (card["is_grey"], len(card["deepened_from"])) == (True, 64)
    assert draws_greys(generator)
    assert _levels(tmp_path, weights, dataset, iterations=30) < 0.7 * before
    assert Translator.load(file, "cpu").size_px == 64
    inner, own = (load_generator(path)[0].film.gamma.weight for path in (file, weights))
    assert torch.equal(inner, own)


def _levels(tmp_path: Path, weights: Path, dataset: Path, iterations: int) -> float:
    options = DeepenOptions(
        base_channels=8, iterations=iterations, batch_size=2, lr=0.01, device="cpu"
    )
    return deepen(weights, dataset, tmp_path / "out.safetensors", options).difference_levels


def test_the_same_is_learned_again_and_the_way_back_from_drawings(
    dataset: Path, tmp_path: Path
) -> None:
    weights = save(tmp_path / "generator_b2a.safetensors", make(), direction="b2a")
    reports = [deepen(weights, dataset, tmp_path / f"{i}.safetensors", QUICK) for i in (1, 2)]
    assert reports[0].file.read_bytes() == reports[1].file.read_bytes()
    assert (reports[0].photos, reports[0].held_out) == (1, 1)
    assert not draws_greys(load_generator(reports[0].file)[0])


def test_what_cannot_be_deepened_is_refused(dataset: Path, tmp_path: Path) -> None:
    pooled, flat = (save(tmp_path / f"{film}.safetensors", make(film)) for film in
                    ("pooled", "flatten"))  # fmt: skip
    dst = tmp_path / "deep.safetensors"
    with pytest.raises(ParamsError, match="itself"):
        deepen(pooled, dataset, pooled, QUICK)
    with pytest.raises(ParamsError, match="one size alone"):
        deepen(flat, dataset, dst, QUICK)
    with pytest.raises(ParamsError, match="8 channels are no multiple of 3"):
        deepen(pooled, dataset, dst, DeepenOptions(base_channels=3, device="cpu"))
    with pytest.raises(CheckpointError):
        deepen(tmp_path / "absent.safetensors", dataset, dst, QUICK)
    with pytest.raises(DatasetError):
        deepen(pooled, tmp_path / "none", dst, QUICK)
    assert not dst.exists()
