"""Wider: more channels, the same pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from anymus.cli import build_app
from anymus.errors import CheckpointError, ParamsError
from inference.translator import Translator
from inference.wider import write_wider
from training.checkpoint import load_generator, save_generator
from training.networks import Film, Generator


def save(path: Path, film: Film = "pooled") -> Path:
    torch.manual_seed(3)
    generator = Generator(base_channels=2, image_size_px=32, residual_blocks=1, film=film)
    framing = {"size_px": 32, "face_share": 0.55, "eye_line": 0.46}
    card = {"direction": "a2b", "framing": framing, "licence": "MIT", "precision": "fp16"}
    save_generator(path, generator.half(), card)
    return path


def test_a_wide_generator_draws_what_the_narrow_one_drew(tmp_path: Path) -> None:
    save(tmp_path / "narrow" / "generator_a2b.safetensors")
    command = ["weights", "widen", str(tmp_path / "narrow"), "-o", str(tmp_path / "wide")]
    result = CliRunner().invoke(build_app(), [*command, "--times", "3", "--size", "64"])
    assert result.exit_code == 0, result.output
    wide = tmp_path / "wide" / "generator_a2b.safetensors"
    generator, card = load_generator(wide)
    assert generator.arguments["base_channels"] == 6
    assert card["image_size_px"] == 64
    assert (card["licence"], card["precision"]) == ("MIT", "fp32")
    assert len(card["widened_from"]) == 64
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    narrow = Translator.load(tmp_path / "narrow" / "generator_a2b.safetensors", "cpu").at_size(64)
    difference = Translator.load(wide, "cpu")(picture).astype(int) - narrow(picture)
    assert np.abs(difference).max() <= 1


def test_what_cannot_be_widened_is_refused(tmp_path: Path) -> None:
    pooled = save(tmp_path / "pooled.safetensors")
    flat = save(tmp_path / "flat.safetensors", film="flatten")
    with pytest.raises(ParamsError, match="itself"):
        write_wider(pooled, pooled, 2)
    with pytest.raises(ParamsError, match="no multiple of 4"):
        write_wider(pooled, tmp_path / "wide.safetensors", 2, 34)
    with pytest.raises(ParamsError, match="its own size"):
        write_wider(flat, tmp_path / "wide.safetensors", 2, 64)
    with pytest.raises(CheckpointError):
        write_wider(tmp_path / "absent.safetensors", tmp_path / "wide.safetensors", 2)
    assert not (tmp_path / "wide.safetensors").exists()
