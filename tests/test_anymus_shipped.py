"""The weights that come with Anymus: there, sound, with a licence, found by name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from anymus import shipped
from anymus.cli import build_app
from anymus.drawing.photo import draw_portrait
from anymus.errors import CheckpointError, ParamsError
from anymus.images import read_rgb, write_png
from anymus.shipped import (
    DEFAULT_SET,
    DEFAULT_SET_BACK,
    SUMS_NAME,
    list_shipped,
    read_card,
    shipped_names,
)
from inference.convert import convert
from inference.options import ConvertOptions
from inference.translator import Translator, find_weights

MAX_BYTES = 25 * 1024 * 1024


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with copies of the shipped files, taken for the installed one."""
    folder = tmp_path / "weights"
    shutil.copytree(shipped.FOLDER, folder, ignore=shutil.ignore_patterns("*.onnx"))
    monkeypatch.setattr(shipped, "FOLDER", folder)
    return folder


def test_every_set_is_sound_small_and_says_its_licence_and_direction() -> None:
    assert DEFAULT_SET in shipped_names()
    for one in list_shipped():
        assert one.is_sound()
        assert one.path.stat().st_size < MAX_BYTES
        translator = Translator.load(one.path, "cpu")
        assert Translator.load(one.name, "cpu").direction == "a2b"
        assert one.path.name == f"generator_{translator.direction}.safetensors"
        assert translator.card["licence"]
        assert str(translator.card["licence"]) in read_card(one.name)
        assert one.sha256 in read_card(one.name)


def test_names_are_found_before_paths_and_the_default_is_a_name() -> None:
    for direction, name in ((None, "a2b"), ("a2b", "a2b"), ("b2a", "b2a")):
        default = DEFAULT_SET_BACK if direction == "b2a" else DEFAULT_SET
        found = find_weights(None, direction)
        assert found == shipped.FOLDER / default / f"generator_{name}.safetensors"
        assert find_weights(Path(default), direction) == found
        own = find_weights(Path(DEFAULT_SET), direction)
        assert own == shipped.FOLDER / DEFAULT_SET / f"generator_{name}.safetensors"


def test_damaged_or_missing_weights_are_refused(copy: Path) -> None:
    path = copy / DEFAULT_SET / "generator_a2b.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="not the bytes that were shipped"):
        find_weights(None, None)
    path.unlink()
    with pytest.raises(CheckpointError, match="not the bytes that were shipped"):
        find_weights(None, None)
    (copy / SUMS_NAME).write_text("nonsense\n")
    with pytest.raises(CheckpointError, match=SUMS_NAME):
        find_weights(None, None)


def test_the_list_names_what_there_is_and_fails_for_a_damaged_file(copy: Path) -> None:
    listed = CliRunner().invoke(build_app(), ["weights", "list", "--json"])
    assert listed.exit_code == 0
    rows = json.loads(listed.stdout)
    assert {(row["name"], row["direction"]) for row in rows} >= {("drawn", "a2b"), ("drawn", "b2a")}
    assert all(row["licence"] and row["size_px"] for row in rows)

    (copy / DEFAULT_SET / "generator_b2a.safetensors").write_bytes(b"")
    assert isinstance(
        CliRunner().invoke(build_app(), ["weights", "list"]).exception, CheckpointError
    )


def test_a_card_is_printed_and_an_unknown_name_lists_the_known_ones() -> None:
    printed = CliRunner().invoke(build_app(), ["weights", "card", DEFAULT_SET])
    assert printed.stdout == read_card(DEFAULT_SET)
    for heading in ("## Data", "## Recipe", "## Figures", "## Limits"):
        assert heading in printed.stdout
    with pytest.raises(ParamsError, match="nobody"):
        read_card("nobody")


def test_a_conversion_says_under_which_licence_its_weights_are(tmp_path: Path) -> None:
    write_png(tmp_path / "grey.png", np.full((128, 128, 3), 128, np.uint8))
    for name in shipped.shipped_names():
        options = ConvertOptions(weights=Path(name), faces="whole", device="cpu")
        report = convert(tmp_path / "grey.png", tmp_path / name, options)
        assert f"Licence: {report.as_metrics()['licence']}" in read_card(name)


def test_a_fresh_install_turns_a_portrait_into_a_drawing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_png(Path("me.png"), draw_portrait(np.random.default_rng([8, 1]), 320, 320).rgb_u8)
    report = convert(Path("me.png"), Path("out"), ConvertOptions(device="cpu"))
    report.require_success()
    rgb_u8 = read_rgb(report.done[0].files[0])
    # Ink on paper: much black, much white, hardly any colour.
    luma = rgb_u8.mean(axis=2)
    assert (luma < 60).mean() > 0.05
    assert (luma > 200).mean() > 0.2
    assert np.ptp(rgb_u8.astype(int), axis=2).mean() < 16
