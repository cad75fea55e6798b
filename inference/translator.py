"""The translator: generator weights at work on pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch

from anymus.errors import CheckpointError, DeviceError, ParamsError
from anymus.framing import Framing
from anymus.images import RgbU8
from anymus.progress import log
from anymus.torchlib import pick_device
from training.checkpoint import load_generator
from training.networks import Generator, Translated

from .finish import Heat
from .options import DIRECTIONS, Direction

DEFAULT_FOLDER = Path("models")
# Of weights that do not say how a face lay in the pictures they were trained on.
_USUAL_FACE_SHARE, _USUAL_EYE_LINE = 0.55, 0.46
_ACCELERATOR_BATCH_SIZE = 8


class Translator:
    """Translates pictures of the training size from one domain to the other.

    Calls change nothing in it, so threads may share one. The same pictures give the same bytes on
    the same machine; in another batch a value may differ by its last level.

    Attributes:
        direction: a2b (photo to manga) or b2a.
        size_px: Side of the square pictures that the network was trained on.
        framing: How a face lies in them.
        card: All that the weights say about themselves, JSON values.
        device: Where the network runs.
        batch_size: How many pictures at once suit it: on a CPU more than one gain nothing.

    Args:
        generator: The network.
        card: Holds `direction`; `framing` with `face_share` and `eye_line`, where they are known.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        CheckpointError: The card does not say which way the network translates.
        DeviceError: The device is not on this machine.
    """

    def __init__(self, generator: Generator, card: Mapping[str, Any], device: str = "auto") -> None:
        self.card = dict(card)
        self.direction: Direction = _read_direction(card)
        self.size_px = int(generator.arguments["image_size_px"])
        self.framing = _read_framing(card, self.size_px)
        self.device = pick_device(device)
        self.batch_size = 1 if self.device.type == "cpu" else _ACCELERATOR_BATCH_SIZE
        self._generator = generator.to(self.device).eval().requires_grad_(False)

    @classmethod
    def load(cls, path: Path | str, device: str = "auto") -> "Translator":
        """Return the translator of a weights file.

        Raises:
            CheckpointError: The file is missing, damaged or not a generator's.
            DeviceError: The device is not on this machine.
        """
        generator, card = load_generator(Path(path))
        try:
            return cls(generator, card, device)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error.message}", error.hint) from error

    @overload
    def __call__(self, pictures: RgbU8) -> RgbU8: ...

    @overload
    def __call__(self, pictures: Sequence[RgbU8]) -> list[RgbU8]: ...

    def __call__(self, pictures: RgbU8 | Sequence[RgbU8]) -> RgbU8 | list[RgbU8]:
        """Return the translation of one `rgb_u8` picture, or of several in one forward pass.

        Args:
            pictures: One picture (size_px, size_px, 3), or a sequence of them.

        Raises:
            ParamsError: A picture is not of the training size.
            CheckpointError: The weights give values that are no numbers.
            DeviceError: The device has not enough memory for the batch.
        """
        if isinstance(pictures, np.ndarray):
            return self._translate([pictures])[0][0]
        return self._translate(pictures)[0] if pictures else []

    def attend(self, pictures: Sequence[RgbU8]) -> tuple[list[RgbU8], list[Heat]]:
        """Return the translations of pictures, and where the network looked in each.

        Args:
            pictures: Pictures (size_px, size_px, 3).

        Returns:
            The translations, and heat maps (h, w) float32: the class activation map, without a
            range of its own.

        Raises:
            ParamsError: As for a call.
            CheckpointError: As for a call.
            DeviceError: As for a call.
        """
        return self._translate(pictures) if pictures else ([], [])

    def _translate(self, pictures: Sequence[RgbU8]) -> tuple[list[RgbU8], list[Heat]]:
        for picture in pictures:
            if picture.shape != (self.size_px, self.size_px, 3):
                raise ParamsError(
                    f"a picture of shape {picture.shape}, the weights take"
                    f" ({self.size_px}, {self.size_px}, 3)",
                    "resize it, or convert it with `anymus convert`",
                )
        with torch.inference_mode():
            batch = torch.from_numpy(np.stack(pictures)).to(self.device)
            x_signed = batch.permute(0, 3, 1, 2).float() / 127.5 - 1.0  # (N, 3, H, W)
            translated = self._forward(x_signed)
            rgb = ((translated.image + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
            pictures_out = list(rgb.permute(0, 2, 3, 1).contiguous().cpu().numpy())
            return pictures_out, list(translated.heatmap[:, 0].float().cpu().numpy())

    def _forward(self, x_signed: torch.Tensor) -> Translated:
        try:
            translated: Translated = self._generator(x_signed)
        except torch.OutOfMemoryError as error:
            raise DeviceError(
                f"not enough memory on {self.device} for {len(x_signed)} pictures at once",
                "use a smaller --batch, or --device cpu",
            ) from error
        if not torch.isfinite(translated.image).all():
            raise CheckpointError("the weights give values that are no numbers", "train them again")
        return translated


def find_weights(weights: Path | None, direction: Direction | None) -> Path:
    """Return the weights file to use.

    Args:
        weights: A file, or a folder with `generator_a2b.safetensors` and
            `generator_b2a.safetensors`; None: the folder `models`.
        direction: Which of a folder's two; None: a2b.

    Raises:
        CheckpointError: There is no such file.
    """
    path = DEFAULT_FOLDER if weights is None else weights
    if weights is None or path.is_dir():
        path = path / f"generator_{direction or 'a2b'}.safetensors"
    if not path.is_file():
        raise CheckpointError(
            f"no generator weights at {path}",
            "run `dvc repro` to train them, or name a file with -g",
        )
    return path


def load_translator(path: Path, direction: Direction | None, device: str = "auto") -> Translator:
    """Return the translator of a weights file that goes in a direction, None for any.

    Raises:
        CheckpointError: The file is unusable, or translates the other way.
        DeviceError: The device is not on this machine.
    """
    translator = Translator.load(path, device)
    if direction not in (None, translator.direction):
        raise CheckpointError(
            f"{path} translates {translator.direction}, --direction asks for {direction}",
            "leave --direction out, or name the other weights with -g",
        )
    return translator


def _read_direction(card: Mapping[str, Any]) -> Direction:
    for direction in DIRECTIONS:
        if card.get("direction") == direction:
            return direction
    raise CheckpointError(
        f"the weights' direction is {card.get('direction')!r}, not one of {', '.join(DIRECTIONS)}",
        "use weights that `anymus train` wrote",
    )


def _read_framing(card: Mapping[str, Any], size_px: int) -> Framing:
    framing = card.get("framing")
    if framing is None:
        log.warning("the weights do not say how faces were framed, the usual framing is taken")
        return Framing(size_px, _USUAL_FACE_SHARE, _USUAL_EYE_LINE)
    try:
        return Framing(size_px, float(framing["face_share"]), float(framing["eye_line"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the weights' framing is {framing!r}, without face_share and eye_line",
            "use weights that `anymus train` wrote",
        ) from error
