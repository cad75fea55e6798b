"""Average: the mean of two generators, refused where it would mean nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from anymus.cli import build_app
from anymus.errors import CheckpointError, ParamsError
from anymus.files import sha256_file
from inference.average import average, average_both
from inference.translator import Translator
from training.weights_file import GENERATOR_KIND, read_arrays, write_arrays

NAME = "generator_a2b.safetensors"


@pytest.fixture
def pair(models: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Return a generator, and one that went a step further from it."""
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    arrays, facts = read_arrays(models / NAME, kind=GENERATOR_KIND)
    write_arrays(first, arrays, facts)
    rng = np.random.default_rng(3)
    moved = {
        name: (array + 0.01 * rng.standard_normal(array.shape)).astype(np.float32)
        for name, array in arrays.items()
    }
    write_arrays(second, moved, facts | {"step": 77})
    return first, second


def test_the_mean_lies_between_and_says_what_it_is(pair: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = pair
    dst = tmp_path / "new" / NAME
    average(first, second, 0.25, dst)
    one, two, mean = (read_arrays(path, kind=GENERATOR_KIND)[0] for path in (first, second, dst))
    for name, array in mean.items():
        assert array.dtype == np.float32
        assert np.allclose(array, 0.75 * one[name] + 0.25 * two[name], atol=1e-6)
    facts = read_arrays(dst, kind=GENERATOR_KIND)[1]
    assert facts["step"] == 77
    assert facts["averaged_with"] == {"sha256": sha256_file(first), "share": 0.75}
    grey = np.full((32, 32, 3), 90, np.uint8)
    assert Translator.load(dst, "cpu")(grey).shape == grey.shape


@pytest.mark.parametrize(
    ("licences", "both"),
    [
        (("MIT", "MIT"), "MIT"),
        (("CC BY-NC-SA 4.0", "MIT"), "MIT and CC BY-NC-SA 4.0"),
        (("CC BY-NC-SA 4.0", "MIT and CC BY-NC-SA 4.0"), "MIT and CC BY-NC-SA 4.0"),
        (("CC BY-NC-SA 4.0", None), "CC BY-NC-SA 4.0"),
        ((None, None), None),
    ],
)
def test_a_mean_is_under_the_licences_of_both(
    pair: tuple[Path, Path], tmp_path: Path, licences: tuple[str | None, ...], both: str | None
) -> None:
    for path, licence in zip(pair, licences, strict=True):
        arrays, facts = read_arrays(path, kind=GENERATOR_KIND)
        write_arrays(path, arrays, facts | {"licence": licence})
    average(*pair, 0.5, tmp_path / NAME)
    assert read_arrays(tmp_path / NAME, kind=GENERATOR_KIND)[1]["licence"] == both


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, float("nan")])
def test_a_share_that_is_none_is_refused(
    pair: tuple[Path, Path], tmp_path: Path, share: float
) -> None:
    with pytest.raises(ParamsError, match="--share"):
        average(*pair, share, tmp_path / NAME)
    assert not (tmp_path / NAME).exists()


def test_neither_of_the_two_is_overwritten(pair: tuple[Path, Path]) -> None:
    for path in pair:
        before = path.read_bytes()
        with pytest.raises(ParamsError, match="itself"):
            average(*pair, 0.5, path)
        assert path.read_bytes() == before


@pytest.mark.parametrize("fact", ["direction", "framing", "architecture", "image_size_px"])
def test_generators_of_other_kinds_are_refused(
    pair: tuple[Path, Path], tmp_path: Path, fact: str
) -> None:
    first, second = pair
    arrays, facts = read_arrays(first, kind=GENERATOR_KIND)
    write_arrays(first, arrays, facts | {fact: "another"})
    with pytest.raises(CheckpointError, match=f"differ in {fact}"):
        average(first, second, 0.5, tmp_path / NAME)


def test_both_directions_are_averaged_by_the_command(models: Path, tmp_path: Path) -> None:
    command = [
        "weights",
        "average",
        str(models),
        str(models),
        "-o",
        str(tmp_path / "mean"),
        "--json",
    ]
    result = CliRunner().invoke(build_app(), command)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"folder": str(tmp_path / "mean"), "share": 0.5}
    for name in (NAME, NAME.replace("a2b", "b2a")):
        same, mean = (
            read_arrays(folder / name, kind=GENERATOR_KIND)[0]
            for folder in (models, tmp_path / "mean")
        )
        assert all(np.allclose(same[key], mean[key], atol=1e-6) for key in same)


def test_a_direction_that_one_of_them_lacks_is_left_out(models: Path, tmp_path: Path) -> None:
    half, dst = tmp_path / "half", tmp_path / "mean"
    half.mkdir()
    (half / NAME).write_bytes((models / NAME).read_bytes())
    average_both(models, half, 0.5, dst)
    assert [path.name for path in dst.iterdir()] == [NAME]
    average_both(models, models, 0.5, dst)
    assert len(list(dst.iterdir())) == 2
    with pytest.raises(CheckpointError, match="no generator weights at"):
        average_both(models, tmp_path / "none", 0.5, dst)
