"""Work done ahead in threads, so that decoding, network and encoding overlap."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
U = TypeVar("U")

_POLL_S = 0.1
_END = object()


def map_ahead(
    pool: ThreadPoolExecutor, function: Callable[[T], U], items: Iterable[T], depth: int
) -> Iterator[U]:
    """Yield `function(item)` in order, at most `depth` items ahead of the consumer."""
    futures: deque[Future[U]] = deque()
    for item in items:
        futures.append(pool.submit(function, item))
        if len(futures) > depth:
            yield futures.popleft().result()
    while futures:
        yield futures.popleft().result()


def run_ahead(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """Yield the items, which a thread of their own makes at most `depth` ahead of the consumer.

    An error of the items is raised to the consumer in its place. When the consumer leaves early,
    the thread ends after the item that it is at, and the items are closed in it.
    """
    made: queue.Queue[Any] = queue.Queue(max(1, depth))
    is_left = threading.Event()
    thread = threading.Thread(target=_produce, args=(items, made, is_left), daemon=True)
    thread.start()
    try:
        while (outcome := made.get()) is not _END:
            if isinstance(outcome, _Raised):
                raise outcome.error
            yield outcome
    finally:
        is_left.set()
        thread.join()


@contextmanager
def pool_of(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of threads; when the block is left early, what has not begun never does."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def _produce(items: Iterable[Any], made: "queue.Queue[Any]", is_left: threading.Event) -> None:
    try:
        for item in items:
            if not _put(made, item, is_left):
                return
        _put(made, _END, is_left)
    except BaseException as error:  # noqa: BLE001 - the consumer raises it
        _put(made, _Raised(error), is_left)
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()


def _put(made: "queue.Queue[Any]", item: Any, is_left: threading.Event) -> bool:
    """Hand an item over; False when nobody takes items any more."""
    while not is_left.is_set():
        try:
            made.put(item, timeout=_POLL_S)
        except queue.Full:
            continue
        return True
    return False
