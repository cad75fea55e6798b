"""Which addresses a crawl may connect to: public ones, and only those of its recipe's hosts."""

import ipaddress
import socket
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler

from .page_cache import IS_RULE_KEY
from .refusals import RefusedRequestError
from .sites import Recipe

_HOSTS = 1024


def open_socket(address_info: tuple[Any, ...], *, is_demo: bool) -> socket.socket:
    """Return the socket of a connection to an address that was found for a host.

    Every connection of a crawl is made with it: literals, odd spellings such as 0x7f.1, redirects
    and names that change their address all pass here.

    Args:
        address_info: As of `socket.getaddrinfo`.
        is_demo: Whether it is a crawl of this machine's own demo site.

    Raises:
        RefusedRequestError: A crawl must not dial it: `private_address`.
    """
    family, kind, protocol, _, address = address_info
    if not may_dial(address[0], is_demo=is_demo):
        raise RefusedRequestError("private_address")
    return socket.socket(family, kind, protocol)


@lru_cache(_HOSTS)
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
        reason = find_refusal(self._recipe, request.url, is_rule=IS_RULE_KEY in request.meta)
        if reason:
            raise RefusedRequestError(reason)


def find_refusal(recipe: Recipe, url: str, *, is_rule: bool = False) -> str | None:
    """Return why a URL must not be asked for, or None; `is_rule`: robots.txt and the like."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in ("http", "https") or not host:
        return "scheme"
    address = _read_literal(host)
    if address is not None and not may_dial(address, is_demo=recipe.is_demo):
        return "private_address"
    if not is_rule and not _is_on_site(host, recipe.allowed_domains):
        return "off_site"
    return None


@lru_cache(_HOSTS)
def _read_literal(host: str) -> str | None:
    """Return the address that a host is, spelt as the C library reads it, or None for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def _is_on_site(host: str, allowed_domains: Iterable[str]) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in allowed_domains)
