"""Engines: what runs a generator. OpenCV's on a CPU, torch on the rest, ONNX Runtime on request.

Why these: docs/decisions/0013-engines-of-conversion.md.
"""

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.errors import CheckpointError, DeviceError, ParamsError
from training.weights_file import GENERATOR_KIND, Arrays, Facts, read_arrays

from .onnx_file import ONNX_SUFFIX, read_onnx
from .onnx_graph import HEATMAP, IMAGE, INPUT, build_graph
from .options import EngineName

if TYPE_CHECKING:
    from training.networks import Generator

Signed = NDArray[np.float32]

_ACCELERATOR_BATCH_SIZE = 8
# OpenCV's importer copies a graph several times; above this the time until the first picture and
# the memory are more than torch's.
_MAX_LIGHT_BYTES = 512 * 2**20
# What a driver of an accelerator that torch knows puts into a Linux machine.
_GPU_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")


class Engine(Protocol):
    """A generator at work; may be shared by threads.

    Attributes:
        name: torch, opencv or onnxruntime.
        device: Where it runs, in torch's words.
        batch_size: Pictures at once that suit it: on a CPU more than one gain nothing.
    """

    name: str
    device: str
    batch_size: int

    def __call__(self, x_signed: Signed) -> tuple[Signed, Signed]:
        """Return translations (N, 3, H, W) in [-1, 1] and attention maps (N, 1, h, w).

        Args:
            x_signed: Pictures (N, 3, H, W) in [-1, 1].

        Raises:
            DeviceError: The device has not enough memory for the batch.
        """
        ...


class TorchEngine:
    """A generator run by torch, on any device.

    Args:
        generator: Is moved there, and set to eval mode.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        DeviceError: The device is not on this machine.
    """

    name = "torch"

    def __init__(self, generator: "Generator", device: str = "auto") -> None:
        import torch

        from anymus.torchlib import pick_device
        from training.layers import Forms, set_forms

        self._device = pick_device(device)
        is_cpu = self._device.type == "cpu"
        layout = torch.channels_last if is_cpu else torch.contiguous_format
        set_forms(generator, Forms(is_norm_fused=True, is_folded=True))
        self.generator = generator.to(self._device).to(memory_format=layout)  # type: ignore[call-overload]
        self.generator.eval().requires_grad_(False)
        self.device = str(self._device)
        self.batch_size = 1 if is_cpu else _ACCELERATOR_BATCH_SIZE

    def __call__(self, x_signed: Signed) -> tuple[Signed, Signed]:
        """See `Engine`."""
        import torch

        with torch.inference_mode():
            x = torch.from_numpy(x_signed).to(self._device)
            try:
                translated = self.generator(x)
            except torch.OutOfMemoryError as error:
                raise DeviceError(
                    f"not enough memory on {self.device} for {len(x)} pictures at once",
                    "use a smaller --batch, or --device cpu",
                ) from error
            image, heatmap = (
                y.float().cpu().numpy() for y in (translated.image, translated.heatmap)
            )
            return image, heatmap


class OpenCvEngine:
    """A generator's ONNX graph run by OpenCV, on the CPU; the bits do not depend on the batch.

    Args:
        graph: The ONNX file's bytes.

    Raises:
        CheckpointError: OpenCV cannot read the graph.
    """

    name, device, batch_size = "opencv", "cpu", 1

    def __init__(self, graph: bytes) -> None:
        try:
            self._network = cv2.dnn.readNetFromONNX(np.frombuffer(graph, np.uint8))
        except cv2.error as error:
            raise CheckpointError(
                f"OpenCV cannot read the graph: {error.err}", "use --engine torch or onnxruntime"
            ) from error
        self._lock = threading.Lock()  # a network of OpenCV holds the maps of its last pass

    def __call__(self, x_signed: Signed) -> tuple[Signed, Signed]:
        """See `Engine`."""
        with self._lock:
            self._network.setInput(x_signed, INPUT)
            image, heatmap = self._network.forward([IMAGE, HEATMAP])
            return np.array(image, np.float32), np.array(heatmap, np.float32)


class OnnxRuntimeEngine:
    """A generator's ONNX graph run by ONNX Runtime, on the CPU.

    Args:
        graph: The ONNX file's bytes.

    Raises:
        DeviceError: ONNX Runtime is not installed.
    """

    name, device, batch_size = "onnxruntime", "cpu", 1

    def __init__(self, graph: bytes) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise DeviceError(
                "ONNX Runtime is not installed", 'pip install "anymus[onnx]", or leave --engine out'
            ) from error
        self._session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def __call__(self, x_signed: Signed) -> tuple[Signed, Signed]:
        """See `Engine`."""
        image, heatmap = self._session.run([IMAGE, HEATMAP], {INPUT: x_signed})
        return image, heatmap


def load_engine(
    path: Path, device: str = "auto", name: EngineName = "auto"
) -> tuple[Engine, Facts]:
    """Return a generator from a weights file or an ONNX file at work, and its facts.

    Args:
        path: What `anymus train` or `anymus export` wrote.
        device: auto, cpu, cuda, cuda:1 or mps.
        name: auto takes OpenCV on a CPU, unless the file is large, and torch elsewhere.

    Raises:
        CheckpointError: The file is missing, damaged or not a generator's.
        DeviceError: The device, or the engine, is not on this machine.
        ParamsError: The engine does not run on the device, or does not read the file.
    """
    is_onnx = path.suffix.lower() == ONNX_SUFFIX
    if name == "auto":
        name = "opencv" if is_onnx or _is_light(path, device) else "torch"
    if name == "torch":
        return _load_torch(path, device)
    if device not in ("auto", "cpu"):
        raise ParamsError(
            f"the engine {name} runs on the CPU, not on {device}",
            "leave --engine out, and give a .safetensors file with -g",
        )
    graph, facts = read_onnx(path) if is_onnx else _graph_of_weights(path)
    engine = OpenCvEngine if name == "opencv" else OnnxRuntimeEngine
    return engine(graph), facts


def require_numbers(path: Path, arrays: Arrays) -> None:
    """Do nothing for weights that are all finite; OpenCV would make a picture of the others, too.

    Raises:
        CheckpointError: One is NaN or infinite.
    """
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise CheckpointError(
                f"{path}: {name} holds values that are no numbers", "train them again"
            )


def _load_torch(path: Path, device: str) -> tuple[Engine, Facts]:
    if path.suffix.lower() == ONNX_SUFFIX:
        raise ParamsError(
            f"torch does not run the ONNX file {path}",
            "leave --engine out, or give a .safetensors file with -g",
        )
    from training.checkpoint import load_generator

    generator, facts = load_generator(path)
    return TorchEngine(generator, device), facts


def _graph_of_weights(path: Path) -> tuple[bytes, Facts]:
    """Return the ONNX graph of a weights file, and the file's facts."""
    arrays, facts = read_arrays(path, kind=GENERATOR_KIND)
    require_numbers(path, arrays)
    try:
        return build_graph(arrays, facts["architecture"]).SerializeToString(), facts
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path}: its weights do not fit its architecture: {error}"
        ) from error


def _is_light(path: Path, device: str) -> bool:
    """Return whether weights shall be run by OpenCV."""
    if path.is_file() and path.stat().st_size > _MAX_LIGHT_BYTES:
        return False
    return device == "cpu" or (device == "auto" and not _has_accelerator())


def _has_accelerator() -> bool:
    """Return whether torch finds an accelerator; without asking it where there can be none."""
    if sys.platform == "linux" and not any(Path(name).exists() for name in _GPU_FILES):
        return False
    from anymus.torchlib import pick_device

    return pick_device("auto").type != "cpu"
