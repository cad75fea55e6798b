"""Exchange of weights with the official PyTorch port of U-GAT-IT: its `.pt` files in and out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from anymus.errors import AnymusError, CheckpointError, ParamsError
from anymus.files import atomic_file, sha256_file

from .checkpoint import save_generator, save_networks
from .networks import Networks
from .port import PORT_NAMES, networks_from_port, read_port_file, to_port
from .weights_file import NETWORKS_KIND, TRAINING_KIND, Facts, read_arrays, read_facts

NETWORKS_NAME = "networks.safetensors"


@dataclass(frozen=True, slots=True)
class ExchangeReport:
    """What was read from one side and written for the other.

    Attributes:
        path: The file or folder written.
        tensors: In all networks.
        parameters: Numbers in all networks that training changes.
        image_size_px: Of the pictures the generators are for.
        film: flatten (the port's full networks) or pooled (its light ones).
    """

    path: Path
    tensors: int
    parameters: int
    image_size_px: int
    film: str

    def as_metrics(self) -> dict[str, int | float | str]:
        """Return the figures by name."""
        return {
            "written": str(self.path),
            "tensors": self.tensors,
            "parameters": self.parameters,
            "image_size_px": self.image_size_px,
            "film": self.film,
        }


def import_port(checkpoint: Path, dst: Path, *, image_size_px: int | None = None) -> ExchangeReport:
    """Write the weights of a checkpoint of the official port as files of ours.

    `dst` then holds `generator_a2b.safetensors` and `generator_b2a.safetensors`, for `anymus
    convert`, and `networks.safetensors`, all six networks. Its `genA2B` is taken for photo to
    manga, so A has to be the photos in the port's data.

    Args:
        checkpoint: The port's `.pt` file; nothing but tensors is unpickled.
        dst: A folder, made if missing; files of these names are replaced.
        image_size_px: Side of the pictures; None: what full networks tell, and 256 for light ones,
            whose weights do not tell it.

    Raises:
        CheckpointError: The file holds no such networks, or not finite weights.
        ParamsError: Full networks are for another size, or the size is no multiple of 4.
        AnymusError: The files cannot be written.
    """
    state = read_port_file(checkpoint)
    networks = networks_from_port(state)
    _set_size(networks, checkpoint, image_size_px)
    _require_numbers(checkpoint, networks)
    origin = {"origin": "official PyTorch port", "origin_sha256": sha256_file(checkpoint)}
    card = {
        **origin,
        "framing": None,
        "image_size_px": networks.generator_a2b.arguments["image_size_px"],
    }
    try:
        for direction in ("a2b", "b2a"):
            generator = networks.get_submodule(f"generator_{direction}")
            path = dst / f"generator_{direction}.safetensors"
            save_generator(path, generator, {**card, "direction": direction})  # type: ignore[arg-type]
        save_networks(dst / NETWORKS_NAME, networks, origin)
    except OSError as error:
        raise AnymusError(f"cannot write into {dst}: {error}", "give another with -o") from error
    return _report(dst, networks)


def export_port(source: Path, dst: Path, *, is_mean: bool = False) -> ExchangeReport:
    """Write all six networks as a `.pt` file that the official port loads.

    Args:
        source: A checkpoint of `anymus train` (models/checkpoints/RUN/step_N.safetensors) or
            `networks.safetensors` of `import_port`.
        dst: The file to write; replaced as a whole.
        is_mean: Take the running means of the generators' weights, which `anymus train` hands out,
            instead of the last weights. Only a checkpoint of training has them.

    Raises:
        CheckpointError: The file is missing, damaged, of another kind, or holds networks that the
            port does not know.
        AnymusError: The file cannot be written.
    """
    networks = _read_networks(source, is_mean=is_mean)
    state = {
        name: {key: tensor.detach().contiguous() for key, tensor in weights.items()}
        for name, weights in to_port(networks).items()
    }
    try:
        with atomic_file(dst) as stream:
            torch.save(state, stream)
    except OSError as error:
        raise AnymusError(f"cannot write {dst}: {error}", "give another file with -o") from error
    return _report(dst, networks)


def _set_size(networks: Networks, checkpoint: Path, image_size_px: int | None) -> None:
    """Note the side of the pictures in both generators, in place, if it is given."""
    arguments = networks.generator_a2b.arguments
    known_px = arguments["image_size_px"]
    if image_size_px in (None, known_px):
        return
    if arguments["film"] == "flatten":
        raise ParamsError(f"{checkpoint} is for pictures of {known_px} px", f"--size {known_px}")
    if image_size_px % 4 or image_size_px < 16:
        raise ParamsError(f"--size {image_size_px} is no multiple of 4 from 16 on", "--size 256")
    for generator in (networks.generator_a2b, networks.generator_b2a):
        generator.arguments["image_size_px"] = image_size_px


def _read_networks(source: Path, *, is_mean: bool) -> Networks:
    """Return the networks of a checkpoint or of a file of networks."""
    kind = str(read_facts(source).get("kind"))
    if kind not in (NETWORKS_KIND, TRAINING_KIND):
        raise CheckpointError(
            f"{source} holds {kind} weights, and all six networks are needed",
            "give a checkpoint, models/checkpoints/RUN/step_N.safetensors",
        )
    if is_mean and kind != TRAINING_KIND:
        raise CheckpointError(f"{source} has no running means", "leave --mean out")
    arrays, facts = read_arrays(source, kind=kind)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    wanted = {name: t for name, t in tensors.items() if name.startswith("networks.")}
    if is_mean:
        for direction in ("a2b", "b2a"):
            mean, own = f"ema_{direction}.", f"networks.generator_{direction}."
            means = {k.replace(mean, own, 1): t for k, t in tensors.items() if k.startswith(mean)}
            wanted |= means
    try:
        with torch.device("meta"):
            networks = Networks(*_shapes_of(facts))
        networks.load_state_dict(
            {name.removeprefix("networks."): tensor for name, tensor in wanted.items()}, assign=True
        )
    except (KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{source}: its weights do not fit their shape: {reason}") from error
    return networks


def _shapes_of(facts: Facts) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the arguments of `Networks` that a file's facts tell."""
    if "architecture" in facts:
        return facts["architecture"]["generator"], facts["architecture"]["discriminators"]
    from anymus.params_train import TrainParams

    from .loop import shapes_of

    return shapes_of(TrainParams.model_validate(facts["parameters"]))


def _require_numbers(path: Path, networks: Networks) -> None:
    for name, tensor in networks.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"{path}: {name} holds values that are no numbers", "use another checkpoint"
            )


def _report(path: Path, networks: Networks) -> ExchangeReport:
    modules: list[nn.Module] = [networks.get_submodule(name) for name in PORT_NAMES]
    arguments = networks.generator_a2b.arguments
    return ExchangeReport(
        path,
        tensors=sum(len(module.state_dict()) for module in modules),
        parameters=sum(p.numel() for module in modules for p in module.parameters()),
        image_size_px=arguments["image_size_px"],
        film=arguments["film"],
    )
