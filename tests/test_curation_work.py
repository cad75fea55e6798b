"""A stage that is killed goes on where it was, and ends with the bytes of a run that was not."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from collection import curate
from test_anymus_engine import OPTIONS

from anymus import manifest
from anymus.errors import PartialError
from anymus.files import atomic_folder, sha256_bytes, walk_files
from anymus.images import read_rgb
from anymus.manifest import (
    ImageRecord,
    RowCount,
    iter_kept,
    iter_manifest,
    read_manifest,
    sort_rows,
    write_manifest,
)
from anymus.params import EngineParams, Params, ShardsParams
from anymus.shards import walk_stored
from curation.detect import detect
from curation.work import WorkFolder

COUNT = 60
ENGINE = OPTIONS.model_copy(update={"workers": 1, "batch_size": 4})


def _row(number: int) -> ImageRecord:
    return ImageRecord(id=sha256_bytes(bytes([number])), domain="photo", file=f"{number}.png")


def _slow(log: Path, row: ImageRecord) -> list[ImageRecord]:
    with log.open("a") as stream:
        stream.write(f"{row.id}\n")
    time.sleep(0.02)
    return [row.model_copy(update={"score": 1.0}), row.model_copy(update={"score": 2.0})]


def run_stage(root: Path, engine: EngineParams = ENGINE) -> None:
    """Do what a stage does, slowly, with a log of what it worked on."""
    work = WorkFolder(root / "out", "stage", engine)
    work.run(partial(_slow, root / "log"), lambda: iter_kept(root / "in"), engine)
    with atomic_folder(root / "out") as partial_folder:
        write_manifest(partial_folder, work.rows())
    work.remove()


def _prepare(root: Path) -> Path:
    write_manifest(root / "in", map(_row, range(COUNT)))
    return root


def test_a_killed_stage_does_only_what_is_missing(tmp_path: Path) -> None:
    run_stage(_prepare(tmp_path / "whole"))
    root = _prepare(tmp_path / "cut")
    code = "import sys, pathlib, test_curation_work as t; t.run_stage(pathlib.Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    for done in (3, 8):  # batches that are whole when the blow falls
        with subprocess.Popen([sys.executable, "-c", code, str(root)], env=environment) as process:
            while len(list((root / ".out.work").rglob("*.jsonl"))) < done:
                assert process.poll() is None
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        assert not (root / "out").exists()
    run_stage(root)
    times = Counter((root / "log").read_text().split())
    assert len(times) == COUNT
    assert sum(times.values()) <= COUNT + 2 * ENGINE.batch_size  # the batch that was cut, each time
    assert (root / "out/manifest.jsonl").read_bytes() == (
        tmp_path / "whole/out/manifest.jsonl"
    ).read_bytes()
    assert sorted(path.name for path in root.iterdir()) == ["in", "log", "out"]


def test_work_with_other_parameters_is_not_taken(tmp_path: Path) -> None:
    root = _prepare(tmp_path)
    work = WorkFolder(root / "out", "stage", ENGINE)
    work.run(partial(_slow, root / "log"), lambda: iter_kept(root / "in"), ENGINE)
    assert list((root / ".out.work").rglob("*.jsonl"))
    run_stage(root, ENGINE.model_copy(update={"retries": 3}))
    assert set(Counter((root / "log").read_text().split()).values()) == {2}


def _refuse(tries: Path, row: ImageRecord) -> list[ImageRecord]:
    with tries.open("a") as stream:
        stream.write(f"{row.file}\n")
    if row.file == "5.png":
        raise ValueError("a bug")
    return [row]


def test_what_was_quarantined_is_tried_again_and_nothing_else(tmp_path: Path) -> None:
    root = _prepare(tmp_path)
    for _ in range(2):
        work = WorkFolder(root / "out", "stage", ENGINE)
        work.run(partial(_refuse, root / "log"), lambda: iter_kept(root / "in"), ENGINE)
        rows = list(work.rows())
        assert len(rows) == COUNT
        assert [row.file for row in rows if row.reason == "crashed"] == ["5.png"]
    times = Counter((root / "log").read_text().split())
    assert times["5.png"] == 2
    assert sum(times.values()) == COUNT + ENGINE.batch_size


def test_shards_hold_the_same_faces_as_files(
    params: Params, collected: Path, tmp_path: Path
) -> None:
    limits = params.split.model_copy(update={"min_train": 1, "min_test": 1, "test_share": 0.4})
    params = params.model_copy(update={"split": limits})
    packed = params.model_copy(update={"shards": ShardsParams(above=5, pictures=4)})
    curate(params, collected, tmp_path / "files")
    curate(packed, collected, tmp_path / "shards")
    files, shards = tmp_path / "files", tmp_path / "shards"
    assert {path.suffix for path in walk_files(shards / "dataset")} == {".tar", ".jsonl"}
    assert len(list((shards / "faces" / "photo").glob("shard-*.tar"))) == 4
    for folder in ("faces/photo", "faces/manga", "dataset"):
        rows = read_manifest(files / folder)
        twins = read_manifest(shards / folder)
        assert [row.id for row in rows] == [row.id for row in twins]
        for row, twin in zip(rows, twins, strict=True):
            if row.file is not None and row.parent is not None:
                assert (read_rgb(files / folder / row.file) ==
                        read_rgb(shards / folder / str(twin.file))).all()  # fmt: skip
                assert Path(row.file).name == Path(str(twin.file)).name
    kept = [row for row in read_manifest(shards / "dataset") if row.is_kept]
    assert len(list(walk_stored(shards / "dataset"))) == len(kept)


def test_a_picture_that_harms_detect_is_a_row_and_exit_code_5(
    params: Params, collected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = next(iter_kept(collected / "photo")).id

    import curation.detect as stage

    whole = stage._find_faces

    def harm(src: Path, limits: object, picture: ImageRecord) -> list[ImageRecord]:
        if picture.id == victim:
            raise RuntimeError("the detector has a bug")
        return whole(src, limits, picture)

    monkeypatch.setattr(stage, "_find_faces", harm)
    with pytest.raises(PartialError, match=rf"all done but 1 .*{victim} \(crashed\)"):
        detect(params, "photo", collected / "photo", tmp_path / "out")
    rows = {row.id: row for row in read_manifest(tmp_path / "out")}
    assert rows[victim].reason == "crashed"
    assert sum(row.is_kept for row in rows.values()) >= 10
    relaxed = params.model_copy(
        update={"engine": params.engine.model_copy(update={"max_quarantined": 1})}
    )
    figures = detect(relaxed, "photo", collected / "photo", tmp_path / "out").as_metrics()
    assert figures["rejected_crashed"] == 1
    assert not (tmp_path / ".out.work").exists()


def test_rows_beyond_memory_are_sorted_like_rows_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        ImageRecord(id=f"{n * 7 % 50:064x}", domain="photo", file=None, url=f"x\t{n}", title="é\n")
        for n in range(200)
    ]
    monkeypatch.setattr(manifest, "_RUN_ROWS", 30)
    found = list(sort_rows(rows, tmp_path))
    assert found == sorted(rows, key=manifest.order_of)
    assert list(tmp_path.iterdir()) == []
    count = RowCount()
    assert write_manifest(tmp_path, count.watch(rows)) == 200
    assert list(iter_manifest(tmp_path)) == found
    assert count.kept == 200
