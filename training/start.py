"""Where a training starts: from chance, or from generators that were trained before."""

from dataclasses import dataclass
from pathlib import Path

import torch

from anymus.errors import CheckpointError
from anymus.files import sha256_bytes, sha256_file
from anymus.shipped import resolve_weights

from .networks import Generator, Networks
from .pair import DIRECTIONS, Pair, load_pair, weights_name
from .weights_file import takes_any_size
from .widen import widen


@dataclass(frozen=True)
class Start:
    """Both generators to start from.

    Attributes:
        pair: The generators.
        sha256: Of both files together; it belongs to what determines a run.
    """

    pair: Pair
    sha256: str

    def put_into(self, networks: Networks) -> None:
        """Copy the weights into the generators of freshly made networks, in place.

        Networks with twice the channels, or three times and so on, begin with the same pictures.

        Raises:
            CheckpointError: They are of another architecture.
        """
        for domain, source in self.pair.generators.items():
            target = networks.generator_a2b if domain == "a" else networks.generator_b2a
            differing = [
                f"{name} {source.arguments[name]}, not {value}"
                for name, value in target.arguments.items()
                if source.arguments[name] != value and not _is_free(name, source, target)
            ]
            if differing:
                raise CheckpointError(
                    f"train.start_from: its generators have {', '.join(differing)}",
                    "set train.generator as they have it (a multiple of their base_channels is"
                    " fine, too), or start_from: null",
                )
            widen(source.state_dict(), target)


def open_start(start_from: str | None) -> Start | None:
    """Return the generators of a shipped set or of a folder; None for None.

    Raises:
        CheckpointError: A file is missing, damaged, translates the other way, or is for another
            size than the other one.
    """
    if start_from is None:
        return None
    folder = resolve_weights(Path(start_from))
    pair = load_pair(folder, torch.device("cpu"))
    hashes = [sha256_file(folder / weights_name(source)) for source, _ in DIRECTIONS]
    return Start(pair, sha256_bytes("".join(hashes).encode()))


def _is_free(name: str, source: Generator, target: Generator) -> bool:
    """Say whether weights fit whatever this argument is, or can be made to.

    With pooled film the pictures' size is free; of channels there may be several times as many.
    """
    if name == "base_channels":
        return int(target.arguments[name]) % int(source.arguments[name]) == 0
    return name == "image_size_px" and takes_any_size(target.arguments)
