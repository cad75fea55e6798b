"""The crawl process: `main` reads a job on stdin and writes its outcome to stdout.

Every crawl has a process of its own, so that whatever becomes of it ends in one clear line. It ends
at once when the process that started it is gone: its stdin closes.
"""

import asyncio
import gc
import logging
import os
import sys
import threading
import traceback

from scrapy import signals
from scrapy.crawler import AsyncCrawlerProcess, Crawler
from twisted.python.failure import Failure

from .job import CrawlJob, CrawlOutcome, Ending, send
from .settings import build_settings
from .spiders.api import ApiSpider
from .spiders.gallery import GallerySpider
from .spiders.listing import ListSpider
from .spiders.source import SourceSpider

_SPIDERS: dict[str, type[SourceSpider]] = {
    "gallery": GallerySpider,
    "api": ApiSpider,
    "list": ListSpider,
}
_PROGRESS_EVERY_S = 0.5
_OBJECTS_A_COLLECTION = 20_000  # of what 2,000 pictures leave, next to nothing is garbage in cycles


def main() -> None:
    """Run the job on stdin and write its outcome as the last line of stdout."""
    gc.freeze()
    gc.set_threshold(_OBJECTS_A_COLLECTION)
    gc.enable()
    job = CrawlJob.model_validate_json(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    send("outcome", run_crawl(job))


def run_crawl(job: CrawlJob) -> CrawlOutcome:
    """Crawl one recipe into the job's state and return how it ended. Runs once a process."""
    process = AsyncCrawlerProcess(build_settings(job))
    logging.getLogger("scrapy").setLevel(logging.ERROR)  # LOG_LEVEL alone makes all records first
    crawler = process.create_crawler(_SPIDERS[job.recipe.kind])
    fault, progress = _Fault(crawler), _Progress(crawler)
    task = process.crawl(crawler, job=job)
    process.start()
    spider = crawler.spider
    error = None if task.cancelled() or not task.done() else task.exception()
    if error is not None or not isinstance(spider, SourceSpider):
        return CrawlOutcome(ending="failed", detail=f"{error or 'it never started'}", pages=0)
    if fault.text is None:
        for answer in spider.give_up():
            spider.recorder.record(answer)
    reason, _, url = (spider.tally.read("start_failure") or "").partition(" ")
    return CrawlOutcome(
        ending=_name_ending(progress.finish_reason, spider, fault.text),
        detail=fault.text or spider.mismatch or "",
        pages=spider.tally.count("pages"),
        fetched=spider.fetched,
        start_failure=reason or None,
        start_url=url or None,
    )


class _Progress:
    """Says how far the crawl is, twice a second while it runs, and knows why it ended."""

    def __init__(self, crawler: Crawler) -> None:
        self.finish_reason: str | None = None
        self._crawler = crawler
        self._task: asyncio.Task[None] | None = None
        crawler.signals.connect(self._start, signals.spider_opened)
        crawler.signals.connect(self._stop, signals.spider_closed)

    def _start(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    def _stop(self, reason: str) -> None:
        self.finish_reason = reason
        if self._task is not None:
            self._task.cancel()
        send("progress", self._crawler.spider.progress())  # type: ignore[union-attr]

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_EVERY_S)
            send("progress", self._crawler.spider.progress())  # type: ignore[union-attr]


class _Fault:
    """The first unexpected error of a crawl; Scrapy alone would log it and go on."""

    def __init__(self, crawler: Crawler) -> None:
        self.text: str | None = None
        self._crawler = crawler
        crawler.signals.connect(self._stop, signals.spider_error)
        crawler.signals.connect(self._stop, signals.item_error)

    def _stop(self, failure: Failure) -> None:
        if self.text is not None:
            return
        self.text = f"{failure.type.__name__ if failure.type else ''}: {failure.value}"
        traceback.print_exception(failure.value)
        assert self._crawler.engine is not None
        closing = self._crawler.engine.close_spider_async(reason="failed")
        self._closing = asyncio.ensure_future(closing)


def _name_ending(reason: str | None, spider: SourceSpider, fault: str | None) -> Ending:
    if fault:
        return "failed"
    if spider.mismatch:
        return "mismatch"
    if reason == "closespider_timeout" or spider.tally.read("over_budget"):
        return "over_budget"
    return "complete" if reason == "finished" else "failed"


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)
