"""What the spider says of each picture it saw: one answer, with its bytes or with a reason."""

from dataclasses import dataclass

from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
)
from scrapy.spidermiddlewares.httperror import HttpError
from twisted.python.failure import Failure

from ..middlewares import RefusedRequestError

_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (DownloadTimeoutError, "timeout"),
    (DownloadCancelledError, "too_many_bytes"),
    (ResponseDataLossError, "short_body"),
    (DownloadConnectionRefusedError, "unreachable"),
    (CannotResolveHostError, "unresolved"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """A picture, or a page that leads to one, as a page shows it; URLs as they are recorded."""

    url: str
    page_url: str
    title: str | None = None
    author: str | None = None
    licence: str | None = None
    licence_url: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a found picture: its bytes, or the reason why there are none."""

    found: Found
    url: str
    reason: str | None = None
    body: bytes = b""
    fetched_at: str | None = None


def find_reason(failure: Failure) -> str:
    """Return the one-word reason of a failed request, such as `robots` or `http_404`."""
    error = failure.value
    if isinstance(error, RefusedRequestError):
        return error.reason
    if isinstance(error, HttpError):
        return f"http_{error.response.status}"
    if isinstance(error, IgnoreRequest):  # Scrapy's own: redirects without end, bombs of gzip
        return "too_many_redirects" if "redirect" in str(error) else "too_many_bytes"
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    return "failed"
