"""A page in the browser, served to this machine alone: what all such pages have in common.

A page is for the person at this machine. It answers on the machine's own address only, and refuses
what another site's page sends, be it under another name (DNS rebinding), across origins or as a
part of that page. It loads nothing from elsewhere.
"""

import functools
import json
import socket
import sys
import time
import webbrowser
from collections.abc import Callable, Collection
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from anymus.errors import AnymusError, ImageError, ParamsError
from anymus.progress import log

HOST = "127.0.0.1"
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline';"
    " style-src 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
# What is left of a refused body is read and dropped, within limits: a connection closed over unread
# bytes is reset, and the browser would never see why.
_DRAIN_BYTES = 1 << 28
_DRAIN_S = 5.0


class PageServer(ThreadingHTTPServer):
    """A server on this machine's own address; one thread a connection, none outlives it."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print the traceback of a fault, nothing where a browser went away."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class PageHandler(BaseHTTPRequestHandler):
    """The base of a page's answers; a page adds `answer` and what else it takes.

    A request is looked at before any of them: what is not for this machine is refused with 403.

    Attributes:
        page: The HTML file that is the page itself.
    """

    protocol_version = "HTTP/1.1"
    timeout = 30
    page: Path

    def do_GET(self) -> None:
        """Send the page, or what it asks for; an error of ours is sent as a refusal."""
        url = urlsplit(self.path)
        try:
            if url.path == "/":
                self.send(HTTPStatus.OK, self.page.read_bytes(), "text/html; charset=utf-8")
            elif not self.answer(url):
                self.refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        except AnymusError as error:
            self.refuse_for(error)

    def answer(self, url: SplitResult) -> bool:
        """Send what the page asks for below its own address; False: there is no such thing.

        Raises:
            AnymusError: Why it cannot be sent.
        """
        raise NotImplementedError

    def parse_request(self) -> bool:
        """Read a request's head, and say whether it is to be answered."""
        return super().parse_request() and self._is_from_here()

    def log_message(self, *_: object) -> None:
        """Say nothing: a line a picture is no progress."""

    def read_body(self, max_bytes: int, kinds: Collection[str] = ()) -> bytes | None:
        """Return the body of a request, or None after refusing it.

        Args:
            max_bytes: Larger ones are refused (413) without being kept.
            kinds: The media types that are taken, others are refused (415); empty: any.
        """
        text = self.headers.get("Content-Length") or ""
        kind = (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
        if not (text.isascii() and text.isdecimal()):
            status, message = HTTPStatus.LENGTH_REQUIRED, "the request has no length"
        elif len(text) > 15 or int(text) > max_bytes:
            status, message = (
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"larger than the {max_bytes >> 20} MB that are taken",
            )
        elif kinds and kind not in kinds:
            status, message = HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"not {' or '.join(kinds)}"
        else:
            return self._read(int(text))
        self.refuse_body(status, message)
        return None

    def read_json(self, path: str, max_bytes: int) -> bytes | None:
        """Return the JSON that is sent to a path, or None after refusing it or another path."""
        body = self.read_body(max_bytes, ["application/json"])
        if body is not None and urlsplit(self.path).path != path:
            self.refuse(HTTPStatus.NOT_FOUND, "there is no such page")
            return None
        return body

    def refuse_body(
        self, status: HTTPStatus, message: str, headers: dict[str, str] | None = None
    ) -> None:
        """Send why not before a request's body was read, and see that the answer arrives."""
        self.close_connection = True
        self.send(status, _error(message), "application/json", headers)
        self._drain()

    def send(
        self, status: HTTPStatus, body: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        """Send an answer with a body of some media type."""
        self.send_response(status)
        own = {"Content-Type": kind, "Content-Length": str(len(body))}
        if self.close_connection:
            own["Connection"] = "close"
        for name, value in (_HEADERS | own | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_json(self, status: HTTPStatus, value: object) -> None:
        """Send a JSON value."""
        self.send(status, json.dumps(value).encode(), "application/json")

    def refuse(self, status: HTTPStatus, message: str) -> None:
        """Send why not, as `{"error": message}`."""
        self.send(status, _error(message), "application/json")

    def refuse_for(self, error: AnymusError) -> None:
        """Send an error of ours: 422 for a picture that cannot be used, 400 for the rest."""
        is_picture = isinstance(error, ImageError)
        status = HTTPStatus.UNPROCESSABLE_ENTITY if is_picture else HTTPStatus.BAD_REQUEST
        self.refuse(status, error.message)

    def _is_from_here(self) -> bool:
        """Say whether the page itself asks, or the person at the browser; refuse all others."""
        port = self.connection.getsockname()[1]
        hosts = {f"{HOST}:{port}", f"localhost:{port}"}
        origin = self.headers.get("Origin")
        is_own_host = self.headers.get("Host") in hosts
        is_own_origin = origin is None or origin in {f"http://{host}" for host in hosts}
        site = self.headers.get("Sec-Fetch-Site", "same-origin")
        is_navigation = self.command == "GET" and self.headers.get("Sec-Fetch-Mode") == "navigate"
        if is_own_host and is_own_origin and (site in ("same-origin", "none") or is_navigation):
            return True
        self.refuse_body(HTTPStatus.FORBIDDEN, "this page is for this machine alone")
        return False

    def _read(self, size_bytes: int) -> bytes | None:
        body = self.rfile.read(size_bytes)
        if len(body) == size_bytes:
            return body
        self.close_connection = True  # the browser went away in the middle
        return None

    def _drain(self) -> None:
        """Read and drop what a refused request still sends, so that its answer arrives."""
        end_s, left = time.monotonic() + _DRAIN_S, _DRAIN_BYTES
        with suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(1.0)
            while left > 0 and time.monotonic() < end_s:
                dropped = len(self.rfile.read1(1 << 16))
                if not dropped:
                    return
                left -= dropped


def picture_number(query: str, count: int) -> int:
    """Return the `index` of a query: the number of one of so many pictures, from 0.

    Raises:
        ParamsError: It is none.
    """
    text = parse_qs(query).get("index", [""])[0]
    is_number = text.isascii() and text.isdecimal() and len(text) < 10
    if not is_number or int(text) >= count:
        raise ParamsError(f"there is no picture {text[:20]!r}")
    return int(text)


def _error(message: str) -> bytes:
    return json.dumps({"error": message}).encode()


def open_server(handler: Callable[..., PageHandler], subject: object, port: int = 0) -> PageServer:
    """Return a server of a page on this machine's own address, not started yet.

    Args:
        handler: The page's `PageHandler`, whose first argument is the subject.
        subject: What the page is about; shared by all threads.
        port: 0: any free one.

    Raises:
        AnymusError: The port is in use.
    """
    try:
        return PageServer((HOST, port), functools.partial(handler, subject))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AnymusError(
            f"cannot answer on {HOST}:{port}: {reason}", "leave --port out for a free one"
        ) from error


def serve_until_interrupt(server: PageServer, what: str, *, has_browser: bool) -> None:
    """Answer the browser until Ctrl-C.

    Args:
        server: An opened server; closed by the caller.
        what: What the log line says before the address.
        has_browser: Whether the page is opened.
    """
    address = f"http://{HOST}:{server.server_port}/"
    log.info("%s at %s - Ctrl-C ends", what, address)
    if has_browser:
        webbrowser.open(address)
    with suppress(KeyboardInterrupt):
        server.serve_forever()
