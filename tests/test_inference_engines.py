"""Engines: the same picture from each of them, at every size and shape that they take."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from anymus.errors import CheckpointError, DeviceError, ParamsError
from anymus.images import write_png
from inference import engines
from inference.engines import OnnxRuntimeEngine, OpenCvEngine, TorchEngine, load_engine
from inference.onnx_file import read_onnx, write_onnx
from inference.onnx_graph import build_graph
from training.checkpoint import save_generator
from training.networks import Generator

LIGHT: dict[str, Any] = {
    "base_channels": 6,
    "image_size_px": 48,
    "residual_blocks": 2,
    "film": "pooled",
}
PAPER = LIGHT | {"film": "flatten"}
SEED = PAPER | {
    "channel_multipliers": (2, 2, 4),
    "activation": "leaky_relu",
    "padding": "zeros",
    "has_cam_bias": True,
    "up_kernel_px": 4,
    "head_kernel_px": 4,
}
ZEROS = LIGHT | {"padding": "zeros", "channel_multipliers": (3,)}
CARD = {"direction": "a2b", "framing": {"face_share": 0.5, "eye_line": 0.45}, "kind": "generator"}
RUNNERS = {"opencv": OpenCvEngine, "onnxruntime": OnnxRuntimeEngine}


def make_generator(arguments: dict[str, Any]) -> Generator:
    """Return a generator whose norms are not at their start, where much would cancel."""
    torch.manual_seed(3)
    generator = Generator(**arguments).eval().requires_grad_(False)
    for name, parameter in generator.named_parameters():
        if name.endswith(("rho", "gamma", "beta")):
            parameter.uniform_(0.1, 0.9)
    return generator


def arrays_of(generator: Generator) -> dict[str, Any]:
    return {name: tensor.numpy() for name, tensor in generator.state_dict().items()}


def some_pictures(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("name", RUNNERS)
@pytest.mark.parametrize(
    "arguments", [LIGHT, PAPER, SEED, ZEROS], ids=["light", "paper", "seed", "zeros"]
)
def test_a_graph_computes_what_the_network_does(name: str, arguments: dict[str, Any]) -> None:
    generator = make_generator(arguments)
    graph = build_graph(arrays_of(generator), generator.arguments)
    onnx.checker.check_model(graph, full_check=True)
    engine = RUNNERS[name](graph.SerializeToString())
    sizes = (
        [(48, 48), (48, 48)] if arguments["film"] == "flatten" else [(48, 48), (32, 80), (96, 40)]
    )
    for count, (height_px, width_px) in enumerate(sizes, 1):
        x = some_pictures(count, 3, height_px, width_px)
        image, heatmap = engine(x.numpy())
        expected = generator(x)
        assert np.abs(image - expected.image.numpy()).max() <= 1e-4
        assert np.abs(heatmap - expected.heatmap.numpy()).max() <= 1e-3
        assert expected.image.std() > 0.1


@pytest.mark.parametrize("name", RUNNERS)
def test_a_flat_picture_is_no_division_by_nought(name: str) -> None:
    generator = make_generator(LIGHT)
    graph = build_graph(arrays_of(generator), generator.arguments).SerializeToString()
    x = torch.full((1, 3, 48, 48), 0.73)
    image, _ = RUNNERS[name](graph)(x.numpy())
    # What is left of a flat map after its mean is rounding, which the norms make 300 times larger.
    np.testing.assert_allclose(image, generator(x).image.numpy(), atol=5e-3)


def test_the_engine_of_torch_computes_what_the_network_does() -> None:
    generator = make_generator(LIGHT)
    x = some_pictures(2, 3, 48, 48)
    expected = generator(x)
    image, heatmap = TorchEngine(generator, "cpu")(x.numpy())
    assert np.abs(image - expected.image.numpy()).max() <= 1e-4
    assert np.abs(heatmap - expected.heatmap.numpy()).max() <= 1e-3


def test_half_precision_is_half_the_file_and_hardly_another_picture() -> None:
    generator = make_generator(LIGHT | {"base_channels": 16})
    whole, half = (
        build_graph(arrays_of(generator), generator.arguments, is_half=is_half).SerializeToString()
        for is_half in (False, True)
    )
    assert len(half) < 0.55 * len(whole)
    x = some_pictures(1, 3, 48, 48).numpy()
    expected = OpenCvEngine(whole)(x)[0]
    for engine in RUNNERS.values():
        difference = np.abs(engine(half)(x)[0] - expected).max()
        assert 0 < difference < 0.02


def test_the_bits_of_opencv_do_not_depend_on_the_batch() -> None:
    generator = make_generator(LIGHT)
    engine = OpenCvEngine(
        build_graph(arrays_of(generator), generator.arguments).SerializeToString()
    )
    x = some_pictures(3, 3, 48, 48).numpy()
    together = engine(x)[0]
    for index in range(3):
        np.testing.assert_array_equal(engine(x[index : index + 1])[0][0], together[index])


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "generator_a2b.safetensors"
    save_generator(path, make_generator(LIGHT), CARD)
    return path


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    generator, path = make_generator(LIGHT), tmp_path / "g.onnx"
    facts = {**CARD, "architecture": generator.arguments}
    write_onnx(path, build_graph(arrays_of(generator), generator.arguments), facts)
    return path


def test_auto_takes_opencv_on_a_cpu_and_torch_for_large_files(
    weights: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_engine(weights, "cpu")[0].name == "opencv"
    assert load_engine(exported, "cpu")[0].name == "opencv"
    for name in ("torch", "onnxruntime"):
        assert load_engine(weights, "cpu", name)[0].name == name  # type: ignore[arg-type]
    monkeypatch.setattr(engines, "_MAX_LIGHT_BYTES", 100)
    assert load_engine(weights, "cpu")[0].name == "torch"
    assert load_engine(exported, "cpu")[0].name == "opencv"


def test_engines_that_do_not_fit_are_refused(
    weights: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ParamsError, match="torch does not run the ONNX file"):
        load_engine(exported, "cpu", "torch")
    with pytest.raises(ParamsError, match="opencv runs on the CPU, not on cuda"):
        load_engine(exported, "cuda")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DeviceError, match="ONNX Runtime is not installed"):
        load_engine(weights, "cpu", "onnxruntime")


def test_a_picture_is_converted_without_torch(weights: Path, exported: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (60, 50, 3), np.uint8)
    write_png(weights.parent / "in.png", picture)
    code = (
        "import sys; from pathlib import Path; from inference.convert import convert;"
        "from inference.options import ConvertOptions;"
        "convert(Path('in.png'), Path(sys.argv[1]),"
        " ConvertOptions(weights=Path(sys.argv[2]), faces='whole'));"
        "heavy = 'torch', 'onnxruntime', 'dlib', 'pebble', 'rich.console';"
        "print([m for m in heavy if m in sys.modules])"
    )
    for name, path in (("one.png", weights), ("two.png", exported)):
        outcome = subprocess.run(
            [sys.executable, "-c", code, name, str(path)],
            cwd=weights.parent, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert outcome.stdout.strip() == "[]"
    one, two = (weights.parent / name for name in ("one.png", "two.png"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("position", [0.0, 0.5, 0.9999])
def test_a_damaged_onnx_file_is_refused(exported: Path, position: float) -> None:
    content = bytearray(exported.read_bytes())
    content[int(position * len(content))] ^= 1
    exported.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"g\.onnx"):
        load_engine(exported)


def test_a_changed_card_is_refused(exported: Path) -> None:
    content = exported.read_bytes()
    assert content.count(b'"direction": "a2b"') == 1
    exported.write_bytes(content.replace(b'"direction": "a2b"', b'"direction": "b2a"'))
    with pytest.raises(CheckpointError, match="damaged"):
        read_onnx(exported)


def test_foreign_and_absent_onnx_files_are_refused(tmp_path: Path) -> None:
    generator, path = make_generator(LIGHT), tmp_path / "foreign.onnx"
    graph = build_graph(arrays_of(generator), generator.arguments)
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(CheckpointError, match="another program"):
        load_engine(path)
    path.write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(CheckpointError, match="no ONNX file"):
        load_engine(path)
    with pytest.raises(CheckpointError, match="no such file"):
        load_engine(tmp_path / "absent.onnx")
