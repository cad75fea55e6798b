"""Scrapy's download handler for http and https, on aiohttp.

aiohttp parses answers in C: one of 70 kB costs a third of the CPU time that Twisted's client takes.
It makes each socket with `open_socket`, so the address checked is the address dialled.
"""

import socket
import time
from functools import partial
from typing import Any

from aiohttp import (
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    ThreadedResolver,
)
from scrapy import Request
from scrapy.core.downloader.handlers.base import BaseDownloadHandler
from scrapy.crawler import Crawler
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    ResponseDataLossError,
)
from scrapy.http import Headers, Response
from scrapy.responsetypes import responsetypes
from yarl import URL

from .addresses import open_socket
from .page_cache import IS_PICTURE_KEY

_MAX_HEADER_BYTES = 65_536
# aiohttp adds none of its own: they are as the crawl gives them.
_OWN_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
# The first kind that fits names a failure.
_FAILURES: tuple[tuple[type[Exception], type[Exception]], ...] = (
    (TimeoutError, DownloadTimeoutError),
    (ClientPayloadError, ResponseDataLossError),
    (ClientSSLError, DownloadFailedError),
    (ClientConnectorDNSError, CannotResolveHostError),
    (ClientConnectorError, DownloadConnectionRefusedError),
)


class PublicDownloadHandler(BaseDownloadHandler):
    """Fetches what a crawl asks for: over IPv4, from addresses that it may dial, without a proxy.

    Redirects are left to Scrapy's middleware, so that each is a request that is checked, and so is
    decompression. A body that is too large, or that has not come in time, is given up on its way.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        spider: Any = crawler.spider
        self._max_bytes = crawler.settings.getint("DOWNLOAD_MAXSIZE")
        self._session = ClientSession(
            connector=TCPConnector(
                limit=0,  # Scrapy counts what is under way
                family=socket.AF_INET,
                resolver=ThreadedResolver(),
                ttl_dns_cache=None,
                happy_eyeballs_delay=None,
                socket_factory=partial(open_socket, is_demo=spider.recipe.is_demo),
            ),
            timeout=ClientTimeout(total=crawler.settings.getfloat("DOWNLOAD_TIMEOUT")),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            headers=crawler.settings.getdict("DEFAULT_REQUEST_HEADERS"),
            skip_auto_headers=_OWN_HEADERS,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )

    async def download_request(self, request: Request) -> Response:
        """Return the answer to a request, whatever its status.

        Raises:
            RefusedRequestError: Its host's address is not one for this crawl.
            DownloadCancelledError: Its body is too large.
            DownloadFailedError: It could not be had; other errors of Scrapy's name other causes.
        """
        url = request.url.partition("#")[0]
        began = time.monotonic()
        try:
            async with self._session.request(
                request.method,
                URL(url, encoded=True),
                headers=request.headers.to_tuple_list(),
                allow_redirects=False,
            ) as answer:
                request.meta["download_latency"] = time.monotonic() - began
                body = await self._read(answer)
        except (TimeoutError, ClientError, ValueError) as error:
            kinds = (ours for theirs, ours in _FAILURES if isinstance(error, theirs))
            raise next(kinds, DownloadFailedError)(f"{url}: {error!r}") from error
        kind: type[Response] = Response  # of a picture: its bytes alone will say what it is
        if IS_PICTURE_KEY not in request.meta:
            headers = Headers(answer.raw_headers)
            kind = responsetypes.from_args(headers=headers, url=url, body=body)
        response = kind(url, status=answer.status, body=body)
        response.headers.update(answer.raw_headers)
        return response

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def _read(self, answer: ClientResponse) -> bytes:
        """Return the body as it was sent, unless it is too large."""
        chunks: list[bytes] = []
        left_bytes = self._max_bytes
        if (answer.content_length or 0) <= left_bytes:
            while left_bytes >= 0:
                chunk = await answer.content.readany()
                if not chunk:
                    return b"".join(chunks)
                chunks.append(chunk)
                left_bytes -= len(chunk)
        raise DownloadCancelledError(f"{answer.url}: more than {self._max_bytes} bytes")
