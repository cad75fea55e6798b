"""How far a crawl is, on stderr: one live line on a terminal, else a line now and then."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from anymus.progress import log

from .job import CrawlProgress

_LINE_EVERY_S = 10.0


class Meter:
    """Shows pages, pictures, refusals and the rate of one crawl."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._began = time.monotonic()
        self._said_at = self._began

    def show(self, progress: CrawlProgress) -> None:
        """Show a crawl's progress."""
        now = time.monotonic()
        if now - self._said_at >= _LINE_EVERY_S:
            self._said_at = now
            log.info("%s: %s", self._title, self.describe(progress))

    def describe(self, progress: CrawlProgress) -> str:
        """Return the progress in words."""
        seconds = max(time.monotonic() - self._began, 0.001)
        waiting = "" if progress.waiting is None else f", {progress.waiting} waiting for any of us"
        return (
            f"{_count(progress.pages, 'page')}, {_count(progress.pictures, 'picture')} "
            f"({progress.size_bytes / 1e6:.1f} MB), {progress.rejected} refused, "
            f"{progress.pictures / seconds:.1f} a second{waiting}"
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class _LiveMeter(Meter):
    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.status import Status

        super().__init__(title)
        self.status = Status(f"{title}: reading robots.txt", console=Console(stderr=True))

    def show(self, progress: CrawlProgress) -> None:
        """Show a crawl's progress."""
        self.status.update(f"{self._title}: {self.describe(progress)}")


@contextmanager
def measure(title: str) -> Iterator[Meter]:
    """Give a meter for the time of a crawl."""
    if log.level > logging.INFO or not sys.stderr.isatty():
        yield Meter(title)
        return
    meter = _LiveMeter(title)
    with meter.status:
        yield meter
