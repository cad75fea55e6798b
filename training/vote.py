"""Vote: a page in the browser on which a person chooses between two translations, blindly."""

import functools
import json
import threading
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import SplitResult, parse_qs, urlsplit

import numpy as np
import torch

from anymus.errors import AnymusError, CheckpointError, ParamsError
from anymus.files import sha256_bytes
from anymus.images import RgbU8, encode_png, read_rgb
from anymus.local_page import (
    PageHandler,
    PageServer,
    open_server,
    picture_number,
    serve_until_interrupt,
)
from anymus.params import Params
from anymus.shards import plain_path
from anymus.torchlib import pick_device

from .contender import Contender, Direction, find_different, load_contender
from .data import find_pictures, to_signed, to_square
from .pair import Domain, Pair
from .samples import to_rgb
from .votes import Choice, Side, Vote, VoteReport, VoteStore, count_votes

Place = Literal["left", "right"]

_PAGE = Path(__file__).with_suffix(".html")
_MAX_BODY_BYTES = 1 << 10
_OTHER: dict[Side, Side] = {"a": "b", "b": "a"}


class VoteDesk:
    """Test pictures, what two contenders make of them, and the votes on that.

    The page is told where a translation stands, left or right, and never whose it is. Which stands
    where is drawn for each picture from the seed, and so is the order of the pictures, so that the
    first fifty votes are those on a random sample.

    Args:
        dataset_dir: Holds testA and testB; only read.
        contenders: Two that both have the direction, in different weights.
        direction: a2b or b2a.
        dst: JSON Lines file of the votes; work goes on where it was left.
        seed: What the orders are drawn from.

    Raises:
        DatasetError: There are no test pictures, or `dst` holds something else.
    """

    def __init__(
        self,
        dataset_dir: Path,
        contenders: tuple[Contender, Contender],
        direction: Direction,
        dst: Path,
        seed: int,
    ) -> None:
        pictures = find_pictures(dataset_dir / f"test{direction[0].upper()}")
        order = np.random.default_rng([seed, len(pictures)]).permutation(len(pictures))
        self._paths = [pictures[place] for place in order]
        self.names = [plain_path(path).relative_to(dataset_dir).as_posix() for path in self._paths]
        self._contenders = contenders
        self._direction: Direction = direction
        self._seed = seed
        sha256_a, sha256_b = (one.sha256[direction] for one in contenders)
        self._store = VoteStore(dst, (direction, sha256_a, sha256_b))
        self._translating = threading.Lock()  # one at a time is quickest on every device
        self._pictures = functools.lru_cache(maxsize=64)(self._make_pictures)

    def choices(self) -> list[str | None]:
        """Return what was chosen on each picture: `left`, `right`, `tie`, or None."""
        votes = self._store.read()
        return [
            self._place_of(index, votes[name].choice) if name in votes else None
            for index, name in enumerate(self.names)
        ]

    def png(self, index: int, place: str) -> bytes:
        """Return a picture: the `input`, or the translation on the `left` or on the `right`.

        Raises:
            ImageError: The input cannot be read.
            ParamsError: There is no such place.
            CheckpointError: The weights give values that are no numbers.
        """
        if place != "input" and place not in get_args(Place):
            raise ParamsError(f"there is no place {place[:20]!r}")
        with self._translating:
            pictures = self._pictures(index)
        left = self._left(index)
        side = {"input": "input", "left": left, "right": _OTHER[left]}[place]
        return pictures[side]

    def vote(self, index: int, place: str) -> None:
        """Save a vote for what stands at a place, `left` or `right`, or for neither, `tie`.

        Raises:
            ParamsError: There is no such place.
            OSError: It cannot be saved.
        """
        left = self._left(index)
        choices: dict[str, Choice] = {"left": left, "right": _OTHER[left], "tie": "tie"}
        if place not in choices:
            raise ParamsError(f"a vote is for left, right or tie, not for {place[:20]!r}")
        name_a, name_b = (one.name for one in self._contenders)
        sha256_a, sha256_b = (one.sha256[self._direction] for one in self._contenders)
        vote = Vote(
            picture=self.names[index],
            direction=self._direction,
            name_a=name_a,
            name_b=name_b,
            sha256_a=sha256_a,
            sha256_b=sha256_b,
            left=left,
            choice=choices[place],
        )
        self._store.save(vote)

    def report(self) -> VoteReport:
        """Return what the votes show so far."""
        votes = self._store.read().values()
        if not votes:
            name_a, name_b = (one.name for one in self._contenders)
            return VoteReport(name_a, name_b, 0, 0, 0, 0, 0, 0)
        return count_votes([votes])

    def _left(self, index: int) -> Side:
        """Return whose translation of a picture stands on the left."""
        word = int(sha256_bytes(self.names[index].encode())[:8], 16)
        return "ab"[np.random.default_rng([self._seed, word]).integers(2)]  # type: ignore[return-value]

    def _place_of(self, index: int, choice: Choice) -> str:
        if choice == "tie":
            return "tie"
        return "left" if choice == self._left(index) else "right"

    def _make_pictures(self, index: int) -> dict[str, bytes]:
        rgb_u8 = read_rgb(self._paths[index])
        pairs = [one.pair for one in self._contenders]
        shown_px = max(pair.size_px for pair in pairs)
        return {
            "input": encode_png(to_square(rgb_u8, shown_px)),
            **{
                side: encode_png(_translate(pair, self._direction, rgb_u8))
                for side, pair in zip(_OTHER, pairs, strict=True)
            },
        }


def vote(
    params: Params,
    names: tuple[str, str],
    dst: Path,
    *,
    direction: Direction | None,
    port: int,
    has_browser: bool,
) -> VoteReport:
    """Let a person vote in the browser until Ctrl-C, and return what the votes show.

    Args:
        params: All parameters; `paths`, `seed` and `evaluate.device` are read.
        names: The two contenders; see `contender.load_contender`.
        dst: JSON Lines file of the votes; work goes on where it was left.
        direction: a2b or b2a; None: photo to manga, where the two differ in it.
        port: Port on this machine's own address; 0: any free one.
        has_browser: Whether the page is opened.

    Raises:
        CheckpointError: Weights are missing or damaged.
        ParamsError: The two are the same, or lack the direction.
        DatasetError: There are no test pictures, or `dst` holds something else.
        AnymusError: The port is in use.
    """
    device = pick_device(params.evaluate.device)
    models_dir = Path(params.paths.models)
    one, other = (load_contender(name, models_dir, device) for name in names)
    ways = find_different(one, other)
    way = direction or ways[0]
    if way not in ways:
        raise ParamsError(
            f"{names[0]} and {names[1]} do not differ in {way}, or lack it",
            f"vote on {' or '.join(ways)}",
        )
    desk = VoteDesk(Path(params.paths.dataset), (one, other), way, dst, params.seed)
    with open_desk(desk, port) as server:
        what = f"{len(desk.names)} pictures, votes go to {dst},"
        serve_until_interrupt(server, what, has_browser=has_browser)
    return desk.report()


def open_desk(desk: VoteDesk, port: int = 0) -> PageServer:
    """Return a server of the desk on this machine's own address, not started yet.

    Raises:
        AnymusError: The port is in use.
    """
    return open_server(_Handler, desk, port)


@torch.inference_mode()
def _translate(pair: Pair, direction: Direction, rgb_u8: RgbU8) -> RgbU8:
    source: Domain = "a" if direction == "a2b" else "b"
    x = to_signed(to_square(rgb_u8, pair.size_px)[None]).to(pair.device)
    image = pair.generators[source](x).image
    if not torch.isfinite(image).all():
        raise CheckpointError("the weights give values that are no numbers", "train them again")
    return to_rgb(image)


class _Handler(PageHandler):
    """Answers one browser; pictures are named by their number and their place."""

    page = _PAGE

    def __init__(self, desk: VoteDesk, *arguments: Any) -> None:
        self._desk = desk
        super().__init__(*arguments)

    def answer(self, url: SplitResult) -> bool:
        """Send the votes so far, or a picture."""
        if url.path == "/api/votes":
            self.send_json(HTTPStatus.OK, self._desk.choices())
        elif url.path == "/picture":
            place = parse_qs(url.query).get("place", [""])[0]
            self.send(HTTPStatus.OK, self._desk.png(self._index(url.query), place), "image/png")
        else:
            return False
        return True

    def do_PUT(self) -> None:
        body = self.read_json("/api/vote", _MAX_BODY_BYTES)
        if body is None:
            return
        try:
            self._desk.vote(self._index(urlsplit(self.path).query), _parse_choice(body))
        except AnymusError as error:
            self.refuse_for(error)
        except OSError as error:
            self.refuse(HTTPStatus.INSUFFICIENT_STORAGE, f"cannot save: {error.strerror}")
        else:
            self.send_json(HTTPStatus.OK, {})

    def _index(self, query: str) -> int:
        return picture_number(query, len(self._desk.names))


def _parse_choice(body: bytes) -> str:
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if not isinstance(value, str):
        raise ParamsError("a vote is one word")
    return value
