"""Scrapy's settings of a crawl: polite and closed by default, whatever the recipe says."""

from pathlib import Path

from .job import CrawlJob
from .state import PAGES_NAME

MAX_REDIRECTS = 5
MIN_DELAY_S = 1.0
_HEADERS = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en",
}
# Named one by one, in place of Scrapy's own lists: what is only switched off there is imported all
# the same, and a control port, a proxy (its address would be checked) or cookies are none of ours.
EXTENSIONS = {
    "scrapy.extensions.closespider.CloseSpider": 0,
    "scrapy.extensions.throttle.AutoThrottle": 0,
}
# All that a callback gives would pass through each more of them.
SPIDER_MIDDLEWARES = {"scrapy.spidermiddlewares.httperror.HttpErrorMiddleware": 50}
DOWNLOADER_MIDDLEWARES = {
    "scrapy.downloadermiddlewares.retry.RetryMiddleware": 550,
    "scrapy.downloadermiddlewares.httpcompression.HttpCompressionMiddleware": 590,
    "scrapy.downloadermiddlewares.redirect.RedirectMiddleware": 600,
    "scrapy.downloadermiddlewares.httpcache.HttpCacheMiddleware": 900,
}
# Scrapy's list without what Twisted's client raises, which is not there.
_PASSING = (
    "CannotResolveHostError", "DownloadConnectionRefusedError", "DownloadFailedError",
    "DownloadTimeoutError", "ResponseDataLossError",
)  # fmt: skip
_OWN_MIDDLEWARES = {
    "scrapers.addresses.AddressMiddleware": 50,
    "scrapers.middlewares.BlocklistMiddleware": 55,
    "scrapers.middlewares.OptOutMiddleware": 60,
    "scrapers.robots.RobotsMiddleware": 100,
    "scrapers.middlewares.BackOffMiddleware": 570,  # sees an answer before the retry
    "scrapers.middlewares.BudgetMiddleware": 880,  # what comes from the cache is free
}


def build_settings(job: CrawlJob) -> dict[str, object]:
    """Return the Scrapy settings of one job."""
    return {
        "DEFAULT_REQUEST_HEADERS": {**_HEADERS, "User-Agent": job.user_agent},
        **_pace(job),
        **_limits(job),
        **_guards(),
        **_cache(job),
        **_components(),
        "DOWNLOADER_MIDDLEWARES": _middlewares(job),
        **({"SCHEDULER": "scrapers.scheduler.SharedScheduler"} if job.sharing else {}),
    }


def _pace(job: CrawlJob) -> dict[str, object]:
    pace = job.recipe.pace
    delay_s = max(MIN_DELAY_S, job.limits.delay_s) if pace is None else pace.delay_s
    if job.recipe.is_demo:
        delay_s = job.limits.loopback_delay_s
    concurrency = 1 if pace is None else pace.concurrency
    return {
        "DOWNLOAD_DELAY": delay_s,
        "DOWNLOAD_DELAY_JITTER": 0,  # delay_s is the least, not the mean
        "CONCURRENT_REQUESTS_PER_DOMAIN": concurrency,
        # What waits in the downloader is fetched even after a stop: a little more than is sent.
        "CONCURRENT_REQUESTS": concurrency + 3,
        "AUTOTHROTTLE_ENABLED": not job.recipe.is_demo,
        "AUTOTHROTTLE_START_DELAY": delay_s,
        "AUTOTHROTTLE_TARGET_CONCURRENCY": float(concurrency),
    }


def _cache(job: CrawlJob) -> dict[str, object]:
    return {
        "HTTPCACHE_ENABLED": True,
        "HTTPCACHE_DIR": str(Path(job.folder) / _pages_name(job)),
        "HTTPCACHE_POLICY": "scrapers.page_cache.PagePolicy",
        "HTTPCACHE_STORAGE": "scrapers.page_cache.SqlitePageStorage",
        "ANYMUS_CACHE_S": 0.0 if job.is_refresh else job.limits.cache_s,
    }


def _pages_name(job: CrawlJob) -> str:
    """Return the cache's file name: SQLite's files do not go with several machines on one disk."""
    return f"pages-{job.sharing.machine}.sqlite" if job.sharing else PAGES_NAME


def _middlewares(job: CrawlJob) -> dict[str, int]:
    added = {}
    if job.is_dry:
        added["scrapers.middlewares.DryRunMiddleware"] = 120
    if job.sharing:
        added["scrapers.scheduler.TriesMiddleware"] = 10
        added["scrapers.pace.SharedPaceMiddleware"] = 950  # what comes from the cache waits not
    return _OWN_MIDDLEWARES | added


def _limits(job: CrawlJob) -> dict[str, object]:
    return {
        "DOWNLOAD_TIMEOUT": job.limits.timeout_s,
        "DOWNLOAD_MAXSIZE": job.limits.max_picture_bytes,
        "DOWNLOAD_WARNSIZE": 0,
        "RETRY_TIMES": job.limits.retries,
        "RETRY_EXCEPTIONS": [OSError, *(f"scrapy.exceptions.{name}" for name in _PASSING)],
        "REDIRECT_MAX_TIMES": MAX_REDIRECTS,
        "CLOSESPIDER_TIMEOUT": job.limits.max_seconds,
    }


def _guards() -> dict[str, object]:
    return {
        "DOWNLOAD_HANDLERS": {
            **dict.fromkeys(("file", "data", "ftp", "s3")),
            **dict.fromkeys(("http", "https"), "scrapers.downloads.PublicDownloadHandler"),
        },
        "TWISTED_REACTOR_ENABLED": False,  # asyncio's own loop
        "LOG_LEVEL": "ERROR",
        "STATS_CLASS": "scrapy.statscollectors.DummyStatsCollector",
    }


def _components() -> dict[str, object]:
    return {
        "EXTENSIONS_BASE": EXTENSIONS,
        "SPIDER_MIDDLEWARES_BASE": SPIDER_MIDDLEWARES,
        "DOWNLOADER_MIDDLEWARES_BASE": DOWNLOADER_MIDDLEWARES,
        # Every request is new to the spider's own list; a filter below it would drop silently
        # what a redirect leads to.
        "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",  # in the order of the pages
        "DUPEFILTER_CLASS": "scrapy.dupefilters.BaseDupeFilter",
        "WARN_ON_GENERATOR_RETURN_VALUE": False,  # it reads each callback's source again and again
        "CONCURRENT_ITEMS": 1,  # in their order: the last says that its request is done
        "ITEM_PIPELINES": {"scrapers.pipelines.DonePipeline": 100},
    }
