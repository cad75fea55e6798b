"""The HTTP cache of pages and of robots.txt: one SQLite row, and one transaction, a response.

Scrapy's own cache middleware uses it. Pictures are not in here: they have store and journal.
"""

import json
import sqlite3
import time
from pathlib import Path

from scrapy import Request, Spider
from scrapy.http import Headers, Response
from scrapy.responsetypes import responsetypes
from scrapy.settings import BaseSettings

IS_PICTURE_KEY = "anymus_is_picture"
IS_RULE_KEY = "anymus_is_rule"  # robots.txt and tdmrep.json
RULE_MAX_AGE_S = 86_400.0  # RFC 9309, section 2.4: at most a day
_TIMESTAMP_KEY = "cache_timestamp"
_CACHEABLE = frozenset({200, 203, 301, 302, 303, 307, 308, 404, 410})
_CACHEABLE_RULES = _CACHEABLE | frozenset(range(400, 429)) | frozenset(range(430, 500))
_VALIDATORS = (("ETag", "If-None-Match"), ("Last-Modified", "If-Modified-Since"))


class PagePolicy:
    """Which answers are kept and how long they are used without asking again."""

    def __init__(self, settings: BaseSettings) -> None:
        self._max_age_s = settings.getfloat("ANYMUS_CACHE_S")

    def should_cache_request(self, request: Request) -> bool:
        """Say whether an answer may come from the cache."""
        return request.method == "GET" and IS_PICTURE_KEY not in request.meta

    def should_cache_response(self, response: Response, request: Request) -> bool:
        """Say whether an answer is kept: never one that says "not now"."""
        statuses = _CACHEABLE_RULES if IS_RULE_KEY in request.meta else _CACHEABLE
        return response.status in statuses

    def is_cached_response_fresh(self, cachedresponse: Response, request: Request) -> bool:
        """Say whether an answer is used as it is; otherwise the request asks whether it changed."""
        is_rule = IS_RULE_KEY in request.meta
        max_age_s = RULE_MAX_AGE_S if is_rule else self._max_age_s
        if 0 <= time.time() - float(request.meta.get(_TIMESTAMP_KEY, 0)) < max_age_s:
            return True
        for name, condition in _VALIDATORS:
            if name in cachedresponse.headers:
                request.headers[condition] = cachedresponse.headers[name]
        return False

    def is_cached_response_valid(
        self, cachedresponse: Response, response: Response, request: Request
    ) -> bool:
        """Say whether the server said that the kept answer still holds."""
        return bool(response.status == 304)


class SqlitePageStorage:
    """The answers in `pages.sqlite`; a killed crawl leaves each whole or not there."""

    def __init__(self, settings: BaseSettings) -> None:
        path = Path(settings["HTTPCACHE_DIR"])
        try:
            self._database = _connect(path)
        except sqlite3.OperationalError:  # a full disk, say: an error of the crawl
            raise
        except sqlite3.DatabaseError:  # no database: it is made anew
            for part in path.parent.glob(f"{path.name}*"):
                part.unlink()
            self._database = _connect(path)

    def open_spider(self, spider: Spider) -> None:
        """Learn how this crawl's URLs are recorded."""
        self._public_url = spider.job.public_url  # type: ignore[attr-defined]

    def close_spider(self, spider: Spider) -> None:
        """Close the file."""
        self._database.close()

    def retrieve_response(self, spider: Spider, request: Request) -> Response | None:
        """Return the kept answer to a request, or None."""
        found = self._database.execute(
            "SELECT fetched_at, status, headers, body FROM pages WHERE url = ?",
            (self._public_url(request.url),),
        ).fetchone()
        if found is None:
            return None
        fetched_at, status, header_lines, body = found
        headers = Headers(json.loads(header_lines))
        kind = responsetypes.from_args(headers=headers, url=request.url, body=body)
        request.meta[_TIMESTAMP_KEY] = fetched_at
        return kind(url=request.url, headers=headers, status=status, body=body)

    def store_response(self, spider: Spider, request: Request, response: Response) -> None:
        """Keep an answer, in one transaction."""
        headers = {
            name.decode("latin-1"): [value.decode("latin-1") for value in values]
            for name, values in response.headers.items()
        }
        row = (
            self._public_url(request.url),
            time.time(),
            response.status,
            json.dumps(headers),
            response.body,
        )
        with self._database:
            self._database.execute("INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?, ?)", row)


def forget_pages(path: Path, urls: set[str]) -> int:
    """Remove pages from a cache for good and return how many there were."""
    if not path.is_file():
        return 0
    database = _connect(path)
    with database:
        database.execute("PRAGMA secure_delete = ON")
        removed = sum(
            database.execute("DELETE FROM pages WHERE url = ?", (url,)).rowcount for url in urls
        )
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return removed


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(
        "CREATE TABLE IF NOT EXISTS pages (url TEXT PRIMARY KEY, fetched_at REAL NOT NULL,"
        " status INTEGER NOT NULL, headers TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID"
    )
    return database
