"""Manga busts and pages: the same draws give the same bytes, and the truth is true."""

import numpy as np
import pytest

from anymus.drawing.manga import draw_bust
from anymus.drawing.manga_ink import curve, leaf, screentone
from anymus.drawing.page import draw_layout, draw_page
from anymus.drawing.truth import Drawing, FaceTruth

LANDMARKS = {"left_eye", "right_eye", "nose", "mouth_left", "mouth_right"}


def bust(index: int, **keywords: bool) -> Drawing:
    return draw_bust(np.random.default_rng([5, index]), 160, 200, **keywords)


@pytest.fixture(scope="module")
def people() -> list[Drawing]:
    """Busts of 48 people, 160 pixels wide."""
    return [bust(index) for index in range(48)]


def has_colour(drawing: Drawing) -> bool:
    return bool(np.ptp(drawing.rgb_u8.astype(int), axis=2).max() > 0)


def is_sound(face: FaceTruth, width: int, height: int) -> bool:
    x, y, w, h = face.box
    inside = x >= 0 and y >= 0 and x + w <= width and y + h <= height
    return inside and set(face.landmarks) == LANDMARKS


def test_a_bust_is_a_function_of_its_generator() -> None:
    first, again, other = bust(1), bust(1), bust(2)
    assert np.array_equal(first.rgb_u8, again.rgb_u8)
    assert first.faces == again.faces
    assert not np.array_equal(first.rgb_u8, other.rgb_u8)


@pytest.mark.parametrize(("width", "height"), [(320, 400), (64, 80), (150, 150), (300, 180)])
def test_a_bust_has_the_size_asked_for_and_one_face(width: int, height: int) -> None:
    drawing = draw_bust(np.random.default_rng(3), width, height)
    assert drawing.rgb_u8.shape == (height, width, 3)
    assert drawing.rgb_u8.dtype == np.uint8
    assert len(drawing.faces) == 1


def test_colour_is_as_asked_and_otherwise_both_occur(people: list[Drawing]) -> None:
    assert all(has_colour(bust(i, is_colour=True)) for i in range(4))
    assert not any(has_colour(bust(i, is_colour=False)) for i in range(4))
    assert {has_colour(d) for d in people} == {True, False}
    assert all(has_colour(d) == (d.faces[0].tags["colour"] == "true") for d in people)


def test_landmarks_lie_in_order_inside_the_box(people: list[Drawing]) -> None:
    for drawing in people:
        face = drawing.faces[0]
        assert is_sound(face, 160, 200)
        x, y, w, h = face.box
        assert 0.8 < w / h < 1.1
        spots = face.landmarks
        assert spots["left_eye"][0] < spots["right_eye"][0]
        assert spots["mouth_left"][0] < spots["mouth_right"][0]
        eyes_y = (spots["left_eye"][1] + spots["right_eye"][1]) / 2
        mouth_y = (spots["mouth_left"][1] + spots["mouth_right"][1]) / 2
        assert eyes_y < spots["nose"][1] < mouth_y
        for px, py in spots.values():
            assert x - 0.06 * w <= px <= x + 1.06 * w
            assert y <= py <= y + h


def test_eyes_are_drawn_where_the_truth_says(people: list[Drawing]) -> None:
    """Wide open unglazed eyes of pale people hold a much darker spot than the cheeks below."""
    contrasts = []
    for drawing in people:
        face = drawing.faces[0]
        if face.tags["lids"] != "open" or face.tags["glasses"] != "none":
            continue
        if face.tags["skin"] not in ("pale", "light", "olive"):
            continue
        reach = max(round(0.09 * face.box[2]), 2)
        for name in ("left_eye", "right_eye"):
            x, y = (round(v) for v in face.landmarks[name])
            patch = drawing.rgb_u8[y - reach : y + reach, x - reach : x + reach, 0]
            contrasts.append(int(patch.min()))
    assert len(contrasts) > 10
    assert np.mean(np.array(contrasts) < 110) > 0.9


def test_people_of_all_kinds_are_drawn(people: list[Drawing]) -> None:
    tags = [drawing.faces[0].tags for drawing in people]
    for trait, least in (("skin", 6), ("hair", 9), ("mood", 10), ("age", 3), ("clothes", 8)):
        assert len({t[trait] for t in tags}) >= least, trait
    yaws = [float(t["yaw"]) for t in tags]
    assert min(yaws) < -30
    assert max(yaws) > 30
    assert any(t["beard"] != "none" for t in tags)
    assert any(t["glasses"] != "none" for t in tags)


def test_a_page_is_a_function_of_its_generator() -> None:
    first = draw_page(np.random.default_rng(8), 320, 450)
    again = draw_page(np.random.default_rng(8), 320, 450)
    assert np.array_equal(first.rgb_u8, again.rgb_u8)
    assert first.faces == again.faces


def test_pages_hold_faces_inside_the_page_and_are_black_and_white() -> None:
    counts = []
    for index in range(5):
        page = draw_page(np.random.default_rng([9, index]), 400, 560)
        assert page.rgb_u8.shape == (560, 400, 3)
        assert not has_colour(page)
        assert all(is_sound(face, 400, 560) for face in page.faces)
        counts.append(len(page.faces))
    assert sum(counts) >= 5
    assert len(set(counts)) > 1


def test_a_layout_has_three_to_seven_panels_that_do_not_overlap() -> None:
    for index in range(30):
        panels = draw_layout(np.random.default_rng([4, index]), (640, 900))
        assert 3 <= len(panels) <= 7
        area = sum(_area(corners) for corners in panels)
        assert 0.6 * 640 * 900 < area < 640 * 900
        for corners in panels:
            assert corners.min() >= 0
            assert (corners.max(axis=0) <= (640, 900)).all()


def _area(corners: np.ndarray[tuple[int, ...], np.dtype[np.int32]]) -> float:
    x, y = corners[:, 0].astype(float), corners[:, 1].astype(float)
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


@pytest.mark.parametrize("tone", [0.05, 0.2, 0.5, 0.8])
def test_screentone_covers_the_share_asked_for(tone: float) -> None:
    dots = screentone((13, 7), (400, 400), 11.0, tone)
    assert dots.mean() == pytest.approx(tone, abs=0.015)


def test_screentone_patches_fit_together() -> None:
    whole = screentone((0, 0), (60, 80), 9.0, 0.3)
    part = screentone((30, 20), (40, 50), 9.0, 0.3)
    assert np.array_equal(whole[20:60, 30:80], part)


def test_a_curve_passes_through_its_points_and_a_lock_ends_in_a_tip() -> None:
    points = np.array([(0.0, 0.0), (1.0, 2.0), (3.0, 1.0)])
    line = curve(points)
    for point in points:
        assert np.abs(line - point).sum(axis=1).min() < 1e-9
    hull = leaf(points, 0.4)
    half = len(hull) // 2
    assert np.allclose(hull[half - 1], hull[half], atol=1e-6)
    assert np.allclose(hull[half], points[-1])
