"""Export: files that other programs open, with the card inside, and that convert takes back."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import typer
from safetensors import safe_open
from typer.testing import CliRunner

import inference.cli
from anymus.errors import AnymusError, CheckpointError, ParamsError
from anymus.images import read_rgb, write_png
from inference import export as exporting
from inference.export import export
from training.checkpoint import load_generator, save_generator
from training.networks import Generator

CARD = {
    "direction": "a2b",
    "framing": {"face_share": 0.55, "eye_line": 0.46},
    "step": 7,
    "data_sha256": "ab" * 32,
    "parameters": {"lr": 0.1},
}
app = typer.Typer()
inference.cli.register(app)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(2)
    generator = Generator(base_channels=8, image_size_px=48, residual_blocks=1, film="pooled")
    path = tmp_path / "models" / "generator_a2b.safetensors"
    save_generator(path, generator, CARD)
    return path


def _card_of(path: Path) -> dict[str, Any]:
    """Return the card as another program reads it."""
    if path.suffix == ".onnx":
        texts = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    else:
        with safe_open(path, framework="np") as file:
            texts = file.metadata()
    card: dict[str, Any] = json.loads(texts["anymus"])
    return card


@pytest.mark.parametrize("suffix", ["onnx", "safetensors"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_what_is_exported_converts_like_the_weights(
    weights: Path, tmp_path: Path, suffix: str, precision: str
) -> None:
    target, figures = tmp_path / f"g.{suffix}", tmp_path / "metrics.json"
    figures.write_text('{"kid_b": 0.01}')
    arguments = ["-g", str(weights), "-o", str(target), "--precision", precision]
    arguments += ["--licence", "MIT", "--metrics", str(figures), "--json"]
    outcome = CliRunner().invoke(app, ["export", *arguments], catch_exceptions=False)
    report = json.loads(outcome.stdout)
    assert report["max_difference_levels"] <= (0 if precision == "fp32" else 2)
    share = target.stat().st_size / weights.stat().st_size
    assert 0.4 < share < (0.75 if precision == "fp16" else 1.5)

    card = _card_of(target)
    assert {key: card[key] for key in CARD} == CARD
    assert (card["licence"], card["precision"]) == ("MIT", precision)
    assert card["metrics"] == {"kid_b": 0.01}
    assert len(card["sha256"]) == 64

    picture = np.random.default_rng(0).integers(0, 256, (60, 50, 3), np.uint8)
    write_png(tmp_path / "in.png", picture)
    for name, path in (("before.png", weights), ("after.png", target)):
        options = ["-g", str(path), "-o", str(tmp_path / name), "--faces", "whole"]
        source = str(tmp_path / "in.png")
        done = CliRunner().invoke(app, ["convert", source, *options, "--device", "cpu"])
        assert done.exit_code == 0
    before, after = (read_rgb(tmp_path / name).astype(int) for name in ("before.png", "after.png"))
    assert np.abs(before - after).max() == report["max_difference_levels"] or precision == "fp16"
    assert np.abs(before - after).max() <= (0 if precision == "fp32" else 3)


def test_half_weights_are_widened_in_a_generator(weights: Path, tmp_path: Path) -> None:
    export(weights, tmp_path / "half.safetensors", precision="fp16")
    half, whole = load_generator(tmp_path / "half.safetensors")[0], load_generator(weights)[0]
    for name, weight in whole.state_dict().items():
        other = half.state_dict()[name]
        assert other.dtype == torch.float32
        assert torch.equal(other, weight.half().float())


def test_names_and_formats_have_to_agree(weights: Path, tmp_path: Path) -> None:
    for name, export_format in (("g.pt", None), ("g.onnx", "safetensors"), ("g", "onnx")):
        with pytest.raises(ParamsError, match="does not end in"):
            export(weights, tmp_path / name, export_format=export_format)  # type: ignore[arg-type]
    with pytest.raises(ParamsError, match="the weights file itself"):
        export(weights, weights)
    with pytest.raises(CheckpointError, match="a2b, --direction asks for b2a"):
        export(weights, tmp_path / "g.onnx", direction="b2a")
    assert list(tmp_path.iterdir()) == [weights.parent]


@pytest.mark.parametrize("content", [None, "not JSON", "[1, 2]"])
def test_metrics_that_are_none_are_refused(
    weights: Path, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "metrics.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ParamsError, match=r"metrics\.json"):
        export(weights, tmp_path / "g.onnx", metrics=path)
    assert not (tmp_path / "g.onnx").exists()


def test_weights_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    generator = Generator(base_channels=2, image_size_px=32, residual_blocks=1, film="pooled")
    with torch.no_grad():
        generator.film.gamma.weight[0, 0] = 70000.0
    save_generator(tmp_path / "g.safetensors", generator, CARD)
    with pytest.raises(CheckpointError, match=r"film\.gamma\.weight has values beyond half"):
        export(tmp_path / "g.safetensors", tmp_path / "half.onnx", precision="fp16")


def test_a_graph_that_computes_something_else_is_not_written(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = exporting.build_graph

    def wrong(arrays: Any, architecture: Any, **options: Any) -> onnx.ModelProto:
        arrays = {**arrays, "head.weight": arrays["head.weight"] * np.float32(1.01)}
        return right(arrays, architecture, **options)

    monkeypatch.setattr(exporting, "build_graph", wrong)
    with pytest.raises(CheckpointError, match="differs from the network"):
        export(weights, tmp_path / "g.onnx")
    assert not (tmp_path / "g.onnx").exists()


def test_a_full_disk_leaves_the_old_file(
    weights: Path, tmp_path: Path, full_disk: Callable[[], AbstractContextManager[None]]
) -> None:
    for name in ("g.onnx", "g.safetensors"):
        target = tmp_path / name
        export(weights, target)
        before = target.read_bytes()
        with full_disk(), pytest.raises(AnymusError, match="cannot write"):
            export(weights, target, licence="MIT")
        assert target.read_bytes() == before
    assert not list(tmp_path.glob(".*partial"))
