import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from anymus.errors import ImageError
from anymus.files import sha256_bytes
from anymus.images import encode_png, read_rgb
from anymus.shards import (
    PictureStore,
    count_shards,
    find_shard,
    iter_members,
    plain_path,
    read_index,
    read_stored,
    shard_name,
    size_stored,
    walk_stored,
    write_shard,
)

MEMBERS = [("ab/one.bin", b"1" * 700), ("ab/two.bin", b""), ("z.bin", b"zz")]


def test_same_members_give_the_same_bytes_and_any_tar_reads_them(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", MEMBERS)
    write_shard(tmp_path / "b.tar", iter(MEMBERS))

    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert [member.name for member in archive] == [name for name, _ in MEMBERS]
        assert {member.mtime for member in archive} == {0}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "b.tar"]


def test_members_are_read_by_path_like_files(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", MEMBERS)
    (tmp_path / "plain.bin").write_bytes(b"plain")

    for name, content in MEMBERS:
        assert read_stored(tmp_path / "a.tar" / name) == content
        assert size_stored(tmp_path / "a.tar" / name) == len(content)
    assert list(iter_members(tmp_path / "a.tar")) == MEMBERS
    assert read_stored(tmp_path / "plain.bin") == b"plain"
    with pytest.raises(FileNotFoundError, match=r"a\.tar/no"):
        read_stored(tmp_path / "a.tar" / "no")


def test_the_index_finds_members_in_any_order_and_keeps_theirs(tmp_path: Path) -> None:
    members = [(f"{n * 7 % 50:03d}.png", bytes([n]) * n) for n in range(50)] + [("é", b"x")]
    write_shard(tmp_path / "a.tar", members)
    index = read_index(tmp_path / "a.tar")
    assert list(index) == [name for name, _ in members]
    assert all(read_stored(tmp_path / "a.tar" / name) == content for name, content in members)
    assert "nix" not in index
    assert index.get("") is None


def test_a_changed_archive_is_read_anew(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", MEMBERS)
    assert len(read_index(tmp_path / "a.tar")) == 3

    write_shard(tmp_path / "a.tar", [("ab/one.bin", b"new")])

    assert read_stored(tmp_path / "a.tar/ab/one.bin") == b"new"
    assert len(read_index(tmp_path / "a.tar")) == 1


@pytest.mark.parametrize("cut", [10, 600, 1300])
def test_an_archive_cut_short_is_an_error(tmp_path: Path, cut: int) -> None:
    write_shard(tmp_path / "a.tar", MEMBERS)
    content = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(content[:cut])

    with pytest.raises(OSError, match=r"archive"):
        read_stored(tmp_path / "a.tar/ab/one.bin")


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "ab/one.bin"])
def test_unusable_names_leave_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not usable"):
        write_shard(tmp_path / "a.tar", [("ab/one.bin", b"1"), (name, b"2")])

    assert list(tmp_path.iterdir()) == []


def test_shards_are_even_and_only_one_changes_with_a_file() -> None:
    hashes = [sha256_bytes(bytes([n % 256, n // 256])) for n in range(4000)]
    shards = count_shards(len(hashes), 300)
    names = [shard_name(sha256, shards) for sha256 in hashes]

    assert shards == 16
    assert set(names) == {f"shard-{number:x}.tar" for number in range(16)}
    assert max(names.count(name) for name in set(names)) < 320
    assert count_shards(0, 10) == count_shards(10, 10) == 1
    assert shard_name(hashes[0], 1) == "shard-0.tar"


def test_pictures_are_read_out_of_shards(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    write_shard(tmp_path / "s.tar", [("x/a.png", encode_png(pixels))])

    assert (read_rgb(tmp_path / "s.tar/x/a.png") == pixels).all()
    with pytest.raises(ImageError, match="No such file"):
        read_rgb(tmp_path / "s.tar/x/b.png")


@pytest.mark.parametrize("shards", [0, 4])
def test_a_store_keeps_pictures_as_files_or_in_shards(tmp_path: Path, shards: int) -> None:
    contents = sorted((bytes([n]) * 9 for n in range(40)), key=sha256_bytes)
    write_shard(tmp_path / "own.tar", [(f"{n}.png", c) for n, c in enumerate(contents)])
    (tmp_path / "plain.png").write_bytes(contents[0])
    with PictureStore(tmp_path / "dst", shards) as store:
        names = [store.take(sha256_bytes(contents[0]), tmp_path / "plain.png", is_own=True)]
        for number, content in enumerate(contents[1:], start=1):
            source = tmp_path / "own.tar" / f"{number}.png"
            names.append(store.take(sha256_bytes(content), source))
    paths = list(walk_stored(tmp_path / "dst"))
    assert paths == [tmp_path / "dst" / name for name in names]
    assert [read_stored(path) for path in paths] == contents
    assert [plain_path(path).name for path in paths] == [
        f"{sha256_bytes(content)}.png" for content in contents
    ]
    archives = {shard[0].name for path in paths if (shard := find_shard(path))}
    assert archives == {f"shard-{n:x}.tar" for n in range(shards)}


def _broken_members() -> Iterator[tuple[str, bytes]]:
    yield "x.png", b"1"
    raise OSError("no more")


def test_a_failed_writer_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no more"):
        write_shard(tmp_path / "a.tar", _broken_members())
    with pytest.raises(FileNotFoundError), PictureStore(tmp_path / "dst", 1) as store:
        store.take(sha256_bytes(b"1"), tmp_path / "missing.png")
    assert [path.name for path in tmp_path.iterdir()] == ["dst"]
    assert not list((tmp_path / "dst").iterdir())
