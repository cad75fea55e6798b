"""Manners: pauses, budgets and opt-outs, and pictures of every kind."""

import asyncio
import gzip
import io
import json
import logging
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from scrapy import Request
from scrapy.http import Response
from scrapy.settings import Settings

from anymus.errors import PolicyError
from anymus.manifest import read_manifest
from hostile import RECIPE, Hostile, drip, gallery, never_end, picture, reasons
from scrapers.middlewares import read_retry_after
from scrapers.report import ScrapeReport
from scrapers.robots import TDM_PATH, RobotsMiddleware, read_robots, read_tdm_rules

Crawl = Callable[..., ScrapeReport]


def test_retry_after_pauses_the_whole_host(hostile: Hostile, crawl: Crawl) -> None:
    calls: list[float] = []

    def limited(handler: BaseHTTPRequestHandler) -> None:
        calls.append(time.monotonic())
        body = picture(1)
        handler.send_response(200 if len(calls) > 1 else 429)
        handler.send_header("Retry-After", "2")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    hostile.routes["/1.jpg"] = limited
    hostile.image("/2.jpg", picture(2))
    hostile.html("/", gallery("/1.jpg", "/0.jpg", "/2.jpg"))

    report = crawl(retries=2, loopback_delay_s=0.1)

    assert report.pictures == 3
    later = [at for at in hostile.asked_at if at > calls[0]]
    assert min(later) - calls[0] >= 2.0


def test_a_host_that_asks_for_too_long_is_left_alone(
    hostile: Hostile, crawl: Crawl, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hostile.html("/1.jpg", b"", status=503, Retry_After="86400")
    hostile.html("/", gallery("/0.jpg", "/1.jpg", "/2.jpg"))
    logging.getLogger("anymus").propagate = True

    crawl(retries=1)

    assert hostile.asked.count("/1.jpg") == 1
    assert reasons(tmp_path / "raw", hostile.url)["/1.jpg"] == "rate_limited"
    assert "left alone" in caplog.text


def test_retry_after_as_seconds_date_or_nonsense() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True).encode()

    assert read_retry_after(b"4") == 4.0
    assert 27 < (read_retry_after(soon) or 0) <= 30
    assert read_retry_after(b"soon") is None
    assert read_retry_after(None) is None


def test_a_long_crawl_delay_is_capped_and_said(
    hostile: Hostile, crawl: Crawl, caplog: pytest.LogCaptureFixture
) -> None:
    hostile.routes["/robots.txt"] = (200, {}, b"User-agent: *\nCrawl-delay: 9999\nDisallow: /\n")
    logging.getLogger("anymus").propagate = True

    with pytest.raises(PolicyError, match="robots"):
        crawl(max_seconds=20.0)

    assert "9999 s between two requests; 60 s are kept" in caplog.text


def test_autothrottle_learns_nothing_from_rules() -> None:
    """It would halve a Crawl-delay after a quick tdmrep.json."""
    asked = []

    async def download(request: Request) -> Response:
        asked.append(request)
        return Response(request.url, status=404)

    crawler = SimpleNamespace(
        spider=SimpleNamespace(
            job=SimpleNamespace(limits=SimpleNamespace(has_read_api_terms=False))
        ),
        engine=SimpleNamespace(download_async=download),
        settings=Settings(),
    )

    asyncio.run(RobotsMiddleware(crawler).process_request(Request("https://a.example/1.jpg")))

    assert [urlsplit(request.url).path for request in asked] == ["/robots.txt", TDM_PATH]
    assert all(request.meta["autothrottle_dont_adjust_delay"] for request in asked)


def test_a_byte_budget_ends_the_fetching(hostile: Hostile, crawl: Crawl, tmp_path: Path) -> None:
    for number in range(1, 9):
        hostile.image(f"/{number}.jpg", picture(number))
    hostile.html("/", gallery(*(f"/{number}.jpg" for number in range(9))))

    report = crawl(max_bytes=3 * len(picture()))

    assert not report.is_complete
    assert 1 <= report.pictures < 9
    assert "over_budget" in reasons(tmp_path / "raw").values()
    assert crawl().pictures == 9  # the rest comes in the next run


def test_tdmrep_and_content_usage_in_robots(hostile: Hostile, crawl: Crawl, tmp_path: Path) -> None:
    tdmrep = [
        {"location": "/mine/*", "tdm-reservation": 1},
        {"location": "/", "tdm-reservation": 0},
    ]
    hostile.routes["/.well-known/tdmrep.json"] = (200, {}, json.dumps(tdmrep).encode())
    usage = b"User-agent: *\nAllow: /\nContent-Usage: /art/ train-ai=n\n"
    hostile.routes["/robots.txt"] = (200, {}, usage)
    for path in ("/mine/1.jpg", "/art/2.jpg"):
        hostile.image(path, picture(1))
    hostile.image("/3.jpg", picture(3), Content_Usage="search=y, train-ai=n")
    hostile.html("/", gallery("/0.jpg", "/mine/1.jpg", "/art/2.jpg", "/3.jpg"))

    crawl()

    assert hostile.asked_for("/mine/1.jpg", "/art/2.jpg") == []
    assert reasons(tmp_path / "raw", hostile.url) == {
        "/mine/1.jpg": "opt_out_tdm",
        "/art/2.jpg": "opt_out_train_ai",
        "/3.jpg": "opt_out_train_ai",
    }


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'[{"location": 3}]', b"\xff\xfe", b"nan"])
def test_a_tdmrep_that_says_nothing_reserves_nothing(body: bytes) -> None:
    assert read_tdm_rules(body) is None


def test_usage_of_another_group_is_not_ours() -> None:
    text = b"User-agent: other\nContent-Usage: train-ai=n\n\nUser-agent: *\nDisallow: /x\n"

    assert read_robots(200, text).find_refusal("https://a.example/1") is None
    assert read_robots(200, text).find_refusal("https://a.example/x") == "robots"


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def test_pictures_of_every_kind(hostile: Hostile, crawl: Crawl, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    rgb = Image.fromarray(rng.integers(0, 256, (70, 90, 3), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (70, 90), dtype=np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    film = [rgb.rotate(angle) for angle in range(0, 60, 10)]
    flat = zlib.compress(b"\0" * 10)
    bodies = {
        "/cmyk.jpg": (encode(rgb.convert("CMYK"), "JPEG"), None),
        "/deep.png": (encode(deep, "PNG"), None),
        "/turned.jpg": (encode(rgb, "JPEG", exif=exif), None),
        "/film.gif": (encode(film[0], "GIF", save_all=True, append_images=film[1:]), None),
        "/zip.jpg": (encode(rgb.rotate(2), "JPEG") + b"PK\x03\x04" + flat, None),
        "/long.gif": (
            encode(film[0], "GIF", save_all=True, append_images=film * 3),
            "too_many_frames",
        ),
        "/old.bmp": (encode(rgb, "BMP"), "unwanted_format"),
        "/page.jpg": (b"%PDF-1.4\n" + encode(rgb, "JPEG"), "not_an_image"),
        "/text.png": (b"hello", "not_an_image"),
    }
    for path, (body, _) in bodies.items():
        hostile.image(path, body)
    hostile.html("/", gallery(*bodies))

    crawl(max_frames=10)

    rows = {str(row.url).removeprefix(hostile.url): row for row in read_manifest(tmp_path / "raw")}
    assert {path: row.reason for path, row in rows.items()} == {
        path: reason for path, (_, reason) in bodies.items()
    }
    assert (rows["/turned.jpg"].width_px, rows["/turned.jpg"].height_px) == (70, 90)
    for path, row in rows.items():
        if row.is_kept:
            assert (tmp_path / "raw" / str(row.file)).read_bytes() == bodies[path][0]
    assert str(rows["/zip.jpg"].file).endswith(".jpg")


def flat_png(side_px: int) -> bytes:
    """Return a black-and-white PNG of so many pixels a side, made without holding them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    squeeze = zlib.compressobj(9)
    row = b"\0" * (1 + (side_px + 7) // 8)
    data = b"".join(squeeze.compress(row) for _ in range(side_px)) + squeeze.flush()
    header = struct.pack(">IIBBBBB", side_px, side_px, 1, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def gzip_bomb(size_mb: int) -> bytes:
    squeezed = io.BytesIO()
    with gzip.GzipFile(fileobj=squeezed, mode="wb", mtime=0) as stream:
        for _ in range(size_mb):
            stream.write(b"\0" * 1_000_000)
    return squeezed.getvalue()


# From a small process of its own: a child counts the memory of whoever started it as its own.
MEASURE = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
print(json.dumps([process.returncode, usage.ru_maxrss, usage.ru_utime + usage.ru_stime]))
"""


def test_hostile_bytes_cost_little_time_and_memory(
    hostile: Hostile, params: object, tmp_path: Path
) -> None:
    """Judge by what the system counted of the command and its crawl process."""
    vast, large = flat_png(30_000), flat_png(12_000)
    bomb = gzip_bomb(200)
    assert max(len(vast), len(bomb)) < 250_000
    assert len(large) < 20_000
    hostile.image("/vast.png", vast)
    hostile.image("/large.png", large)
    hostile.image("/gzip.jpg", bomb, Content_Encoding="gzip")
    hostile.routes |= {"/endless.jpg": never_end, "/drip.jpg": drip}
    paths = ["/vast.png", "/large.png", "/gzip.jpg", "/endless.jpg", "/drip.jpg"]
    hostile.html("/", gallery(*paths, "/0.jpg"))
    recipe = RECIPE.format(
        start=f"{hostile.url}/", domains="[127.0.0.1]", is_demo="true", item="li"
    )
    (tmp_path / "hostile.yaml").write_text(recipe)
    settings = ["scrape.timeout_s=3.0", "scrape.retries=0", "scrape.max_rejected_share=1.0"]
    command = [
        sys.executable, "-m", "anymus.cli", "scrape", "hostile.yaml", "-o", "raw",
        "--params", "preset.yaml", *(word for text in settings for word in ("-S", text)),
    ]  # fmt: skip

    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, *command], cwd=tmp_path, stdout=subprocess.PIPE, check=True
    )
    exit_code, peak_kib, cpu_s = json.loads(measured.stdout)

    assert exit_code == 0
    assert reasons(tmp_path / "raw", hostile.url) == {
        "/vast.png": "too_many_pixels",
        "/large.png": "too_many_pixels",
        "/gzip.jpg": "too_many_bytes",
        "/endless.jpg": "too_many_bytes",
        "/drip.jpg": "timeout",
    }
    assert peak_kib < 400 * 1024
    assert cpu_s < 10
    asked = dict(zip(hostile.asked, hostile.asked_at, strict=True))
    gaps = np.diff([asked[path] for path in (*paths, "/0.jpg")])
    assert gaps.max() < 10, dict(zip(paths, gaps, strict=True))


def test_an_opt_out_for_another_robot_is_not_ours(
    hostile: Hostile, crawl: Crawl, tmp_path: Path
) -> None:
    hostile.image("/1.jpg", picture(1), X_Robots_Tag="anymus: noml, otherbot: nofollow")
    hostile.image("/2.jpg", picture(2), X_Robots_Tag="otherbot: noai, noimageai")
    hostile.image("/3.jpg", picture(3), X_Robots_Tag="noimageindex")
    hostile.html("/", gallery("/0.jpg", "/1.jpg", "/2.jpg", "/3.jpg"))

    crawl()

    assert reasons(tmp_path / "raw", hostile.url) == {
        "/1.jpg": "opt_out_noml",
        "/3.jpg": "opt_out_noimageindex",
    }
    kept = {row.url: row for row in read_manifest(tmp_path / "raw") if row.is_kept}
    headers = kept[f"{hostile.url}/2.jpg"].headers or {}
    assert headers["x-robots-tag"] == "otherbot: noai, noimageai"
