"""Manners: pauses, budgets and opt-outs, and pictures of every kind."""

import io
import json
import logging
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anymus.errors import PolicyError
from anymus.manifest import read_manifest
from hostile import Hostile, gallery, picture, reasons
from scrapers.middlewares import read_retry_after
from scrapers.report import ScrapeReport
from scrapers.robots import read_robots, read_tdm_rules

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


def test_a_bomb_costs_little_time_and_memory(
    hostile: Hostile, crawl: Crawl, tmp_path: Path
) -> None:
    bomb = encode(Image.new("1", (12_000, 12_000)), "PNG")
    big = encode(Image.new("RGB", (8_000, 7_900)), "PNG")
    assert len(bomb) < 60_000
    hostile.image("/bomb.png", bomb)
    hostile.image("/big.png", big)
    hostile.html("/", gallery("/0.jpg", "/bomb.png", "/big.png"))
    before = time.monotonic()

    crawl()

    assert reasons(tmp_path / "raw", hostile.url) == {"/bomb.png": "too_many_pixels"}
    assert time.monotonic() - before < 60
    assert (tmp_path / "raw/index.html").stat().st_size < 200_000


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
