"""The engine gives every result once, in order, and quarantines what harms a worker."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from anymus.engine import Failure, map_items, process_pool, require_calm, require_share
from anymus.errors import AnymusError, ImageError, PartialError
from anymus.params import EngineParams

OPTIONS = EngineParams(
    workers=2,
    cluster=None,
    batch_size=8,
    retries=1,
    item_timeout_s=60.0,
    worker_memory_mib=2048,
    max_quarantined=0,
)


def _options(**values: object) -> EngineParams:
    return OPTIONS.model_copy(update=values)


def _work(item: int) -> int:
    if item == 7:
        raise ImageError("no picture", reason="truncated")
    if item == 9:
        raise ValueError("a bug")
    return item * item


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_and_a_bad_picture_is_a_failure(workers: int) -> None:
    outcomes = list(map_items(_work, iter(range(30)), _options(workers=workers)))
    assert outcomes[7] == Failure(7, "truncated", "no picture")
    assert outcomes[9] == Failure(9, "crashed", "9: ValueError: a bug")
    assert [o for o in outcomes if not isinstance(o, Failure)] == [
        i * i for i in range(30) if i not in (7, 9)
    ]


def _harm(once: Path, item: int) -> int:
    if item == 3:
        ctypes.string_at(0)  # a segmentation fault
    if item == 11:
        time.sleep(600)
    if item == 19:
        return int(np.ones(600 * 2**20, np.uint8).sum())
    if item == 27 and not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


def test_an_item_that_crashes_hangs_or_eats_memory_is_named_and_the_rest_is_done(
    tmp_path: Path,
) -> None:
    options = _options(item_timeout_s=2.0, worker_memory_mib=512)
    outcomes = list(map_items(partial(_harm, tmp_path / "once"), range(40), options))
    failures = {o.item: o.reason for o in outcomes if isinstance(o, Failure)}
    assert failures == {3: "worker_died", 11: "timed_out", 19: "out_of_memory"}
    assert [o for o in outcomes if not isinstance(o, Failure)] == [
        i * i for i in range(40) if i not in failures
    ]
    assert (tmp_path / "once").exists()  # item 27 lost its worker once, and has its result


def test_without_a_further_try_a_lost_worker_costs_its_item(tmp_path: Path) -> None:
    once = partial(_harm, tmp_path / "once")
    outcomes = list(map_items(once, range(24, 30), _options(retries=0)))
    assert [o.reason if isinstance(o, Failure) else o for o in outcomes] == [
        576, 625, 676, "worker_died", 784, 841
    ]  # fmt: skip


def _fail(item: int) -> int:
    if item == 3:
        raise AnymusError(f"stop at {item}", "mend it")
    return item


@pytest.mark.parametrize("workers", [1, 2])
def test_another_error_stops_the_stage_with_its_hint(workers: int) -> None:
    with pytest.raises(AnymusError) as caught:
        list(map_items(_fail, range(400), _options(workers=workers)))
    assert caught.value.hint == "mend it"


def _fill(item: int) -> int:
    raise OSError(28, f"No space left on device, at {item}")


def test_a_full_disk_is_no_items_own_failure() -> None:
    with pytest.raises(OSError, match="No space left"):
        list(map_items(_fill, range(4), _options(workers=2)))


def test_items_are_taken_only_a_little_ahead() -> None:
    taken = []

    def items() -> object:
        for item in range(1000):
            taken.append(item)
            yield item

    outcomes = map_items(_work, items(), _options(workers=2))
    assert [next(outcomes) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(taken) < 50
    outcomes.close()


def test_a_pile_of_failures_fails_the_stage() -> None:
    require_share(2, 10, 0.2, "detect")
    with pytest.raises(AnymusError, match="3 of 10"):
        require_share(3, 10, 0.2, "detect")


def test_quarantine_beyond_the_limit_is_exit_code_5_and_names_the_items() -> None:
    require_calm({}, _options(), "detect")
    require_calm({"b": "timed_out"}, _options(max_quarantined=1), "detect")
    with pytest.raises(PartialError, match=r"all done but 2 .* a \(crashed\), b \(timed_out\)"):
        require_calm({"b": "timed_out", "a": "crashed"}, _options(max_quarantined=1), "detect")


def _sleep(item: int) -> int:
    os.write(1, f"{os.getpid()}\n".encode())  # one write: print may mix the lines of two workers
    time.sleep(120)
    return item


@pytest.mark.timeout(60)  # half of what the workers would sleep
def test_workers_end_with_a_killed_parent() -> None:
    code = (
        "from anymus.engine import map_items; from test_anymus_engine import OPTIONS, _sleep;"
        "list(map_items(_sleep, range(4), OPTIONS.model_copy(update={'item_timeout_s': 600.0})))"
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


def _nap(count: int) -> "list[Future[None]]":
    with process_pool(1) as pool:
        naps = [pool.submit(time.sleep, 0.05) for _ in range(count)]
        naps[0].result()
    return naps


def test_a_pool_drops_what_it_has_not_begun_when_its_block_ends() -> None:
    naps = _nap(1000)
    deadline_s = time.monotonic() + 20  # all of them would take 50
    while not all(nap.done() for nap in naps):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert sum(nap.cancelled() for nap in naps) > 900
