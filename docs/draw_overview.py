"""Draw docs/images/overview.png from what `make demo` left: pictures, faces, translations."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from anymus.images import RgbU8, fit_rgb, read_rgb, write_png
from anymus.manifest import Domain, ImageRecord, read_manifest

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs" / "images" / "overview.png"
WIDTH_PX, GAP_PX, LABEL_PX = 1200, 6, 26
COUNT = 12


def main() -> None:
    """Write the picture: four rows, each with a title."""
    pages = [row for row in _rows("manga", "raw") if (row.width_px or 0) > 400]
    busts = [row for row in _rows("manga", "raw") if (row.width_px or 0) <= 400]
    collected = _read("raw", [*_rows("photo", "raw")[:6], *busts[:5]])
    collected += _read("raw", pages[:1])
    faces = [_read("unique", _rows(domain, "unique"))[:COUNT] for domain in ("photo", "manga")]
    results = sorted((ROOT / "results" / "demo").glob("*.png"))[:6]
    bands = [
        _band("collected, with author and licence (demo site, drawn by code)", collected),
        _band("found, aligned, de-duplicated: A", faces[0]),
        _band("and B, in the same framing", faces[1]),
        _band("held-out portraits through the demo network", [read_rgb(path) for path in results]),
    ]
    write_png(TARGET, np.concatenate(bands))


def _rows(domain: Domain, stage: str) -> list[ImageRecord]:
    folder = ROOT / "data" / ("raw" if stage == "raw" else f"interim/{stage}") / domain
    return [row for row in read_manifest(folder) if row.is_kept]


def _read(stage: str, rows: list[ImageRecord]) -> list[RgbU8]:
    base = ROOT / "data" / ("raw" if stage == "raw" else f"interim/{stage}")
    return [read_rgb(base / row.domain / str(row.file)) for row in rows]


def _band(title: str, pictures: list[RgbU8]) -> RgbU8:
    """Return the pictures in one row at one height, as wide as the page, under a title."""
    ratio = sum(picture.shape[1] / picture.shape[0] for picture in pictures)
    height_px = int((WIDTH_PX - GAP_PX * (len(pictures) + 1)) / ratio)
    band = np.full((LABEL_PX + height_px + GAP_PX, WIDTH_PX, 3), 255, np.uint8)
    left = GAP_PX
    for picture in pictures:
        width_px = int(height_px * picture.shape[1] / picture.shape[0])
        fitted = fit_rgb(picture, max(height_px, width_px))[:height_px, :width_px]
        band[LABEL_PX : LABEL_PX + fitted.shape[0], left : left + fitted.shape[1]] = fitted
        left += width_px + GAP_PX
    canvas = Image.fromarray(band)
    ImageDraw.Draw(canvas).text((GAP_PX, 6), title, fill=(40, 44, 52), font_size=15)
    return np.asarray(canvas, dtype=np.uint8)


if __name__ == "__main__":
    main()
