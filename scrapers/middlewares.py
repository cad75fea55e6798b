"""Scrapy's downloader middlewares: which requests may go out, and which answers may be used.

A refusal is a `RefusedRequestError` with the one-word reason that the manifest will give.
"""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.http import Response

from anymus.blocklist import REASON

from .job import Note, send
from .opt_outs import OPT_OUT_HEADERS, find_opt_out_in_headers
from .page_cache import IS_PICTURE_KEY, IS_RULE_KEY
from .refusals import RefusedRequestError

_PAUSING = frozenset({429, 503})
_FIRST_PAUSE_S = 1.0
_MARGIN_S = 0.1


class OptOutMiddleware:
    """Refuses answers whose headers say that the owner does not want this use."""

    def process_response(self, request: Request, response: Response) -> Response:
        """Return the response.

        Raises:
            RefusedRequestError: Its headers opt out; the reason is `opt_out_` and the directive.
        """
        if IS_RULE_KEY in request.meta:
            return response
        reason = find_opt_out_in_headers(
            _header_lines(response), is_picture=IS_PICTURE_KEY in request.meta
        )
        if reason:
            raise RefusedRequestError(reason)
        return response


class BlocklistMiddleware:
    """Refuses URLs that are blocked, those that a redirect leads to included."""

    def __init__(self, crawler: Crawler) -> None:
        self._spider: Any = crawler.spider

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "BlocklistMiddleware":
        """Return the middleware of a crawl.

        Raises:
            NotConfigured: Nothing is blocked.
        """
        middleware = cls(crawler)
        if not middleware._spider.blocklist.entries:
            raise NotConfigured
        return middleware

    def process_request(self, request: Request) -> None:
        """Let the request pass.

        Raises:
            RefusedRequestError: Its URL is blocked.
        """
        if self._spider.blocklist.blocks_url(self._spider.job.public_url(request.url)):
            raise RefusedRequestError(REASON)


class DryRunMiddleware:
    """Lets everything out but pictures."""

    def process_request(self, request: Request) -> None:
        """Let the request pass.

        Raises:
            RefusedRequestError: It is a picture's: `would_fetch`.
        """
        if IS_PICTURE_KEY in request.meta:
            raise RefusedRequestError("would_fetch")


class BudgetMiddleware:
    """Counts the bytes that came over the network, and ends the fetching when they are spent."""

    def __init__(self, crawler: Crawler) -> None:
        self._spider: Any = crawler.spider

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "BudgetMiddleware":
        """Return the middleware of a crawl."""
        return cls(crawler)

    def process_request(self, request: Request) -> None:
        """Let the request pass.

        Raises:
            RefusedRequestError: The budget of bytes is spent.
        """
        if self._spider.tally.count("bytes") >= self._spider.job.limits.max_bytes:
            self._spider.mark_over_budget()
            raise RefusedRequestError("over_budget")

    def process_response(self, request: Request, response: Response) -> Response:
        """Return the response after its bytes were counted."""
        if "cached" not in response.flags:
            self._spider.tally.add("bytes", len(response.body))
        return response


class BackOffMiddleware:
    """Leaves a host alone for as long as its 429 or 503 asks, all its requests together.

    Without a Retry-After the pause doubles each time from one second. A host that asks for more
    than `scrape.max_pause_s` is not asked again in this run.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        spider: Any = crawler.spider
        self._shared = spider.shared
        self._pace = spider.site_pace
        self._max_pause_s = spider.job.limits.max_pause_s
        self._until: dict[str, float] = {}
        self._strikes: dict[str, int] = {}
        self._delays: dict[str, float] = {}
        self._resting: set[str] = set()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "BackOffMiddleware":
        """Return the middleware of a crawl."""
        middleware = cls(crawler)
        crawler.signals.connect(middleware.notice, signals.response_downloaded)
        return middleware

    async def process_request(self, request: Request) -> None:
        """Let the request pass once its host's pause is over.

        Raises:
            RefusedRequestError: The host asked for a pause that is too long: `rate_limited`.
        """
        key = self._downloader.get_slot_key(request)
        if key in self._resting or (self._shared and self._shared.is_resting(key)):
            raise RefusedRequestError("rate_limited")
        while (left_s := self._until.get(key, 0.0) - time.monotonic()) > 0:
            await asyncio.sleep(left_s)
        if key in self._delays and key in self._downloader.slots:
            self._downloader.slots[key].delay = self._delays.pop(key)

    def notice(self, response: Response, request: Request) -> None:
        """Begin a pause if a response asks for one, before the host's next request is sent."""
        key = self._downloader.get_slot_key(request)
        if response.status not in _PAUSING:
            if response.status < 400:
                self._strikes.pop(key, None)
            return
        strikes = self._strikes[key] = self._strikes.get(key, 0) + 1
        asked_s = read_retry_after(response.headers.get("Retry-After"))
        pause_s = _FIRST_PAUSE_S * 2 ** (strikes - 1) if asked_s is None else asked_s
        if pause_s > self._max_pause_s:
            self._resting.add(key)
            if self._shared is not None:
                self._shared.rest(key)
            text = f"{key} asks for a pause of {pause_s:.0f} s: it is left alone in this run"
            send("note", Note(text=text))
        else:
            self._pause(key, request, pause_s + _MARGIN_S)

    @property
    def _downloader(self) -> Any:
        assert self._crawler.engine is not None
        return self._crawler.engine.downloader

    def _pause(self, key: str, request: Request, pause_s: float) -> None:
        """Hold what waits in the slot, too: it counts its delay from when it last sent."""
        self._until[key] = max(self._until.get(key, 0.0), time.monotonic() + pause_s)
        if self._pace is not None:
            self._pace.pause(key, pause_s)
        slot = self._downloader.slots.get(key)
        if slot is None:
            return
        self._delays.setdefault(key, slot.delay)
        latency_s = float(request.meta.get("download_latency", 0.0))
        slot.delay = max(slot.delay, pause_s + latency_s)
        asyncio.get_running_loop().call_later(pause_s, self._resume, key)

    def _resume(self, key: str) -> None:
        is_over = self._until.get(key, 0.0) <= time.monotonic() + _MARGIN_S
        if is_over and key in self._delays and key in self._downloader.slots:
            self._downloader.slots[key].delay = self._delays.pop(key)


def read_retry_after(value: bytes | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, given as seconds or as a date."""
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    if text.isdecimal():
        return float(text)
    with suppress(ValueError):
        until = parsedate_to_datetime(text)
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        return max(0.0, (until - datetime.now(UTC)).total_seconds())
    return None


def _header_lines(response: Response) -> Iterable[tuple[str, str]]:
    for name in OPT_OUT_HEADERS:
        for value in response.headers.getlist(name):
            yield name, value.decode("latin-1")
