"""What a host says of crawlers: robots.txt by RFC 9309, and tdmrep.json by the TDM protocol.

All requests of a host wait for one shared fetch of both.
"""

import asyncio
import json
import logging
import re
import sqlite3
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from protego import Protego
from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK

from .job import Note, send
from .page_cache import IS_RULE_KEY
from .refusals import RefusedRequestError

ROBOTS_AGENT = "Anymus"
MAX_ROBOTS_BYTES = 512 * 1024
MAX_CRAWL_DELAY_S = 60.0
TDM_PATH = "/.well-known/tdmrep.json"
_TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = range(500, 600)
_USAGE_LINE = re.compile(r"^\s*content-usage\s*:\s*(?P<path>/\S*)?\s*(?P<usage>.*)$", re.I)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RobotsRules:
    """What a host's robots.txt says: its rules, or why nothing may be fetched."""

    rules: Protego | None
    refusal: str | None = None
    usage: Protego | None = None

    def find_refusal(self, url: str) -> str | None:
        """Return why robots.txt forbids a URL, or None."""
        if self.rules is None:
            return self.refusal
        if not self.rules.can_fetch(url, ROBOTS_AGENT):
            return "robots"
        if self.usage is not None and not self.usage.can_fetch(url, ROBOTS_AGENT):
            return "opt_out_train_ai"
        return None


@dataclass(frozen=True, slots=True)
class HostRules:
    """What a host's robots.txt and its tdmrep.json say."""

    robots: RobotsRules
    reserved: Protego | None = None

    def find_refusal(self, url: str, *, is_offered: bool) -> str | None:
        """Return why a URL must not be fetched, or None.

        Args:
            url: The URL.
            is_offered: Whether it is an API's address that the owner offers to programs: then what
                robots.txt says to crawlers does not concern it.
        """
        reason = self.robots.find_refusal(url)
        if reason and not (reason == "robots" and is_offered):
            return reason
        if self.reserved is not None and not self.reserved.can_fetch(url, ROBOTS_AGENT):
            return "opt_out_tdm"
        return None


class RobotsMiddleware:
    """Obeys the rules of hosts, with one fetch a host that all its requests wait for.

    A missing robots.txt (4xx) allows everything; a server error or no answer forbids everything.
    Crawl-delay is acted on, up to a minute. It is counted from an answer to the next request: from
    request to request it would be kept here, but not where the owner counts, if one is held up on
    its way.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._job = crawler.spider.job  # type: ignore[union-attr]
        self._fetches: dict[str, asyncio.Future[HostRules]] = {}
        self._slowed_hosts: dict[str, float] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "RobotsMiddleware":
        """Return the middleware of a crawl."""
        middleware = cls(crawler)
        # Before the back-off's receiver: a pause is longer than a Crawl-delay.
        crawler.signals.connect(middleware.hold, signals.response_downloaded)
        return middleware

    def hold(self, request: Request) -> None:
        """Count the Crawl-delay of an answer's host anew."""
        self._hold_host(urlsplit(request.url).hostname or "")

    def _hold_host(self, host: str) -> None:
        assert self._crawler.engine is not None
        slot = self._crawler.engine.downloader.slots.get(host)
        if slot is None or host not in self._slowed_hosts:
            return
        delay_s = self._slowed_hosts[host]
        since_sent_s = time.monotonic() - slot.lastseen if slot.lastseen else 0.0
        slot.delay = delay_s + max(0.0, since_sent_s)  # the slot counts it from when it sent

    async def process_request(self, request: Request) -> None:
        """Let the request pass once its host's rules are known.

        Raises:
            RefusedRequestError: They forbid it, or robots.txt cannot be read.
        """
        if IS_RULE_KEY in request.meta:
            return
        parts = urlsplit(request.url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._fetches:
            self._fetches[origin] = asyncio.ensure_future(self._fetch_rules(origin))
        fetch = self._fetches[origin]
        rules = fetch.result() if fetch.done() else await asyncio.shield(fetch)
        is_offered = self._job.limits.has_read_api_terms and self._job.recipe.is_api_address(
            request.url
        )
        refusal = rules.find_refusal(request.url, is_offered=is_offered)
        if refusal:
            raise RefusedRequestError(refusal)
        if parts.hostname in self._slowed_hosts:
            request.meta["autothrottle_dont_adjust_delay"] = True

    async def _fetch_rules(self, origin: str) -> HostRules:
        answer = await self._fetch(f"{origin}/robots.txt")
        if isinstance(answer, str):
            return HostRules(RobotsRules(None, answer))
        robots = read_robots(answer.status, answer.body)
        if robots.rules is None:
            return HostRules(robots)
        self._slow_down(origin, robots.rules.crawl_delay(ROBOTS_AGENT))
        if robots.find_refusal(origin + TDM_PATH):
            return HostRules(robots)
        answer = await self._fetch(origin + TDM_PATH)
        is_there = not isinstance(answer, str) and answer.status == 200
        return HostRules(robots, read_tdm_rules(answer.body) if is_there else None)  # type: ignore[union-attr]

    async def _fetch(self, url: str) -> Response | str:
        """Return a rule file's response, or the reason why there is none."""
        meta = {IS_RULE_KEY: True, "autothrottle_dont_adjust_delay": True}
        request = Request(url, meta=meta, priority=1000, callback=NO_CALLBACK)
        assert self._crawler.engine is not None
        try:
            return await self._crawler.engine.download_async(request)
        except RefusedRequestError as error:
            return error.reason
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - whatever keeps robots.txt away forbids the host
            log.info("%s: %s", url, error)
            return "robots_unavailable"

    def _slow_down(self, origin: str, crawl_delay_s: float | None) -> None:
        host = urlsplit(origin).hostname or ""
        if crawl_delay_s is not None and crawl_delay_s > MAX_CRAWL_DELAY_S:
            text = f"{origin}/robots.txt asks for {crawl_delay_s:g} s between two requests"
            send("note", Note(text=f"{text}; {MAX_CRAWL_DELAY_S:g} s are kept"))
        delay_s = min(crawl_delay_s or 0.0, MAX_CRAWL_DELAY_S)
        if delay_s <= self._crawler.settings.getfloat("DOWNLOAD_DELAY"):
            return
        assert self._crawler.engine is not None
        downloader = self._crawler.engine.downloader
        downloader.per_slot_settings[host] = {"delay": delay_s, "concurrency": 1, "jitter": 0}
        self._slowed_hosts[host] = delay_s
        if host in downloader.slots:
            downloader.slots[host].concurrency = 1
            self._hold_host(host)


def read_robots(status: int, body: bytes) -> RobotsRules:
    """Return the rules of a robots.txt response, by its status (RFC 9309, section 2.3.1).

    Too many requests (429) counts as a server error: it says "not now", not "everything".
    """
    if status in _SERVER_ERRORS or status == _TOO_MANY_REQUESTS:
        return RobotsRules(None, "robots_unavailable")
    if len(body) > MAX_ROBOTS_BYTES:  # what follows is left out, and so is a line cut in two
        body = body[:MAX_ROBOTS_BYTES].rpartition(b"\n")[0]
    text = body.decode("utf-8-sig", "replace") if status == 200 else ""
    return RobotsRules(Protego.parse(text), usage=_read_usage(text))


def read_tdm_rules(body: bytes) -> Protego | None:
    """Return the places that tdmrep.json reserves, as rules; None: none, or it is not valid."""
    try:
        rules = json.loads(body[:MAX_ROBOTS_BYTES])
    except ValueError:
        return None
    if not isinstance(rules, list):
        return None
    places = [
        str(rule.get("location", ""))
        for rule in rules
        if isinstance(rule, dict) and str(rule.get("tdm-reservation")) == "1"
    ]
    lines = [f"Disallow: {place}" for place in places if place.startswith(("/", "*"))]
    return Protego.parse("\n".join(["User-agent: *", *lines])) if lines else None


def _read_usage(text: str) -> Protego | None:
    """Return what the Content-Usage lines of robots.txt say of training, as rules of their own.

    `Content-Usage: /art/ train-ai=n` forbids that, below /art/; groups and the longest match work
    as for all rules, so they are read as such.
    """
    if "content-usage" not in text.lower():
        return None
    lines = []
    for line in text.splitlines():
        match = _USAGE_LINE.match(line.partition("#")[0])
        if match is None:
            if line.lower().lstrip().startswith("user-agent"):
                lines.append(line)
            continue
        usage = {part.replace(" ", "").lower() for part in match["usage"].split(",")}
        for word, rule in (("train-ai=n", "Disallow"), ("train-ai=y", "Allow")):
            if word in usage:
                lines.append(f"{rule}: {match['path'] or '/'}")
    return Protego.parse("\n".join(lines))
