"""Scrapy's item pipeline: every answer goes to the recorder."""

from typing import Any

from scrapy.crawler import Crawler

from .job import CrawlProgress
from .recorder import Recorder
from .spiders.answers import Answer, Done


class StorePipeline:
    """Records every answer, and counts. What could not be recorded is not done."""

    def __init__(self, crawler: Crawler) -> None:
        spider: Any = crawler.spider
        self._spider = spider
        self._recorder: Recorder = spider.recorder
        self._kept = 0
        self._rejected = 0
        self._size_bytes = 0
        self._is_broken = False
        spider.progress = self.progress

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "StorePipeline":
        """Return the pipeline of a crawl."""
        return cls(crawler)

    def process_item(self, item: Answer | Done) -> Answer | Done:
        """Store the picture and write its row; after the last of a shared request, let it go."""
        if isinstance(item, Done):
            if not self._is_broken:
                self._spider.shared.finish(item.token)
            return item
        try:
            row = self._recorder.record(item)
        except BaseException:
            self._is_broken = True
            raise
        self._spider.tally.add("kept", int(row.is_kept))
        self._kept += row.is_kept
        self._rejected += not row.is_kept
        self._size_bytes += (row.size_bytes or 0) if row.is_kept else 0
        return item

    def progress(self) -> CrawlProgress:
        """Return how far the crawl is."""
        return CrawlProgress(
            pages=self._spider.pages,
            pictures=self._kept,
            rejected=self._rejected,
            size_bytes=self._size_bytes,
            waiting=self._spider.tally.waiting(),
        )
