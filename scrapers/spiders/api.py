"""The API spider: reads JSON pages by JMESPath and follows their paging."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import jmespath
from scrapy.http import Response

from ..sites import Api, Recipe
from .answers import Found, recorded
from .reading import Fields
from .source import SourceSpider


class ApiSpider(SourceSpider):
    """Follows the pages of a JSON API and asks for the pictures that they name."""

    name = "api"

    @recorded
    def parse_page(self, response: Response, found: Found) -> Iterator[Any]:
        """Yield requests for the pictures and the next page of a JSON page."""
        assert self.recipe.api is not None
        try:
            data = json.loads(response.text)
        except (ValueError, AttributeError):
            yield self.reject(found, "not_json")
            return
        is_first = self.count_page(is_gallery=True) == 1
        items = read_items(data, self.recipe.api)
        if items is None and is_first:
            self.stop_for("api.items", self.recipe.api.items, response.url)
        rows = [read_item(item, self.recipe) for item in items or []]
        self.check_fields(rows, response.url)
        for index, fields in enumerate(rows):
            url = self.join(response, fields.get("image"))
            if url is None:
                yield self.without_url(response, index)
            else:
                yield from self.ask_picture(url, self.make_found(url, fields, response))
        url = self.join(response, next_address(data, response.url, self.recipe.api))
        if url is not None and self.may_follow(url):
            yield self.ask_page(url, response.url)


def read_items(data: Any, api: Api) -> list[Any] | None:
    """Return the items of a JSON page; of an object its values, in the order of its keys."""
    items = jmespath.search(api.items, data)
    if isinstance(items, dict):
        return [items[key] for key in sorted(items)]
    return items if isinstance(items, list) else None


def read_item(item: Any, recipe: Recipe) -> Fields:
    """Return the picture's fields that the recipe's expressions find in an item, as plain text."""
    return {name: _as_text(_search(path, item)) for name, path in recipe.selectors.named}


def next_address(data: Any, url: str, api: Api) -> str | None:
    """Return the URL of the page after this one, or None after the last."""
    paging = api.paging
    if paging is None:
        return None
    if paging.url is not None:
        return _as_text(jmespath.search(paging.url, data))
    if paging.merge is not None:
        more = jmespath.search(paging.merge, data)
        return _with_query(url, more) if isinstance(more, dict) and more else None
    assert paging.page is not None
    assert paging.last is not None
    number = int(dict(parse_qsl(urlsplit(url).query)).get(paging.page, "1"))
    last = jmespath.search(paging.last, data)
    is_last = not isinstance(last, int) or number >= last
    return None if is_last else _with_query(url, {paging.page: number + 1})


def _search(path: str, item: Any) -> Any:
    try:
        return jmespath.search(path, item)
    except jmespath.exceptions.JMESPathError:  # such as join() of a field that is null here
        return None


def _with_query(url: str, changes: dict[str, Any]) -> str:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    query |= {name: str(value) for name, value in changes.items()}
    return urlunsplit(parts._replace(query=urlencode(query)))


def _as_text(value: Any) -> str | None:
    """Return a value as one line of text without markup, or None if there is none."""
    if value is None or isinstance(value, dict | list):
        return None
    text = str(value)
    if "<" in text and ">" in text:
        from bs4 import BeautifulSoup

        text = BeautifulSoup(text, "lxml").get_text(" ")
    return " ".join(text.split()) or None
