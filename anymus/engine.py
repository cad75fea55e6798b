"""The engine: map a function over items, in order, whatever an item does.

Processes of this machine by default; a Dask cluster where `engine.cluster` names one
(`anymus/cluster.py`). An item whose picture is bad, that crashes, hangs or eats the memory of the
process that works on it becomes a `Failure`; all the others are done.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from anymus.errors import AnymusError, ImageError, PartialError
from anymus.manifest import QUARANTINE_REASONS
from anymus.progress import log

if TYPE_CHECKING:
    from pebble import ProcessFuture, ProcessPool

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD_PER_WORKER = 8
_MIB = 1024 * 1024
_NAMED = 10
_OPENCV_NO_MEMORY = -4


class EngineOptions(Protocol):
    """What the engine reads of `params.engine`; see there."""

    @property
    def workers(self) -> int: ...  # noqa: D102
    @property
    def cluster(self) -> str | None: ...  # noqa: D102
    @property
    def batch_size(self) -> int: ...  # noqa: D102
    @property
    def retries(self) -> int: ...  # noqa: D102
    @property
    def item_timeout_s(self) -> float: ...  # noqa: D102
    @property
    def worker_memory_mib(self) -> int | None: ...  # noqa: D102
    @property
    def max_quarantined(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Failure(Generic[Item]):
    """What one item did instead of giving a result."""

    item: Item
    reason: str
    message: str

    @property
    def is_quarantined(self) -> bool:
        """Say whether the item, and not just its picture, went wrong."""
        return self.reason in QUARANTINE_REASONS


def count_workers(workers: int) -> int:
    """Return the number of processes for a parameter in which 0 means one a usable core."""
    if workers:
        return workers
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def process_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Give a plain pool for a block; what it has not begun when the block ends is dropped.

    Its workers leave Ctrl-C to this process and end when it ends.
    """
    pool = ProcessPoolExecutor(processes, _context(), initializer=set_up_worker)
    try:
        yield pool
    finally:
        # It is waited for: a pool that nobody holds any more does all that it was asked.
        pool.shutdown(cancel_futures=True)


@contextmanager
def _isolating_pool(processes: int, worker_memory_mib: int | None) -> "Iterator[ProcessPool]":
    """Give a pool for a block; a block left by an error ends what its workers are at."""
    pool = isolating_pool(processes, worker_memory_mib)
    try:
        yield pool
        pool.close()
    except BaseException:
        pool.stop()
        raise
    finally:
        pool.join()


def isolating_pool(processes: int, worker_memory_mib: int | None) -> "ProcessPool":
    """Return a pool that outlives its workers: a task that ends one is told from the others."""
    from pebble import ProcessPool

    return ProcessPool(
        max_workers=processes,
        initializer=set_up_worker,
        initargs=(worker_memory_mib,),
        context=_context(),
    )


def map_items(
    function: Callable[[Item], Result], items: Iterable[Item], options: EngineOptions
) -> Iterator[Result | Failure[Item]]:
    """Yield `function(item)` for every item, in the order of the items.

    Args:
        function: A module-level function or a `functools.partial` of one, pure and picklable.
        items: What to map over; they stream, so that a few a worker are held at a time.
        options: `workers` processes of this machine (0: one a usable core; 1: this process itself,
            which then nothing protects), or the `cluster`; how long an item may take and how much
            memory a worker.

    Yields:
        The result, or a `Failure` for an item whose picture is bad, that raised, or that ended,
        held up or filled the process that worked on it.

    Raises:
        AnymusError: A failure of the function that is not one item's own; also any OSError.
    """
    if options.cluster is not None:
        from anymus.cluster import map_on_cluster

        yield from map_on_cluster(function, items, options)
    elif options.workers == 1:
        yield from (run_item(function, item) for item in items)
    else:
        stream = iter(items)
        first = list(islice(stream, count_workers(options.workers)))
        if first:
            with _isolating_pool(len(first), options.worker_memory_mib) as pool:
                ahead = _AHEAD_PER_WORKER * len(first)
                yield from map_in_pool(pool, ahead, function, chain(first, stream), options)


def run_item(function: Callable[[Item], Result], item: Item) -> Result | Failure[Item]:
    """Return `function(item)`, or the `Failure` that its exception means."""
    try:
        return function(item)
    except ImageError as error:
        return Failure(item, error.reason, error.message)
    except (AnymusError, OSError):
        raise  # a missing library or a full disk: every item would fail alike
    except MemoryError:
        return Failure(
            item, "out_of_memory", f"{name_item(item)} needs more memory than a worker may take"
        )
    except Exception as error:  # noqa: BLE001 - of one item among many, logged and counted
        is_memory = getattr(error, "code", None) == _OPENCV_NO_MEMORY
        log.debug("%s", name_item(item), exc_info=True)
        reason = "out_of_memory" if is_memory else "crashed"
        return Failure(item, reason, f"{name_item(item)}: {type(error).__name__}: {error}")


def map_in_pool(
    pool: "ProcessPool",
    ahead: int,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    options: EngineOptions,
) -> Iterator[Result | Failure[Item]]:
    """Yield the outcomes of the items in their order, at most `ahead` of them on their way.

    An item that was being worked on when its worker died is tried `options.retries` times more.
    """

    def submit(item: Item) -> "ProcessFuture[Any]":
        return pool.schedule(run_item, args=(function, item), timeout=options.item_timeout_s)

    stream = iter(items)
    queue = deque((item, submit(item)) for item in islice(stream, ahead))
    while queue:
        item, future = queue.popleft()
        outcome = _settle(item, future, options, submit)
        queue.extend((item, submit(item)) for item in islice(stream, 1))
        yield outcome


def _settle(
    item: Item,
    future: "ProcessFuture[Any]",
    options: EngineOptions,
    submit: "Callable[[Item], ProcessFuture[Any]]",
) -> "Result | Failure[Item]":
    """Return the outcome of one item, after the tries it has."""
    from pebble import ProcessExpired

    deaths = 0
    while True:
        try:
            return cast("Result | Failure[Item]", future.result())
        except TimeoutError:
            message = f"{name_item(item)} took longer than {options.item_timeout_s:g} s"
            return Failure(item, "timed_out", message)
        except ProcessExpired as error:
            deaths += 1
            if deaths > options.retries:
                message = (
                    f"{name_item(item)} ended the process that worked on it ({error.exitcode})"
                )
                return Failure(item, "worker_died", message)
            future = submit(item)


def require_share(failed: int, total: int, max_share: float, stage: str) -> None:
    """Do nothing while at most `max_share` of the items failed.

    Raises:
        AnymusError: More failed: one bad picture is a row, a pile of them is a failed stage.
    """
    if total and failed / total > max_share:
        raise AnymusError(
            f"{stage}: {failed} of {total} pictures failed, more than {max_share:.0%}",
            "look at the reasons in its metrics, or raise max_rejected_share",
        )


def require_calm(quarantined: dict[str, str], options: EngineOptions, stage: str) -> None:
    """Do nothing while at most `engine.max_quarantined` items are in quarantine.

    Args:
        quarantined: Why, by the id of the item.
        options: `max_quarantined` is read.
        stage: What the message calls the stage.

    Raises:
        PartialError: More are; everything else is done and written.
    """
    if len(quarantined) <= options.max_quarantined:
        return
    named = ", ".join(f"{key} ({why})" for key, why in sorted(quarantined.items())[:_NAMED])
    rest = f" and {len(quarantined) - _NAMED} more" if len(quarantined) > _NAMED else ""
    raise PartialError(
        f"{stage}: all done but {len(quarantined)} in quarantine: {named}{rest}",
        "look at them, drop them in overrides.csv or raise engine.max_quarantined, and run again",
    )


def set_up_worker(memory_mib: int | None = None) -> None:
    """Make this process a worker: deaf to Ctrl-C, ended with its parent, bounded in memory."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if memory_mib is not None:
        import resource  # Unix

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = memory_mib * _MIB
        soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def name_item(item: object) -> str:
    """Return what a message calls an item: a picture by its id, anything else by itself."""
    return str(getattr(item, "id", item))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _context() -> multiprocessing.context.BaseContext:
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    return multiprocessing.get_context(method)
