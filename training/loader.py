"""The next batches, prepared by threads while one is trained on."""

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from .data import Batch, UnpairedBatches

AHEAD_PER_WORKER = 2


class BatchLoader:
    """Hands out the batches of consecutive steps; use it in a `with` block.

    Reading, decoding and resizing release the interpreter's lock, so threads are enough. A batch is
    a function of its step: the order in which threads finish changes nothing.

    Attributes:
        waited_s: seconds that `at` waited for a batch, in all.
    """

    def __init__(self, batches: UnpairedBatches, *, last_step: int, workers: int) -> None:
        self.batches = batches
        self.last_step = last_step
        self.waited_s = 0.0
        self._ahead = AHEAD_PER_WORKER * workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="batches")
        self._queue: deque[tuple[int, Future[Batch]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def at(self, step: int) -> Batch:
        """Return the batch of a step and begin to prepare those after it.

        Raises:
            ImageError: a picture cannot be read any more.
        """
        if not self._queue or self._queue[0][0] != step:
            self._queue.clear()
        first = self._queue[-1][0] + 1 if self._queue else step
        for ahead in range(first, min(step + self._ahead, self.last_step) + 1):
            self._queue.append((ahead, self._pool.submit(self.batches.at, ahead)))
        _, future = self._queue.popleft()
        started_s = time.monotonic()
        try:
            return future.result()
        finally:
            self.waited_s += time.monotonic() - started_s
