"""What all spiders share: each picture that a source shows is asked for once, or answered why not.

A spider walks its source from the start in every run. What the state knows already is answered
from there without a request.
"""

import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scrapy import Request, Spider
from scrapy.exceptions import CloseSpider
from scrapy.http import Response
from twisted.python.failure import Failure

from anymus.blocklist import REASON, load_blocklist

from ..job import DEMO_FETCHED_AT, CrawlJob, CrawlProgress
from ..pace import SitePace
from ..page_cache import IS_PICTURE_KEY
from ..recorder import Recorder
from ..shared import SharedCrawl, connect
from ..state import STORE_NAME, Entry, is_whole, read_known
from ..tally import Tally
from .answers import Answer, Found, find_reason, is_lasting, recorded
from .reading import Fields

MAX_URL_LENGTH = 2083
# Pictures first, then their pages, then more galleries: little waits at any time.
PICTURE_PRIORITY = 2
ITEM_PRIORITY = 1
IS_COUNTED_KEY = "anymus_is_counted"  # stands for a picture of `scrape.max_pictures`
_NOT_MODIFIED = 304
_VALIDATORS = (("etag", "If-None-Match"), ("last-modified", "If-Modified-Since"))
# Response headers that a row keeps: validators, what the server called it, and the owner's word.
_KEPT_HEADERS = frozenset(
    {
        "content-type", "etag", "last-modified", "x-robots-tag", "tdm-reservation", "tdm-policy",
        "content-usage",
    }
)  # fmt: skip


class SourceSpider(Spider):
    """The part of a spider that does not depend on how a source shows its pictures."""

    name = "source"

    def __init__(self, job: CrawlJob) -> None:
        super().__init__()
        self.job = job
        self.recipe = job.recipe
        self.pages = 0
        self.fetched = 0
        self._kept = 0
        self._rejected = 0
        self._size_bytes = 0
        self.mismatch: str | None = None
        sharing = job.sharing
        self.shared = (
            None if sharing is None else SharedCrawl(connect(sharing.url), job.run, sharing.worker)
        )
        self.site_pace = self.shared and SitePace(self.shared.client)
        self.tally: Tally | SharedCrawl = self.shared or Tally()
        self.blocklist = load_blocklist(Path(job.blocklist or ""))
        self.recorder = Recorder(job, self.blocklist, sharing.worker if sharing else None)
        self._known = read_known(Path(job.folder))
        self._store = Path(job.folder) / STORE_NAME
        self._seen: set[str] = set()
        self._waiting: dict[str, Found] = {}

    async def start(self) -> AsyncIterator[Any]:
        """Yield the start pages' requests."""
        for url in self.recipe.start_urls:
            yield self.ask_page(url, url, self.fail_start)

    def parse_page(self, response: Response, found: Found) -> Iterator[Any]:
        """Yield requests for what a page shows; each kind of source has its own."""
        raise NotImplementedError

    @recorded
    def parse_picture(self, response: Response, found: Found) -> Iterator[Answer]:
        """Yield the picture's bytes, or what is known of it when it has not changed."""
        self._waiting.pop(found.url, None)
        self.fetched += 1
        if response.status == _NOT_MODIFIED:
            yield Answer(found, response.url, known=self._known[found.url])
            return
        headers = {}
        for key, values in response.headers.items():
            name = key.decode("latin-1").lower()
            if name in _KEPT_HEADERS:
                headers[name] = values[-1].decode("latin-1")
        now = DEMO_FETCHED_AT if self.recipe.is_demo else _now()
        yield Answer(found, response.url, body=response.body, fetched_at=now, headers=headers)

    @recorded
    def fail(self, failure: Failure) -> Iterator[Answer]:
        """Yield why a page or a picture was refused or could not be had.

        Raises:
            sqlite3.Error: It was this machine's own fault: the disk is full.
        """
        if isinstance(failure.value, sqlite3.Error):
            failure.raiseException()
        found: Found = failure.request.cb_kwargs["found"]  # type: ignore[attr-defined]
        yield self.reject(found, find_reason(failure))

    def fail_start(self, failure: Failure) -> Iterator[Answer]:
        """Yield why a start page could not be read, and remember the first."""
        found: Found = failure.request.cb_kwargs["found"]  # type: ignore[attr-defined]
        self.tally.note("start_failure", f"{find_reason(failure)} {found.url}")
        yield from self.fail(failure)

    def record_answers(self, outcomes: Iterable[Any]) -> Iterator[Any]:
        """Record the answers among what a callback gives, in their order, and yield the rest.

        Raises:
            OSError: An answer could not be recorded: the disk is full.
        """
        for outcome in outcomes:
            if isinstance(outcome, Answer):
                self._record(outcome)
            else:
                yield outcome

    def progress(self) -> CrawlProgress:
        """Return how far the crawl is."""
        return CrawlProgress(
            pages=self.pages,
            pictures=self._kept,
            rejected=self._rejected,
            size_bytes=self._size_bytes,
            waiting=self.tally.waiting(),
        )

    def give_up(self) -> Iterator[Answer]:
        """Yield an answer for each picture that was asked for and never came.

        In a shared crawl they wait for another crawler.
        """
        if self.shared is not None:
            return
        for found in list(self._waiting.values()):
            yield self.reject(found, "over_budget")

    def ask_page(self, url: str, page_url: str, errback: Any = None) -> Request:
        """Return the request of a page of many pictures."""
        self._seen.add(url)
        found = Found(self.job.public_url(url), self.job.public_url(page_url))
        return Request(
            url,
            callback=self.parse_page,
            errback=errback or self.fail,
            headers=self.name_referrer(url, found.page_url),
            cb_kwargs={"found": found},
        )

    def ask_picture(
        self, url: str | None, found: Found, *, is_counted: bool = True
    ) -> Iterator[Any]:
        """Yield the request for a picture, or its answer if it is known or must not be taken."""
        if url is None:
            yield Answer(found, found.page_url, "no_url")
            return
        if url in self._seen:
            return
        self._seen.add(url)
        refusal = self._find_refusal(found)
        if refusal:
            yield Answer(found, found.url, refusal)
            return
        if is_counted and self.count_picture():
            yield self.reject(found, "over_budget")
            return
        known = self._find_known(found.url)
        if known is not None and not self.job.is_refresh:
            yield Answer(found, found.url, known=known)
            return
        self._waiting[found.url] = found
        yield self._request_picture(url, found, is_counted=is_counted)

    def count_picture(self) -> bool:
        """Count one more picture, and say whether that is one too many."""
        if self.tally.count("pictures") >= self.job.limits.max_pictures:
            self.mark_over_budget()
            return True
        self.tally.add("pictures")
        return False

    def count_page(self, *, is_gallery: bool = False) -> int:
        """Count a page that was read, and return how many galleries there were."""
        self.pages += 1
        self.tally.add("pages")
        return self.tally.add("gallery_pages", int(is_gallery))

    def mark_over_budget(self) -> None:
        """Remember that a budget cut the crawl short."""
        self.tally.note("over_budget", "yes")

    def may_follow(self, url: str | None) -> bool:
        """Say whether a next page is to be read."""
        if url is None or url in self._seen:
            return False
        limits, tally = self.job.limits, self.tally
        if (
            tally.count("gallery_pages") >= limits.max_pages
            or tally.count("pictures") >= limits.max_pictures
        ):
            self.mark_over_budget()
            return False
        return True

    def make_found(self, url: str, fields: Fields, response: Response) -> Found:
        """Return what a page says of a picture."""
        licence_url = fields.get("licence_url")
        page_url = fields.get("page_url")
        return Found(
            url=self.job.public_url(url),
            page_url=self.job.public_url(response.urljoin(page_url) if page_url else response.url),
            title=fields.get("title"),
            author=fields.get("author"),
            licence=fields.get("licence") or self.recipe.default_licence,
            licence_url=response.urljoin(licence_url) if licence_url else None,
        )

    def join(self, response: Response, link: str | None) -> str | None:
        """Return the absolute URL of a link, or None if there is none that can be asked for."""
        if not link:
            return None
        try:
            url = response.urljoin(link)
        except ValueError:
            return None
        return usable_url(url)

    def without_url(self, response: Response, index: int) -> Answer:
        """Return the answer for an item that gives no usable URL."""
        page_url = self.job.public_url(response.url)
        return Answer(Found(f"{page_url}#item-{index + 1}", page_url), page_url, "no_url")

    def reject(self, found: Found, reason: str) -> Answer:
        """Return the answer that a picture was refused or could not be had."""
        self._waiting.pop(found.url, None)
        return Answer(found, found.url, reason)

    def check_fields(self, rows: list[Fields], url: str) -> None:
        """Stop the crawl if the first page with pictures shows no image or no licence at all."""
        if not rows or self.tally.add("checks_of_fields") > 1:
            return
        for name in ("image", "licence"):
            selector = getattr(self.recipe.selectors, name)
            if selector and not any(row.get(name) for row in rows):
                self.stop_for(f"picture.{name}", selector, url)

    def stop_for(self, key: str, selector: str, url: str) -> None:
        """Stop the crawl because a page no longer matches the recipe.

        Another crawler of a shared crawl will read the page, as the first, and stop, too.
        """
        self.tally.add("gallery_pages", -self.tally.count("gallery_pages"))
        self.tally.add("checks_of_fields", -self.tally.count("checks_of_fields"))
        self.mismatch = f"{self.job.public_url(url)}: {key} {selector!r} finds nothing"
        raise CloseSpider("mismatch")

    def _record(self, answer: Answer) -> None:
        row = self.recorder.record(answer)
        self.tally.add("kept", int(row.is_kept))
        self._kept += row.is_kept
        self._rejected += not row.is_kept
        self._size_bytes += (row.size_bytes or 0) if row.is_kept else 0

    def _find_refusal(self, found: Found) -> str | None:
        is_blocked = self.blocklist.blocks_url(found.url) or (
            found.author is not None and self.blocklist.blocks_author(found.author)
        )
        if is_blocked:
            return REASON
        return None if self.recipe.accepts_licence(found.licence) else "licence"

    def _find_known(self, url: str) -> Entry | None:
        """Return what an earlier run says of a picture, if that still holds."""
        entry = self._known.get(url)
        if entry is None:
            return None
        if not entry.row.is_kept:
            return entry if is_lasting(entry, self.job.limits_mark) else None
        return entry if is_whole(self._store, entry.row) else None

    def name_referrer(self, url: str, page_url: str) -> dict[str, str]:
        """Return the header that says which page led here; from https to http it says nothing."""
        page_url = self.job.local_url(page_url)
        is_downgrade = page_url.startswith("https://") and not url.startswith("https://")
        return {} if is_downgrade or page_url in ("", url) else {"Referer": page_url}

    def add_validators(self, request: Request) -> None:
        """Let a picture's request ask whether what this machine has of it has changed."""
        known = self._find_known(request.cb_kwargs["found"].url)
        if known is None or not known.row.is_kept:
            return
        validators = known.row.headers or {}
        for name, condition in _VALIDATORS:
            if name in validators:
                request.headers[condition] = validators[name]
                request.meta["handle_httpstatus_list"] = [_NOT_MODIFIED]

    def _request_picture(self, url: str, found: Found, *, is_counted: bool) -> Request:
        request = Request(
            url,
            callback=self.parse_picture,
            errback=self.fail,
            headers=self.name_referrer(url, found.page_url),
            cb_kwargs={"found": found},
            meta={IS_PICTURE_KEY: True, IS_COUNTED_KEY: is_counted},
            priority=PICTURE_PRIORITY,
        )
        if self.shared is None:  # else by whoever takes it from the queue
            self.add_validators(request)
        return request


def usable_url(url: str) -> str | None:
    """Return a URL without its fragment, or None if it is not http(s) or far too long."""
    try:
        is_usable = urlsplit(url).scheme in ("http", "https") and len(url) <= MAX_URL_LENGTH
    except ValueError:
        return None
    return url.partition("#")[0] if is_usable else None


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
