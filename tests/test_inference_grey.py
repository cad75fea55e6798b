"""Grey: weights whose pictures have no colour, and are else what they were."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from anymus.cli import build_app
from anymus.errors import CheckpointError, ParamsError
from inference.grey import take_colour
from inference.translator import Translator
from training.weights_file import GENERATOR_KIND, read_arrays

NAME = "generator_a2b.safetensors"


def test_the_command_writes_weights_that_tint_nothing(models: Path, tmp_path: Path) -> None:
    photo = np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    tinted = Translator.load(models / NAME, "cpu")(photo)
    assert np.ptp(tinted, axis=2).max() > 0
    arguments = ["weights", "grey", str(models), "-o", str(tmp_path / "new"), "--json"]
    result = CliRunner().invoke(build_app(), arguments)
    assert result.exit_code == 0, result.output
    dst = tmp_path / "new" / NAME
    assert json.loads(result.stdout) == {"file": str(dst)}
    grey = Translator.load(dst, "cpu")(photo)
    assert np.ptp(grey, axis=2).max() == 0
    before_tanh = np.arctanh(tinted / 127.5 - 1) @ (0.299, 0.587, 0.114)
    assert np.abs(grey[..., 0] - (np.tanh(before_tanh) + 1) * 127.5).max() <= 2
    arrays, facts = read_arrays(dst, kind=GENERATOR_KIND)
    old, old_facts = read_arrays(models / NAME, kind=GENERATOR_KIND)
    assert facts == old_facts | {"precision": "fp32", "is_grey": True}
    for name in arrays.keys() - {"head.weight"}:
        assert np.array_equal(arrays[name], old[name])


def test_no_input_is_overwritten_and_what_is_no_generator_is_refused(
    models: Path, tmp_path: Path
) -> None:
    before = (models / NAME).read_bytes()
    with pytest.raises(ParamsError, match="is the weights file itself"):
        take_colour(models / NAME, models / NAME)
    assert (models / NAME).read_bytes() == before
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"nothing")
    with pytest.raises(CheckpointError):
        take_colour(other, tmp_path / NAME)
    assert not (tmp_path / NAME).exists()
