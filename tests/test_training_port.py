import pickle
from pathlib import Path

import pytest
import torch

from anymus.errors import CheckpointError
from training.networks import Networks, build_networks
from training.port import networks_from_port, read_port_file, to_port

JUDGES = {
    "global": {"base_channels": 2, "layers": 7},
    "local": {"base_channels": 2, "layers": 5},
}


def port_like_networks(film: str) -> Networks:
    generator = {"base_channels": 2, "image_size_px": 128, "residual_blocks": 3, "film": film}
    return build_networks(generator, JUDGES, seed=1)


@pytest.mark.parametrize("film", ["flatten", "pooled"])
def test_a_file_of_the_port_comes_back_with_its_architecture(tmp_path: Path, film: str) -> None:
    networks = port_like_networks(film)
    torch.save(to_port(networks), tmp_path / "params.pt")
    again = networks_from_port(read_port_file(tmp_path / "params.pt"))
    assert again.generator_a2b.arguments["film"] == film
    assert again.generator_b2a.arguments["residual_blocks"] == 3
    for name, weight in networks.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name


def test_missing_network_and_missing_tensor_are_named(tmp_path: Path) -> None:
    state = to_port(port_like_networks("pooled"))
    del state["disLB"]["conv1x1.bias"]
    with pytest.raises(CheckpointError, match=r"disLB lacks conv1x1\.bias"):
        networks_from_port(state)
    del state["disLB"]
    torch.save(state, tmp_path / "params.pt")
    with pytest.raises(CheckpointError, match="not the official port's six networks"):
        read_port_file(tmp_path / "params.pt")


def test_networks_beyond_the_port_are_refused() -> None:
    generator = {
        "base_channels": 2,
        "image_size_px": 64,
        "residual_blocks": 1,
        "film": "pooled",
    }
    local = {"base_channels": 2, "layers": 4, "dilations": [2]}
    one_judge = build_networks(generator, {"local": local}, seed=1)
    with pytest.raises(CheckpointError, match=r"discriminators\.global_a"):
        to_port(one_judge)
    both = build_networks(generator, {"global": local, "local": local}, seed=1)
    with pytest.raises(CheckpointError, match="dilated_convs"):
        to_port(both)


class Hostile:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[Path, str]]:
        return Path.write_text, (self.target, "executed")


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_hostile_pickle_is_refused_and_not_executed(tmp_path: Path, how: str) -> None:
    target, path = tmp_path / "executed", tmp_path / "params.pt"
    if how == "torch":
        torch.save({"genA2B": Hostile(target)}, path)
    else:
        path.write_bytes(pickle.dumps(Hostile(target)))
    with pytest.raises(CheckpointError, match=r"params\.pt"):
        read_port_file(path)
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", b"PK\x03\x04 truncated"])
def test_foreign_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "params.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"params\.pt"):
        read_port_file(path)
    with pytest.raises(CheckpointError, match=r"absent\.pt"):
        read_port_file(tmp_path / "absent.pt")
