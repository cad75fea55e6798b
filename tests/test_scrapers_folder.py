import base64
import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anymus.encoded import read_facts
from anymus.errors import DatasetError, ParamsError
from anymus.files import sha256_bytes
from anymus.images import encode_jpeg, encode_png
from anymus.manifest import ImageRecord, read_manifest
from anymus.params import Params
from scrapers.folder import scrape_folder
from scrapers.page import PAGE_NAME, write_page
from scrapers.report import ScrapeReport


def noise(seed: int, side_px: int = 80) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder with two good pictures, a copy, and what else lies in folders."""
    folder = tmp_path / "mine"
    (folder / "sub" / "ünder").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(encode_jpeg(noise(1)))
    (folder / "sub" / "ünder" / "b.PNG").write_bytes(encode_png(noise(2)))
    (folder / "sub" / "copy of a.jpeg").write_bytes(encode_jpeg(noise(1)))
    (folder / "half.jpg").write_bytes(encode_jpeg(noise(3))[:-700])
    (folder / "page.jpg").write_bytes(b"<html></html>")
    (folder / "icon.png").write_bytes(encode_png(noise(4, 16)))
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.jpg").write_bytes(encode_jpeg(noise(5)))
    return folder


@pytest.fixture
def lenient(params: Params) -> Params:
    scrape = params.scrape.model_copy(update={"max_rejected_share": 1.0})
    return params.model_copy(update={"scrape": scrape})


def by_path(folder: Path) -> dict[str, ImageRecord]:
    return {row.source_path or "": row for row in read_manifest(folder)}


def write_credits(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_every_file_has_its_row_and_the_source_is_untouched(
    lenient: Params, source: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}

    report = scrape_folder(lenient, source, "manga", tmp_path / "raw")

    rows = by_path(tmp_path / "raw")
    assert {path: row.reason for path, row in rows.items()} == {
        "a.jpg": None,
        "sub/ünder/b.PNG": None,
        "sub/copy of a.jpeg": "same_bytes",
        "half.jpg": "truncated",
        "page.jpg": "not_an_image",
        "icon.png": "too_small",
    }
    assert (report.pictures, report.domain) == (2, "manga")
    kept = rows["sub/ünder/b.PNG"]
    assert kept.file is not None
    content = (tmp_path / "raw" / kept.file).read_bytes()
    assert content == (source / "sub/ünder/b.PNG").read_bytes()
    assert kept.id == sha256_bytes(content)
    assert kept.file.endswith(f"{kept.id}.png")
    assert {path: path.read_bytes() for path in before} == before


def test_workers_and_runs_do_not_change_the_manifest(
    lenient: Params, source: Path, tmp_path: Path
) -> None:
    two = lenient.model_copy(update={"engine": lenient.engine.model_copy(update={"workers": 2})})
    scrape_folder(lenient, source, "photo", tmp_path / "one")
    scrape_folder(two, source, "photo", tmp_path / "two")

    first, second = (tmp_path / name / "manifest.jsonl" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    assert str(tmp_path) not in first.read_text()


def test_credits_beside_the_pictures(lenient: Params, source: Path, tmp_path: Path) -> None:
    row = {"path": "a.jpg", "author": "Ada", "licence": "CC0 1.0", "group": "g1", "more": "x"}
    write_credits(source / "credits.csv", [row])

    report = scrape_folder(lenient, source, "photo", tmp_path / "raw")

    found = by_path(tmp_path / "raw")["a.jpg"]
    assert (found.author, found.licence, found.group) == ("Ada", "CC0 1.0", "g1")
    assert report.licences == {"CC0 1.0": 1, "unknown": 1}
    assert report.as_metrics()["without_licence"] == 1


def test_credits_file_above_the_folder(lenient: Params, source: Path, tmp_path: Path) -> None:
    rows = [
        {"path": "mine/sub/ünder/b.PNG", "title": "Bee", "licence_url": "https://example.org/l"},
        {"path": "mine/gone.jpg", "title": "Gone", "licence_url": ""},
        {"path": "../../../etc/passwd", "title": "No", "licence_url": ""},
    ]
    path = write_credits(tmp_path / "manifest.csv", rows)

    scrape_folder(lenient, source, "photo", tmp_path / "raw", path)

    found = by_path(tmp_path / "raw")["sub/ünder/b.PNG"]
    assert (found.title, found.licence_url) == ("Bee", "https://example.org/l")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text("name,author\na.jpg,Ada\n"),
        lambda path: path.write_bytes(b"path,author\na.jpg,\xff\xfe\n"),
        lambda _: None,
    ],
)
def test_bad_credits_are_refused(
    lenient: Params, source: Path, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    spoil(tmp_path / "c.csv")

    with pytest.raises(ParamsError, match=r"c\.csv"):
        scrape_folder(lenient, source, "photo", tmp_path / "raw", tmp_path / "c.csv")

    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("dst", [".", "inside", "..", "../mine"])
def test_folders_within_one_another_are_refused(lenient: Params, source: Path, dst: str) -> None:
    with pytest.raises(ParamsError, match="within one another"):
        scrape_folder(lenient, source, "photo", source / dst)


def test_folder_that_holds_other_things_is_not_replaced(
    lenient: Params, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("keep me")

    with pytest.raises(ParamsError, match="holds files"):
        scrape_folder(lenient, source, "photo", tmp_path / "full")

    assert (tmp_path / "full" / "letter.txt").read_text() == "keep me"


def test_no_pictures_and_no_usable_pictures(lenient: Params, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no picture"):
        scrape_folder(lenient, tmp_path / "empty", "photo", tmp_path / "raw")
    (tmp_path / "empty" / "x.jpg").write_bytes(b"text")
    with pytest.raises(DatasetError, match="1 not_an_image"):
        scrape_folder(lenient, tmp_path / "empty", "photo", tmp_path / "raw")
    with pytest.raises(ParamsError, match="not a folder"):
        scrape_folder(lenient, tmp_path / "nowhere", "photo", tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_limits_hold_for_folders(lenient: Params, source: Path, tmp_path: Path) -> None:
    largest = (source / "sub/ünder/b.PNG").stat().st_size

    def run(**limits: int) -> ScrapeReport:
        scrape = lenient.scrape.model_copy(update=limits)
        changed = lenient.model_copy(update={"scrape": scrape})
        return scrape_folder(changed, source, "photo", tmp_path / "raw")

    assert run(max_picture_bytes=largest - 1).rejected["too_many_bytes"] == 1
    assert not run(max_pictures=3).is_complete
    assert len(read_manifest(tmp_path / "raw")) == 3


@pytest.mark.parametrize(
    ("kind", "size", "shown"),
    [
        ("jpg", (500, 375), (125, 94)),  # as the decoder gives it at a quarter
        ("jpg", (600, 450), (128, 96)),  # a quarter is too large, an eighth too small
        ("jpg", (1000, 30), (125, 4)),
        ("jpg", (40, 30), (40, 30)),
        ("png", (375, 500), (96, 128)),
    ],
)
def test_a_thumbnail_is_no_larger_than_it_is_shown(
    tmp_path: Path, kind: str, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    pixels = np.full((size[1], size[0], 3), 90, dtype=np.uint8)
    content = encode_jpeg(pixels) if kind == "jpg" else encode_png(pixels)
    (tmp_path / f"a.{kind}").write_bytes(content)
    row = ImageRecord(id="a", domain="photo", file=f"a.{kind}", width_px=size[0], height_px=size[1])

    write_page(tmp_path, [row], "mine")

    found = re.search(r"data:image/jpeg;base64,([^\"]+)", (tmp_path / PAGE_NAME).read_text())
    assert found is not None
    facts = read_facts(base64.b64decode(found[1]))
    assert (facts.width_px, facts.height_px) == shown
