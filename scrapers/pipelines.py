"""Scrapy's item pipeline: from an answer to a stored picture and a row of the journal."""

import os
from pathlib import Path
from typing import Any

from scrapy.crawler import Crawler

from anymus.errors import ImageError
from anymus.files import content_path, sha256_bytes, write_bytes
from anymus.manifest import ImageRecord

from .job import JOURNAL_NAME, CrawlJob, CrawlProgress, send
from .spiders.answers import Answer
from .storing import check_picture

_ITEMS_PER_LINE = 50


class StorePipeline:
    """Stores what is a whole picture, and writes one row for each answer."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._kept = 0
        self._rejected = 0

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "StorePipeline":
        """Return the pipeline of a crawl."""
        return cls(crawler)

    def process_item(self, item: Answer) -> Answer:
        """Store the picture, write its row, and say now and then how far the crawl is."""
        spider: Any = self._crawler.spider
        row = record_answer(spider.job, item)
        self._kept += row.is_kept
        self._rejected += not row.is_kept
        if (self._kept + self._rejected) % _ITEMS_PER_LINE == 0:
            counts = {"pictures": self._kept, "rejected": self._rejected}
            send("progress", CrawlProgress(pages=spider.pages, **counts))
        return item


def record_answer(job: CrawlJob, answer: Answer) -> ImageRecord:
    """Return the answer's row, after its bytes were stored and the row was added to the journal.

    The journal grows by one whole line a row (a single append), so that a killed crawl leaves no
    half row.
    """
    row = _take(job, answer)
    line = row.model_dump_json(exclude_defaults=True) + "\n"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    descriptor = os.open(Path(job.folder) / JOURNAL_NAME, flags, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
    return row


def _take(job: CrawlJob, answer: Answer) -> ImageRecord:
    if answer.reason:
        return _base_row(job, answer).reject(answer.reason)
    try:
        facts = check_picture(answer.body, job.limits.min_side_px)
    except ImageError as error:
        size_bytes = {"size_bytes": len(answer.body)}
        return _base_row(job, answer).reject(error.reason).model_copy(update=size_bytes)
    sha256 = sha256_bytes(answer.body)
    file = content_path(sha256, facts.suffix)
    path = Path(job.folder) / file
    if not path.exists():
        write_bytes(path, answer.body)
    return _base_row(job, answer).model_copy(
        update={
            "id": sha256,
            "file": file.as_posix(),
            "url": job.public_url(answer.url),
            "format": facts.format,
            "size_bytes": len(answer.body),
            "width_px": facts.width_px,
            "height_px": facts.height_px,
        }
    )


def _base_row(job: CrawlJob, answer: Answer) -> ImageRecord:
    """Return the row of an answer without bytes: its id is the hash of the URL asked for."""
    found = answer.found
    return ImageRecord(
        id=sha256_bytes(found.url.encode()),
        domain=job.recipe.domain,
        file=None,
        site=job.recipe.name,
        url=found.url,
        page_url=found.page_url,
        title=found.title,
        author=found.author,
        licence=found.licence,
        licence_url=found.licence_url,
        fetched_at=answer.fetched_at,
    )
