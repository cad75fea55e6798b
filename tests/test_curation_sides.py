"""A picture that was once in test stays in test, one in train never goes there."""

import logging
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from anymus.errors import DatasetError
from anymus.files import sha256_bytes
from anymus.images import encode_png
from anymus.ledger import Ledger, key_of, load_ledger, write_ledger
from anymus.manifest import DOMAINS, Domain, ImageRecord, read_manifest, write_manifest
from anymus.params import Params, read_preset
from curation.diff import diff
from curation.report import report
from curation.snapshot import Snapshot
from curation.split import split

PIXEL = encode_png(np.zeros((1, 1, 3), np.uint8))


@dataclass(frozen=True)
class Seen:
    """A face as `dedupe` leaves it: of copies the finest is kept.

    Copies have one `look`, or one `chain`: looks that faces between them join.
    """

    picture: str
    look: str
    fineness: float = 1.0
    domain: Domain = "photo"
    title: str | None = None
    author: str | None = None
    page_url: str | None = None
    source_group: str | None = None
    chain: str | None = None

    @property
    def id(self) -> str:
        return sha256_bytes(f"{self.picture} {self.look}".encode())

    def row(self, group: str, is_best: bool) -> ImageRecord:
        row = ImageRecord(
            id=self.id, domain=self.domain, file=f"{self.id}.png", parent=_id(self.picture),
            title=self.title, author=self.author, page_url=self.page_url,
            source_group=self.source_group, group=group,
        )  # fmt: skip
        return row if is_best else row.reject("near_duplicate")


def _id(picture: str) -> str:
    return sha256_bytes(picture.encode())


def _people(count: int = 24) -> list[Seen]:
    return [Seen(f"{d} {n}", f"{d} {n}", domain=d) for d in DOMAINS for n in range(count)]


def _write(root: Path, faces: Iterable[Seen]) -> None:
    """Write what `dedupe` would."""
    looks: dict[tuple[Domain, str], list[Seen]] = {}
    for face in faces:
        looks.setdefault((face.domain, face.chain or face.look), []).append(face)
    for domain in DOMAINS:
        folder = root / "unique" / domain
        shutil.rmtree(folder, ignore_errors=True)
        rows = []
        for (own, _), copies in looks.items():
            best = max(copies, key=lambda face: (face.fineness, face.id))
            name = min(face.id for face in copies)
            rows += [face.row(name, face is best) for face in copies if own == domain]
        write_manifest(folder, rows)
        for row in rows:
            (folder / str(row.file)).write_bytes(PIXEL)


def _split(params: Params, root: Path, faces: Iterable[Seen]) -> dict[str, int]:
    _write(root, faces)
    return split(params, root / "unique", root / "dataset").as_metrics()


def _rows(root: Path) -> dict[str, ImageRecord]:
    return {row.id: row for row in read_manifest(root / "dataset")}


def _sides(root: Path) -> dict[str, str]:
    """Return the side of each source picture with a face in the data set."""
    sides: dict[str, str] = {}
    for row in _rows(root).values():
        if row.is_kept:
            assert row.split is not None
            assert sides.setdefault(str(row.parent), row.split) == row.split
            assert row.file == f"{row.split}{'AB'[row.domain == 'manga']}/{row.id}.png"
            assert (root / "dataset" / row.file).is_file()
    return sides


@pytest.fixture
def limits(params: Params) -> Params:
    section = {"min_train": 1, "min_test": 1, "test_share": 0.4}
    return params.model_copy(update={"split": params.split.model_copy(update=section)})


def _agree(before: dict[str, str], after: dict[str, str]) -> bool:
    return all(before[key] == after[key] for key in before.keys() & after.keys())


def _one_in(side: str, root: Path, faces: list[Seen]) -> Seen:
    sides = _sides(root)
    return next(face for face in faces if sides[_id(face.picture)] == side)


def test_nobody_moves_when_faces_come_go_or_are_replaced(limits: Params, tmp_path: Path) -> None:
    faces = _people()
    # One person in seven pictures: the name of the group changes with nearly every step below.
    faces += [Seen(f"again {n}", "again", fineness=n) for n in range(7)]
    _split(limits, tmp_path, faces)
    before = _sides(tmp_path)
    kept = _id("again 6")
    assert kept in before
    again = [face for face in faces if face.look == "again"]
    others = [face for face in faces if face.look != "again"]
    for _ in range(6):  # the one that gives its name to the group goes, again and again
        again.remove(min(again, key=lambda face: face.id))
        _split(limits, tmp_path, others + again)
        (left,) = (
            side for key, side in _sides(tmp_path).items() if key not in before or key == kept
        )
        assert left == before[kept]
        assert _agree(before, _sides(tmp_path))
    better = [*again, *(Seen(f"better {n}", "again", fineness=20 + n) for n in range(8))]
    _split(limits, tmp_path, others + better)
    assert _sides(tmp_path)[_id("better 7")] == before[kept]
    more = [Seen(f"more {n}", f"more {n}") for n in range(30)]
    figures = _split(limits, tmp_path, [*others, *better, *more])
    assert _agree(before, _sides(tmp_path))
    assert figures["leaks"] == figures["twins_in_test"] == 0
    assert set(_sides(tmp_path)) > {_id(face.picture) for face in more}


def test_of_copies_that_meet_the_test_one_stays_and_the_train_one_is_left_out(
    limits: Params, tmp_path: Path
) -> None:
    faces = _people()
    _split(limits, tmp_path, faces)
    before = _sides(tmp_path)
    photos = [face for face in faces if face.domain == "photo"]
    trained, tested = (_one_in(side, tmp_path, photos) for side in ("train", "test"))
    beside = Seen(trained.picture, "beside")  # a second face of the train picture
    others = [face for face in faces if face not in (trained, tested)]
    chain = [replace(trained, chain="c"), replace(tested, chain="c")]
    between = Seen("between", "between", 0.1, chain="c")
    chain[0] = replace(chain[0], fineness=2.0)
    figures = _split(limits, tmp_path, [*others, *chain, between, beside])
    rows = _rows(tmp_path)
    assert (rows[trained.id].reason, rows[trained.id].split) == ("twin_in_test", None)
    assert (tmp_path / "dataset" / str(rows[trained.id].file)).is_file()
    assert rows[beside.id].split == "train"
    assert (figures["leaks"], figures["twins_in_test"]) == (0, 1)
    assert _agree(before, _sides(tmp_path))
    chain[1] = replace(chain[1], fineness=3.0)
    _split(limits, tmp_path, [*others, *chain, between, beside])
    assert _rows(tmp_path)[tested.id].split == "test"
    _split(limits, tmp_path, [*faces, beside])  # without what was between it is as it was
    assert _agree(before, _sides(tmp_path))
    assert before.keys() <= _sides(tmp_path).keys()


def test_a_collage_of_both_sides_brings_nothing_to_the_other_one(
    limits: Params, tmp_path: Path
) -> None:
    faces = _people()
    _split(limits, tmp_path, faces)
    before = _sides(tmp_path)
    photos = [face for face in faces if face.domain == "photo"]
    trained, tested = (_one_in(side, tmp_path, photos) for side in ("train", "test"))
    collage = [Seen("collage", face.look, 0.1) for face in (trained, tested)]
    figures = _split(limits, tmp_path, [*faces, *collage])
    assert (figures["twins_in_test"], _sides(tmp_path)) == (0, before)
    collage = [replace(face, fineness=2.0) for face in collage]  # now it replaces both
    _split(limits, tmp_path, [*faces, *collage])
    rows = _rows(tmp_path)
    assert [rows[face.id].split for face in collage] == ["train", None]
    assert rows[collage[1].id].reason == "twin_in_test"
    assert load_ledger(Path(limits.paths.sides)).side_of(_id("collage")) == "train"
    assert _agree(before, _sides(tmp_path))


def test_the_same_data_give_the_same_bytes_whatever_was_recorded_on_the_way(
    limits: Params, tmp_path: Path
) -> None:
    faces = [*_people(), Seen("photo 1", "photo 2", 2.0), Seen("two", "photo 3"), Seen("two", "x")]
    texts = []
    for _ in range(2):
        _split(limits, tmp_path, faces)
        manifest = tmp_path / "dataset" / "manifest.jsonl"
        texts.append((manifest.read_bytes(), Path(limits.paths.sides).read_bytes()))
    assert texts[0] == texts[1]
    lines = [line for line in texts[0][1].splitlines() if not line.startswith(b"#")]
    assert lines == sorted(lines)
    assert len(lines) == len({face.picture for face in faces})


@pytest.mark.parametrize("seed", range(2))
def test_over_many_random_changes_nobody_moves_and_no_copy_leaks(
    limits: Params, tmp_path: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    faces, first = _people(16), dict[str, str]()
    for step in range(6):
        faces = [face for face in faces if rng.random() > 0.1 or face.picture[-1] in "02468"]
        looks = [face.look for face in faces if face.domain == "photo"]
        for n in range(6):
            name, title = f"new {step} {n}", str(rng.choice(["a", "b", "c", ""])) or None
            for look in sorted({f"look {name}", *map(str, rng.choice(looks, 2))}):
                faces.append(Seen(name, look, rng.random(), title=title))
        _split(limits, tmp_path, faces)
        assert _agree(first, _sides(tmp_path))
        first = _sides(tmp_path) | first
        ledger = load_ledger(Path(limits.paths.sides))
        for face in faces:  # no train face is a copy of anything that was ever a test picture
            row = _rows(tmp_path).get(face.id) if face.domain == "photo" else None
            if row is not None and row.split == "train":
                copies = {_id(f.picture) for f in faces if f.look == face.look}
                assert {ledger.side_of(copy) for copy in copies} == {"train"}


def test_recorded_sides_hold_when_the_parameters_change(limits: Params, tmp_path: Path) -> None:
    faces = _people()
    _split(limits, tmp_path, faces)
    before = _sides(tmp_path)
    changed = limits.split.model_copy(update={"test_share": 0.9})
    other = limits.model_copy(update={"split": changed, "seed": 5})
    new = [Seen(f"new {n}", f"new {n}") for n in range(40)]
    _split(other, tmp_path, faces + new)
    after = _sides(tmp_path)
    assert _agree(before, after)
    assert sum(after[_id(face.picture)] == "test" for face in new) > 28  # of 40 at 0.9
    Path(limits.paths.sides).unlink()
    _split(other, tmp_path, faces + new)
    assert not _agree(before, _sides(tmp_path))


def test_overrides_win_and_are_not_recorded(limits: Params, tmp_path: Path) -> None:
    folder = tmp_path / "overrides"
    folder.mkdir()
    paths = limits.paths.model_copy(update={"overrides": str(folder)})
    limits = limits.model_copy(update={"paths": paths})
    faces = _people()
    _split(limits, tmp_path, faces)
    before = _sides(tmp_path)
    face = _one_in("train", tmp_path, faces)
    (folder / "a.csv").write_text(f"id,action,to,note\n{face.id},move,test,\n", encoding="utf-8")
    joining = Seen("joining", face.look, 3.0, domain=face.domain)
    figures = _split(limits, tmp_path, [*faces, joining])
    assert (figures["moved"], _sides(tmp_path)[_id("joining")]) == (1, "test")
    (folder / "a.csv").unlink()
    _split(limits, tmp_path, faces)
    assert _sides(tmp_path) == before
    assert load_ledger(Path(limits.paths.sides)).side_of(_id("joining")) == "train"


def test_a_stage_that_fails_records_nothing(limits: Params, tmp_path: Path) -> None:
    strict = limits.model_copy(update={"split": limits.split.model_copy(update={"min_test": 99})})
    with pytest.raises(DatasetError, match=r"fewer than split\.min_test = 99") as caught:
        _split(strict, tmp_path, _people())
    assert limits.paths.sides in str(caught.value.hint)
    assert not Path(limits.paths.sides).exists()


def _grouped(params: Params, *fields: str, **limits: float) -> Params:
    section = params.split.model_copy(update={"group_by": fields, **limits})
    return params.model_copy(update={"split": section})


def test_a_title_stays_together_and_few_titles_still_make_two_parts(
    limits: Params, tmp_path: Path
) -> None:
    assert limits.split.group_by == ("source_group", "title", "work_page")
    for seed in range(6):
        params = _grouped(limits.model_copy(update={"seed": seed}), "title", test_share=0.01)
        Path(params.paths.sides).unlink(missing_ok=True)
        faces = [replace(face, title=f"volume {n % 4}") for n, face in enumerate(_people())]
        faces = [face for face in faces if face.title != "volume 3"] + faces[3:4]
        figures = _split(params, tmp_path, faces)
        sides = {(row.title, row.split) for row in _rows(tmp_path).values()}
        assert len(sides) == len({face.title for face in faces})
        assert min(figures[part] for part in ("trainA", "trainB", "testA", "testB")) >= 1
        assert figures["groups"] == 4


def test_one_title_or_page_for_all_joins_none(
    limits: Params, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faces = [replace(face, title="all", page_url="http://x/") for face in _people()]
    with caplog.at_level(logging.WARNING, "anymus"):
        figures = _split(_grouped(limits, "title", "work_page"), tmp_path, faces)
    assert figures["groups"] == len(faces)
    assert "all faces of photo have one title: it joins none" in caplog.text


@pytest.mark.parametrize(("field", "groups"), [("work_page", 30), ("page_url", 5)])
def test_a_page_of_one_work_stays_together_a_gallery_need_not(
    limits: Params, tmp_path: Path, field: str, groups: int
) -> None:
    faces = []
    for domain in DOMAINS:
        of_gallery = [Seen(f"{domain} g{n}", f"g{n}", domain=domain, title=f"no. {n}", author="Ada",
                           page_url=f"http://x/{domain}/gallery") for n in range(14)]  # fmt: skip
        of_work = [Seen(f"{domain} w{n}", f"w{n}", domain=domain, title="a walk", author="Ada",
                        page_url=f"http://x/walk/{n % 2}") for n in range(6)]  # fmt: skip
        faces += of_gallery + of_work
    lone = replace(faces[0], picture="lone", look="lone", page_url="http://x/lone")
    figures = _split(_grouped(limits, field), tmp_path, [*faces, lone])
    assert figures["groups"] - 1 == (groups if field == "work_page" else 4)
    assert figures["torn_values"] == 0


def test_a_title_that_was_torn_before_is_told_and_moves_nobody(
    limits: Params, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faces = [replace(face, title=f"volume {n % 3}") for n, face in enumerate(_people())]
    _split(_grouped(limits), tmp_path, faces)
    before = _sides(tmp_path)
    new = [Seen(f"new {n}", f"new {n}", title="volume 1") for n in range(5)]
    with caplog.at_level(logging.WARNING, "anymus"):
        figures = _split(_grouped(limits, "title"), tmp_path, faces + new)
    assert figures["torn_values"] == 3
    assert "3 values of title are in train and in test" in caplog.text
    after = _sides(tmp_path)
    assert _agree(before, after)
    own = [before[_id(face.picture)] for face in faces if face.title == "volume 1"]
    most = max(("test", "train"), key=own.count)
    assert {after[_id(face.picture)] for face in new} == {most}


def test_a_group_of_most_faces_is_not_drawn_for_test(limits: Params, tmp_path: Path) -> None:
    faces = [replace(face, title="series") if n % 24 < 20 else face
             for n, face in enumerate(_people())]  # fmt: skip
    params = _grouped(limits, "title", test_share=0.99)
    _split(params, tmp_path, faces)
    assert {row.split for row in _rows(tmp_path).values() if row.title} == {"train"}


def test_a_copy_by_its_bytes_keeps_the_side_of_the_face_it_equals(
    limits: Params, tmp_path: Path
) -> None:
    faces = _people()
    _split(limits, tmp_path, faces)
    tested = _one_in("test", tmp_path, faces)
    _write(tmp_path, faces)
    folder = tmp_path / "unique" / tested.domain
    rows = read_manifest(folder)
    twin = tested.row(tested.id, True).reject("same_bytes")
    rows += [twin.model_copy(update={"parent": _id("twin"), "file": None, "group": None})]
    write_manifest(folder, rows)
    split(limits, tmp_path / "unique", tmp_path / "dataset")
    assert load_ledger(Path(limits.paths.sides)).side_of(_id("twin")) == "test"


def test_what_is_left_out_is_in_the_report_and_in_a_diff(limits: Params, tmp_path: Path) -> None:
    faces = _people()
    _split(limits, tmp_path, faces)
    photos = [face for face in faces if face.domain == "photo"]
    trained, tested = (_one_in(side, tmp_path, photos) for side in ("train", "test"))
    shutil.copytree(tmp_path, tmp_path / "before")
    finer = {trained.id: replace(trained, fineness=2.0, chain="c")}
    finer |= {tested.id: replace(tested, chain="c")}
    _split(limits, tmp_path, [finer.get(face.id, face) for face in faces])
    names = {"dataset": "dataset", "unique": "unique", "faces": "faces", "raw": "raw"}
    paths = {name: str(tmp_path / folder) for name, folder in names.items()}
    params = limits.model_copy(update={"paths": limits.paths.model_copy(update=paths)})
    for domain in DOMAINS:
        write_manifest(tmp_path / "raw" / domain, [face.row("", True) for face in faces])
        write_manifest(tmp_path / "faces" / domain, [])
    report(params, tmp_path / "report")
    html = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "photo: faces left out by split, twin_in_test" in html
    assert "twin_in_test 1" in html
    values = params.model_dump(mode="json") | {
        "paths": {**names, "blocklist": "b", "sides": "s", "overrides": "o"}
    }
    before, after = (Snapshot(root.name, root, values) for root in (tmp_path / "before", tmp_path))
    changes = {change.id: (change.kind, change.reason) for change in diff(before, after).changes}
    assert changes == {
        trained.id: ("removed", "twin_in_test"),
        tested.id: ("removed", "near_duplicate"),
    }


def test_a_diff_names_the_ledger_when_sides_were_drawn_anew(limits: Params, tmp_path: Path) -> None:
    states = []
    for name, side in (("before", "train"), ("after", "test")):
        root = tmp_path / name
        row = Seen("a", "a").row(_id("g"), True).model_copy(update={"split": side})
        write_manifest(root / "dataset", [row])
        write_ledger(root / "s", Ledger().with_new(*_entry("a", side)))
        paths = {"dataset": "dataset", "sides": "s", "blocklist": "b", "overrides": "o"}
        states.append(Snapshot(name, root, {"paths": paths}))
    (change,) = diff(*states).changes
    assert (change.kind, change.reason) == ("moved", "recorded")
    assert change.detail == "s has its picture in test"


def _entry(picture: str, side: str) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    return np.array([key_of(_id(picture))], np.uint64), np.array([side == "test"])


def test_a_ledger_comes_back_and_never_forgets(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    keys = rng.integers(0, 2**64, 3000, dtype=np.uint64)
    is_test = rng.random(3000) < 0.3
    ledger = Ledger().with_new(keys, is_test)
    write_ledger(tmp_path / "sides.txt", ledger.with_new(keys, ~is_test))
    found = load_ledger(tmp_path / "sides.txt")
    assert np.array_equal(found.sides_of(keys), is_test)
    assert load_ledger(tmp_path / "none.txt").sides_of(keys).tolist() == [-1] * 3000
    name = f"{int(keys[0]):016x}" + "0" * 48
    assert found.without([name]).side_of(name) is None
    assert len(found.without([name])) == 2999


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0123456789abcdef train\n<<<<<<< ours\n", r"sides\.txt:2: '<<<<<<< ours' is no line"),
        ("0123456789abcdef both\n", r"sides\.txt:1: "),
        ("123 train\n", r"sides\.txt:1: '123 train'"),
        (
            "0123456789abcdef train\n" * 2 + "0123456789abcdef test\n",
            "0123456789abcdef is train and",
        ),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "sides.txt").write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        load_ledger(tmp_path / "sides.txt")


DVC_YAML = """\
stages:
  split:
    cmd: {python} -m anymus.cli split
    deps: [data/interim/unique]
    params: [seed, split, shards]
    outs:
      - ${{paths.dataset}}
      - ${{paths.sides}}: {{cache: false, persist: true}}
    metrics:
      - ${{paths.metrics}}/split.json: {{cache: false}}
"""


@pytest.mark.slow
def test_dvc_keeps_the_ledger_from_run_to_run_in_a_clone_and_in_an_experiment(
    limits: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "project"
    root.mkdir()
    for name, value in {"NAME": "a", "EMAIL": "a@b"}.items():
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", value)
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", value)

    def call(*command: str, folder: Path = root) -> str:
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        return done.stdout

    def dvc(*words: str, folder: Path = root) -> str:
        return call(sys.executable, "-m", "dvc", *words, folder=folder)

    call("git", "init", "-q")
    dvc("init")
    preset = read_preset("demo").replace("min_train: 8", "min_train: 1")
    (root / "params.yaml").write_text(preset, encoding="utf-8")
    (root / "dvc.yaml").write_text(DVC_YAML.format(python=sys.executable), encoding="utf-8")
    faces = _people(40)
    _write(root / "data" / "interim", faces)
    dvc("repro")
    sides = (root / "data/sides.txt").read_bytes()
    lock = (root / "dvc.lock").read_bytes()
    assert "didn't change" in dvc("repro")
    dvc("repro", "--force")
    assert (root / "data/sides.txt").read_bytes() == sides
    assert (root / "dvc.lock").read_bytes() == lock
    assert "data/sides.txt" in call("git", "status", "--porcelain", "-uall")
    call("git", "add", "-A", "--", ":!data/interim")
    call("git", "commit", "-qm", "first")
    shutil.rmtree(root / "data/processed")
    clone = tmp_path / "clone"
    call("git", "clone", "-q", str(root), str(clone))
    smallest = min(faces, key=lambda face: face.id)
    fewer = [face for face in faces if face != smallest] + [Seen("new", "new")]
    _write(clone / "data" / "interim", fewer)
    dvc("repro", folder=clone)
    known, now = load_ledger(root / "data/sides.txt"), load_ledger(clone / "data/sides.txt")
    assert len(now) == len(known) + 1
    assert np.array_equal(now.sides_of(known.keys), known.is_test)
    call("git", "add", "-A", "--", ":!data/interim", folder=clone)
    call("git", "commit", "-qm", "second", folder=clone)
    dvc("exp", "run", "-S", "split.test_share=0.5", folder=clone)
    assert load_ledger(clone / "data/sides.txt").keys.tolist() == now.keys.tolist()
    assert (clone / "data/sides.txt").read_bytes() != sides
