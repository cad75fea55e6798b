"""Serve: a page in the browser, for this machine alone, that translates what is dropped on it."""

import base64
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, get_args
from urllib.parse import SplitResult, parse_qs, urlsplit

from anymus.encoded import read_facts
from anymus.errors import AnymusError, CheckpointError, ImageError, ParamsError
from anymus.images import QUICK_PNG_LEVEL, RgbU8, decode_rgb, encode_png
from anymus.local_page import PageHandler, PageServer, open_server, serve_until_interrupt

from .finish import Finish
from .options import (
    DIRECTIONS,
    MAX_ENLARGE,
    MAX_SCREENTONE_PX,
    MIN_SCREENTONE_PX,
    Direction,
    FacesMode,
    PasteColour,
)
from .picture import PictureTranslator
from .translator import find_weights, load_translator

_PAGE = Path(__file__).parent / "serve.html"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What the page takes.

    Attributes:
        max_upload_mib: Largest file.
        max_megapixels: Largest picture.
        per_minute: Pictures a minute; the next one is asked to wait.
        waiting: Pictures that may wait for their turn; one is translated at a time.
    """

    max_upload_mib: int = 16
    max_megapixels: float = 24.0
    per_minute: int = 240
    waiting: int = 16


class BusyError(Exception):
    """There is no turn left; `retry_s` says when there will be."""

    def __init__(self, retry_s: float) -> None:
        super().__init__()
        self.retry_s = retry_s


class Turns:
    """Lets one at a time through, a few wait, and so many a minute."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._guard = threading.Lock()
        self._working = threading.Lock()
        self._inside = 0
        self._started_s: deque[float] = deque()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place among those who wait.

        Raises:
            BusyError: There are too many, now or in this minute.
        """
        now_s = time.monotonic()
        with self._guard:
            while self._started_s and self._started_s[0] <= now_s - 60:
                self._started_s.popleft()
            if len(self._started_s) >= self._limits.per_minute:
                raise BusyError(self._started_s[0] + 60 - now_s)
            if self._inside > self._limits.waiting:
                raise BusyError(1.0)
            self._started_s.append(now_s)
            self._inside += 1
        try:
            yield
        finally:
            with self._guard:
                self._inside -= 1

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the turn, and hold it."""
        with self._working:
            yield


@dataclass(frozen=True, slots=True)
class Wish:
    """What to do with a picture."""

    direction: Direction
    faces: FacesMode
    finish: Finish

    @classmethod
    def parse(cls, query: str) -> "Wish":
        """Return what a request's query asks for.

        Raises:
            ParamsError: A name or a value of it is none.
        """
        values = {name: texts[-1] for name, texts in parse_qs(query).items()}
        direction = _choose(values.pop("direction", "a2b"), DIRECTIONS)
        wish = cls(
            direction,
            _choose(values.pop("faces", "paste"), get_args(FacesMode)),
            Finish(
                _number(values.pop("strength", "1"), 0, 1),
                _number(values.pop("screentone", "0"), MIN_SCREENTONE_PX, MAX_SCREENTONE_PX, 0)
                or None,
                _choose(values.pop("paste_colour", "match"), get_args(PasteColour)),
                int(
                    _choose(values.pop("enlarge", "1"), [str(n) for n in range(1, MAX_ENLARGE + 1)])
                ),
                has_lines=direction == "a2b",
            ),
        )
        if values:
            raise ParamsError(f"there is no option {sorted(values)[0][:40]!r}")
        return wish


class Studio:
    """What the page works with: the weights that are there, loaded when they are first asked for.

    Nothing that is sent to it is written to disk or kept.

    Args:
        weights: As `find_weights` takes them; None: the usual ones.
        device: auto, cpu, cuda, cuda:1 or mps.
        limits: What it takes.

    Raises:
        CheckpointError: There are no weights, or they are unusable.
        DeviceError: The device or the face detector is not there.
    """

    def __init__(self, weights: Path | None, device: str, limits: Limits) -> None:
        self.limits = limits
        self.turns = Turns(limits)
        self._device = device
        self._loaded: dict[Direction, PictureTranslator] = {}
        self._paths = _find_both(weights)
        if len(set(self._paths.values())) < len(self._paths):  # one file, whatever is asked for
            path = self._paths[DIRECTIONS[0]]
            translator = load_translator(path, None, device)
            self._paths = {translator.direction: path}
            self._loaded[translator.direction] = PictureTranslator(translator)
        else:
            self._load(self.directions[0])

    @property
    def directions(self) -> list[Direction]:
        """Return the directions that there are weights for."""
        return [direction for direction in DIRECTIONS if direction in self._paths]

    def about(self) -> dict[str, object]:
        """Return what the page shows as choices."""
        return {
            "directions": self.directions,
            "weights": {direction: path.name for direction, path in self._paths.items()},
            "max_upload_mib": self.limits.max_upload_mib,
            "max_megapixels": self.limits.max_megapixels,
        }

    def translate(self, content: bytes, wish: Wish) -> dict[str, object]:
        """Return the results of an encoded picture: how many faces, and data URLs of PNGs.

        Raises:
            ImageError: It is no picture, or too large.
            ParamsError: There are no weights for the direction.
        """
        if wish.direction not in self._paths:
            raise ParamsError(f"there are no weights for {wish.direction}")
        facts = read_facts(content)
        if facts.width_px * facts.height_px > 1e6 * self.limits.max_megapixels:
            raise ImageError(
                f"{facts.width_px} x {facts.height_px} pixels, more than the"
                f" {self.limits.max_megapixels:g} million that are taken"
            )
        with self.turns.turn():
            started_s = time.perf_counter()
            translator = self._load(wish.direction)
            shown = translator.show(decode_rgb(content, "the file"), wish.faces, wish.finish)
            seconds = time.perf_counter() - started_s
        return {
            "faces": shown.faces,
            "is_without_face": wish.faces != "whole" and not shown.faces,
            "seconds": round(seconds, 2),
            "results": [
                {"before": _data_url(before), "after": _data_url(after)}
                for before, after in shown.pairs
            ],
        }

    def _load(self, direction: Direction) -> PictureTranslator:
        if direction not in self._loaded:
            translator = load_translator(self._paths[direction], direction, self._device)
            self._loaded[direction] = PictureTranslator(translator)
        return self._loaded[direction]


def open_studio(studio: Studio, port: int = 0) -> PageServer:
    """Return a server of the page on this machine's own address, not started yet.

    Raises:
        AnymusError: The port is in use.
    """
    return open_server(_Handler, studio, port)


def serve(
    weights: Path | None, device: str, limits: Limits, port: int = 0, *, has_browser: bool
) -> None:
    """Answer the browser until Ctrl-C; see `Studio` for arguments and errors."""
    studio = Studio(weights, device, limits)
    with open_studio(studio, port) as server:
        what = f"translations {' and '.join(studio.directions)}"
        serve_until_interrupt(server, what, has_browser=has_browser)


class _Handler(PageHandler):
    """Answers the page; pictures come as bodies and go as answers, and have no name or place."""

    page = _PAGE

    def __init__(self, studio: Studio, *arguments: Any) -> None:
        self._studio = studio
        super().__init__(*arguments)

    def answer(self, url: SplitResult) -> bool:
        """Send what the page has to know."""
        if url.path != "/api/about":
            return False
        self.send_json(HTTPStatus.OK, self._studio.about())
        return True

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        try:
            with self._studio.turns.place():
                body = self.read_body(self._studio.limits.max_upload_mib * _MIB)
                if body is None:
                    return
                if url.path != "/api/translate":
                    self.refuse(HTTPStatus.NOT_FOUND, "there is no such page")
                    return
                answer = self._studio.translate(body, Wish.parse(url.query))
                self.send_json(HTTPStatus.OK, answer)
        except BusyError as error:
            self.refuse_body(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too many pictures at once",
                {"Retry-After": str(max(1, round(error.retry_s)))},
            )
        except AnymusError as error:
            self.refuse_for(error)


def _find_both(weights: Path | None) -> dict[Direction, Path]:
    """Return the weights of each direction that there are any of; see `find_weights`."""
    found: dict[Direction, Path] = {}
    problem: CheckpointError | None = None
    for direction in DIRECTIONS:
        try:
            found[direction] = find_weights(weights, direction)
        except CheckpointError as error:
            problem = problem or error
    if not found and problem is not None:
        raise problem
    return found


def _data_url(rgb_u8: RgbU8) -> str:
    png = encode_png(rgb_u8, level=QUICK_PNG_LEVEL)
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _choose(text: str, choices: Any) -> Any:
    if text not in choices:
        raise ParamsError(f"{text[:40]!r} is not one of {', '.join(choices)}")
    return text


def _number(text: str, low: float, high: float, also: float | None = None) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value == also or low <= value <= high:
        return value
    raise ParamsError(f"{text[:40]!r} is not a number from {low:g} to {high:g}")
