"""Several processes that train one set of networks, started by torchrun; or one, started plainly.

Plain DistributedDataParallel, one wrapper a network (docs/decisions/0012). Every process takes its
share of each batch and averages gradients, so the result is that of one process with the whole
batch. Process 0 alone writes files.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from anymus.errors import AnymusError, ParamsError

TIMEOUT = timedelta(minutes=30)  # process 0 may score and save while the others wait


@dataclass(frozen=True)
class World:
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1

    @property
    def is_writer(self) -> bool:
        """Return whether this process writes files."""
        return self.rank == 0

    def share(self, batch_size: int) -> slice:
        """Return this process's part of a batch.

        Raises:
            ParamsError: the batch cannot be cut into equal parts.
        """
        if batch_size % self.size:
            raise ParamsError(
                f"train.batch_size {batch_size} is no multiple of the {self.size} processes",
                f"use -S train.batch_size={self.size * max(1, batch_size // self.size)}",
            )
        own = batch_size // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes; the same in each of them."""
        if self.size == 1:
            return values
        values = values.clone()
        dist.all_reduce(values)
        return values / self.size

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network in a wrapper that averages its gradients over the processes.

        Buffers are left alone: singular vectors follow from the weights, alike everywhere, and a
        broadcast would write into them while a pass still waits for its backward.
        """
        if self.size == 1:
            return network
        with warnings.catch_warnings():  # its other name is not in all versions that we take
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            return DistributedDataParallel(network, broadcast_buffers=False)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def join_world(device: torch.device) -> Iterator[tuple[World, torch.device]]:
    """Join the processes that torchrun started; give this one's place and device.

    Reads RANK, WORLD_SIZE and LOCAL_RANK, as torchrun sets them; without them there is one process
    and nothing is joined. When one process ends, the others end with an error in seconds: training
    has to be started again from outside (`torchrun --max-restarts` may hang with gloo).

    Raises:
        AnymusError: another process has ended, or cannot be reached any more.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(), device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=TIMEOUT)
    world = World(dist.get_rank(), dist.get_world_size())
    try:
        yield world, device
    except RuntimeError as error:
        if not _is_of_connection(error):
            raise
        raise AnymusError(
            f"process {world.rank} of {world.size}: another one has ended, or cannot be reached",
            "see its own message, then run the same command again: it goes on from the last"
            " checkpoint",
        ) from error
    finally:
        dist.destroy_process_group()


def _is_of_connection(error: RuntimeError) -> bool:
    """Return whether a collective operation failed; gloo's errors have no class of their own."""
    return isinstance(error, dist.DistError) or "gloo/transport" in str(error)
