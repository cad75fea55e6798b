"""Crawls that are killed, run out of disk, or are run again: nothing lost, twice, or half there."""

import hashlib
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from anymus.errors import AnymusError
from anymus.manifest import read_manifest
from hostile import Hostile, gallery, picture, start_crawl
from scrapers.job import CrawlProgress
from scrapers.meter import Meter
from scrapers.report import ScrapeReport
from scrapers.state import Entry, Journal, iter_entries, journal_path, open_state


def build_galleries(hostile: Hostile, pages: int, per_page: int, wait_s: float = 0.0) -> set[str]:
    """Fill the server with galleries that follow each other and return the pictures' paths."""
    paths = set()
    for page in range(pages):
        links = [f"/img/{page}-{number}.jpg" for number in range(per_page)]
        for number, link in enumerate(links):
            hostile.image(link, picture(page * per_page + number), ETag=f'"{page}-{number}"')
        tail = f"<a class=next href=/p{page + 1}>" if page < pages - 1 else ""
        hostile.html(f"/p{page}", gallery(*links, tail=tail))
        paths |= set(links)
    if wait_s:
        _slow_down(hostile, wait_s)
    return paths


def _slow_down(hostile: Hostile, wait_s: float) -> None:
    for path, route in list(hostile.routes.items()):
        if not callable(route):
            hostile.routes[path] = _Slow(route, wait_s)


class _Slow:
    def __init__(self, route: tuple[int, dict[str, str], bytes], wait_s: float) -> None:
        self.route = route
        self.wait_s = wait_s

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        status, headers, body = self.route
        time.sleep(self.wait_s)
        handler.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)


def kill_crawl(process: "subprocess.Popen[str]") -> None:
    """Kill the command; its crawl process ends by itself when its stdin closes."""
    process.kill()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


def check_collection(folder: Path, hostile: Hostile, paths: set[str]) -> None:
    """Check that every picture is there once, whole, under its own hash, and nothing else is."""
    rows = read_manifest(folder)
    assert Counter((row.url or "").removeprefix(hostile.url) for row in rows) == Counter(paths)
    assert {row.reason for row in rows} == {None}
    for row in rows:
        content = (folder / str(row.file)).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row.id == Path(str(row.file)).stem
        assert row.size_bytes == len(content)
    files = {path.stem for path in folder.rglob("*.jpg")}
    assert files == {row.id for row in rows}
    assert not list(folder.parent.rglob("*.partial"))
    entries = list(iter_entries(folder.parent / f".{folder.name}.crawl"))
    assert len(entries) == len(paths)


def kill_often(
    tmp_path: Path, hostile: Hostile, marks: list[int], *more: str
) -> "subprocess.Popen[str]":
    """Kill the crawl each time the server has seen so many requests, then let it finish."""
    for mark in marks:
        process = start_crawl(tmp_path, hostile, *more)
        while len(hostile.asked) < mark and process.poll() is None:
            time.sleep(0.002)
        kill_crawl(process)
    return start_crawl(tmp_path, hostile, *more)


def test_killed_crawls_lose_nothing_and_take_nothing_twice(
    hostile: Hostile, params: object, tmp_path: Path
) -> None:
    paths = build_galleries(hostile, 6, 6, wait_s=0.01)
    rng = random.Random(11)
    marks = sorted(rng.sample(range(3, 36), 3))

    process = kill_often(tmp_path, hostile, marks)

    assert process.wait(120) == 0, process.communicate()[1]
    assert "going on where the last run stopped" in process.communicate()[1]
    check_collection(tmp_path / "raw", hostile, paths)
    again = sum(count - 1 for path, count in Counter(hostile.asked).items() if "/img/" in path)
    assert again <= 4 * len(marks)  # what a crawl has in hand at most


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(1500)
def test_fifty_kills(hostile: Hostile, params: object, tmp_path: Path) -> None:
    paths = build_galleries(hostile, 60, 5, wait_s=0.01)
    rng = random.Random(5)

    process = kill_often(tmp_path, hostile, sorted(rng.sample(range(2, 380), 50)))

    assert process.wait(300) == 0, process.communicate()[1]
    process.communicate()
    check_collection(tmp_path / "raw", hostile, paths)
    again = sum(count - 1 for path, count in Counter(hostile.asked).items() if "/img/" in path)
    assert again <= 4 * 50  # what a crawl has in hand at most, at every kill


def test_a_second_run_asks_for_no_picture(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path
) -> None:
    build_galleries(hostile, 2, 3)
    hostile.image("/img/0-0.jpg", b"<html>")
    hostile.redirect("/img/0-1.jpg", "http://10.0.0.1/1.jpg")
    first = crawl("/p0", cache_s=0.0)
    manifest = (tmp_path / "raw/manifest.jsonl").read_bytes()
    hostile.asked.clear()

    second = crawl("/p0", cache_s=0.0)
    asked_anew = list(hostile.asked)
    hostile.asked.clear()
    third = crawl("/p0")

    assert first.as_metrics() == second.as_metrics() == third.as_metrics()
    assert (first.fetched, second.fetched, third.fetched) == (5, 0, 0)
    assert (tmp_path / "raw/manifest.jsonl").read_bytes() == manifest
    assert asked_anew == ["/p0", "/p1"]  # robots.txt is good for a day
    assert hostile.asked == []


def test_a_refresh_asks_whether_pictures_have_changed(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path
) -> None:
    build_galleries(hostile, 1, 3)
    crawl("/p0")
    sent_bytes = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        etag = f'"{handler.path[5:-4]}"'
        body = b"" if handler.headers["If-None-Match"] == etag else picture()
        handler.send_response(200 if body else 304)
        if body:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        sent_bytes.append(len(body))

    hostile.routes |= {"/img/0-0.jpg": answer, "/img/0-2.jpg": answer}
    hostile.image("/img/0-1.jpg", picture(77))
    before = read_manifest(tmp_path / "raw")

    crawl("/p0", is_refresh=True)

    by_url = {row.url: row for row in read_manifest(tmp_path / "raw")}
    assert sent_bytes == [0, 0]  # no byte of a picture that has not changed
    changed = {row.url for row in before if by_url[row.url].id != row.id}
    assert changed == {f"{hostile.url}/img/0-1.jpg"}
    assert len(list((tmp_path / "raw").rglob("*.jpg"))) == 3


def test_a_half_file_under_the_right_name_is_fetched_again(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path
) -> None:
    paths = build_galleries(hostile, 1, 3)
    crawl("/p0")
    stored = sorted((tmp_path / ".raw.crawl/store").rglob("*.jpg"))
    whole = stored[0].read_bytes()
    stored[0].unlink()
    stored[0].write_bytes(whole[:100])
    hostile.asked.clear()

    crawl("/p0")

    assert len(hostile.asked) == 1
    assert stored[0].read_bytes() == whole
    check_collection(tmp_path / "raw", hostile, paths)


def test_a_store_of_an_older_version_is_taken_over(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path
) -> None:
    paths = build_galleries(hostile, 1, 3)
    crawl("/p0")
    store = tmp_path / ".raw.crawl/store"
    for path in list(store.iterdir()):
        folder = store / path.name[:2] / path.name[2:4]
        folder.mkdir(parents=True)
        path.rename(folder / path.name)
    hostile.asked.clear()

    crawl("/p0")

    assert hostile.asked == []
    check_collection(tmp_path / "raw", hostile, paths)


def test_a_full_disk_stops_the_crawl_and_the_next_run_completes(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path,
    full_disk: Callable[[], object],
) -> None:  # fmt: skip
    paths = build_galleries(hostile, 1, 3)

    with pytest.raises(AnymusError) as caught, full_disk():  # type: ignore[attr-defined]
        crawl("/p0")

    assert caught.value.exit_code == 1
    text = caught.value.message
    assert any(word in text for word in ("too large", "disk", "full")), text
    assert "kept" in (caught.value.hint or "")
    assert not (tmp_path / "raw").exists()
    assert not list(tmp_path.rglob("*.jpg"))
    crawl("/p0")
    check_collection(tmp_path / "raw", hostile, paths)


def test_two_crawls_into_one_folder_do_not_mix(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path
) -> None:
    with open_state(tmp_path / "raw", "web"), pytest.raises(AnymusError, match="another command"):
        crawl()

    assert hostile.asked == []
    assert crawl().pictures == 1


def test_a_torn_journal_line_is_dropped(tmp_path: Path, hostile: Hostile) -> None:
    with open_state(tmp_path / "raw", "web") as state:
        path = journal_path(state.folder)
        row = {"id": "a" * 64, "domain": "photo", "file": None, "url": "http://x/"}
        entry = Entry.model_validate({"run": "r", "limits": "", "row": row})
        Journal(path).append(entry)
        with path.open("ab") as stream:
            stream.write(b'{"run": "r", "lim')

        assert list(iter_entries(state.folder)) == [entry]
        other = entry.model_copy(update={"run": "s"})
        Journal(path).append(other)

        assert list(iter_entries(state.folder)) == [entry, other]


def test_ctrl_c_keeps_what_was_collected(hostile: Hostile, params: object, tmp_path: Path) -> None:
    paths = build_galleries(hostile, 4, 6, wait_s=0.02)
    process = start_crawl(tmp_path, hostile)
    while len(hostile.asked) < 12:
        time.sleep(0.005)
    sent_at = time.monotonic()
    process.send_signal(signal.SIGINT)

    assert process.wait(10) == 130
    assert time.monotonic() - sent_at < 15  # 5 on an idle machine
    assert "run it again to go on" in process.communicate()[1]
    before = len(hostile.asked)
    process = start_crawl(tmp_path, hostile)
    assert process.wait(60) == 0
    process.communicate()
    assert len(hostile.asked) - before < 22
    check_collection(tmp_path / "raw", hostile, paths)


def test_progress_is_shown_while_a_crawl_runs(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[CrawlProgress] = []
    monkeypatch.setattr(Meter, "show", lambda _, progress: shown.append(progress))
    build_galleries(hostile, 2, 3, wait_s=0.15)

    crawl("/p0")

    assert (shown[-1].pages, shown[-1].pictures, shown[-1].rejected) == (2, 6, 0)
    assert shown[0].pictures < 6
    words = Meter("site").describe(CrawlProgress(pages=1, pictures=2, rejected=3, waiting=4))
    assert words.startswith("1 page, 2 pictures (0.0 MB), 3 refused, ")
    assert words.endswith(", 4 waiting for any of us")
