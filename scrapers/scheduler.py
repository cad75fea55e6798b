"""Scrapy's scheduler of a shared crawl: its requests wait in Redis, as JSON."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar, cast

from scrapy import Request, Spider, signals
from scrapy.core.scheduler import BaseScheduler
from scrapy.crawler import Crawler
from twisted.python.failure import Failure

from .page_cache import IS_PICTURE_KEY
from .refusals import RefusedRequestError
from .shared import LEASE_S, LEVELS, Task
from .spiders.answers import IN_HAND_KEY, Found
from .spiders.source import IS_COUNTED_KEY, SourceSpider

MAX_TRIES = 5
_TRIES_KEY = "anymus_tries"
_POLL_S = 0.5
_BEAT_S = LEASE_S / 5
_CALLBACKS = frozenset({"parse_page", "parse_item", "parse_picture", "fail", "fail_start"})
# What Scrapy and the spiders keep with a request that must come along.
_CARRIED = (
    IS_PICTURE_KEY, IS_COUNTED_KEY, "retry_times", "redirect_times", "redirect_ttl",
    "redirect_urls",
)  # fmt: skip

Result = TypeVar("Result")


class SharedScheduler(BaseScheduler):
    """Puts requests into the shared crawl and takes them from there.

    A crawl whose queue no longer answers stops; what it had in hand goes to the others.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._beating: asyncio.Task[None] | None = None
        self._is_lost = False

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "SharedScheduler":
        """Return the scheduler of a crawl."""
        return cls(crawler)

    def open(self, spider: Spider) -> None:
        """Begin to renew the lease of what is taken."""
        self._spider = cast(SourceSpider, spider)
        assert self._spider.shared is not None
        self._shared = self._spider.shared
        assert self._crawler.engine is not None
        # What other crawlers add makes no noise here: look for it now and then.
        self._crawler.engine._SLOT_HEARTBEAT_INTERVAL = _POLL_S
        self._beating = asyncio.ensure_future(self._beat())

    def close(self, reason: str) -> None:  # noqa: ARG002 - Scrapy gives it
        """Give back what was taken and is not done."""
        if self._beating is not None:
            self._beating.cancel()
        self._ask(self._shared.hand_back, None)

    def has_pending_requests(self) -> bool:
        """Say whether any crawler has something to do still: that may bring more."""
        waiting = self._ask(self._shared.waiting, None)
        return waiting is None or waiting > 0

    def enqueue_request(self, request: Request) -> bool:
        """Add a request to the shared crawl unless it is there, and say whether it was added."""
        token = request.meta.pop(IN_HAND_KEY, None)  # of the one that this repeats, or leads on
        text, mark = write_request(request, self._spider)
        level = min(max(request.priority, min(LEVELS)), max(LEVELS))

        def push() -> bool:
            return self._shared.push(text, mark, level, token)

        is_added = self._ask(push, True)
        if not is_added and token is None and request.meta.get(IS_COUNTED_KEY):
            self._ask(lambda: self._shared.add("pictures", -1), 0)
        return is_added

    def next_request(self) -> Request | None:
        """Return a request that waits, or None."""
        task = self._ask(self._shared.take, None)
        return None if task is None else read_request(task, self._spider)

    def _ask(self, what: Callable[[], Result], otherwise: Result) -> Result:
        """Return what the queue answers; if it does not answer, stop the crawl."""
        from redis.exceptions import RedisError

        if self._is_lost:
            return otherwise
        try:
            return what()
        except RedisError as error:
            self._is_lost = True
            fault = Failure(ConnectionError(f"the queue does not answer: {error}"))  # type: ignore[no-untyped-call]
            self._crawler.signals.send_catch_log(
                signals.spider_error, failure=fault, response=None, spider=self._spider
            )
            return otherwise

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            self._ask(self._shared.beat, None)


class TriesMiddleware:
    """Gives up a request that was handed out again and again and never done."""

    def process_request(self, request: Request) -> None:
        """Let the request pass.

        Raises:
            RefusedRequestError: Its crawlers ended one after the other: `crashed`.
        """
        if request.meta.get(_TRIES_KEY, 1) > MAX_TRIES:
            raise RefusedRequestError("crashed")


def write_request(request: Request, spider: Any) -> tuple[str, str]:
    """Return a request as text, and the mark by which the same one is known again."""
    url = spider.job.public_url(request.url)
    values = {
        "url": url,
        "callback": request.callback.__name__ if request.callback else "",
        "errback": request.errback.__name__ if request.errback else "",
        "found": asdict(request.cb_kwargs["found"]),
        "priority": request.priority,
        "meta": {name: request.meta[name] for name in _CARRIED if name in request.meta},
    }
    mark = hashlib.blake2b(url.encode(), digest_size=16).hexdigest()
    return json.dumps(values, ensure_ascii=False), mark


def read_request(task: Task, spider: Any) -> Request:
    """Return the request of a task; what it calls is a method of the spider and nothing else.

    Raises:
        ValueError: No crawler of ours wrote it.
    """
    values = json.loads(task.text)
    if not {values["callback"], values["errback"]} <= _CALLBACKS:
        raise ValueError(f"the queue holds a request that no crawler of ours wrote: {task.text}")
    found = Found(**values["found"])
    request = Request(
        spider.job.local_url(values["url"]),
        callback=getattr(spider, values["callback"]),
        errback=getattr(spider, values["errback"]),
        headers=spider.name_referrer(values["url"], found.page_url),
        cb_kwargs={"found": found},
        meta=values["meta"] | {IN_HAND_KEY: task.token, _TRIES_KEY: task.tries},
        priority=values["priority"],
    )
    if IS_PICTURE_KEY in request.meta:
        spider.add_validators(request)
    return request
