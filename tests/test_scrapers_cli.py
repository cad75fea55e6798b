"""The commands, in processes of their own: exit codes, files, signals."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anymus.images import encode_png
from anymus.params import Params

Run = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ("-S", "scrape.demo_site.busts=4", "-S", "scrape.demo_site.pages=0")


@pytest.fixture
def preset(params: Params, tmp_path: Path) -> tuple[str, str]:
    """Return the option that names the demo preset's file."""
    assert params.seed
    return ("--params", str(tmp_path / "preset.yaml"))


def test_scrape_by_domain_fills_the_raw_folder_and_the_metrics(
    anymus: Run, preset: tuple[str, str], tmp_path: Path
) -> None:
    done = anymus("scrape", "--domain", "manga", "--json", *SMALL, *preset, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["pictures"] >= 3
    assert json.loads((tmp_path / "metrics/scrape_manga.json").read_text()) == figures
    assert (tmp_path / "data/raw/manga/manifest.jsonl").is_file()


def test_scrape_folder(anymus: Run, preset: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    pixels = np.random.default_rng(1).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    (tmp_path / "mine" / "a.png").write_bytes(encode_png(pixels))

    done = anymus(
        "scrape", "folder", "mine", "--domain", "photo", "-o", "out", *preset, cwd=tmp_path
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/manifest.jsonl").is_file()
    assert not (tmp_path / "metrics").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("scrape", "nosuch"), 2, "photo-site"),
        (("scrape",), 2, "anymus sites"),
        (("scrape", "folder"), 2, "--domain photo"),
        (("scrape", "photo-site", "--domain", "manga"), 2, "domain photo"),
        (("scrape", "photo-site", "somewhere"), 2, "anymus scrape folder"),
        (("scrape", "photo-site", "--limit", "0"), 2, "scrape.max_pictures"),
    ],
)
def test_usage_errors(
    anymus: Run, preset: tuple[str, str], tmp_path: Path, arguments: tuple[str, ...], code: int,
    words: str,
) -> None:  # fmt: skip
    done = anymus(*arguments, *preset, cwd=tmp_path)

    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_sites_lists_every_recipe(anymus: Run, tmp_path: Path) -> None:
    table = anymus("sites", cwd=tmp_path)
    rows = json.loads(anymus("sites", "--json", cwd=tmp_path).stdout)

    assert "photo-site" in table.stdout
    assert {"photo-site", "manga-site"} <= {row["name"] for row in rows}
    assert all(row["terms_url"] and row["licence_note"] for row in rows)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_stopped_crawl_leaves_its_state_and_no_process(
    preset: tuple[str, str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        [
            sys.executable, "-m", "anymus.cli", "scrape", "manga-site", "-o", str(tmp_path / "out"),
            "-S", "scrape.loopback_delay_s=0.3", *preset,
        ],
        env={**os.environ, "ANYMUS_TEST_MARK": mark},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        _wait_for(lambda: any(tmp_path.glob(".out.crawl/store/*.*")), 60)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does: every process of the group
        else:
            process.send_signal(number)
        sent_at = time.monotonic()
        assert process.wait(20) == code
        assert time.monotonic() - sent_at < 15  # 5 on an idle machine
        _wait_for(lambda: not _processes_with(mark), 5)
    finally:
        process.kill()
        errors = process.communicate()[1]

    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"preset.yaml", ".out.crawl"}


def _wait_for(is_true: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def _processes_with(mark: str) -> list[str]:
    """Return the processes whose environment holds the mark."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue
    return found
