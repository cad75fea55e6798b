"""The door to torch: torchvision despite a CPU-only torch, the device, deterministic mode."""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import ModuleType

import torch

from anymus.errors import DeviceError
from anymus.progress import log

_BOXES = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def __getattr__(name: str) -> ModuleType:
    """Return `torchvision` on first use: `from anymus.torchlib import torchvision` works."""
    if name == "torchvision":
        return load_torchvision()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_torchvision() -> ModuleType:
    """Return the module torchvision, imported even where its compiled operators do not load.

    Wheels of torchvision made for CUDA fail to import beside a CPU-only torch, because the
    operators they describe were never registered. Declaring these two lets the import pass;
    `torchvision.ops.nms` itself then stays without an implementation. Every library that imports
    torchvision (torchmetrics) can be imported afterwards.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
    for operator in ("torchvision::nms", "torchvision::qnms"):
        torch.library.define(operator, _BOXES)
    for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[module]
    return importlib.import_module("torchvision")


def pick_device(name: str) -> torch.device:
    """Return the device of that name; `auto` takes CUDA, then MPS, then the CPU.

    Args:
        name: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.

    Raises:
        DeviceError: no such device in torch's words, or not on this machine.
    """
    if name == "auto":
        return torch.device(_best_device())
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(
            f"device {name!r} is not known", "use auto, cpu, cuda, cuda:<number> or mps"
        ) from error
    if not _is_present(device):
        raise DeviceError(
            f"device {name!r} is not on this machine ({_devices_present()})",
            "use --device auto, or cpu",
        )
    return device


def half_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which convolutions are computed in bfloat16, where that is quicker.

    On a CPU without instructions for it they stay in single precision: torch then turns every
    number back and forth (measured: `python benchmarks/refine_step.py`, docs/training.md).
    """
    if device.type == "cpu" and not _has_half_instructions():
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def _has_half_instructions() -> bool:
    """Return whether this CPU computes with bfloat16; True where torch cannot tell."""
    tell = getattr(torch.cpu, "get_capabilities", dict)  # not every torch allowed has it
    known = [bool(there) for name, there in tell().items() if "bf16" in name]
    return any(known) if known else True


def check_device(device: torch.device, *, is_compiled: bool, is_half: bool = False) -> None:
    """Find out before a long run whether the device does what is asked of it, and does it well.

    Args:
        device: Where the run is to be.
        is_compiled: Whether torch.compile makes its kernels.
        is_half: Whether convolutions are in bfloat16; a line says where a CPU is slower with it.

    Raises:
        DeviceError: There is no C++ compiler, or no Triton for a GPU.
    """
    if is_compiled:
        _require_compiler(device)
    if is_half and device.type == "cpu" and not _has_half_instructions():
        log.warning("this CPU has no bfloat16 instructions: `train.precision=fp32` is quicker")


def _require_compiler(device: torch.device) -> None:
    """Find out in seconds whether `torch.compile` makes kernels for the device.

    Raises:
        DeviceError: it does not: there is no C++ compiler, or no Triton for a GPU.
    """
    try:
        torch.compile(torch.nn.functional.gelu)(torch.ones(8, device=device))
    except RuntimeError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DeviceError(
            f"torch.compile does not work for {device} here ({reason})",
            "install a C++ compiler (g++), or do not compile",
        ) from error


@contextmanager
def deterministic(device: torch.device, *, is_on: bool = True) -> Iterator[None]:
    """Make torch choose the same operations in every run on this machine, within the block.

    On the CPU the same inputs then give the same bits for the same number of threads. On other
    devices an operation that has no such form only warns (the backward pass of adaptive means on
    CUDA is one), so results there agree to rounding. With `is_on` False nothing is asked for.
    """
    if not is_on:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    was_on = torch.are_deterministic_algorithms_enabled()
    was_warning = torch.is_deterministic_algorithms_warn_only_enabled()
    filling = vars(torch.utils)["deterministic"]  # a module object that the stubs do not describe
    was_filling = filling.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
    filling.fill_uninitialized_memory = False  # nothing here reads such memory
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was_on, warn_only=was_warning)
        filling.fill_uninitialized_memory = was_filling


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _is_present(device: torch.device) -> bool:
    if device.type == "cuda":
        return (device.index or 0) < torch.cuda.device_count()
    if device.type == "mps":
        return torch.backends.mps.is_available()
    return device.type == "cpu"


def _devices_present() -> str:
    present = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        present.append("mps")
    return "there is " + ", ".join(present)
