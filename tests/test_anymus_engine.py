"""The engine gives every result once, in order, and quarantines what kills a worker."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anymus.engine import Failure, map_items, require_share
from anymus.errors import AnymusError, ImageError


def _work(item: int) -> int:
    if item == 7:
        raise ImageError("no picture", reason="truncated")
    if item == 11:
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_and_a_bad_picture_is_a_failure(workers: int) -> None:
    outcomes = list(map_items(_work, range(11), workers))
    assert outcomes[7] == Failure(7, "truncated", "no picture")
    assert [o for o in outcomes if not isinstance(o, Failure)] == [
        i * i for i in range(11) if i != 7
    ]


def test_an_item_that_kills_its_worker_is_named_and_the_rest_is_done() -> None:
    outcomes = list(map_items(_work, range(40), 2))
    assert len(outcomes) == 40
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    assert [(f.item, f.reason) for f in failures] == [(7, "truncated"), (11, "worker_died")]
    assert outcomes[39] == 39 * 39


def _fail(item: int) -> int:
    raise AnymusError(f"stop at {item}", "mend it")


@pytest.mark.parametrize("workers", [1, 2])
def test_another_error_stops_the_stage_with_its_hint(workers: int) -> None:
    with pytest.raises(AnymusError) as caught:
        list(map_items(_fail, range(4), workers))
    assert caught.value.hint == "mend it"


def test_a_pile_of_failures_fails_the_stage() -> None:
    require_share(2, 10, 0.2, "detect")
    with pytest.raises(AnymusError, match="3 of 10"):
        require_share(3, 10, 0.2, "detect")


def _sleep(item: int) -> int:
    os.write(1, f"{os.getpid()}\n".encode())  # one write: print may mix the lines of two workers
    time.sleep(120)
    return item


@pytest.mark.timeout(60)  # half of what the workers would sleep
def test_workers_end_with_a_killed_parent() -> None:
    code = (
        "from anymus.engine import map_items; from test_anymus_engine import _sleep;"
        "list(map_items(_sleep, range(4), 2))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in range(2)]
        finally:
            process.kill()
        rest = process.stdout.read()  # comes when the last worker has closed its end of the pipe
    assert len({int(line) for line in lines}) == 2
    assert rest == ""
