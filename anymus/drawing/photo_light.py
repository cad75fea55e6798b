"""From shapes to light: casts sheets into the picture's plane and lights what is there.

Picture space: x to the right, y down, z towards the viewer, in units of half a head's width.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.drawing.photo_fields import Field, as_field, blur, ramp, soft_noise
from anymus.drawing.photo_head import BACK, Sheet

PIVOT = np.array([0.0, 0.9, -0.3])
"""The joint about which a head turns, in head units."""
NOTHING = -3.0
"""Depth where there is nothing."""
MARCH_FROM, MARCH_STEP, MARCH_STEPS, HALVINGS = 1.8, 0.1, 24, 5


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a head is in the picture: its middle and unit in pixels, and its turn."""

    x_px: float
    y_px: float
    unit_px: float
    turn: NDArray[np.float64]
    """(3, 3): head space to picture space."""

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns pixel x, y and depth in units of points (N, 3) in head space."""
        turned = (points - PIVOT) @ self.turn.T + PIVOT
        return np.stack(
            [
                self.x_px + self.unit_px * turned[:, 0],
                self.y_px + self.unit_px * turned[:, 1],
                turned[:, 2],
            ],
            -1,
        )


def turn_matrix(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """Returns the rotation of a head; degrees; yaw to the right, pitch down, roll clockwise."""
    a, b, c = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y, dtype=np.float64)


@dataclass(slots=True)
class Layer:
    """What is seen at each pixel, before light falls on it."""

    depth: Field
    cover: Field
    rgb: Field
    normal: Field
    flow: Field
    """(H, W, 3): direction of hair in picture space; short where there is none."""
    surface: Field
    """(H, W, 3): gloss, hair, wet."""


def empty_layer(rows: int, cols: int) -> Layer:
    """Returns a layer with nothing in it."""

    def blank(*more: int) -> Field:
        return np.zeros((rows, cols, *more), np.float32)

    layer = Layer(blank() + NOTHING, blank(), blank(3), blank(3), blank(3), blank(3))
    layer.normal[..., 2] = 1.0
    return layer


def lay_over(under: Layer, over: Layer, cut: tuple[slice, slice]) -> None:
    """Puts one layer over the part of another that cut names; changes under."""
    share = over.cover[..., None]
    for name in ("rgb", "normal", "flow", "surface"):
        below = getattr(under, name)[cut]
        below += (getattr(over, name) - below) * share
    under.depth[cut] = np.where(over.cover > 0.4, over.depth, under.depth[cut])
    under.cover[cut] += (1.0 - under.cover[cut]) * over.cover


def slopes(depth: Field, per_unit: float) -> tuple[Field, Field]:
    """Returns the depth's slope to the right and down, units per unit."""
    du = cv2.Sobel(depth, cv2.CV_32F, 1, 0, ksize=3, scale=per_unit / 8.0)
    dv = cv2.Sobel(depth, cv2.CV_32F, 0, 1, ksize=3, scale=per_unit / 8.0)
    return as_field(du), as_field(dv)


def normals(du: Field, dv: Field) -> Field:
    """Returns unit normals (H, W, 3) of a surface with these slopes."""
    length = 1.0 / np.sqrt(1.0 + du * du + dv * dv)
    return as_field(np.stack([-du * length, -dv * length, length], -1))


def _rays(
    stand: Stand, cut: tuple[slice, slice]
) -> tuple[tuple[Field, Field, Field], tuple[float, float, float]]:
    """Returns head-space points at depth 0 of every pixel in cut, and the step per depth."""
    x = ((np.arange(cut[1].start, cut[1].stop) + 0.5 - stand.x_px) / stand.unit_px)[None]
    y = ((np.arange(cut[0].start, cut[0].stop) + 0.5 - stand.y_px) / stand.unit_px)[:, None]
    back = stand.turn.T
    rest = PIVOT - back @ PIVOT
    start = [as_field(back[k, 0] * x + back[k, 1] * y + rest[k]) for k in range(3)]
    step = (float(back[0, 2]), float(back[1, 2]), float(back[2, 2]))
    return (start[0], start[1], start[2]), step


def cast_sheet(sheet: Sheet, stand: Stand, cut: tuple[slice, slice]) -> Layer:
    """Returns the sheet as seen in the pixels of cut: the first surface that each ray meets."""
    (u0, v0, w0), (du, dv, dw) = _rays(stand, cut)
    grid = sheet.grid
    k = np.float32(grid.per_unit)
    x0 = (u0 - grid.u[0, 0]) * k
    y0 = (v0 - grid.v[0, 0]) * k
    sx, sy = np.float32(du) * k, np.float32(dv) * k

    def above(z: Field | float) -> Field:
        ground = cv2.remap(
            sheet.depth, as_field(x0 + z * sx), as_field(y0 + z * sy), cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT, borderValue=NOTHING,
        )  # fmt: skip
        return as_field(w0 + z * np.float32(dw) - as_field(ground))

    met = np.full(u0.shape, NOTHING, np.float32)
    for step in range(MARCH_STEPS):
        z = MARCH_FROM - MARCH_STEP * step
        met = np.where((met == NOTHING) & (above(z) < 0), np.float32(z), met)
    low, high = met, met + np.float32(MARCH_STEP)
    for _ in range(HALVINGS):
        middle = (low + high) * np.float32(0.5)
        under = above(middle) < 0
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    at = (as_field(x0 + low * sx), as_field(y0 + low * sy))
    cover = as_field(cv2.remap(sheet.cover, *at, cv2.INTER_LINEAR))
    seen = cover * (met > NOTHING) * (w0 + low * np.float32(dw) > BACK)
    return _read_sheet(sheet, stand, at, as_field(low), seen)


def _spread(normal: Field, cover: Field) -> Field:
    """Returns the normals, smoothed, with those at the rim carried on beyond it."""
    inside = as_field(cover > 0.9)
    near, wide = blur(inside, 0.8), blur(inside, 2.5)
    kept = normal * inside[..., None]
    total = blur(as_field(kept), 0.8) + 0.05 * blur(as_field(kept), 2.5)
    return as_field(total / (near + 0.05 * wide + 1e-4)[..., None])


def _read_sheet(
    sheet: Sheet, stand: Stand, at: tuple[Field, Field], depth: Field, seen: Field
) -> Layer:
    """Returns the layer whose pixels show the sheet at the given texels."""
    slope_u, slope_v = slopes(sheet.depth, sheet.grid.per_unit)
    turn = as_field(stand.turn.T)
    facing = _spread(normals(slope_u, slope_v), sheet.cover) @ turn
    rise = sheet.flow[..., 0] * slope_u + sheet.flow[..., 1] * slope_v
    flow = np.concatenate([sheet.flow, np.clip(rise, -2, 2)[..., None]], -1) @ turn
    surface = np.stack([sheet.gloss, sheet.hair, sheet.wet], -1)

    def read(field: Field) -> Field:
        return as_field(cv2.remap(field, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    cover = ramp(blur(seen, 0.6), 0.15, 0.9)
    return Layer(
        depth,
        as_field(cover),
        read(sheet.rgb),
        read(as_field(facing)),
        read(as_field(flow)),
        read(as_field(surface)),
    )


def cast_skull(
    stand: Stand,
    cut: tuple[slice, slice],
    room: tuple[float, float],
    rgb: Field,
    surface: tuple[float, float],
) -> Layer:
    """Returns the back of the head, an ellipsoid grown by room (sides, top).

    surface is its gloss and its share of hair, 0 to 1.
    """
    (u0, v0, w0), (du, dv, dw) = _rays(stand, cut)
    radii = (0.96 + room[0], 1.12 + 0.9 * room[1], 1.12 + room[0])
    centre = (0.0, -0.5, -0.28)
    a, b, c = (u0 - centre[0]) / radii[0], (v0 - centre[1]) / radii[1], (w0 - centre[2]) / radii[2]
    da, db, dc = du / radii[0], dv / radii[1], dw / radii[2]
    square = da * da + db * db + dc * dc
    half = a * da + b * db + c * dc
    under = half * half - square * (a * a + b * b + c * c - 1.0)
    z = as_field((-half + np.sqrt(np.maximum(under, 0.0))) / square)
    normal = np.stack(
        [(a + z * da) / radii[0], (b + z * db) / radii[1], (c + z * dc) / radii[2]], -1
    )
    normal = normal / np.linalg.norm(normal, axis=-1, keepdims=True) @ as_field(stand.turn.T)
    flow = np.zeros_like(normal) + as_field([0.0, 1.0, 0.0]) @ as_field(stand.turn.T)
    feel = np.zeros_like(normal)
    feel[..., 0], feel[..., 1] = surface
    colour = np.zeros_like(normal) + rgb
    cover = ramp(as_field(under), 0.0, 0.02)
    return Layer(z, cover, as_field(colour), as_field(normal), as_field(flow), as_field(feel))


@dataclass(frozen=True, slots=True)
class Light:
    """One key light, a sky above, a bounce below and a rim light from behind."""

    toward: NDArray[np.float64]
    key: Field
    sky: Field
    ground: Field
    rim: Field
    rim_side: float
    softness: float


def draw_light(rng: np.random.Generator) -> Light:
    """Returns a light drawn by lot: window, studio, sun or cloud."""
    azimuth = np.radians(float(rng.choice([-1.0, 1.0])) * rng.uniform(8.0, 55.0))
    height = np.radians(rng.uniform(14.0, 48.0))
    warm = rng.uniform(-1.0, 1.0)
    tint = np.array([1.0 + 0.1 * warm, 1.0, 1.0 - 0.13 * warm])
    fill = rng.uniform(0.36, 0.66)
    return Light(
        toward=np.array(
            [np.sin(azimuth) * np.cos(height), -np.sin(height), np.cos(azimuth) * np.cos(height)]
        ),
        key=as_field(tint * (1.35 - 0.8 * fill)),
        sky=as_field(fill * np.array([1.0 - 0.06 * warm, 1.0, 1.0 + 0.1 * warm])),
        ground=as_field(fill * rng.uniform(0.35, 0.7) * np.array([1.05, 0.97, 0.9])),
        rim=as_field(rng.uniform(0.0, 0.75) * np.array([1.0, 1.0, 1.0 + 0.1 * rng.normal()])),
        rim_side=float(-np.sign(azimuth)),
        softness=float(rng.uniform(1.5, 5.0)),
    )


def _shadow(depth: Field, light: Light, unit_px: float) -> Field:
    """Returns how much of the key light is kept from each pixel, 0 to 1, by marching to it."""
    small = as_field(cv2.resize(depth, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_LINEAR))
    size = (small.shape[1], small.shape[0])
    hidden = np.zeros_like(small)
    x, y, z = (float(part) for part in light.toward)
    for reach in np.geomspace(0.06, 1.7, 13):
        move = np.array([[1, 0, reach * x * unit_px / 2], [0, 1, reach * y * unit_px / 2]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        there = as_field(
            cv2.warpAffine(small, move, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        )
        rise = there - small - np.float32(reach * z)
        hidden = np.maximum(hidden, ramp(rise, 0.015, 0.06 + 0.12 * float(reach)))
    hidden = blur(hidden, 0.012 * unit_px * light.softness)
    return as_field(cv2.resize(hidden, (depth.shape[1], depth.shape[0])))


def _open_sky(depth: Field, unit_px: float) -> Field:
    """Returns ambient occlusion: 1 in the open, less in hollows."""
    near = np.maximum(depth, -1.2)
    closed = np.zeros_like(near)
    for size, weight in ((0.05, 1.7), (0.2, 0.9)):
        step = max(1, int(size * unit_px / 3))
        small = cv2.resize(near, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
        wide = blur(as_field(small), size * unit_px / step)
        wide = as_field(cv2.resize(wide, (near.shape[1], near.shape[0])))
        closed += weight * np.clip(wide - near, 0.0, 0.35)
    return as_field(cv2.exp(-1.6 * closed))


def _dot(field: Field, vector: NDArray[np.float64]) -> Field:
    return as_field(field @ as_field(vector))


def _bounds(where: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Returns the rows and columns that hold every True pixel; a corner if there is none."""
    rows, cols = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
    if len(rows) == 0:
        return slice(0, 2), slice(0, 2)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)


def _part(layer: Layer, cut: tuple[slice, slice]) -> Layer:
    return Layer(
        layer.depth[cut],
        layer.cover[cut],
        layer.rgb[cut],
        layer.normal[cut],
        layer.flow[cut],
        layer.surface[cut],
    )


def _hair_shine(layer: Layer, light: Light, half: NDArray[np.float64]) -> Field:
    """Returns the two highlights of hair (Kajiya and Kay): one white, one in its colour."""
    length = np.linalg.norm(layer.flow, axis=-1, keepdims=True) + 1e-3
    tone = layer.rgb.mean(-1, keepdims=True)
    jitter = 0.25 * (tone / (blur(as_field(tone[..., 0]), 3.0)[..., None] + 1e-3) - 1.0)
    shine = np.zeros_like(layer.rgb)
    for shift, power, white, gain in ((-0.12, 46.0, 1.0, 0.05), (0.14, 14.0, 0.0, 0.75)):
        strand = layer.flow / length + (shift + jitter) * layer.normal
        strand = strand / np.linalg.norm(strand, axis=-1, keepdims=True)
        cos = _dot(as_field(strand), half)
        band = np.power(np.clip(1.0 - cos * cos, 1e-4, 1.0), power / 2.0)[..., None]
        shine += gain * band * (white + (1.0 - white) * (layer.rgb * 1.2 + 0.01))
    return as_field(shine * light.key)


def illuminate(layer: Layer, light: Light, unit_px: float, rng: np.random.Generator) -> Field:
    """Returns the layer's linear colours (H, W, 3) under the light."""
    view = np.array([0.0, 0.0, 1.0])
    half = light.toward + view
    half = half / np.linalg.norm(half)
    facing = _dot(layer.normal, light.toward)[..., None]
    lit = 1.0 - _shadow(layer.depth, light, unit_px)
    open_sky = _open_sky(layer.depth, unit_px)[..., None]
    gloss, hair, wet = (layer.surface[..., k : k + 1] for k in range(3))
    skin = np.clip(1.0 - hair - wet, 0.0, 1.0)
    wrap = as_field([0.34, 0.2, 0.15]) * skin + 0.3 * hair + 0.5 * wet
    direct = np.clip((facing + wrap) / (1.0 + wrap), 0.0, None) ** 1.15
    red_edge = np.stack([blur(lit, 0.03 * unit_px), lit, lit], -1)
    direct = direct * (0.06 + 0.94 * red_edge)
    up = 0.5 - 0.5 * layer.normal[..., 1:2]
    ambient = (light.sky * up + light.ground * (1.0 - up)) * open_sky
    out = layer.rgb * (direct * light.key + ambient)
    near = np.clip(_dot(layer.normal, half), 0.0, 1.0)[..., None]
    fresnel = 0.35 + 0.65 * (1.0 - layer.normal[..., 2:3]) ** 2
    rough = soft_noise(rng, layer.depth.shape, 1.7)[..., None] * 0.14 + 1.0
    sheen = 0.085 * near**14 + 0.1 * near**48
    out += sheen * gloss * rough * fresnel * 1.5 * lit[..., None] * light.key
    cut = _bounds(hair[..., 0] > 0.02)
    out[cut] += (
        _hair_shine(_part(layer, cut), light, half) * (hair * lit[..., None] * open_sky)[cut]
    )
    edge = np.clip(1.0 - layer.normal[..., 2:3], 0.0, 1.0) ** 2
    edge = edge * ramp(blur(layer.cover, 1.5), 0.8, 1.0)[..., None]
    side = np.clip(
        light.rim_side * layer.normal[..., 0:1] - 0.15 * layer.normal[..., 1:2], 0.0, 1.0
    )
    out += edge * side * light.rim * (0.6 * layer.rgb + 0.05) * (1.0 + hair)
    return as_field(out)
