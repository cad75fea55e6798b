"""Wider: a generator with several times the channels that draws what a narrow one draws."""

from dataclasses import dataclass
from pathlib import Path

from anymus.files import sha256_file
from training.checkpoint import load_generator
from training.networks import Generator
from training.widen import widen

from .generator_file import require_another_file, require_size, write_weights


@dataclass(frozen=True, slots=True)
class WiderReport:
    """What was written.

    Attributes:
        file: The wide generator.
        base_channels: Of its first convolution.
        size_px: Side of its pictures.
    """

    file: Path
    base_channels: int
    size_px: int

    def as_metrics(self) -> dict[str, int | str]:
        """Return the figures by name."""
        return {
            "file": str(self.file),
            "base_channels": self.base_channels,
            "size_px": self.size_px,
        }


def write_wider(weights: Path, dst: Path, times: int, size_px: int | None = None) -> WiderReport:
    """Write a generator with that many times the channels: it draws the same, to rounding.

    It is there to be trained on, alone or beside another of its shape; see `training.widen`.

    Args:
        weights: A generator's weights.
        dst: The file to write, fp32; replaced as a whole.
        times: 1 or more.
        size_px: Side of the pictures that it is for; None: as before.

    Raises:
        ParamsError: `dst` is that file, or the network does not take that size.
        CheckpointError: The file is missing, damaged or not a generator's.
        AnymusError: The file cannot be written.
    """
    require_another_file(dst, weights)
    narrow, card = load_generator(weights)
    shape = dict(narrow.arguments)
    size_px = size_px or int(shape["image_size_px"])
    require_size(shape, size_px)
    shape |= {"base_channels": times * int(shape["base_channels"]), "image_size_px": size_px}
    wide = Generator(**shape)
    widen(narrow.state_dict(), wide)
    arrays = {name: tensor.numpy() for name, tensor in wide.state_dict().items()}
    facts = {"architecture": shape, "image_size_px": size_px, "widened_from": sha256_file(weights)}
    write_weights(dst, arrays, {**card, **facts})
    return WiderReport(dst, int(shape["base_channels"]), size_px)
