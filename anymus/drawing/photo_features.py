"""Eyes, brows, mouth and beard, drawn into the sheet of a head."""

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
from anymus.drawing.photo_head import Sheet
from anymus.drawing.photo_person import EYES, Bones, Person

IRIS = 0.096
MOUTH_V = 0.9


def _sub_sheet(sheet: Sheet, centre: tuple[float, float], radii: tuple[float, float]) -> Sheet:
    """Returns a window of the sheet; drawing into it draws into the sheet."""
    cut = sheet.grid.window(centre, radii)
    grid = Grid(sheet.grid.u[cut], sheet.grid.v[cut], sheet.grid.per_unit)
    return Sheet(
        grid,
        sheet.depth[cut],
        sheet.cover[cut],
        sheet.rgb[cut],
        sheet.gloss[cut],
        sheet.hair[cut],
        sheet.flow[cut],
        sheet.wet[cut],
    )


def _lids(across: Field, bones: Bones, smile: float) -> tuple[Field, Field]:
    """Returns the heights of the upper and lower lid edge; across runs -1 (nose) to 1 (temple)."""
    span = np.clip(1.0 - np.abs(across) ** 2.1, 0.0, 1.0)
    tilt = -bones.eye_tilt * across
    upper = tilt - 0.1 * bones.eye_open * (1.0 - 0.12 * smile) * span**0.72 * (1.0 - 0.12 * across)
    lower = tilt + (0.062 - 0.022 * smile) * span**0.8 * (1.0 + 0.15 * across)
    return as_field(upper), as_field(lower)


def _iris(u: Field, v: Field, name: str, rng: np.random.Generator) -> tuple[Field, Field]:
    """Returns the colour of iris and pupil around (0, 0), and their coverage."""
    radius = np.sqrt(u * u + v * v)
    angle = np.arctan2(v, u)
    rays = 0.5 + 0.5 * np.sin(angle * 17 + rng.uniform(0, 6) + 3.0 * np.sin(angle * 5))
    colour = to_linear(EYES[name]) * (0.7 + 0.45 * rays)[..., None]
    warm = np.exp(-(((radius - 0.04) / 0.022) ** 2))
    colour = mix(as_field(colour), to_linear((120, 84, 46)), as_field(0.35 * warm))
    colour = colour * (0.72 + 0.5 * ramp(v, -0.05, 0.08))[..., None]
    rim = ramp(as_field(radius), IRIS * 0.72, IRIS)
    colour = mix(as_field(colour), to_linear((18, 15, 14)), as_field(0.8 * rim))
    colour = mix(colour, to_linear((7, 6, 6)), ramp(as_field(radius), 0.042, 0.032))
    return as_field(colour), ramp(as_field(radius), IRIS + 0.008, IRIS - 0.006)


def _eye(sheet: Sheet, person: Person, side: float, rng: np.random.Generator) -> None:
    """Draws one eye: ball, iris, lids, lashes; side is -1 (left of the picture) or 1."""
    bones, pose = person.bones, person.pose
    cu, size = side * bones.eye_u, bones.eye_size
    eye = _sub_sheet(sheet, (cu, 0.0), (0.36, 0.3))
    u, v = eye.grid.u - cu, eye.grid.v
    across = as_field(u * side / size)
    upper, lower = _lids(across, bones, max(pose.smile, 0.0))
    pixel = 1.0 / eye.grid.per_unit
    inside = np.where(np.abs(across) < 1.0, np.minimum(v - upper, lower - v), -1.0)
    opening = ramp(as_field(inside), -0.6 * pixel, 0.7 * pixel)
    ball = 0.075 * dome(as_field(u), v, (0.0, -0.02), (0.2, 0.14))
    eye.depth += ball
    corner = 1.0 - 0.45 * np.abs(across) ** 3
    tone = 0.54 + 0.46 * float(to_linear(person.skin_rgb).mean() / 0.6)
    white = to_linear((222, 215, 208)) * min(tone, 1.0) * as_field(corner)[..., None]
    pink = dome(across, v, (-0.95, 0.01), (0.16, 0.05))
    white = mix(as_field(white), to_linear((206, 138, 124)), as_field(0.8 * pink))
    gaze = (pose.gaze_u * 0.09, -0.012 + pose.gaze_v * 0.05)
    iris, disc = _iris(as_field(u - gaze[0]), as_field(v - gaze[1]), person.eyes, rng)
    colour = mix(white, iris, disc)
    shade = 0.42 + 0.58 * ramp(as_field(v - upper), -0.005, 0.07)
    eye.rgb[:] = mix(eye.rgb, colour * shade[..., None], opening)
    eye.wet[:] = np.maximum(eye.wet, opening)
    eye.gloss[:] = eye.gloss * (1.0 - opening)
    _lid_edges(eye, person, across, opening)


def _lid_edges(eye: Sheet, person: Person, across: Field, opening: Field) -> None:
    """Draws lashes, the wet line under the eye and the fold over it."""
    bones, v = person.bones, eye.grid.v
    upper, lower = _lids(across, bones, max(person.pose.smile, 0.0))
    within = ramp(as_field(np.abs(across)), 1.16, 0.92)
    made_up = 0.35 + 0.65 * person.makeup if person.sex == "woman" else 0.2
    thick = 0.013 + 0.012 * made_up * ramp(across, -1.0, 0.8)
    line = np.exp(-(((v - upper + 0.006) / thick) ** 2)) * within
    wing = dome(across, as_field(v - upper), (1.06, 0.0), (0.14, 0.022)) * made_up
    lash = np.clip(line * (0.72 + 0.2 * made_up) + 0.7 * wing, 0.0, 0.95)
    dark = np.minimum(to_linear(person.skin_rgb) * 0.25, to_linear((46, 32, 28)))
    eye.rgb[:] = mix(eye.rgb, dark, as_field(lash))
    low = np.exp(-(((v - lower - 0.006) / 0.011) ** 2)) * within * ramp(across, -1.0, 0.6)
    eye.rgb[:] = mix(eye.rgb, dark, as_field(low * (0.3 + 0.25 * made_up)))
    wet_line = np.exp(-(((v - lower + 0.008) / 0.008) ** 2)) * within * opening
    eye.rgb[:] = mix(eye.rgb, to_linear((222, 172, 156)), as_field(0.35 * wet_line))
    fold_v = upper - 0.035 - 0.035 * bones.lid_fold * (1.0 - 0.25 * across)
    fold = np.exp(-(((v - fold_v) / 0.014) ** 2)) * ramp(as_field(np.abs(across)), 1.2, 0.7)
    strength = (0.35 + 0.5 * bones.lid_fold) * as_field(fold)
    eye.rgb[:] = mix(eye.rgb, to_linear(person.skin_rgb) * 0.3, as_field(0.6 * strength))
    eye.depth -= 0.02 * strength
    lid = ramp(as_field(v - fold_v), -0.01, 0.01) * ramp(as_field(upper - v), -0.01, 0.02) * within
    tone = to_linear(person.accent_rgb) * 0.4 + to_linear(person.skin_rgb) * 0.25
    eye.rgb[:] = mix(eye.rgb, tone, as_field(0.4 * lid * max(person.makeup - 0.45, 0.0)))


def _brow_hairs(person: Person, side: float, rng: np.random.Generator) -> list[Curve]:
    """Returns the hairs of one brow, from the nose outwards."""
    bones = person.bones
    hairs: list[Curve] = []
    for t in rng.uniform(0.0, 1.0, 110):
        u = 0.17 + 0.56 * t
        arch = bones.brow_arch
        v = bones.brow_v + float(
            np.interp(t, (0.0, 0.25, 0.62, 0.8, 1.0), (0.035, 0.0, -arch, 0.01 - 0.7 * arch, 0.065))
        )
        wide = bones.brow_width * min(0.55 + 3.0 * t, 1.0, 0.25 + 2.0 * (1.0 - t))
        v += rng.uniform(-0.5, 0.5) * wide
        slope = -0.55 + 0.9 * min(t * 1.4, 1.0) + rng.normal(0, 0.15)
        length = rng.uniform(0.05, 0.1) * (0.6 + 0.4 * min(4 * t, 1.0))
        hairs.append([(side * u, v), (side * (u + 0.5 * length), v + 0.4 * slope * length),
                      (side * (u + length), v + slope * length)])  # fmt: skip
    return hairs


def brow_colour(person: Person) -> Field:
    """Returns the linear colour of brows and beard, a little darker than the hair."""
    hair = to_linear(person.hair_rgb)
    if person.style.cloth or person.style.density == 0:
        hair = np.minimum(hair, to_linear((70, 50, 38)))
    return as_field(np.minimum(hair * 0.6, to_linear((120, 100, 84))))


def _brows(sheet: Sheet, person: Person, rng: np.random.Generator) -> None:
    brows = _sub_sheet(sheet, (0.0, person.bones.brow_v), (0.9, 0.3))
    hairs = _brow_hairs(person, -1.0, rng) + _brow_hairs(person, 1.0, rng)
    fine = ink_lines(brows.grid, hairs, 0.011) / 0.9
    mass = blur(fine, 0.022 * sheet.grid.per_unit)
    share = np.clip(0.95 * mass + 0.65 * fine, 0.0, 0.92) * (
        0.62 if person.sex == "woman" else 0.85
    )
    brows.rgb[:] = mix(brows.rgb, brow_colour(person), as_field(share))
    brows.depth += 0.012 * mass
    brows.gloss *= 1.0 - share


def _mouth_lines(across: Field, person: Person) -> tuple[Field, Field, Field, Field]:
    """Returns top of the upper lip, parting above, parting below, bottom of the lower lip."""
    pose, full = person.pose, person.bones.lips
    bow = np.clip(1.0 - np.abs(across) ** 2.2, 0.0, 1.0)
    lift = 0.13 * pose.smile * np.abs(across) ** 1.9 - 0.04 * pose.smile
    wave = 0.012 * np.cos(across * 7.0) * bow
    middle = MOUTH_V - lift + wave
    gap = (0.2 if pose.smile > 0.5 else 0.24) * pose.gape * bow**0.75
    thin = 1.0 - 0.2 * max(pose.smile, 0.0)
    cupid = (
        1.0
        - 0.3 * np.exp(-((across / 0.15) ** 2))
        + 0.08 * np.exp(-(((np.abs(across) - 0.3) / 0.2) ** 2))
    )
    top = middle - 0.3 * gap - 0.1 * full * thin * bow**0.85 * cupid
    low = middle + 0.7 * gap
    bottom = low + 0.13 * full * thin * bow**0.65
    return as_field(top), as_field(middle - 0.3 * gap), as_field(low), as_field(bottom)


def _mouth(sheet: Sheet, person: Person) -> None:
    """Draws lips, the parting line and, in an open mouth, teeth."""
    half = (
        person.bones.mouth_u
        + 0.075 * max(person.pose.smile, 0.0)
        - 0.03 * (person.pose.gape if person.pose.smile < 0.5 else 0.0)
    )
    mouth = _sub_sheet(sheet, (0.0, MOUTH_V + 0.05), (0.62, 0.4))
    across, v = as_field(mouth.grid.u / half), mouth.grid.v
    top, seam, low, bottom = _mouth_lines(across, person)
    within = ramp(as_field(np.abs(across)), 1.02, 0.97)
    upper = (
        ramp(as_field(v - top), -0.012, 0.014) * ramp(as_field(seam - v), -0.008, 0.006) * within
    )
    lower = (
        ramp(as_field(v - low), -0.008, 0.006) * ramp(as_field(bottom - v), -0.014, 0.02) * within
    )
    skin = to_linear(person.skin_rgb)
    lip = skin * np.array([0.86, 0.5, 0.5], np.float32) + np.array([0.02, 0.0, 0.0], np.float32)
    paint = max(person.makeup - 0.4, 0.0) * 1.1
    lip = lip * (1 - paint) + paint * (skin * 0.3 + 1.0) * to_linear((168, 52, 62))
    soft = 0.8 if person.sex == "woman" else 0.6
    mouth.rgb[:] = mix(mouth.rgb, lip * 0.82, as_field(upper * min(soft + paint, 0.95)))
    mouth.rgb[:] = mix(mouth.rgb, lip, as_field(lower * min(soft + paint, 0.95)))
    roll = 0.035 * np.sin(np.pi * np.clip((v - top) / np.maximum(seam - top, 1e-3), 0, 1)) * upper
    roll += (
        0.055 * np.sin(np.pi * np.clip((v - low) / np.maximum(bottom - low, 1e-3), 0, 1)) * lower
    )
    mouth.depth += blur(as_field(roll), 0.012 * sheet.grid.per_unit)
    mouth.gloss[:] = np.maximum(mouth.gloss, (0.45 + 0.5 * paint) * lower)
    _mouth_inside(mouth, person, across, (seam, low))


def _mouth_inside(mouth: Sheet, person: Person, across: Field, edges: tuple[Field, Field]) -> None:
    """Draws the parting line, the dark of the mouth and the upper teeth."""
    v, (seam, low) = mouth.grid.v, edges
    middle = as_field(0.5 * (seam + low))
    line = np.exp(-(((v - middle) / 0.014) ** 2)) * ramp(as_field(np.abs(across)), 1.05, 0.9)
    dark = to_linear(person.skin_rgb) * np.array([0.2, 0.09, 0.09], np.float32)
    mouth.rgb[:] = mix(mouth.rgb, dark, as_field(0.8 * line))
    dimple = dome(as_field(np.abs(across)), as_field(v - middle), (1.02, 0.0), (0.1, 0.03))
    mouth.rgb[:] = mix(mouth.rgb, dark, as_field(0.5 * dimple))
    if person.pose.gape <= 0:
        return
    cave = ramp(as_field(np.minimum(v - seam, low - v)), -0.004, 0.01)
    cave = as_field(cave * (np.abs(across) < 1.0))
    mouth.rgb[:] = mix(mouth.rgb, to_linear((58, 22, 22)), cave)
    mouth.wet[:] = np.maximum(mouth.wet, cave)
    gap = np.maximum(low - seam, 1e-3)
    reach = 0.86 if person.pose.smile > 0.5 else 0.45
    teeth = ramp(as_field((v - seam) / gap), reach, reach - 0.12) * ramp(
        as_field(np.abs(across)), 0.86, 0.72
    )
    edge = np.abs(np.sin(np.pi * across * 4.3 / (1.0 + 0.22 * np.abs(across))))
    tone = min(1.0, 0.6 + 0.7 * float(to_linear(person.skin_rgb).mean()))
    ivory = to_linear((226, 217, 200)) * tone * as_field(
        (1.0 - 0.5 * np.abs(across) ** 2) * (0.9 + 0.1 * ramp(as_field(edge), 0.0, 0.3))
        * (0.62 + 0.38 * ramp(as_field(v - seam), 0.0, 0.045))
    )[..., None]  # fmt: skip
    mouth.rgb[:] = mix(mouth.rgb, ivory, as_field(cave * teeth))


def _beard_area(grid: Grid, person: Person) -> Field:
    """Returns where the beard grows, 0 to 1, before strands."""
    side, v = as_field(np.abs(grid.u)), grid.v
    bones, kind = person.bones, person.beard
    low = (
        MOUTH_V
        - 0.015
        - 0.065 * person.pose.gape
        - 0.1 * max(person.pose.smile, 0.0) * side**2 / 0.16
    )
    moustache = ramp(as_field(v - 0.69 - 0.3 * side**2), -0.03, 0.03) * ramp(
        as_field(v - low), 0.0, -0.05
    )
    moustache = as_field(moustache * ramp(side, 0.54, 0.42))
    if kind == "moustache":
        return moustache
    gape = 0.1 * person.pose.gape
    rise = 0.09 * max(person.pose.smile, 0.0) * (side / bones.mouth_u) ** 2
    lips = np.hypot(
        side / (bones.mouth_u + 0.02), (v + rise - MOUTH_V - 0.03 - gape) / (0.1 + gape)
    )
    lips = ramp(as_field(lips), 0.92, 1.12)
    if kind == "goatee":
        ring = ramp(as_field(np.hypot(side / 0.42, (v - 1.18) / 0.5)), 1.0, 0.85) * ramp(
            v, 0.86, 0.98
        )
        return as_field(np.maximum(ring, moustache * ramp(side, 0.46, 0.36)) * lips)
    line = along(
        side,
        ((0.0, 1.0), (0.22, 0.92), (0.36, 0.66), (0.6, 0.64), (0.8, 0.46), (0.93, 0.1), (1.2, 0.0)),
    )
    jaw = ramp(as_field(v - line), -0.05, 0.12) * ramp(side, 0.97, 0.9)
    return as_field(np.maximum(jaw, moustache) * np.maximum(lips, moustache))


def _beard(sheet: Sheet, person: Person, rng: np.random.Generator) -> None:
    """Draws beard, moustache or stubble with short strands."""
    if person.beard == "none":
        return
    area = _beard_area(sheet.grid, person)
    rough = soft_noise(rng, sheet.grid.shape, 0.07 * sheet.grid.per_unit)
    fine = soft_noise(rng, sheet.grid.shape, 1.5)
    if person.beard == "stubble":
        share = 0.42 * area * np.clip(0.8 + 0.25 * fine, 0.0, 1.3)
        sheet.rgb = mix(sheet.rgb, brow_colour(person), as_field(np.clip(share, 0.0, 0.6)))
        sheet.gloss *= 1.0 - 0.6 * area
        return
    area = ramp(as_field(area + 0.12 * rough * (area > 0) + 0.06 * fine * (area > 0)), 0.25, 0.75)
    u, v = sheet.grid.u, sheet.grid.v
    turn = np.arctan2(u, v - 0.35 + 0.4 * np.abs(u))
    strand = np.sin(turn * 95.0 + 3.0 * rough + v * 6.0) * 0.5 + 0.8 * fine
    tone = brow_colour(person) * (1.0 + 0.38 * np.clip(strand, -1.6, 2.0))[..., None]
    full = person.beard == "full"
    sheet.rgb = mix(sheet.rgb, as_field(tone), as_field(area * (0.95 if full else 0.82)))
    sheet.depth += area * ((0.06 if full else 0.025) + 0.012 * np.clip(strand, -1, 1))
    sheet.gloss *= 1.0 - 0.8 * area
    sheet.hair = as_field(np.maximum(sheet.hair, 0.5 * area))
    sheet.flow[..., 0] += np.sin(turn) * area
    sheet.flow[..., 1] += np.cos(turn) * area


def draw_features(sheet: Sheet, person: Person, rng: np.random.Generator) -> None:
    """Draws eyes, brows, mouth and beard into the sheet."""
    for side in (-1.0, 1.0):
        _eye(sheet, person, side, rng)
    _mouth(sheet, person)
    _beard(sheet, person, rng)
    _brows(sheet, person, rng)
