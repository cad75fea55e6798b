"""Black-and-white manga pages: panels, people, balloons, and panels without any face."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.drawing.manga import draw_screen, paint_person, reduce_canvas, scale_truth
from anymus.drawing.manga_backdrop import draw_backdrop
from anymus.drawing.manga_ink import SUPERSAMPLING, Frame, Pen
from anymus.drawing.manga_person import Person, Pose, draw_person
from anymus.drawing.manga_scenery import SCENES, draw_balloon, draw_scenery, draw_sound
from anymus.drawing.truth import Drawing, FaceTruth

Rng = np.random.Generator
Corners = NDArray[np.int32]

_MIN_SEEN = 0.72
"""Share of a face's box that must be seen for the face to be drawn where it is."""


def draw_page(rng: Rng, width_px: int = 640, height_px: int = 900) -> Drawing:
    """A black-and-white manga page of 3 to 7 panels, and the truth about its faces.

    Boxes are cut to what their panel shows. Faces whose greater part would be cut away or
    covered are not drawn, so that every face on the page is in the truth.

    Args:
        rng: where everything comes from; the same state gives the same bytes.
        width_px: width of the page.
        height_px: height of the page.
    """
    size = (width_px * SUPERSAMPLING, height_px * SUPERSAMPLING)
    canvas = np.full((size[1], size[0], 3), 255, np.uint8)
    pen = Pen(
        canvas,
        Frame((0.0, 0.0), 1.0),
        line_px=float(rng.uniform(5.0, 8.0)),
        tone_period_px=float(rng.uniform(7.5, 13.0)),
        screen=draw_screen(rng),
    )
    faces: list[FaceTruth] = []
    for corners in draw_layout(rng, size):
        faces += _draw_panel(pen, rng, corners)
    whole = tuple(scale_truth(face, 1 / SUPERSAMPLING) for face in faces)
    return Drawing(
        reduce_canvas(canvas, is_grey=True),
        tuple(_clip(face, width_px, height_px) for face in whole),
    )


def draw_layout(rng: Rng, size: tuple[int, int]) -> list[Corners]:
    """3 to 7 panels, each the four corners (4, 2) in canvas pixels, in reading order."""
    width, height = size
    margin, gutter = 0.045 * width, rng.uniform(0.012, 0.026) * width
    while True:
        rows = [int(n) for n in rng.integers(1, 4, int(rng.integers(2, 5)))]
        if 3 <= sum(rows) <= 7:
            break
    shares = rng.uniform(0.7, 1.5, len(rows))
    cuts = margin + np.concatenate([[0], np.cumsum(shares)]) / shares.sum() * (height - 2 * margin)
    slants = np.where(rng.random(len(rows) + 1) < 0.3, rng.uniform(-0.03, 0.03, len(rows) + 1), 0.0)
    slants[[0, -1]] = 0.0
    panels: list[Corners] = []
    for row, count in enumerate(rows):
        top = (cuts[row] + gutter / 2, slants[row] * height)
        low = (cuts[row + 1] - gutter / 2, slants[row + 1] * height)
        panels += _split_row(rng, (width, margin, gutter), (top, low), count)
    return panels


def _split_row(
    rng: Rng,
    across: tuple[float, float, float],
    edges: tuple[tuple[float, float], tuple[float, float]],
    count: int,
) -> list[Corners]:
    width, margin, gutter = across
    shares = rng.uniform(0.7, 1.4, count)
    cuts = margin + np.concatenate([[0], np.cumsum(shares)]) / shares.sum() * (width - 2 * margin)
    slants = np.where(rng.random(count + 1) < 0.4, rng.uniform(-0.06, 0.06, count + 1) * width, 0.0)
    slants[[0, -1]] = 0.0
    (top, top_slant), (low, low_slant) = edges

    def corner(x: float, y: float, slant: float) -> tuple[float, float]:
        return x, y + slant * (x / width - 0.5)

    panels = []
    for i in range(count - 1, -1, -1):
        left, right = cuts[i] + gutter / 2 * (i > 0), cuts[i + 1] - gutter / 2 * (i < count - 1)
        quad = [
            corner(left + slants[i], top, top_slant),
            corner(right + slants[i + 1], top, top_slant),
            corner(right - slants[i + 1], low, low_slant),
            corner(left - slants[i], low, low_slant),
        ]
        panels.append(np.rint(quad).astype(np.int32))
    return panels


def _draw_panel(page: Pen, rng: Rng, corners: Corners) -> list[FaceTruth]:
    """Draws one panel on the page; returns its faces in page canvas pixels."""
    left, top = corners.min(axis=0)
    right, bottom = corners.max(axis=0)
    view = np.full((bottom - top, right - left, 3), 255, np.uint8)
    mask = np.zeros(view.shape[:2], np.uint8)
    cv2.fillPoly(mask, [corners - corners.min(axis=0)], 1)
    pen = replace(page, canvas=view)
    faces = _draw_content(pen, rng, mask)
    _draw_balloons(pen, rng, faces)
    target = page.canvas[top:bottom, left:right]
    np.copyto(target, view, where=(mask > 0)[:, :, None])
    cv2.polylines(page.canvas, [corners], True, page.ink, round(1.3 * page.line_px))
    return [_moved(face, (int(left), int(top)), mask) for face in faces]


def _draw_content(pen: Pen, rng: Rng, mask: NDArray[np.uint8]) -> list[FaceTruth]:
    kind = rng.random()
    if kind < 0.2:
        SCENES[int(rng.integers(len(SCENES)))](pen, rng)
        if rng.random() < 0.4:
            draw_sound(pen, rng)
        return []
    if kind < 0.42:
        draw_scenery(pen, rng)
    else:
        draw_backdrop(pen, rng, is_colour=False)
    if rng.random() < 0.25:
        draw_sound(pen, rng)
    return _draw_people(pen, rng, mask)


def _draw_people(pen: Pen, rng: Rng, mask: NDArray[np.uint8]) -> list[FaceTruth]:
    height, width = mask.shape
    wanted = int(rng.choice([1, 1, 1, 2, 2, 3]))
    largest = 0.36 * min(height, width * 1.2) / (1 + 0.3 * (wanted - 1))
    units = np.sort(np.clip(largest * rng.uniform(0.5, 1.25, wanted), 76, 620))
    faces: list[FaceTruth] = []
    slots = rng.permutation(wanted)
    for slot, unit in zip(slots, units, strict=True):
        person = draw_person(rng, is_colour=False, roll_limit=24.0)
        middle = ((slot + rng.uniform(0.3, 0.7)) / wanted * width, height * rng.uniform(0.3, 0.72))
        face = _draw_one(pen, rng, (person, middle, float(unit)), (mask, faces))
        if face is not None:
            faces.append(face)
    return faces


def _draw_one(
    pen: Pen,
    rng: Rng,
    who: tuple[Person, tuple[float, float], float],
    placed: tuple[NDArray[np.uint8], list[FaceTruth]],
) -> FaceTruth | None:
    """Draws a person unless the panel would cut the face or an earlier face be covered."""
    person, middle, unit = who
    mask, others = placed
    probe = (
        round(middle[0] - unit),
        round(middle[1] - 0.75 * unit),
        round(2 * unit),
        round(1.95 * unit),
    )
    reach = (probe[0] - round(0.5 * unit), probe[1] - round(unit), round(3 * unit), round(6 * unit))
    if _seen(probe, mask) < _MIN_SEEN or any(_overlap(reach, o.box) > 0.12 for o in others):
        return None
    pose: Pose = person.pose
    frame = Frame(middle, unit, pose.roll_rad, pose.is_mirrored)
    line = np.clip(unit * rng.uniform(0.024, 0.034), 3.4, 9.0)
    return paint_person(replace(pen, frame=frame, line_px=float(line)), person, rng)


def _draw_balloons(pen: Pen, rng: Rng, faces: list[FaceTruth]) -> None:
    height, width = pen.canvas.shape[:2]
    for _ in range(int(rng.integers(0, 4))):
        tall = rng.uniform(0.16, 0.3) * height
        wide = min(tall * rng.uniform(0.55, 1.0), 0.3 * width)
        x, y = rng.uniform(0.05, 0.95) * width, rng.uniform(0.05, 0.9) * height
        box = (round(x - wide), round(y - tall), round(2 * wide), round(2 * tall))
        if all(_overlap(box, face.box) < 0.06 for face in faces):
            draw_balloon(pen, rng, (x, y), (wide, tall))


def _overlap(cover: tuple[int, int, int, int], box: tuple[int, int, int, int]) -> float:
    """The share of `box` that lies under `cover`."""
    w = min(cover[0] + cover[2], box[0] + box[2]) - max(cover[0], box[0])
    h = min(cover[1] + cover[3], box[1] + box[3]) - max(cover[1], box[1])
    return max(w, 0) * max(h, 0) / (box[2] * box[3])


def _seen(box: tuple[int, int, int, int], mask: NDArray[np.uint8]) -> float:
    """The share of a box where the panel's mask is set."""
    x, y, w, h = box
    part = mask[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)]
    return float(part.sum()) / (w * h)


def _moved(face: FaceTruth, offset: tuple[int, int], mask: NDArray[np.uint8]) -> FaceTruth:
    """The face in page pixels, with its box cut to the panel's bounds."""
    height, width = mask.shape
    cut = _clip(face, width, height)
    x, y, w, h = cut.box
    dx, dy = offset
    marks = {name: (px + dx, py + dy) for name, (px, py) in face.landmarks.items()}
    tags = face.tags | {"seen": f"{_seen(face.box, mask):.2f}"}
    return FaceTruth((x + dx, y + dy, w, h), marks, tags)


def _clip(face: FaceTruth, width: int, height: int) -> FaceTruth:
    x, y, w, h = face.box
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + w, width), min(y + h, height)
    return replace(face, box=(left, top, right - left, bottom - top))
