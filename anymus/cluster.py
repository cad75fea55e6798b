"""The engine on a Dask cluster: the same outcomes in the same order, by Dask's futures.

The workers see the same files under the same paths and run the same Anymus. A batch of items is
one task. Within it every item runs in a process of its own kind, as on one machine, so that an item
that crashes, hangs or eats memory is named at once; a batch whose Dask worker itself is lost is
given to another one, and one that keeps losing workers is halved until the item is found.
"""

import functools
import multiprocessing
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from pebble import ProcessPool

from anymus.engine import EngineOptions, Failure, isolating_pool, map_in_pool, name_item, run_item
from anymus.errors import AnymusError, DeviceError
from anymus.files import code_sha256

if TYPE_CHECKING:
    from distributed import Client, Future

Item = TypeVar("Item")
Result = TypeVar("Result")

_CONNECT_S = 5
_BATCHES_AHEAD = 2  # a slot: one is worked on, one waits
_lock = threading.Lock()


def map_on_cluster(
    function: Callable[[Item], Result], items: Iterable[Item], options: EngineOptions
) -> Iterator[Result | Failure[Item]]:
    """Yield what `engine.map_items` yields, from the workers of the cluster `options.cluster`.

    Raises:
        DeviceError: Dask is not installed, the cluster does not answer, it has no worker, or a
            worker runs another Anymus.
        AnymusError: See `engine.map_items`.
    """
    with _connect(str(options.cluster)) as client:
        slots = _count_slots(client)

        def submit(batch: tuple[Item, ...]) -> "Future":
            return client.submit(
                run_batch, function, batch, options, pure=False, retries=options.retries
            )

        stream = iter(items)
        batches = iter(lambda: tuple(islice(stream, options.batch_size)), ())
        queue = deque((batch, submit(batch)) for batch in islice(batches, slots * _BATCHES_AHEAD))
        while queue:
            outcomes = _settle(*queue.popleft(), submit)
            queue.extend((batch, submit(batch)) for batch in islice(batches, 1))
            yield from outcomes


def run_batch(
    function: Callable[[Item], Result], batch: tuple[Item, ...], options: EngineOptions
) -> list[Result | Failure[Item]]:
    """Return the outcomes of a batch; this is what a Dask worker runs."""
    if not _may_have_children():
        return [run_item(function, item) for item in batch]
    with _lock:
        pool = _pool_of_worker(options.worker_memory_mib)
    return list(map_in_pool(pool, 2, function, batch, options))


def _connect(address: str) -> "Client":
    try:
        from distributed import Client
    except ImportError as error:
        raise DeviceError(
            "engine.cluster names a cluster, but Dask is not installed",
            "pip install 'anymus[cluster]', or set engine.cluster to null",
        ) from error
    try:
        return Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise DeviceError(
            f"engine.cluster: no Dask scheduler answers at {address}",
            "start one with `dask scheduler`, or set engine.cluster to null",
        ) from error


def _count_slots(client: "Client") -> int:
    """Return how many tasks the cluster does at a time, after a look at all its workers."""
    slots = int(sum(client.nthreads().values()))
    if not slots:
        raise DeviceError(
            f"the cluster at {client.scheduler.address} has no worker",
            "start some with `dask worker ADDRESS --nthreads 1`",
        )
    try:
        found = client.run(code_sha256)
    except Exception as error:
        raise DeviceError(
            f"a worker of {client.scheduler.address} cannot run Anymus: {error}",
            "install the same Anymus there",
        ) from error
    for worker, sha256 in sorted(found.items()):
        if sha256 != code_sha256():
            raise DeviceError(
                f"the worker {worker} runs another Anymus", "install the same there, restart it"
            )
    return slots


def _settle(
    batch: tuple[Item, ...],
    future: "Future",
    submit: Callable[[tuple[Item, ...]], "Future"],
) -> list[Result | Failure[Item]]:
    """Return the outcomes of a batch; one that keeps losing its worker is halved."""
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    try:
        outcomes: list[Result | Failure[Item]] = future.result()
        return outcomes
    except KilledWorker:
        if len(batch) == 1:
            message = f"{name_item(batch[0])} ended every Dask worker that it was given to"
            return [Failure(batch[0], "worker_died", message)]
        middle = len(batch) // 2
        halves = [(half, submit(half)) for half in (batch[:middle], batch[middle:])]
        return [outcome for half in halves for outcome in _settle(*half, submit)]
    except FutureCancelledError as error:
        raise AnymusError(
            "the connection to the Dask scheduler was lost",
            "run it again: what is done is kept",
        ) from error
    finally:
        future.release()


def _may_have_children() -> bool:
    """Let this worker have processes of its own, which Dask's nanny forbids by default.

    They end with it all the same (`engine.set_up_worker`).
    """
    process: Any = multiprocessing.current_process()
    if process.daemon:
        try:
            process._config["daemon"] = False
        except (AttributeError, TypeError):
            return False
    return True


@functools.cache
def _pool_of_worker(worker_memory_mib: int | None) -> ProcessPool:
    """Return the one pool of this Dask worker; it lives, with what it has loaded, as long as it."""
    from distributed import get_worker

    return isolating_pool(get_worker().state.nthreads, worker_memory_mib)
