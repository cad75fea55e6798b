"""A small server that forbids, lies, redirects and breaks as a test says, on loopback."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from anymus.images import encode_jpeg
from anymus.manifest import read_manifest

Route = tuple[int, dict[str, str], bytes]
RECIPE = """
name: hostile
domain: photo
description: a hostile server
licence_note: none
terms_url: none
is_demo: {is_demo}
start_urls: ["{start}"]
allowed_domains: {domains}
item: {item}
next_page: a.next::attr(href)
picture: {{image: "img::attr(src)"}}
"""


def picture(number: int = 0, side_px: int = 80) -> bytes:
    rng = np.random.default_rng(number)
    return encode_jpeg(rng.integers(0, 256, (side_px, side_px, 3), dtype=np.uint8))


def gallery(*links: str, head: str = "", tail: str = "") -> bytes:
    items = "".join(f"<li><img src='{link}'></li>" for link in links)
    return f"<html><head>{head}</head><body><ul>{items}</ul>{tail}</body></html>".encode()


class Hostile:
    """A server whose routes a test sets, and the log of what was asked for and when."""

    def __init__(self) -> None:
        self.routes: dict[str, Route | Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[str] = []
        self.asked_at: list[float] = []
        self.agents: set[str] = set()
        self.fallback: Callable[[BaseHTTPRequestHandler], bool] | None = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.html("/", gallery("/0.jpg"))
        self.routes["/0.jpg"] = (200, {"Content-Type": "image/jpeg"}, picture())

    def html(self, path: str, body: bytes, status: int = 200, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.routes[path] = (status, {"Content-Type": "text/html"} | named, body)

    def image(self, path: str, body: bytes, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.routes[path] = (200, {"Content-Type": "image/jpeg"} | named, body)

    def redirect(self, path: str, target: str) -> None:
        self.routes[path] = (302, {"Location": target}, b"")

    def asked_for(self, *paths: str) -> list[str]:
        return [path for path in self.asked if path in paths]

    def _make_handler(hostile) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hostile.asked.append(self.path)
                hostile.asked_at.append(time.monotonic())
                hostile.agents.add(self.headers["User-Agent"])
                if hostile.fallback is not None and hostile.fallback(self):
                    return
                route = hostile.routes.get(self.path, (404, {}, b""))
                if callable(route):
                    route(self)
                    return
                status, headers, body = route
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        return Handler


@contextmanager
def serve_hostile() -> Iterator[Hostile]:
    """Give a hostile server while the block runs."""
    site = Hostile()
    with site.server:
        threading.Thread(target=site.server.serve_forever, args=(0.02,), daemon=True).start()
        yield site
        site.server.shutdown()


def reasons(folder: Path, base_url: str = "") -> dict[str, str | None]:
    """Return the reason of every rejected row by its URL."""
    rows = read_manifest(folder)
    return {(row.url or "").removeprefix(base_url): row.reason for row in rows if not row.is_kept}


def never_end(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b"x" * 65_536)


def drip(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    with contextlib.suppress(OSError):
        for _ in range(200):
            handler.wfile.write(b"x")
            time.sleep(0.1)


def start_crawl(tmp_path: Path, hostile: Hostile, *more: str) -> "subprocess.Popen[str]":
    """Start a crawl of the server's pages below `tmp_path`, which holds the preset."""
    recipe = RECIPE.format(
        start=f"{hostile.url}/p0", domains="[127.0.0.1]", is_demo="true", item="li"
    )
    (tmp_path / "hostile.yaml").write_text(recipe)
    command = [
        sys.executable, "-m", "anymus.cli", "scrape", "hostile.yaml", "-o", "raw",
        "--params", "preset.yaml", *more,
    ]  # fmt: skip
    return subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
