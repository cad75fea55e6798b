"""The bare head: a height field over the frontal plane, with the colour of its skin.

Units are half the width of a head (about 70 mm). u runs to the right of the picture, v down, both
from the point between the eyes; depth runs towards the viewer from the plane of the ears.
"""

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
    mix,
    ramp,
    soft_noise,
    to_linear,
)
from anymus.drawing.photo_person import Bones, Person

CROWN_V = -1.64
MIDDLE_V = -0.3
BACK = -0.42
"""Depth behind which the sheet ends; the back of the skull is another shape."""


@dataclass(slots=True)
class Sheet:
    """A head unrolled over the frontal plane; fields are changed in place while it is drawn."""

    grid: Grid
    depth: Field
    """Units."""
    cover: Field
    """1 where there is a head, 0 beside it."""
    rgb: Field
    """Linear light."""
    gloss: Field
    """0 (dull) to 1 (wet)."""
    hair: Field
    """1 where the surface is hair."""
    flow: Field
    """(H, W, 2): the direction in which hair runs."""
    wet: Field
    """1 where the surface is an eye or a tooth, which take no skin light."""


def half_width(v: Field, bones: Bones, extra: float = 0.0, top: float = 0.0) -> Field:
    """Returns half the head's width at height v; extra and top (units) make room for hair."""
    up = np.clip((MIDDLE_V - v) / (MIDDLE_V - CROWN_V + top), 0.0, 1.0)
    down = np.clip((v - MIDDLE_V) / (bones.chin_v - MIDDLE_V + extra), 0.0, 1.0)
    round_top = (1.0 - up**2.7) ** (1.0 / 2.2)
    round_jaw = np.sqrt(1.0 - down**bones.jaw) * (
        1.0 - bones.taper * ramp(as_field(down), 0.2, 0.95)
    )
    return as_field((1.0 + extra) * np.minimum(round_top, round_jaw))


def _profile(v: Field, bones: Bones, top: float = 0.0) -> Field:
    """Returns how far the middle of the face lies before the ears at height v."""
    knots = (
        (-1.8, 0.9), (-1.4, 1.02), (-1.0, 1.12), (-0.6, 1.19), (-0.3, 1.2), (0.0, 1.13),
        (0.4, 1.15), (0.8, 1.2), (1.0, 1.19), (1.3, 1.16), (1.8, 1.1),
    )  # fmt: skip
    up = np.clip((MIDDLE_V - v) / (MIDDLE_V - CROWN_V + top), 0.0, 1.0)
    down = np.clip((v - MIDDLE_V) / (bones.chin_v + 0.02 - MIDDLE_V), 0.0, 1.0)
    return as_field(along(v, knots) * (1.0 - up**2.5) ** 0.45 * np.sqrt(1.0 - down**11))


def shell(grid: Grid, bones: Bones, extra: float = 0.0, top: float = 0.0) -> Field:
    """Returns the depth of a plain egg-shaped head, grown by extra (sides) and top (units)."""
    v_line = as_field(grid.v[:, :1])
    width = np.maximum(half_width(v_line, bones, extra, top), 1e-3)
    deep = _profile(v_line, bones, top) + extra
    x = np.abs(grid.u) / width
    near = np.minimum(x, 0.985)
    depth = deep * (1.0 - near**2.3) ** 0.52
    return as_field(np.maximum(depth - 7.0 * (x - near), -0.6))


def nose_height(grid: Grid, bones: Bones) -> Field:
    """Returns the height of the nose above the face."""
    u, v = grid.u, grid.v * (0.6 / bones.nose_v)
    k = bones.nose_width
    ridge = along(
        as_field(v[:, :1]),
        ((-0.5, 0.0), (-0.3, 0.03), (-0.08, 0.1), (0.1, 0.18), (0.3, 0.28), (0.46, 0.36),
         (0.54, 0.37), (0.6, 0.27), (0.66, 0.08), (0.72, 0.0)),
    )  # fmt: skip
    wide = along(
        as_field(v[:, :1]), ((-0.5, 0.12), (-0.1, 0.085), (0.1, 0.1), (0.35, 0.12), (0.6, 0.14))
    )
    bridge = ridge * bones.nose_height * np.exp(-((np.abs(u) / (wide * k)) ** 1.7))
    tip = 0.075 * dome(u, v, (0.0, 0.5), (0.15 * k, 0.12))
    wings = dome(as_field(np.abs(u)), v, (0.175 * k, 0.535), (0.095 * k, 0.095))
    return as_field(bridge + tip + 0.13 * wings)


def _creases(bones: Bones, pose_smile: float) -> tuple[list[Curve], list[Curve]]:
    """Returns the folds from nose to mouth, and the lines of age, each for both sides."""
    folds: list[Curve] = []
    lines: list[Curve] = []
    wide = 0.05 * pose_smile
    fold = (
        (0.25, 0.46, 0.0), (0.33, 0.58, 0.6), (0.42, 0.72, 1.2), (0.47, 0.88, 1.6),
        (0.47, 1.0, 1.2),    )  # fmt: skip
    for side in (-1.0, 1.0):
        folds.append([(side * (u + w * wide), v) for u, v, w in fold])
        corner = bones.eye_u + 0.25
        lines.extend(
            [
                (side * (corner + 0.05 * t), -0.07 + 0.06 * k + (k - 1) * 0.05 * t)
                for t in (0.0, 1.0, 2.0, 3.0)
            ]
            for k in range(3)
        )
        lines.append([(side * 0.07, -0.36), (side * 0.075, -0.28), (side * 0.06, -0.2)])
        lines.append([(side * 0.45, 1.08), (side * 0.47, 1.18), (side * 0.46, 1.28)])
    lines.extend(
        [(u, -0.62 - 0.13 * k + 0.05 * np.cos(u * 5.0 + k)) for u in np.linspace(-0.5, 0.5, 9)]
        for k in range(3)
    )
    return folds, lines


def _relief(grid: Grid, person: Person, rng: np.random.Generator) -> Field:
    """Returns the depth of the skin: skull, nose, sockets, cheeks, muzzle, chin and folds."""
    bones, smile = person.bones, max(person.pose.smile, 0.0)
    man = 1.0 if person.sex == "man" else 0.0
    side, v = as_field(np.abs(grid.u)), grid.v
    depth = shell(grid, bones) + blur(0.93 * nose_height(grid, bones), 0.022 * grid.per_unit)
    depth -= 0.15 * dome(side, v, (bones.eye_u - 0.02, -0.04), (0.27, 0.17))
    depth += (0.03 + 0.05 * man) * dome(side, v, (0.36, bones.brow_v - 0.02), (0.36, 0.1))
    depth += 0.05 * dome(side, v, (0.6, 0.27), (0.27, 0.2))
    depth += 0.07 * smile * dome(side, v, (0.5, 0.4), (0.2, 0.17))
    depth -= (0.03 + 0.03 * man) * dome(side, v, (0.66, 0.72), (0.22, 0.26))
    depth += 0.07 * dome(side, v, (0.0, 0.93), (0.4, 0.24))
    depth -= 0.05 * dome(side, v, (0.0, 1.19), (0.28, 0.07))
    depth += 0.08 * dome(side, v, (0.0, 1.4), (0.25, 0.15))
    depth -= 0.022 * dome(side, v, (0.0, 0.75), (0.045, 0.09))
    old = float(np.clip((person.age - 35.0) / 40.0, 0.0, 1.0))
    folds, lines = _creases(bones, smile)
    groove = blur(ink_lines(grid, folds, 0.045), 0.03 * grid.per_unit)
    depth -= (0.012 + 0.035 * old + 0.03 * smile) * groove
    bag = dome(side, v, (bones.eye_u - 0.02, 0.22), (0.2, 0.035))
    depth -= (0.008 + 0.02 * old) * bag
    thin = blur(ink_lines(grid, lines, 0.02), 0.013 * grid.per_unit)
    depth -= 0.022 * old * thin * (0.7 + 0.5 * soft_noise(rng, grid.shape, 0.2 * grid.per_unit))
    return as_field(depth + 0.0012 * soft_noise(rng, grid.shape, 0.1 * grid.per_unit))


def _add_ears(sheet: Sheet, bones: Bones) -> Field:
    """Draws both ears into depth and cover; returns where they are."""
    side, v = as_field(np.abs(sheet.grid.u)), sheet.grid.v
    lean = 1.045 + 0.05 * (0.17 - v)
    du, dv = (side - lean) / 0.125, (v - 0.17) / (0.36 * bones.ears)
    q = np.sqrt(du * du + dv * dv * (1.0 + 0.25 * np.clip(dv, -1.5, 1.5)))
    ear = ramp(as_field(q), 1.0, 0.9) * ramp(side, 0.9, 0.94)
    rim = np.exp(-(((q - 0.8) / 0.14) ** 2)) * ramp(v, 0.45, 0.3)
    bowl = np.exp(-((q / 0.5) ** 2))
    shape = 0.1 - 1.3 * np.clip(side - 0.93, 0.0, 0.4) + 0.05 * rim - 0.07 * bowl
    inside = ear * ramp(side, 0.9, 1.0)
    around = (side > 0.9) & (q < 1.5)
    sheet.depth = as_field(np.where(around, np.maximum(sheet.depth, shape), sheet.depth))
    sheet.cover = as_field(np.maximum(sheet.cover, ramp(ear, 0.3, 0.9)))
    return as_field(inside)


def _skin_tint(sheet: Sheet, person: Person, ears: Field, rng: np.random.Generator) -> None:
    """Paints the skin: blood in cheeks, nose and ears, shade under the eyes, freckles, pores."""
    grid, bones = sheet.grid, person.bones
    side, v = as_field(np.abs(grid.u)), grid.v
    base = to_linear(person.skin_rgb)
    sheet.rgb[:] = base
    light = float(base.mean())
    blood = 0.55 * dome(side, v, (0.6, 0.42), (0.28, 0.24)) * (0.7 + 0.6 * person.makeup)
    blood += 0.4 * dome(side, v, (0.0, 0.5), (0.24, 0.14)) + 0.45 * ears
    blood += 0.15 * dome(side, v, (0.0, 1.4), (0.3, 0.2))
    blood += 0.12 * soft_noise(rng, grid.shape, 0.25 * grid.per_unit)
    flush = np.stack([-0.04 * blood, -0.3 * blood, -0.26 * blood], -1) * min(
        1.0, 0.35 + 1.6 * light
    )
    sheet.rgb *= np.exp(as_field(flush))
    under = dome(side, v, (bones.eye_u - 0.06, 0.16), (0.19, 0.07))
    under += 0.6 * dome(side, v, (bones.eye_u, -0.12), (0.22, 0.08))
    dull = under[..., None] * np.array([0.2, 0.24, 0.18], np.float32)
    sheet.rgb *= 1.0 - as_field(dull) * (0.5 + 0.4 * min(person.age / 60.0, 1.0))
    grain = 0.02 * soft_noise(rng, grid.shape, 1.6) + 0.025 * soft_noise(rng, grid.shape, 6.0)
    sheet.rgb *= 1.0 + grain[..., None]
    if person.freckles > 0:
        spots = ramp(soft_noise(rng, grid.shape, 0.028 * grid.per_unit), 1.1, 2.0)
        where = dome(side, v, (0.35, 0.3), (0.5, 0.32)) * person.freckles
        sheet.rgb = mix(
            sheet.rgb, base * np.array([0.62, 0.42, 0.3]), as_field(0.7 * spots * where)
        )
    t_zone = dome(side, v, (0.0, -0.6), (0.6, 0.4)) + dome(side, v, (0.0, 0.3), (0.16, 0.4))
    cheek = dome(side, v, (0.58, 0.25), (0.2, 0.16))
    sheet.gloss[:] = np.clip(0.35 + 0.35 * t_zone + 0.3 * cheek, 0.0, 1.0)


def _nostrils(sheet: Sheet, bones: Bones) -> None:
    """Darkens the nostrils and the fold round the wings of the nose."""
    side = as_field(np.abs(sheet.grid.u))
    k, low = bones.nose_width, bones.nose_v
    tilt = sheet.grid.v - low - 0.12 * (side - 0.1 * k)
    hole = dome(side, as_field(tilt), (0.098 * k, -0.012), (0.052 * k, 0.026))
    deep = ramp(hole, 0.25, 0.8)
    sheet.rgb *= 1.0 - as_field(np.stack([0.72 * deep, 0.84 * deep, 0.86 * deep], -1))
    sheet.depth -= 0.05 * deep
    fold = dome(side, as_field(tilt), (0.262 * k, -0.04), (0.022, 0.06))
    sheet.rgb *= 1.0 - as_field(np.stack([0.2 * fold, 0.3 * fold, 0.3 * fold], -1))


def bare_head(person: Person, per_unit: float, rng: np.random.Generator) -> Sheet:
    """Returns the sheet of a head with skin, ears and nose, without eyes, mouth or hair."""
    grid = Grid.over((-1.75, -2.5), (1.75, 2.7), per_unit)
    width = np.maximum(half_width(as_field(grid.v[:, :1]), person.bones), 1e-4)
    edge = (1.0 - np.abs(grid.u) / width) * np.minimum(width, 1.0) * per_unit
    empty = np.zeros(grid.shape, np.float32)
    sheet = Sheet(
        grid=grid,
        depth=_relief(grid, person, rng),
        cover=ramp(as_field(edge), -0.5, 0.8),
        rgb=np.zeros((*grid.shape, 3), np.float32),
        gloss=empty.copy(),
        hair=empty.copy(),
        flow=np.zeros((*grid.shape, 2), np.float32),
        wet=empty.copy(),
    )
    ears = _add_ears(sheet, person.bones)
    _skin_tint(sheet, person, ears, rng)
    _nostrils(sheet, person.bones)
    return sheet
