"""Progress and log lines on stderr: a bar on a terminal, a line every tenth otherwise."""

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
log = logging.getLogger("anymus")


def set_up_logging(*, is_verbose: bool, is_quiet: bool) -> None:
    """Send the project's log to stderr: warnings if quiet, details of every step if verbose."""
    level = logging.DEBUG if is_verbose else logging.WARNING if is_quiet else logging.INFO
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(level)


def track(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    """Yield the items and show on stderr how many of `total` are done."""
    if log.level > logging.INFO:
        yield from items
    elif sys.stderr.isatty():
        yield from _track_on_terminal(items, title, total)
    else:
        yield from _track_by_lines(items, title, total)


def _track_on_terminal(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import track as rich_track

    console = Console(stderr=True)
    yield from rich_track(items, description=title, total=total, console=console)


def _track_by_lines(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    last_tenth = -1
    for done, item in enumerate(items, start=1):
        yield item
        tenth = 10 * done // total if total else 10
        if tenth > last_tenth:
            last_tenth = tenth
            log.info("%s: %d of %d", title, done, total)
