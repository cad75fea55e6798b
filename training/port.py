"""Weights of the official PyTorch port of U-GAT-IT: read, mapped to our names and back.

The port's checkpoint is a dict of six state dicts, `genA2B genB2A disGA disGB disLA disLB`.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from anymus.errors import CheckpointError

from .networks import Discriminator, Generator, Networks, build_networks
from .pickled import read_pickled

StateDict = dict[str, Tensor]
PortState = dict[str, StateDict]

PORT_NAMES = {
    "generator_a2b": "genA2B",
    "generator_b2a": "genB2A",
    "discriminators.global_a": "disGA",
    "discriminators.local_a": "disLA",
    "discriminators.global_b": "disGB",
    "discriminators.local_b": "disLB",
}


def generator_keys(generator: Generator) -> dict[str, str]:
    """Return the port's key for each key of a generator's state dict."""
    # The port numbers its layers: pad, conv, norm, activation for each convolution, then blocks.
    keys = {"stem.weight": "DownBlock.1.weight"}
    halvings = len(generator.down_convs)
    for i in range(halvings):
        keys[f"down_convs.{i}.weight"] = f"DownBlock.{5 + 4 * i}.weight"
        keys[f"up_convs.{i}.weight"] = f"UpBlock2.{2 + 5 * i}.weight"
        for part in ("rho", "gamma", "beta"):
            keys[f"up_norms.{i}.{part}"] = f"UpBlock2.{3 + 5 * i}.{part}"
    keys["head.weight"] = f"UpBlock2.{1 + 5 * halvings}.weight"
    for i in range(len(generator.encoder_blocks)):
        encoder_block = f"DownBlock.{4 * (halvings + 1) + i}.conv_block"
        for part, layer in (("conv1", 1), ("conv2", 5)):
            keys[f"encoder_blocks.{i}.{part}.weight"] = f"{encoder_block}.{layer}.weight"
        for part in ("conv1.weight", "norm1.rho", "conv2.weight", "norm2.rho"):
            keys[f"decoder_blocks.{i}.{part}"] = f"UpBlock1_{i + 1}.{part}"
    keys |= {
        "cam.average.weight": "gap_fc.weight",
        "cam.maximum.weight": "gmp_fc.weight",
        "cam.mix.weight": "conv1x1.weight",
        "cam.mix.bias": "conv1x1.bias",
        "film.hidden1.weight": "FC.0.weight",
        "film.hidden2.weight": "FC.2.weight",
        "film.gamma.weight": "gamma.weight",
        "film.beta.weight": "beta.weight",
    }
    return keys


def discriminator_keys(discriminator: Discriminator) -> dict[str, str]:
    """Return the port's key for each key of a discriminator's state dict."""
    layers = {f"down_convs.{i}": f"model.{1 + 3 * i}" for i in range(len(discriminator.down_convs))}
    layers["widen"] = f"model.{1 + 3 * len(discriminator.down_convs)}"
    keys = {f"{ours}.bias": f"{port}.bias" for ours, port in layers.items()}
    layers |= {"cam.average": "gap_fc", "cam.maximum": "gmp_fc", "head": "conv"}
    for ours, port in layers.items():
        keys[f"{ours}.weight"] = f"{port}.weight_orig"
        keys[f"{ours}.u"] = f"{port}.weight_u"
        keys[f"{ours}.v"] = f"{port}.weight_v"
    keys |= {"cam.mix.weight": "conv1x1.weight", "cam.mix.bias": "conv1x1.bias"}
    return keys


def to_port(networks: Networks) -> PortState:
    """Return the networks' weights under the port's names, sharing their memory.

    Raises:
        CheckpointError: the networks have parts that the port's have not.
    """
    state: PortState = {}
    for ours, port in PORT_NAMES.items():
        network = _network(networks, ours)
        keys = _keys_of(network)
        weights = network.state_dict()
        extra = sorted(weights.keys() - keys.keys())
        if extra:
            raise CheckpointError(
                f"{ours} has {extra[0]}, which the official port does not know",
                "only networks of the presets light and paper can be exported to it",
            )
        state[port] = {keys[key]: tensor for key, tensor in weights.items()}
    return state


def load_port_state(networks: Networks, state: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Copy the port's weights into the networks.

    Raises:
        CheckpointError: a network or a tensor is missing, left over or of another shape.
    """
    for ours, port in PORT_NAMES.items():
        network = _network(networks, ours)
        if port not in state:
            raise CheckpointError(f"no {port} among the port's weights ({', '.join(state)})")
        keys = _keys_of(network)
        _check_keys(port, set(keys.values()), set(state[port]))
        try:
            network.load_state_dict({key: state[port][keys[key]] for key in network.state_dict()})
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"{port} does not fit {ours}: {error}") from error


def read_port_file(path: Path) -> PortState:
    """Return the six state dicts of a `.pt` file of the official port, on the CPU.

    Nothing but tensors is unpickled, so a hostile file cannot run code.

    Raises:
        CheckpointError: no such file, or none of the port's.
    """
    content = read_pickled(
        path,
        "weights of the official port",
        "give a .pt file that holds genA2B, genB2A, disGA, disGB, disLA and disLB",
    )
    if not isinstance(content, dict) or not set(PORT_NAMES.values()) <= content.keys():
        found = (
            ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        )
        raise CheckpointError(f"{path}: not the official port's six networks, but {found:.200}")
    return {name: dict(content[name]) for name in PORT_NAMES.values()}


def networks_from_port(state: Mapping[str, Mapping[str, Tensor]]) -> Networks:
    """Return networks of the shape of the port's weights, with these weights.

    Raises:
        CheckpointError: the weights are not those of the port's networks.
    """
    try:
        networks = build_networks(*_arguments_of(state), seed=0)
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(f"not the official port's weights: no {error}") from error
    load_port_state(networks, state)
    return networks


def _arguments_of(
    state: Mapping[str, Mapping[str, Tensor]],
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the arguments of generators and discriminators that the shapes tell."""
    generator = state["genA2B"]
    base_channels = generator["DownBlock.1.weight"].shape[0]
    channels, features = generator["FC.0.weight"].shape
    map_px = math.isqrt(features // channels)
    generator_arguments = {
        "base_channels": base_channels,
        "image_size_px": 4 * map_px if features > channels else 256,
        "residual_blocks": sum(key.endswith("norm1.rho") for key in generator),
        "film": "flatten" if features > channels else "pooled",
    }
    discriminators = {
        name: {
            "base_channels": state[port]["model.1.weight_orig"].shape[0],
            "layers": 1 + sum(key.startswith("model.") and "orig" in key for key in state[port]),
        }
        for name, port in (("global", "disGA"), ("local", "disLA"))
    }
    return generator_arguments, discriminators


def _network(networks: Networks, name: str) -> nn.Module:
    try:
        return networks.get_submodule(name)
    except AttributeError as error:
        raise CheckpointError(
            f"the official port has a {PORT_NAMES[name]}, these networks have no {name}",
            "use networks of the presets light or paper",
        ) from error


def _keys_of(network: nn.Module) -> dict[str, str]:
    if isinstance(network, Generator):
        return generator_keys(network)
    assert isinstance(network, Discriminator)
    return discriminator_keys(network)


def _check_keys(port: str, wanted: set[str], given: set[str]) -> None:
    for word, keys in (("lacks", wanted - given), ("has a foreign", given - wanted)):
        if keys:
            raise CheckpointError(f"{port} {word} {min(keys)} ({len(keys)} such tensors)")
