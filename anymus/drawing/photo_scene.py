"""Places without people: backdrops for portraits, and photo-like scenes of their own."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.drawing.photo_fields import Field, as_field, blur, mix, ramp, soft_noise, to_linear

Rng = np.random.Generator


def _canvas(height: int, width: int) -> tuple[Field, Field]:
    """Returns x and y over the picture, both 0 to 1."""
    x = np.linspace(0.0, 1.0, width, dtype=np.float32)[None].repeat(height, 0)
    y = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None].repeat(width, 1)
    return as_field(x), as_field(y)


def _tone(rng: Rng, low: float, high: float, colour: float) -> Field:
    """Returns a random linear colour between two lightnesses; colour 0 is grey, 1 vivid."""
    grey = rng.uniform(low, high)
    return as_field(to_linear(np.clip(grey * (1.0 + colour * rng.uniform(-0.5, 0.5, 3)), 4, 250)))


def _between(top: Field, bottom: Field, t: Field) -> Field:
    return as_field(top + (bottom - top) * t[..., None])


def _studio(rng: Rng, height: int, width: int) -> Field:
    """A mottled or plain backdrop with a lit spot."""
    x, y = _canvas(height, width)
    middle = _tone(rng, 90, 225, 0.35)
    spot = np.exp(
        -(((x - rng.uniform(0.2, 0.8)) / 0.55) ** 2 + ((y - rng.uniform(0.2, 0.6)) / 0.6) ** 2)
    )
    cloth = 1.0 + rng.uniform(0.0, 0.16) * soft_noise(rng, (height, width), width / 6)
    return as_field(middle * ((0.45 + 0.65 * spot) * cloth)[..., None])


def _wall(rng: Rng, height: int, width: int) -> Field:
    """A wall: plain with a shadow, of boards or of bricks."""
    x, y = _canvas(height, width)
    out = _between(
        _tone(rng, 120, 230, 0.25), _tone(rng, 90, 200, 0.25), as_field(0.6 * x + 0.2 * y)
    )
    kind = rng.integers(3)
    if kind == 1:
        boards = np.abs(np.sin(x * np.pi * rng.integers(5, 10)))
        out = out * (0.8 + 0.2 * ramp(as_field(boards), 0.0, 0.12))[..., None]
    if kind == 2:
        rows = y * 18.0
        shift = 0.5 * (np.floor(rows) % 2)
        joint = np.minimum(
            np.abs(np.sin(np.pi * rows)), 1.6 * np.abs(np.sin(np.pi * (x * 8 + shift)))
        )
        out = out * (0.65 + 0.35 * ramp(as_field(joint), 0.05, 0.25))[..., None]
    return blur(as_field(out), width / 160)


def _discs(rng: Rng, base: Field, count: int, bright: tuple[float, float]) -> Field:
    """Returns base with out-of-focus lights over it."""
    height, width = base.shape[:2]
    out = base.copy()
    for _ in range(count):
        spot = np.zeros((height, width), np.uint8)
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        cv2.circle(spot, centre, int(width * rng.uniform(0.02, 0.075)), 255, -1, cv2.LINE_AA)
        light = to_linear(np.clip(rng.uniform(120, 255, 3), 0, 255)) * rng.uniform(*bright)
        out += blur(as_field(spot), width / 200)[..., None] / 255.0 * light
    return as_field(out)


def _bokeh(rng: Rng, height: int, width: int) -> Field:
    _, y = _canvas(height, width)
    base = _between(_tone(rng, 25, 70, 0.6), _tone(rng, 20, 90, 0.6), y)
    return _discs(rng, base, int(rng.integers(14, 30)), (0.1, 0.45))


def _foliage(rng: Rng, height: int, width: int) -> Field:
    """Leaves far out of focus, with sky between them."""
    _, y = _canvas(height, width)
    green = _between(to_linear((128, 150, 88)), to_linear((62, 84, 46)), y)
    coarse = soft_noise(rng, (height, width), width / 7)
    patch = ramp(as_field(coarse + soft_noise(rng, (height, width), width / 22)), -1.5, 2.6)
    out = mix(as_field(green * rng.uniform(0.7, 1.3)), to_linear((40, 60, 34)), patch)
    out = mix(
        out,
        to_linear((196, 206, 150)),
        as_field(0.5 * ramp(soft_noise(rng, (height, width), width / 18), 0.6, 3.0)),
    )
    return blur(_discs(rng, out, int(rng.integers(3, 12)), (0.05, 0.2)), width / 60)


def _room(rng: Rng, height: int, width: int) -> Field:
    """A room out of focus: a wall, a window or shelves, a lamp."""
    x, y = _canvas(height, width)
    out = _between(_tone(rng, 120, 210, 0.2), _tone(rng, 70, 150, 0.2), as_field(0.7 * y + 0.2 * x))
    for _ in range(int(rng.integers(4, 12))):
        left, top = rng.uniform(-0.1, 0.95), rng.uniform(-0.1, 0.8)
        wide, tall = rng.uniform(0.04, 0.25), rng.uniform(0.06, 0.4)
        box = (x > left) & (x < left + wide) & (y > top) & (y < top + tall)
        out = mix(out, _tone(rng, 40, 210, 0.6), as_field(0.85 * box))
    if rng.random() < 0.6:
        left, top = rng.uniform(-0.1, 0.7), rng.uniform(-0.1, 0.15)
        pane = (x > left) & (x < left + 0.36) & (y > top) & (y < top + 0.6)
        cross = (np.abs(x - left - 0.18) < 0.012) | (np.abs(y - top - 0.3) < 0.012)
        out = mix(out, to_linear((236, 240, 246)), as_field(pane & ~cross))
    return blur(out, width / rng.uniform(22, 45))


def _street(rng: Rng, height: int, width: int) -> Field:
    """House fronts and sky, far out of focus."""
    return blur(_houses(rng, height, width), width / rng.uniform(28, 50))


def _open_air(rng: Rng, height: int, width: int) -> Field:
    """Hills or the sea, far out of focus."""
    kind = _hills if rng.random() < 0.6 else _sea
    return blur(kind(rng, height, width), width / rng.uniform(35, 70))


def _sky(rng: Rng, height: int, width: int) -> Field:
    _, y = _canvas(height, width)
    pairs = (
        ((86, 134, 196), (206, 220, 232)),
        ((150, 166, 184), (222, 222, 220)),
        ((110, 120, 152), (232, 190, 156)),
    )
    top, low = pairs[int(rng.choice(3, p=[0.55, 0.25, 0.2]))]
    out = _between(to_linear(top), to_linear(low), ramp(y, 0.0, 0.7))
    cloud = soft_noise(rng, (height, width), width / 4) + 0.5 * soft_noise(
        rng, (height, width), width / 11
    )
    cloud += 0.25 * soft_noise(rng, (height, width), width / 30)
    return mix(out, to_linear((244, 243, 240)), as_field(0.65 * ramp(as_field(cloud), 0.2, 2.4)))


def _ridge(rng: Rng, width: int, level: float, rough: float) -> NDArray[np.float64]:
    """Returns the height, 0 (top) to 1, of a line of hills at every column."""
    x = np.linspace(0.0, 1.0, width)
    line = np.full(width, level)
    for k in range(1, 7):
        line += rough / k**1.2 * np.sin(2 * np.pi * (k * x * rng.uniform(0.6, 1.2) + rng.uniform()))
    return line


def _hills(rng: Rng, height: int, width: int) -> Field:
    _, y = _canvas(height, width)
    out = _sky(rng, height, width)
    count = int(rng.integers(2, 5))
    haze = to_linear((176, 190, 204))
    for k in range(count):
        t = (k + 1) / count
        line = _ridge(rng, width, 0.4 + 0.32 * t, 0.07)
        land = to_linear((86, 108, 58)) * rng.uniform(0.5, 1.2) * t + haze * (1.0 - t)
        grain = 1.0 + (0.1 + 0.2 * t) * soft_noise(rng, (height, width), 2.0 + 5.0 * t)
        out = mix(
            out,
            as_field(land * grain[..., None]),
            as_field(ramp(as_field(y - line), -0.002, 0.004)),
        )
    return out


def _sea(rng: Rng, height: int, width: int) -> Field:
    _, y = _canvas(height, width)
    out = _sky(rng, height, width)
    level = rng.uniform(0.4, 0.62)
    waves = cv2.resize(soft_noise(rng, (height, width // 8), 3.0), (width, height))
    water = _between(to_linear((98, 134, 156)), to_linear((30, 66, 84)), ramp(y, level, 1.0))
    water = as_field(water * (1.0 + 0.22 * as_field(waves) * ramp(y, level, 1.0))[..., None])
    out = mix(out, water, ramp(y, level, level + 0.006))
    if rng.random() < 0.5:
        sand = _ridge(rng, width, rng.uniform(0.82, 0.92), 0.02)
        grain = (
            to_linear((206, 184, 146))
            * (1.0 + 0.06 * soft_noise(rng, (height, width), 1.5))[..., None]
        )
        out = mix(out, as_field(grain), ramp(as_field(y - sand), 0.0, 0.02))
    return out


def _house(rng: Rng, out: Field, x: Field, y: Field, left: float) -> tuple[Field, float]:
    """Returns the picture with one house at left, and where the house ends."""
    wide, top, base = rng.uniform(0.16, 0.3), rng.uniform(0.25, 0.5), 0.86
    front = (x > left) & (x < left + wide) & (y > top) & (y < base)
    out = mix(out, _tone(rng, 120, 225, 0.3), as_field(front))
    slope = rng.uniform(0.3, 0.9)
    roof = (y > top - slope * (wide / 2 + 0.02 - np.abs(x - left - wide / 2))) & (y <= top)
    roof &= np.abs(x - left - wide / 2) < wide / 2 + 0.02
    out = mix(out, to_linear((140, 74, 56)) * rng.uniform(0.4, 1.1), as_field(roof))
    columns, rows = int(rng.integers(2, 5)), int(rng.integers(2, 5))
    glass = _tone(rng, 40, 90, 0.3)
    for i in range(columns):
        for j in range(rows):
            at = left + wide * (i + 0.5) / columns, top + (base - top) * (j + 0.5) / rows
            pane = (np.abs(x - at[0]) < 0.28 * wide / columns) & (
                np.abs(y - at[1]) < 0.3 * (base - top) / rows
            )
            out = mix(out, glass * rng.uniform(0.6, 1.6), as_field(pane))
    return out, left + wide


def _houses(rng: Rng, height: int, width: int) -> Field:
    x, y = _canvas(height, width)
    out = _sky(rng, height, width)
    left = float(rng.uniform(-0.15, 0.0))
    while left < 1.0:
        out, left = _house(rng, out, x, y, left)
        left += float(rng.choice([0.0, 0.0, 0.06]))
    ground = (
        _tone(rng, 70, 130, 0.1) * (1.0 + 0.08 * soft_noise(rng, (height, width), 2.0))[..., None]
    )
    out = mix(out, as_field(ground), ramp(y, 0.86, 0.865))
    return as_field(out * (0.75 + 0.35 * x)[..., None])


def _ball(out: Field, x: Field, y: Field, at: tuple[float, float, float], rgb: Field) -> Field:
    """Returns the picture with a shaded ball at (x, y) of the given radius and its shadow."""
    dx, dy = (x - at[0]) / at[2], (y - at[1]) / at[2]
    shadow = np.exp(-(((dx - 0.7) / 1.3) ** 2 + ((dy - 0.95) / 0.32) ** 2))
    out = as_field(out * (1.0 - 0.6 * shadow)[..., None])
    inside = dx * dx + dy * dy
    z = np.sqrt(np.clip(1.0 - inside, 0.0, 1.0))
    light = np.clip(-0.5 * dx - 0.6 * dy + 0.62 * z, 0.0, 1.0)
    shine = np.clip(-0.28 * dx - 0.34 * dy + 0.9 * z, 0.0, 1.0) ** 40
    colour = rgb * (0.12 + 1.0 * light)[..., None] + 0.3 * shine[..., None]
    return mix(out, as_field(colour), ramp(as_field(inside), 1.0, 0.97))


def _still_life(rng: Rng, height: int, width: int) -> Field:
    """Fruit on a table before a wall."""
    x, y = _canvas(height, width)
    y = as_field(y * height / width)
    tall = height / width
    out = _studio(rng, height, width)
    grain = soft_noise(rng, (height, width // 10), 2.0)
    wood = to_linear((148, 102, 66)) * rng.uniform(0.5, 1.3)
    wood = wood * (1.0 + 0.12 * as_field(cv2.resize(grain, (width, height))))[..., None]
    out = mix(out, as_field(wood), ramp(y, 0.58 * tall, 0.585 * tall))
    fruit = ((186, 42, 36), (226, 148, 44), (150, 172, 60), (122, 44, 84), (236, 200, 76))
    places = np.sort(rng.uniform(0.5, 0.8, int(rng.integers(2, 6)))) * tall
    for low in places:
        at = (float(rng.uniform(0.12, 0.88)), float(low), float(rng.uniform(0.06, 0.12)))
        out = _ball(out, x, y, at, to_linear(fruit[int(rng.integers(len(fruit)))]))
    return out


def _meadow(rng: Rng, height: int, width: int) -> Field:
    """Grass with flowers, nearer blades longer."""
    _, y = _canvas(height, width)
    out = _between(to_linear((128, 152, 82)), to_linear((52, 84, 34)), y)
    out = mix(_sky(rng, height, width), out, ramp(y, 0.3, 0.34))
    for _ in range(900):
        at = rng.uniform(0.3, 1.05)
        foot = (rng.uniform(0, width), at * height)
        tip = (foot[0] + rng.normal(0, 5), foot[1] - height * 0.12 * (at - 0.25))
        green = to_linear((110, 140, 60)) * rng.uniform(0.3, 1.6)
        cv2.line(out, tuple(map(int, foot)), tuple(map(int, tip)), green.tolist(), 1, cv2.LINE_AA)
    for _ in range(int(rng.integers(15, 60))):
        at = rng.uniform(0.4, 1.0)
        spot = (int(rng.uniform(0, width)), int(at * height))
        petal = to_linear(rng.uniform(120, 250, 3))
        cv2.circle(out, spot, int(1 + 5 * (at - 0.3)), petal.tolist(), -1, cv2.LINE_AA)
    return out


BACKDROPS: tuple[tuple[Callable[[Rng, int, int], Field], float], ...] = (
    (_studio, 0.34), (_wall, 0.12), (_bokeh, 0.1), (_foliage, 0.14), (_room, 0.14), (_street, 0.08),
    (_open_air, 0.08),
)  # fmt: skip
SCENES: tuple[Callable[[Rng, int, int], Field], ...] = (
    _hills, _sea, _houses, _still_life, _meadow, _bokeh, _room, _foliage, _wall,
)  # fmt: skip


def backdrop(rng: Rng, height: int, width: int) -> Field:
    """Returns what stands behind a portrait, (H, W, 3) linear, out of focus."""
    shares = np.array([share for _, share in BACKDROPS])
    draw = BACKDROPS[int(rng.choice(len(BACKDROPS), p=shares / shares.sum()))][0]
    return draw(rng, height, width)


def scene(rng: Rng, height: int, width: int) -> Field:
    """Returns a scene without people, (H, W, 3) linear, in focus."""
    draw = SCENES[int(rng.integers(len(SCENES)))]
    return blur(draw(rng, height, width), width / 700)
