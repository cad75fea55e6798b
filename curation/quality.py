"""Quality: figures that say how good a face crop is, and the limits that reject one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from anymus.framing import Framing, Matrix, face_box, map_points, outside_share, scale_of
from anymus.images import RgbU8, resize_rgb, to_grey
from anymus.manifest import Domain, Face, Point
from anymus.params import CropParams, QualityLimits

from .lettering import lettering_share

_MEASURE_PX = 128
_SIGNED = ("turn", "roll_deg")
# How far below the eyes and before their plane a nose's point lies, in distances of the pupils. The
# first is the median of frontal portraits (554 by dlib, 140 by YuNet), the second what the eyes'
# nearing to one another says of turned faces (61 by dlib, 236 by YuNet).
_NOSE = {"nose_base": (0.75, 0.38), "nose": (0.57, 0.5)}

FloatBox = tuple[float, float, float, float]


def measure(
    crop_u8: RgbU8,
    matrix: Matrix,
    face: Face,
    domain: Domain,
    framing: Framing,
    picture_size_px: tuple[int, int],
) -> dict[str, float]:
    """Return the figures of a crop, each rounded to four digits.

    Args:
        crop_u8: The crop (size_px, size_px, 3).
        matrix: The affine map (2, 3) that cut it from its picture.
        face: The face, in pixels of its picture.
        domain: Photo or manga.
        framing: What the crop was to be.
        picture_size_px: Width and height of the picture.

    Returns:
        Pixels: sharpness, variance of the Laplacian of the grey crop at 128 px (Pech-Pacheco 2000);
        brightness and contrast, mean and standard deviation of the luma, 0-255; saturation, mean
        of HSV saturation, 0-255 (0 is a grey picture); lettering_share, 0-1 (see lettering.py).
        Framing: upscale, crop pixels per picture pixel; eye_line, height of the eyes, 0 top to 1
        bottom, and eye_share, their distance; face_share, width of the face by its box, and
        head_room, space above its brow by its box (`anymus.framing.face_box`), all over the crop's
        side; outside_share and face_outside_share, parts of the crop and of the face's box beyond
        the picture's edge.
        Pose: roll_deg, head roll that the crop took out; turn, how far the nose lies beside the
        eyes' middle, or, without a nose, the eyes' middle beside the box's, in distances of the
        eyes: 0 is frontal, more is towards the picture's right. yaw_deg and pitch_deg, with a nose
        alone, see `_head_angles`. What needs eyes is left out where a face has none.
    """
    small = resize_rgb(crop_u8, _MEASURE_PX, _MEASURE_PX)
    grey = to_grey(small)
    width_px, height_px = picture_size_px
    box = face_box(face, domain)
    figures = {
        "sharpness": float(cv2.Laplacian(grey, cv2.CV_64F).var()),
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "saturation": _saturation(small),
        "lettering_share": lettering_share(to_grey(crop_u8)) if domain == "manga" else 0.0,
        "upscale": scale_of(matrix),
        "roll_deg": math.degrees(math.atan2(matrix[0, 1], matrix[0, 0])),
        "face_share": box[2] * scale_of(matrix) / framing.size_px,
        "head_room": _head_room(box, matrix) / framing.size_px,
        "outside_share": outside_share(matrix, width_px, height_px, framing.size_px),
        "face_outside_share": _box_outside_share(box, width_px, height_px),
        **_pose(face, matrix, framing),
    }
    return {name: round(value, 4) for name, value in figures.items()}


def find_fault(figures: Mapping[str, float], params: CropParams, domain: Domain) -> str | None:
    """Return the reason why a crop of these figures is rejected, None if it is good.

    A figure that a face does not have (the pose of one without eyes) is no fault; that it has no
    eyes is one where `needs_eyes` says so.
    """
    limit = _first_broken(figures, params, domain)
    return limit.reason if limit is not None else None


def describe_fault(figures: Mapping[str, float], params: CropParams, domain: Domain) -> str:
    """Return which figure of a rejected crop breaks which limit; empty if none does."""
    limit = _first_broken(figures, params, domain)
    if limit is None:
        return ""
    if limit.bound is None:
        return f"both eyes were not found, crop.{limit.key}"
    return f"{limit.figure} {figures[limit.figure]:g}, crop.{limit.key} {limit.bound:g}"


@dataclass(frozen=True, slots=True)
class _Limit:
    """A figure, its bound, whether that is the least or the most, and the reason beyond it.

    Without a bound the figure has to be there; with one it may be missing.
    """

    figure: str
    key: str
    bound: float | None
    reason: str
    is_least: bool = False

    def is_broken(self, value: float | None) -> bool:
        if self.bound is None or value is None:
            return self.bound is None and value is None
        if self.is_least:
            return value < self.bound
        return (abs(value) if self.figure in _SIGNED else value) > self.bound


def _first_broken(
    figures: Mapping[str, float], params: CropParams, domain: Domain
) -> _Limit | None:
    for limit in _limits(params, domain, params.of(domain)):
        if limit.is_broken(figures.get(limit.figure)):
            return limit
    return None


def _limits(params: CropParams, domain: Domain, own: QualityLimits) -> list[_Limit]:
    """Return the limits in the order of judging."""

    def of_domain(figure: str, key: str, bound: float, reason: str) -> _Limit:
        return _Limit(figure, f"{domain}.{key}", bound, reason, is_least=key.startswith("min_"))

    eyes = _Limit("eye_share", f"{domain}.needs_eyes", None, "eyes_hidden")
    return [
        _Limit("upscale", "max_upscale", params.max_upscale, "too_small"),
        _Limit(
            "face_outside_share",
            "max_face_outside_share",
            params.max_face_outside_share,
            "cut_by_edge",
        ),
        _Limit("outside_share", "max_outside_share", params.max_outside_share, "cut_by_edge"),
        of_domain("sharpness", "min_sharpness", own.min_sharpness, "blurred"),
        of_domain("brightness", "min_brightness", own.min_brightness, "too_dark"),
        of_domain("brightness", "max_brightness", own.max_brightness, "too_bright"),
        of_domain("contrast", "min_contrast", own.min_contrast, "flat"),
        of_domain("turn", "max_turn", own.max_turn, "turned"),
        of_domain("roll_deg", "max_roll_deg", own.max_roll_deg, "tilted"),
        of_domain("saturation", "min_saturation", own.min_saturation, "grey"),
        of_domain("saturation", "max_saturation", own.max_saturation, "colour"),
        of_domain("lettering_share", "max_lettering_share", own.max_lettering_share, "lettering"),
        *([eyes] if own.needs_eyes else []),
    ]


def _pose(face: Face, matrix: Matrix, framing: Framing) -> dict[str, float]:
    points = map_points(matrix, face.landmarks)
    if "left_eye" not in points or "right_eye" not in points:
        return {}
    (left_x, left_y), (right_x, right_y) = points["left_eye"], points["right_eye"]
    eyes_px = max(1.0, math.dist((left_x, left_y), (right_x, right_y)))
    eyes = ((left_x + right_x) / 2, (left_y + right_y) / 2)
    figures = {"eye_share": eyes_px / framing.size_px, "eye_line": eyes[1] / framing.size_px}
    for name in _NOSE:
        if name in points:
            return figures | _head_angles(eyes, points[name], eyes_px, name)
    x, y, width, height = face.box
    middle = map_points(matrix, {"middle": (x + width / 2, y + height / 2)})["middle"]
    return figures | {"turn": (eyes[0] - middle[0]) / eyes_px}


def _head_angles(eyes: Point, nose: Point, eyes_px: float, name: str) -> dict[str, float]:
    """Return turn, yaw_deg (more: to the picture's right) and pitch_deg (more: upwards).

    The head is rigid and seen from afar (weak perspective). Yaw is read as if there were no pitch,
    and pitch by its first order: solved exactly, both would follow every long nose (on drawn
    portraits of known pose the exact yaw was 8 degrees off on average, this one 5). Pitch says
    little more than up or down.

    Args:
        eyes: The eyes' middle in the crop, in which their line is level.
        nose: The nose.
        eyes_px: Distance of the eyes.
        name: Which point of the nose that is.
    """
    below, before = _NOSE[name]
    turn, drop = (nose[0] - eyes[0]) / eyes_px, (nose[1] - eyes[1]) / eyes_px
    yaw = math.atan2(turn, before)
    rise = (below - drop * math.cos(yaw)) / before
    pitch = math.asin(min(1.0, max(-1.0, rise)))
    return {"turn": turn, "yaw_deg": math.degrees(yaw), "pitch_deg": math.degrees(pitch)}


def _head_room(box: FloatBox, matrix: Matrix) -> float:
    """Return how many crop pixels lie above the middle of the box's upper side."""
    x, y, width, _ = box
    return float((matrix @ (x + width / 2, y, 1.0))[1])


def _box_outside_share(box: FloatBox, width_px: int, height_px: int) -> float:
    """Return which share (0-1) of a box lies outside a picture of that size."""
    x, y, width, height = box
    inside_x = max(0, min(x + width, width_px) - max(x, 0))
    inside_y = max(0, min(y + height, height_px) - max(y, 0))
    return 1.0 - inside_x * inside_y / (width * height)


def _saturation(rgb_u8: RgbU8) -> float:
    red, green, blue = (rgb_u8[..., channel] for channel in range(3))
    high = np.maximum(np.maximum(red, green), blue)
    low = np.minimum(np.minimum(red, green), blue)
    return float((255.0 * (high - low) / np.maximum(high, 1)).mean())
