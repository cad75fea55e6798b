"""On a Dask cluster of real workers, one of them killed, the outcomes are those of one machine."""

import ctypes
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from collection import store
from test_anymus_engine import OPTIONS

from anymus.drawing.photo import draw_portrait
from anymus.engine import Failure, map_items
from anymus.errors import DeviceError
from anymus.images import encode_png
from anymus.manifest import MANIFEST_NAME, write_manifest
from anymus.params import EngineParams, Params
from curation.crop import crop
from curation.detect import detect

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

_START_S = 90
_NANNY = "import sys; from distributed.cli.dask_worker import main; sys.exit(main())"
_SCHEDULER = "import sys; from distributed.cli.dask_scheduler import main; sys.exit(main())"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineParams]:
    """Return engine options that name a scheduler with two workers, all on loopback."""
    folder = tmp_path_factory.mktemp("cluster")
    known = folder / "scheduler.json"
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parent),
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
    }
    shared = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(known)]
    commands = [[sys.executable, "-c", _SCHEDULER, *shared, "--port", "0"]]
    commands += [[sys.executable, "-c", _NANNY, *shared, "--nthreads", "1"]] * 2
    processes = [
        subprocess.Popen(
            command, env=environment, cwd=folder, stderr=subprocess.DEVNULL, start_new_session=True
        )
        for command in commands
    ]
    try:
        yield OPTIONS.model_copy(update={"cluster": _wait_for(known), "batch_size": 2})
    finally:
        for process in reversed(processes):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(known: Path) -> str:
    """Return the scheduler's address once it has two workers."""
    from distributed import Client

    end_s = time.monotonic() + _START_S
    while not known.exists() and time.monotonic() < end_s:
        time.sleep(0.1)
    address = str(json.loads(known.read_text(encoding="utf-8"))["address"])
    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=_START_S)
    return address


def _work(folder: Path, item: int) -> int:
    if item == 3:
        ctypes.string_at(0)
    if item == 6:
        time.sleep(600)
    if item == 9 and not (folder / "once").exists():
        (folder / "once").touch()
        _kill_dask_worker()
    if item == 13:
        _kill_dask_worker()
    return item * item


def _kill_dask_worker() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    assert parent.pid is not None
    os.kill(parent.pid, signal.SIGKILL)
    time.sleep(60)  # the end of the parent is the end of this process


def _run(cluster: EngineParams, folder: Path, items: range) -> dict[int, str]:
    """Return the reasons of the failures; everything else must have its result, in order."""
    options = cluster.model_copy(update={"item_timeout_s": 3.0, "retries": 0})
    outcomes = list(map_items(partial(_work, folder), iter(items), options))
    failures = {o.item: o.reason for o in outcomes if isinstance(o, Failure)}
    assert [o for o in outcomes if not isinstance(o, Failure)] == [
        item * item for item in items if item not in failures
    ]
    return failures


@pytest.mark.timeout(240)
def test_harmful_items_are_named_and_a_lost_worker_is_replaced(
    cluster: EngineParams, tmp_path: Path
) -> None:
    assert _run(cluster, tmp_path, range(12)) == {3: "worker_died", 6: "timed_out"}
    assert (tmp_path / "once").exists()  # item 9 lost its Dask worker, and has its result


@pytest.mark.slow  # the scheduler gives a batch two workers before it gives it up
def test_a_batch_that_keeps_losing_workers_is_halved_to_its_bad_item(
    cluster: EngineParams, tmp_path: Path
) -> None:
    assert _run(cluster, tmp_path, range(10, 18)) == {13: "worker_died"}


def _collect(folder: Path) -> None:
    folder.mkdir()
    rows = []
    for index in range(6):
        png = encode_png(draw_portrait(np.random.default_rng([5, index])).rgb_u8)
        png = png[:3000] if index == 4 else png
        rows.append(store(folder, "photo", png, f"x/{index}"))
    write_manifest(folder, rows)


@pytest.mark.timeout(240)
def test_manifests_and_crops_are_the_bytes_of_a_local_run(
    cluster: EngineParams, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _collect(tmp_path / "raw")
    monkeypatch.chdir(tmp_path)
    made = []
    for engine in (params.engine, cluster):
        run = params.model_copy(update={"engine": engine})
        detect(run, "photo", Path("raw"), Path("detected"))
        crop(run, "photo", Path("detected"), Path("faces"))
        files = sorted(path for path in Path("faces").iterdir())
        made.append(
            [(Path("detected") / MANIFEST_NAME).read_bytes()]
            + [part for path in files for part in (path.name, path.read_bytes())]
        )
    assert len(made[0]) > 8
    assert made[0] == made[1]


def test_a_cluster_that_is_not_there_is_a_device_error() -> None:
    options = OPTIONS.model_copy(update={"cluster": "tcp://127.0.0.1:9"})
    with pytest.raises(DeviceError, match="no Dask scheduler answers"):
        list(map_items(_work, range(3), options))
