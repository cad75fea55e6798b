"""The demo site's pages: a tidy photo gallery, and a manga gallery that leaves tags open."""

from html import escape

from .content import DemoPicture

ROBOTS = """\
# The demo site: a corner that no robot may enter, and nothing else.
User-agent: *
Disallow: /private/
"""
_HEAD = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body>
<h1>{title}</h1>
"""
_FOOT = """\
<p class="note">Everything here is drawn by code; nobody shown or named exists.
<a href="/terms">Terms</a></p>
</body>
</html>
"""


def render_home() -> str:
    """Return the front page."""
    links = '<a href="/photo/page/1">Photos</a> <a href="/manga/page/1">Manga</a>'
    return f"{_HEAD.format(title='Demo site')}<p>{links}</p>\n{_FOOT}"


def render_terms() -> str:
    """Return the page of terms."""
    text = (
        "<p>Pictures may be used under the licence beside each.</p>\n"
        '<p id="reserved">Pictures marked "All rights reserved" may be looked at, no more.</p>\n'
    )
    return f"{_HEAD.format(title='Terms')}{text}{_FOOT}"


def render_photo_gallery(pictures: list[DemoPicture], number: int, *, has_next: bool) -> str:
    """Return a gallery page whose items link to a page each."""
    items = "\n".join(
        f'<li class="shot"><a class="shot-link" href="{_item_path(picture)}">'
        f"{escape(picture.title)}</a></li>"
        for picture in pictures
    )
    link = f'<p><a rel="next" href="/photo/page/{number + 1}">Next page</a></p>\n'
    title = f"Photos, page {number}"
    body = f'<ul class="gallery">\n{items}\n</ul>\n{link if has_next else ""}'
    return f"{_HEAD.format(title=title)}{body}{_FOOT}"


def render_photo_item(picture: DemoPicture) -> str:
    """Return the page of one photo."""
    body = (
        f'<figure class="shot"><img src="{picture.path}" alt="">'
        f"<figcaption>{escape(picture.title)}</figcaption></figure>\n"
        f'<p class="credits">by <span class="author">{escape(picture.author)}</span>, '
        f'<a rel="license" href="{picture.licence_url}">{escape(picture.licence)}</a></p>\n'
    )
    return f"{_HEAD.format(title=escape(picture.title))}{body}{_FOOT}"


def render_manga_gallery(pictures: list[DemoPicture], number: int, *, has_next: bool) -> str:
    """Return a gallery page in the manner of old sites: no div, p or td is ever closed."""
    items = "\n".join(
        f"<div class=drawing><p><img class=full src={picture.path}>"
        f"<p><b class=title>{escape(picture.title)}</b> by <i class=author>{escape(picture.author)}"
        f"</i><br><a class=licence href={picture.licence_url}>{escape(picture.licence)}</a>"
        for picture in pictures
    )
    link = f"<p><a class=next href=/manga/page/{number + 1}>more drawings</a>"
    title = f"Manga, page {number}"
    return f"<html><title>{title}</title><body><h1>{title}\n{items}\n{link if has_next else ''}"


def _item_path(picture: DemoPicture) -> str:
    folder = "/private" if picture.fault == "forbidden" else "/photo/item"
    return f"{folder}/{picture.number}"
