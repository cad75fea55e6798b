"""Serve: pictures go in and come out, what is too large or no picture does not, none is kept."""

import base64
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser

from anymus.drawing.photo import draw_couple, draw_portrait
from anymus.errors import CheckpointError, ParamsError
from anymus.images import RgbU8, decode_rgb, encode_jpeg, encode_png
from inference.finish import Finish
from inference.serve import BusyError, Limits, Studio, Turns, Wish, open_studio

SIZE_PX = 32
CARD = {"framing": {"face_share": 0.55, "eye_line": 0.46}}


@pytest.fixture(scope="module")
def portrait() -> RgbU8:
    return draw_portrait(np.random.default_rng([1, 0]), 256, 256).rgb_u8


class StudioBrowser(Browser):
    def translate(self, body: bytes, query: str = "") -> tuple[int, Any]:
        return self.ask("POST", f"/api/translate?{query}", body)[:2]


@pytest.fixture(scope="module")
def browser(models: Path) -> Iterator[StudioBrowser]:
    studio = Studio(models, "cpu", Limits(max_upload_mib=1, max_megapixels=1.0))
    with open_studio(studio) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield StudioBrowser(server.server_port)
        server.shutdown()
        thread.join()


def _pixels(url: str) -> RgbU8:
    head, _, content = url.partition(",")
    assert head == "data:image/png;base64"
    return decode_rgb(base64.b64decode(content))


def test_the_page_needs_nothing_from_elsewhere(browser: StudioBrowser) -> None:
    status, page, headers = browser.ask("GET", "/")
    assert status == 200
    assert b"anymus serve" in page
    assert b"http://" not in page
    assert b"https://" not in page
    assert "connect-src 'self'" in headers["Content-Security-Policy"]
    about = browser.ask("GET", "/api/about")[1]
    assert about["directions"] == ["a2b", "b2a"]
    assert about["max_upload_mib"] == 1


def test_a_face_is_put_back(browser: StudioBrowser, portrait: RgbU8) -> None:
    status, answer = browser.translate(encode_png(portrait), "faces=paste")
    assert (status, answer["faces"], len(answer["results"])) == (200, 1, 1)
    before, after = (_pixels(answer["results"][0][name]) for name in ("before", "after"))
    assert np.array_equal(before, portrait)
    assert np.array_equal(after[:4], portrait[:4])
    assert (after != portrait).any(axis=2).mean() > 0.1
    unchanged = browser.translate(encode_png(portrait), "faces=paste&strength=0")[1]
    assert np.array_equal(_pixels(unchanged["results"][0]["after"]), portrait)


def test_each_face_of_several_comes_by_itself(browser: StudioBrowser) -> None:
    couple = draw_couple(np.random.default_rng([1, 1])).rgb_u8
    answer = browser.translate(encode_jpeg(couple), "faces=crop&direction=a2b&screentone=4")[1]
    assert (answer["faces"], len(answer["results"])) == (2, 2)
    for pair in answer["results"]:
        after = _pixels(pair["after"])
        assert after.shape == _pixels(pair["before"]).shape == (SIZE_PX, SIZE_PX, 3)
        assert (after.min(axis=2) == after.max(axis=2)).all()


def test_a_picture_without_a_face_is_its_middle(browser: StudioBrowser) -> None:
    sea = np.zeros((60, 90, 3), np.uint8)
    sea[:, :, 2] = np.arange(90)[None, :] * 2
    answer = browser.translate(encode_png(sea), "faces=crop")[1]
    assert (answer["faces"], answer["is_without_face"], len(answer["results"])) == (0, True, 1)
    answer = browser.translate(encode_png(sea), "faces=whole")[1]
    assert answer["is_without_face"] is False


def test_what_is_no_picture_or_too_large_is_refused(
    browser: StudioBrowser, portrait: RgbU8
) -> None:
    png = encode_png(portrait)
    for body in (b"", b"<html></html>", png[:900], b"\x89PNG" + b"\0" * 99):
        status, answer = browser.translate(body)
        assert status == 422
        assert answer["error"]
    status, answer = browser.translate(encode_png(np.zeros((1001, 1000, 3), np.uint8)))
    assert status == 422
    assert "1000 x 1001" in answer["error"]
    status, answer = browser.translate(b"\0" * (50 << 20))
    assert status == 413
    assert "1 MB" in answer["error"]
    assert browser.translate(png)[0] == 200


@pytest.mark.parametrize(
    "query",
    ["faces=none", "direction=c2d", "strength=2", "strength=x", "screentone=1", "paste_colour=red",
     "output=/etc/passwd"],
)  # fmt: skip
def test_options_that_are_none_are_refused(browser: StudioBrowser, query: str) -> None:
    status, answer = browser.translate(b"x", query)
    assert status == 400
    assert answer["error"]


def test_other_places_and_other_sites_are_refused(browser: StudioBrowser) -> None:
    for path in ("/serve.html", "/../pyproject.toml", "/api", "/models/generator_a2b.safetensors"):
        assert browser.ask("GET", path)[0] == 404
    assert browser.ask("POST", "/api/other", b"x")[0] == 404
    assert browser.ask("POST", "/api/translate", b"x", Origin="http://evil.example")[0] == 403
    assert browser.ask("GET", "/", Host="evil.example")[0] == 403


def test_ten_at_once_are_all_served_and_alike(browser: StudioBrowser, portrait: RgbU8) -> None:
    png = encode_png(portrait)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: browser.translate(png, "faces=whole"), range(10)))
    assert [status for status, _ in answers] == [200] * 10
    assert len({answer["results"][0]["after"] for _, answer in answers}) == 1


def test_a_crowd_is_told_to_come_back() -> None:
    turns = Turns(Limits(waiting=1, per_minute=3))
    with turns.place(), turns.place(), pytest.raises(BusyError) as caught, turns.place():
        pass
    assert caught.value.retry_s == 1.0
    with turns.place():
        pass
    with pytest.raises(BusyError) as caught, turns.place():
        pass
    assert 50 < caught.value.retry_s <= 60


def test_too_many_in_a_minute_are_answered_429(models: Path, portrait: RgbU8) -> None:
    with open_studio(Studio(models, "cpu", Limits(per_minute=1))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = StudioBrowser(server.server_port)
        assert browser.translate(encode_png(portrait), "faces=whole")[0] == 200
        status, answer, headers = browser.ask("POST", "/api/translate", encode_png(portrait))
        assert (status, answer["error"]) == (429, "too many pictures at once")
        assert 1 <= int(headers["Retry-After"]) <= 60
        server.shutdown()


def test_one_file_of_weights_serves_its_direction(models: Path, portrait: RgbU8) -> None:
    studio = Studio(models / "generator_b2a.safetensors", "cpu", Limits())
    assert studio.directions == ["b2a"]
    with pytest.raises(ParamsError, match="no weights for a2b"):
        studio.translate(encode_png(portrait), Wish("a2b", "whole", Finish()))
    with pytest.raises(CheckpointError):
        Studio(models / "none", "cpu", Limits())


def test_the_command_answers_until_ctrl_c_and_leaves_nothing(
    models: Path, portrait: RgbU8, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "anymus.cli", "serve", "-g", str(models), "--no-browser"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        port = int(line.partition("127.0.0.1:")[2].partition("/")[0])
        assert StudioBrowser(port).translate(encode_png(portrait))[0] == 200
        process.send_signal(signal.SIGINT)
        started_s = time.monotonic()
        rest = process.stderr.read()
    assert process.returncode == 0
    assert time.monotonic() - started_s < 10
    assert rest == ""
    assert list(tmp_path.iterdir()) == []
