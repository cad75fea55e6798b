"""The translator: weights in, pictures out, and a clear word about weights that are none."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anymus.errors import CheckpointError, DeviceError, ParamsError
from anymus.images import RgbU8
from inference import Translator
from inference.engines import TorchEngine
from inference.translator import find_weights, load_translator
from training.checkpoint import save_generator
from training.networks import Generator

SIZE_PX = 32
CARD: dict[str, Any] = {
    "direction": "a2b",
    "framing": {"size_px": 256, "face_share": 0.5, "eye_line": 0.45},
    "step": 3,
}


def _generator(film: Any = "pooled") -> Generator:
    torch.manual_seed(2)
    return Generator(base_channels=4, image_size_px=SIZE_PX, residual_blocks=1, film=film)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "generator_a2b.safetensors"
    save_generator(path, _generator(), CARD)
    return path


def _pictures(count: int) -> list[RgbU8]:
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3), np.uint8) for _ in range(count)]


def test_weights_say_what_they_are(weights: Path) -> None:
    translator = Translator.load(weights, "cpu")
    assert (translator.direction, translator.size_px) == ("a2b", SIZE_PX)
    assert translator.framing.size_px == SIZE_PX
    assert (translator.framing.face_share, translator.framing.eye_line) == (0.5, 0.45)
    assert translator.card["step"] == 3


@pytest.mark.parametrize("film", ["pooled", "flatten"])
def test_bytes_are_those_of_the_network(film: str) -> None:
    generator, picture = _generator(film), _pictures(1)[0]
    card = {**CARD, "architecture": generator.arguments}
    translated = Translator(TorchEngine(generator, "cpu"), card)(picture)
    x_signed = torch.tensor(picture.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = (generator(x_signed).image[0].permute(1, 2, 0).numpy() + 1) * 127.5
    assert translated.dtype == np.uint8
    assert translated.shape == (SIZE_PX, SIZE_PX, 3)
    assert np.abs(translated - expected).max() <= 0.51


def test_one_picture_several_and_none(weights: Path) -> None:
    translator, pictures = Translator.load(weights, "cpu"), _pictures(3)
    together = translator(pictures)
    for picture, translated in zip(pictures, together, strict=True):
        assert np.abs(translator(picture).astype(int) - translated).max() <= 1
    assert translator([]) == []


@pytest.mark.parametrize("engine", ["torch", "opencv", "onnxruntime"])
def test_threads_may_share_one(weights: Path, engine: Any) -> None:
    translator, pictures = Translator.load(weights, "cpu", engine), _pictures(24)
    alone = [translator(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        shared = list(pool.map(translator, pictures))
    for one, other in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(one, other)


def test_other_sizes_are_refused(weights: Path) -> None:
    with pytest.raises(ParamsError, match=r"\(16, 32, 3\)"):
        Translator.load(weights, "cpu")(np.zeros((16, SIZE_PX, 3), np.uint8))


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>not found</html>", b"\x80\x04pickle", b"\xff" * 64],
    ids=["empty", "html", "pickle", "noise"],
)
def test_foreign_files_are_no_weights(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "g.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"g\.safetensors"):
        Translator.load(path, "cpu")


def test_damaged_weights_are_refused(weights: Path) -> None:
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        Translator.load(weights, "cpu")
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError):
        Translator.load(weights, "cpu")


@pytest.mark.parametrize(
    "change", [{"direction": "sideways"}, {"direction": None}, {"framing": {"eye_line": 0.4}}]
)
def test_weights_without_direction_or_framing_are_refused(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    save_generator(tmp_path / "g.safetensors", _generator(), {**CARD, **change})
    with pytest.raises(CheckpointError, match=r"g\.safetensors"):
        Translator.load(tmp_path / "g.safetensors", "cpu")


@pytest.mark.parametrize("engine", ["torch", "opencv", "onnxruntime"])
def test_weights_that_give_no_numbers_are_refused(tmp_path: Path, engine: Any) -> None:
    generator = _generator()
    with torch.no_grad():
        generator.head.weight[0] = float("nan")
    save_generator(tmp_path / "g.safetensors", generator, CARD)
    with pytest.raises(CheckpointError, match="no numbers"):
        Translator.load(tmp_path / "g.safetensors", "cpu", engine)(_pictures(1))


def test_device_that_is_not_there_is_named(weights: Path) -> None:
    with pytest.raises(DeviceError, match="cuda:99"):
        Translator.load(weights, "cuda:99")


@pytest.mark.parametrize("engine", ["torch", "opencv"])
def test_another_size_is_seen_by_the_same_network(weights: Path, engine: Any) -> None:
    translator = Translator.load(weights, "cpu", engine)
    large = translator.at_size(2 * SIZE_PX)
    assert (large.size_px, large.framing.size_px) == (2 * SIZE_PX, 2 * SIZE_PX)
    assert (large.framing.face_share, large.direction) == (0.5, "a2b")
    picture = _pictures(1)[0].repeat(2, axis=0).repeat(2, axis=1)
    x_signed = torch.tensor(picture.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = (_generator()(x_signed).image[0].permute(1, 2, 0).numpy() + 1) * 127.5
    assert np.abs(large(picture) - expected).max() <= 1.01
    assert translator.size_px == SIZE_PX
    assert translator(_pictures(1)[0]).shape == (SIZE_PX, SIZE_PX, 3)


def test_sizes_that_the_network_does_not_take_are_refused(weights: Path) -> None:
    with pytest.raises(ParamsError, match="no multiple of 4"):
        Translator.load(weights, "cpu").at_size(2 * SIZE_PX + 2)
    flat = _generator("flatten")
    whole = Translator(TorchEngine(flat, "cpu"), {**CARD, "architecture": flat.arguments})
    with pytest.raises(ParamsError, match="32 px alone"):
        whole.at_size(2 * SIZE_PX)
    assert whole.at_size(SIZE_PX).size_px == SIZE_PX


def test_weights_are_found_by_file_and_folder(weights: Path) -> None:
    folder = weights.parent
    assert find_weights(weights, "b2a") == weights
    assert find_weights(folder, None) == weights
    assert find_weights(folder, "a2b") == weights
    with pytest.raises(CheckpointError, match="generator_b2a") as caught:
        find_weights(folder, "b2a")
    assert "dvc repro" in (caught.value.hint or "")


def test_weights_of_the_other_direction_are_refused(weights: Path) -> None:
    assert load_translator(weights, "a2b", "cpu").direction == "a2b"
    with pytest.raises(CheckpointError, match="a2b, --direction asks for b2a"):
        load_translator(weights, "b2a", "cpu")
