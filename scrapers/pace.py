"""The pace at each site, kept by all crawlers of a Redis server together.

Whoever asks a site holds one of its places (one, unless the owner allows more) until the answer is
there, and nobody asks before the delay since the last request is over.
"""

import asyncio
from collections import defaultdict
from typing import Any

from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.http import Response

from .shared import LEASE_S

_POLL_S = 0.02
_RENEW_S = LEASE_S / 4


class SitePace:
    """The places and pauses of all sites, in Redis.

    Args:
        client: The connection.
        lease_s: After how long a place is free again whose holder was killed.
    """

    def __init__(self, client: Any, lease_s: float = LEASE_S) -> None:
        self._client = client
        self._lease_s = lease_s

    def try_to_enter(self, site: str, places: int, delay_s: float) -> Any | float:
        """Return a place at a site, to be left after the answer, or the seconds to wait for one.

        Args:
            site: The site.
            places: How many requests the site may be asked at a time.
            delay_s: Least time from this request to the next, seconds.
        """
        pause_key = f"anymus:site:{site}:pause"
        left_ms = self._client.pttl(pause_key)
        if left_ms > 0:
            return left_ms / 1000
        for number in range(places):
            place = self._client.lock(f"anymus:site:{site}:place:{number}", timeout=self._lease_s)
            if not place.acquire(blocking=False):
                continue
            delay_ms = int(delay_s * 1000)
            if not delay_ms or self._client.set(pause_key, "", px=delay_ms, nx=True):
                return place
            place.release()
            break
        return _POLL_S

    def leave(self, site: str, place: Any, pause_s: float) -> None:
        """Give a place back; the site is not asked again for so many seconds."""
        from redis.exceptions import LockError

        self.pause(site, pause_s)
        try:
            place.release()
        except LockError:  # it had lapsed, and may be another's by now
            return

    def renew(self, place: Any) -> None:
        """Hold a place for longer."""
        from redis.exceptions import LockError

        try:
            place.reacquire()
        except LockError:
            return

    def pause(self, site: str, pause_s: float) -> None:
        """Let nobody ask a site for so many seconds, or for longer if that was so already."""
        pause_ms = int(pause_s * 1000)
        pause_key = f"anymus:site:{site}:pause"
        if pause_ms > 0 and pause_ms > self._client.pttl(pause_key):
            self._client.set(pause_key, "", px=pause_ms)


class SharedPaceMiddleware:
    """Sends a request when its site has a place for it, whoever else crawls there.

    It stands next to the network, so what comes from the cache does not wait.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        spider: Any = crawler.spider
        self._pace: SitePace = spider.site_pace
        self._shared = spider.shared
        self._doors: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._held: dict[Request, Any] = {}
        self._renewing: asyncio.Task[None] | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "SharedPaceMiddleware":
        """Return the middleware of a crawl."""
        middleware = cls(crawler)
        crawler.signals.connect(middleware.start, signals.spider_opened)
        crawler.signals.connect(middleware.stop, signals.spider_closed)
        return middleware

    async def process_request(self, request: Request) -> None:
        """Let the request pass once its site may be asked."""
        site = self._downloader.get_slot_key(request)
        async with self._doors[site]:  # of those that wait here, one asks at a time
            while isinstance(found := self._try_to_enter(site), float):
                await asyncio.sleep(found)
        self._held[request] = found

    def process_response(self, request: Request, response: Response) -> Response:
        """Return the response after its place was given back."""
        # The delay counts from the sending; the latency is the time since then, or a little less.
        self._leave(request, float(request.meta.get("download_latency", 0.0)))
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:  # noqa: ARG002
        """Give the place of a request that failed back."""
        self._leave(request, 0.0)

    def start(self) -> None:
        """Begin to renew what is held."""
        self._renewing = asyncio.ensure_future(self._renew())

    def stop(self) -> None:
        """End that."""
        if self._renewing is not None:
            self._renewing.cancel()

    @property
    def _downloader(self) -> Any:
        assert self._crawler.engine is not None
        return self._crawler.engine.downloader

    @property
    def _places(self) -> int:
        return self._crawler.settings.getint("CONCURRENT_REQUESTS_PER_DOMAIN")

    def _try_to_enter(self, site: str) -> Any | float:
        return self._pace.try_to_enter(site, self._places, self._delay_of(site))

    def _delay_of(self, site: str) -> float:
        """Return the delay at a site as robots.txt and AutoThrottle have made it here."""
        slot = self._downloader.slots.get(site)
        if slot is not None:
            return float(slot.delay)
        settings = self._downloader.per_slot_settings.get(site, {})
        return float(settings.get("delay", self._crawler.settings.getfloat("DOWNLOAD_DELAY")))

    def _leave(self, request: Request, ago_s: float) -> None:
        place = self._held.pop(request, None)
        if place is not None:
            site = self._downloader.get_slot_key(request)
            self._pace.leave(site, place, self._delay_of(site) - ago_s)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            for place in self._held.values():
                self._pace.renew(place)
