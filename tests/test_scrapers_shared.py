"""A crawl that several crawlers share through a real Redis server on loopback."""

import json
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis_server import run_redis
from test_scrapers_resume import build_galleries, check_collection, kill_crawl

from anymus.errors import AnymusError
from anymus.manifest import ImageRecord, read_manifest
from hostile import Hostile, start_crawl
from scrapers.job import CrawlJob
from scrapers.pace import SitePace
from scrapers.scheduler import read_request, write_request
from scrapers.shared import SharedCrawl, Task, connect, join_run, open_shared, public_name
from scrapers.spiders.answers import Found
from scrapers.spiders.gallery import GallerySpider

LEASE_S = 0.8


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    with run_redis(tmp_path / "redis") as url:
        yield url


@pytest.fixture
def crawlers(redis_url: str) -> Callable[[str], SharedCrawl]:
    """Return a function that gives a crawler of the one run by its name."""
    return lambda name: SharedCrawl(connect(redis_url), "run", name, LEASE_S)


def test_a_request_is_handed_to_one_crawler_and_stays_until_it_is_done(
    crawlers: Callable[[str], SharedCrawl],
) -> None:
    one, two = crawlers("one"), crawlers("two")

    assert one.push("page", "mark", 0)
    assert not two.push("page", "mark", 0)
    task = two.take()

    assert task is not None
    assert (task.text, one.take(), one.waiting()) == ("page", None, 1)
    two.finish(task.token)
    assert (one.waiting(), two.take()) == (0, None)
    assert not one.push("page", "mark", 0)


def test_what_a_dead_crawler_had_in_hand_is_taken_over(
    crawlers: Callable[[str], SharedCrawl],
) -> None:
    dead, alive = crawlers("dead"), crawlers("alive")
    dead.push("a", "a", 2)
    dead.push("b", "b", 0)
    held = [dead.take(), alive.take()]

    alive.beat()
    assert alive.take() is None  # the lease still runs
    time.sleep(LEASE_S / 2)
    alive.beat()
    time.sleep(LEASE_S / 2 + 0.1)
    alive.beat()
    taken = alive.take()

    assert [task and task.text for task in held] == ["a", "b"]
    assert taken is not None
    assert (taken.text, taken.tries) == ("a", 2)
    assert alive.take() is None  # its own "b" was renewed by its beat
    dead.finish(held[0].token)  # type: ignore[union-attr]
    alive.finish(taken.token)
    assert alive.waiting() == 1


def test_a_stopped_crawler_hands_back_at_once(crawlers: Callable[[str], SharedCrawl]) -> None:
    one, two = crawlers("one"), crawlers("two")
    one.push("a", "a", 2)
    one.take()

    one.hand_back()

    task = two.take()
    assert task is not None
    assert (task.text, one.waiting()) == ("a", 1)


def test_a_retry_takes_the_place_of_its_request(crawlers: Callable[[str], SharedCrawl]) -> None:
    one = crawlers("one")
    one.push("first try", "mark", 2)
    task = one.take()
    assert task is not None

    assert one.push("second try", "mark", 1, instead_of=task.token)

    again = one.take()
    assert again is not None
    assert (again.text, one.waiting()) == ("second try", 1)
    one.finish(again.token)
    assert not one.push("third try", "mark", 1, instead_of=again.token)  # it is done


def test_a_run_is_joined_until_it_is_over(redis_url: str) -> None:
    client = connect(redis_url)
    run = join_run(client, "what", kept_s=60)
    one = SharedCrawl(client, run, "one")
    one.push("a", "a", 0)
    one.add("pages")
    one.add("kept")

    assert join_run(client, "what", kept_s=60) == run
    assert join_run(client, "other", kept_s=60) != run
    assert not one.end(60)
    task = one.take()
    assert task is not None
    one.finish(task.token)
    assert one.end(60)
    assert join_run(client, "what", kept_s=60) == run  # over, and not begun anew
    assert join_run(client, "what", kept_s=0) != run
    empty = SharedCrawl(client, join_run(client, "what", kept_s=60), "two")
    assert empty.end(60)
    assert join_run(client, "what", kept_s=60) != empty.run  # it gave nothing


def test_a_site_is_asked_by_one_crawler_at_a_time_and_no_faster(redis_url: str) -> None:
    one, two = (SitePace(connect(redis_url), LEASE_S) for _ in range(2))

    place = one.try_to_enter("host", 1, 0.2)
    began = time.monotonic()

    assert not isinstance(place, float)
    assert isinstance(two.try_to_enter("host", 1, 0.2), float)
    assert not isinstance(two.try_to_enter("elsewhere", 1, 0.2), float)
    one.leave("host", place, 0.2)
    while isinstance(entered := two.try_to_enter("host", 1, 0.0), float):
        time.sleep(0.01)
    assert time.monotonic() - began >= 0.2
    two.pause("host", 1.0)  # a 429
    two.leave("host", entered, 0.0)
    assert isinstance(left_s := one.try_to_enter("host", 1, 0.0), float)
    assert left_s > 0.5


def test_the_place_of_a_dead_crawler_lapses(redis_url: str) -> None:
    dead, alive = (SitePace(connect(redis_url), LEASE_S) for _ in range(2))
    place = dead.try_to_enter("host", 1, 0.0)

    time.sleep(LEASE_S / 2)
    dead.renew(place)
    time.sleep(LEASE_S / 2 + 0.05)
    assert isinstance(alive.try_to_enter("host", 1, 0.0), float)
    time.sleep(LEASE_S / 2)
    taken = alive.try_to_enter("host", 1, 0.0)

    assert not isinstance(taken, float)
    dead.leave("host", place, 0.0)  # too late: it is not its own any more
    assert isinstance(dead.try_to_enter("host", 1, 0.0), float)


def test_an_owner_may_allow_several_requests_at_a_time(redis_url: str) -> None:
    pace = SitePace(connect(redis_url))

    entered = [pace.try_to_enter("host", 2, 0.0) for _ in range(3)]

    assert [isinstance(place, float) for place in entered] == [False, False, True]


def make_spider(params: Any, tmp_path: Path) -> GallerySpider:
    from scrapers.sites import load_recipe

    recipe = load_recipe("photo-site").at("http://127.0.0.1:8123")
    return GallerySpider(
        CrawlJob(
            recipe=recipe,
            limits=params.scrape,
            user_agent="test",
            folder=str(tmp_path),
            run="run",
            base_url="http://127.0.0.1:8123",
        )
    )


def test_a_request_passes_the_queue_as_plain_text(params: Any, tmp_path: Path) -> None:
    spider = make_spider(params, tmp_path)
    found = Found("http://demo.localhost/1.jpg", "http://demo.localhost/", licence="CC0 1.0")
    (request,) = spider.ask_picture("http://127.0.0.1:8123/1.jpg", found)
    request.meta["retry_times"] = 1

    text, mark = write_request(request, spider)
    back = read_request(Task("2:1-0", text, 1), spider)

    assert (back.url, back.callback) == (request.url, spider.parse_picture)
    assert back.cb_kwargs == {"found": found}
    assert back.meta["retry_times"] == 1
    assert json.loads(text)["url"] == "http://demo.localhost/1.jpg"
    assert write_request(back, spider)[1] == mark
    forged = json.dumps(json.loads(text) | {"callback": "__init__"})
    with pytest.raises(ValueError, match="no crawler of ours"):
        read_request(Task("2:1-0", forged, 1), spider)


def test_a_queue_that_does_not_answer_is_one_line() -> None:
    pytest.importorskip("redis")
    queue = "redis://:secret@127.0.0.1:9/0"

    with pytest.raises(AnymusError, match="does not answer") as caught, open_shared(queue):
        pass

    assert "secret" not in caught.value.message
    assert public_name(queue) == "redis://127.0.0.1:9/0"


def start_crawler(tmp_path: Path, hostile: Hostile, url: str, name: str) -> "subprocess.Popen[str]":
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    shutil.copy(tmp_path / "preset.yaml", folder)
    settings = ["-S", f"scrape.queue={url}", "-S", "scrape.loopback_delay_s=0.1"]
    return start_crawl(folder, hostile, *settings)


def end_of(process: "subprocess.Popen[str]") -> tuple[int, str]:
    text = process.communicate(timeout=300)[1]
    return process.returncode, text


def wait_until(hostile: Hostile, asked: int, process: "subprocess.Popen[str]") -> None:
    while len(hostile.asked) < asked and process.poll() is None:
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_crawlers_one_killed_lose_nothing_and_take_nothing_twice(
    hostile: Hostile, params: object, redis_url: str, tmp_path: Path,
    anymus: Callable[..., "subprocess.CompletedProcess[str]"],
) -> None:  # fmt: skip
    paths = build_galleries(hostile, 12, 6, wait_s=0.01)
    first = start_crawler(tmp_path, hostile, redis_url, "a")
    wait_until(hostile, 12, first)
    second = start_crawler(tmp_path, hostile, redis_url, "b")
    wait_until(hostile, 45, first)
    kill_crawl(first)

    code, text = end_of(second)
    assert code == 0, text
    assert not (tmp_path / "a/raw").exists()
    asked = Counter(path for path in hostile.asked if "/img/" in path)
    assert set(asked) == paths
    assert sum(asked.values()) - len(paths) <= 4  # what the killed one had in hand
    before = len(hostile.asked)
    code, text = end_of(start_crawler(tmp_path, hostile, redis_url, "a"))
    assert code == 0, text
    assert len(hostile.asked) == before  # it only writes down what it had fetched

    shares = [read_manifest(tmp_path / name / "raw") for name in "ab"]
    assert all(any(row.is_kept for row in rows) for rows in shares)
    gather(anymus, tmp_path)
    rows = read_manifest(tmp_path / "all")
    assert Counter((row.url or "").removeprefix(hostile.url) for row in rows) == Counter(paths)
    assert {row.reason for row in rows} == {None}
    files = {path.stem for path in (tmp_path / "all").rglob("*.jpg")}
    assert files == {row.id for row in rows}
    check_pace(hostile)


def gather(
    anymus: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> list[ImageRecord]:
    """Join the crawlers' folders as docs/scraping.md says."""
    shares = tmp_path / "shares"
    for name in "ab":
        shutil.copytree(tmp_path / name / "raw", shares / name)
    done = anymus(
        "scrape", "folder", "shares", "--domain", "photo", "-o", "all",
        "--params", "preset.yaml", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return read_manifest(tmp_path / "all")


def check_pace(hostile: Hostile) -> None:
    """Check that two crawlers together kept the delay; the server's clock sees it a little off."""
    gaps = [b - a for a, b in zip(hostile.asked_at, hostile.asked_at[1:], strict=False)]
    assert sum(gap < 0.05 for gap in gaps) <= 2, sorted(gaps)[:5]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_crawlers_that_share_a_folder_fill_it_together(
    hostile: Hostile, params: object, redis_url: str, tmp_path: Path
) -> None:
    paths = build_galleries(hostile, 8, 6, wait_s=0.01)
    crawlers = [start_crawler(tmp_path, hostile, redis_url, "a") for _ in range(2)]

    ends = [end_of(process) for process in crawlers]

    assert [code for code, _ in ends] == [0, 0], ends
    check_collection(tmp_path / "a/raw", hostile, paths)
    asked = Counter(path for path in hostile.asked if "/img/" in path)
    assert max(asked.values()) == 1
    check_pace(hostile)
