"""The plan: which pictures are taken, and that no two results share a name."""

import unicodedata
from pathlib import Path

import pytest

from anymus.errors import AnymusError, DatasetError, ParamsError
from anymus.shards import write_shard
from inference.options import ConvertOptions
from inference.plan import Plan, plan_conversion


def _touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def _outputs(plan: Plan) -> dict[str, str]:
    return {item.name: item.output.relative_to(plan.folder).as_posix() for item in plan.items}


def test_tree_is_kept_and_other_files_are_counted(tmp_path: Path) -> None:
    source = _touch(
        tmp_path / "in", "a.JPG", "sub/deep/b.webp", "Thumbs.db", "notes.txt", ".hidden.png"
    )
    plan = plan_conversion(source, tmp_path / "out", ConvertOptions(prefix="result"))
    assert _outputs(plan) == {
        "a.JPG": "result-a.png",
        "sub/deep/b.webp": "sub/deep/result-b.png",
    }
    assert plan.other_files == 2


def test_names_that_collide_carry_their_suffix(tmp_path: Path) -> None:
    names = ["a.jpg", "a.png", "A.gif", "b.jpg", "sub/a.jpg", "c.v2.png", "c.png"]
    source = _touch(tmp_path / "in", *names)
    outputs = _outputs(plan_conversion(source, tmp_path / "out", ConvertOptions(format="webp")))
    assert outputs == {
        "A.gif": "A-gif.webp",
        "a.jpg": "a-jpg.webp",
        "a.png": "a-png.webp",
        "b.jpg": "b.webp",
        "sub/a.jpg": "sub/a.webp",
        "c.v2.png": "c.v2.webp",
        "c.png": "c.webp",
    }


def test_members_of_a_shard_are_pictures_of_its_folder(tmp_path: Path) -> None:
    source = _touch(tmp_path / "in", "testA/b.png", "other.tar")
    write_shard(source / "testA" / "shard-0.tar", [("a.png", b"x"), ("read.me", b"x")])
    plan = plan_conversion(source, tmp_path / "out", ConvertOptions())
    assert _outputs(plan) == {"testA/b.png": "testA/b.png", "testA/a.png": "testA/a.png"}
    assert {item.source.relative_to(source).as_posix() for item in plan.items} == {
        "testA/b.png",
        "testA/shard-0.tar/a.png",
    }
    assert plan.other_files == 2


def test_collisions_of_collisions_stay_apart(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "été.jpg") for form in ("NFC", "NFD"))
    names = ["a.jpg", "a.png", "a-jpg.png", "B.jpg", "b.jpg", composed, decomposed]
    source = _touch(tmp_path / "in", *names)
    outputs = list(_outputs(plan_conversion(source, tmp_path / "out", ConvertOptions())).values())
    folded = {unicodedata.normalize("NFC", name).casefold() for name in outputs}
    assert len(folded) == len(names)


def test_further_faces_take_no_other_pictures_name(tmp_path: Path) -> None:
    source = _touch(tmp_path / "in", "bob.jpg", "bob-2.jpg")
    plan = plan_conversion(source, tmp_path / "out", ConvertOptions())
    other, bob = plan.items
    assert bob.name == "bob.jpg"
    assert plan.path_of(bob, 1).name == "bob.png"
    assert plan.path_of(bob, 2).name == "bob-face2.png"
    assert plan.path_of(bob, 3).name == "bob-3.png"
    assert plan.path_of(other, 2).name == "bob-2-2.png"


def test_output_below_the_source_is_not_read_again(tmp_path: Path) -> None:
    source = _touch(tmp_path / "in", "a.jpg", "results/a.png", "results/sub/b.png")
    assert [
        i.name for i in plan_conversion(source, source / "results", ConvertOptions()).items
    ] == ["a.jpg"]


def test_a_result_never_overwrites_a_picture(tmp_path: Path) -> None:
    source = _touch(tmp_path / "x", "a.png", "x/a.png")
    with pytest.raises(ParamsError, match="folder of the pictures itself"):
        plan_conversion(source, source, ConvertOptions())
    with pytest.raises(ParamsError, match="would be overwritten"):
        plan_conversion(source / "a.png", source, ConvertOptions())
    with pytest.raises(ParamsError, match="would be overwritten"):
        plan_conversion(source / "a.png", source / "a.png", ConvertOptions())
    with pytest.raises(ParamsError, match="would be overwritten"):
        plan_conversion(source, tmp_path, ConvertOptions())


def test_further_face_never_overwrites_a_picture(tmp_path: Path) -> None:
    source = _touch(tmp_path / "in", "bob.jpg", "bob-2.png")
    plan = plan_conversion(source / "bob.jpg", source, ConvertOptions())
    assert plan.path_of(plan.items[0], 1) == source / "bob.png"
    (source / "nested").mkdir()
    nested = _touch(source / "nested", "bob.jpg", "nested/bob-2.png")
    plan = plan_conversion(nested, source, ConvertOptions())
    bob = next(item for item in plan.items if item.name == "bob.jpg")
    assert plan.path_of(bob, 2).name == "bob-2.png"


def test_single_picture_names_its_result(tmp_path: Path) -> None:
    source = _touch(tmp_path, "a.jpg") / "a.jpg"
    plan = plan_conversion(source, tmp_path / "new" / "b.webp", ConvertOptions())
    assert (plan.items[0].output, plan.items[0].format) == (tmp_path / "new" / "b.webp", "webp")
    plan = plan_conversion(source, tmp_path / "new", ConvertOptions(format="jpg", prefix="p"))
    assert plan.items[0].output == tmp_path / "new" / "p-a.jpg"


def test_very_long_names_are_shortened(tmp_path: Path) -> None:
    source = _touch(tmp_path / "in", "é" * 120 + ".png", "é" * 119 + "e.png")
    outputs = list(_outputs(plan_conversion(source, tmp_path / "out", ConvertOptions())).values())
    assert len(set(outputs)) == 2
    assert all(len(name.encode()) < 220 for name in outputs)


@pytest.mark.parametrize(
    "options",
    [
        ConvertOptions(is_mosaic=True, faces="paste"),
        ConvertOptions(batch_size=0),
        ConvertOptions(strength=1.01),
        ConvertOptions(strength=float("nan")),
        ConvertOptions(screentone_px=2.9),
        ConvertOptions(screentone_px=65),
        ConvertOptions(enlarge=0),
        ConvertOptions(enlarge=9),
        ConvertOptions(enlarge=2, is_mosaic=True),
        ConvertOptions(paste_colour="keep"),
        ConvertOptions(tile_px=64),
        ConvertOptions(is_mosaic=True, max_memory_mib=0),
        ConvertOptions(max_memory_mib=64),
        ConvertOptions(max_side_px=64),
        ConvertOptions(fps=12),
        ConvertOptions(no_face="skip", faces="whole"),
        ConvertOptions(no_face="skip", is_mosaic=True),
        ConvertOptions(prefix="../up"),
        ConvertOptions(prefix=""),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: ConvertOptions) -> None:
    with pytest.raises(ParamsError) as caught:
        plan_conversion(_touch(tmp_path / "in", "a.png"), tmp_path / "out", options)
    assert caught.value.hint


def test_source_and_output_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    source = _touch(tmp_path / "in", "a.jpg", "empty/notes.txt")
    with pytest.raises(DatasetError, match="no such file"):
        plan_conversion(tmp_path / "none", tmp_path / "out", ConvertOptions())
    with pytest.raises(DatasetError, match="no picture in"):
        plan_conversion(source / "empty", tmp_path / "out", ConvertOptions())
    with pytest.raises(ParamsError, match="is a folder"):
        plan_conversion(source, tmp_path / "film.gif", ConvertOptions())
    with pytest.raises(ParamsError, match=r"cannot write a picture \.bmp"):
        plan_conversion(source / "a.jpg", tmp_path / "b.bmp", ConvertOptions())
    with pytest.raises(ParamsError, match="disagree"):
        plan_conversion(source / "a.jpg", tmp_path / "b.png", ConvertOptions(format="jpg"))
    with pytest.raises(ParamsError, match="both name"):
        plan_conversion(source / "a.jpg", tmp_path / "b.png", ConvertOptions(prefix="p"))
    with pytest.raises(AnymusError, match="is a file"):
        plan_conversion(source, source / "empty" / "notes.txt", ConvertOptions())
    with pytest.raises(AnymusError, match="is a file"):
        plan_conversion(source, source / "a.jpg" / "out", ConvertOptions())


def test_a_missing_picture_is_called_missing_whatever_the_output(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere\.jpg"):
        plan_conversion(tmp_path / "nowhere.jpg", tmp_path / "out.png", ConvertOptions())


def test_a_pattern_does_not_go_into_one_file(tmp_path: Path) -> None:
    _touch(tmp_path / "in", "a.png")
    with pytest.raises(ParamsError, match=r"\*\.png may match several files"):
        plan_conversion(tmp_path / "in" / "*.png", tmp_path / "out.png", ConvertOptions())
