"""Spectacles, drawn over the lit picture where the turned head carries them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.drawing.photo_fields import Field, as_field, blur, fixed, to_linear
from anymus.drawing.photo_light import Light, Stand
from anymus.drawing.photo_person import Person


def _rim(person: Person, side: float) -> NDArray[np.float64]:
    """Returns the outline of one lens in head space, (N, 3)."""
    t = np.linspace(0.0, 2.0 * np.pi, 48)
    power = {"round": 1.0, "square": 0.55, "thin": 0.75}[person.glasses]
    wide, tall = {"round": (0.33, 0.3), "square": (0.36, 0.25), "thin": (0.35, 0.21)}[
        person.glasses
    ]
    x = np.sign(np.cos(t)) * np.abs(np.cos(t)) ** power
    y = np.sign(np.sin(t)) * np.abs(np.sin(t)) ** power
    u = side * person.bones.eye_u * 1.0 + wide * x
    z = 1.16 - 0.22 * u * u
    return np.stack([u, 0.05 + tall * y * (1.0 - 0.06 * y), z], -1)


def _wires(person: Person) -> list[NDArray[np.float64]]:
    """Returns both rims, the bridge and the temples that can be seen, in head space."""
    lines = [_rim(person, side) for side in (-1.0, 1.0)]
    bridge = np.array(
        [[-0.14, 0.0, 1.17], [-0.07, -0.05, 1.24], [0.07, -0.05, 1.24], [0.14, 0.0, 1.17]]
    )
    wires = [*lines, bridge]
    end = 0.55 if person.style.end_v > 0.3 or person.style.name == "hijab" else -0.05
    for side in (-1.0, 1.0):
        if side * person.pose.yaw <= 5.0:
            temple = [
                [side * 0.8, -0.03, 1.0],
                [side * 0.97, -0.02, 0.75],
                [side * 1.05, -0.02, end],
            ]
            wires.append(np.array(temple))
    return wires


def draw_glasses(lit: Field, person: Person, stand: Stand, light: Light) -> None:
    """Draws rims, bridge, temples, their shadow and a glare into the lit picture."""
    wires = _wires(person)
    width = {"round": 0.035, "square": 0.05, "thin": 0.022}[person.glasses] * stand.unit_px
    rim = np.zeros(lit.shape[:2], np.uint8)
    paths = [fixed(stand.project(wire)[:, :2]) for wire in wires]
    cv2.polylines(rim, paths, False, 255, max(1, round(width)), cv2.LINE_AA, 4)
    glass = np.zeros(lit.shape[:2], np.uint8)
    cv2.fillPoly(glass, paths[:2], 255, cv2.LINE_AA, 4)
    move = -0.1 * stand.unit_px * light.toward[:2]
    shift = np.array([[1.0, 0.0, move[0]], [0.0, 1.0, move[1]]])
    size = (lit.shape[1], lit.shape[0])
    shadow = blur(as_field(cv2.warpAffine(rim, shift, size)) / 255.0, 0.03 * stand.unit_px)
    lit *= 1.0 - 0.3 * shadow[..., None]
    lens = as_field(glass)[..., None] / 255.0
    lit *= 1.0 - 0.06 * lens
    _glare(lit, lens, stand, light)
    share = as_field(rim)[..., None] / 255.0
    frame = to_linear((30, 26, 26) if person.glasses != "thin" else (150, 140, 124))
    sheen = 0.6 + 0.8 * np.clip(
        as_field(cv2.Sobel(blur(as_field(rim) / 255.0, 1.0), cv2.CV_32F, 0, 1)), 0, 1
    )
    lit += (frame * sheen[..., None] + 0.02 * sheen[..., None] - lit) * share * 0.94


def _glare(lit: Field, lens: Field, stand: Stand, light: Light) -> None:
    """Adds the pale slanting reflection of a window to the lenses."""
    rows, cols = np.indices(lit.shape[:2], dtype=np.float32)
    lean = (cols - stand.x_px) * float(np.sign(light.toward[0])) + 0.8 * (rows - stand.y_px)
    phase = lean / stand.unit_px
    band = np.exp(-(((phase - 0.62) / 0.1) ** 2)) + np.exp(-(((phase + 0.22) / 0.07) ** 2))
    lit += 0.07 * band[..., None] * lens
