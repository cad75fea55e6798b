"""Where a training starts: from chance, or from generators that were trained before."""

from dataclasses import dataclass
from pathlib import Path

from anymus.errors import CheckpointError
from anymus.files import sha256_bytes
from anymus.shipped import resolve_weights

from .checkpoint import load_generator
from .networks import Generator, Networks


@dataclass(frozen=True)
class Start:
    """Both generators to start from.

    Attributes:
        generators: By direction, a2b and b2a.
        sha256: Of both files together; it belongs to what determines a run.
    """

    generators: dict[str, Generator]
    sha256: str

    def put_into(self, networks: Networks) -> None:
        """Copy the weights into the generators of freshly made networks, in place.

        Raises:
            CheckpointError: They are of another architecture.
        """
        targets = {"a2b": networks.generator_a2b, "b2a": networks.generator_b2a}
        for direction, target in targets.items():
            source = self.generators[direction]
            differing = [
                f"{name} {source.arguments[name]}, not {value}"
                for name, value in target.arguments.items()
                if source.arguments[name] != value and not _is_free(name, target)
            ]
            if differing:
                raise CheckpointError(
                    f"train.start_from: its generators have {', '.join(differing)}",
                    "set train.generator as they have it, or start_from: null",
                )
            target.load_state_dict(source.state_dict())


def open_start(start_from: str | None) -> Start | None:
    """Return the generators of a shipped set or of a folder; None for None.

    Raises:
        CheckpointError: A file is missing, damaged, or translates the other way.
    """
    if start_from is None:
        return None
    folder = resolve_weights(Path(start_from))
    generators, digests = {}, []
    for direction in ("a2b", "b2a"):
        path = folder / f"generator_{direction}.safetensors"
        generators[direction], card = load_generator(path)
        if card.get("direction") != direction:
            raise CheckpointError(
                f"{path} translates {card.get('direction')}, not {direction}",
                "put each generator under its own name",
            )
        digests.append(sha256_bytes(path.read_bytes()))
    return Start(generators, sha256_bytes("".join(digests).encode()))


def _is_free(name: str, target: Generator) -> bool:
    """Say whether weights fit whatever this argument is: with pooled film, the pictures' size."""
    return name == "image_size_px" and target.arguments["film"] == "pooled"
