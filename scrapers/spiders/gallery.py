"""The gallery spider: walks a recipe's HTML pages and asks for every picture on them."""

from collections.abc import Iterator
from typing import Any

from scrapy import Request
from scrapy.http import Response, TextResponse

from ..opt_outs import find_opt_out_in_page
from .answers import Answer, Found, recorded
from .reading import Node, read_fields, read_page
from .source import IS_COUNTED_KEY, ITEM_PRIORITY, SourceSpider


class GallerySpider(SourceSpider):
    """Follows start pages, next pages and item pages, and asks for the pictures on them."""

    name = "gallery"

    @recorded
    def parse_page(self, response: Response, found: Found) -> Iterator[Any]:
        """Yield requests for the pictures, item pages and next page of a gallery page."""
        refusal = self._open(response, found)
        if refusal:
            yield refusal
            return
        is_first = self.count_page(is_gallery=True) == 1
        page = read_page(response.text, self.recipe)
        assert self.recipe.item is not None
        items = page.split(self.recipe.item)
        if not items and is_first:
            self.stop_for("item", self.recipe.item, response.url)
        if self.recipe.item_page:
            yield from self._follow_items(items, response, is_first=is_first)
        else:
            yield from self._take_items(items, response)
        link = page.find(self.recipe.next_page) if self.recipe.next_page else None
        url = self.join(response, link)
        if url is not None and self.may_follow(url):
            yield self.ask_page(url, response.url)

    @recorded
    def parse_item(self, response: Response, found: Found) -> Iterator[Any]:
        """Yield the request for the picture that an item's own page shows."""
        refusal = self._open(response, found)
        if refusal:
            yield refusal
            return
        self.count_page()
        fields = read_fields(read_page(response.text, self.recipe), self.recipe.selectors)
        self.check_fields([fields], response.url)
        url = self.join(response, fields["image"])
        if url is None:
            yield self.without_url(response, 0)
            return
        yield from self.ask_picture(url, self.make_found(url, fields, response), is_counted=False)

    def _open(self, response: Response, found: Found) -> Answer | None:
        """Return why a page may not be read, or None."""
        self._waiting.pop(found.url, None)
        is_text = isinstance(response, TextResponse)
        reason = find_opt_out_in_page(response.text) if is_text else "not_html"
        if reason:
            return self.reject(found, reason)
        return None

    def _follow_items(
        self, items: list[Node], response: Response, *, is_first: bool
    ) -> Iterator[Any]:
        selector = self.recipe.item_page or ""
        links = [item.find(selector) for item in items]
        if items and not any(links) and is_first:
            self.stop_for("item_page", selector, response.url)
        for index, link in enumerate(links):
            url = self.join(response, link)
            if url is None:
                yield self.without_url(response, index)
            elif url not in self._seen:
                yield self._ask_item(url, response)

    def _ask_item(self, url: str, response: Response) -> Request | Answer:
        self._seen.add(url)
        found = Found(self.job.public_url(url), self.job.public_url(response.url))
        if self.count_picture():
            return self.reject(found, "over_budget")
        self._waiting[found.url] = found
        return Request(
            url,
            callback=self.parse_item,
            errback=self.fail,
            headers=self.name_referrer(url, found.page_url),
            cb_kwargs={"found": found},
            meta={IS_COUNTED_KEY: True},
            priority=ITEM_PRIORITY,
        )

    def _take_items(self, items: list[Node], response: Response) -> Iterator[Any]:
        rows = [read_fields(item, self.recipe.selectors) for item in items]
        self.check_fields(rows, response.url)
        for index, fields in enumerate(rows):
            url = self.join(response, fields["image"])
            if url is None:
                yield self.without_url(response, index)
            else:
                yield from self.ask_picture(url, self.make_found(url, fields, response))
