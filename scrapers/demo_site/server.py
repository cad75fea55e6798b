"""The demo site's server: real HTTP on loopback, in a thread, its pictures drawn in processes."""

import errno
import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from anymus.engine import count_workers, process_pool
from anymus.errors import AnymusError
from anymus.files import sha256_bytes, sha256_file
from anymus.manifest import DOMAINS, Domain
from anymus.params import Params

from . import pages
from .content import (
    DemoPicture,
    draw_picture,
    list_served,
    page_of,
    plan_pictures,
)

HOST = "127.0.0.1"


class Reply(NamedTuple):
    """What the server sends."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = {}


class DemoSite:
    """The galleries of a demo site and a log of the paths that were asked for."""

    def __init__(
        self, params: Params, domains: tuple[Domain, ...], pool: ProcessPoolExecutor
    ) -> None:
        demo = params.scrape.demo_site
        self._items_per_page = demo.items_per_page
        self.galleries = {
            domain: plan_pictures(params.seed, demo, domain) if domain in domains else []
            for domain in DOMAINS
        }
        self.base_url = ""
        self.requested_paths: list[str] = []
        self._items = {p.number: p for p in self.galleries["photo"]}
        self._pictures = {p.path: p for plan in self.galleries.values() for p in list_served(plan)}
        draw = partial(draw_picture, params.seed)
        self._drawn: dict[str, Future[bytes]] = {
            path: pool.submit(draw, picture) for path, picture in self._pictures.items()
        }

    def answer(self, path: str) -> Reply:
        """Return the reply to a request for a path, and log the path."""
        self.requested_paths.append(path)
        if path in self._drawn:
            return self._send_picture(path)
        text = self._render(path)
        if path == "/robots.txt":
            return Reply(200, "text/plain; charset=utf-8", pages.ROBOTS.encode())
        if text is None:
            return Reply(404, "text/plain; charset=utf-8", b"not found\n")
        return Reply(200, "text/html; charset=utf-8", text.encode())

    def _send_picture(self, path: str) -> Reply:
        body = self._drawn[path].result()
        is_opted_out = self._pictures[path].fault == "noai"
        headers = {"X-Robots-Tag": "noai, noimageai"} if is_opted_out else {}
        return Reply(200, "image/png" if path.endswith(".png") else "image/jpeg", body, headers)

    def _render(self, path: str) -> str | None:
        match path.strip("/").split("/"):
            case [""]:
                return pages.render_home()
            case ["terms"]:
                return pages.render_terms()
            case ["photo", "item", number] if number.isdecimal() and int(number) in self._items:
                return pages.render_photo_item(self._items[int(number)])
            case [("photo" | "manga") as domain, "page", number] if number.isdecimal():
                return self._render_gallery(self.galleries[domain], domain, int(number))
        return None

    def _render_gallery(self, plan: list[DemoPicture], domain: Domain, number: int) -> str | None:
        page = page_of(plan, self._items_per_page, number)
        if page is None:
            return None
        render = pages.render_photo_gallery if domain == "photo" else pages.render_manga_gallery
        return render(page[0], number, has_next=page[1])


@contextmanager
def run_demo_site(params: Params, domains: tuple[Domain, ...] = DOMAINS) -> Iterator[DemoSite]:
    """Serve the demo site on loopback while the block runs; `base_url` says where.

    Pictures are drawn ahead by the engine's workers, in the order of the pages.

    Raises:
        AnymusError: The port of `scrape.demo_site.port` is in use.
    """
    server = _bind(params.scrape.demo_site.port)
    with server, process_pool(count_workers(params.engine.workers)) as pool:
        server.site = DemoSite(params, domains, pool)
        server.site.base_url = f"http://{HOST}:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.site
        finally:
            server.shutdown()


def name_content(params: Params) -> str:
    """Return a name of all that the site would serve: it changes with the seed and the code."""
    home = Path(__file__).resolve().parent
    drawing = home.parent.parent / "anymus" / "drawing"
    sources = [path for folder in (home, drawing) for path in sorted(folder.glob("*.py"))]
    parts = [str(params.seed), params.scrape.demo_site.model_dump_json(exclude={"port"})]
    parts += [sha256_file(path) for path in sources]
    return "demo " + sha256_bytes("\n".join(parts).encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    site: DemoSite

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a crawl that stops in the middle of a picture is no fault of the site."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Send the reply to a request."""
        reply = self.server.site.answer(self.path)
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing: the site keeps its own log of paths."""


def _bind(port: int) -> _Server:
    try:
        return _Server((HOST, port), _Handler)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise AnymusError(
            f"the demo site cannot use port {port}: {os.strerror(error.errno)}",
            "-S scrape.demo_site.port=0 takes any free port",
        ) from error
