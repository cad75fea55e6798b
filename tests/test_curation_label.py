"""The labelling tool: its file of labels, and its server against good, bad and rival browsers."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser

from anymus.drawing.manga import draw_bust
from anymus.errors import AnymusError, DatasetError, ParamsError
from anymus.images import encode_png
from anymus.params import Params
from chromium import PROGRAM, Page, open_chromium
from curation.label import LabelDesk, count_labels, open_desk
from curation.labels import LabelStore, PictureLabels, parse_row, read_labels

ROW: dict[str, Any] = {
    "file": "a/one.png",
    "width_px": 80,
    "height_px": 60,
    "faces": [
        {"box": [4, 5, 30.5, 40], "view": "front", "left_eye": [12, 20], "right_eye": [25, 21]},
        {"box": [50, 5, 20, 20], "view": "profile", "left_eye": None, "right_eye": None},
    ],
    "negatives": [[1, 2, 3, 4]],
    "is_done": True,
}


def _row(**changes: Any) -> PictureLabels:
    return PictureLabels.model_validate(json.loads(json.dumps(ROW | changes)))


def test_the_file_is_what_its_readers_expect(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "deep" / "labels.jsonl")
    assert store.save(_row(file="b.png"), None)
    assert store.save(_row(), None)
    lines = (tmp_path / "deep" / "labels.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [ROW, ROW | {"file": "b.png"}]
    assert list(json.loads(lines[0])) == list(ROW)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"file": "../secret.png"}, "below the folder"),
        ({"file": "/etc/passwd"}, "below the folder"),
        ({"file": "..\\secret.png"}, "below the folder"),
        ({"negatives": [[1, 2, 0, 4]]}, "negatives"),
        ({"negatives": [[81, 2, 5, 4]]}, "outside the picture"),
        ({"faces": [ROW["faces"][0] | {"view": "back"}]}, "view"),
        ({"faces": [ROW["faces"][0] | {"left_eye": [30, 20]}]}, "left_eye lies right"),
        ({"faces": [ROW["faces"][0] | {"box": [1, 2, float("nan"), 4]}]}, "box"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_bad_row_is_named(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ParamsError, match=problem):
        parse_row(json.dumps(ROW | changes).encode())
    with pytest.raises(ParamsError, match="not a row"):
        parse_row(b"\xff{")


def test_a_bad_line_of_the_file_is_named_and_the_file_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(json.dumps(ROW) + "\nbroken\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"labels\.jsonl:2"):
        LabelStore(path)
    with pytest.raises(DatasetError, match="cannot read labels"):
        read_labels(tmp_path / "none.jsonl")
    assert path.read_text(encoding="utf-8").endswith("broken\n")


def test_rival_writers_lose_nothing(tmp_path: Path) -> None:
    stores = [LabelStore(tmp_path / "labels.jsonl") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(stores[n % 4].save, _row(file=f"{n:02}.png"), None) for n in range(24)]
        assert all(job.result() for job in jobs)
    rows = stores[0].read()
    assert len(rows) == 24
    first = rows["00.png"]
    changed = first.model_copy(update={"is_done": False})
    assert stores[1].save(changed, first.revision) == changed.revision
    assert stores[2].save(first, first.revision) is None
    assert stores[3].read()["00.png"] == changed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pages"
    (root / "sub").mkdir(parents=True)
    bust = draw_bust(np.random.default_rng(2)).rgb_u8
    (root / "one.png").write_bytes(encode_png(bust))
    (root / "sub" / "zwei ü.png").write_bytes(encode_png(bust[:, ::-1]))
    (root / "sub" / "broken.png").write_bytes(b"no picture")
    (root / "notes.txt").write_text("not a picture")
    return root


class DeskBrowser(Browser):
    def put(self, index: int, row: object, **headers: str) -> tuple[int, Any]:
        kind = {"Content_Type": "application/json"} | headers
        path = f"/api/labels?index={index}"
        return self.ask("PUT", path, json.dumps(row).encode(), **kind)[:2]


@pytest.fixture
def desk(folder: Path, tmp_path: Path) -> Iterator[tuple[DeskBrowser, LabelDesk, LabelStore]]:
    store = LabelStore(tmp_path / "labels.jsonl")
    desk = LabelDesk(folder, store, None)
    with open_desk(desk) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield DeskBrowser(server.server_port), desk, store
        server.shutdown()
        thread.join()


Desk = tuple[DeskBrowser, LabelDesk, LabelStore]


def test_a_picture_is_marked_saved_and_resumed(desk: Desk) -> None:
    browser, here, store = desk
    status, page, headers = browser.ask("GET", "/")
    assert (status, b"anymus label" in page) == (200, True)
    assert b"http://" not in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    names = [item["file"] for item in browser.ask("GET", "/api/pictures")[1]]
    assert names == ["one.png", "sub/broken.png", "sub/zwei ü.png"]
    assert browser.ask("GET", "/picture?index=2")[1][:3] == b"\xff\xd8\xff"
    found = browser.ask("GET", "/api/labels?index=2")[1]
    assert found["revision"] is None
    row = found["row"] | {"faces": [ROW["faces"][0]], "is_done": True}
    status, saved = browser.put(2, row)
    assert status == 200
    again = browser.ask("GET", "/api/labels?index=2")[1]
    assert (again["revision"], again["row"]) == (saved["revision"], row)
    assert browser.ask("GET", "/api/pictures")[1][2]["is_done"]
    assert count_labels(here, store).as_metrics() == {
        "pictures": 3,
        "done": 1,
        "faces": 1,
        "negatives": 0,
    }


def test_the_second_window_is_told(desk: Desk) -> None:
    browser, _, store = desk
    row = browser.ask("GET", "/api/labels?index=0")[1]["row"]
    assert browser.put(0, row)[0] == 200
    status, answer = browser.put(0, row | {"is_done": True})
    assert (status, "another window" in answer["error"]) == (409, True)
    revision = browser.ask("GET", "/api/labels?index=0")[1]["revision"]
    assert browser.put(0, row | {"is_done": True}, If_Match=f'"{revision}"')[0] == 200
    assert store.read()["one.png"].is_done


def test_what_no_honest_page_sends_is_refused(desk: Desk) -> None:
    browser, _, store = desk
    row = browser.ask("GET", "/api/labels?index=0")[1]["row"]
    for path in ("/picture?index=../../etc/passwd", "/picture?index=3", "/picture?index=-1"):
        assert browser.ask("GET", path)[0] == 400
    for path in ("/picture?index=0000000001234567890", "/api/labels", "/api/labels?index=%D9%A1"):
        assert browser.ask("GET", path)[0] == 400
    for path in ("/../pyproject.toml", "/notes.txt", "/label.html"):
        assert browser.ask("GET", path)[0] == 404
    assert browser.ask("GET", "/api/labels?index=1")[0] == 422  # the broken picture
    assert browser.ask("GET", "/", Host="evil.example")[0] == 403
    assert browser.put(0, row, Origin="http://evil.example")[0] == 403
    assert browser.put(0, row, Content_Type="text/plain")[0] == 415
    assert browser.put(0, row | {"file": "../../x.png"})[0] == 400
    assert browser.put(0, row | {"file": "sub/zwei ü.png"})[0] == 400
    assert browser.put(0, row | {"width_px": 1})[0] == 400
    assert browser.put(0, ["no row"])[0] == 400
    assert browser.ask("POST", "/api/labels?index=0", b"{}")[0] == 501
    assert store.read() == {}


def test_a_detector_proposes(folder: Path, tmp_path: Path, params: Params) -> None:
    desk = LabelDesk(folder, LabelStore(tmp_path / "labels.jsonl"), params.detect.manga)
    row = desk.row(0)["row"]
    assert isinstance(row, dict)
    face = row["faces"][0]
    assert face["view"] == "front"
    assert face["left_eye"][0] < face["right_eye"][0]
    assert not row["is_done"]


def test_a_folder_without_pictures_and_a_taken_port(folder: Path, tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "labels.jsonl")
    (tmp_path / "empty").mkdir()
    for empty in ("empty", "none"):
        with pytest.raises(DatasetError):
            LabelDesk(tmp_path / empty, store, None)
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(AnymusError, match="in use"),
    ):
        open_desk(LabelDesk(folder, store, None), taken.getsockname()[1])


def test_the_command_answers_until_ctrl_c(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "anymus.cli", "label", str(folder), "--no-browser"]
    command += ["-o", str(tmp_path / "labels.jsonl"), "--no-proposals"]
    (tmp_path / "params.yaml").write_text("")
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        port = int(line.partition("127.0.0.1:")[2].partition("/")[0])
        assert DeskBrowser(port).ask("GET", "/")[0] == 200
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 0
    assert "pictures" in rest


def _mouse(page: Page, *points: tuple[float, float]) -> None:
    """Press the button at the first point of the picture (pixels) and let go at the last."""
    kinds = ["mousePressed", *["mouseMoved"] * (len(points) - 1), "mouseReleased"]
    for kind, (x, y) in zip(kinds, [*points, points[-1]], strict=True):
        place = {"x": page.run(f"{x} * zoom + offset[0]"), "y": page.run(f"{y} * zoom + offset[1]")}
        held = {"button": "left", "buttons": int(kind != "mouseReleased"), "clickCount": 1}
        page.call("Input.dispatchMouseEvent", type=kind, **place, **held)


def _press(page: Page, key: str) -> None:
    page.call("Input.dispatchKeyEvent", type="keyDown", key=key)
    page.call("Input.dispatchKeyEvent", type="keyUp", key=key)


@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason="needs Chromium (apt-get install chromium)")
def test_faces_are_marked_by_mouse_and_keys_and_one_eye_is_no_less(desk: Desk) -> None:
    browser, here, store = desk
    old = {"box": [5, 5, 60, 60], "view": "profile", "left_eye": None, "right_eye": [20, 30]}
    row = browser.ask("GET", "/api/labels?index=2")[1]["row"] | {"faces": [old]}
    assert browser.put(2, row)[0] == 200
    with open_chromium() as page:
        page.open(f"http://127.0.0.1:{browser.port}/#0")
        page.wait_for("row && row.file === 'one.png'")
        _mouse(page, (100, 100), (150, 160), (220, 240))
        _mouse(page, (190, 150))  # the right eye first: they are put in order
        _mouse(page, (130, 152))
        _mouse(page, (20, 20), (40, 50), (80, 90))
        _mouse(page, (70, 40))
        _press(page, "Escape")
        _press(page, "3")
        _mouse(page, (20, 250), (60, 300), (80, 320))
        _press(page, "Escape")
        buttons = "[...document.querySelectorAll('#views button')].map(b => b.textContent)"
        assert page.run(buttons)[3:] == ["4 partial", "5 tiny", "H negative"]
        _press(page, "h")
        _press(page, "Enter")
        page.wait_for("files[0].is_done && index === 1 && !busy")
        page.run("nextUndone()")
        page.wait_for("row && row.file === 'sub/zwei ü.png'")
        _press(page, "Enter")
        page.wait_for("files[2].is_done")
        assert page.failures == []
    done = store.read()
    first, second = done["one.png"].faces
    assert first.box == pytest.approx((100, 100, 120, 140), abs=1)
    assert first.left_eye == pytest.approx((130, 152), abs=1)
    assert first.right_eye == pytest.approx((190, 150), abs=1)
    assert (second.view, second.left_eye) == ("profile", None)
    assert second.right_eye == pytest.approx((70, 40), abs=1)
    assert done["one.png"].negatives[0] == pytest.approx((20, 250, 60, 70), abs=1)
    assert done["sub/zwei ü.png"].faces[0].model_dump() == old | {
        "box": (5, 5, 60, 60), "right_eye": (20, 30)
    }  # fmt: skip
    assert count_labels(here, store).as_metrics()["done"] == 2
