"""The page of a collection: thumbnails with their credits, licences, and what was refused."""

import base64
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import jinja2

from anymus.encoded import decode_image, fit_image, jpeg_of, read_encoded
from anymus.errors import ImageError
from anymus.files import write_text
from anymus.manifest import ImageRecord, count_reasons

PAGE_NAME = "index.html"
MAX_THUMBNAILS = 120
MAX_REFUSALS = 400
_THUMBNAIL_PX = 128
_LEAST_PX = 96  # a JPEG whose decoder gives a longer side from here on is not scaled more
_TEMPLATE = Path(__file__).parent / "page.html"


def write_page(folder: Path, rows: list[ImageRecord], title: str) -> None:
    """Write `folder/index.html` over the rows of its manifest; it needs no network.

    At most `MAX_THUMBNAILS` pictures are shown, by the order of their ids, which is as good as a
    draw; the same rows give the same bytes.
    """
    kept = sorted((row for row in rows if row.is_kept), key=lambda row: row.id)
    refused = sorted((row for row in rows if not row.is_kept), key=_by_reason)
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["weblink"] = _weblink
    text = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        title=title,
        domain=rows[0].domain if rows else "",
        kept=len(kept),
        size_mb=sum(row.size_bytes or 0 for row in kept) / 1e6,
        reasons=count_reasons(rows),
        licences=_count(row.licence or "unknown" for row in kept),
        authors=len({row.author for row in kept if row.author}),
        pictures=[(row, _thumbnail(folder, row)) for row in kept[:MAX_THUMBNAILS]],
        refused=refused[:MAX_REFUSALS],
        more_refused=len(refused[MAX_REFUSALS:]),
    )
    write_text(folder / PAGE_NAME, text)


def _thumbnail(folder: Path, row: ImageRecord) -> str | None:
    sides_px = sorted((row.width_px or 1, row.height_px or 1))
    enough_px = max(1, _LEAST_PX * sides_px[0] // sides_px[1])
    try:
        image = decode_image(read_encoded(folder / str(row.file)), enough_px=enough_px)
    except ImageError:
        return None
    if max(image.size) > _THUMBNAIL_PX:
        image = fit_image(image, _THUMBNAIL_PX)
    data = base64.b64encode(jpeg_of(image, quality=80))
    return f"data:image/jpeg;base64,{data.decode()}"


def _count(values: Iterable[str]) -> list[tuple[str, int]]:
    return sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))


def _weblink(url: str | None) -> str:
    """Return a URL that a page may link to: of the web, never a script."""
    return url if url and url.startswith(("http://", "https://")) else ""


def _by_reason(row: ImageRecord) -> tuple[str, str]:
    return (row.reason or "", row.url or row.source_path or "")
