"""Tracks: the same face from frame to frame, steady where it rests, in time where it moves."""

import numpy as np
import pytest

from anymus.framing import Framing, crop_transform
from anymus.manifest import Face
from inference.tracks import (
    Look,
    change_between,
    follow_faces,
    matrix_of,
    pose_of,
    scenes_of,
    smooth_poses,
    thumbnail,
)

FRAMING = Framing(64, 0.55, 0.46)
FPS = 25.0


def _face(x: float, y: float = 100.0, eyes_px: float = 40.0) -> Face:
    half = eyes_px / 2
    box = (round(x - 1.2 * eyes_px), round(y - eyes_px), round(2.4 * eyes_px), round(2.4 * eyes_px))
    eyes = {"left_eye": (x - half, y), "right_eye": (x + half, y)}
    return Face(box=box, score=1.0, landmarks=eyes)


def _looks(faces: list[list[Face]], cuts: tuple[int, ...] = ()) -> list[Look]:
    return [Look(i, 0.5 if i in cuts else 0.01, tuple(found)) for i, found in enumerate(faces)]


def _follow(looks: list[Look]) -> list[list[float]]:
    """Return for each track, largest weight first, where its anchor is in each frame, x only."""
    times_s = [look.pts / FPS for look in looks]
    tracks = follow_faces(looks, times_s, "photo", FRAMING)
    tracks.sort(key=lambda track: -track.weight)
    return [[float(pose_of(m, FRAMING)[0]) for m in track.matrices] for track in tracks]


def _smooth_x(x: np.ndarray) -> np.ndarray:
    poses = np.stack([x, np.full_like(x, 50), np.zeros_like(x), np.zeros_like(x)], axis=1)
    return smooth_poses(np.arange(len(x)) / FPS, poses, np.full(len(x), 100.0))[:, 0]


def test_pose_and_matrix_are_each_other() -> None:
    matrix = crop_transform(_face(80, 60, 37), "photo", FRAMING)
    np.testing.assert_allclose(matrix_of(pose_of(matrix, FRAMING), FRAMING), matrix, atol=1e-9)


def test_noise_at_rest_is_smoothed_away() -> None:
    noise = np.random.default_rng(3).normal(0, 1, 100)
    smooth = _smooth_x(100 + noise)
    assert np.abs(np.diff(smooth)).mean() < 0.15 * np.abs(np.diff(noise)).mean()
    assert np.abs(smooth - 100).max() < 1


def test_fast_motion_is_followed_without_lag() -> None:
    times_s = np.arange(100) / FPS
    steady = 300 * times_s  # three face widths a second
    np.testing.assert_allclose(_smooth_x(steady), steady, atol=1e-6)
    nod = 15 * np.sin(2 * np.pi * 2 * times_s)
    error = (_smooth_x(nod) - nod)[5:-5]
    assert np.abs(error).max() < 2
    lags = [np.corrcoef(np.roll(_smooth_x(nod), -k)[10:-10], nod[10:-10])[0, 1] for k in (-1, 0, 1)]
    assert max(lags) == lags[1]


def test_one_slip_of_the_detector_moves_nothing() -> None:
    x = np.full(40, 100.0)
    x[20] = 130
    assert np.abs(_smooth_x(x) - 100).max() < 0.01


def test_short_gap_is_bridged_and_a_long_one_is_not() -> None:
    seen = [[_face(100 + 2 * i)] for i in range(30)]
    gap: list[list[Face]] = [*seen[:10], *([[]] * 8), *seen[18:]]
    (track,) = _follow(_looks(gap))
    np.testing.assert_allclose(track, [100 + 2 * i for i in range(30)], atol=0.5)
    still = [[_face(100)]] * 10
    assert len(_follow(_looks([*still, *([[]] * 20), *still]))) == 2


def test_cut_ends_a_track() -> None:
    looks = _looks([[_face(100)]] * 10 + [[_face(110)]] * 10, cuts=(10,))
    assert _follow(looks) == [pytest.approx([100] * 10), pytest.approx([110] * 10)]


def test_false_alarm_is_dropped_but_not_in_a_short_scene() -> None:
    looks = _looks([[_face(100)] if i != 9 else [_face(100), _face(400)] for i in range(20)])
    assert len(_follow(looks)) == 1
    assert len(_follow(_looks([[_face(100)], [_face(300)]], cuts=(1,)))) == 2


def test_two_faces_keep_apart_whatever_their_order() -> None:
    pairs = [[_face(100 + i), _face(300 - i, eyes_px=44)] for i in range(30)]
    mixed = [pair if i % 3 else pair[::-1] for i, pair in enumerate(pairs)]
    tracks = _follow(_looks(mixed))
    assert [round(track[0]) for track in tracks] == [300, 100]
    assert [round(track[-1]) for track in tracks] == [271, 129]


def test_cuts_are_seen_and_pans_are_not(rng: np.random.Generator) -> None:
    wide = rng.integers(0, 256, (30, 60, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    pan = [np.ascontiguousarray(wide[:, 6 * i : 6 * i + 240]) for i in range(12)]
    film = [*pan, *(np.full((240, 240, 3), 40, np.uint8),) * 4]
    thumbs = [thumbnail(frame) for frame in film]
    changes = [change_between(a, b) for a, b in zip([None, *thumbs], thumbs, strict=False)]
    assert scenes_of(changes) == [(0, 12), (12, 16)]
    slides = [0.0, 0.3, 0.28, 0.4, 0.3]  # every frame another picture
    assert len(scenes_of(slides)) == 5
    assert scenes_of([]) == []
