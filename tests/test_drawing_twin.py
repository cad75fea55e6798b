"""One person in a photo-like picture and in manga."""

from dataclasses import replace

import numpy as np
import pytest

from anymus.drawing import manga_person as manga
from anymus.drawing import photo_person as photo
from anymus.drawing.twin import BEARDS, CLOTHES, CUTS, GLASSES, Twins, as_manga, draw_twins


def draw(number: int) -> Twins:
    return draw_twins(np.random.default_rng([3, number]), 160, 200)


def sitter(number: int = 0, **changes: object) -> photo.Person:
    person = photo.draw_lots(np.random.default_rng([4, number]))
    style = photo.build_style(np.random.default_rng(1), "short", person.sex)
    return replace(person, **{"style": style} | changes)  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_twins() -> None:
    one, same, other = draw(1), draw(1), draw(2)
    assert np.array_equal(one.photo.rgb_u8, same.photo.rgb_u8)
    assert np.array_equal(one.manga.rgb_u8, same.manga.rgb_u8)
    assert not np.array_equal(one.manga.rgb_u8, other.manga.rgb_u8)
    assert one.photo.rgb_u8.shape == one.manga.rgb_u8.shape == (200, 160, 3)


@pytest.mark.parametrize("number", range(6))
def test_eyes_are_in_the_same_place_of_both(number: int) -> None:
    twins = draw(number)
    faces = twins.photo.faces[0], twins.manga.faces[0]
    eyes = [np.array([face.landmarks[f"{s}_eye"] for s in ("left", "right")]) for face in faces]
    apart = np.linalg.norm(eyes[0][1] - eyes[0][0])
    assert np.abs(eyes[0].mean(axis=0) - eyes[1].mean(axis=0)).max() < 0.01
    assert np.linalg.norm(eyes[0] - eyes[1], axis=1).max() < 0.15 * apart
    turns = [float(face.tags["yaw"]) for face in faces]
    assert turns[0] == pytest.approx(turns[1], abs=1.0)


def test_skin_is_drawn_by_its_colour_and_not_by_its_light() -> None:
    tones = [as_manga(sitter(skin=skin)).skin_paint.tone for skin in photo.SKINS]
    assert tones == sorted(tones)
    assert tones[0] == 0.0
    assert tones[-1] > 0.4


@pytest.mark.parametrize("cut", CUTS)
def test_every_cut_names_hair_and_fringe_of_the_manga_renderer(cut: str) -> None:
    hairs = {*manga.FEMALE_HAIR, *manga.MALE_HAIR, *manga.OLD_MALE_HAIR}
    style = photo.build_style(np.random.default_rng(1), cut, "woman")
    twin = as_manga(sitter(style=style))
    assert twin.hair in hairs
    assert twin.bangs in {*manga.BANGS, "back"}


def test_traits_are_those_of_the_photo() -> None:
    for glasses, drawn in GLASSES.items():
        assert as_manga(sitter(glasses=glasses)).glasses == drawn
    for beard, drawn in BEARDS.items():
        assert as_manga(sitter(beard=beard)).beard == drawn
    for garment, drawn in CLOTHES.items():
        assert as_manga(sitter(garment=garment)).clothes == drawn
    assert [as_manga(sitter(age=age)).age for age in (20, 45, 70)] == ["young", "adult", "old"]


@pytest.mark.parametrize(
    ("smile", "gape", "mood"),
    [(0.1, 0.0, "calm"), (0.7, 0.0, "smile"), (0.9, 0.8, "laugh"), (0.2, 0.6, "talk")],
)
def test_the_mouth_does_what_the_photo_does(smile: float, gape: float, mood: str) -> None:
    pose = replace(sitter().pose, smile=smile, gape=gape)
    assert as_manga(sitter(pose=pose)).mood == mood


def test_light_hair_that_would_melt_into_skin_is_white_and_not_black() -> None:
    for skin in photo.SKINS:
        for hair in ("blond", "grey", "white"):
            assert sum(as_manga(sitter(skin=skin, hair=hair)).hair_paint.rgb) > 600
    assert sum(as_manga(sitter(hair="black")).hair_paint.rgb) < 60


def test_who_wears_what_manga_has_no_hair_for_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    styles = [
        photo.build_style(np.random.default_rng(1), name, "woman") for name in ("hijab", "bob")
    ]
    people = iter([sitter(style=style) for style in styles])
    monkeypatch.setattr(photo, "draw_lots", lambda _rng: next(people))
    assert draw(1).photo.faces[0].tags["hair"] == "bob"
