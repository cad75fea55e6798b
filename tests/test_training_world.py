"""Several processes against one, in double precision, where only an error would differ."""

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from ruamel.yaml import YAML
from torch import Tensor

from anymus.params import read_preset
from anymus.params_train import TrainParams
from training.data import Batch
from training.diffaug import draw_numbers
from training.loop import build_networks_of, new_state
from training.stepper import Stepper
from training.world import join_world

BATCH, STEPS, SIZE_PX = 4, 4, 32


@dataclass(frozen=True)
class Job:
    """What every process is told."""

    root: Path
    size: int
    micro_batches: int = 1
    port: int = 0


def _params(micro_batches: int) -> TrainParams:
    values: dict[str, Any] = YAML(typ="safe").load(read_preset("demo"))["train"]
    values |= {"image_size_px": SIZE_PX, "load_size_px": SIZE_PX, "micro_batches": micro_batches}
    values |= {"batch_size": BATCH, "tone_weight": 2.0, "skin_weight": 2.0}
    values["augment"] = {"kinds": ["colour"], "probability": 0.5, "target_sign": None}
    values["generator"] |= {"base_channels": 2, "residual_blocks": 1}
    values["discriminator"] |= {"base_channels": 2, "global_layers": 5, "local_layers": 3}
    return TrainParams(**values)


def _train(rank: int, job: Job) -> None:
    """Do a few steps on this process's share of each batch; process 0 writes what comes out."""
    torch.set_num_threads(1)
    if job.size > 1:
        places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": job.size}
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": job.port}
        os.environ.update({name: str(value) for name, value in {**places, **where}.items()})
    params = _params(job.micro_batches)
    with join_world(torch.device("cpu")) as (world, device):
        state = new_state(params, device, world, seed=3)
        state.networks.double()
        stepper = Stepper(params, state, device, world)
        share = world.share(BATCH)
        for step in range(1, STEPS + 1):
            shape = (2, BATCH, 3, SIZE_PX, SIZE_PX)
            generator = torch.Generator().manual_seed(step)
            real_a, real_b = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
            numbers = draw_numbers(1, step, BATCH)[:, :, share]
            skin = torch.linspace(-1, 1, 2 * BATCH, dtype=torch.float64).view(2, BATCH)[:, share]
            losses = stepper(
                Batch(real_a[share], real_b[share], numbers, skin, real_a[share], []), 0.5
            )
        losses = world.mean(losses)
        if world.is_writer:
            found = {**state.networks.state_dict(), "losses": losses.double()}
            torch.save(found, job.root / f"{job.size}.pt")


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def _trained(job: Job) -> dict[str, Tensor]:
    if job.size == 1:
        _train(0, job)
    else:
        started = Job(**asdict(job) | {"port": _free_port()})
        mp.spawn(_train, args=(started,), nprocs=job.size)
    found: dict[str, Tensor] = torch.load(job.root / f"{job.size}.pt", weights_only=True)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_two_processes_are_one_with_the_whole_batch(micro_batches: int, tmp_path: Path) -> None:
    one = _trained(Job(tmp_path, 1))
    two = _trained(Job(tmp_path, 2, micro_batches))
    assert one.keys() == two.keys()
    assert {tensor.dtype for tensor in one.values()} == {torch.float64}
    # Losses are handed out in single precision.
    assert torch.allclose(one.pop("losses"), two.pop("losses"), rtol=1e-6)
    fresh = build_networks_of(_params(1), seed=3).double().state_dict()
    assert _difference(one, fresh) > 1e-4
    assert _difference(one, two) < 1e-10


def _difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)
