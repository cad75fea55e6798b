"""Exchange with the official port: its files in, its files out, the same tensors after both."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from torch import Tensor
from typer.testing import CliRunner

import inference.cli
import training.cli
from anymus.errors import CheckpointError, ParamsError
from anymus.images import read_rgb, write_png
from training.checkpoint import TrainingState, load_generator, save_checkpoint, save_generator
from training.exchange import export_port, import_port
from training.networks import Generator, Networks, build_networks
from training.port import PORT_NAMES, PortState, read_port_file, to_port
from training.step import make_optimizers

GENERATOR: dict[str, Any] = {"base_channels": 2, "image_size_px": 32, "residual_blocks": 1}
JUDGES: dict[str, dict[str, Any]] = {
    "global": {"base_channels": 2, "layers": 7},
    "local": {"base_channels": 2, "layers": 5},
}
PARITY_DIR = os.environ.get("ANYMUS_PARITY_DIR")
CASES = sorted(Path(PARITY_DIR).glob("*.npz")) if PARITY_DIR else []
app = typer.Typer()
training.cli.register(app)
inference.cli.register(app)


def _state(film: str) -> PortState:
    """Return weights under the port's names that differ in every tensor."""
    networks = build_networks({**GENERATOR, "film": film}, JUDGES, seed=4)
    torch.manual_seed(0)
    return {
        name: {key: torch.rand_like(tensor) for key, tensor in weights.items()}
        for name, weights in to_port(networks).items()
    }


def _assert_same(one: PortState, other: PortState) -> None:
    assert list(one) == list(other) == list(PORT_NAMES.values())
    for name, weights in one.items():
        assert set(other[name]) == set(weights)
        for key, tensor in weights.items():
            assert torch.equal(other[name][key], tensor), (name, key)


def _run(*arguments: str) -> Any:
    outcome = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert outcome.exit_code == 0
    return json.loads(outcome.stdout)


@pytest.mark.parametrize("film", ["flatten", "pooled"])
def test_what_comes_in_goes_out_the_same(tmp_path: Path, film: str) -> None:
    state = _state(film)
    torch.save(state, tmp_path / "in.pt")
    models, out = str(tmp_path / "models"), str(tmp_path / "out.pt")
    report = _run("import-port", str(tmp_path / "in.pt"), "-o", models, "--size", "32")
    assert report["film"] == film
    assert report["tensors"] == sum(map(len, state.values()))
    assert _run("export-port", f"{models}/networks.safetensors", "-o", out)["film"] == film
    _assert_same(state, read_port_file(tmp_path / "out.pt"))
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.skipif(not CASES, reason="ANYMUS_PARITY_DIR names no folder with parity cases")
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_recorded_weights_of_the_port_come_through(path: Path, tmp_path: Path) -> None:
    state: dict[str, dict[str, Tensor]] = {name: {} for name in PORT_NAMES.values()}
    with np.load(path) as arrays:
        for name in arrays.files:
            if name.startswith("before/"):
                _, network, key = name.split("/")
                state[network][key] = torch.from_numpy(arrays[name])
        real_a, expected = (torch.from_numpy(arrays[n]) for n in ("real_a", "out/genA2B/image"))
    torch.save(state, tmp_path / "in.pt")
    import_port(tmp_path / "in.pt", tmp_path / "models", image_size_px=128)
    export_port(tmp_path / "models" / "networks.safetensors", tmp_path / "out.pt")
    _assert_same(state, read_port_file(tmp_path / "out.pt"))
    generator, _ = load_generator(tmp_path / "models" / "generator_a2b.safetensors")
    assert float((generator(real_a).image - expected).abs().max()) < 1e-5


def test_imported_weights_convert_pictures(tmp_path: Path) -> None:
    state = _state("pooled")
    state["genA2B"] = {key: tensor * 0.1 for key, tensor in state["genA2B"].items()}
    torch.save(state, tmp_path / "in.pt")
    import_port(tmp_path / "in.pt", tmp_path / "models", image_size_px=32)
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    write_png(tmp_path / "in.png", picture)
    source, dst = str(tmp_path / "in.png"), str(tmp_path / "out.png")
    options = ["-g", str(tmp_path / "models"), "-o", dst, "--faces", "whole", "--device", "cpu"]
    assert _run("convert", source, *options)["direction"] == "a2b"
    assert read_rgb(Path(dst)).shape == (32, 32, 3)


def _checkpoint(path: Path, judges: dict[str, dict[str, Any]] = JUDGES) -> Networks:
    """Write a checkpoint of training whose running means differ from the last weights."""
    generator = {**GENERATOR, "film": "pooled"}
    networks = build_networks(generator, judges, seed=2)
    means = [build_networks(generator, judges, seed=seed).generator_a2b for seed in (3, 4)]
    optimizers = make_optimizers(networks, lr=1e-3, betas=(0.5, 0.999), weight_decay=0.0)
    state = TrainingState(networks, optimizers, *means)
    save_checkpoint(
        path, state, {"architecture": {"generator": generator, "discriminators": judges}}
    )
    return networks


def test_a_checkpoint_of_training_goes_out(tmp_path: Path) -> None:
    networks = _checkpoint(tmp_path / "step.safetensors")
    export_port(tmp_path / "step.safetensors", tmp_path / "last.pt")
    _assert_same(to_port(networks), read_port_file(tmp_path / "last.pt"))
    export_port(tmp_path / "step.safetensors", tmp_path / "mean.pt", is_mean=True)
    means = read_port_file(tmp_path / "mean.pt")
    mean = build_networks({**GENERATOR, "film": "pooled"}, JUDGES, seed=3)
    assert torch.equal(means["genA2B"]["DownBlock.1.weight"], mean.generator_a2b.stem.weight)
    vectors = (state["disGA"]["conv.weight_u"] for state in (means, to_port(networks)))
    assert torch.equal(*vectors)


def test_what_cannot_be_exchanged_is_refused(tmp_path: Path) -> None:
    save_generator(
        tmp_path / "g.safetensors", Generator(**GENERATOR, film="pooled"), {"direction": "a2b"}
    )
    with pytest.raises(CheckpointError, match="holds generator weights, and all six"):
        export_port(tmp_path / "g.safetensors", tmp_path / "out.pt")
    _checkpoint(tmp_path / "step.safetensors", {"local": {"base_channels": 2, "layers": 4}})
    with pytest.raises(CheckpointError, match=r"discriminators\.global_a"):
        export_port(tmp_path / "step.safetensors", tmp_path / "out.pt")
    assert not (tmp_path / "out.pt").exists()

    torch.save(_state("flatten"), tmp_path / "full.pt")
    with pytest.raises(ParamsError, match="for pictures of 32 px"):
        import_port(tmp_path / "full.pt", tmp_path / "models", image_size_px=64)
    import_port(tmp_path / "full.pt", tmp_path / "full")
    with pytest.raises(CheckpointError, match="no running means"):
        export_port(tmp_path / "full" / "networks.safetensors", tmp_path / "out.pt", is_mean=True)
    state = _state("pooled")
    state["disGA"]["model.1.bias"][0] = float("nan")
    torch.save(state, tmp_path / "nan.pt")
    with pytest.raises(CheckpointError, match=r"discriminators\.global_a.*no numbers"):
        import_port(tmp_path / "nan.pt", tmp_path / "models")
    torch.save(_state("pooled"), tmp_path / "light.pt")
    with pytest.raises(ParamsError, match="no multiple of 4"):
        import_port(tmp_path / "light.pt", tmp_path / "models", image_size_px=30)
    assert not (tmp_path / "models").exists()
