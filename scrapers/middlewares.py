"""Scrapy's downloader middlewares: which requests may go out, and which answers may be used.

A refusal is a `RefusedRequestError` with the one-word reason that the manifest will give.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from protego import Protego
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import CannotResolveHostError, IgnoreRequest
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK
from scrapy.resolver import CachingThreadedResolver
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError

from .opt_outs import find_opt_out_in_headers
from .sites import Recipe

ROBOTS_AGENT = "Anymus"
MAX_ROBOTS_BYTES = 512 * 1024
MAX_CRAWL_DELAY_S = 60.0
IS_ROBOTS_KEY = "anymus_is_robots"
IS_PICTURE_KEY = "anymus_is_picture"
_TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = range(500, 600)

log = logging.getLogger(__name__)


class RefusedRequestError(IgnoreRequest):
    """A request that is not made, or an answer that is not used, for a reason of one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PublicAddressResolver(CachingThreadedResolver):
    """The resolver of every connection: it gives no address that a crawl must not dial.

    Literals, odd spellings such as 0x7f.1, redirects and names that change their address all pass
    here, and the address checked is the address dialled. IPv4 only.
    """

    is_demo = False
    refused_hosts: set[str] = set()  # noqa: RUF012 - one resolver a process, shared on purpose

    @classmethod
    def from_crawler(cls, crawler: Crawler, reactor: ReactorBase) -> "PublicAddressResolver":
        """Return the resolver of a crawl process."""
        resolver: PublicAddressResolver = super().from_crawler(crawler, reactor)
        return resolver

    def getHostByName(  # noqa: N802 - Twisted's name
        self, name: str, timeout: Any = ()
    ) -> "Deferred[str]":
        """Return the address of a host, or fail if it is not one for this crawl."""
        return super().getHostByName(name, timeout).addCallback(self._check, name)

    def _check(self, address: str, name: str) -> str:
        if not may_dial(address, is_demo=self.is_demo):
            self.refused_hosts.add(name)
            raise DNSLookupError(f"{name}: address {address} is not public")
        return address


def may_dial(address: str, *, is_demo: bool) -> bool:
    """Say whether a crawl may connect to an IP address: loopback for a demo, else public ones."""
    ip = ipaddress.ip_address(address)
    if is_demo:
        return ip.is_loopback
    return ip.is_global and not ip.is_multicast


class AddressMiddleware:
    """Refuses other schemes, private addresses and hosts that the recipe does not name.

    It looks at every request, start pages and redirects included, and no request can switch it off.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "AddressMiddleware":
        """Return the middleware for the crawl's recipe."""
        return cls(crawler.spider.job.recipe)  # type: ignore[union-attr]

    def process_request(self, request: Request) -> None:
        """Let the request pass.

        Raises:
            RefusedRequestError: It must not be made.
        """
        reason = self.find_refusal(request.url, is_robots=IS_ROBOTS_KEY in request.meta)
        if reason:
            raise RefusedRequestError(reason)

    def find_refusal(self, url: str, *, is_robots: bool = False) -> str | None:
        """Return why a URL must not be asked for, or None."""
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        if parts.scheme not in ("http", "https") or not host:
            return "scheme"
        if _is_literal(host) and not may_dial(host, is_demo=self._recipe.is_demo):
            return "private_address"
        if not is_robots and not _is_on_site(host, self._recipe.allowed_domains):
            return "off_site"
        return None


class RefusedHostMiddleware:
    """Turns a host that the resolver refused into a refusal, before anything tries again."""

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Leave other failures as they are.

        Raises:
            RefusedRequestError: The host's address is not one for this crawl.
        """
        host = urlsplit(request.url).hostname
        is_refused = host in PublicAddressResolver.refused_hosts
        if is_refused and isinstance(exception, CannotResolveHostError):
            raise RefusedRequestError("private_address")


class OptOutMiddleware:
    """Refuses answers whose headers say that the owner does not want this use."""

    def process_response(self, request: Request, response: Response) -> Response:
        """Return the response.

        Raises:
            RefusedRequestError: Its headers opt out; the reason is `opt_out_` and the directive.
        """
        if IS_ROBOTS_KEY in request.meta:
            return response
        reason = find_opt_out_in_headers(
            _header_lines(response), is_picture=IS_PICTURE_KEY in request.meta
        )
        if reason:
            raise RefusedRequestError(reason)
        return response


@dataclass(frozen=True, slots=True)
class RobotsRules:
    """What a host's robots.txt says: its rules, or why nothing may be fetched."""

    rules: Protego | None
    refusal: str | None = None

    def find_refusal(self, url: str) -> str | None:
        """Return why robots.txt forbids a URL, or None."""
        if self.rules is None:
            return self.refusal
        return None if self.rules.can_fetch(url, ROBOTS_AGENT) else "robots"


class RobotsMiddleware:
    """Obeys robots.txt by RFC 9309, with one fetch a host that all its requests wait for.

    A missing file (4xx) allows everything; a server error or no answer forbids everything.
    Crawl-delay is acted on, up to a minute.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._fetches: dict[str, asyncio.Future[RobotsRules]] = {}
        self._slowed_hosts: set[str] = set()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "RobotsMiddleware":
        """Return the middleware of a crawl."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Let the request pass once its host's robots.txt is known.

        Raises:
            RefusedRequestError: robots.txt forbids it or cannot be read.
        """
        if IS_ROBOTS_KEY in request.meta:
            return
        parts = urlsplit(request.url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._fetches:
            self._fetches[origin] = asyncio.ensure_future(self._fetch(origin))
        rules = await asyncio.shield(self._fetches[origin])
        refusal = rules.find_refusal(request.url)
        if refusal:
            raise RefusedRequestError(refusal)
        if parts.hostname in self._slowed_hosts:
            request.meta["autothrottle_dont_adjust_delay"] = True

    async def _fetch(self, origin: str) -> RobotsRules:
        request = Request(
            f"{origin}/robots.txt", meta={IS_ROBOTS_KEY: True}, priority=1000, callback=NO_CALLBACK
        )
        assert self._crawler.engine is not None
        try:
            response = await self._crawler.engine.download_async(request)
        except RefusedRequestError as error:
            return RobotsRules(None, error.reason)
        except Exception as error:  # noqa: BLE001 - whatever keeps robots.txt away forbids the host
            log.info("%s/robots.txt: %s", origin, error)
            return RobotsRules(None, "robots_unavailable")
        rules = read_robots(response.status, response.body)
        if rules.rules is not None:
            self._slow_down(urlsplit(origin).hostname or "", rules.rules.crawl_delay(ROBOTS_AGENT))
        return rules

    def _slow_down(self, host: str, crawl_delay_s: float | None) -> None:
        delay_s = min(crawl_delay_s or 0.0, MAX_CRAWL_DELAY_S)
        if delay_s <= self._crawler.settings.getfloat("DOWNLOAD_DELAY"):
            return
        assert self._crawler.engine is not None
        downloader = self._crawler.engine.downloader
        downloader.per_slot_settings[host] = {"delay": delay_s, "concurrency": 1, "jitter": 0}
        if host in downloader.slots:
            downloader.slots[host].delay = delay_s
        self._slowed_hosts.add(host)


def read_robots(status: int, body: bytes) -> RobotsRules:
    """Return the rules of a robots.txt response, by its status (RFC 9309, section 2.3.1).

    Too many requests (429) counts as a server error: it says "not now", not "everything".
    """
    if status in _SERVER_ERRORS or status == _TOO_MANY_REQUESTS:
        return RobotsRules(None, "robots_unavailable")
    text = body[:MAX_ROBOTS_BYTES].decode("utf-8-sig", "replace") if status == 200 else ""
    return RobotsRules(Protego.parse(text))


def _header_lines(response: Response) -> Iterable[tuple[str, str]]:
    for name, values in response.headers.items():
        for value in values:
            yield name.decode("latin-1").lower(), value.decode("latin-1")


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_on_site(host: str, allowed_domains: Iterable[str]) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in allowed_domains)
