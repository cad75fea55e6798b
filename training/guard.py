"""What keeps a long run safe: one run a folder, and signals that end it at a step's end."""

import fcntl
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from anymus.errors import AnymusError

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock for the length of the block.

    The lock belongs to the process, not to the file: it ends with the process, however that ends,
    so a file left by a killed run stops nobody.

    Raises:
        AnymusError: another run holds it; names its process and host.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".train.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AnymusError(
                f"{folder}: another training runs here ({_holder(path)})",
                "wait for it, stop it, or give another folder (of anymus train: paths.models)",
            ) from None
        file.truncate(0)
        json.dump({"pid": os.getpid(), "host": socket.gethostname()}, file)
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "process unknown"


@dataclass
class StopRequest:
    """Whether a signal has asked the run to stop, and which."""

    signal_name: str | None = None


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turn the first SIGTERM or SIGINT into a request; a second one acts at once.

    Outside the main thread, where handlers cannot be set, signals keep their meaning.
    """
    request = StopRequest()
    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def ask(number: int, _frame: FrameType | None) -> None:
        request.signal_name = signal.Signals(number).name
        restore()

    try:
        for number in STOP_SIGNALS:
            signal.signal(number, ask)
    except ValueError:
        yield request
        return
    try:
        yield request
    finally:
        restore()
