"""The gallery spider: walks a recipe's pages and asks for every picture once.

Whatever happens to a picture that was seen ends in one `Answer`: its bytes, or a reason.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from scrapy import Request, Spider
from scrapy.exceptions import CloseSpider
from scrapy.http import Response, TextResponse
from twisted.python.failure import Failure

from ..job import DEMO_FETCHED_AT, CrawlJob
from ..middlewares import IS_PICTURE_KEY
from ..opt_outs import find_opt_out_in_page
from .answers import Answer, Found, find_reason
from .reading import Fields, Node, read_fields, read_page

MAX_URL_LENGTH = 2083
# Pictures first, then their pages, then more galleries: little waits at any time.
_PICTURE_PRIORITY = 2
_ITEM_PRIORITY = 1


class GallerySpider(Spider):
    """Follows start pages, next pages and item pages, and asks for the pictures on them."""

    name = "gallery"

    def __init__(self, job: CrawlJob) -> None:
        super().__init__()
        self.job = job
        self.recipe = job.recipe
        self.pages = 0
        self.gallery_pages = 0
        self.pictures = 0
        self.is_over_budget = False
        self.mismatch: str | None = None
        self.start_failure: tuple[str, str] | None = None
        self._seen: set[str] = set()
        self._waiting: dict[str, Found] = {}
        self._has_checked_fields = False

    async def start(self) -> AsyncIterator[Any]:
        """Yield the start pages' requests."""
        for url in self.recipe.start_urls:
            yield self._ask_page(url, url, is_start=True)

    def parse_gallery(self, response: Response, found: Found) -> Iterator[Any]:
        """Yield requests for the pictures, item pages and next page of a gallery page."""
        refusal = self._open(response, found)
        if refusal:
            yield refusal
            return
        self.gallery_pages += 1
        page = self._read(response)
        items = page.split(self.recipe.item)
        if not items and self.gallery_pages == 1:
            self._stop_for("item", self.recipe.item, response.url)
        if self.recipe.item_page:
            yield from self._follow_items(items, response)
        else:
            yield from self._take_items(items, response)
        yield from self._follow_next(page, response)

    def parse_item(self, response: Response, found: Found) -> Iterator[Any]:
        """Yield the request for the picture that an item's own page shows."""
        refusal = self._open(response, found)
        if refusal:
            yield refusal
            return
        fields = read_fields(self._read(response), self.recipe.picture)
        self._check_fields([fields], response.url)
        yield from self._ask_picture(fields, response)

    def parse_picture(self, response: Response, found: Found) -> Iterator[Answer]:
        """Yield the picture's bytes."""
        self._waiting.pop(found.url, None)
        yield Answer(found, response.url, body=response.body, fetched_at=self._now())

    def fail(self, failure: Failure) -> Iterator[Answer]:
        """Yield why a page or a picture was refused or could not be had."""
        found: Found = failure.request.cb_kwargs["found"]  # type: ignore[attr-defined]
        yield self._reject(found, find_reason(failure))

    def give_up(self) -> Iterator[Answer]:
        """Yield an answer for each picture that was asked for and never came."""
        for found in list(self._waiting.values()):
            yield self._reject(found, "over_budget")

    def _open(self, response: Response, found: Found) -> Answer | None:
        """Count a page that may be read, or return why it may not."""
        self._waiting.pop(found.url, None)
        is_text = isinstance(response, TextResponse)
        reason = find_opt_out_in_page(response.text) if is_text else "not_html"
        if reason:
            return self._reject(found, reason)
        self.pages += 1
        return None

    def _read(self, response: Response) -> Node:
        return read_page(response.text, self.recipe)

    def _follow_items(self, items: list[Node], response: Response) -> Iterator[Any]:
        assert self.recipe.item_page is not None
        links = [item.find(self.recipe.item_page) for item in items]
        if items and not any(links) and self.gallery_pages == 1:
            self._stop_for("item_page", self.recipe.item_page, response.url)
        for index, link in enumerate(links):
            url = self._join(response, link)
            if url is None:
                yield self._without_url(response, index)
            elif url not in self._seen:
                yield self._count(self._ask_page(url, response.url, is_item=True))

    def _take_items(self, items: list[Node], response: Response) -> Iterator[Any]:
        rows = [read_fields(item, self.recipe.picture) for item in items]
        self._check_fields(rows, response.url)
        for index, fields in enumerate(rows):
            yield from self._ask_picture(fields, response, index)

    def _ask_picture(self, fields: Fields, response: Response, index: int = 0) -> Iterator[Any]:
        url = self._join(response, fields["image"])
        if url is None:
            yield self._without_url(response, index)
            return
        if url in self._seen:
            return
        self._seen.add(url)
        found = self._found(url, fields, response)
        if not self.recipe.accepts_licence(found.licence):
            yield Answer(found, url, "licence")
            return
        request = Request(
            url,
            callback=self.parse_picture,
            errback=self.fail,
            cb_kwargs={"found": found},
            meta={IS_PICTURE_KEY: True},
            priority=_PICTURE_PRIORITY,
        )
        self._waiting[found.url] = found
        if self.recipe.item_page:
            yield request
        else:
            yield self._count(request)

    def _count(self, request: Request) -> Request | Answer:
        """Return the request of one more picture, or its refusal when the budget is spent."""
        if self.pictures >= self.job.limits.max_pictures:
            self.is_over_budget = True
            return self._reject(request.cb_kwargs["found"], "over_budget")
        self.pictures += 1
        return request

    def _follow_next(self, page: Node, response: Response) -> Iterator[Request]:
        link = page.find(self.recipe.next_page) if self.recipe.next_page else None
        url = self._join(response, link)
        if url is None or url in self._seen:
            return
        limits = self.job.limits
        if self.gallery_pages >= limits.max_pages or self.pictures >= limits.max_pictures:
            self.is_over_budget = True
            return
        yield self._ask_page(url, response.url)

    def _ask_page(
        self, url: str, page_url: str, *, is_item: bool = False, is_start: bool = False
    ) -> Request:
        self._seen.add(url)
        found = Found(self.job.public_url(url), self.job.public_url(page_url))
        if is_item:
            self._waiting[found.url] = found
        return Request(
            url,
            callback=self.parse_item if is_item else self.parse_gallery,
            errback=self.fail_start if is_start else self.fail,
            cb_kwargs={"found": found},
            priority=_ITEM_PRIORITY if is_item else 0,
        )

    def fail_start(self, failure: Failure) -> Iterator[Answer]:
        """Yield why a start page could not be read, and remember the first."""
        found: Found = failure.request.cb_kwargs["found"]  # type: ignore[attr-defined]
        self.start_failure = self.start_failure or (find_reason(failure), found.url)
        yield from self.fail(failure)

    def _found(self, url: str, fields: Fields, response: Response) -> Found:
        licence_url = fields.get("licence_url")
        return Found(
            url=self.job.public_url(url),
            page_url=self.job.public_url(response.url),
            title=fields.get("title"),
            author=fields.get("author"),
            licence=fields.get("licence") or self.recipe.default_licence,
            licence_url=response.urljoin(licence_url) if licence_url else None,
        )

    def _join(self, response: Response, link: str | None) -> str | None:
        """Return the absolute URL of a link, or None if there is none that can be asked for."""
        if not link:
            return None
        try:
            url = response.urljoin(link)
            is_usable = urlsplit(url).scheme in ("http", "https") and len(url) <= MAX_URL_LENGTH
        except ValueError:
            return None
        return url.partition("#")[0] if is_usable else None

    def _without_url(self, response: Response, index: int) -> Answer:
        page_url = self.job.public_url(response.url)
        return Answer(Found(f"{page_url}#item-{index + 1}", page_url), page_url, "no_url")

    def _reject(self, found: Found, reason: str) -> Answer:
        self._waiting.pop(found.url, None)
        return Answer(found, found.url, reason)

    def _check_fields(self, rows: list[Fields], url: str) -> None:
        """Stop the crawl if the first page with pictures shows no image or no licence at all."""
        if self._has_checked_fields or not rows:
            return
        self._has_checked_fields = True
        for name in ("image", "licence"):
            selector = getattr(self.recipe.picture, name)
            if selector and not any(row[name] for row in rows):
                self._stop_for(f"picture.{name}", selector, url)

    def _stop_for(self, key: str, selector: str, url: str) -> None:
        self.mismatch = f"{self.job.public_url(url)}: {key} {selector!r} finds nothing"
        raise CloseSpider("mismatch")

    def _now(self) -> str:
        if self.recipe.is_demo:
            return DEMO_FETCHED_AT
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
