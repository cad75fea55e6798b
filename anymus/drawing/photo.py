"""Photo-like pictures drawn by code: portraits, couples and places without people.

A head is a height field over the frontal plane (bones, skin, features, hair), turned in space, seen
through one ray a pixel, lit in linear light with shadows, and put before a backdrop out of focus.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.drawing.photo_body import draw_bust
from anymus.drawing.photo_features import MOUTH_V, draw_features
from anymus.drawing.photo_fields import (
    Field,
    Grid,
    as_field,
    blur,
    soft_noise,
    to_linear,
)
from anymus.drawing.photo_glasses import draw_glasses
from anymus.drawing.photo_hair import back_hair, draw_hair
from anymus.drawing.photo_head import Sheet, bare_head, half_width
from anymus.drawing.photo_light import (
    PIVOT,
    Layer,
    Light,
    Stand,
    cast_sheet,
    cast_skull,
    draw_light,
    empty_layer,
    illuminate,
    lay_over,
    normals,
    slopes,
    turn_matrix,
)
from anymus.drawing.photo_person import Person, draw_lots, tags_of
from anymus.drawing.photo_scene import backdrop, scene
from anymus.drawing.truth import Drawing, FaceTruth

OVERSAMPLING = 1.3
"""Pixels drawn per pixel kept, along one side."""
SHEET_DETAIL = 1.25
"""Texels of a head's sheet per pixel kept."""


def draw_portrait(rng: np.random.Generator, width_px: int = 320, height_px: int = 400) -> Drawing:
    """Returns one person, head and shoulders, before a varied background."""
    unit = min(width_px / 320, height_px / 400) * float(rng.uniform(56.0, 76.0))
    middle = width_px * (0.5 + float(rng.normal(0.0, 0.02)))
    eyes = height_px * 0.5 - unit * float(rng.uniform(0.35, 0.6))
    person = draw_lots(rng)
    return draw_people(rng, (width_px, height_px), [(person, (middle, eyes, unit))])


def draw_couple(rng: np.random.Generator, width_px: int = 480, height_px: int = 360) -> Drawing:
    """Returns two people side by side; faces are in the order left, right."""
    size = min(width_px / 480, height_px / 360)
    sitters = []
    for side in (-1.0, 1.0):
        unit = size * float(rng.uniform(45.0, 53.0))
        middle = width_px * 0.5 + side * size * float(rng.uniform(100.0, 118.0))
        eyes = height_px * 0.5 - unit * float(rng.uniform(0.2, 0.9))
        sitters.append((draw_lots(rng, pose_spread=0.8), (middle, eyes, unit)))
    return draw_people(rng, (width_px, height_px), sitters)


def draw_scene(rng: np.random.Generator, width_px: int = 400, height_px: int = 300) -> Drawing:
    """Returns a photo-like picture without a face."""
    return Drawing(_develop(scene(rng, height_px, width_px), rng), ())


def draw_people(
    rng: np.random.Generator,
    size_px: tuple[int, int],
    sitters: list[tuple[Person, tuple[float, float, float]]],
) -> Drawing:
    """Returns the picture of people, each with the place (x, y) and unit of the head in pixels."""
    k = OVERSAMPLING
    cols, rows = round(size_px[0] * k), round(size_px[1] * k)
    layer, light, faces = empty_layer(rows, cols), draw_light(rng), []
    order = np.argsort([place[2] for _, place in sitters])
    drawn: dict[int, tuple[Sheet, Stand]] = {}
    for index in order:
        person, (x, y, unit) = sitters[int(index)]
        pose = person.pose
        stand = Stand(x * k, y * k, unit * k, turn_matrix(pose.yaw, pose.pitch, pose.roll))
        sheet = _head_sheet(person, stand, rng)
        _place_person(layer, person, sheet, stand, rng)
        drawn[int(index)] = (sheet, stand)
    unit_px = drawn[0][1].unit_px
    lit = illuminate(layer, light, unit_px, rng) * _exposure([person for person, _ in sitters])
    for index, (person, _) in enumerate(sitters):
        _finish_face(lit, person, *drawn[index], light)
        faces.append(_truth(person, *drawn[index], size_px))
    behind = cv2.resize(
        backdrop(rng, rows // 3, cols // 3), (cols, rows), interpolation=cv2.INTER_CUBIC
    )
    cover = layer.cover[..., None]
    picture = lit * cover + blur(as_field(behind), 2.0 * k) * (1.0 - cover)
    small = cv2.resize(as_field(picture), size_px, interpolation=cv2.INTER_AREA)
    return Drawing(_develop(as_field(small), rng), tuple(faces))


def _head_sheet(person: Person, stand: Stand, rng: np.random.Generator) -> Sheet:
    sheet = bare_head(person, stand.unit_px * SHEET_DETAIL / OVERSAMPLING, rng)
    draw_features(sheet, person, rng)
    draw_hair(sheet, person, rng)
    return sheet


def _exposure(people: list[Person]) -> float:
    """Returns the exposure that a camera would choose: dark skin gets more, but not all of it."""
    tone = float(np.mean([to_linear(person.skin_rgb).mean() for person in people]))
    return float(1.02 * (0.36 / tone) ** 0.3)


def _place_person(
    layer: Layer, person: Person, sheet: Sheet, stand: Stand, rng: np.random.Generator
) -> None:
    """Puts back hair, bust, skull and head of one person into the layer."""
    rows, cols = layer.depth.shape
    low = (slice(max(0, int(stand.y_px - 0.3 * stand.unit_px)), rows), slice(0, cols))
    _place_bust(layer, person, stand, low, rng)
    reach = 3.0 * stand.unit_px
    cut = (
        slice(max(0, int(stand.y_px - reach)), min(rows, int(stand.y_px + reach))),
        slice(max(0, int(stand.x_px - 0.8 * reach)), min(cols, int(stand.x_px + 0.8 * reach))),
    )
    lay_over(layer, _skull(person, stand, cut), cut)
    lay_over(layer, cast_sheet(sheet, stand, cut), cut)


def _place_bust(
    layer: Layer,
    person: Person,
    stand: Stand,
    cut: tuple[slice, slice],
    rng: np.random.Generator,
) -> None:
    """Puts back hair, neck and clothes into the rows of cut; drawn coarser, for they are soft."""
    rows, cols = cut[0].stop - cut[0].start, cut[1].stop
    grid = _picture_grid(stand, cut)
    size = (cols, rows)

    def grown(field: Field) -> Field:
        return as_field(cv2.resize(field, size, interpolation=cv2.INTER_LINEAR))

    hair = back_hair(_tilted(grid, person), person, rng)
    if hair is not None:
        flat = _flat(grid, hair[0], hair[1], 0.9)
        lay_over(layer, Layer(*(grown(getattr(flat, name)) for name in flat.__slots__)), cut)
    bust = draw_bust(grid, person, rng)
    facing = normals(*slopes(bust.depth, grid.per_unit))
    feel = np.zeros((rows, cols, 3), np.float32)
    feel[..., 0] = grown(bust.gloss)
    still = np.zeros((rows, cols, 3), np.float32)
    dressed = Layer(
        grown(bust.depth), grown(bust.cover), grown(bust.rgb), grown(facing), still, feel
    )
    lay_over(layer, dressed, cut)


def _picture_grid(stand: Stand, cut: tuple[slice, slice]) -> Grid:
    """Returns the grid, in units from the head's middle, of the pixels that are kept of cut."""
    rows = round((cut[0].stop - cut[0].start) / OVERSAMPLING)
    cols = round((cut[1].stop - cut[1].start) / OVERSAMPLING)
    unit = stand.unit_px / OVERSAMPLING
    u = as_field(
        (np.arange(cols) + 0.5 + cut[1].start / OVERSAMPLING) / unit - stand.x_px / stand.unit_px
    )
    v = as_field(
        (np.arange(rows) + 0.5 + cut[0].start / OVERSAMPLING) / unit - stand.y_px / stand.unit_px
    )
    return Grid(
        as_field(np.repeat(u[None], rows, 0)), as_field(np.repeat(v[:, None], cols, 1)), unit
    )


def _tilted(grid: Grid, person: Person) -> Grid:
    """Returns the picture's grid as the back of a turned head sees it."""
    roll, yaw = np.radians([person.pose.roll, person.pose.yaw])
    u = grid.u + (grid.v - PIVOT[1]) * np.float32(np.sin(roll)) + np.float32(0.25 * np.sin(yaw))
    return Grid(as_field(u), grid.v, grid.per_unit)


def _flat(grid: Grid, cover: Field, rgb: Field, hair: float) -> Layer:
    """Returns a layer of hair that hangs behind the neck."""
    layer = empty_layer(*grid.shape)
    layer.cover, layer.rgb = cover, rgb
    layer.depth[:] = -0.9
    layer.normal[..., 0] = np.clip(0.5 * grid.u, -0.8, 0.8)
    layer.flow[..., 1] = 1.0
    layer.surface[..., 1] = hair
    return layer


def _skull(person: Person, stand: Stand, cut: tuple[slice, slice]) -> Layer:
    style = person.style
    if style.cloth:
        return cast_skull(
            stand, cut, (style.side, style.top), to_linear(person.accent_rgb), (0.0, 0.0)
        )
    if style.density == 0:
        return cast_skull(stand, cut, (0.0, 0.0), to_linear(person.skin_rgb), (0.3, 0.0))
    room = (style.side * 0.8, style.top * 0.8)
    scalp = to_linear(person.skin_rgb) * (1.0 - style.density)
    rgb = as_field(to_linear(person.hair_rgb) * 0.8 * style.density + scalp)
    return cast_skull(stand, cut, room, rgb, (0.0, 0.8 * style.density))


def _depth_at(sheet: Sheet, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns points (N, 2) on the sheet with their depth, (N, 3)."""
    at = np.round(sheet.grid.pixels(points)).astype(int)
    rows, cols = sheet.grid.shape
    z = sheet.depth[np.clip(at[:, 1], 0, rows - 1), np.clip(at[:, 0], 0, cols - 1)]
    return np.concatenate([points, z[:, None].astype(np.float64)], -1)


def _finish_face(lit: Field, person: Person, sheet: Sheet, stand: Stand, light: Light) -> None:
    """Adds catch-lights and glasses to the lit picture."""
    bones, pose = person.bones, person.pose
    gaze = (pose.gaze_u * 0.09, -0.012 + pose.gaze_v * 0.05)
    eyes = np.array([[s * bones.eye_u + gaze[0], gaze[1]] for s in (-1.0, 1.0)])
    spots = stand.project(_depth_at(sheet, eyes))
    radius = 0.02 * stand.unit_px
    for x, y, _ in spots:
        cx = x + stand.unit_px * 0.045 * float(light.toward[0])
        cy = y + stand.unit_px * 0.05 * float(light.toward[1])
        _glow(lit, (cx, cy), radius, 0.9)
        _glow(lit, (2 * x - cx, 2 * y - cy + 0.01 * stand.unit_px), radius * 1.4, 0.06)
    if person.glasses != "none":
        draw_glasses(lit, person, stand, light)


def _glow(lit: Field, at: tuple[float, float], radius: float, gain: float) -> None:
    reach = int(4 * radius) + 2
    rows = slice(max(0, int(at[1]) - reach), max(0, int(at[1]) + reach))
    cols = slice(max(0, int(at[0]) - reach), max(0, int(at[0]) + reach))
    part = lit[rows, cols]
    y, x = np.indices(part.shape[:2], dtype=np.float32)
    square = (x + cols.start + 0.5 - at[0]) ** 2 + (y + rows.start + 0.5 - at[1]) ** 2
    part += gain * np.exp(-((square / radius**2) ** 1.5))[..., None]


def _truth(person: Person, sheet: Sheet, stand: Stand, size_px: tuple[int, int]) -> FaceTruth:
    """Returns box, landmarks and tags of a face in the pixels of the finished picture."""
    bones, pose = person.bones, person.pose
    half = bones.mouth_u + 0.075 * max(pose.smile, 0.0)
    corner_v = MOUTH_V - 0.09 * pose.smile
    marks = np.array(
        [
            [-bones.eye_u, 0.0],
            [bones.eye_u, 0.0],
            [0.0, bones.nose_v - 0.08],
            [-half, corner_v],
            [half, corner_v],
        ]
    )
    seen = stand.project(_depth_at(sheet, marks))[:, :2] / OVERSAMPLING
    names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    v = np.linspace(-0.95, bones.chin_v, 40)
    width = half_width(as_field(v), bones).astype(np.float64)
    rim = [np.stack([s * width, v, np.full_like(v, d)], -1) for s in (-1.0, 1.0) for d in (0.15,)]
    front = _depth_at(sheet, np.stack([np.zeros_like(v), v], -1))
    front[:, 2] -= 0.1
    sides = [s * np.stack([0.8 * width, s * v, s * 0.62 * front[:, 2]], -1) for s in (-1.0, 1.0)]
    outline = stand.project(np.concatenate([*rim, front, *sides]))[:, :2] / OVERSAMPLING
    low = np.clip(np.floor(outline.min(0)), 0, [size_px[0] - 1, size_px[1] - 1])
    high = np.clip(np.ceil(outline.max(0)), 1, size_px)
    box = (int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))
    landmarks = {name: (float(x), float(y)) for name, (x, y) in zip(names, seen, strict=True)}
    return FaceTruth(box, landmarks, tags_of(person))


def _develop(linear: Field, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Returns the finished photograph: lens, vignette, film curve, tint, noise; (H, W, 3)."""
    rows, cols = linear.shape[:2]
    out = blur(linear, float(rng.uniform(0.25, 0.6)))
    x = (np.arange(cols, dtype=np.float32) / cols - 0.5)[None]
    y = (np.arange(rows, dtype=np.float32) / rows - 0.5)[:, None]
    out = out * (1.0 - float(rng.uniform(0.1, 0.75)) * (x * x + y * y))[..., None]
    out = out * as_field(1.0 + rng.normal(0.0, 0.025, 3)) * float(rng.uniform(0.94, 1.1))
    soft = np.where(out < 0.6, out, 0.6 + 0.4 * (1.0 - np.exp(-(out - 0.6) / 0.4)))
    tone = np.clip(soft, 0.0, 1.0) ** (1.0 / 2.2)
    curve = float(rng.uniform(0.0, 0.35))
    tone = tone + curve * (tone * tone * (3.0 - 2.0 * tone) - tone)
    mode = rng.random()
    if mode < 0.11:
        grey = tone @ as_field([0.3, 0.59, 0.11])
        tint = as_field([1.05, 0.97, 0.83] if mode < 0.04 else [1.0, 1.0, 1.0])
        tone = grey[..., None] * tint
    noise = soft_noise(rng, (rows, cols), 1.4)[..., None] * 0.6
    noise = noise + 0.6 * rng.standard_normal((rows, cols, 3), dtype=np.float32)
    tone = tone + float(rng.uniform(0.004, 0.014)) * noise * (1.2 - tone)
    return np.asarray(np.clip(np.round(tone * 255.0), 0, 255), dtype=np.uint8)
