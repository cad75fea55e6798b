"""Hair, and the cloths that hide it, drawn over the sheet of a head."""

import cv2
import numpy as np

from anymus.drawing.photo_fields import (
    SUBPIXEL_BITS,
    Field,
    Grid,
    as_field,
    blur,
    dome,
    fixed,
    mix,
    ramp,
    soft_noise,
    to_linear,
)
from anymus.drawing.photo_head import CROWN_V, Sheet, half_width, shell
from anymus.drawing.photo_person import Bones, HairStyle, Person


def strand_noise(rng: np.random.Generator, across: Field, along: Field, pitch: float) -> Field:
    """Returns noise of unit deviation, stretched along strands of the given pitch (units)."""
    texture = rng.standard_normal((48, 512), dtype=np.float32)
    texture = as_field(cv2.GaussianBlur(texture, (0, 0), 0.7, borderType=cv2.BORDER_REFLECT))
    x = np.mod(across / pitch, 511.0)
    y = np.mod(along * 4.0 + 11.0, 47.0)
    return as_field(cv2.remap(texture, as_field(x), as_field(y), cv2.INTER_LINEAR)) * np.float32(
        2.4
    )


def _opening(grid: Grid, style: HairStyle) -> Field:
    """Returns how far outside of the face's opening a point lies: below 0 is face."""
    u, v = grid.u, grid.v
    middle_v = 0.25
    wide = 0.89 if style.end_v < 0.5 else 0.9 - 0.05 * ramp(v, 0.5, 1.4)
    tall = middle_v - style.hairline_v
    swerve = np.zeros_like(u)
    if style.part_u and style.hairline_v < -0.8:
        side = np.sign(style.part_u)
        swerve = 0.04 * np.exp(-(((u - style.part_u) / 0.3) ** 2)) - 0.06 * ramp(
            as_field(-side * u), 0.0, 0.7
        )
    if style.name == "receding":
        swerve = as_field(-0.22 * np.exp(-((u / 0.22) ** 2)))
    drape = style.end_v > 0.3 and style.hairline_v < -0.8 and not style.curl
    power = 2.3 if drape else 3.3
    q = np.abs(u / wide) ** power + np.clip((middle_v - v) / (tall + swerve), 0.0, 9.0) ** power
    return as_field(q ** (1.0 / power) - 1.0)


def _paths(grid: Grid, style: HairStyle, rng: np.random.Generator) -> tuple[Field, Field]:
    """Returns coordinates across (radians about the crown) and along the strands."""
    origin = (style.part_u, CROWN_V + 0.22)
    bend = soft_noise(rng, grid.shape, 0.5 * grid.per_unit)
    du = grid.u - origin[0] + 0.03 * bend
    dv = grid.v - origin[1]
    if style.wave:
        phase = rng.uniform(0.0, 6.0)
        sway = np.sin(grid.v * 5.2 + phase + 0.9 * bend + np.sign(grid.u) * 1.2)
        du = du + style.wave * 0.075 * sway * ramp(grid.v, -0.6, 0.8)
    du = du / (1.0 + 0.25 * np.clip(dv, 0.0, 3.0))
    angle = as_field(np.arctan2(du, dv + 0.5))
    radius = as_field(np.hypot(du, dv))
    return angle, radius


def _envelope(grid: Grid, person: Person, rng: np.random.Generator) -> tuple[Field, Field]:
    """Returns the depth of the hair's outer surface and its coverage before the face is freed."""
    style, bones = person.style, person.bones
    v = as_field(grid.v[:, :1])
    rough = 0.006 + 0.026 * style.curl
    wobble = rough * soft_noise(rng, grid.shape, (0.11 if style.curl else 0.3) * grid.per_unit)
    width = half_width(v, bones, style.side, style.top)
    depth = shell(grid, bones, style.side * 0.8, style.top)
    if style.end_v > 0.3:
        flare = 1.02 + style.side + 0.1 * ramp(v, 0.0, 1.2) - 0.12 * ramp(v, 1.3, 2.6)
        width = np.maximum(width, flare * ramp(v, -0.45, -0.2))
        round_end = np.clip((style.end_v + 0.1 - v) / 0.35, 0.0, 1.0) ** 0.4
        width = width * (0.75 + 0.25 * round_end)
        side = np.abs(grid.u)
        curtain = 0.62 * np.sqrt(np.clip(1.0 - ((side - 0.86) / 0.55) ** 2, 0.0, 1.0)) - 0.32
        depth = np.where(grid.v > -0.2, np.maximum(curtain, depth * ramp(grid.v, 0.7, -0.2)), depth)
        depth = blur(as_field(depth), 0.08 * grid.per_unit)
    if not style.curl and not style.cloth:
        around = as_field(np.arctan2(grid.u, -(grid.v + 0.4)))
        tuft = strand_noise(rng, around, as_field(0.1 * grid.v), 0.05)
        wobble = wobble + min(0.25 * style.fringe + 0.008, 0.034) * tuft * ramp(grid.v, 0.0, -0.6)
    wobble = wobble * np.clip(width / 0.4, 0.0, 1.0)
    inside = (width - np.abs(grid.u) + wobble) * grid.per_unit
    cover = ramp(as_field(inside), -0.6, 1.0)
    return as_field(depth), as_field(cover)


def _add_bun(sheet: Sheet, person: Person, depth: Field, cover: Field) -> tuple[Field, Field]:
    centre = (0.25 * person.style.part_u, CROWN_V - 0.3)
    q = np.hypot((sheet.grid.u - centre[0]) / 0.44, (sheet.grid.v - centre[1]) / 0.36)
    ball = 0.4 * np.sqrt(np.clip(1.0 - q * q, 0.0, 1.0)) + 0.1
    inside = ramp(as_field(q), 1.0, 0.95)
    return as_field(np.where(inside > 0, np.maximum(depth, ball), depth)), as_field(
        np.maximum(cover, inside)
    )


def _free_face(
    sheet: Sheet, style: HairStyle, across: Field, cover: Field, rng: np.random.Generator
) -> Field:
    """Returns the hair's coverage with the face cut out of it along a ragged hair line."""
    grid = sheet.grid
    fine = strand_noise(rng, across, as_field(0.2 * grid.v), 0.016)
    lock = strand_noise(rng, across, as_field(0.1 * grid.v), 0.06)
    ragged = (0.035 * fine + 0.025 * lock) * (0.3 + 0.7 * ramp(grid.v, -0.4, -0.75))
    if style.fringe:
        ragged = ragged * (1.0 + 2.2 * style.fringe * 4.0 * ramp(grid.v, 0.0, -0.4))
    if style.curl:
        ragged = ragged + 0.022 * style.curl * soft_noise(rng, grid.shape, 0.09 * grid.per_unit)
    out = _opening(grid, style) + ragged * (grid.v < 0.3)
    soft = (0.03 if style.fringe else 0.055) if style.density >= 1 else 0.16
    share = ramp(as_field(out), -soft, soft) * cover
    end = grid.v + (0.14 * lock + 0.16 * fine) * (0.4 if style.end_v < 0.3 else 1.0)
    share = share * ramp(as_field(end), style.end_v + 0.05, style.end_v - 0.12)
    return as_field(share)


def _curls(rng: np.random.Generator, grid: Grid, size: float) -> Field:
    """Returns relief of about unit deviation: many small ringlets, laid one over another."""
    canvas = np.full(grid.shape, 110, np.uint8)
    rows, cols = grid.shape
    size_px = size * grid.per_unit
    count = int(2.2 * rows * cols / (size_px * size_px * 9.0))
    places = rng.uniform((0.0, 0.0), (cols, rows), (count, 2))
    radii = size_px * rng.uniform(0.7, 1.6, count)
    starts = rng.uniform(0.0, 2.0 * np.pi, count)
    tones = rng.integers(20, 256, count)
    turn = np.linspace(0.0, 3.9, 9)
    for place, radius, start, tone in zip(places, radii, starts, tones, strict=True):
        around = np.stack([np.cos(turn + start), 0.8 * np.sin(turn + start)], -1)
        path = fixed(place + radius * around)
        thick = max(1, round(0.4 * size_px))
        cv2.polylines(canvas, [path], False, int(tone), thick, cv2.LINE_AA, SUBPIXEL_BITS)
    return as_field((blur(as_field(canvas), 0.7) - 125.0) / 62.0)


def _paint(sheet: Sheet, person: Person, share: Field, rng: np.random.Generator) -> None:
    """Colours the hair by strand and lock, and writes hair, flow and depth ripples."""
    style, grid = person.style, sheet.grid
    across, path = _paths(grid, style, rng)
    if style.curl:
        lock = _curls(rng, grid, 0.055 if style.curl < 1 else 0.042)
        fine = 0.25 * soft_noise(rng, grid.shape, 2.2)
    elif style.name == "crop":
        lock = soft_noise(rng, grid.shape, 0.06 * grid.per_unit)
        fine = soft_noise(rng, grid.shape, 1.7)
    else:
        lock = strand_noise(rng, across, as_field(path * 0.35), 0.05)
        fine = strand_noise(rng, across, path, 0.0075)
    tone = 1.0 + 0.26 * np.clip(fine, -2, 2.4) + 0.2 * np.clip(lock, -2, 2)
    colour = to_linear(person.hair_rgb) * as_field(np.clip(tone, 0.25, 2.2))[..., None]
    if style.density < 1:
        share = as_field(share * style.density * np.clip(0.9 + 0.12 * fine, 0.3, 1.1))
    sheet.rgb = mix(sheet.rgb, as_field(colour), share)
    ripple = 0.022 if not style.curl else 0.02
    depth_gain = blur(as_field(np.clip(lock, -2, 2)), 0.012 * grid.per_unit)
    sheet.depth += ripple * depth_gain * ramp(share, 0.5, 1.0)
    strands = share * (0.15 if style.curl or style.name == "crop" else 1.0)
    sheet.hair = as_field(np.maximum(sheet.hair * (1 - share), strands))
    sheet.gloss *= 1.0 - share
    flow = np.stack([np.sin(across), np.cos(across)], -1)
    sheet.flow = mix(sheet.flow, flow, share)


def _cloth(sheet: Sheet, person: Person, share: Field, rng: np.random.Generator) -> None:
    """Paints a hijab or a knitted cap."""
    grid = sheet.grid
    colour = to_linear(person.accent_rgb) * np.ones((*grid.shape, 1), np.float32)
    if person.style.name == "beanie":
        rib = np.sin(grid.u * 60.0 / (1.0 + 0.15 * np.abs(grid.u)))
        purl = np.sin(grid.v * 55.0)
        colour = colour * (1.0 + 0.14 * rib * (0.6 + 0.4 * purl))[..., None]
        band = ramp(grid.v, -0.98, -0.94)
        sheet.depth += share * (0.05 * band + 0.012 * rib)
    else:
        ring = np.hypot(grid.u / 0.95, (grid.v - 0.35) / 1.35)
        folds = np.sin(ring * 22.0 + 2.0 * soft_noise(rng, grid.shape, 0.8 * grid.per_unit))
        sheet.depth += share * 0.022 * folds * ramp(as_field(ring), 1.0, 1.3)
    sheet.rgb = mix(sheet.rgb, as_field(colour), share)
    sheet.gloss *= 1.0 - share
    sheet.hair *= 1.0 - share
    sheet.flow *= (1.0 - share)[..., None]


def _hijab_share(grid: Grid, bones: Bones) -> tuple[Field, Field]:
    """Returns the depth and coverage of a cloth round the face and under the chin."""
    power = 2.3
    q = (np.abs(grid.u / 0.9) ** power + np.abs((grid.v - 0.36) / 1.22) ** power) ** (1 / power)
    jaw = half_width(as_field(grid.v[:, :1]), bones) - 0.07
    cover = np.maximum(
        ramp(as_field(q), 0.985, 1.015), ramp(as_field(np.abs(grid.u) - jaw), -0.015, 0.015)
    )
    fall = 1.16 - 0.3 * ramp(grid.v, 0.7, 1.7) + 0.05 * ramp(grid.v, 1.7, 2.1)
    outer = np.where(grid.v < 0.2, 2.0, fall - np.abs(grid.u))
    cover = cover * ramp(as_field(outer * grid.per_unit), -0.6, 1.0) * ramp(grid.v, 2.1, 2.0)
    drape = 0.85 * np.sqrt(np.clip(1.0 - (grid.u / (fall + 0.02)) ** 2, 0.0, 1.0)) - 0.1
    return as_field(drape * ramp(grid.v, 0.6, 1.7)), as_field(cover)


def draw_hair(sheet: Sheet, person: Person, rng: np.random.Generator) -> None:
    """Draws the person's hair, cap or head-scarf into the sheet."""
    style, grid = person.style, sheet.grid
    if style.density == 0:
        return
    depth, cover = _envelope(grid, person, rng)
    if style.bun:
        depth, cover = _add_bun(sheet, person, depth, cover)
    if style.name == "hijab":
        drape, share = _hijab_share(grid, person.bones)
        share = as_field(share * np.where(grid.v < 0.2, cover, 1.0))
        depth = np.maximum(depth, drape)
    else:
        across, _ = _paths(grid, style, rng)
        share = _free_face(sheet, style, across, cover, rng)
    rise = np.maximum(as_field(depth) - sheet.depth, 0.02)
    bare = sheet.cover.copy()
    solid = as_field(np.maximum(ramp(share, 0.0, 0.6), 1.0 - bare))
    sheet.depth = as_field(sheet.depth + solid * rise)
    sheet.cover = as_field(np.maximum(sheet.cover, ramp(share, 0.5, 0.9)))
    tinted = as_field(share + (ramp(share, 0.0, 0.3) - share) * (1.0 - bare))
    if style.cloth:
        _cloth(sheet, person, tinted, rng)
    else:
        _paint(sheet, person, tinted, rng)
    _shade_roots(sheet, share)
    sheet.depth = blur(sheet.depth, 0.8)


def _shade_roots(sheet: Sheet, share: Field) -> None:
    """Darkens the skin just before the hair line, where hair shades it."""
    near = blur(share, 0.05 * sheet.grid.per_unit) * (1.0 - share)
    sheet.rgb *= 1.0 - 0.35 * near[..., None]


def back_hair(grid: Grid, person: Person, rng: np.random.Generator) -> tuple[Field, Field] | None:
    """Returns coverage and linear colour of the hair behind the neck, or None if it is short.

    The grid is that of the picture, in units from the head's middle.
    """
    style = person.style
    if style.end_v < 0.3 or style.cloth:
        return None
    lock = strand_noise(rng, as_field(grid.u * 0.35 + 3.0), as_field(grid.v * 0.3), 0.02)
    width = 1.05 + style.side * 0.8 - 0.25 * ramp(grid.v, 0.8, style.end_v + 0.2)
    width = width - 0.45 * ramp(grid.v, 0.75, -0.1)
    cover = ramp(as_field(width - np.abs(grid.u) + 0.05 * lock), 0.0, 0.03)
    cover = cover * ramp(as_field(grid.v + 0.1 * lock), style.end_v + 0.05, style.end_v - 0.1)
    cover = cover * ramp(grid.v, -0.2, 0.1)
    hang = to_linear(person.hair_rgb) * np.clip(0.8 + 0.16 * lock, 0.1, 1.2)[..., None]
    shade = 0.65 + 0.35 * dome(grid.u, grid.v, (0.0, style.end_v), (3.0, 1.0))
    return as_field(cover), as_field(hang * shade[..., None])
