"""Neck, shoulders and clothes, drawn straight into the plane of the picture."""

from dataclasses import dataclass

import numpy as np

from anymus.drawing.photo_fields import (
    Curve,
    Field,
    Grid,
    along,
    as_field,
    blur,
    dome,
    ink_lines,
    ink_shape,
    mix,
    ramp,
    soft_noise,
    to_linear,
)
from anymus.drawing.photo_person import Person


@dataclass(slots=True)
class Bust:
    """Neck and shoulders in picture space; the fields are changed while it is drawn."""

    grid: Grid
    """Units from the head's middle, upright."""
    depth: Field
    cover: Field
    rgb: Field
    gloss: Field


def _shoulder_line(side: Field, man: float) -> Field:
    """Returns the height v of the body's upper outline at the distance side from the middle."""
    wide = 1.0 + 0.1 * man
    return -0.07 + along(
        as_field(side / wide),
        ((0.0, 1.9), (0.55, 1.98), (0.75, 2.12), (1.1, 2.3), (1.6, 2.45), (2.1, 2.62), (2.45, 2.9),
         (2.65, 3.4), (2.75, 4.2), (2.8, 6.0)),
    )  # fmt: skip


def _naked(grid: Grid, person: Person, rng: np.random.Generator) -> Bust:
    man = 1.0 if person.sex == "man" else 0.0
    side = as_field(np.abs(grid.u))
    neck_r = (0.57 + 0.13 * man) * (1.0 + 0.12 * ramp(grid.v, 1.6, 2.2)) + 0.0 * side
    top = _shoulder_line(side, man)
    below = as_field(grid.v - top)
    neck = 0.95 * neck_r * np.sqrt(np.clip(1.0 - (side / neck_r) ** 2, 0.0, 1.0)) - 0.52
    chest = -0.62 + 0.62 * np.sqrt(np.clip(below / 1.3, 0.0, 1.0)) - 0.05 * side**2
    depth = np.maximum(np.where(grid.v < 2.6, neck - 0.12 * ramp(grid.v, 1.2, 2.4), -1.0), chest)
    depth = blur(as_field(depth), 0.05 * grid.per_unit)
    for lean in (-1.0, 1.0):
        cord: list[Curve] = [[(lean * 0.5, 1.3), (lean * 0.3, 1.9), (lean * 0.1, 2.28)]]
        depth += 0.045 * blur(ink_lines(grid, cord, 0.1), 0.05 * grid.per_unit)
        bone: list[Curve] = [[(lean * 0.14, 2.36), (lean * 0.6, 2.44), (lean * 1.3, 2.36)]]
        depth += 0.05 * blur(ink_lines(grid, bone, 0.09), 0.05 * grid.per_unit)
    edge = np.maximum(np.where(grid.v < 2.5, neck_r - side, -1.0), below) * grid.per_unit
    cover = ramp(as_field(edge), -0.6, 0.9) * ramp(grid.v, 0.4, 0.5)
    skin = to_linear(person.skin_rgb) * np.array([0.97, 0.92, 0.9], np.float32)
    grain = 1.0 + 0.02 * soft_noise(rng, grid.shape, 4.0)
    rgb = as_field(skin * grain[..., None])
    return Bust(grid, as_field(depth), as_field(cover), rgb, np.full(grid.shape, 0.25, np.float32))


def _weave(
    grid: Grid, rgb: tuple[float, float, float], kind: str, rng: np.random.Generator
) -> Field:
    """Returns the linear colour of a cloth: plain, striped, checked or knitted."""
    u, v = grid.u, grid.v
    tone = 1.0 + 0.05 * soft_noise(rng, grid.shape, 1.5) + 0.04 * soft_noise(rng, grid.shape, 30.0)
    if kind == "stripe":
        tone = tone * (1.0 - 0.4 * ramp(as_field(np.sin(u * 26.0 + 0.4 * v)), 0.5, 0.8))
    elif kind == "hoops":
        tone = tone * (1.0 - 0.55 * ramp(as_field(np.sin(v * 17.0 - 2.0 * u * u * 0.3)), 0.0, 0.3))
    elif kind == "check":
        tone = tone * (1.0 - 0.3 * (np.sin(u * 14.0) > 0.3) - 0.3 * (np.sin(v * 14.0) > 0.3))
    elif kind == "knit":
        tone = tone * (1.0 + 0.1 * np.sin(u * 50.0 + 2.0 * np.abs(np.sin(v * 25.0))))
    return as_field(to_linear(rgb) * as_field(tone)[..., None])


def _put(bust: Bust, where: Field, rgb: Field, raise_by: float, gloss: float = 0.1) -> None:
    """Lays a piece of cloth over the bust."""
    bust.rgb = mix(bust.rgb, rgb, ramp(where, 0.0, 0.6))
    bust.depth = as_field(bust.depth + raise_by * where)
    bust.gloss = as_field(bust.gloss + (gloss - bust.gloss) * where)


def _folds(bust: Bust, where: Field, rng: np.random.Generator) -> None:
    """Ripples the cloth: long folds falling from the shoulders, and wrinkles."""
    grid = bust.grid
    cell = 0.5 * grid.per_unit
    skew = as_field(grid.u * 2.2 + np.sign(grid.u) * 0.9 * (grid.v - 2.2))
    wave = np.sin(skew * 3.0 + 2.2 * soft_noise(rng, grid.shape, 1.6 * cell))
    ripple = 0.02 * wave + 0.015 * soft_noise(rng, grid.shape, cell)
    bust.depth = as_field(bust.depth + ripple * where * ramp(grid.v, 2.1, 2.8))


def _outer(bust: Bust, person: Person) -> Field:
    """Grows the bust by the thickness of cloth; returns where the body is."""
    man = 1.0 if person.sex == "man" else 0.0
    side = as_field(np.abs(bust.grid.u))
    below = bust.grid.v - _shoulder_line(side, man) + 0.05
    body = ramp(as_field(below * bust.grid.per_unit), -0.6, 0.9)
    bust.cover = as_field(np.maximum(bust.cover, body * ramp(side, 0.5, 0.6)))
    return as_field(np.maximum(body, bust.cover))


def _round_neck(bust: Bust, person: Person, rng: np.random.Generator) -> None:
    """Puts on a t-shirt, pullover or hoodie."""
    grid, kind = bust.grid, person.garment
    reach = {"t-shirt": 0.42, "pullover": 0.32, "hoodie": 0.36}[kind]
    wide = 0.92 if kind == "t-shirt" else 0.8
    q = np.hypot(grid.u / wide, (grid.v - 2.02) / reach)
    where = as_field(ramp(as_field(q), 0.97, 1.02) * _outer(bust, person) * ramp(grid.v, 1.9, 2.0))
    weave = {"t-shirt": "plain", "pullover": "knit", "hoodie": "plain"}[kind]
    if kind != "hoodie" and rng.random() < 0.3:
        weave = "hoops"
    _put(bust, where, _weave(grid, person.garment_rgb, weave, rng), 0.07)
    ring = as_field(np.exp(-(((q - 1.09) / 0.09) ** 2)) * where)
    rib = 0.85 + 0.12 * np.sin(np.arctan2(grid.u, grid.v - 1.7) * 70.0)
    bust.rgb = as_field(bust.rgb * (1.0 + (rib - 1.0) * ring)[..., None])
    bust.depth = as_field(bust.depth + 0.04 * ring)
    if kind == "hoodie":
        roll = np.hypot(grid.u / 1.15, (grid.v - 1.98) / 0.62)
        hood = np.exp(-(((roll - 0.95) / 0.2) ** 2)) * where
        bust.depth = as_field(bust.depth + 0.16 * hood)
        cords: list[Curve] = [[(s * 0.3, 2.4), (s * 0.34, 2.9), (s * 0.33, 3.3)] for s in (-1, 1)]
        _put(bust, ink_lines(grid, cords, 0.045), _weave(grid, (225, 222, 214), "plain", rng), 0.03)
    _folds(bust, where, rng)


def _turtleneck(bust: Bust, person: Person, rng: np.random.Generator) -> None:
    grid = bust.grid
    top = 1.72 + 0.12 * np.sqrt(np.clip(1.0 - (grid.u / 0.75) ** 2, 0.0, 1.0))
    where = ramp(as_field(grid.v - top), -0.01, 0.02)
    tube = ramp(as_field((0.76 - np.abs(grid.u)) * grid.per_unit), -0.6, 0.9) * where
    bust.cover = as_field(np.maximum(bust.cover, tube * (grid.v < 2.5)))
    _put(
        bust,
        as_field(where * _outer(bust, person)),
        _weave(grid, person.garment_rgb, "knit", rng),
        0.06,
    )
    roll = np.exp(-(((grid.v - top - 0.2) / 0.13) ** 2)) * (np.abs(grid.u) < 0.8)
    bust.depth = as_field(bust.depth + 0.05 * blur(as_field(roll), 2.0))
    _folds(bust, where, rng)


def _v_neck(bust: Bust, person: Person, rng: np.random.Generator) -> None:
    """Puts on a blouse with a V or a boat neck."""
    grid = bust.grid
    deep, wide = float(rng.uniform(0.35, 1.0)), float(rng.uniform(0.72, 1.15))
    edge = 2.08 + deep * (1.0 - np.clip(np.abs(grid.u) / wide, 0.0, 1.0) ** rng.uniform(0.9, 1.8))
    edge = np.where(np.abs(grid.u) < wide, edge, 1.9)
    where = as_field(
        ramp(as_field((grid.v - edge) * grid.per_unit), -0.6, 0.9) * _outer(bust, person)
    )
    kind = str(rng.choice(["plain", "plain", "stripe"]))
    _put(bust, where, _weave(grid, person.garment_rgb, kind, rng), 0.05)
    hem = np.exp(-(((grid.v - edge - 0.05) / 0.04) ** 2)) * where
    bust.depth = as_field(bust.depth + 0.02 * hem)
    _folds(bust, where, rng)


def _collar(bust: Bust, rgb: Field, opened: float) -> None:
    """Lays the two leaves of a shirt collar round the neck."""
    for side in (-1.0, 1.0):
        leaf: Curve = [
            (side * 0.6, 1.9), (side * (0.04 + 0.3 * opened), 2.26 + 0.1 * opened),
            (side * (0.36 + 0.25 * opened), 2.62), (side * 0.96, 2.26), (side * 0.74, 1.98),
        ]  # fmt: skip
        shape = ink_shape(bust.grid, leaf)
        bust.cover = as_field(np.maximum(bust.cover, shape))
        _put(bust, shape, rgb, 0.14)
        seam = ink_lines(bust.grid, [[leaf[1], leaf[2], leaf[3]]], 0.02)
        bust.rgb = as_field(bust.rgb * (1.0 - 0.22 * seam)[..., None])


def _shirt(bust: Bust, person: Person, rng: np.random.Generator, buttoned: bool) -> None:
    """Puts on a shirt with a collar; under a suit it is light and buttoned."""
    grid = bust.grid
    opened = 0.0 if buttoned else float(rng.uniform(0.3, 0.9))
    colour = person.garment_rgb
    if buttoned:
        colour = (226.0, 228.0, 232.0) if rng.random() < 0.7 else (186.0, 204.0, 226.0)
    gap = 0.05 + 0.5 * opened
    edge = 2.1 + 0.75 * opened * (1.0 - np.clip(np.abs(grid.u) / gap, 0.0, 1.0))
    where = as_field(
        ramp(as_field((grid.v - edge) * grid.per_unit), -0.6, 0.9) * _outer(bust, person)
    )
    kind = "plain" if buttoned else str(rng.choice(["plain", "plain", "check", "stripe"]))
    cloth = _weave(grid, colour, kind, rng)
    _put(bust, where, cloth, 0.05)
    _folds(bust, where, rng)
    placket = ink_lines(grid, [[(0.09, 2.4), (0.09, 6.0)]], 0.02)
    bust.rgb = as_field(bust.rgb * (1.0 - 0.2 * placket * where)[..., None])
    for v in np.arange(2.75, 5.0, 0.5):
        button = dome(grid.u, grid.v, (0.0, float(v)), (0.04, 0.04)) * where
        bust.rgb = mix(bust.rgb, to_linear((210, 206, 198)), as_field(0.7 * button))
    _collar(bust, cloth, opened)


def _tie(bust: Bust, person: Person, rng: np.random.Generator) -> None:
    grid = bust.grid
    knot: Curve = [(-0.15, 2.16), (0.15, 2.16), (0.09, 2.46), (-0.09, 2.46)]
    blade: Curve = [(-0.09, 2.46), (0.09, 2.46), (0.27, 4.6), (-0.27, 4.6)]
    cloth = _weave(grid, person.accent_rgb, "plain", rng)
    if rng.random() < 0.5:
        band = ramp(as_field(np.sin((grid.u + grid.v) * 16.0)), 0.2, 0.5)
        cloth = mix(cloth, to_linear(person.garment_rgb) * 0.5 + 0.1, as_field(0.7 * band))
    _put(bust, ink_shape(grid, blade), cloth, 0.06, 0.35)
    _put(bust, ink_shape(grid, knot), cloth, 0.12, 0.35)


def _jacket(bust: Bust, person: Person, rng: np.random.Generator) -> None:
    """Puts a jacket with lapels over what is already worn."""
    grid = bust.grid
    low = float(rng.uniform(3.5, 4.2))
    side = np.abs(grid.u)
    edge = low - (low - 1.95) * np.clip(side / 0.98, 0.0, 1.0) ** 0.9
    where = as_field(
        ramp(as_field((grid.v - edge) * grid.per_unit), -0.6, 0.9) * _outer(bust, person)
    )
    dull = tuple(0.35 * c + 0.4 * min(person.garment_rgb) for c in person.garment_rgb)
    cloth = _weave(
        grid, (dull[0], dull[1], dull[2]), str(rng.choice(["plain", "plain", "stripe"])), rng
    )
    _put(bust, where, cloth, 0.1)
    _folds(bust, where, rng)
    for lean in (-1.0, 1.0):
        lapel: Curve = [
            (lean * 0.93, 2.02), (lean * 0.03, low - 0.02), (lean * 0.2, low + 0.1),
            (lean * 0.98, 3.0), (lean * 0.78, 2.88), (lean * 1.1, 2.66), (lean * 1.12, 2.2),
        ]  # fmt: skip
        shape = ink_shape(grid, lapel)
        _put(bust, shape, as_field(cloth * 1.04), 0.06)
        seam = ink_lines(grid, [lapel[2:7]], 0.02)
        bust.rgb = as_field(bust.rgb * (1.0 - 0.35 * seam)[..., None])


def draw_bust(grid: Grid, person: Person, rng: np.random.Generator) -> Bust:
    """Returns neck and shoulders, dressed; the grid is in units from the head's middle."""
    bust = _naked(grid, person, rng)
    if person.style.name == "hijab":
        bust.cover = as_field(bust.cover * ramp(grid.v, 1.4, 1.5))
    if person.garment in ("t-shirt", "pullover", "hoodie"):
        _round_neck(bust, person, rng)
    elif person.garment == "turtleneck":
        _turtleneck(bust, person, rng)
    elif person.garment == "blouse":
        _v_neck(bust, person, rng)
    elif person.garment == "shirt":
        _shirt(bust, person, rng, buttoned=False)
    else:
        _shirt(bust, person, rng, buttoned=person.sex == "man")
        if person.sex == "man":
            _tie(bust, person, rng)
        _jacket(bust, person, rng)
    if person.style.name == "hijab":
        _scarf(bust, person, rng)
    return bust


def _scarf(bust: Bust, person: Person, rng: np.random.Generator) -> None:
    """Lays the lower part of a head-scarf over neck and shoulders."""
    grid = bust.grid
    q = np.hypot(grid.u / 1.55, (grid.v - 1.75) / 1.1)
    fall = ramp(as_field(1.0 - q), -0.01, 0.02) * ramp(grid.v, 1.5, 1.55)
    slope = 1.55 + 0.95 * np.clip((np.abs(grid.u) - 0.85) / 0.8, 0.0, 2.0)
    where = as_field(fall * ramp(as_field((grid.v - slope) * grid.per_unit), -0.6, 0.9))
    bust.cover = as_field(np.maximum(bust.cover, where))
    folds = np.sin(q * 19.0 + 1.5 * soft_noise(rng, grid.shape, 0.7 * grid.per_unit) + 0.8 * grid.u)
    _put(bust, where, _weave(grid, person.accent_rgb, "plain", rng), 0.22)
    bust.depth = as_field(bust.depth + 0.03 * folds * where)
