"""Drawn portraits as a source: the same seed gives the same bytes, free to use, collectable."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from anymus.cli import build_app
from anymus.drawing.manga_ink import WHITE, Paint
from anymus.drawing.manga_person import draw_person, with_skin
from anymus.drawing.shares import Shares, load_shares
from anymus.drawing.sitter import draw_sitter, draw_sitting_person
from anymus.errors import ParamsError
from anymus.files import sha256_bytes
from anymus.images import read_rgb
from anymus.manifest import read_manifest
from anymus.params import Params
from scrapers.draw import AUTHOR, draw_folder, draw_twins_folder
from scrapers.folder import scrape_folder


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256_bytes(path.read_bytes()) for path in folder.glob("*.png")}


def test_a_portrait_depends_on_the_seed_and_its_number_alone(
    params: Params, tmp_path: Path
) -> None:
    draw_folder(params, tmp_path / "few", 2)
    draw_folder(params, tmp_path / "more", 3)
    draw_folder(params.model_copy(update={"seed": 5}), tmp_path / "other", 2)

    few, more = hashes(tmp_path / "few"), hashes(tmp_path / "more")
    assert few.items() < more.items()
    assert len(set(more.values())) == 3
    assert not set(few.values()) & set(hashes(tmp_path / "other").values())


def test_on_paper_the_same_people_stand_before_white_without_shadows(
    params: Params, tmp_path: Path
) -> None:
    draw_folder(params, tmp_path / "paper", 6, is_on_paper=True)
    for number in range(6):
        paper = read_rgb(tmp_path / "paper" / f"sitter-{number:05d}.png")
        rng = np.random.default_rng([params.seed, number])
        usual = draw_sitter(rng).rgb_u8
        assert (paper[:40, :2] == 255).all()
        assert paper.mean() >= usual.mean()
        ink = (usual < 40).all(axis=2)
        assert (paper[ink] < 128).mean() > 0.9
    result = CliRunner().invoke(build_app(), ["draw", "twins", "--twins", "--paper"])
    assert isinstance(result.exception, ParamsError)
    assert "on paper without --paper" in str(result.exception)


def test_drawn_portraits_are_collected_with_their_licence(params: Params, tmp_path: Path) -> None:
    draw_folder(params, tmp_path / "drawn", 3)
    scrape_folder(params, tmp_path / "drawn", "manga", tmp_path / "raw")

    rows = read_manifest(tmp_path / "raw")
    assert len(rows) == 3
    assert {(row.author, row.licence) for row in rows} == {(AUTHOR, "MIT")}
    assert len({row.group for row in rows}) == 3


def test_drawing_replaces_its_own_folder_and_no_other(params: Params, tmp_path: Path) -> None:
    draw_folder(params, tmp_path / "drawn", 2)
    draw_folder(params, tmp_path / "drawn", 1)
    assert len(hashes(tmp_path / "drawn")) == 1

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep")
    with pytest.raises(ParamsError, match="did not put there"):
        draw_folder(params, tmp_path / "mine", 1)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_sitters_look_about_ahead_with_open_eyes_and_natural_hair() -> None:
    people = [draw_sitting_person(np.random.default_rng([3, number])) for number in range(120)]
    assert max(abs(person.pose.yaw_rad) for person in people) < np.radians(27)
    assert {person.lids for person in people} <= {"open", "half"}
    assert {person.skin for person in people} >= {"pale", "tan", "brown", "dark"}
    assert {person.hair_colour for person in people if person.age != "old"} <= {
        "black", "brown", "chestnut", "blond", "red",
    }  # fmt: skip
    assert {person.age for person in people} == {"young", "adult", "old"}
    assert any(person.beard != "none" for person in people)
    assert any(person.glasses != "none" for person in people)


def test_traits_occur_as_often_as_their_shares_say() -> None:
    shares = Shares(skin={"dark": 3, "pale": 1}, glasses={"round": 1}, sex={"female": 2, "male": 2})
    people = [
        draw_sitting_person(np.random.default_rng([5, number]), shares) for number in range(200)
    ]
    share_dark = np.mean([person.skin == "dark" for person in people])
    assert share_dark == pytest.approx(0.75, abs=0.1)
    assert {person.skin for person in people} == {"dark", "pale"}
    assert {person.glasses for person in people} == {"round"}
    assert np.mean([person.sex == "male" for person in people]) == pytest.approx(0.5, abs=0.11)
    grins = np.mean([person.mood == "grin" for person in people])
    assert grins == pytest.approx(0.5, abs=0.11)


def test_another_skin_changes_no_other_trait_and_leaves_hair_apart() -> None:
    person = draw_person(np.random.default_rng(2), is_colour=False)
    for skin in ("pale", "brown", "dark"):
        other = with_skin(person, skin)
        assert other.skin == skin
        assert (other.hair, other.mood, other.size) == (person.hair, person.mood, person.size)
    grey = replace(person, hair_paint=Paint(WHITE, 0.3))
    assert with_skin(grey, "brown").hair_paint.rgb == (14, 14, 16)
    assert with_skin(grey, "pale").hair_paint == grey.hair_paint


def test_shares_are_read_from_a_file_and_shape_the_folder(params: Params, tmp_path: Path) -> None:
    (tmp_path / "shares.yaml").write_text("skin: {dark: 1}\nglasses: {none: 7, round: 3}\n")
    shares = load_shares(tmp_path / "shares.yaml")
    assert shares.skin == {"dark": 1}
    assert shares.mood == Shares().mood

    draw_folder(params, tmp_path / "usual", 2)
    draw_folder(params, tmp_path / "dark", 2, shares)
    assert not set(hashes(tmp_path / "usual").values()) & set(hashes(tmp_path / "dark").values())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("skin: {green: 1}", "skin.green"),
        ("height: {tall: 1}", "height"),
        ("skin: {dark: -1}", "greater than or equal to 0"),
        ("skin: {dark: .inf}", "finite"),
        ("skin: {dark: 0}", "above 0"),
        ("skin: [", "not YAML"),
        ("- skin", "the file"),
    ],
)
def test_shares_that_make_no_sense_are_refused(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "shares.yaml").write_text(text)
    with pytest.raises(ParamsError, match=re.escape(complaint)):
        load_shares(tmp_path / "shares.yaml")


def test_a_missing_file_of_shares_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"cannot read .*nowhere\.yaml"):
        load_shares(tmp_path / "nowhere.yaml")


def test_a_sitter_is_grey_and_its_face_lies_in_the_picture() -> None:
    for number in range(4):
        drawing = draw_sitter(np.random.default_rng([4, number]), 160, 200)
        assert drawing.rgb_u8.shape == (200, 160, 3)
        assert not np.ptp(drawing.rgb_u8, axis=2).any()
        (face,) = drawing.faces
        x, y, w, h = face.box
        assert x >= 0
        assert y >= 0
        assert x + w <= 160
        assert y + h <= 200


def test_twins_lie_in_two_folders_under_one_name(params: Params, tmp_path: Path) -> None:
    report = draw_twins_folder(params, tmp_path / "twins", 2)
    assert report.pictures == 4
    sides = [hashes(tmp_path / "twins" / side) for side in ("photo", "manga")]
    assert list(map(sorted, sides)) == [["twin-00000.png", "twin-00001.png"]] * 2
    assert len({*sides[0].values(), *sides[1].values()}) == 4
    scrape_folder(params, tmp_path / "twins" / "photo", "photo", tmp_path / "raw")
    assert {(row.author, row.licence) for row in read_manifest(tmp_path / "raw")} == {
        (AUTHOR, "MIT")
    }
    draw_twins_folder(params, tmp_path / "twins", 1)
    assert hashes(tmp_path / "twins" / "manga").items() < sides[1].items()
    with pytest.raises(ParamsError, match="did not put there"):
        draw_folder(params, tmp_path / "twins", 1)


def test_the_command_draws_twins_and_takes_no_shares_for_them(tmp_path: Path) -> None:
    (tmp_path / "shares.yaml").write_text("skin: {dark: 1}\n")
    command = ["draw", str(tmp_path / "twins"), "--twins", "--count", "1"]
    done = CliRunner().invoke(build_app(), command)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "twins" / "manga" / "twin-00000.png").is_file()
    refused = CliRunner().invoke(
        build_app(), [*command, "--shares", str(tmp_path / "shares.yaml")], standalone_mode=False
    )
    assert isinstance(refused.exception, ParamsError)
