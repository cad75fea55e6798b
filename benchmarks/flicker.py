"""How much a film's result flickers: faces followed and smoothed, against every frame by itself.

    python benchmarks/flicker.py -g models/generator_a2b.safetensors
    python benchmarks/flicker.py -g ... --photo portrait.jpg --photo other.jpg

Films whose true motion is known, with the noise of a camera (standard deviation 5 of 255):
`drawn`: a drawn person who moves and turns the head, every film another; `shake`: one who nods
three times a second, to see whether the smoothing lags; `photo`: a portrait (drawn, or those of
--photo) seen by a camera that pans, zooms and rolls.

Figures, median over the films and half their range; each is a mean over the frames of a film.
`tremble`: how much the crop's corners move against the face from a frame to the next, and `away`:
how far they are from where they belong, both in percent of the crop's side and as root mean
squares, a constant offset of a film taken out. `flicker`: mean difference of the translated face in
consecutive frames, in levels of 255, the known motion undone (`photo` only), less what the same
difference is in the film itself.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from anymus.drawing.photo import draw_people, draw_portrait
from anymus.drawing.photo_person import draw_lots
from anymus.framing import Framing, Matrix, crop_transform, cut
from anymus.images import RgbU8, fit_rgb, read_rgb
from anymus.manifest import Face
from inference.faces import FaceFinder
from inference.tracks import Look, change_between, follow_faces, thumbnail
from inference.translator import Translator

NOISE = 5.0
FPS = 25.0
SIZE_PX = (320, 240)


@dataclass(frozen=True)
class Film:
    """Frames; for each the crop where the face is; for each the map to a resting picture."""

    frames: list[RgbU8]
    truth: list[Matrix]
    to_rest: list[Matrix] | None


def add_noise(rgb_u8: RgbU8, rng: np.random.Generator) -> RgbU8:
    return np.clip(rgb_u8 + rng.normal(0, NOISE, rgb_u8.shape), 0, 255).astype(np.uint8)


def drawn(seed: int, count: int, framing: Framing, nod_px: float = 0.0) -> Film:
    rng = np.random.default_rng([seed, 1])
    person = draw_lots(np.random.default_rng([seed, 0]), pose_spread=0.5)
    sway, turn = rng.uniform(0.2, 0.5), rng.uniform(0.2, 0.5)
    frames, truth = [], []
    for index in range(count):
        time_s = index / FPS
        yaw = person.pose.yaw + 9 * np.sin(2 * np.pi * turn * time_s)
        roll = person.pose.roll + 4 * np.sin(2 * np.pi * sway * time_s)
        x = SIZE_PX[0] * (0.5 + 0.12 * np.sin(2 * np.pi * sway * time_s))
        y = 110 + nod_px * np.sin(2 * np.pi * 3 * time_s)
        sitter = replace(person, pose=replace(person.pose, yaw=yaw, roll=roll))
        drawing = draw_people(np.random.default_rng([seed, 2]), SIZE_PX, [(sitter, (x, y, 40.0))])
        frames.append(add_noise(drawing.rgb_u8, rng))
        eyes = {name: drawing.faces[0].landmarks[name] for name in ("left_eye", "right_eye")}
        face = Face(box=drawing.faces[0].box, score=1.0, landmarks=eyes)
        truth.append(crop_transform(face, "photo", framing))
    return Film(frames, truth, None)


def photo(seed: int, count: int, framing: Framing, picture: RgbU8, find: FaceFinder) -> Film:
    rng = np.random.default_rng([seed, 3])
    height_px, width_px = picture.shape[:2]
    face = find.find(picture)[0]
    rest = crop_transform(face, "photo", framing)
    speeds = rng.uniform(0.15, 0.4, 4)
    frames, truth, to_rest = [], [], []
    for index in range(count):
        wave = np.sin(2 * np.pi * speeds * index / FPS)
        scale, angle = 0.7 * (1 + 0.15 * wave[0]), np.radians(4 * wave[1])
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        centre = np.array([width_px * (0.5 + 0.06 * wave[2]), height_px * (0.5 + 0.06 * wave[3])])
        turn = np.array([[cos, sin], [-sin, cos]])
        move = np.column_stack([turn, np.array([width_px, height_px]) * 0.35 - turn @ centre])
        size = (round(width_px * 0.7), round(height_px * 0.7))
        seen = cv2.warpAffine(picture, move, size, flags=cv2.INTER_CUBIC, borderMode=2)
        frames.append(add_noise(seen, rng))
        back = cv2.invertAffineTransform(move)
        to_rest.append(back)
        truth.append(chain(rest, back))
    return Film(frames, truth, to_rest)


def chain(second: Matrix, first: Matrix) -> Matrix:
    """Return the affine map that does the first and then the second."""
    return second[:, :2] @ first + np.column_stack([np.zeros((2, 2)), second[:, 2]])


def frame_by_frame(looks: list[Look], framing: Framing) -> list[Matrix | None]:
    return [
        crop_transform(look.faces[0], "photo", framing) if look.faces else None for look in looks
    ]


def followed(looks: list[Look], framing: Framing) -> list[Matrix | None]:
    times_s = [look.pts / FPS for look in looks]
    tracks = follow_faces(looks, times_s, "photo", framing)
    best = max(tracks, key=lambda track: track.weight)
    at = {best.first + index: matrix for index, matrix in enumerate(best.matrices)}
    return [at.get(index) for index in range(len(looks))]


def look_at(frames: Sequence[RgbU8], finder: FaceFinder) -> list[Look]:
    looks, before = [], None
    for index, frame in enumerate(frames):
        thumb = thumbnail(frame)
        looks.append(Look(index, change_between(before, thumb), finder.find(frame)))
        before = thumb
    return looks


def steadiness(
    matrices: list[Matrix | None], truth: list[Matrix], size_px: int
) -> tuple[float, float]:
    """Return tremble and away, in percent of the crop's side."""
    corners = np.array([(u, v, 1.0) for u in (0, size_px) for v in (0, size_px)])
    offsets = {}
    for index, matrix in enumerate(matrices):
        if matrix is not None:
            in_frame = corners @ cv2.invertAffineTransform(matrix).T
            seen = np.column_stack([in_frame, np.ones(4)]) @ truth[index].T
            offsets[index] = seen - corners[:, :2]
    steps = [offsets[i] - offsets[i - 1] for i in offsets if i - 1 in offsets]
    away = np.array(list(offsets.values()))
    away -= away.mean(axis=0)
    return rms(np.array(steps)) / size_px * 100, rms(away) / size_px * 100


def rms(offsets: NDArray[np.float64]) -> float:
    return float(np.sqrt((offsets**2).sum(axis=-1).mean()))


def flicker(
    film: Film, matrices: list[Matrix | None], translate: Callable[[RgbU8], RgbU8], size_px: int
) -> float:
    """Return how much more the translated face changes than the film does, in levels."""
    assert film.to_rest is not None
    rest = chain(film.truth[0], cv2.invertAffineTransform(film.to_rest[0]))  # resting to crop
    inner = slice(size_px // 5, -(size_px // 5))
    shown: dict[int, tuple[RgbU8, RgbU8]] = {}
    for index, matrix in enumerate(matrices):
        if matrix is None:
            continue
        crop = cut(film.frames[index], matrix, size_px)
        # From this frame's crop back to the frame, to the resting picture, to the resting crop.
        to_frame = cv2.invertAffineTransform(matrix)
        still = chain(rest, chain(film.to_rest[index], to_frame))
        shown[index] = tuple(
            cv2.warpAffine(each, still, (size_px, size_px), flags=cv2.INTER_CUBIC, borderMode=2)[
                inner, inner
            ]
            for each in (translate(crop), crop)
        )
    pairs = [(shown[i], shown[i - 1]) for i in shown if i - 1 in shown]
    changes = [
        [float(np.abs(now.astype(float) - was).mean()) for now, was in zip(*pair, strict=True)]
        for pair in pairs
    ]
    return float(np.mean([out - own for out, own in changes]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("-g", "--weights", type=Path, required=True)
    parser.add_argument("--films", type=int, default=4)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--photo", type=Path, action="append", default=[])
    arguments = parser.parse_args()
    translator = Translator.load(arguments.weights, "cpu")
    framing, finder = translator.framing, FaceFinder("photo")
    count = arguments.frames
    pictures = [fit_rgb(read_rgb(path), 480) for path in arguments.photo] or [
        draw_portrait(np.random.default_rng([seed, 4]), 480, 480).rgb_u8
        for seed in range(arguments.films)
    ]
    seeds = range(arguments.films)
    makers: dict[str, list[Callable[[], Film]]] = {
        "drawn": [lambda s=s: drawn(s, count, framing) for s in seeds],
        "shake": [lambda s=s: drawn(s, count, framing, nod_px=12) for s in seeds],
        "photo": [
            lambda s=s, p=p: photo(s, count, framing, p, finder) for s, p in enumerate(pictures)
        ],
    }
    print(f"{'films':>6}  {'crops':14}  {'tremble %':>13}  {'away %':>13}  {'flicker':>13}")
    for kind, films in makers.items():
        figures: dict[str, list[list[float]]] = {"frame by frame": [], "followed": []}
        for make in films:
            film = make()
            looks = look_at(film.frames, finder)
            for name, crops in (
                ("frame by frame", frame_by_frame(looks, framing)),
                ("followed", followed(looks, framing)),
            ):
                row = [*steadiness(crops, film.truth, framing.size_px)]
                if film.to_rest is not None:
                    row.append(flicker(film, crops, translator, framing.size_px))
                figures[name].append(row)
        for name, rows in figures.items():
            cells = [
                f"{statistics.median(v):6.2f} ± {(max(v) - min(v)) / 2:4.2f}"
                for v in zip(*rows, strict=True)
            ]
            print(f"{kind:>6}  {name:14}  " + "  ".join(f"{cell:>13}" for cell in cells))


if __name__ == "__main__":
    main()
