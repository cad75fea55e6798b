"""What differs between two states of the data set, and why, from manifests, Git and DVC."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from anymus.cli import build_app
from anymus.errors import DatasetError, ParamsError
from anymus.files import sha256_bytes, write_bytes
from anymus.images import encode_png
from anymus.manifest import DOMAINS, Domain, Face, ImageRecord, read_manifest, write_manifest
from anymus.params import Params, read_preset
from curation.dedupe import dedupe
from curation.diff import Change, diff
from curation.diff_page import write_page
from curation.snapshot import Snapshot, take_revision
from curation.split import split

Rows = list[ImageRecord]


def _id(name: str) -> str:
    return sha256_bytes(name.encode())


def _picture(name: str) -> ImageRecord:
    return ImageRecord(
        id=_id(f"picture {name}"), domain="photo", file="x.png", url=f"http://x/{name}"
    )


def _face(name: str, side: str = "train", pixels: str = "") -> ImageRecord:
    """Return the face of a picture as `split` writes it."""
    return _picture(name).model_copy(
        update={
            "id": _id(name + pixels),
            "parent": _id(f"picture {name}"),
            "box": (10, 10, 40, 40),
            "group": _id(name),
            "split": side,
            "file": f"{side}A/{_id(name + pixels)}.png",
            "quality": {"upscale": 1.0, "outside_share": 0, "face_outside_share": 0},
        }
    )


def _state(params: Params, root: Path, dataset: Rows, **stages: Rows) -> Snapshot:
    """Write the manifests of a project and return it; stages not given say what the data set is."""
    faces = [row.model_copy(update={"split": None}) for row in dataset if row.is_kept]
    write_manifest(root / "data/processed", dataset)
    for stage, path in (
        ("unique", "interim/unique"),
        ("detected", "interim/detected"),
        ("raw", "raw"),
    ):
        rows = stages.get(stage, [])
        known = faces if stage == "unique" else []
        write_manifest(root / "data" / path / "photo", [*rows, *known])
    return Snapshot(root.name, root, params.model_dump(mode="json"))


def _changes(before: Snapshot, after: Snapshot) -> dict[str, tuple[str, str, str]]:
    return {c.id: (c.kind, c.reason, c.detail) for c in diff(before, after).changes}


def test_a_face_that_is_gone_says_why(params: Params, tmp_path: Path) -> None:
    names = [
        "blurred",
        "copy",
        "dropped",
        "lost",
        "hidden",
        "refused",
        "changed",
        "gone",
        "blocked",
    ]
    rows = {name: _face(name) for name in [*names, "stays", "best"]}
    blurred = rows["blurred"].model_copy(
        update={"quality": {**rows["stays"].quality, "sharpness": 12.5}}
    )  # type: ignore[dict-item]
    best = rows["best"].model_copy(
        update={"group": _id("copies"), "file": "../../faces/photo/best.png"}
    )
    copy = rows["copy"].model_copy(update={"group": _id("copies")})
    face = Face(box=(200, 200, 20, 20), score=1.0, landmarks={})
    before = _state(params, tmp_path / "before", [rows[name] for name in [*names, "stays"]])
    after = _state(
        params,
        tmp_path / "after",
        [rows["stays"]],
        unique=[
            blurred.reject("blurred"),
            copy.reject("near_duplicate"),
            best,
            rows["dropped"].reject("dropped"),
        ],
        detected=[
            _picture("lost").reject("no_face"),
            _picture("hidden").model_copy(update={"faces": (face,)}),
        ],
        raw=[
            _picture("refused").reject("opt_out_noai"),
            _picture("changed").model_copy(update={"id": _id("other bytes")}),
        ],
    )
    write_bytes(
        tmp_path / "after/data/blocklist.txt", f"sha256 {rows['blocked'].parent}\n".encode()
    )
    text = f"id,action,to,note\n{rows['dropped'].id},drop,,a hand\n"
    write_bytes(tmp_path / "after/overrides/seen.csv", text.encode())
    found = _changes(before, after)
    assert {kind for kind, _, _ in found.values()} == {"removed"}
    why = {name: found[rows[name].id][1:] for name in names}
    assert why["blurred"] == ("blurred", "sharpness 12.5, crop.photo.min_sharpness 40")
    assert why["copy"] == ("near_duplicate", f"of {best.id[:12]}, from http://x/best")
    assert why["dropped"] == ("dropped", f"by {tmp_path / 'after/overrides/seen.csv'}:2 (a hand)")
    assert why["lost"] == ("no_face", "of its picture, from http://x/lost")
    assert why["hidden"] == ("face_not_found", "`detect` has 1 other faces there")
    assert why["refused"] == ("opt_out_noai", "of its picture, from http://x/refused")
    assert why["changed"] == (
        "source_changed",
        "its URL gives another picture, from http://x/changed",
    )
    assert why["gone"] == (
        "source_gone",
        "its picture is not among the collected, from http://x/gone",
    )
    assert why["blocked"] == ("blocked", "data/blocklist.txt names it")
    twin = next(change.twin for change in diff(before, after).changes if change.twin)
    assert twin == "data/interim/faces/photo/best.png"
    back = _changes(after, before)
    assert {kind for kind, _, _ in back.values()} == {"added"}
    assert (
        back[rows["stays"].id if rows["stays"].id in back else rows["gone"].id][1] == "source_gone"
    )


def test_a_face_that_was_cut_anew_is_one_change(params: Params, tmp_path: Path) -> None:
    before = _state(params, tmp_path / "before", [_face("one"), _face("two"), _face("three")])
    narrow = params.crop.framing.model_copy(update={"face_share": 0.6})
    other = params.model_copy(update={"crop": params.crop.model_copy(update={"framing": narrow})})
    blurred = _face("two", pixels="anew").model_copy(
        update={"quality": {"upscale": 9.0, "outside_share": 0, "face_outside_share": 0}}
    )
    beside = _face("three", pixels="anew").model_copy(update={"box": (200, 10, 40, 40)})
    after = _state(
        other,
        tmp_path / "after",
        [_face("one", pixels="anew"), beside],
        unique=[blurred.reject("too_small")],
        detected=[_picture("three")],
    )
    found = _changes(before, after)
    assert found[_id("oneanew")] == (
        "recut",
        "params",
        "crop.framing.face_share was 0.55 and is 0.6",
    )
    assert found[_id("two")] == ("removed", "too_small", "upscale 9, crop.max_upscale 4")
    assert found[_id("three")][:2] == ("removed", "face_not_found")
    assert found[_id("threeanew")][0] == "added"


def test_a_face_that_moved_says_why(params: Params, tmp_path: Path) -> None:
    names = ["asked", "back", "joined"]
    before = _state(params, tmp_path / "before", [_face(name) for name in names])
    joined = _face("joined", "test").model_copy(update={"group": _id("another")})
    after = _state(
        params, tmp_path / "after", [_face("asked", "test"), _face("back", "test"), joined]
    )
    line = "id,action,to,note\n{},move,{},{}\n"
    write_bytes(tmp_path / "before/overrides/a.csv", line.format(_id("back"), "train", "").encode())
    write_bytes(
        tmp_path / "after/overrides/a.csv", line.format(_id("asked"), "test", "why").encode()
    )
    found = _changes(before, after)
    where = tmp_path / "after/overrides/a.csv"
    assert found[_id("asked")] == ("moved", "override", f"moved to test by {where}:2 (why)")
    assert found[_id("back")][1] == "override_gone"
    assert found[_id("joined")] == (
        "moved",
        "group",
        f"its group is now that of {_id('another')[:12]}",
    )
    other = Snapshot("seed", after._root, {**after.values, "seed": 1})
    assert _changes(other, after) == {}
    assert {reason for _, reason, _ in _changes(before, other).values()} == {
        "override", "override_gone", "params",
    }  # fmt: skip


def test_without_the_manifests_between_it_says_that_it_does_not_know(
    params: Params, tmp_path: Path
) -> None:
    before = _state(params, tmp_path / "before", [_face("one"), _face("two")])
    after = _state(params, tmp_path / "after", [_face("two")])
    shutil.rmtree(tmp_path / "after/data/interim")
    assert [reason for _, reason, _ in _changes(before, after).values()] == ["unknown"]
    assert after.lacking == [
        f"data/interim/{name}/photo/manifest.jsonl" for name in ("unique", "faces")
    ]
    shutil.rmtree(tmp_path / "after/data")
    with pytest.raises(DatasetError, match=r"after has no data/processed/manifest\.jsonl"):
        diff(before, after)
    assert _changes(before, before) == {}


def _draw_face(domain: Domain, person: int, is_small: bool = False) -> tuple[bytes, ImageRecord]:
    from curation.hashes import fingerprint

    rng = np.random.default_rng([DOMAINS.index(domain), person])
    rgb_u8 = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    rgb_u8[0, 0] = is_small
    png, print_ = encode_png(rgb_u8), fingerprint(rgb_u8).to_hex()
    size = "-small" if is_small else ""
    row = ImageRecord(
        id=sha256_bytes(png), domain=domain, file=f"{sha256_bytes(png)}.png", url=f"http://x/{person}{size}",
        parent=_id(f"{domain}{person}{is_small}"), parent_size_px=(64, 64), parent_print=print_,
        picture_print=print_, box=(8, 8, 40, 40),
        quality={"upscale": 2.0 if is_small else 1.0, "sharpness": 500.0},
    )  # fmt: skip
    return png, row


def _run(params: Params, people: list[tuple[int, bool]]) -> None:
    """Make the project of the current folder anew, as `crop`, `dedupe` and `split` would."""
    for domain in DOMAINS:
        folder = Path("data/interim/faces") / domain
        shutil.rmtree(folder, ignore_errors=True)
        rows = []
        for person, is_small in people:
            png, row = _draw_face(domain, person, is_small)
            write_bytes(folder / str(row.file), png)
            rows.append(row)
        write_manifest(folder, rows)
        dedupe(params, domain, folder, Path("data/interim/unique") / domain)
        for stage in ("raw", "interim/detected"):
            pictures = [row.model_copy(update={"id": row.parent, "parent": None}) for row in rows]
            write_manifest(Path("data") / stage / domain, pictures)
    split(params, Path("data/interim/unique"), Path("data/processed"))


@pytest.fixture
def project(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Params, Callable[..., None]]:
    """Return parameters and a function that commits the current project to Git and DVC."""
    from dvc.repo import Repo

    root = tmp_path / "home" / "project"  # the project lies below the Git repository's root
    root.mkdir(parents=True)
    monkeypatch.chdir(root)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    for name, value in {"NAME": "a", "EMAIL": "a@b"}.items():
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", value)
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", value)
    subprocess.run(["git", "init", "-q", ".."], check=True)
    repo = Repo.init(".", subdir=True)
    Path("params.yaml").write_text(read_preset("demo"), encoding="utf-8")

    def commit(tag: str) -> None:
        repo.add("data")
        for command in (["add", "-A"], ["commit", "-qm", tag], ["tag", tag]):
            subprocess.run(["git", *command], check=True)

    limits = params.split.model_copy(update={"min_train": 1, "min_test": 1, "test_share": 0.4})
    return params.model_copy(update={"split": limits}), commit


def _diff_of(*arguments: str) -> dict[str, list[dict[str, str]]]:
    outcome = CliRunner().invoke(build_app(), ["dataset", "diff", *arguments, "--json"])
    assert outcome.exit_code == 0, outcome.output
    found: dict[str, list[dict[str, str]]] = json.loads(outcome.stdout)
    return found


def test_two_revisions_of_a_dvc_repository(
    project: tuple[Params, Callable[..., None]], tmp_path: Path
) -> None:
    params, commit = project
    _run(params, [(person, person == 0) for person in range(8)])
    commit("v1")
    small = next(
        row for row in read_manifest(Path("data/processed")) if row.url == "http://x/0-small"
    )
    _run(params, [(0, False), (0, True), *((person, False) for person in range(1, 7))])
    commit("v2")
    shutil.rmtree("data/processed")  # a revision does not need the working tree
    found = _diff_of("v1", "v2", "--html", str(tmp_path / "page.html"))
    changes = [Change(**{"before": None, "after": None, **c}) for c in found["changes"]]  # type: ignore[arg-type]
    photos = {c.url: c for c in changes if c.domain == "photo" and c.kind == "removed"}
    assert photos["http://x/0-small"].reason == "near_duplicate"
    assert photos["http://x/0-small"].id == small.id
    assert photos["http://x/7"].reason == "source_gone"
    added = [c for c in changes if c.domain == "photo" and c.kind == "added"]
    assert [(c.url, c.reason) for c in added] == [("http://x/0", "source_gone")]
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert html.count("<figure") == len(changes) == 6
    assert html.count("data:image/jpeg;base64,") == 8  # of a near-duplicate also what is kept
    assert "http://" not in html.split("</style>")[1].replace("http://x/", "")
    _run(params, [(person, person == 0) for person in range(8)])
    assert _diff_of("v1")["changes"] == []
    shutil.rmtree(".dvc/cache")
    with pytest.raises(DatasetError, match=r"cache lacks data/processed/man.* of v1") as caught:
        take_revision("v1", Path("params.yaml"), tmp_path / "scratch").dataset()
    assert "dvc fetch" in str(caught.value.hint)
    with pytest.raises(ParamsError, match="cannot read revision 'v9'"):
        take_revision("v9", Path("params.yaml"), tmp_path / "none")


def test_the_page_counts_what_it_cannot_show(
    params: Params, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = _state(params, tmp_path / "before", [_face("one"), _face("two")])
    after = _state(params, tmp_path / "after", [_face("two", "test")])
    found = diff(before, after)
    assert write_page(found, before, after, params.report, tmp_path / "page.html") == 2
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "moved, trainA to testA: unknown" in html
    assert "<img" not in html
