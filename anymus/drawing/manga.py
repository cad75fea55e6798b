"""Manga people: one drawn character, head and shoulders, with exact box and landmarks."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.drawing.manga_backdrop import draw_backdrop
from anymus.drawing.manga_body import body_frame, draw_body
from anymus.drawing.manga_eyes import draw_brows, draw_eyes, draw_glasses, eye_centre
from anymus.drawing.manga_hair import draw_back_hair, draw_front_hair, draw_headwear
from anymus.drawing.manga_head import (
    chin_point,
    draw_age_lines,
    draw_beard,
    draw_ears,
    draw_marks,
    draw_neck,
    draw_nose,
    draw_side_shadow,
    draw_skull,
    ear_x,
    face_contour,
    place,
)
from anymus.drawing.manga_ink import (
    BLACK,
    SUPERSAMPLING,
    WHITE,
    Colour,
    Frame,
    Paint,
    Pen,
    curve,
    shape,
    stroke,
)
from anymus.drawing.manga_mouth import draw_mouth, mouth_corners
from anymus.drawing.manga_person import Person, draw_person
from anymus.drawing.truth import Drawing, FaceTruth

_BOX_HEIGHT = 1.95
"""Height of a face box in figure units: from the chin up to the middle of the forehead."""


def draw_bust(
    rng: np.random.Generator,
    width_px: int = 320,
    height_px: int = 400,
    *,
    is_colour: bool | None = None,
) -> Drawing:
    """A manga character, head and shoulders, and the truth about the face.

    Args:
        rng: where every trait, pose and line comes from; the same state gives the same bytes.
        width_px: width of the picture.
        height_px: height of the picture.
        is_colour: flat anime colours (True) or ink and screentone (False); drawn when None.
    """
    has_colour = bool(rng.random() < 0.45) if is_colour is None else is_colour
    screen = draw_screen(rng)
    person = draw_person(rng, is_colour=has_colour)
    canvas = np.full((height_px * SUPERSAMPLING, width_px * SUPERSAMPLING, 3), 255, np.uint8)
    side = min(width_px, height_px * 0.8) * SUPERSAMPLING
    unit = side * rng.uniform(0.21, 0.29)
    middle = (
        canvas.shape[1] * rng.uniform(0.45, 0.55) - 0.12 * unit * np.sin(person.pose.yaw_rad),
        max(canvas.shape[0] * rng.uniform(0.4, 0.48), 1.75 * unit),
    )
    pen = Pen(
        canvas,
        _frame(person, middle, unit),
        line_px=float(unit * rng.uniform(0.018, 0.031)),
        ink=ink_colour(rng, person),
        tone_period_px=float(rng.uniform(8.0, 15.0)),
        screen=screen,
    )
    draw_backdrop(pen, rng, is_colour=has_colour)
    truth = paint_person(pen, person, rng)
    return Drawing(
        reduce_canvas(canvas, is_grey=not has_colour), (scale_truth(truth, 1 / SUPERSAMPLING),)
    )


def draw_screen(rng: np.random.Generator) -> str:
    """How a picture's tones are laid: mostly dots, often grey, now and then lines."""
    return str(rng.choice(["dots", "grey", "lines"], p=[0.55, 0.3, 0.15]))


def ink_colour(rng: np.random.Generator, person: Person) -> Colour:
    """Black, or now and then the dark brown that coloured pictures are inked with."""
    return (74, 42, 40) if person.is_colour and rng.random() < 0.5 else BLACK


def reduce_canvas(canvas: NDArray[np.uint8], *, is_grey: bool) -> NDArray[np.uint8]:
    """The finished picture of a canvas, each pixel the mean of those it covers.

    With `is_grey` the three channels are made equal.
    """
    height, width = canvas.shape[0] // SUPERSAMPLING, canvas.shape[1] // SUPERSAMPLING
    small = np.asarray(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return np.repeat(small[:, :, 1:2], 3, axis=2) if is_grey else small


def _frame(person: Person, middle_px: tuple[float, float], unit_px: float) -> Frame:
    return Frame(middle_px, unit_px, person.pose.roll_rad, person.pose.is_mirrored)


def paint_person(
    pen: Pen,
    person: Person,
    rng: np.random.Generator,
    *,
    has_side_shadow: bool | None = None,
    gaze: tuple[float, float] | None = None,
) -> FaceTruth:
    """Draws a person from the back to the front; returns the face in canvas pixels.

    What is None is drawn by chance: whether a side lies in shadow, and where the eyes look (x, y;
    from -1 to 1).
    """
    body = pen.at(body_frame(pen.frame))
    draw_back_hair(pen, person, rng)
    draw_neck(body, person)
    draw_body(body, person, rng)
    draw_skull(pen, person)
    draw_ears(pen, person)
    is_shaded = rng.random() < 0.4
    if is_shaded if has_side_shadow is None else has_side_shadow:
        draw_side_shadow(pen, person)
    draw_marks(pen, person)
    draw_age_lines(pen, person)
    draw_mouth(pen, person)
    draw_beard(pen, person)
    draw_nose(pen, person)
    by_chance = (float(rng.uniform(-0.6, 0.9)), float(rng.uniform(-0.4, 0.4)))
    gaze = gaze or by_chance
    is_through = rng.random() < 0.5
    if not is_through:
        draw_eyes(pen, person, gaze)
        draw_brows(pen, person)
    draw_front_hair(pen, person, rng)
    if is_through:
        draw_eyes(pen, person, gaze)
        draw_brows(pen, person)
    draw_glasses(pen, person)
    draw_headwear(pen, person)
    _draw_moisture(pen, person)
    return face_truth(pen.frame, person)


def _draw_moisture(pen: Pen, person: Person) -> None:
    """Sweat drop, tears and the cross of anger."""
    water = Paint((226, 244, 255)) if person.is_colour else Paint(WHITE)
    if "sweat" in person.marks:
        drop = np.array([(0.0, -0.2), (0.09, 0.03), (0.0, 0.12), (-0.09, 0.03)])
        shape(pen, curve(place(person, drop + np.array((-0.78, -0.3)), 0.1), True), water, 0.9)
    if "tears" in person.marks:
        low = 0.65 * person.size.eye_half[1]
        for side in (-1.0, 1.0):
            x = side * (person.size.eye_x + 0.06)
            track = [(x - 0.05, low), (x + 0.05, low), (x + 0.07, low + 0.4), (x - 0.05, low + 0.4)]
            shape(pen, curve(place(person, track), True), water, 0.8)
    if "vein" in person.marks:
        x, y = -0.55, -0.85
        for dx, dy in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
            bend = [(x + dx * 0.16, y + dy * 0.05), (x + dx * 0.06, y + dy * 0.06),
                    (x + dx * 0.05, y + dy * 0.16)]  # fmt: skip
            stroke(pen, place(person, bend, 0.25), 1.7, taper=(0.1, 0.1))


def face_truth(frame: Frame, person: Person) -> FaceTruth:
    """Box and landmarks of a person's face in the pixels of the frame's canvas."""
    near, far = ear_x(person)
    contour = face_contour(person)
    left, right = max(near, float(contour[:, 0].min())), max(far, float(contour[:, 0].max()))
    bottom = chin_point(person)[1]
    half_w, half_h = (right - left) / 2 * frame.unit_px, _BOX_HEIGHT / 2 * frame.unit_px
    half_w = max(half_w, 0.86 * half_h)
    cx, cy = frame.to_px([((left + right) / 2, bottom - _BOX_HEIGHT / 2)])[0]
    eyes = [eye_centre(person, -1.0), eye_centre(person, 1.0)]
    mouth = list(mouth_corners(person))
    if frame.is_mirrored:
        eyes.reverse()
        mouth.reverse()
    nose = place(person, [(0.0, person.size.nose_y)], 0.2)[0]
    names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    spots = frame.to_px(np.array([*eyes, nose, *mouth]))
    return FaceTruth(
        box=(round(cx - half_w), round(cy - half_h), round(2 * half_w), round(2 * half_h)),
        landmarks={name: (float(x), float(y)) for name, (x, y) in zip(names, spots, strict=True)},
        tags=person.tags(),
    )


def scale_truth(truth: FaceTruth, factor: float) -> FaceTruth:
    """The same face on a picture that is `factor` times as large."""
    x, y, w, h = (round(v * factor) for v in truth.box)
    marks = {k: (px * factor, py * factor) for k, (px, py) in truth.landmarks.items()}
    return replace(truth, box=(x, y, w, h), landmarks=marks)
