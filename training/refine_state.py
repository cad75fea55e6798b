"""What a refinement keeps while it runs, so that it goes on where it was cut.

It lies in a folder of its own beside the result, named after all that determines the weights, and
goes when they are written. On a CPU a run that went on ends with the bits of one that was not cut.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from anymus.errors import CheckpointError
from anymus.progress import log

from .checkpoint import adam_tensors, load_adam, read_tensors, write_tensors
from .lessons import Lesson
from .networks import Generator
from .sitters import MaskU8
from .weights_file import read_arrays, write_arrays

STATE_KIND, LESSONS_KIND = "refinement", "lessons"


@dataclass
class RefineState:
    """All that a refinement has to remember beside its lessons."""

    generator: Generator
    mean: Generator
    judges: nn.ModuleList
    optimizer: torch.optim.Optimizer
    judges_optimizer: torch.optim.Optimizer
    step: int
    """The iteration that was done last; 0 and less: of the discriminators' warm-up."""


@dataclass(frozen=True)
class RefineFolder:
    """Where one refinement keeps its lessons and its state."""

    path: Path

    @property
    def state_path(self) -> Path:
        """Return where the newest state lies."""
        return self.path / "state.safetensors"

    @property
    def lessons_path(self) -> Path:
        """Return where the lessons lie."""
        return self.path / "lessons.safetensors"

    @contextmanager
    def kept_if_used(self) -> Iterator[None]:
        """Delete it after the block if nothing was kept in it."""
        try:
            yield
        finally:
            if not (self.state_path.exists() or self.lessons_path.exists()):
                self.remove()

    def remove(self) -> None:
        """Delete it and all that was kept."""
        shutil.rmtree(self.path, ignore_errors=True)


def folder_of(dst: Path, facts: Mapping[str, Any]) -> RefineFolder:
    """Return the folder, beside the result, of the refinement that these facts determine."""
    text = json.dumps(facts, sort_keys=True)
    return RefineFolder(dst.parent / f"refine-{hashlib.sha256(text.encode()).hexdigest()[:12]}")


def keep_lessons(folder: RefineFolder, make: Callable[[], list[Lesson]]) -> list[Lesson]:
    """Return the lessons that were kept, or make them and keep them.

    Raises:
        OSError: They cannot be written.
    """
    if folder.lessons_path.exists():
        try:
            arrays, facts = read_arrays(folder.lessons_path, kind=LESSONS_KIND)
            columns = (
                arrays["photos"], arrays["drawings"], facts["has_face"], facts["is_hard"],
                [mask if mask.any() else None for mask in arrays["sitters"]],
                facts["grey_odds"],
            )  # fmt: skip
            return [Lesson(*row) for row in zip(*columns, strict=True)]
        except CheckpointError as error:
            log.warning("%s; drawing them again", error)
    lessons = make()
    arrays = {
        "photos": np.stack([lesson.photo for lesson in lessons]),
        "drawings": np.stack([lesson.drawing for lesson in lessons]),
        "sitters": np.stack([_mask(lesson) for lesson in lessons]),
    }
    facts = {
        "kind": LESSONS_KIND,
        "has_face": [lesson.has_face for lesson in lessons],
        "is_hard": [lesson.is_hard for lesson in lessons],
        "grey_odds": [lesson.grey_odds for lesson in lessons],
    }
    write_arrays(folder.lessons_path, arrays, facts)
    return lessons


def _mask(lesson: Lesson) -> MaskU8:
    """Return who is in the photo, (H, W); 0 everywhere where that is not known."""
    return np.zeros(lesson.photo.shape[:2], np.uint8) if lesson.sitter is None else lesson.sitter


def save_state(folder: RefineFolder, state: RefineState) -> None:
    """Write the state in the place of an older one, whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    facts = {"kind": STATE_KIND, "step": state.step}
    write_tensors(folder.state_path, dict(_tensors(state)), facts)


def load_state(folder: RefineFolder, state: RefineState) -> None:
    """Load the state that was kept, if there is one that is whole."""
    if not folder.state_path.exists():
        return
    try:
        tensors, facts = read_tensors(folder.state_path, kind=STATE_KIND)
    except CheckpointError as error:
        log.warning("%s; beginning again", error)
        return
    with torch.no_grad():
        for name, tensor in _network_tensors(state):
            tensor.copy_(tensors[name])
    for prefix, optimizer in _optimizers(state):
        load_adam(optimizer, {k.removeprefix(f"{prefix}."): t for k, t in tensors.items()})
    state.step = facts["step"]
    log.info("going on from step %d (%s)", state.step, folder.state_path)


def _tensors(state: RefineState) -> Iterator[tuple[str, Tensor]]:
    yield from _network_tensors(state)
    for prefix, optimizer in _optimizers(state):
        yield from adam_tensors(prefix, optimizer)


def _network_tensors(state: RefineState) -> Iterator[tuple[str, Tensor]]:
    for prefix in ("generator", "mean", "judges"):
        for name, tensor in getattr(state, prefix).state_dict().items():
            yield f"{prefix}.{name}", tensor


def _optimizers(state: RefineState) -> Sequence[tuple[str, torch.optim.Optimizer]]:
    return (("adam", state.optimizer), ("adam_judges", state.judges_optimizer))
