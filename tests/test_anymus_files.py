"""Files are whole or not there."""

import os
from pathlib import Path

import pytest

from anymus import files
from anymus.errors import AnymusError


def test_atomic_folder_replaces_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for name in ("first", "second"):
        with files.atomic_folder(target) as partial:
            (partial / name).write_text(name)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in target.iterdir()] == ["second"]


def test_atomic_folder_keeps_the_old_one_on_an_error(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with files.atomic_folder(target) as partial:
        (partial / "kept").touch()
    with pytest.raises(RuntimeError), files.atomic_folder(target) as partial:  # noqa: PT012
        (partial / "half").touch()
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (target / "kept").exists()


def test_a_folder_that_cannot_be_made_is_said_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(AnymusError, match=r"cannot write .*file/out: Not a directory"),
        files.atomic_folder(tmp_path / "file" / "out"),
    ):
        pytest.fail("there is nothing to fill")


def test_writing_replaces_a_link_and_not_its_target(tmp_path: Path) -> None:
    cached = tmp_path / "cached"
    cached.write_text("in the cache")
    symbolic, hard = tmp_path / "symbolic", tmp_path / "hard"
    symbolic.symlink_to(cached)
    os.link(cached, hard)
    files.write_text(symbolic, "new")
    files.write_text(hard, "new")
    assert cached.read_text() == "in the cache"
    assert (symbolic.read_text(), hard.read_text()) == ("new", "new")


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    (folder / "file").touch()
    with pytest.raises(OSError, match="taken"):
        files.write_text(folder, "text")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_walk_is_sorted_and_leaves_hidden_files_out(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "b/1.jpg", "a.webp", ".hidden/x.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in files.walk_images(tmp_path)]
    assert found == ["a.webp", "b/1.jpg", "b/2.PNG"]


def test_hashes_agree(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"anymus")
    assert files.sha256_file(path) == files.sha256_bytes(b"anymus")
    assert files.content_path("abcdef", ".png").as_posix() == "ab/abcdef.png"


def test_walk_does_not_follow_a_linked_folder(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "back").symlink_to(tmp_path)
    assert [path.name for path in files.walk_files(tmp_path)] == ["a.png"]
