"""Reading pages: from HTML and a recipe's selectors to plain fields.

Tidy pages are read as Scrapy reads them, untidy ones with BeautifulSoup: where tags were
left open, a parser finds items inside items, and a field belongs to the innermost one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from lxml.etree import XPath
from parsel import Selector
from parsel.csstranslator import HTMLTranslator

from ..sites import PictureSelectors, Recipe, split_selector

if TYPE_CHECKING:
    from bs4 import Tag

Fields = dict[str, str | None]
_text_of = XPath("string()")


class Node(Protocol):
    """A page or an element of it."""

    def find(self, selector: str) -> str | None:
        """Return the text or the attribute that a selector finds first, or None."""
        ...

    def split(self, css: str) -> list["Node"]:
        """Return the elements that a selector finds."""
        ...


@dataclass(frozen=True, slots=True)
class TidyNode:
    """A node of a page whose tags are closed."""

    element: Any

    def find(self, selector: str) -> str | None:
        """Return the first match's attribute or its text, or None."""
        css, attribute = split_selector(selector)
        for match in _compile(css)(self.element):
            value = match.get(attribute) if attribute else _text_of(match)
            if value and value.strip():
                return _clean(value)
        return None

    def split(self, css: str) -> list[Node]:
        """Return the elements that a selector finds."""
        return [TidyNode(match) for match in _compile(css)(self.element)]


@dataclass(frozen=True, slots=True)
class UntidyNode:
    """A node of a page whose tags may have been left open; `item_ids` are the items' identities."""

    tag: "Tag"
    item_ids: frozenset[int] = frozenset()

    def find(self, selector: str) -> str | None:
        """Return the first match's attribute or own text that lies in no inner item, or None."""
        css, attribute = split_selector(selector)
        for match in self.tag.select(css):
            if self._is_own(match):
                value = str(match.get(attribute, "")) if attribute else self._own_text(match)
                if value.strip():
                    return _clean(value)
        return None

    def split(self, css: str) -> list[Node]:
        """Return the elements that a selector finds; each knows the others."""
        tags = self.tag.select(css)
        item_ids = frozenset(id(tag) for tag in tags)
        return [UntidyNode(tag, item_ids) for tag in tags]

    def _is_own(self, match: "Tag") -> bool:
        for ancestor in match.parents:
            if ancestor is self.tag:
                return True
            if id(ancestor) in self.item_ids:
                return False
        return False

    def _own_text(self, match: "Tag") -> str:
        return " ".join(_texts_outside(match, self.item_ids))


def read_page(html: str, recipe: Recipe) -> Node:
    """Return the root of a page, read as the recipe says."""
    if recipe.html == "untidy":
        from bs4 import BeautifulSoup

        return UntidyNode(BeautifulSoup(html, "lxml"))
    return TidyNode(Selector(text=html).root)


def read_fields(node: Node, selectors: PictureSelectors) -> Fields:
    """Return what the picture selectors find in an item or on its page."""
    return {name: node.find(selector) for name, selector in selectors.named}


@lru_cache
def _compile(css: str) -> XPath:
    return XPath(HTMLTranslator().css_to_xpath(css))


def _texts_outside(tag: "Tag", item_ids: frozenset[int]) -> Iterator[str]:
    from bs4 import Tag

    for child in tag.children:
        if isinstance(child, Tag):
            if id(child) not in item_ids:
                yield from _texts_outside(child, item_ids)
        else:
            yield str(child)


def _clean(value: str) -> str:
    return " ".join(value.split())
