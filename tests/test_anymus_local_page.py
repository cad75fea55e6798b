"""Pages for this machine: who is answered, who is not, and that a refusal arrives."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from anymus.errors import AnymusError, ImageError
from anymus.local_page import PageHandler, PageServer, open_server

LIMIT_BYTES = 1000


class _Page(PageHandler):
    def __init__(self, word: str, *arguments: object) -> None:
        self.word = word
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self.send(HTTPStatus.OK, self.word.encode(), "text/plain")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body = self.read_body(LIMIT_BYTES, ["text/plain"])
        if body == b"picture":
            self.refuse_for(ImageError("no picture"))
        elif body == b"option":
            self.refuse_for(AnymusError("no option"))
        elif body is not None:
            self.send_json(HTTPStatus.OK, len(body))


@pytest.fixture
def server() -> Iterator[PageServer]:
    with open_server(_Page, "hello") as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _ask(
    server: PageServer, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, "/", body, names)
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.headers


def test_the_page_is_answered_and_says_what_it_may_load(server: PageServer) -> None:
    status, body, headers = _ask(server)
    assert (status, body) == (200, b"hello")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "http" not in headers["Content-Security-Policy"]
    assert _ask(server, "HEAD")[:2] == (200, b"")
    assert _ask(server, Host=f"localhost:{server.server_port}")[0] == 200
    assert _ask(server, "DELETE")[0] == 501


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_site_is_refused(server: PageServer, headers: dict[str, str], method: str) -> None:
    body = b"x" if method == "POST" else None
    assert _ask(server, method, body, Content_Type="text/plain", **headers)[0] == 403


def test_who_follows_a_link_is_welcome_who_sends_a_form_is_not(server: PageServer) -> None:
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert _ask(server, **link)[0] == 200
    assert _ask(server, "POST", b"x", Content_Type="text/plain", **link)[0] == 403


def test_bodies_are_taken_up_to_a_size_and_of_a_kind(server: PageServer) -> None:
    kind = {"Content_Type": "text/plain; charset=utf-8"}
    assert _ask(server, "POST", b"x" * LIMIT_BYTES, **kind)[:2] == (200, b"1000")
    assert _ask(server, "POST", b"x", Content_Type="text/html")[0] == 415
    assert _ask(server, "POST", b"x" * (LIMIT_BYTES + 1), **kind)[0] == 413
    assert _ask(server, "POST", b"x", Content_Length="99999999999999999999", **kind)[0] == 413
    assert _ask(server, "POST", b"x", Content_Length="-1", **kind)[0] == 411
    assert _ask(server, "POST", b"picture", **kind)[:2] == (422, b'{"error": "no picture"}')
    assert _ask(server, "POST", b"option", **kind)[0] == 400


def test_a_refusal_arrives_before_the_whole_body_was_read(server: PageServer) -> None:
    size = 50 << 20
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as connection:
        head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
        head += f"Content-Type: text/plain\r\nContent-Length: {size}\r\n\r\n"
        connection.sendall(head.encode())
        for _ in range(50):
            connection.sendall(b"\0" * (1 << 20))
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 413
        assert "larger" in json.loads(answer.read())["error"]


def test_a_browser_that_goes_away_leaves_no_trace(
    server: PageServer, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as connection:
            head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
            head += "Content-Type: text/plain\r\nContent-Length: 900\r\n\r\nfew"
            connection.sendall(head.encode())
            connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
            )  # reset, no farewell
    time.sleep(0.2)
    assert _ask(server)[0] == 200
    assert capfd.readouterr().err == ""


def test_a_taken_port_is_named(server: PageServer) -> None:
    with pytest.raises(AnymusError, match=f"127.0.0.1:{server.server_port}.*in use"):
        open_server(_Page, "hello", server.server_port)
    with pytest.raises(AnymusError, match="cannot answer"):
        open_server(_Page, "hello", 70_000)
