"""Scrapy's settings of a crawl: polite and closed by default, whatever the recipe says."""

from .job import CrawlJob

MAX_REDIRECTS = 5


def build_settings(job: CrawlJob) -> dict[str, object]:
    """Return the Scrapy settings of one job."""
    delay_s = job.limits.loopback_delay_s if job.recipe.is_demo else job.limits.delay_s
    return {
        "USER_AGENT": job.user_agent,
        **_pace(delay_s, is_throttled=not job.recipe.is_demo),
        **_limits(job),
        **_guards(),
        **_components(),
    }


def _pace(delay_s: float, *, is_throttled: bool) -> dict[str, object]:
    return {
        "DOWNLOAD_DELAY": delay_s,
        "DOWNLOAD_DELAY_JITTER": 0,  # delay_s is the least, not the mean
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
        "CONCURRENT_REQUESTS": 4,  # what waits in the downloader is fetched even after a stop
        "AUTOTHROTTLE_ENABLED": is_throttled,
        "AUTOTHROTTLE_START_DELAY": delay_s,
        "AUTOTHROTTLE_TARGET_CONCURRENCY": 1.0,
    }


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
        "TWISTED_DNS_RESOLVER": "scrapers.middlewares.PublicAddressResolver",
        "TELNETCONSOLE_ENABLED": False,
        "REMOTE_CONTROL_ENABLED": False,
        "HTTPPROXY_ENABLED": False,  # behind a proxy the resolver would check the proxy's address
        "METAREFRESH_ENABLED": False,
        "COOKIES_ENABLED": False,
        "LOG_LEVEL": "ERROR",
        "STATS_DUMP": False,
    }


def _components() -> dict[str, object]:
    return {
        # Every request is new to the spider's own list; a filter below it would drop silently
        # what a redirect leads to.
        "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",  # in the order of the pages
        "DUPEFILTER_CLASS": "scrapy.dupefilters.BaseDupeFilter",
        "DOWNLOADER_MIDDLEWARES": {
            "scrapy.downloadermiddlewares.offsite.OffsiteMiddleware": None,
            "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": None,
            "scrapers.middlewares.AddressMiddleware": 50,
            "scrapers.middlewares.OptOutMiddleware": 60,
            "scrapers.middlewares.RobotsMiddleware": 100,
            "scrapers.middlewares.RefusedHostMiddleware": 560,  # sees a failure before the retry
        },
        "SPIDER_MIDDLEWARES": {
            "scrapy.spidermiddlewares.urllength.UrlLengthMiddleware": None,
        },
        "ITEM_PIPELINES": {"scrapers.pipelines.StorePipeline": 100},
    }
