"""Tracks: the faces of a film followed from frame to frame, and their framing smoothed over time.

A detector that looks at each frame alone gives a crop that trembles, and a translation that
flickers. All frames are looked at before any is translated, so the smoothing sees what comes as
well as what was: it does not lag.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anymus.framing import Framing, Matrix, crop_transform, scale_of
from anymus.images import RgbU8, resize_rgb
from anymus.manifest import Domain, Face

Series = NDArray[np.float64]

_THUMB_PX = (32, 18)
_CUT_CHANGE = 0.08  # mean change of a thumbnail, 0-1
_SURE_CUT_CHANGE = 0.15
_CUT_RATIO = 3.0  # over the usual change of the frames around
_CUT_REACH = 4
_MAX_GAP_S = 0.5
_MIN_TRACK_S = 0.2
_MAX_STEP = 0.75  # face widths between two sightings
_MAX_ZOOM = 0.5  # of the logarithm of the size between two sightings
_NARROW_S, _WIDE_S = 0.07, 0.2
_TOLERANCE = 0.02  # of a face's width
_SLIP = 0.05


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of one frame.

    Attributes:
        pts: When it is shown, in ticks.
        change: Mean difference of its thumbnail to that of the frame before, 0-1.
        faces: Its faces, largest first.
    """

    pts: int
    change: float
    faces: tuple[Face, ...]


@dataclass(slots=True)
class Track:
    """One face through the frames of a scene.

    Attributes:
        first: The frame that it begins in.
        matrices: The affine map (2, 3) from picture to crop pixels, one a frame, without gaps.
        weight: Sum over the frames of the face's width in pixels: how much it is in the picture.
    """

    first: int
    matrices: list[Matrix]
    weight: float


@dataclass(slots=True)
class _Sightings:
    frames: list[int]
    poses: list[Series]  # (4,): x and y of the framing's anchor, log of the scale, angle


def follow_faces(
    looks: Sequence[Look], times_s: Sequence[float], domain: Domain, framing: Framing
) -> list[Track]:
    """Return the tracks of a film's faces, smoothed.

    A face is the one of the frame before when its eyes' middle moved less than three quarters of
    its width and its size changed less than by the factor 1.65. Gaps up to half a second are
    bridged. What is seen for less than a fifth of a second in a longer scene is dropped as a false
    alarm. A cut ends all tracks.

    Args:
        looks: What was seen of each frame, in order.
        times_s: When each is shown, in seconds, rising.
        domain: What the film shows, photo or manga.
        framing: How a face lies in its crop.
    """
    tracks = []
    for start, stop in scenes_of([look.change for look in looks]):
        length_s = times_s[stop - 1] - times_s[start]
        for sightings in _match(looks, times_s, (start, stop), (domain, framing)):
            seen_s = times_s[sightings.frames[-1]] - times_s[sightings.frames[0]]
            if seen_s >= _MIN_TRACK_S or length_s < 2 * _MIN_TRACK_S:
                tracks.append(_smooth_track(sightings, times_s, framing))
    return tracks


def scenes_of(changes: Sequence[float]) -> list[tuple[int, int]]:
    """Return the scenes between cuts, each as its first frame and the one after its last.

    A cut is a frame that differs from the one before by more than 15 % of the range, or by more
    than 8 % and three times as much as the frames around it do: a pan or a shaking camera is none.
    """
    starts = [0]
    for index in range(1, len(changes)):
        around = [
            changes[i]
            for i in range(index - _CUT_REACH, index + _CUT_REACH + 1)
            if 0 < i < len(changes) and i != index
        ]
        usual = float(np.median(around)) if around else 0.0
        if changes[index] > min(_SURE_CUT_CHANGE, max(_CUT_CHANGE, _CUT_RATIO * usual)):
            starts.append(index)
    return list(zip(starts, [*starts[1:], len(changes)], strict=True)) if changes else []


def thumbnail(rgb_u8: RgbU8) -> RgbU8:
    """Return a tiny copy of a frame, (18, 32, 3), by which cuts are seen."""
    step = max(1, min(rgb_u8.shape[0] // 72, rgb_u8.shape[1] // 128))
    return resize_rgb(np.ascontiguousarray(rgb_u8[::step, ::step]), *_THUMB_PX)


def change_between(before: RgbU8 | None, after: RgbU8) -> float:
    """Return the mean difference of two thumbnails, 0-1; 0 for the first frame of a film."""
    if before is None:
        return 0.0
    return round(float(np.abs(before.astype(np.int16) - after).mean()) / 255, 5)


def smooth_poses(times_s: Series, poses: Series, width: Series) -> Series:
    """Return poses (n, 4) smoothed over time without lag, never far from where they were measured.

    Two parabolas are fitted around every moment, to what is near (about four frames) and to what is
    within a fifth of a second. Where both agree to within the detector's noise the wide one is
    taken, where they part because the face moves, the near one: the result departs from the near
    fit by at most 1 % of the face's width (half of `_TOLERANCE`). A single frame that lies more
    than 5 % off its neighbours is a slip of the detector and counts as the median of the three.

    Args:
        times_s: When, (n,), rising.
        poses: x, y in pixels, log of the scale, angle in radians.
        width: Of the face in pixels, (n,).
    """
    if len(poses) < 3:
        return poses
    shares = np.stack([1 / width, 1 / width, np.ones_like(width), np.ones_like(width)], axis=1)
    steady = _without_slips(poses, shares)
    narrow = _fit_parabolas(times_s, steady, _NARROW_S)
    wide = _fit_parabolas(times_s, steady, _WIDE_S)
    distance = np.abs((wide - narrow) * shares).max(axis=1, keepdims=True)  # (n, 1)
    trust = _TOLERANCE**2 / (_TOLERANCE**2 + distance**2)
    return np.asarray(narrow + trust * (wide - narrow), np.float64)


def _match(
    looks: Sequence[Look],
    times_s: Sequence[float],
    scene: tuple[int, int],
    how: tuple[Domain, Framing],
) -> list[_Sightings]:
    """Return who was seen where in a scene, nearest faces first."""
    domain, framing = how
    done: list[_Sightings] = []
    active: list[_Sightings] = []
    for index in range(*scene):
        ended = [s for s in active if times_s[index] - times_s[s.frames[-1]] > _MAX_GAP_S]
        done += ended
        active = [sightings for sightings in active if sightings not in ended]
        poses = [
            pose_of(crop_transform(face, domain, framing), framing) for face in looks[index].faces
        ]
        pairs = sorted(
            (distance, old, new)
            for old, sightings in enumerate(active)
            for new, pose in enumerate(poses)
            if (distance := _distance(sightings.poses[-1], pose, framing)) < _MAX_STEP
        )
        taken_old: set[int] = set()
        taken_new: set[int] = set()
        for _, old, new in pairs:
            if old not in taken_old and new not in taken_new:
                active[old].frames.append(index)
                active[old].poses.append(_unwrapped(poses[new], active[old].poses[-1]))
                taken_old.add(old)
                taken_new.add(new)
        active += [
            _Sightings([index], [pose]) for new, pose in enumerate(poses) if new not in taken_new
        ]
    return done + active


def _distance(before: Series, after: Series, framing: Framing) -> float:
    """Return how far a face moved, in its widths; infinite if its size says that it is another."""
    if abs(before[2] - after[2]) > _MAX_ZOOM:
        return math.inf
    width_px = framing.face_share * framing.size_px / math.exp((before[2] + after[2]) / 2)
    return math.dist(before[:2], after[:2]) / width_px


def _unwrapped(pose: Series, before: Series) -> Series:
    """Return the pose with its angle within half a turn of the one before."""
    turns = np.round((before[3] - pose[3]) / (2 * np.pi))
    return np.asarray(pose + np.array([0, 0, 0, 2 * np.pi * turns]), np.float64)


def _smooth_track(sightings: _Sightings, times_s: Sequence[float], framing: Framing) -> Track:
    first, last = sightings.frames[0], sightings.frames[-1]
    times = np.asarray(times_s[first : last + 1], np.float64)
    seen_at = np.asarray([times_s[index] for index in sightings.frames], np.float64)
    seen = np.stack(sightings.poses)
    poses = np.stack([np.interp(times, seen_at, seen[:, i]) for i in range(4)], axis=1)  # (n, 4)
    width = framing.face_share * framing.size_px / np.exp(poses[:, 2])
    smooth = smooth_poses(times, poses, width)
    matrices = [matrix_of(pose, framing) for pose in smooth]
    return Track(first, matrices, float(width.sum()))


def pose_of(matrix: Matrix, framing: Framing) -> Series:
    """Return a crop's pose (4,): its anchor in the picture, log of its scale, its angle.

    The anchor is what lies on the framing's eye line at half the width. The crop is turned and
    scaled about it, so that its noise is that of the eyes, not of a far corner.
    """
    x, y = np.linalg.solve(matrix[:, :2], _anchor(framing) - matrix[:, 2])
    return np.array([x, y, math.log(scale_of(matrix)), math.atan2(matrix[0, 1], matrix[0, 0])])


def matrix_of(pose: Series, framing: Framing) -> Matrix:
    """Return the affine map (2, 3) of a pose, see `pose_of`."""
    scale = math.exp(pose[2])
    cos, sin = scale * math.cos(pose[3]), scale * math.sin(pose[3])
    turn = np.array([[cos, sin], [-sin, cos]])
    return np.column_stack([turn, _anchor(framing) - turn @ pose[:2]])


def _anchor(framing: Framing) -> Series:
    return np.array([framing.size_px / 2, framing.eye_line * framing.size_px])


def _without_slips(poses: Series, shares: Series) -> Series:
    """Return the poses (n, 4) with single outliers replaced; `shares` measures them in widths."""
    neighbours = np.stack([poses[:-2], poses[1:-1], poses[2:]])
    median = np.median(neighbours, axis=0)
    is_slip = np.abs(poses[1:-1] - median) * shares[1:-1] > _SLIP
    steady = poses.copy()
    steady[1:-1] = np.where(is_slip, median, poses[1:-1])
    return steady


def _fit_parabolas(times_s: Series, values: Series, width_s: float) -> Series:
    """Return a parabola fitted around every moment, weighted by a bell of that width, (n, 4)."""
    fitted = np.empty_like(values)
    for index, now_s in enumerate(times_s):
        start, stop = np.searchsorted(times_s, (now_s - 3 * width_s, now_s + 3 * width_s))
        part = slice(min(start, index), max(stop, index + 1))
        offset = (times_s[part] - now_s) / width_s
        root = np.exp(-0.25 * offset**2)[:, None]  # of the weight
        powers = np.stack([np.ones_like(offset), offset, offset**2], axis=1) * root
        fitted[index] = np.linalg.lstsq(powers, values[part] * root, rcond=None)[0][0]
    return fitted
