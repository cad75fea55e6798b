"""What people decide in overrides/*.csv reaches the data set, and no line of it is lost."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anymus.errors import ParamsError
from anymus.files import sha256_bytes
from anymus.images import encode_png
from anymus.manifest import DOMAINS, Domain, ImageRecord, read_manifest, write_manifest
from anymus.params import Params
from chromium import PROGRAM, Page, open_chromium
from curation.dedupe import dedupe
from curation.hashes import fingerprint
from curation.overrides import Override, read_overrides
from curation.report import report
from curation.split import split

KINDS = ("plain", "blurred", "copy", "own")
Tell = Callable[..., None]


def _face(folder: Path, domain: Domain, person: int, kind: str) -> ImageRecord:
    """Write a face and return its row; `copy` and `plain` of one person are near-duplicates."""
    side = DOMAINS.index(domain)
    rng = np.random.default_rng([side, person, kind == "own"])
    rgb_u8 = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    rgb_u8[0, 0] = KINDS.index(kind)  # bytes of its own, hashes of its kind
    png = encode_png(rgb_u8)
    sha256 = sha256_bytes(png)
    (folder / f"{sha256}.png").write_bytes(png)
    print_ = fingerprint(rgb_u8).to_hex()
    row = ImageRecord(
        id=sha256,
        domain=domain,
        file=f"{sha256}.png",
        parent=sha256_bytes(f"{side}{person}{kind}".encode()),
        parent_size_px=(64, 64),
        parent_print=print_,
        picture_print=print_,
        box=(8, 8, 40, 40),
        url=f"http://x/{person}/{kind}",
        quality={"upscale": 1.0, "sharpness": 10.0 - KINDS.index(kind)},
    )
    return row.reject("blurred") if kind == "blurred" else row


@pytest.fixture
def project(params: Params, tmp_path: Path) -> tuple[Params, Path]:
    """Return parameters and a folder of crops: per domain 12 people, the first in four pictures."""
    for domain in DOMAINS:
        folder = tmp_path / "faces" / domain
        folder.mkdir(parents=True)
        rows = [_face(folder, domain, person, "plain") for person in range(12)]
        rows += [_face(folder, domain, 0, kind) for kind in KINDS[1:]]
        write_manifest(folder, rows)
    paths = params.paths.model_copy(update={"overrides": str(tmp_path / "overrides")})
    limits = params.split.model_copy(update={"min_train": 1, "min_test": 1, "test_share": 0.4})
    return params.model_copy(update={"paths": paths, "split": limits}), tmp_path


def _run(project: tuple[Params, Path]) -> tuple[dict[str, ImageRecord], dict[str, int]]:
    """Return the rows of the photo faces after dedupe by URL, and the figures of split."""
    params, root = project
    for domain in DOMAINS:
        dedupe(params, domain, root / "faces" / domain, root / "unique" / domain)
    figures = split(params, root / "unique", root / "dataset").as_metrics()
    return {str(row.url): row for row in read_manifest(root / "unique" / "photo")}, figures


def _tell(root: Path, *lines: str, name: str = "overrides.csv") -> None:
    (root / "overrides").mkdir(exist_ok=True)
    text = "\n".join(["id,action,to,note", *lines]) + "\n"
    (root / "overrides" / name).write_text(text, encoding="utf-8")


def test_without_a_file_the_stages_decide(project: tuple[Params, Path]) -> None:
    rows, figures = _run(project)
    reasons = {url: row.reason for url, row in rows.items() if not row.is_kept}
    assert reasons == {"http://x/0/blurred": "blurred", "http://x/0/copy": "near_duplicate"}
    assert (figures["moved"], figures["unknown_overrides"]) == (0, 0)


def test_keep_and_drop_outweigh_what_the_stages_found(project: tuple[Params, Path]) -> None:
    before, _ = _run(project)
    of = {url.removeprefix("http://x/"): row.id for url, row in before.items()}
    lines = (
        f"{of['0/blurred']},keep,,fog",
        f"{of['0/copy']},KEEP,,",
        f"{of['3/plain']},drop,,a hand",
    )
    _tell(project[1], *lines)
    rows, figures = _run(project)
    assert {url for url, row in rows.items() if not row.is_kept} == {"http://x/3/plain"}
    assert rows["http://x/3/plain"].reason == "dropped"
    group = {rows[f"http://x/0/{kind}"].group for kind in ("plain", "blurred", "copy")}
    assert len(group) == 1
    kept = {row.id for row in read_manifest(project[1] / "dataset") if row.domain == "photo"}
    assert kept == {row.id for row in rows.values() if row.is_kept}
    assert figures["leaks"] == 0


def test_a_dropped_face_leaves_its_place_to_the_next_best(project: tuple[Params, Path]) -> None:
    before, _ = _run(project)
    _tell(project[1], f"{before['http://x/0/plain'].id},drop,,")
    rows, _ = _run(project)
    assert rows["http://x/0/copy"].is_kept


def _photo_sides(root: Path) -> dict[str, str]:
    rows = read_manifest(root / "dataset")
    return {str(row.url): str(row.split) for row in rows if row.domain == "photo"}


def test_move_takes_the_whole_group_along(project: tuple[Params, Path]) -> None:
    _, root = project
    before, _ = _run(project)
    _tell(root, *(f"{before[f'http://x/0/{kind}'].id},keep,," for kind in ("copy", "blurred")))
    _run(project)
    sides = _photo_sides(root)
    other = "train" if sides["http://x/0/plain"] == "test" else "test"
    _tell(root, f"{before['http://x/0/copy'].id},move,{other},", name="zz.csv")
    _, figures = _run(project)
    rows = [row for row in read_manifest(root / "dataset") if row.domain == "photo"]
    after = _photo_sides(root)
    assert {after[f"http://x/0/{kind}"] for kind in ("plain", "copy", "blurred")} == {other}
    assert all((root / "dataset" / f"{row.split}A" / f"{row.id}.png").is_file() for row in rows)
    assert figures["moved"] == 1
    moved = {url for url in after if after[url] != sides[url]}
    assert moved == {f"http://x/0/{kind}" for kind in ("plain", "copy", "blurred")}


def test_a_group_cannot_be_moved_to_both_sides(project: tuple[Params, Path]) -> None:
    before, _ = _run(project)
    one, other = (before[f"http://x/0/{kind}"].id for kind in ("plain", "copy"))
    _tell(project[1], f"{other},keep,,", f"{one},move,train,", f"{other},move,test,")
    with pytest.raises(ParamsError, match=r"csv:4 .*csv:3|csv:3 .*csv:4"):
        _run(project)


def test_ids_that_no_face_has_are_counted(project: tuple[Params, Path]) -> None:
    _tell(project[1], f"{'ab' * 32},drop,,", f"{'cd' * 32},move,test,")
    assert _run(project)[1]["unknown_overrides"] == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["abc,drop,,"], r"overrides\.csv:2: 'abc' is no id"),
        ([f"{'ab' * 32},burn,,"], r"unknown action 'burn'"),
        ([f"{'ab' * 32},move,attic,"], r"cannot move to 'attic'"),
        ([f"{'ab' * 32},keep,,", f"{'ab' * 32},drop,,"], r"csv:2 and .*csv:3 say opposite"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    _tell(tmp_path, *lines)
    with pytest.raises(ParamsError, match=message):
        read_overrides(tmp_path / "overrides")


def test_files_add_up_and_a_missing_folder_says_nothing(tmp_path: Path) -> None:
    assert read_overrides(tmp_path / "overrides") == {}
    _tell(tmp_path, f"{'AB' * 32},keep,,good")
    _tell(tmp_path, f"{'ab' * 32},move,test,", f"{'cd' * 32},drop,,", name="second.csv")
    found = read_overrides(tmp_path / "overrides")
    assert {key: (o.is_kept, o.side) for key, o in found.items()} == {
        "ab" * 32: (True, "test"),
        "cd" * 32: (False, None),
    }
    assert found["ab" * 32].note == "good"
    assert found["cd" * 32] == Override(False, None, found["cd" * 32].where)
    (tmp_path / "overrides" / "bad.csv").write_text("name\nx\n")
    with pytest.raises(ParamsError, match="has no column action, id"):
        read_overrides(tmp_path / "overrides")


def _click(page: Page, selector: str) -> None:
    """Click with the mouse what a selector names, scrolled into view."""
    found = f"document.querySelector({selector!r})"
    page.run(f"{found}.scrollIntoView({{block: 'center'}})")
    box = page.run(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
                   f"({found}.getBoundingClientRect())")  # fmt: skip
    for kind in ("mousePressed", "mouseReleased"):
        place = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
        page.call("Input.dispatchMouseEvent", type=kind, **place)


def _decide(page: Page, identity: str, act: str, note: str = "") -> None:
    _click(page, f'button.tile[data-id="{identity}"]')
    _click(page, "#note")
    page.call("Input.insertText", text=note)
    _click(page, f'#bar button[data-act="{act}"]')


@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason="needs Chromium (apt-get install chromium)")
def test_what_is_clicked_on_the_report_is_what_the_next_run_does(
    project: tuple[Params, Path],
) -> None:
    params, root = project
    folders = {name: str(root / name) for name in ("faces", "unique", "dataset")}
    folders |= {"raw": str(root / "faces"), "detected": str(root / "none")}
    params = params.model_copy(update={"paths": params.paths.model_copy(update=folders)})
    rows, _ = _run((params, root))
    sides = _photo_sides(root)
    old, kept, moved = (rows[f"http://x/{n}/plain"] for n in (3, 4, 5))
    other = "train" if sides[str(moved.url)] == "test" else "test"
    _tell(root, f"{old.id},drop,,decided before", f"{kept.id},move,train,")
    report(params, root / "report")
    with open_chromium() as page:
        page.open((root / "report" / "index.html").as_uri())
        page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(root))
        _decide(page, rows["http://x/0/blurred"].id, "keep")
        _decide(page, rows["http://x/0/plain"].id, "drop", 'a "mask", no face')
        _decide(page, moved.id, other)
        _decide(page, kept.id, "undo")
        assert page.run("document.getElementById('decided').innerText") == "4 decisions, not saved"
        _click(page, "#save")
        page.wait_for("document.getElementById('decided').innerText === '4 decisions'")
        for _ in range(100):
            if (root / "overrides.csv").is_file():
                break
            page.run("new Promise(done => setTimeout(done, 100))")
        assert page.failures == []
        assert [
            one for one in page.addresses if not one.startswith(("data:", "blob:", "file:"))
        ] == []
    (root / "overrides.csv").replace(root / "overrides" / "overrides.csv")
    decisions = read_overrides(root / "overrides")
    assert decisions[rows["http://x/0/plain"].id].note == 'a "mask", no face'
    assert decisions[old.id].note == "decided before"
    settled, figures = _run((params, root))
    assert settled["http://x/0/blurred"].is_kept
    assert {settled[f"http://x/{n}/plain"].reason for n in (0, 3)} == {"dropped"}
    assert settled["http://x/4/plain"].is_kept
    assert _photo_sides(root)[str(moved.url)] == other
    assert (figures["leaks"], figures["unknown_overrides"]) == (0, 0)
