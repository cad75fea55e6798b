"""A collection of both domains, of people that our renderers draw, and its curation."""

from pathlib import Path

import numpy as np

from anymus import images
from anymus.drawing.manga import draw_bust
from anymus.drawing.photo import draw_portrait
from anymus.files import sha256_bytes
from anymus.manifest import Domain, ImageRecord, write_manifest
from anymus.params import Params
from curation.crop import crop
from curation.dedupe import dedupe
from curation.detect import detect
from curation.split import split

PEOPLE = 10


def store(folder: Path, domain: Domain, content: bytes, url: str) -> ImageRecord:
    sha256 = sha256_bytes(content)
    (folder / f"{sha256}.png").write_bytes(content)
    return ImageRecord(
        id=sha256, domain=domain, file=f"{sha256}.png", url=url, author="Ada", licence="CC0-1.0"
    )


def collect(root: Path) -> None:
    """Write ten people a domain; of photos also a recompressed twin, a mirror twin, no face."""
    for domain in ("photo", "manga"):
        folder = root / domain
        folder.mkdir(parents=True)
        rows = []
        for index in range(PEOPLE):
            generator = np.random.default_rng([11, index])
            drawing = draw_portrait(generator) if domain == "photo" else draw_bust(generator)
            png = images.encode_png(drawing.rgb_u8)
            rows.append(store(folder, domain, png, f"http://demo.localhost/{domain}/{index}"))
        if domain == "photo":
            first = images.decode_rgb((folder / str(rows[0].file)).read_bytes())
            small = images.decode_rgb(images.encode_jpeg(images.resize_rgb(first, 280, 350), 75))
            mirrored = np.ascontiguousarray(first[:, ::-1])
            for name, twin in (("small", small), ("mirrored", mirrored)):
                rows.append(store(folder, domain, images.encode_png(twin), f"http://x/{name}"))
            empty = np.full((300, 240, 3), 140, np.uint8)
            rows.append(store(folder, domain, images.encode_png(empty), "http://x/empty"))
            broken = images.encode_png(first)[:5000]
            rows.append(store(folder, domain, broken, "http://x/broken"))
        write_manifest(folder, rows)


def curate(params: Params, collected: Path, root: Path) -> None:
    """Run the stages of the curation from a collection to a data set."""
    for domain in ("photo", "manga"):
        detect(params, domain, collected / domain, root / "detected" / domain)
        crop(params, domain, root / "detected" / domain, root / "faces" / domain)
        dedupe(params, domain, root / "faces" / domain, root / "unique" / domain)
    split(params, root / "unique", root / "dataset")
