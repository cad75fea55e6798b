"""Portraits: who sits in a photo is drawn where the photo has them, and a network learns it."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_sitter_choices import IDS, record
from test_sitters import portrait, sloping
from typer.testing import CliRunner

from anymus.cli import build_app
from anymus.drawing.portrait import CHIN_RISE, CHOICES, Sitting, as_manga, draw_portrait
from anymus.errors import ParamsError
from anymus.images import RgbU8, read_rgb, write_png
from anymus.manifest import ImageRecord, write_manifest
from training.checkpoint import load_generator, save_generator
from training.complexion import COMPLEXIONS
from training.data import find_pictures, to_square
from training.disguise import BEARDS, GLASSES
from training.lessons import Lesson
from training.networks import Generator
from training.portraits import COLUMNS, Again, how_often, make_portrait_lessons, read_sittings
from training.refine import RefineOptions, refine
from training.schoolbook import Schoolbook, batch_at, compile_book

SITTING = Sitting(
    sex="man",
    age="adult",
    cut="side part",
    hair="black",
    skin="light",
    glasses="none",
    beard="none",
    clothes="suit",
    parting="right",
    eyes=((0.38, 0.46), (0.62, 0.45)),
    half_width=0.27,
    brow_y=0.38,
    nose_y=0.635,
    mouth_y=0.72,
    chin_y=0.9,
    jaw=0.218,
    gape=0.0,
    lift=0.05,
    wide=0.95,
    gaze=0.0,
    yaw=0.0,
    pitch=0.0,
)
ROW = {
    "left_eye_x": "0.38", "left_eye_y": "0.46", "right_eye_x": "0.62", "right_eye_y": "0.45",
    **{name: str(getattr(SITTING, name)) for name in COLUMNS if hasattr(SITTING, name)},
}  # fmt: skip


def table(folder: Path, *changes: dict[str, str]) -> Path:
    path = folder / "portraits.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows({**ROW, **one} for one in changes)
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two photos to learn from, one to look at, and a drawing that few discriminators see."""
    folder = tmp_path / "data"
    rows = []
    photo = portrait(sloping(110, 110))
    for identity, file in zip(IDS, ("trainA/0.png", "trainA/1.png", "testA/0.png"), strict=True):
        write_png(folder / file, photo)
        rows.append(ImageRecord(**record(identity, file)))
    write_png(folder / "trainB" / "0.png", np.full_like(photo, 90))
    write_manifest(folder, rows)
    return folder


@pytest.mark.parametrize("yaw", [-20.0, 0.0, 20.0])
@pytest.mark.parametrize("age", CHOICES["age"])
def test_eyes_are_drawn_where_they_are(yaw: float, age: str) -> None:
    face = draw_portrait(replace(SITTING, yaw=yaw, age=age), 256).faces[0]
    drawn = np.array([face.landmarks["left_eye"], face.landmarks["right_eye"]]) / 256
    assert np.abs(drawn - SITTING.eyes).max() < 0.012
    assert np.allclose(drawn.mean(axis=0), np.mean(SITTING.eyes, axis=0), atol=0.002)


def test_a_head_looks_to_the_side_that_its_photo_looks_to() -> None:
    noses = [
        draw_portrait(replace(SITTING, yaw=yaw), 256).faces[0].landmarks["nose"][0]
        for yaw in (-20.0, 0.0, 20.0)
    ]
    assert noses[0] < noses[1] - 5 < noses[2] - 10


@pytest.mark.parametrize("yaw", [-25.0, -8.0, 0.0, 8.0, 25.0])
def test_hair_parts_on_its_side_unless_the_head_is_turned_far_from_it(yaw: float) -> None:
    """Of a face that looks ahead, left is right mirrored; a turned one looks where it looked."""
    level = replace(SITTING, eyes=((0.38, 0.46), (0.62, 0.46)))
    poses = {
        side: as_manga(replace(level, yaw=yaw, parting=side)).pose for side in ("left", "right")
    }
    aside = {side: -np.sin(pose.yaw_rad) if pose.is_mirrored else np.sin(pose.yaw_rad)
             for side, pose in poses.items()}  # fmt: skip
    assert aside["left"] == pytest.approx(aside["right"]) == np.sin(np.radians(yaw))
    is_far = abs(yaw) > 12
    assert poses["left"].is_mirrored == (not is_far or yaw < 0)
    assert poses["right"].is_mirrored == (is_far and yaw < 0)
    if yaw == 0:
        left, right = (
            draw_portrait(replace(level, parting=side), 128).rgb_u8 for side in ("left", "right")
        )
        mirrored, plain = (np.abs(one.astype(int) - right).mean() for one in (left[:, ::-1], left))
        assert mirrored < plain / 2


def test_light_hair_is_white_on_dark_skin() -> None:
    person = as_manga(replace(SITTING, hair="grey", skin="brown"))
    assert (person.hair_paint.rgb, person.hair_paint.tone) == ((255, 255, 255), 0.0)


def test_the_chin_is_a_little_nearer_and_all_above_it_by_its_share() -> None:
    size = as_manga(SITTING).size
    chin = (0.9 - 0.455) / 0.27
    assert size.chin_y == pytest.approx(chin - CHIN_RISE)
    assert size.mouth_y / size.chin_y == pytest.approx((0.72 - 0.455) / (0.9 - 0.455))


def test_a_mouth_opens_as_the_photo_has_it() -> None:
    moods = [
        as_manga(replace(SITTING, gape=gape, lift=lift, wide=wide)).mood
        for gape, lift, wide in [(0, 0, 0.9), (0, 0.1, 0.9), (0.1, 0.1, 1), (0.1, 0, 0.9),
                                 (0.3, 0.1, 1.1), (0.3, 0, 0.7)]
    ]  # fmt: skip
    assert moods == ["calm", "smile", "grin", "talk", "laugh", "talk"]


def test_every_trait_changes_the_drawing() -> None:
    plain = draw_portrait(SITTING, 128).rgb_u8
    for name, choices in CHOICES.items():
        drawings = {
            draw_portrait(replace(SITTING, **{name: one}), 128).rgb_u8.tobytes() for one in choices
        }
        assert len(drawings) > 1, name
    assert (plain[:8, :8] == 255).all()


def test_who_has_no_row_has_no_lesson(dataset: Path, tmp_path: Path) -> None:
    sittings = read_sittings(table(tmp_path, {"id": IDS[1]}), dataset)
    assert sittings == {"trainA/1.png": SITTING}
    lessons = make_portrait_lessons(dataset / "trainA", 64, sittings)
    assert [lesson.has_face for lesson in lessons] == [False, True]
    assert (lessons[1].drawing == draw_portrait(SITTING, 64).rgb_u8).all()
    assert lessons[1].photo.shape == (64, 64, 3)


def test_who_has_a_rare_trait_is_shown_more_often(dataset: Path) -> None:
    many = {f"trainA/{number}.png": SITTING for number in range(40)}
    sittings = {**many, "trainA/1.png": replace(SITTING, hair="red")}
    lessons = make_portrait_lessons(dataset / "trainA", 32, sittings)
    assert [lesson.is_hard for lesson in lessons] == [False, True]
    assert list(how_often(dataset / "trainA", sittings)) == [1.0, 3.0]
    sittings["trainA/0.png"] = replace(SITTING, skin="dark")
    assert list(how_often(dataset / "trainA", sittings)) == [6.0, 3.0]
    sittings["trainA/0.png"] = replace(SITTING, beard="full")
    often = how_often(dataset / "trainA", sittings)
    assert list(often) == [6.0, 3.0]
    book = compile_book(lessons, None, [], often)
    assert list(book.share) == pytest.approx([2 / 3, 1 / 3])


def test_discriminators_see_drawings_as_often_as_their_photos_are_shown() -> None:
    """Else whoever few drawings are of would look untrue to them."""
    plain = np.full((32, 32, 3), 90, np.uint8)
    lessons = [
        Lesson(plain, plain + np.uint8(number), has_face=number != 1, is_hard=False)
        for number in range(3)
    ]
    book = compile_book(lessons, None, [], np.array([1.0, 5.0, 3.0]))
    assert book.drawings_share is not None
    assert list(book.drawings_share) == [0.25, 0.75]
    batch = batch_at(book, 1, seed=3, count=200)
    seen = ((batch.real[:, 0, 0, 0] + 1) * 127.5).round() - 90
    assert set(seen.tolist()) == {0.0, 2.0}
    assert 0.6 < (seen == 2).float().mean() < 0.9


def test_who_has_light_skin_comes_once_more_with_dark_skin(dataset: Path, tmp_path: Path) -> None:
    rows = [{"id": IDS[0]}, {"id": IDS[1], "skin": "tan"}]
    sittings = read_sittings(table(tmp_path, *rows), dataset)
    light, _, darker = make_portrait_lessons(
        dataset / "trainA", 96, sittings, again=Again(darkened=0.5, seed=8)
    )
    drawings = [draw_portrait(replace(SITTING, skin=skin), 96).rgb_u8 for skin in ("brown", "dark")]
    assert any((darker.drawing == drawing).all() for drawing in drawings)
    assert (light.drawing == draw_portrait(SITTING, 96).rgb_u8).all()
    face, wall = np.s_[50:60, 40:56], np.s_[:, :8]
    assert darker.photo[face].mean() < light.photo[face].mean() - 15
    assert (darker.photo[wall] == light.photo[wall]).all()
    other = make_portrait_lessons(
        dataset / "trainA", 96, sittings, again=Again(darkened=0.5, seed=8)
    )[2]
    assert (other.photo == darker.photo).all()
    assert len(make_portrait_lessons(dataset / "trainA", 96, sittings)) == 2
    sittings |= {f"trainA/{number}.png": SITTING for number in range(2, 60)}
    assert list(how_often(dataset / "trainA", sittings, Again(darkened=0.5))) == [1.0, 3.0, 0.5]


def test_light_hair_is_rare_beside_made_up_dark_skin(dataset: Path, tmp_path: Path) -> None:
    sittings = read_sittings(table(tmp_path, {"id": IDS[0]}, {"id": IDS[1]}), dataset)
    grey_haired = {f"trainA/{number}.png": replace(SITTING, hair="grey") for number in range(1, 60)}
    often = how_often(dataset / "trainA", sittings | grey_haired, Again(darkened=0.4))
    assert list(often) == pytest.approx([3.0, 1.0, 1.2, 0.1])  # black hair is rare here


def test_some_of_who_is_darkened_are_exposed_for_their_skin(dataset: Path, tmp_path: Path) -> None:
    sittings = read_sittings(table(tmp_path, {"id": IDS[0]}), dataset)
    again = Again(darkened=0.5, seed=5, variants=12)
    light, _, *darker = make_portrait_lessons(dataset / "trainA", 64, sittings, again=again)
    wall = np.s_[:, :6]
    walls = [one.photo[wall].mean() - light.photo[wall].mean() for one in darker]
    assert 3 <= sum(lighter > 2 for lighter in walls) <= 9
    assert min(walls) == 0


def test_some_of_who_is_darkened_wear_a_beard_or_glasses_too(dataset: Path, tmp_path: Path) -> None:
    sittings = read_sittings(table(tmp_path, {"id": IDS[0], "sex": "man"}), dataset)
    again = Again(darkened=0.5, disguised=0.5, seed=3, variants=8)
    lessons = make_portrait_lessons(dataset / "trainA", 64, sittings, again=again)
    bare = [
        draw_portrait(replace(SITTING, sex="man", skin=skin), 64).rgb_u8 for skin in COMPLEXIONS
    ]
    _, _, *others = lessons
    darker = others[:8]  # after them come those in disguise
    plain = [any((one.drawing == drawing).all() for drawing in bare) for one in darker]
    assert 1 <= sum(plain) <= 7
    assert len({one.photo.tobytes() for one in darker}) == 8
    face = np.s_[33:40, 26:38]
    assert all(one.photo[face].mean() < lessons[0].photo[face].mean() - 5 for one in darker)


def test_who_wears_no_beard_or_glasses_comes_once_more_with_them(
    dataset: Path, tmp_path: Path
) -> None:
    rows = [{"id": IDS[0], "sex": "man"}, {"id": IDS[1], "sex": "woman", "glasses": "thin"}]
    sittings = read_sittings(table(tmp_path, *rows), dataset)
    again = Again(disguised=0.6, seed=1, variants=12)
    bare, _, *disguised = make_portrait_lessons(dataset / "trainA", 64, sittings, again=again)
    assert len(disguised) == 12  # she has glasses, and women have no beards
    drawings = {
        (beard, glasses): portrait_of(beard, glasses)
        for beard in ("none", *BEARDS)
        for glasses in ("none", *GLASSES)
    }
    drawn = set()
    for lesson in disguised:
        changed = (lesson.photo != bare.photo).any(axis=-1)
        assert 20 < changed.sum() < 0.5 * changed.size
        worn = [who for who, drawing in drawings.items() if (lesson.drawing == drawing).all()]
        assert len(worn) == 1
        assert worn[0] != ("none", "none")
        drawn.add(tuple(one != "none" for one in worn[0]))
    assert drawn == {(True, False), (False, True), (True, True)}
    sittings |= {f"trainA/{number}.png": SITTING for number in range(2, 60)}
    often = how_often(dataset / "trainA", sittings, again)
    assert list(often) == pytest.approx([1.0, 3.0] + [0.05] * 12)


def portrait_of(beard: str, glasses: str) -> RgbU8:
    return draw_portrait(replace(SITTING, sex="man", beard=beard, glasses=glasses), 64).rgb_u8


def test_dark_skin_is_no_commoner_in_grey_than_the_table_has_it(dataset: Path) -> None:
    names = [f"trainA/{path.name}" for path in find_pictures(dataset / "trainA")]
    sittings = dict.fromkeys(names, SITTING)
    sittings[names[0]] = replace(SITTING, skin="dark")
    sittings |= {f"trainA/{number}.png": SITTING for number in range(20, 60)}
    lessons = make_portrait_lessons(dataset / "trainA", 32, sittings, again=Again(darkened=0.5))
    often = how_often(dataset / "trainA", sittings, Again(darkened=0.5))
    in_grey = often * [lesson.grey_odds for lesson in lessons]
    dark, light, made_up = in_grey[0], in_grey[1 : len(names)], in_grey[len(names) :]
    assert dark == pytest.approx(1.0)
    assert (light == 1).all()
    assert len(made_up) == len(names) - 1
    assert not made_up.any()


@pytest.mark.parametrize(("odds", "least", "most"), [(0.0, 0, 0), (0.5, 10, 37), (1.0, 38, 70)])
def test_a_lesson_is_shown_in_grey_as_often_as_it_says(odds: float, least: int, most: int) -> None:
    photo = np.zeros((32, 32, 3), np.uint8) + np.array([150, 100, 60], np.uint8)
    book = compile_book([Lesson(photo, photo, True, False, grey_odds=odds)], None, [])
    seen = batch_at(book, 1, seed=1, count=200).photos
    is_grey = (seen.amax(1) - seen.amin(1)).amax((1, 2)) < 0.02
    assert least <= int(is_grey.sum()) <= most


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hair": "purple"}, "portraits.csv:2: hair 'purple'"),
        ({"yaw": ""}, "portraits.csv:2: yaw '' is no number"),
        ({"chin_y": "nan"}, "portraits.csv:2: chin_y 'nan' is no number"),
        ({"half_width": "0"}, "portraits.csv:2: half_width '0' is no width"),
        ({"chin_y": "0.4"}, "portraits.csv:2: the chin is not below the eyes"),
        ({"id": "f" * 64}, "names no photo of"),
    ],
)
def test_what_is_no_table_of_sittings_is_refused(
    dataset: Path, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    path = table(tmp_path, {"id": IDS[0], **change})
    with pytest.raises(ParamsError, match=message):
        read_sittings(path, dataset)


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """Small weights to refine."""
    generator = Generator(base_channels=4, image_size_px=32, residual_blocks=1, film="pooled")
    path = tmp_path / "start" / "generator_a2b.safetensors"
    save_generator(path, generator, {"direction": "a2b"})
    return path


@pytest.fixture
def books(monkeypatch: pytest.MonkeyPatch) -> list[Schoolbook]:
    """The schoolbooks of the refinements that follow, whose warm-up is one iteration."""
    noted: list[Schoolbook] = []

    def compile_noted(*args: Any) -> Schoolbook:
        noted.append(compile_book(*args))
        return noted[-1]

    monkeypatch.setattr("training.refine.WARM_UP", 1)
    monkeypatch.setattr("training.refine.compile_book", compile_noted)
    return noted


def test_the_command_learns_from_portraits_alone(
    dataset: Path, start: Path, books: list[Schoolbook], tmp_path: Path
) -> None:
    path = table(tmp_path, {"id": IDS[0]})
    command = ["weights", "refine", str(start.parent), "--dataset", str(dataset)]
    command += ["--portraits", str(path), "--darken-share", "0.5", "--disguise-share", "0.25"]
    command += ["--variants", "2"]
    command += ["--iterations", "2", "--device", "cpu"]
    result = CliRunner().invoke(build_app(), [*command, "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    (book,) = books
    assert len(book.lessons) == 6
    assert len(book.drawings) == 5
    assert (book.drawings[0] == draw_portrait(SITTING, 32).rgb_u8).all()
    _, facts = load_generator(tmp_path / "out" / start.name)
    assert len(facts["parameters"]["refine"]["portraits"]) == 64


def test_discriminators_may_know_other_drawings_than_the_portraits(
    dataset: Path, start: Path, books: list[Schoolbook], tmp_path: Path
) -> None:
    path = table(tmp_path, {"id": IDS[0]})
    for knows in (False, True):
        options = RefineOptions(
            portraits=path, judges_know_dataset=knows, iterations=1, device="cpu"
        )
        refine(start, dataset, tmp_path / f"{knows}.safetensors", options)
    portraits, pages = books
    assert [len(portraits.drawings), len(pages.drawings)] == [1, 1]
    assert (portraits.lessons[0].drawing == pages.lessons[0].drawing).all()
    assert (portraits.drawings[0] == portraits.lessons[0].drawing).all()
    page = to_square(read_rgb(next((dataset / "trainB").iterdir())), 32)
    assert (pages.drawings[0] == page).all()


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"darken_share": 0.5}, "--darken-share"),
        ({"disguise_share": 0.5}, "--disguise-share"),
        ({"judges_know_dataset": True}, "--judge-by-dataset"),
    ],
)
def test_what_needs_a_table_is_refused_without(
    dataset: Path, tmp_path: Path, change: dict[str, Any], option: str
) -> None:
    start = tmp_path / "start.safetensors"
    with pytest.raises(ParamsError, match=f"{option} is for --portraits"):
        refine(start, dataset, tmp_path / "out.safetensors", RefineOptions(**change))


def test_variants_of_nobody_are_refused(dataset: Path, tmp_path: Path) -> None:
    options = RefineOptions(portraits=table(tmp_path, {"id": IDS[0]}), variants=3, device="cpu")
    with pytest.raises(ParamsError, match="--variants is for --darken-share"):
        refine(tmp_path / "start.safetensors", dataset, tmp_path / "out.safetensors", options)


def test_nobody_else_draws_beside_portraits(dataset: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    options = RefineOptions(
        portraits=table(tmp_path, {"id": IDS[0]}), others=(start,), device="cpu"
    )
    with pytest.raises(ParamsError, match="nobody else draws"):
        refine(start, dataset, tmp_path / "out.safetensors", options)
