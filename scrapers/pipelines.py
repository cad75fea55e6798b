"""Scrapy's item pipeline of a shared crawl: what was done is let go."""

from typing import Any

from scrapy.crawler import Crawler

from .spiders.answers import Done


class DonePipeline:
    """Lets a request go after all that came of it: its answers are recorded, its requests added."""

    def __init__(self, crawler: Crawler) -> None:
        self._spider: Any = crawler.spider

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "DonePipeline":
        """Return the pipeline of a crawl."""
        return cls(crawler)

    def process_item(self, item: Done) -> Done:
        """Say that a request is done."""
        self._spider.shared.finish(item.token)
        return item
