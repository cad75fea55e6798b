"""Opt-outs: what a header or a page's meta tag says about this use of its pictures."""

from collections.abc import Iterable

USER_AGENT_WORD = "anymus"
OPT_OUT_HEADERS = ("x-robots-tag", "tdm-reservation", "content-usage")
# On anything that shows a picture, and on a picture itself.
_ON_PAGE = frozenset({"noai", "noimageai", "noml", "noimageindex"})
_ON_PICTURE = _ON_PAGE | {"noindex", "none"}
# X-Robots-Tag directives that have a colon of their own: what stands before it names no robot.
_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


def find_opt_out_in_headers(headers: Iterable[tuple[str, str]], *, is_picture: bool) -> str | None:
    """Return `opt_out_` and the directive by which response headers opt out, or None.

    Args:
        headers: Lower-case names and values, a name as often as it was sent.
        is_picture: Whether it is a picture; on pages `noindex` speaks of the page alone.
    """
    refused = _ON_PICTURE if is_picture else _ON_PAGE
    for name, value in headers:
        reason = None
        if name == "x-robots-tag":
            reason = _find_directive(value, refused)
        elif name == "tdm-reservation" and value.strip() == "1":
            reason = "opt_out_tdm"
        elif name == "content-usage" and "train-ai=n" in _usages(value):
            reason = "opt_out_train_ai"
        if reason:
            return reason
    return None


def _usages(value: str) -> set[str]:
    return {part.replace(" ", "").lower() for part in value.split(",")}


def find_opt_out_in_page(html: str) -> str | None:
    """Return `opt_out_` and the directive by which a page's meta tags opt out, or None."""
    lower = html.lower()
    if not any(word in lower for word in ("robots", "tdm-reservation", USER_AGENT_WORD)):
        return None
    from bs4 import BeautifulSoup

    for tag in BeautifulSoup(html, "lxml").find_all("meta"):
        name = str(tag.get("name", "")).strip().lower()
        content = str(tag.get("content", ""))
        if name == "tdm-reservation" and content.strip() == "1":
            return "opt_out_tdm"
        if name in ("robots", USER_AGENT_WORD):
            reason = _find_directive(content, _ON_PAGE)
            if reason:
                return reason
    return None


def _find_directive(value: str, refused: frozenset[str]) -> str | None:
    """Return the first opt-out of a directive list; `robot: a, b` speaks to that robot alone."""
    is_ours = True
    found = set()
    for part in value.split(","):
        robot, separator, rest = part.partition(":")
        word = part
        if separator and robot.strip().lower() not in _VALUED:
            is_ours = robot.strip().lower() in (USER_AGENT_WORD, "*")
            word = rest
        if is_ours:
            found.add(word.strip().lower())
    words = sorted(refused.intersection(found))
    return f"opt_out_{words[0]}" if words else None
