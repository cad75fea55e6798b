"""What a spider says of each picture it saw: one answer, with its bytes or with a reason."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

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

from ..refusals import RefusedRequestError
from ..state import Entry

IN_HAND_KEY = "anymus_in_hand"  # what names a request of a shared crawl in its queue

_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (DownloadTimeoutError, "timeout"),
    (DownloadCancelledError, "too_many_bytes"),
    (ResponseDataLossError, "short_body"),
    (DownloadConnectionRefusedError, "unreachable"),
    (CannotResolveHostError, "unresolved"),
)
# What a picture is, or what its owner says, and not what happened on the way: no reason to ask
# again. The last four depend on limits, too.
_LASTING = frozenset(
    {
        "empty", "not_an_image", "truncated", "http_404", "http_410", "http_451",
        "private_address", "too_many_bytes", "too_many_pixels", "too_many_frames", "too_small",
    }
)  # fmt: skip
_BY_LIMITS = frozenset({"too_many_bytes", "too_many_frames", "too_small"})


@dataclass(frozen=True, slots=True)
class Found:
    """A picture, or a page that leads to one, as a page shows it; URLs as they are recorded."""

    url: str
    page_url: str
    title: str | None = None
    author: str | None = None
    licence: str | None = None
    licence_url: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a found picture: its bytes, what is known of it, or why there is nothing."""

    found: Found
    url: str
    reason: str | None = None
    body: bytes = b""
    fetched_at: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    known: Entry | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """Says that a request of a shared crawl has given all that it gives; it comes last."""

    token: str


def recorded(parse: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Return a callback whose answers are recorded as they come; its requests go on to Scrapy.

    At its end it says that its request, if that has a token, is done.
    """

    @wraps(parse)
    def told(spider: Any, result: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        yield from spider.record_answers(parse(spider, result, *args, **kwargs))
        token = result.request.meta.get(IN_HAND_KEY)
        if token is not None:
            yield Done(token)

    return told


def is_lasting(entry: Entry, limits_mark: str) -> bool:
    """Say whether a refusal of an earlier run holds without asking again."""
    reason = entry.row.reason or ""
    if reason in _BY_LIMITS:
        return entry.limits == limits_mark
    return reason in _LASTING or reason.startswith("opt_out_")


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
