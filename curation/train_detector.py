"""Trains the detectors of drawn faces that Anymus ships."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from anymus.files import sha256_bytes, write_bytes
from anymus.forking import without_opencv_threads
from anymus.progress import log, track
from curation.face_network import FaceNetwork
from curation.face_samples import Sample, cut_piece, draw_sample
from curation.face_targets import Wanted, assign, detection_loss, stack

SIDE_PX = 384
"""Side of the square pieces that the network learns from."""
_LR, _WEIGHT_DECAY, _MAX_GRADIENT = 2e-3, 0.02, 5.0
_WARM_UP = 0.08
_MEAN_DECAY = 0.998
"""Decay of the running mean of the weights, which is what is kept."""
_LOG_EVERY_ITER = 200


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long a detector is trained, and on what.

    Attributes:
        iterations: Steps of the optimiser (AdamW, one cycle of the learning rate).
        batch_size: Pieces in one step, `SIDE_PX` square.
        drawn_count: Pages and busts drawn to learn from.
        labelled_share: Share of the pieces that come from labelled pictures, if there are any.
    """

    iterations: int = 8000
    batch_size: int = 8
    drawn_count: int = 240
    labelled_share: float = 0.7


@dataclass(frozen=True, slots=True)
class TrainedDetector:
    """What a training ended with: the file, its hash and the last mean losses."""

    path: Path
    sha256: str
    losses: dict[str, float]

    def as_metrics(self) -> dict[str, float | str]:
        """Return the figures by name."""
        return {"sha256": self.sha256} | {f"loss_{k}": v for k, v in self.losses.items()}


def train_detector(
    seed: int, labelled: Sequence[Sample], path: Path, recipe: Recipe
) -> TrainedDetector:
    """Train on drawings of our own, and on labelled pictures if there are; write an ONNX file.

    Every piece is a function of (seed, its number). The same call gives the same bytes on the
    same machine with the same number of threads.

    Args:
        seed: Seed of the drawings, of the pieces and of the network's first weights.
        labelled: Pictures with faces labelled by hand (`read_labels`); may be empty.
        path: ONNX file to write, atomically.
        recipe: How long, and on what.
    """
    torch.manual_seed(seed)
    numbers = track(range(recipe.drawn_count), "draw pages and busts", recipe.drawn_count)
    drawn = [draw_sample(seed, number) for number in numbers]
    share = recipe.labelled_share if labelled else 0.0
    pieces = Pieces(labelled, drawn, seed, share, recipe.iterations * recipe.batch_size)
    network = FaceNetwork()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    means = torch.optim.swa_utils.AveragedModel(network, avg_fn=_mean, use_buffers=True)
    losses = _fit(network, means, pieces, recipe)
    content = export_onnx(means.module.eval())
    write_bytes(path, content)
    return TrainedDetector(path, sha256_bytes(content), losses)


class Pieces(Dataset[tuple[Tensor, Wanted]]):
    """Endless random pieces, numbered: number i is a function of the seed and i."""

    def __init__(
        self,
        labelled: Sequence[Sample],
        drawn: Sequence[Sample],
        seed: int,
        labelled_share: float,
        count: int,
    ) -> None:
        self.labelled, self.drawn = labelled, drawn
        self.seed, self.labelled_share, self.count = seed, labelled_share, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Wanted]:
        """Return a grey piece (1, SIDE_PX, SIDE_PX) in [0, 1] and what its cells should answer."""
        rng = np.random.default_rng([self.seed, 4, index])
        pool = self.labelled if rng.random() < self.labelled_share else self.drawn
        grey_u8, target = cut_piece(pool[int(rng.integers(len(pool)))], SIDE_PX, rng)
        return torch.from_numpy(grey_u8)[None].float() / 255, assign(target, SIDE_PX)


def _collate(batch: list[tuple[Tensor, Wanted]]) -> tuple[Tensor, Wanted]:
    return torch.stack([piece for piece, _ in batch]), stack([wanted for _, wanted in batch])


def _fit(
    network: FaceNetwork,
    means: torch.optim.swa_utils.AveragedModel,
    pieces: Pieces,
    recipe: Recipe,
) -> dict[str, float]:
    """Run the optimiser; return the mean losses of the last `_LOG_EVERY_ITER` steps by name."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=_LR, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, _LR, total_steps=recipe.iterations, pct_start=_WARM_UP
    )
    loader = DataLoader(pieces, recipe.batch_size, num_workers=1, collate_fn=_collate)
    with without_opencv_threads():
        batches = iter(loader)
    recent: list[dict[str, float]] = []
    network.train()
    for step, (grey, wanted) in enumerate(track(batches, "train", recipe.iterations), start=1):
        with torch.autocast("cpu", torch.bfloat16):
            cells = network(grey.contiguous(memory_format=torch.channels_last))
        loss, parts = detection_loss(cells.float(), wanted)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.parameters(), _MAX_GRADIENT)
        optimiser.step()
        schedule.step()
        means.update_parameters(network)
        recent = [*recent[-_LOG_EVERY_ITER + 1 :], parts]
        if step % _LOG_EVERY_ITER == 0:
            log.info("step %d: %s", step, _means_of(recent))
    return _means_of(recent)


def _mean(mean: Tensor, value: Tensor, count: Tensor | int) -> Tensor:
    """Return the running mean's next value; early on it follows the weights more closely."""
    if not value.is_floating_point():
        return value
    decay = min(_MEAN_DECAY, (1 + int(count)) / (10 + int(count)))
    return torch.lerp(value, mean, decay)


def _means_of(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}


def export_onnx(network: torch.nn.Module) -> bytes:
    """Return a face network as an ONNX file for grey pictures (1, 1, H, W), H and W free."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faces.onnx"
        torch.onnx.export(
            network.float(),
            (torch.zeros(1, 1, 128, 128),),
            str(path),
            input_names=["grey"],
            output_names=["cells"],
            dynamic_axes={"grey": {2: "height", 3: "width"}, "cells": {1: "count"}},
            opset_version=13,
            dynamo=False,
        )
        return path.read_bytes()
