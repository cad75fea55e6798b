"""What the demo site shows: a plan of pictures drawn by code, the same for the same seed.

The plan holds what a crawl meets on real sites: couples, scenes without a face, copies, broken
files, refused licences, opt-outs, a forbidden corner and links that lead nowhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from anymus.images import RgbU8, encode_jpeg, encode_png, resize_rgb
from anymus.manifest import Domain
from anymus.params import DemoSiteParams

Kind = Literal["portrait", "couple", "scene", "bust", "page"]
Fault = Literal["truncated", "html", "noai", "forbidden", "missing", "off_site", "tiny", "svg"]
Copy = Literal["exact", "resized", "recompressed", "mirrored"]

COPIES: tuple[Copy, ...] = ("exact", "resized", "recompressed", "mirrored")
FAULTS: dict[Domain, tuple[Fault, ...]] = {
    "photo": ("truncated", "html", "noai", "forbidden", "missing", "off_site", "tiny"),
    "manga": ("truncated", "svg", "noai", "forbidden"),
}
LICENCES: tuple[tuple[str, str], ...] = (
    ("CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    ("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/"),
    ("CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/"),
)
ALL_RIGHTS_RESERVED = ("All rights reserved", "http://demo.localhost/terms#reserved")
AUTHORS = (
    "Ficta Persona", "Jean Nullepart", "Nemo Utopiak", "Kari Olematon", "Erewhon Vale",
    "Max Mustermann-Muster", "Ivana Neznama", "Perdita Void", "Taro Inai", "Zilla Fabelhaft",
)  # fmt: skip
_TITLES: dict[Kind, str] = {
    "portrait": "Portrait of nobody",
    "couple": "Two people who never met",
    "scene": "A place without a face",
    "bust": "A drawn face",
    "page": "A page of panels",
}
_COUPLE_SHARE = 0.08
_SCENE_SHARE = 0.08
_COPY_SHARE = 0.06
_RESERVED_SHARE = 0.05
_PNG_SHARE = 0.2
_PAGE_SIZE_PX = (640, 900)
_SEED_OF_DOMAIN: dict[Domain, int] = {"photo": 1, "manga": 2}
_HTML = b"<!doctype html><title>Gone</title><p>This picture has moved.\n"
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="300" height="300"><circle r="90"/></svg>\n'


@dataclass(frozen=True, slots=True)
class DemoPicture:
    """One planned picture: what to draw, how to spoil it, and its credits."""

    domain: Domain
    number: int
    kind: Kind
    width_px: int
    height_px: int
    suffix: Literal[".jpg", ".png"]
    title: str
    author: str
    licence: str
    licence_url: str
    drawn_as: int
    copy: Copy | None = None
    fault: Fault | None = None

    @property
    def path(self) -> str:
        """Return the path of the picture on the site."""
        name = f"{self.domain}-{self.number:05d}"
        if self.fault == "off_site":
            return f"http://elsewhere.example/{name}{self.suffix}"
        if self.fault == "forbidden":
            return f"/private/{name}{self.suffix}"
        return f"/{self.domain}/files/{name}{self.suffix}"


def plan_pictures(seed: int, params: DemoSiteParams, domain: Domain) -> list[DemoPicture]:
    """Return the pictures of one gallery, in the order of its pages."""
    rng = np.random.default_rng([seed, _SEED_OF_DOMAIN[domain]])
    kinds = _choose_kinds(rng, params, domain)
    pictures = [_plan_one(rng, domain, number, kind) for number, kind in enumerate(kinds, start=1)]
    _plan_copies(rng, pictures)
    for fault in FAULTS[domain]:
        number = len(pictures) + 1
        picture = _plan_one(rng, domain, number, "bust" if domain == "manga" else "portrait")
        licence, licence_url = LICENCES[0]
        pictures.append(replace(picture, fault=fault, licence=licence, licence_url=licence_url))
    order = rng.permutation(len(pictures))
    return [pictures[index] for index in order]


def draw_picture(seed: int, picture: DemoPicture) -> bytes:
    """Return the bytes that the site sends for a planned picture."""
    if picture.fault == "html":
        return _HTML
    if picture.fault == "svg":
        return _SVG
    rgb_u8 = _draw(seed, picture)
    if picture.copy == "mirrored":
        rgb_u8 = np.ascontiguousarray(rgb_u8[:, ::-1])
    elif picture.copy == "resized":
        rgb_u8 = resize_rgb(rgb_u8, round(picture.width_px * 0.8), round(picture.height_px * 0.8))
    if picture.fault == "tiny":
        rgb_u8 = resize_rgb(rgb_u8, 32, 40)
    content = _encode(rgb_u8, picture)
    return content[: len(content) // 2] if picture.fault == "truncated" else content


def _choose_kinds(rng: np.random.Generator, params: DemoSiteParams, domain: Domain) -> list[Kind]:
    counts: dict[Kind, int]
    if domain == "manga":
        counts = {"bust": params.busts, "page": params.pages}
    else:
        couples = round(_COUPLE_SHARE * params.portraits)
        scenes = round(_SCENE_SHARE * params.portraits)
        portraits = params.portraits - couples - scenes
        counts = {"couple": couples, "scene": scenes, "portrait": portraits}
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    return [kinds[index] for index in rng.permutation(len(kinds))]


def _plan_one(rng: np.random.Generator, domain: Domain, number: int, kind: Kind) -> DemoPicture:
    width_px, height_px = _choose_size(rng, kind)
    is_reserved = rng.random() < _RESERVED_SHARE
    licence = ALL_RIGHTS_RESERVED if is_reserved else LICENCES[rng.integers(len(LICENCES))]
    return DemoPicture(
        domain=domain,
        number=number,
        kind=kind,
        width_px=width_px,
        height_px=height_px,
        suffix=".png" if rng.random() < _PNG_SHARE or kind == "page" else ".jpg",
        title=f"{_TITLES[kind]}, no. {number}",
        author=AUTHORS[rng.integers(len(AUTHORS))],
        licence=licence[0],
        licence_url=licence[1],
        drawn_as=number,
    )


def _choose_size(rng: np.random.Generator, kind: Kind) -> tuple[int, int]:
    if kind == "page":
        return _PAGE_SIZE_PX
    long_px = int(rng.integers(300, 481))
    short_px = round(long_px * float(rng.uniform(0.75, 0.85)))
    return (long_px, short_px) if kind in ("couple", "scene") else (short_px, long_px)


def _plan_copies(rng: np.random.Generator, pictures: list[DemoPicture]) -> None:
    """Turn some pictures into copies of others, the ways of copying in turn."""
    originals = [index for index, picture in enumerate(pictures) if picture.kind != "page"]
    chosen = rng.permutation(originals)
    copies = min(max(1, round(_COPY_SHARE * len(pictures))), len(chosen) // 2)
    for turn in range(copies):
        source, target = pictures[chosen[2 * turn]], pictures[chosen[2 * turn + 1]]
        copy = COPIES[turn % len(COPIES)]
        pictures[chosen[2 * turn + 1]] = replace(
            source,
            number=target.number,
            title=target.title,
            author=target.author,
            licence=source.licence,
            copy=copy,
            suffix=".jpg" if copy == "recompressed" else source.suffix,
        )


def _draw(seed: int, picture: DemoPicture) -> RgbU8:
    rng = np.random.default_rng([seed, _SEED_OF_DOMAIN[picture.domain], picture.drawn_as])
    return _drawers()[picture.kind](rng, picture.width_px, picture.height_px)


def _drawers() -> dict[Kind, Callable[[np.random.Generator, int, int], RgbU8]]:
    from anymus.drawing.manga import draw_bust
    from anymus.drawing.page import draw_page
    from anymus.drawing.photo import draw_couple, draw_portrait, draw_scene

    return {
        "portrait": lambda *args: draw_portrait(*args).rgb_u8,
        "couple": lambda *args: draw_couple(*args).rgb_u8,
        "scene": lambda *args: draw_scene(*args).rgb_u8,
        "bust": lambda *args: draw_bust(*args).rgb_u8,
        "page": lambda *args: draw_page(*args).rgb_u8,
    }


def _encode(rgb_u8: RgbU8, picture: DemoPicture) -> bytes:
    if picture.suffix == ".png":
        return encode_png(rgb_u8)
    return encode_jpeg(rgb_u8, quality=60 if picture.copy == "recompressed" else 92)


def page_of(
    pictures: list[DemoPicture], items_per_page: int, number: int
) -> tuple[list[DemoPicture], bool] | None:
    """Return the pictures of page `number` (from 1) and whether more follow; None past the end."""
    start = (number - 1) * items_per_page
    if number < 1 or start >= len(pictures):
        return None
    return pictures[start : start + items_per_page], start + items_per_page < len(pictures)


def list_served(pictures: list[DemoPicture]) -> list[DemoPicture]:
    """Return the pictures that the site really sends: in page order, the reserved ones last."""
    served = [p for p in pictures if p.fault not in ("missing", "off_site", "forbidden")]
    return sorted(served, key=lambda picture: picture.licence == ALL_RIGHTS_RESERVED[0])
