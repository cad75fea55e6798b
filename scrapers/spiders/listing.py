"""The list spider: asks for every picture of a file of URLs."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from ..url_list import read_urls
from .answers import Found
from .source import SourceSpider, usable_url


class ListSpider(SourceSpider):
    """Asks for the URLs of a txt, csv, jsonl or parquet file, in its order."""

    name = "list"

    def name_referrer(self, url: str, page_url: str) -> dict[str, str]:  # noqa: ARG002
        """Return no header: no page led here."""
        return {}

    async def start(self) -> AsyncIterator[Any]:
        """Yield the pictures' requests, and record what is known of the others."""
        if self.tally.add("lists") == 1:
            self.count_page()  # the list itself
        for index, line in enumerate(read_urls(Path(str(self.recipe.list)))):
            url = usable_url(line.url)
            found = Found(
                url=line.url if url else f"{line.url[:200]}#line-{index + 1}",
                page_url=line.page_url or "",
                title=line.title,
                author=line.author,
                licence=line.licence or self.recipe.default_licence,
                licence_url=line.licence_url,
                group=line.group,
            )
            for request in self.record_answers(self.ask_picture(url, found)):
                yield request
