"""The translator: generator weights at work on pictures."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from anymus.errors import CheckpointError, ParamsError
from anymus.framing import Framing
from anymus.images import RgbU8
from anymus.progress import log
from anymus.shipped import DEFAULT_SET, DEFAULT_SET_BACK, resolve_weights

from .engines import Engine, load_engine
from .finish import Heat
from .generator_file import require_size, weights_name
from .options import DIRECTIONS, Direction, EngineName

# Of weights that do not say how a face lay in the pictures they were trained on.
_USUAL_FACE_SHARE, _USUAL_EYE_LINE = 0.55, 0.46


class Translator:
    """Translates pictures of one size from one domain to the other.

    Calls change nothing in it, so threads may share one. The same pictures give the same bytes on
    the same machine by the same engine. Another engine may differ by a level here and there, and
    so may torch and ONNX Runtime in another batch; OpenCV does not.

    Attributes:
        direction: a2b (photo to manga) or b2a.
        size_px: Side of the square pictures that it takes: those that the network was trained on,
            unless `at_size` says otherwise.
        framing: How a face lies in them.
        card: All that the weights say about themselves, JSON values.
        engine: What runs the network; it tells the device and the batch that suits it.

    Args:
        engine: The network at work.
        card: Holds `direction` and `architecture`; `framing` with `face_share` and `eye_line`,
            where they are known.

    Raises:
        CheckpointError: The card does not say which way the network translates.
    """

    def __init__(self, engine: Engine, card: Mapping[str, Any]) -> None:
        self.card = dict(card)
        self.direction: Direction = _read_direction(card)
        self.size_px = int(card["architecture"]["image_size_px"])
        self.framing = _read_framing(card, self.size_px)
        self.engine = engine

    @classmethod
    def load(
        cls, path: Path | str, device: str = "auto", engine: EngineName = "auto"
    ) -> "Translator":
        """Return the translator of weights.

        Args:
            path: As `find_weights` takes it: a set that comes with Anymus by its name, a weights
                file, an ONNX file of `anymus export`, or a folder.
            device: auto, cpu, cuda, cuda:1 or mps.
            engine: torch, opencv, onnxruntime, or auto: what suits device and file.

        Raises:
            CheckpointError: The file is missing, damaged or not a generator's.
            DeviceError: The device or the engine is not on this machine.
            ParamsError: The engine does not run there, or does not read the file.
        """
        path = find_weights(Path(path), None)
        running, card = load_engine(path, device, engine)
        try:
            return cls(running, card)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error.message}", error.hint) from error

    def at_size(self, size_px: int) -> "Translator":
        """Return a translator of pictures of another size, by the same network.

        A larger picture shows the network more of the person, and lines come out finer in it;
        what it has learned of the style it has learned at the size of its training.

        Args:
            size_px: Side of the square pictures, as many times divisible by 2 as the network
                halves them (by 4 in all presets but `seed`).

        Raises:
            ParamsError: The network takes no such pictures.
        """
        require_size(self.card["architecture"], size_px)
        other = copy.copy(self)
        other.size_px, other.framing = size_px, _read_framing(self.card, size_px)
        return other

    @property
    def batch_size(self) -> int:
        """Return how many pictures at once suit the engine."""
        return self.engine.batch_size

    @overload
    def __call__(self, pictures: RgbU8) -> RgbU8: ...

    @overload
    def __call__(self, pictures: Sequence[RgbU8]) -> list[RgbU8]: ...

    def __call__(self, pictures: RgbU8 | Sequence[RgbU8]) -> RgbU8 | list[RgbU8]:
        """Return the translation of one `rgb_u8` picture, or of several in one forward pass.

        Args:
            pictures: One picture (size_px, size_px, 3), or a sequence of them.

        Raises:
            ParamsError: A picture is not of that size.
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
        x_signed = np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32, order="C")
        x_signed /= np.float32(127.5)
        x_signed -= np.float32(1)
        image, heatmap = self.engine(x_signed)
        if not np.isfinite(image).all():
            raise CheckpointError("the weights give values that are no numbers", "train them again")
        levels = np.rint((image + np.float32(1)) * np.float32(127.5)).clip(0, 255).astype(np.uint8)
        return list(np.ascontiguousarray(levels.transpose(0, 2, 3, 1))), list(heatmap[:, 0])


def find_weights(weights: Path | None, direction: Direction | None) -> Path:
    """Return the weights file to use.

    Args:
        weights: A set that comes with Anymus, such as `drawn`, even where a path has that name;
            a file; or a folder with `generator_a2b.safetensors` and `generator_b2a.safetensors`.
            None: `drawn`, and for b2a `drawn-small`.
        direction: Which of a set's or a folder's two; None: a2b.

    Raises:
        CheckpointError: There is no such file, or the set's files are damaged.
    """
    default = DEFAULT_SET_BACK if direction == "b2a" else DEFAULT_SET
    path = resolve_weights(weights or Path(default))
    if path.is_dir():
        path = path / weights_name(direction or "a2b")
    if not path.is_file():
        raise CheckpointError(
            f"no generator weights at {path}",
            f"`-g {DEFAULT_SET}` comes with Anymus; `dvc repro` trains some: `-g models`",
        )
    return path


def load_translator(
    path: Path, direction: Direction | None, device: str = "auto", engine: EngineName = "auto"
) -> Translator:
    """Return the translator of a weights file that goes in a direction, None for any.

    Raises:
        CheckpointError: The file is unusable, or translates the other way.
        DeviceError: The device or the engine is not on this machine.
        ParamsError: The engine does not run there, or does not read the file.
    """
    translator = Translator.load(path, device, engine)
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
