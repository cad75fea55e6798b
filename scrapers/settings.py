"""Scrapy's settings of a crawl: polite and closed by default, whatever the recipe says."""

from pathlib import Path

from .job import CrawlJob
from .state import PAGES_NAME

MAX_REDIRECTS = 5
MIN_DELAY_S = 1.0
# Left out, and not only switched off: what is switched off is imported all the same, and a control
# port, a proxy (the resolver would check the proxy's address) or cookies are none of a crawl's.
UNUSED_EXTENSIONS = (
    "scrapy.extensions.logcount.LogCount",
    "scrapy.extensions.telnet.TelnetConsole",
    "scrapy.extensions.memusage.MemoryUsage",
    "scrapy.extensions.memdebug.MemoryDebugger",
    "scrapy.extensions.feedexport.FeedExporter",
    "scrapy.extensions.logstats.LogStats",
    "scrapy.extensions.spiderstate.SpiderState",
    "scrapy.extensions.remote_control.RemoteControl",
)
UNUSED_MIDDLEWARES = (
    "scrapy.downloadermiddlewares.offsite.OffsiteMiddleware",
    "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware",
    "scrapy.downloadermiddlewares.httpauth.HttpAuthMiddleware",
    "scrapy.downloadermiddlewares.redirect.MetaRefreshMiddleware",
    "scrapy.downloadermiddlewares.cookies.CookiesMiddleware",
    "scrapy.downloadermiddlewares.httpproxy.HttpProxyMiddleware",
    "scrapy.downloadermiddlewares.stats.DownloaderStats",
)
# All that a callback gives would pass through each of them.
UNUSED_SPIDER_MIDDLEWARES = (
    "scrapy.spidermiddlewares.start.StartSpiderMiddleware",
    "scrapy.spidermiddlewares.referer.RefererMiddleware",  # the spider's own
    "scrapy.spidermiddlewares.urllength.UrlLengthMiddleware",
    "scrapy.spidermiddlewares.depth.DepthMiddleware",
    "scrapy.spidermiddlewares.metacopy.MetaCopyDetectionMiddleware",
)
_MIDDLEWARES: dict[str, int | None] = {
    **dict.fromkeys(UNUSED_MIDDLEWARES),
    "scrapers.addresses.AddressMiddleware": 50,
    "scrapers.middlewares.BlocklistMiddleware": 55,
    "scrapers.middlewares.OptOutMiddleware": 60,
    "scrapers.robots.RobotsMiddleware": 100,
    "scrapers.addresses.RefusedHostMiddleware": 560,  # sees a failure before the retry
    "scrapers.middlewares.BackOffMiddleware": 570,  # and so does this
    "scrapers.middlewares.BudgetMiddleware": 880,  # what comes from the cache is free
}


def build_settings(job: CrawlJob) -> dict[str, object]:
    """Return the Scrapy settings of one job."""
    return {
        "USER_AGENT": job.user_agent,
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


def _middlewares(job: CrawlJob) -> dict[str, int | None]:
    added = {}
    if job.is_dry:
        added["scrapers.middlewares.DryRunMiddleware"] = 120
    if job.sharing:
        added["scrapers.scheduler.TriesMiddleware"] = 10
        added["scrapers.pace.SharedPaceMiddleware"] = 950  # what comes from the cache waits not
    return _MIDDLEWARES | added


def _limits(job: CrawlJob) -> dict[str, object]:
    return {
        "DOWNLOAD_TIMEOUT": job.limits.timeout_s,
        "DOWNLOAD_MAXSIZE": job.limits.max_picture_bytes,
        "DOWNLOAD_WARNSIZE": 0,
        "RETRY_TIMES": job.limits.retries,
        "REDIRECT_MAX_TIMES": MAX_REDIRECTS,
        "CLOSESPIDER_TIMEOUT": job.limits.max_seconds,
    }


def _guards() -> dict[str, object]:
    return {
        "DOWNLOAD_HANDLERS": {"file": None, "data": None, "ftp": None, "s3": None},
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "TWISTED_DNS_RESOLVER": "scrapers.addresses.PublicAddressResolver",
        "EXTENSIONS": dict.fromkeys(UNUSED_EXTENSIONS),
        "LOG_LEVEL": "ERROR",
        "STATS_DUMP": False,
    }


def _components() -> dict[str, object]:
    return {
        # Every request is new to the spider's own list; a filter below it would drop silently
        # what a redirect leads to.
        "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",  # in the order of the pages
        "DUPEFILTER_CLASS": "scrapy.dupefilters.BaseDupeFilter",
        "WARN_ON_GENERATOR_RETURN_VALUE": False,  # it reads each callback's source again and again
        "CONCURRENT_ITEMS": 1,  # in their order: the last says that all are recorded
        "SPIDER_MIDDLEWARES": dict.fromkeys(UNUSED_SPIDER_MIDDLEWARES),
        "ITEM_PIPELINES": {"scrapers.pipelines.StorePipeline": 100},
    }
