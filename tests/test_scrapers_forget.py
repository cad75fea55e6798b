"""Forget: out of everything that was made of a picture, and never back."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anymus.blocklist import Blocklist, add_entries, hash_picture, load_blocklist
from anymus.errors import DatasetError, ParamsError
from anymus.files import sha256_bytes
from anymus.images import decode_rgb, encode_jpeg
from anymus.ledger import Ledger, key_of, load_ledger, write_ledger
from anymus.manifest import Face, ImageRecord, read_manifest, write_manifest
from anymus.params import Params
from anymus.shards import read_index, write_shard
from curation.detect import detect
from hostile import Hostile, gallery, picture, reasons
from scrapers.forget import forget
from scrapers.report import ScrapeReport
from scrapers.state import iter_entries

Crawl = Callable[..., ScrapeReport]


@pytest.fixture
def project(params: Params, tmp_path: Path) -> Params:
    """Return the parameters of a project whose folders all lie in `tmp_path`."""
    paths = {name: str(tmp_path / str(path)) for name, path in params.paths}
    paths["blocklist"] = str(tmp_path / "blocklist.txt")
    return params.model_copy(update={"paths": params.paths.model_copy(update=paths)})


def collect(hostile: Hostile, crawl: Crawl, project: Params, tmp_path: Path) -> list[ImageRecord]:
    """Crawl three pictures into the project's photo folder and make crops of them."""
    for number in (1, 2):
        hostile.image(f"/{number}.jpg", picture(number))
    hostile.html("/", gallery("/0.jpg", "/1.jpg", "/2.jpg"))
    crawl()
    raw = Path(project.paths.raw) / "photo"
    raw.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "raw").rename(raw)
    shutil.move(tmp_path / ".raw.crawl", raw.parent / ".photo.crawl")
    rows = [row.model_copy(update={"author": "Ann B."}) for row in read_manifest(raw)]
    write_manifest(raw, rows)
    face = Face(box=(0, 0, 9, 9), score=1.0, landmarks={})
    crops = []
    members = []
    for row in rows:
        png = encode_jpeg(decode_rgb(picture(int(str(row.url)[-5]))))
        crop = {"id": sha256_bytes(png), "parent": row.id, "file": f"s.tar/{row.id}.png"}
        crops.append(row.model_copy(update=crop))
        members.append((f"{row.id}.png", png))
    detected = Path(project.paths.detected) / "photo"
    detected.mkdir(parents=True)
    found = [row.model_copy(update={"faces": (face,)}).relocated(raw, detected) for row in rows]
    write_manifest(detected, found)
    faces, dataset = Path(project.paths.faces) / "photo", Path(project.paths.dataset)
    faces.mkdir(parents=True)
    write_shard(faces / "s.tar", members)
    write_manifest(faces, crops)
    (dataset / "trainA").mkdir(parents=True)
    for crop_row, (_, png) in zip(crops, members, strict=True):
        (dataset / "trainA" / f"{crop_row.id}.png").write_bytes(png)
    named = [row.model_copy(update={"file": f"trainA/{row.id}.png"}) for row in crops]
    write_manifest(dataset, named)
    for sheet in (Path(project.paths.report) / "index.html", dataset.parent / "keep.html"):
        sheet.parent.mkdir(parents=True, exist_ok=True)
        sheet.write_text("a page")
    keys = np.array([key_of(row.id) for row in rows], np.uint64)
    ledger = Ledger().with_new(keys, np.zeros(len(keys), bool))
    write_ledger(Path(project.paths.sides), ledger)
    return rows


def test_forget_reaches_everything_and_survives_a_rerun(
    hostile: Hostile, crawl: Crawl, project: Params, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    rows = collect(hostile, crawl, project, tmp_path)
    monkeypatch.chdir(tmp_path)
    here = {name: os.path.relpath(path) for name, path in project.paths}
    project = project.model_copy(update={"paths": project.paths.model_copy(update=here)})
    gone = next(row for row in rows if str(row.url).endswith("/1.jpg"))
    raw, dataset = Path(project.paths.raw) / "photo", Path(project.paths.dataset)

    ahead = forget(project, str(gone.url), is_dry=True)
    assert (raw / str(gone.file)).is_file()
    assert not Path(project.paths.blocklist).exists()
    assert len(load_ledger(Path(project.paths.sides))) == 3
    done = forget(project, str(gone.url))

    assert [place.path for place in ahead.places] == [place.path for place in done.places]
    assert not any(Path(place.path).is_absolute() for place in done.places)
    for folder in (raw, Path(project.paths.detected) / "photo", dataset):
        left = read_manifest(folder)
        assert len(left) == 2
        assert gone.id not in {row.id for row in left} | {row.parent for row in left}
    assert not list(tmp_path.rglob(f"{gone.id}*"))
    ledger = load_ledger(Path(project.paths.sides))
    assert (len(ledger), ledger.side_of(gone.id)) == (2, None)
    assert len(read_index(Path(project.paths.faces) / "photo/s.tar")) == 2
    assert len(list((dataset / "trainA").iterdir())) == 2
    state = raw.parent / ".photo.crawl"
    assert gone.id not in {entry.row.id for entry in iter_entries(state)}
    assert not (Path(project.paths.report) / "index.html").exists()
    assert (dataset.parent / "keep.html").exists()
    assert gone.id[:12] not in (raw / "index.html").read_text()
    assert any("gc" in line or "repro" in line for line in done.remarks)
    text = Path(project.paths.blocklist).read_text()
    assert f"sha256 {gone.id}" in text
    assert "127.0.0.1" not in text
    hostile.asked.clear()

    crawl(cache_s=0.0)

    assert "/1.jpg" not in hostile.asked
    by_url = {str(row.url): row.reason for row in read_manifest(tmp_path / "raw")}
    assert by_url[str(gone.url)] == "blocked"


def test_what_was_forgotten_is_not_asked_for_by_another_way(
    hostile: Hostile, crawl: Crawl, project: Params, tmp_path: Path
) -> None:
    hostile.image("/1.jpg", picture(1))
    hostile.redirect("/again.jpg", "/1.jpg")
    hostile.redirect("/new.jpg", "/1.jpg")
    hostile.html("/", gallery("/0.jpg", "/1.jpg", "/again.jpg"))
    crawl()
    raw = Path(project.paths.raw) / "photo"
    raw.parent.mkdir(parents=True)
    (tmp_path / "raw").rename(raw)
    forget(project, f"{hostile.url}/1.jpg")
    hostile.asked.clear()
    hostile.html("/", gallery("/0.jpg", "/1.jpg", "/again.jpg", "/new.jpg"))

    crawl(cache_s=0.0)

    assert hostile.asked_for("/1.jpg", "/again.jpg", "/new.jpg") == ["/new.jpg"]
    ways = ("/1.jpg", "/again.jpg", "/new.jpg")
    assert reasons(tmp_path / "raw", hostile.url) == dict.fromkeys(ways, "blocked")


def test_an_author_is_forgotten_without_being_named(
    hostile: Hostile, crawl: Crawl, project: Params, tmp_path: Path
) -> None:
    collect(hostile, crawl, project, tmp_path)

    forget(project, "ann  b.")

    assert read_manifest(Path(project.paths.raw) / "photo") == []
    assert not list(Path(project.paths.raw).rglob("*.jpg"))
    text = Path(project.paths.blocklist).read_text().casefold()
    assert "ann" not in text.replace("anymus", "")
    assert load_blocklist(Path(project.paths.blocklist)).blocks_author("ANN B.")


def test_what_is_not_known_is_blocked_all_the_same(project: Params) -> None:
    with pytest.raises(DatasetError, match="blocked from now on"):
        forget(project, "https://example.org/x.jpg")

    blocklist = load_blocklist(Path(project.paths.blocklist))
    assert blocklist.blocks_url("https://example.org/x.jpg")
    assert not blocklist.blocks_url("https://example.org/y.jpg")


def test_bytes_and_near_pictures_are_never_stored(
    hostile: Hostile, crawl: Crawl, tmp_path: Path
) -> None:
    smooth = decode_rgb(picture(3))
    smooth[:, :40] //= 3
    hostile.image("/same.jpg", picture(5))
    hostile.image("/near.jpg", encode_jpeg(smooth, quality=60))
    hostile.html("/", gallery("/0.jpg", "/same.jpg", "/near.jpg"))
    entries = [("sha256", sha256_bytes(picture(5))), ("phash", hash_picture(smooth))]
    add_entries(tmp_path / "blocklist.txt", entries)

    crawl()

    reasons = {str(row.url)[-9:]: row.reason for row in read_manifest(tmp_path / "raw")}
    assert reasons["/same.jpg"] == reasons["/near.jpg"] == "blocked"
    assert len(list(tmp_path.rglob("*.jpg"))) == 2  # one picture, in the state and in the folder


def test_later_stages_leave_out_what_is_blocked(
    hostile: Hostile, crawl: Crawl, project: Params, tmp_path: Path
) -> None:
    collect(hostile, crawl, project, tmp_path)
    Path(project.paths.blocklist).write_text("author Ann B.\n")

    with pytest.raises(DatasetError, match="no kept pictures"):
        detect(project, "photo", Path(project.paths.raw) / "photo", tmp_path / "detected")


def test_a_blocklist_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "blocklist.txt"
    path.write_text("# mine\nurl https://a.example/art/\ndomain b.example # all of it\n\n")

    blocklist = load_blocklist(path)

    assert blocklist.blocks_url("https://a.example/art/1.jpg")
    assert blocklist.blocks_url("http://img.b.example/1.jpg")
    assert not blocklist.blocks_url("https://a.example/1.jpg")
    assert load_blocklist(tmp_path / "none.txt") == Blocklist()
    path.write_text("sha256 abc\n")
    with pytest.raises(ParamsError, match=r"blocklist\.txt:1"):
        load_blocklist(path)
