"""Votes: what a file of them shows, and the page, which never tells whose translation is whose."""

import http.client
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anymus.errors import DatasetError
from anymus.images import decode_rgb, write_png
from anymus.params import read_preset
from training.cli import votes
from training.contender import load_contender
from training.vote import VoteDesk, open_desk
from training.votes import Vote, VoteStore, count_votes, read_votes, wilson_interval

PICTURES = 12
A, B = "a" * 64, "b" * 64


def _vote(picture: int, choice: str, **changes: str) -> Vote:
    row = {"picture": f"testA/{picture}.png", "direction": "a2b", "name_a": "old", "name_b": "new"}
    row |= {"sha256_a": A, "sha256_b": B, "left": "a", "choice": choice}
    return Vote.model_validate(row | changes)


def test_the_interval_is_wilsons() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
    for wins, trials, expected in (
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ):
        assert wilson_interval(wins, trials) == pytest.approx(expected, abs=5e-5)
    assert wilson_interval(0, 0) == (0, 1)
    low, high = wilson_interval(29, 29)
    assert (low, high) == pytest.approx((1 - wilson_interval(0, 29)[1], 1.0))


def test_a_winner_needs_an_interval_on_one_side_of_a_half() -> None:
    found = count_votes([[_vote(n, "b") for n in range(8)] + [_vote(9, "a"), _vote(10, "tie")]])
    figures = found.as_metrics()
    assert figures["verdict"] == "B (new) is preferred"
    assert (figures["pictures"], figures["wins_a"], figures["wins_b"], figures["ties"]) == (
        10, 1, 8, 1,
    )  # fmt: skip
    assert figures["share_b"] == pytest.approx(8 / 9)
    assert figures["share_left"] == pytest.approx(1 / 9)
    less = count_votes([[_vote(n, "b") for n in range(5)] + [_vote(n, "a") for n in (6, 7)]])
    assert less.verdict == "no difference"
    assert count_votes([[_vote(n, "a") for n in range(9)]]).verdict == "A (old) is preferred"
    assert count_votes([[_vote(0, "tie")]]).verdict == "no difference"


def test_a_picture_that_several_saw_counts_once() -> None:
    people = [[_vote(0, "b"), _vote(1, "b"), _vote(2, "a")], [_vote(0, "b"), _vote(1, "a")]]
    found = count_votes(people)
    assert (found.voters, found.wins_a, found.wins_b, found.ties) == (2, 1, 1, 1)


def test_votes_on_other_weights_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "votes.jsonl"
    VoteStore(path, ("a2b", A, B)).save(_vote(0, "a"))
    with pytest.raises(DatasetError, match="other weights"):
        VoteStore(path, ("a2b", B, A))
    with pytest.raises(DatasetError, match="different weights"):
        count_votes([[_vote(0, "a")], [_vote(0, "a", sha256_b=A)]])
    with pytest.raises(DatasetError, match="no votes"):
        count_votes([[]])
    path.write_text(path.read_text() + '{"picture": 3}\n')
    with pytest.raises(DatasetError, match=r"votes\.jsonl:2: no vote, picture"):
        read_votes(path)


def test_the_later_vote_on_a_picture_stands(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "votes.jsonl"
    store = VoteStore(path, ("a2b", A, B))
    for vote in (_vote(0, "a"), _vote(1, "b"), _vote(0, "tie")):
        store.save(vote)
    assert [vote.choice for vote in read_votes(path).values()] == ["tie", "b"]
    assert len(path.read_text().splitlines()) == 2


def test_the_command_prints_what_votes_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for voter in ("one", "two"):
        store = VoteStore(tmp_path / voter, ("a2b", A, B))
        for number in range(9):
            store.save(_vote(number, "b"))
    votes([tmp_path / "one", tmp_path / "two"], is_json=True)
    figures = json.loads(capsys.readouterr().out)
    assert (figures["verdict"], figures["voters"]) == ("B (new) is preferred", 2)
    assert figures["share_b_low"] == pytest.approx(0.7009, abs=1e-4)


class Browser:
    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        kind = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), kind)
        answer = connection.getresponse()
        content = answer.read()
        is_json = answer.headers["Content-Type"].startswith("application/json")
        return answer.status, json.loads(content) if is_json else content


@pytest.fixture
def make_desk(tmp_path: Path, save_weights: Callable[..., Path]) -> Callable[[], VoteDesk]:
    rng = np.random.default_rng(3)
    for index in range(PICTURES):
        picture = rng.integers(0, 256, (20, 20, 3), np.uint8)
        write_png(tmp_path / "data" / "testA" / f"{index}.png", picture)
    paths = [str(save_weights(tmp_path / name, seed=seed)) for seed, name in enumerate("xy")]

    def make() -> VoteDesk:
        one, two = (load_contender(path, tmp_path, torch.device("cpu")) for path in paths)
        return VoteDesk(tmp_path / "data", (one, two), "a2b", tmp_path / "votes.jsonl", seed=5)

    return make


@pytest.fixture
def browser(make_desk: Callable[[], VoteDesk]) -> Iterator[Browser]:
    with open_desk(make_desk()) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Browser(server.server_port)
        server.shutdown()
        thread.join()


def test_votes_are_saved_at_once_for_whoever_stood_there(
    browser: Browser, make_desk: Callable[[], VoteDesk], tmp_path: Path
) -> None:
    assert browser.ask("GET", "/api/votes") == (200, [None] * PICTURES)
    for index in range(PICTURES - 1):
        assert browser.ask("PUT", f"/api/vote?index={index}", "left")[0] == 200
    assert browser.ask("PUT", f"/api/vote?index={PICTURES - 1}", "tie")[0] == 200
    expected = ["left"] * (PICTURES - 1) + ["tie"]
    assert browser.ask("GET", "/api/votes") == (200, expected)
    votes = list(read_votes(tmp_path / "votes.jsonl").values())
    assert all(vote.choice == vote.left for vote in votes[:-1])
    assert {vote.left for vote in votes} == {"a", "b"}  # the order is hidden, and not one order
    again = make_desk()
    assert again.choices() == expected  # another start, the same order
    assert again.report().as_metrics()["share_left"] == 1
    assert {name.partition("/")[0] for name in again.names} == {"testA"}
    assert again.names != sorted(again.names)


def test_what_stands_left_is_what_the_vote_says(
    browser: Browser, make_desk: Callable[[], VoteDesk], tmp_path: Path
) -> None:
    desk = make_desk()
    seen = set()
    for index in range(4):
        pictures = {
            place: browser.ask("GET", f"/picture?index={index}&place={place}")[1]
            for place in ("input", "left", "right")
        }
        assert {decode_rgb(png).shape for png in pictures.values()} == {(16, 16, 3)}
        assert len(set(pictures.values())) == 3
        desk.vote(index, "left")
        left = read_votes(tmp_path / "votes.jsonl")[desk.names[index]].left
        own = desk._make_pictures(index)
        assert pictures["left"] == own[left]
        assert pictures["input"] == own["input"]
        seen.add(left)
    assert seen == {"a", "b"}


def test_the_page_tells_nothing_and_refuses_nonsense(browser: Browser, tmp_path: Path) -> None:
    status, page = browser.ask("GET", "/")
    assert (status, b"http://" in page, b"generator_" in page) == (200, False, False)
    for path in ("/picture?index=0&place=a", "/picture?index=99&place=left", "/picture"):
        assert browser.ask("GET", path)[0] == 400
    assert browser.ask("GET", "/votes.jsonl")[0] == 404
    for body in ("a", ["left"], 1):
        assert browser.ask("PUT", "/api/vote?index=0", body)[0] == 400
    assert browser.ask("PUT", "/api/vote?index=-1", "left")[0] == 400
    assert browser.ask("PUT", "/api/other?index=0", "left")[0] == 404
    assert not (tmp_path / "votes.jsonl").exists()


def test_the_command_answers_until_ctrl_c(
    make_desk: Callable[[], VoteDesk], tmp_path: Path
) -> None:
    make_desk()
    (tmp_path / "params.yaml").write_text(read_preset("demo"), encoding="utf-8")
    command = [sys.executable, "-m", "anymus.cli", "vote", "x", "y", "--no-browser"]
    command += ["-S", "paths.dataset=data", "-S", "evaluate.device=cpu"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        port = int(line.partition("127.0.0.1:")[2].partition("/")[0])
        assert Browser(port).ask("PUT", "/api/vote?index=3", "right")[0] == 200
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 0, rest
    assert "no difference" in rest
    assert len(read_votes(tmp_path / "votes.jsonl")) == 1
