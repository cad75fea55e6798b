"""Pages: HTML of this wing, with every picture inside, so that it needs no network."""

import base64
from pathlib import Path
from typing import Any

import jinja2

from anymus.errors import ImageError
from anymus.images import encode_jpeg, fit_rgb, read_rgb

_FOLDER = Path(__file__).parent
_JPEG_QUALITY = 80


def render(template: str, **values: Any) -> str:
    """Return a template of this wing filled in, all values escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string((_FOLDER / template).read_text(encoding="utf-8")).render(values)


def read_tile(path: Path, side_px: int) -> str | None:
    """Return a picture fitted into a square as a data URL; None if it cannot be read any more."""
    try:
        rgb_u8 = fit_rgb(read_rgb(path), side_px)
    except ImageError:
        return None
    return data_url("jpeg", encode_jpeg(rgb_u8, _JPEG_QUALITY))


def data_url(kind: str, content: bytes) -> str:
    """Return the bytes of a picture as a URL that holds them."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
