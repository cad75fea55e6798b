"""A person chooses the cut of sitters who are not clear."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_refine import CPU, Finds, Mirror
from test_sitters import SIDE_PX, X, Y, portrait, sloping
from typer.testing import CliRunner

from anymus.cli import build_app
from anymus.errors import AnymusError, DatasetError, ParamsError
from anymus.images import RgbU8, read_rgb, write_png
from anymus.manifest import ImageRecord, write_manifest
from training import lessons as lessons_module
from training.lessons import make_lessons
from training.refine import RefineOptions, refine
from training.sitter_choices import TABLE, read_choices, write_sheets
from training.sitters import CUTS, find_cuts, find_sitter

IDS = ("a" * 64, "b" * 64, "c" * 64)


def leaning() -> RgbU8:
    """Return a sitter between posts of the colours of skin and hair: not clear."""
    photo = portrait(sloping(90, 170))
    photo[(np.abs(X - 0.36) < 0.07) & (Y > -0.5)] = (205, 160, 135)
    photo[(np.abs(X + 0.36) < 0.07) & (Y > -0.5)] = (60, 40, 30)
    return photo


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    photos = (portrait(sloping(110, 110)), leaning(), leaning()[:, ::-1])
    rows = []
    for index, (identity, photo) in enumerate(zip(IDS, photos, strict=True)):
        file = f"trainA/{index}.png"
        write_png(folder / file, np.ascontiguousarray(photo))
        rows.append(ImageRecord(**record(identity, file)))
    write_manifest(folder, rows)
    return folder


def record(identity: str, file: str) -> dict[str, Any]:
    return {
        "id": identity,
        "file": file,
        "domain": "photo",
        "width_px": SIDE_PX,
        "height_px": SIDE_PX,
    }


def table(folder: Path, *lines: str, head: str = "number,id,cut") -> Path:
    path = folder / "chosen.csv"
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return path


def test_the_chosen_cut_is_the_sitter() -> None:
    photo = leaning()
    assert find_sitter(photo) is None
    cuts = find_cuts(photo)
    assert len(cuts) == CUTS
    assert len({cut.tobytes() for cut in cuts}) > 1
    for number, cut in enumerate(cuts, 1):
        assert np.array_equal(find_sitter(photo, number), cut)  # type: ignore[arg-type]
    clear = portrait(sloping(110, 110))
    assert find_sitter(clear) is not None
    assert find_sitter(clear, 0) is None


def test_sheets_show_who_is_not_clear_and_a_table_names_them(dataset: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        build_app(),
        ["weights", "sitters", "--dataset", str(dataset), "-o", str(tmp_path / "o"), "--json"],
    )
    assert done.exit_code == 0, done.output
    lines = (tmp_path / "o" / TABLE).read_text(encoding="utf-8").splitlines()
    assert lines == ["number,id,cut", f"1,{IDS[1]},", f"2,{IDS[2]},"]
    sheet = read_rgb(tmp_path / "o" / "sheet_01.png")
    assert sheet.shape[1] > (CUTS + 1) * 128
    magenta = (sheet == (255, 0, 255)).all(axis=2)
    assert not magenta[:, :120].any()
    assert magenta[:, 140:].mean() > 0.2


def test_what_lies_in_a_folder_is_never_replaced(dataset: Path, tmp_path: Path) -> None:
    write_sheets(dataset, tmp_path / "o")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for taken in (tmp_path / "o", tmp_path, dataset / "manifest.jsonl"):
        with pytest.raises(ParamsError, match="holds something"):
            write_sheets(dataset, taken)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (tmp_path / "empty").mkdir()
    assert write_sheets(dataset, tmp_path / "empty").unclear == 2


def test_choices_are_read_by_the_photo(dataset: Path, tmp_path: Path) -> None:
    chosen = table(tmp_path, f"1,{IDS[1]},3", f"2,{IDS[2]},0", f"3,{IDS[0]},", f"4,{'d' * 64},1")
    assert read_choices(chosen, dataset) == {"trainA/1.png": 3, "trainA/2.png": 0}


@pytest.mark.parametrize(
    ("lines", "head", "what"),
    [
        ([f"1,{IDS[1]},6"], "number,id,cut", r"chosen.csv:2: cut '6'"),
        ([f"1,{IDS[1]},left"], "number,id,cut", "cut 'left'"),
        ([f"1,{IDS[1]}"], "number,id", "no column cut"),
        ([f"1,{IDS[1]},"], "number,id,cut", "no choice"),
        ([f"1,{'d' * 64},1"], "number,id,cut", "no choice"),
    ],
)
def test_a_table_that_says_nothing_is_refused(
    dataset: Path, tmp_path: Path, lines: list[str], head: str, what: str
) -> None:
    with pytest.raises(ParamsError, match=what):
        read_choices(table(tmp_path, *lines, head=head), dataset)


def test_what_cannot_be_read_or_written_is_said_in_a_line(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"cannot read .*none\.csv: No such file"):
        read_choices(tmp_path / "none.csv", dataset)
    blocked = table(tmp_path, f"1,{IDS[1]},3") / "o"
    with pytest.raises(AnymusError, match=r"cannot write .*chosen\.csv/o"):
        write_sheets(dataset, blocked)


def test_without_a_manifest_there_are_no_ids(dataset: Path, tmp_path: Path) -> None:
    (dataset / "manifest.jsonl").unlink()
    with pytest.raises(DatasetError, match="names its photos"):
        write_sheets(dataset, tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_lessons_take_the_chosen_cut(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    light = np.full((64, 64, 3), 200, np.uint8)
    monkeypatch.setattr(lessons_module, "draw", lambda *_: light)
    monkeypatch.setattr(lessons_module, "make_judge", Finds)
    made = make_lessons(
        Mirror(),  # type: ignore[arg-type]
        [Mirror()],  # type: ignore[list-item]
        dataset / "trainA",
        CPU,
        cuts={"trainA/0.png": 0, "trainA/1.png": 2},
    )
    assert [one.sitter is None for one in made] == [True, False, True]
    assert made[1].sitter is not None
    small = np.asarray(made[1].sitter) > 127
    assert small[32, 32]
    assert 0.2 < small.mean() < 0.9
    assert np.array_equal(made[1].sitter, find_sitter(made[1].photo, 2))  # type: ignore[arg-type]


def test_sitters_without_walls_are_refused(dataset: Path, tmp_path: Path) -> None:
    chosen = table(tmp_path, f"1,{IDS[1]},3")
    with pytest.raises(ParamsError, match="--wall-share"):
        refine(
            tmp_path / "w.safetensors", dataset, tmp_path / "o.safetensors",
            RefineOptions(sitters=chosen),
        )  # fmt: skip
