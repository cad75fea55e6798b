"""One page of a site, and what each selector of its recipe finds (requests, BeautifulSoup)."""

import json
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import requests
from bs4 import BeautifulSoup
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from anymus.errors import DatasetError, ParamsError, PolicyError
from anymus.params import Params, ScrapeParams

from .addresses import find_refusal, may_dial
from .opt_outs import find_opt_out_in_headers, find_opt_out_in_page
from .robots import RobotsRules, read_robots
from .scrape import build_user_agent, hint_of_refusal, prepare_recipe, site_of
from .settings import MAX_REDIRECTS, MIN_DELAY_S
from .sites import Recipe
from .spiders.api import next_address, read_item, read_items
from .spiders.reading import Node, UntidyNode, read_fields

_MAX_PAGE_BYTES = 32 * 1024 * 1024
_CHUNK_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Line:
    """What one selector finds: in how many of the items, and its first value."""

    key: str
    selector: str
    found: int
    of: int
    first: str | None


@dataclass(frozen=True, slots=True)
class SiteCheck:
    """What the selectors of a recipe find on one page."""

    recipe: Recipe
    url: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Return the check as plain values."""
        rows = [
            {"key": x.key, "selector": x.selector, "found": x.found, "of": x.of, "first": x.first}
            for x in self.lines
        ]
        return {"site": self.recipe.name, "url": self.url, "notes": self.notes, "selectors": rows}

    def require_matches(self) -> None:
        """Do nothing if the selectors that a crawl cannot do without find something.

        Raises:
            DatasetError: One finds nothing.
        """
        needed = ("item", "item_page", "api.items", "picture.image", "picture.licence")
        for line in self.lines:
            if line.key in needed and not line.found:
                raise DatasetError(
                    f"{self.url}: {line.key} {line.selector!r} finds nothing",
                    "look at the page's source and mend the recipe",
                )


def check_site(params: Params, site: str, url: str | None = None) -> SiteCheck:
    """Fetch a page of a site, politely, and return what the recipe's selectors find.

    Where pictures have pages of their own, the first of them is fetched, too.

    Args:
        params: All parameters; `scrape` is used, and `seed` for the demo site.
        site: The name of a shipped recipe, or the path of one.
        url: The page; None: the recipe's first start page.

    Raises:
        ParamsError: The recipe is unknown, or names a list of URLs.
        PolicyError: robots.txt or an opt-out forbids the page, or there is no contact.
        DatasetError: The page cannot be read.
    """
    recipe = prepare_recipe(params, site)
    agent = build_user_agent(recipe, params.scrape.contact)
    if recipe.kind == "list":
        raise ParamsError(f"{recipe.name} is a list of URLs: it has no page", "scrape it")
    with site_of(params, recipe) as base_url:
        recipe = recipe.at(base_url or "")
        fetcher = PageFetcher(recipe, agent, params.scrape)
        url = url or recipe.start_urls[0]
        page = fetcher.fetch(url)
        if recipe.kind == "api":
            return SiteCheck(recipe, url, tuple(_check_api(recipe, page, url)))
        return _check_gallery(recipe, page, url, fetcher)


class PageFetcher:
    """Fetches single pages by the rules of a crawl: robots.txt, opt-outs, public addresses only."""

    def __init__(self, recipe: Recipe, agent: str, limits: ScrapeParams) -> None:
        self._recipe = recipe
        self._timeout_s = limits.timeout_s
        self._has_terms = limits.has_read_api_terms
        self._robots: dict[str, RobotsRules] = {}
        self._asked_at = 0.0
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy: the address checked is the address dialled
        self._session.headers["User-Agent"] = agent
        adapter = _CheckedAdapter(is_demo=recipe.is_demo)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def fetch(self, url: str) -> str:
        """Return the text of a page.

        Raises:
            PolicyError: It must not be fetched.
            DatasetError: It cannot be read.
        """
        for _ in range(MAX_REDIRECTS + 1):
            self._require_allowed(url)
            response = self._get(url)
            reason = find_opt_out_in_headers(
                ((name.lower(), value) for name, value in response.headers.items()),
                is_picture=False,
            )
            if not response.is_redirect:
                break
            url = urljoin(url, response.headers["Location"])
        if response.status_code != 200:
            raise DatasetError(f"{url}: http_{response.status_code}", "look at it in a browser")
        text = self._read(response)
        reason = reason or find_opt_out_in_page(text)
        if reason:
            raise PolicyError(f"{url} must not be used ({reason})", "choose another source")
        return text

    def _require_allowed(self, url: str) -> None:
        reason = find_refusal(self._recipe, url)
        if reason is None:
            parts = urlsplit(url)
            origin = f"{parts.scheme}://{parts.netloc}"
            if origin not in self._robots:
                self._robots[origin] = self._read_robots(origin)
            reason = self._robots[origin].find_refusal(url)
            if reason == "robots" and self._has_terms and self._recipe.is_api_address(url):
                reason = None
        if reason:
            raise PolicyError(
                f"{url} must not be fetched ({reason})", hint_of_refusal(self._recipe, reason)
            )

    def _read_robots(self, origin: str) -> RobotsRules:
        try:
            response = self._get(f"{origin}/robots.txt", may_redirect=True)
            return read_robots(response.status_code, self._read(response).encode())
        except DatasetError:
            return RobotsRules(None, "robots_unavailable")

    def _get(self, url: str, *, may_redirect: bool = False) -> requests.Response:
        pause_s = 0.0 if self._recipe.is_demo else MIN_DELAY_S
        time.sleep(max(0.0, self._asked_at + pause_s - time.monotonic()))
        self._asked_at = time.monotonic()
        try:
            return self._session.get(
                url, timeout=self._timeout_s, stream=True, allow_redirects=may_redirect
            )
        except _PrivateAddressError as error:
            raise PolicyError(f"{url} must not be fetched (private_address)", str(error)) from error
        except requests.RequestException as error:
            raise DatasetError(f"{url} could not be read: {error}", "try again later") from error

    def _read(self, response: requests.Response) -> str:
        began, body = time.monotonic(), b""
        for chunk in response.iter_content(_CHUNK_BYTES):
            body += chunk
            if len(body) > _MAX_PAGE_BYTES or time.monotonic() - began > self._timeout_s:
                raise DatasetError(f"{response.url} is too large or too slow", "try another page")
        return body.decode(response.encoding or "utf-8", "replace")


class _PrivateAddressError(Exception):
    """The address is not one for this recipe."""


def _resolve(host: str, port: int, *, is_demo: bool) -> str:
    """Return the first address of a host, if all of them may be dialled."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(item[4][0]) for item in found]
    for address in addresses:
        if not may_dial(address, is_demo=is_demo):
            raise _PrivateAddressError(f"{host} is {address}")
    return addresses[0]


class _CheckedHTTP(HTTPConnection):
    is_demo = False

    def _new_conn(self) -> socket.socket:
        self._dns_host = _resolve(self._dns_host, self.port or 80, is_demo=self.is_demo)
        return super()._new_conn()


class _CheckedHTTPS(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        self._dns_host = _resolve(self._dns_host, self.port or 443, is_demo=False)
        return super()._new_conn()


class _CheckedAdapter(HTTPAdapter):
    """Dials no address that was not checked."""

    def __init__(self, *, is_demo: bool) -> None:
        self._is_demo = is_demo
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        connection = type("Connection", (_CheckedHTTP,), {"is_demo": self._is_demo})
        http = type("Pool", (HTTPConnectionPool,), {"ConnectionCls": connection})
        https = type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": _CheckedHTTPS})
        pools = cast("Any", self.poolmanager)
        pools.pool_classes_by_scheme = {"http": http, "https": https}


def _check_gallery(recipe: Recipe, html: str, url: str, fetcher: PageFetcher) -> SiteCheck:
    assert recipe.item is not None
    page = UntidyNode(BeautifulSoup(html, "lxml"))
    items = page.split(recipe.item)
    lines = [Line("item", recipe.item, len(items), len(items), None)]
    notes: list[str] = []
    holders: list[Node] = items
    if recipe.item_page and items:
        links = [item.find(recipe.item_page) for item in items]
        lines.append(_line("item_page", recipe.item_page, links))
        first = next((link for link in links if link), None)
        if first is not None:
            own_url = urljoin(url, first)
            notes.append(f"picture.* on {own_url}")
            holders = [UntidyNode(BeautifulSoup(fetcher.fetch(own_url), "lxml"))]
    rows = [read_fields(holder, recipe.selectors) for holder in holders]
    lines += _picture_lines(recipe, rows)
    if recipe.next_page:
        lines.append(_line("next_page", recipe.next_page, [page.find(recipe.next_page)]))
    return SiteCheck(recipe, url, tuple(lines), tuple(notes))


def _check_api(recipe: Recipe, text: str, url: str) -> Iterable[Line]:
    assert recipe.api is not None
    try:
        data = json.loads(text)
    except ValueError as error:
        raise DatasetError(f"{url} is not JSON: {error}", "look at it in a browser") from error
    items = read_items(data, recipe.api) or []
    yield Line("api.items", recipe.api.items, len(items), len(items), None)
    yield from _picture_lines(recipe, [read_item(item, recipe) for item in items])
    if recipe.api.paging is not None:
        selector = recipe.api.paging.merge or recipe.api.paging.last or recipe.api.paging.url
        yield _line("api.paging", str(selector), [next_address(data, url, recipe.api)])


def _picture_lines(recipe: Recipe, rows: list[dict[str, str | None]]) -> list[Line]:
    named = dict(recipe.selectors.named)
    return [
        _line(f"picture.{name}", selector, [row.get(name) for row in rows])
        for name, selector in named.items()
    ]


def _line(key: str, selector: str, values: list[str | None]) -> Line:
    found = [value for value in values if value]
    return Line(key, selector, len(found), len(values), found[0] if found else None)
