"""The engine: map a function over items on this machine's cores, in order, whatever an item does.

An item that raises, or that kills its worker process, becomes a `Failure`; all the others are done.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Generic, TypeVar

from anymus.errors import AnymusError, ImageError

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD_PER_WORKER = 8


@dataclass(frozen=True, slots=True)
class Failure(Generic[Item]):
    """What one item did instead of giving a result."""

    item: Item
    reason: str
    message: str


def count_workers(workers: int) -> int:
    """Return the number of processes for a parameter in which 0 means one a usable core."""
    if workers:
        return workers
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def process_pool(processes: int) -> ProcessPoolExecutor:
    """Return a pool whose workers leave Ctrl-C to this process and end when it ends, however."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    return ProcessPoolExecutor(processes, context, initializer=_set_up_worker)


def map_items(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[Result | Failure[Item]]:
    """Yield `function(item)` for every item, in the order of the items.

    Args:
        function: A module-level function or a `functools.partial` of one, pure and picklable.
        items: What to map over; results stream, at most a few items a worker are in flight.
        workers: Number of processes; 1 stays in this process, 0 takes one a usable core.

    Yields:
        The result, or a `Failure` for an item whose picture is bad or that killed its worker.

    Raises:
        AnymusError: Any failure of the function that is not one picture's own.
    """
    processes = min(count_workers(workers), len(items))
    if processes <= 1:
        yield from (_run_here(function, item) for item in items)
        return
    done = 0
    while done < len(items):
        with process_pool(processes) as pool:
            for outcome in _stream(pool, function, items[done:], processes):
                if outcome is None:
                    break
                done += 1
                yield outcome
        if done < len(items):  # a worker died: find out alone whether it was this item's doing
            yield _run_alone(function, items[done])
            done += 1


def _stream(
    pool: ProcessPoolExecutor,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    processes: int,
) -> Iterator[Result | Failure[Item] | None]:
    """Yield outcomes in order; None, as the last, when the pool is broken."""
    queue: list[tuple[Item, Future[Result]]] = []
    position = 0
    while queue or position < len(items):
        try:
            while position < len(items) and len(queue) < processes * _AHEAD_PER_WORKER:
                queue.append((items[position], pool.submit(function, items[position])))
                position += 1
        except BrokenProcessPool:
            pass  # the first unfinished future says so below
        item, future = queue.pop(0)
        try:
            yield future.result()
        except ImageError as error:
            yield Failure(item, error.reason, error.message)
        except BrokenProcessPool:
            yield None
            return


def _run_here(function: Callable[[Item], Result], item: Item) -> Result | Failure[Item]:
    try:
        return function(item)
    except ImageError as error:
        return Failure(item, error.reason, error.message)


def _run_alone(function: Callable[[Item], Result], item: Item) -> Result | Failure[Item]:
    with process_pool(1) as pool:
        try:
            return pool.submit(function, item).result()
        except ImageError as error:
            return Failure(item, error.reason, error.message)
        except BrokenProcessPool:
            return Failure(item, "worker_died", f"{item} ended the process that worked on it")


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


def _set_up_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
