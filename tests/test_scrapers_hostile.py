"""Crawls of a small server that forbids, lies, redirects and breaks, on loopback."""

import gzip
import io
import os
import socket
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from anymus.errors import AnymusError, DatasetError, PolicyError
from anymus.images import encode_png
from anymus.manifest import read_manifest
from hostile import Hostile, drip, gallery, never_end, picture, reasons
from scrapers.report import ScrapeReport
from scrapers.robots import MAX_ROBOTS_BYTES, read_robots
from scrapers.state import iter_entries


def test_burst_of_forbidden_urls_asks_for_none(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path
) -> None:
    def slow_robots(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.5)
        body = b"User-agent: *\nDisallow: /no/\n"
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    forbidden = [f"/no/{number}.jpg" for number in range(8)]
    hostile.routes["/robots.txt"] = slow_robots
    hostile.html("/", gallery("/0.jpg", *forbidden))

    crawl()

    assert hostile.asked_for(*forbidden) == []
    assert hostile.asked.count("/robots.txt") == 1
    assert hostile.asked[0] == "/robots.txt"
    assert reasons(tmp_path / "raw", hostile.url) == dict.fromkeys(forbidden, "robots")


def test_robots_that_fails_forbids_everything(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path
) -> None:
    hostile.routes["/robots.txt"] = (503, {}, b"")

    with pytest.raises(PolicyError, match="robots_unavailable") as caught:
        crawl()

    assert caught.value.exit_code == 4
    assert set(hostile.asked) == {"/robots.txt"}
    assert not (tmp_path / "raw").exists()


def test_robots_that_does_not_come_forbids_everything(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path
) -> None:
    def keep_silent(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(3)
        handler.close_connection = True

    hostile.routes["/robots.txt"] = keep_silent
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # it does not listen: connections are refused
        port = closed.getsockname()[1]
        urls = f'{hostile.url}/", "http://127.0.0.1:{port}/'

        with pytest.raises(PolicyError, match="robots_unavailable") as caught:
            crawl(urls, timeout_s=1.0)

    assert caught.value.exit_code == 4
    assert set(hostile.asked) == {"/robots.txt"}
    rows = [entry.row for entry in iter_entries(tmp_path / ".raw.crawl")]
    assert {row.reason for row in rows} == {"robots_unavailable"}
    assert len(rows) == 2


def test_of_a_huge_robots_the_first_half_mebibyte_counts() -> None:
    head = "User-agent: *\nDisallow: /in\n#"
    filling = "-" * (MAX_ROBOTS_BYTES - len(head) - len("\nDisallow: /cut"))
    body = f"{head}{filling}\nDisallow: /cut-off\nDisallow: /out\n".encode()
    assert body[:MAX_ROBOTS_BYTES].endswith(b"\nDisallow: /cut")

    rules = read_robots(200, body)

    assert rules.find_refusal("https://a.example/in") == "robots"
    assert rules.find_refusal("https://a.example/cut") is None
    assert rules.find_refusal("https://a.example/out") is None


STUB_DNS = """
import socket, sys
answers = {answers!r}

def answer(name, port, *rest, **options):
    with open({log!r}, "a") as log:
        log.write(f"asked {{name}}\\n")
    given = answers.get(name, [name])
    address = given.pop(0) if len(given) > 1 else given[0]
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

def note(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        with open({log!r}, "a") as log:
            log.write(f"dialled {{arguments[1][0]}}\\n")

socket.getaddrinfo = answer
sys.addaudithook(note)
"""


@pytest.fixture
def stub_dns(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Return a function that makes crawl processes resolve names so; it returns their log."""

    def install(**answers: list[str]) -> Path:
        folder = tmp_path_factory.mktemp("dns")
        log = folder / "log.txt"
        log.touch()
        named = {name.replace("_", "."): given for name, given in answers.items()}
        text = STUB_DNS.format(answers=named, log=str(log))
        (folder / "sitecustomize.py").write_text(text)
        paths = [str(folder), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        return log

    return install


def test_names_of_private_addresses_are_not_dialled(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], stub_dns: Callable[..., Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    hosts = ["inner.example", "loop.example", "link.example"]
    log = stub_dns(
        inner_example=["10.1.2.3"], loop_example=["127.0.0.1"], link_example=["169.254.169.254"]
    )
    port = hostile.server.server_address[1]
    urls = '", "'.join(f"http://{host}:{port}/" for host in hosts)

    with pytest.raises(PolicyError, match="private_address"):
        crawl(urls, domains=str(hosts), is_demo=False, contact="a@b.org")

    lines = log.read_text().split("\n")
    assert {f"asked {host}" for host in hosts} <= set(lines)
    assert not any(line.startswith("dialled") for line in lines)
    rows = [entry.row for entry in iter_entries(tmp_path / ".raw.crawl")]
    assert [row.reason for row in rows] == ["private_address"] * 3
    assert hostile.asked == []


def test_a_name_that_changes_its_address_gains_nothing(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], stub_dns: Callable[..., Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    port = hostile.server.server_address[1]
    log = stub_dns(
        good_example=["127.0.0.1", "10.0.0.1"],  # a demo's own addresses stand in for public ones
        bad_example=["10.0.0.1", "127.0.0.1"],
    )
    hostile.image("/1.jpg", picture(1))
    links = [f"http://good.example:{port}/0.jpg", f"http://bad.example:{port}/1.jpg"]
    hostile.html("/", gallery(*links))

    report = crawl(domains="[127.0.0.1, good.example, bad.example]")

    assert report.pictures == 1
    assert reasons(tmp_path / "raw") == {links[1]: "private_address"}
    lines = log.read_text().split("\n")
    assert lines.count("asked good.example") == 1  # the address checked is the address dialled
    assert {line for line in lines if line.startswith("dialled")} == {"dialled 127.0.0.1"}


def test_crawl_delay_is_kept(hostile: Hostile, crawl: Callable[..., ScrapeReport]) -> None:
    """Each gap is exact on a busy machine, too: a request follows its delay after the answer."""

    def slow(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.4)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(picture(1))))
        handler.end_headers()
        handler.wfile.write(picture(1))

    hostile.redirect("/robots.txt", "/rules.txt")
    rules = b"User-agent: *\nCrawl-delay: 0.6\nDisallow: /2.jpg\n"
    hostile.routes["/rules.txt"] = (200, {}, rules)
    hostile.routes["/1.jpg"] = slow
    hostile.image("/3.jpg", picture(3))
    hostile.html("/", gallery("/0.jpg", "/1.jpg", "/2.jpg", "/3.jpg"))

    crawl()

    assert hostile.asked == [
        "/robots.txt", "/rules.txt", "/.well-known/tdmrep.json", "/", "/0.jpg", "/1.jpg", "/3.jpg",
    ]  # fmt: skip
    gaps = np.diff(hostile.asked_at)[1:]
    assert gaps.min() >= 0.6
    assert gaps[-1] >= 0.4 + 0.6


def test_a_pause_outlasts_the_crawl_delay(
    hostile: Hostile, crawl: Callable[..., ScrapeReport]
) -> None:
    def busy_once(handler: BaseHTTPRequestHandler) -> None:
        hostile.image("/0.jpg", picture())
        handler.send_response(429)
        handler.send_header("Retry-After", "1")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    hostile.routes["/robots.txt"] = (200, {}, b"User-agent: *\nCrawl-delay: 0.1\n")
    hostile.routes["/0.jpg"] = busy_once
    hostile.image("/1.jpg", picture(1))
    hostile.html("/", gallery("/0.jpg", "/1.jpg"))

    report = crawl(retries=1)

    assert report.pictures == 2
    gaps = np.diff(hostile.asked_at[hostile.asked.index("/0.jpg") :])
    assert gaps.min() >= 0.1
    assert gaps[0] >= 1.0


def test_user_agent_is_honest(hostile: Hostile, crawl: Callable[..., ScrapeReport]) -> None:
    crawl(contact="owner@example.org")

    (agent,) = hostile.agents
    assert agent.startswith("Anymus/")
    assert agent.endswith("(+owner@example.org)")


def test_opt_outs_are_refused(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path
) -> None:
    hostile.image("/1.jpg", picture(1), X_Robots_Tag="noai")
    hostile.image("/2.jpg", picture(2), tdm_reservation="1")
    hostile.image("/3.jpg", picture(3), X_Robots_Tag="otherbot: noai")
    hostile.html("/", gallery("/0.jpg", "/1.jpg", "/2.jpg", "/3.jpg"))
    hostile.html(
        "/p2",
        gallery(
            "/4.jpg",
            head='<meta name="robots" content="noai">',
        ),
    )
    hostile.html("/p3", gallery("/5.jpg", head='<META content=1 name="TDM-Reservation">'))
    for number in (4, 5):
        hostile.image(f"/{number}.jpg", picture(number))
    urls = [f"{hostile.url}/{name}" for name in ("", "p2", "p3")]

    report = crawl('", "'.join(urls))

    assert report.pictures == 2
    assert hostile.asked_for("/4.jpg", "/5.jpg") == []
    assert reasons(tmp_path / "raw", hostile.url) == {
        "/1.jpg": "opt_out_noai",
        "/2.jpg": "opt_out_tdm",
        "/p2": "opt_out_noai",
        "/p3": "opt_out_tdm",
    }


def test_addresses_that_a_crawl_must_not_dial(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path
) -> None:
    links = ["http://10.0.0.1/a.jpg", "http://169.254.169.254/b.jpg", "http://[::ffff:10.0.0.1]/c"]
    hostile.redirect("/to-private.jpg", "http://10.0.0.1/d.jpg")
    hostile.redirect("/to-off-site.jpg", "http://elsewhere.example/e.jpg")
    hostile.redirect("/to-file.jpg", "file:///etc/passwd")
    hostile.redirect("/round.jpg", "/round.jpg")
    redirects = ["/to-private.jpg", "/to-off-site.jpg", "/to-file.jpg", "/round.jpg"]
    odd = ["ftp://127.0.0.1/f.jpg", "file:///etc/passwd", "data:image/png;base64,AAAA"]
    hostile.html("/", gallery("/0.jpg", *links, *redirects, *odd, "http://elsewhere.example/g.jpg"))

    crawl(domains="[127.0.0.1, 10.0.0.1, 169.254.169.254]")

    found = reasons(tmp_path / "raw", hostile.url)
    assert [found[link] for link in links] == ["private_address"] * 3
    assert found["/to-private.jpg"] == "private_address"
    assert found["/to-off-site.jpg"] == "off_site"
    assert found["/to-file.jpg"] == "http_302"
    assert found["/round.jpg"] == "too_many_redirects"
    assert found["http://elsewhere.example/g.jpg"] == "off_site"
    assert Counter(found.values())["no_url"] == 3


def test_a_page_that_refreshes_itself_leads_nowhere(
    hostile: Hostile, crawl: Callable[..., ScrapeReport]
) -> None:
    refresh = "<meta http-equiv=refresh content='0; url=http://10.0.0.1/'>"
    hostile.html("/", gallery("/0.jpg", head=refresh))

    report = crawl(domains="[127.0.0.1, 10.0.0.1]")

    assert (report.pages, report.pictures, report.rejected) == (1, 1, {})
    assert "/0.jpg" in hostile.asked


def test_a_live_recipe_never_reaches_this_machine(
    hostile: Hostile, crawl: Callable[..., ScrapeReport]
) -> None:
    port = hostile.server.server_address[1]
    hosts = ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "127.1", "[::1]", "0"]
    urls = '", "'.join(f"http://{host}:{port}/" for host in hosts)
    domains = [host.strip("[]") for host in hosts]

    with pytest.raises(PolicyError, match="private_address"):
        crawl(urls, domains=str(domains), is_demo=False, contact="a@b.org")

    assert hostile.asked == []


def test_a_demo_recipe_never_leaves_this_machine(
    hostile: Hostile, crawl: Callable[..., ScrapeReport]
) -> None:
    with pytest.raises(PolicyError, match="private_address"):
        crawl("http://93.184.216.34/", domains="[93.184.216.34]")


def test_redirected_picture_is_recorded_where_it_was(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path
) -> None:
    hostile.redirect("/moved.jpg", "/9.jpg")
    hostile.image("/9.jpg", picture(9))
    hostile.html("/", gallery("/moved.jpg"))

    crawl()

    (row,) = read_manifest(tmp_path / "raw")
    assert row.url == f"{hostile.url}/9.jpg"
    assert row.page_url == f"{hostile.url}/"


def test_same_bytes_under_three_urls_are_one_file(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path
) -> None:
    for path in ("/b.jpg", "/a.jpg", "/c.jpg"):
        hostile.image(path, picture())
    hostile.html("/", gallery("/b.jpg", "/a.jpg", "/c.jpg", "/b.jpg"))

    crawl()

    rows = read_manifest(tmp_path / "raw")
    kept = [row for row in rows if row.is_kept]
    assert [row.url for row in kept] == [f"{hostile.url}/a.jpg"]
    copies = [row for row in rows if row.reason == "same_bytes"]
    assert {row.parent for row in copies} == {kept[0].id}
    assert len(rows) == 3


def png_bomb() -> bytes:
    """Return a PNG that says it has 900 million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 1_000_000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def test_bad_bytes_are_rejected_and_not_stored(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path
) -> None:
    png = encode_png(np.random.default_rng(1).integers(0, 256, (90, 90, 3), dtype=np.uint8))
    bodies = {
        "/html.jpg": (b"<html>not here</html>", "not_an_image"),
        "/svg.jpg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image"),
        "/empty.jpg": (b"", "empty"),
        "/half.jpg": (picture()[:-900], "truncated"),
        "/half.png": (png[:-900], "truncated"),
        "/bomb.png": (png_bomb(), "too_many_pixels"),
        "/icon.jpg": (picture(2, 20), "too_small"),
    }
    for path, (body, _) in bodies.items():
        hostile.image(path, body)
    hostile.html("/", gallery("/0.jpg", "/gone.jpg", *bodies))

    crawl()

    expected = {path: reason for path, (_, reason) in bodies.items()} | {"/gone.jpg": "http_404"}
    assert reasons(tmp_path / "raw", hostile.url) == expected
    assert len([path for path in (tmp_path / "raw").rglob("*.*") if path.is_file()]) == 3


def test_bodies_without_end_or_measure(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path
) -> None:
    def announce(length: int, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(picture())
        handler.close_connection = True

    squeezed = io.BytesIO()
    with gzip.GzipFile(fileobj=squeezed, mode="wb", mtime=0) as stream:
        stream.write(b"\0" * 20_000_000)
    hostile.image("/gzip.jpg", squeezed.getvalue(), Content_Encoding="gzip")
    hostile.routes |= {
        "/drip.jpg": drip,
        "/endless.jpg": never_end,
        "/short.jpg": partial(announce, 1_000_000),
        "/long.jpg": partial(announce, 2_000_000),
    }
    links = ["/0.jpg", "/drip.jpg", "/short.jpg", "/endless.jpg", "/long.jpg", "/gzip.jpg"]
    hostile.html("/", gallery(*links))

    crawl(timeout_s=2.0, max_picture_bytes=1_000_000)

    assert reasons(tmp_path / "raw", hostile.url) == {
        "/drip.jpg": "timeout",
        "/short.jpg": "short_body",
        "/endless.jpg": "too_many_bytes",
        "/long.jpg": "too_many_bytes",
        "/gzip.jpg": "too_many_bytes",
    }


def test_names_from_the_server_are_never_file_names(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path
) -> None:
    names = [
        "/../../x.jpg",
        "/%2e%2e/y.jpg",
        "/C:%5Cz.jpg",
        "/n%00ul.jpg",
        "/ü.jpg",
        "/" + "l" * 900,
    ]
    hostile.html("/", gallery("/0.jpg", *names, "/" + "m" * 4000))
    served = ["/x.jpg", "/%2e%2e/y.jpg", "/y.jpg", "/C:%5Cz.jpg", "/n%00ul.jpg", "/%C3%BC.jpg"]
    for number, path in enumerate([*served, "/" + "l" * 900], start=1):
        hostile.image(path, picture(number))

    report = crawl()

    assert report.pictures == 1 + len(names)
    for path in (tmp_path / "raw").rglob("*.jpg"):
        assert len(path.stem) == 64
    names = [".raw.crawl", "hostile.yaml", "preset.yaml", "raw"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names


def test_a_page_that_no_longer_matches_its_recipe(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=r"article\.shot") as caught:
        crawl(item="article.shot")

    assert caught.value.exit_code == 3
    assert hostile.url in caught.value.message
    assert hostile.asked_for("/0.jpg") == []
    hostile.html("/", b"<ul><li><a href=/0.jpg>moved</a></ul>")
    with pytest.raises(DatasetError, match=r"picture\.image"):
        crawl(cache_s=0.0)
    assert not (tmp_path / "raw").exists()


def test_start_page_that_is_gone(hostile: Hostile, crawl: Callable[..., ScrapeReport]) -> None:
    hostile.html("/", b"", status=410)

    with pytest.raises(DatasetError, match="http_410"):
        crawl()


def test_a_lost_page_is_a_row(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path
) -> None:
    hostile.html("/", gallery("/0.jpg", tail="<a class=next href=/p2>"))
    hostile.html("/p2", b"", status=500)

    crawl()

    assert reasons(tmp_path / "raw", hostile.url) == {"/p2": "http_500"}


def test_retries_are_made_and_counted(hostile: Hostile, crawl: Callable[..., ScrapeReport]) -> None:
    hostile.html("/", gallery("/0.jpg", "/1.jpg"))
    hostile.html("/1.jpg", b"", status=503)

    crawl(retries=2)

    assert hostile.asked.count("/1.jpg") == 3


def test_too_many_unusable_pictures_fail_the_crawl(
    hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path
) -> None:
    hostile.html("/", gallery("/0.jpg", "/1.jpg", "/2.jpg"))

    with pytest.raises(AnymusError, match="2 of 3 pictures are unusable"):
        crawl(max_rejected_share=0.5)

    assert not (tmp_path / "raw").exists()


def test_page_budget(hostile: Hostile, crawl: Callable[..., ScrapeReport]) -> None:
    for number in range(1, 4):
        link = f"<a class=next href=/p{number + 1}>"
        hostile.image(f"/{number}.jpg", picture(number))
        hostile.html(f"/p{number}", gallery(f"/{number}.jpg", tail=link))

    report = crawl("/p1", max_pages=2)

    assert (report.pages, report.pictures, report.is_complete) == (2, 2, False)
    assert hostile.asked_for("/p3") == []


def test_time_budget(hostile: Hostile, crawl: Callable[..., ScrapeReport], tmp_path: Path) -> None:
    hostile.html("/", gallery("/0.jpg", *(f"/more/{number}.jpg" for number in range(40))))

    report = crawl(max_seconds=2.0, loopback_delay_s=0.5)

    assert not report.is_complete
    assert "over_budget" in reasons(tmp_path / "raw").values()


def test_galleries_that_lead_in_a_circle_end(
    hostile: Hostile, crawl: Callable[..., ScrapeReport]
) -> None:
    hostile.html("/", gallery("/0.jpg", tail="<a class=next href=/p2>"))
    hostile.html("/p2", gallery("/0.jpg", tail="<a class=next href=/>"))

    report = crawl()

    assert (report.pages, report.pictures) == (2, 1)
    assert hostile.asked.count("/") == 1
