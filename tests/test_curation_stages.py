"""From drawn pictures to trainA, trainB, testA and testB, through the stages' own functions."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from collection import PEOPLE, curate, store

from anymus import images
from anymus.drawing.manga import draw_bust
from anymus.drawing.photo import draw_portrait
from anymus.errors import AnymusError, DatasetError
from anymus.files import sha256_bytes, walk_files
from anymus.manifest import Face, ImageRecord, read_manifest, write_manifest
from anymus.params import Params, load_params, read_preset
from curation.crop import crop
from curation.dedupe import Faces, dedupe, group_faces
from curation.detect import detect
from curation.hashes import Prints, fingerprint
from curation.report import report
from curation.split import LeakCount, split


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, collected: Path) -> tuple[Params, Path]:
    """Return the parameters and the folder of a project whose stages have all run once."""
    root = tmp_path_factory.mktemp("project")
    preset = root / "params.yaml"
    preset.write_text(read_preset("demo"), encoding="utf-8")
    folders = ("raw", "detected", "faces", "unique", "dataset", "train_results", "sides")
    overrides = [f"paths.{name}={root / name}" for name in folders]
    overrides += ["engine.workers=1", "split.min_train=2", "split.min_test=1"]
    overrides += [f"paths.evaluate_results={root / 'evaluated'}", "split.test_share=0.4"]
    params = load_params(preset, overrides)
    shutil.copytree(collected, root / "raw")
    curate(params, root / "raw", root)
    return params, root


def test_detect_finds_the_people_and_names_what_it_left_out(project: tuple[Params, Path]) -> None:
    _, root = project
    rows = read_manifest(root / "detected" / "photo")
    assert len(rows) == PEOPLE + 4
    assert sum(row.is_kept for row in rows) >= PEOPLE + 1
    reasons = {row.url: row.reason for row in rows if not row.is_kept}
    assert reasons["http://x/empty"] == "no_face"
    assert reasons["http://x/broken"] == "truncated"
    drawn = read_manifest(root / "detected" / "manga")
    assert sum(len(row.faces) for row in drawn) >= 0.8 * PEOPLE
    assert (root / "detected" / "photo" / str(rows[0].file)).is_file()


def test_crops_put_the_eyes_where_the_framing_says(project: tuple[Params, Path]) -> None:
    params, root = project
    framing = params.crop.framing
    for domain in ("photo", "manga"):
        rows = [row for row in read_manifest(root / "faces" / domain) if row.is_kept]
        for row in rows:
            assert row.landmarks is not None
            left, right = row.landmarks["left_eye"], row.landmarks["right_eye"]
            assert left[0] < right[0]
            middle = ((left[0] + right[0]) / 2, (left[1] + right[1]) / 2)
            expected = (framing.size_px / 2, framing.eye_line * framing.size_px)
            assert middle == pytest.approx(expected, abs=1)
            assert left[1] == pytest.approx(right[1], abs=1)
            path = root / "faces" / domain / str(row.file)
            assert sha256_bytes(path.read_bytes()) == row.id
            assert images.read_rgb(path).shape == (framing.size_px, framing.size_px, 3)
            assert (row.author, row.licence) == ("Ada", "CC0-1.0")


def test_twins_are_grouped_and_the_finest_is_kept(project: tuple[Params, Path]) -> None:
    _, root = project
    rows = read_manifest(root / "unique" / "photo")
    group = next(row.group for row in rows if row.url == "http://demo.localhost/photo/0")
    members = {row.url: row for row in rows if row.group == group}
    assert set(members) == {
        "http://demo.localhost/photo/0",
        "http://x/small",
        "http://x/mirrored",
    }
    assert sum(row.is_kept for row in members.values()) == 1
    assert members["http://x/small"].reason == "near_duplicate"
    assert sum(row.is_kept for row in rows) == len({row.group for row in rows if row.group})


def _count_leaks(rows: list[ImageRecord]) -> int:
    leaks = LeakCount()
    for row in rows:
        leaks.add(row)
    return leaks.count()


def test_split_holds_every_unique_face_once(project: tuple[Params, Path]) -> None:
    _, root = project
    rows = read_manifest(root / "dataset")
    files = [path for path in walk_files(root / "dataset") if path.suffix == ".png"]
    assert sorted(str(row.file) for row in rows) == sorted(
        path.relative_to(root / "dataset").as_posix() for path in files
    )
    unique = [
        row.id
        for domain in ("photo", "manga")
        for row in read_manifest(root / "unique" / domain)
        if row.is_kept
    ]
    assert sorted(row.id for row in rows) == sorted(unique)
    assert _count_leaks(rows) == 0
    leaked = [row.model_copy(update={"split": part}) for part in ("train", "test") for row in rows]
    assert _count_leaks(leaked) > 0


def test_split_is_stable_when_faces_are_taken_away(
    project: tuple[Params, Path], tmp_path: Path
) -> None:
    params, root = project
    before = {row.id: row.split for row in read_manifest(root / "dataset")}
    for domain in ("photo", "manga"):
        rows = read_manifest(root / "unique" / domain)
        fewer = [row.relocated(root / "unique" / domain, tmp_path / domain) for row in rows[1:]]
        write_manifest(tmp_path / domain, fewer)
    split(params, tmp_path, tmp_path / "out")
    after = {row.id: row.split for row in read_manifest(tmp_path / "out")}
    assert len(after) >= len(before) - 2
    assert all(before[face] == part for face, part in after.items())


def test_four_workers_another_order_and_another_run_give_the_same_bytes(
    project: tuple[Params, Path], tmp_path: Path
) -> None:
    params, root = project
    engine = params.engine.model_copy(update={"workers": 4, "batch_size": 3})
    parallel = params.model_copy(update={"engine": engine})
    shutil.copytree(root / "raw", tmp_path / "raw")
    manifest = tmp_path / "raw" / "photo" / "manifest.jsonl"
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    shuffled = [lines[index] for index in np.random.default_rng(3).permutation(len(lines))]
    assert shuffled != lines
    manifest.write_text("".join(shuffled), encoding="utf-8")
    detect(parallel, "photo", tmp_path / "raw" / "photo", tmp_path / "detected" / "photo")
    crop(parallel, "photo", tmp_path / "detected" / "photo", tmp_path / "faces" / "photo")
    dedupe(parallel, "photo", tmp_path / "faces" / "photo", tmp_path / "unique" / "photo")
    for stage in ("detected", "faces", "unique"):
        for path in walk_files(root / stage / "photo"):
            twin = tmp_path / path.relative_to(root)
            assert twin.read_bytes() == path.read_bytes(), path


def test_a_leak_in_too_small_a_part_stops_the_stage(project: tuple[Params, Path]) -> None:
    params, root = project
    strict = params.model_copy(update={"split": params.split.model_copy(update={"min_test": 1000})})
    with pytest.raises(DatasetError, match=r"split\.min_test = 1000"):
        split(strict, root / "unique", root / "not_written")
    assert not (root / "not_written").exists()


def test_report_is_one_file_without_a_link_to_the_network(
    project: tuple[Params, Path], tmp_path: Path
) -> None:
    params, root = project
    face = next(row for row in read_manifest(root / "dataset") if row.domain == "photo")
    (tmp_path / "overrides").mkdir()
    lines = ["id,action,to,note", f'{face.id},drop,,"a <hand>, no face"', f"{'ab' * 32},keep,,"]
    (tmp_path / "overrides" / "seen.csv").write_text("\n".join(lines), encoding="utf-8")
    paths = params.paths.model_copy(update={"overrides": str(tmp_path / "overrides")})
    params = params.model_copy(update={"paths": paths})
    figures = report(params, tmp_path / "once").as_metrics()
    html = (tmp_path / "once" / "index.html").read_text(encoding="utf-8")
    assert figures["sheets"] >= 4
    assert not re.search(r"(src|href)=.?(https?:)?//|@import|url\(", html)
    assert "near_duplicate" in html
    assert "CC0-1.0" in html
    assert html.count(f'data-id="{face.id}"') >= 1
    assert f'["{face.id}", "drop", "", "a \\u003chand\\u003e, no face"]' in html
    assert figures["unknown_overrides"] == 1
    assert f"<code>{'ab' * 32}</code>" in html
    assert report(params, tmp_path / "again").as_metrics() == figures
    for path in walk_files(tmp_path / "once"):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
    card = json.loads((tmp_path / "once" / "dataset_card.json").read_text(encoding="utf-8"))
    assert sum(card["split"].values()) == len(read_manifest(root / "dataset"))
    assert card["domains"]["photo"]["rejected"] == {"no_face": 1, "truncated": 1}
    manifest = (root / "dataset" / "manifest.jsonl").read_bytes()
    assert card["manifests_sha256"]["split"] == sha256_bytes(manifest)
    assert "| trainA |" in (tmp_path / "once" / "dataset_card.md").read_text(encoding="utf-8")


def test_the_report_samples_so_that_its_size_has_a_bound(
    project: tuple[Params, Path], tmp_path: Path
) -> None:
    params, root = project
    small = params.model_copy(update={"report": params.report.model_copy(update={"tiles": 3})})
    figures = report(small, tmp_path).as_metrics()
    kept = sum(row.is_kept for row in read_manifest(root / "unique" / "photo"))
    assert f"a sample of 3 of {kept}" in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert figures["tiles"] < 3 * figures["sheets"] + 8


def test_empty_input_says_what_to_run(params: Params, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        detect(params, "photo", tmp_path / "nothing", tmp_path / "out")
    assert caught.value.hint is not None
    write_manifest(tmp_path / "raw", [])
    with pytest.raises(DatasetError, match="no kept pictures"):
        detect(params, "photo", tmp_path / "raw", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_each_stage_names_itself_when_nothing_comes_in_or_nothing_is_left(
    params: Params, tmp_path: Path
) -> None:
    for domain in ("photo", "manga"):
        write_manifest(tmp_path / "empty" / domain, [])
    with pytest.raises(DatasetError, match="no picture with a face"):
        crop(params, "photo", tmp_path / "empty" / "photo", tmp_path / "out")
    with pytest.raises(DatasetError, match="no crops in"):
        dedupe(params, "photo", tmp_path / "empty" / "photo", tmp_path / "out")
    with pytest.raises(
        DatasetError, match=r"split: 0 faces in trainA, fewer than split\.min_train"
    ):
        split(params, tmp_path / "empty", tmp_path / "out")
    src = tmp_path / "detected"
    src.mkdir()
    picture = draw_portrait(np.random.default_rng(5))
    tiny = Face(box=(100, 100, 12, 12), score=1.0, landmarks={})
    row = store(src, "photo", images.encode_png(picture.rgb_u8), "http://x")
    write_manifest(src, [row.model_copy(update={"faces": (tiny,)})])
    with pytest.raises(DatasetError, match=r"no usable face in .*: \{'too_small': 1\}"):
        crop(params, "photo", src, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_picture_goes_through_the_stages(params: Params, tmp_path: Path) -> None:
    src = tmp_path / "detected"
    src.mkdir()
    picture = draw_portrait(np.random.default_rng(5))
    truth = picture.faces[0]
    row = store(src, "photo", images.encode_png(picture.rgb_u8), "http://x")
    face = truth.as_found()
    write_manifest(src, [row.model_copy(update={"faces": (face,), "group": "a person"})])
    assert crop(params, "photo", src, tmp_path / "faces").crops == 1
    assert dedupe(params, "photo", tmp_path / "faces", tmp_path / "unique" / "photo").kept == 1
    (settled,) = read_manifest(tmp_path / "unique" / "photo")
    assert (settled.source_group, settled.group) == ("a person", settled.id)
    write_manifest(tmp_path / "unique" / "manga", [])
    with pytest.raises(DatasetError, match=r"split: [01] faces in (train|test)[AB], fewer than"):
        split(params, tmp_path / "unique", tmp_path / "out")


def test_what_one_picture_gives_both_domains_stays_on_one_side(
    project: tuple[Params, Path], tmp_path: Path
) -> None:
    """A page may be collected twice: its faces must not be train here and test there."""
    params, root = project
    found = {d: read_manifest(root / "unique" / d) for d in ("photo", "manga")}
    before = {row.id: row.split for row in read_manifest(root / "dataset")}
    photo = next(row for row in found["photo"] if row.is_kept and before[row.id] == "train")
    drawn = next(row for row in found["manga"] if row.is_kept and before[row.id] == "test")
    for domain, rows in found.items():
        moved = [row.relocated(root / "unique" / domain, tmp_path / domain) for row in rows]
        shared = [
            row.model_copy(update={"parent": photo.parent}) if row.id == drawn.id else row
            for row in moved
        ]
        write_manifest(tmp_path / domain, shared)
    split(params, tmp_path, tmp_path / "out")
    after = {row.id: row for row in read_manifest(tmp_path / "out")}
    assert after[photo.id].split == after[drawn.id].split
    assert (
        after[photo.id].group == after[drawn.id].group == min(photo.group or "", drawn.group or "")
    )
    others = set(before) - {photo.id, drawn.id}
    assert all(after[face].split == before[face] for face in others)


def test_a_pile_of_broken_pictures_fails_detect(params: Params, tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    rows = [store(folder, "photo", f"no picture {n}".encode(), f"http://x/{n}") for n in range(4)]
    write_manifest(folder, rows)
    with pytest.raises(AnymusError, match="4 of 4"):
        detect(params, "photo", folder, tmp_path / "out")


def test_a_picture_that_rots_before_crop_keeps_its_place(params: Params, tmp_path: Path) -> None:
    src = tmp_path / "detected"
    src.mkdir()
    picture = draw_portrait(np.random.default_rng(5))
    whole = picture.faces[0].as_found()
    png = images.encode_png(picture.rgb_u8)
    rows = [store(src, "photo", png, "http://x/1"), store(src, "photo", png[:900], "http://x/2")]
    write_manifest(src, [row.model_copy(update={"faces": (whole,)}) for row in rows])
    relaxed = params.crop.model_copy(update={"max_rejected_share": 0.5})
    dst = tmp_path / "faces"
    crop(params.model_copy(update={"crop": relaxed}), "photo", src, dst)
    rotten = next(row for row in read_manifest(dst) if row.reason == "truncated")
    assert (dst / str(rotten.file)).samefile(src / str(rows[1].file))


def test_a_small_or_cut_face_is_a_row_with_its_reason(params: Params, tmp_path: Path) -> None:
    src = tmp_path / "detected"
    src.mkdir()
    picture = draw_portrait(np.random.default_rng(5))
    png = images.encode_png(picture.rgb_u8)
    tiny = Face(box=(100, 100, 12, 12), score=1.0, landmarks={})
    edge = Face(box=(-60, 150, 120, 120), score=1.0, landmarks={})
    box = picture.faces[0].box
    whole = Face(box=box, score=1.0, landmarks=picture.faces[0].landmarks)
    row = store(src, "photo", png, "http://x").model_copy(update={"faces": (tiny, edge, whole)})
    write_manifest(src, [row])
    figures = crop(params, "photo", src, tmp_path / "faces").as_metrics()
    assert figures == {
        "faces": 3,
        "crops": 1,
        "rejected_cut_by_edge": 1,
        "rejected_too_small": 1,
    }


def test_a_face_at_the_border_is_filled_up_by_its_mirror_picture(
    params: Params, tmp_path: Path
) -> None:
    src = tmp_path / "detected"
    src.mkdir()
    portrait = draw_portrait(np.random.default_rng(5))
    truth, side = portrait.faces[0], portrait.rgb_u8.shape[1]
    left = truth.box[0] - truth.box[2] // 6  # the crop reaches beyond, the face does not
    picture = np.ascontiguousarray(portrait.rgb_u8[:, left:])
    points = {name: (x - left, y) for name, (x, y) in truth.landmarks.items()}
    face = Face(box=(truth.box[0] - left, *truth.box[1:]), score=1.0, landmarks=points)
    row = store(src, "photo", images.encode_png(picture), "http://x")
    write_manifest(src, [row.model_copy(update={"faces": (face,)})])
    assert crop(params, "photo", src, tmp_path / "faces").crops == 1
    (made,) = read_manifest(tmp_path / "faces")
    assert made.quality is not None
    assert 0 < made.quality["outside_share"] <= params.crop.max_outside_share
    crop_u8 = images.read_rgb(tmp_path / "faces" / str(made.file)).astype(int)
    outside_px = round(made.quality["outside_share"] * crop_u8.shape[1])
    assert 4 < outside_px < side
    strip = crop_u8[:, outside_px - 4 : outside_px + 4]
    assert np.abs(strip - strip[:, ::-1]).mean() < 6  # mirrored at the border, not smeared or black


def _groups_of(rows: list[ImageRecord], params: Params) -> list[list[int]]:
    faces = Faces()
    for row in rows:
        faces.append(row)
    roots = group_faces(faces, params.dedupe)
    return [np.flatnonzero(roots == root).tolist() for root in np.unique(roots)]


def test_grouping_does_not_depend_on_the_order(params: Params) -> None:
    generator = np.random.default_rng(8)
    pictures = [draw_bust(generator).rgb_u8 for _ in range(8)]
    pictures += [images.resize_rgb(picture, 160, 200) for picture in pictures[:4]]
    prints = [fingerprint(picture).to_hex() for picture in pictures]
    lone = ImageRecord(
        id="", domain="manga", file=None, parent_size_px=(400, 500), box=(90, 90, 200, 200)
    )
    rows = [
        lone.model_copy(
            update={
                "id": sha256_bytes(bytes([index])),
                "picture_print": print_,
                "parent_print": sha256_bytes(bytes([index])) * 2 + f"{index:032x}",
            }
        )
        for index, print_ in enumerate(prints)
    ]
    groups = _groups_of(rows, params)
    assert [group for group in groups if len(group) > 1] == [[n, n + 8] for n in range(4)]
    order = generator.permutation(len(prints)).tolist()
    shuffled = _groups_of([rows[index] for index in order], params)
    assert sorted(sorted(order[i] for i in group) for group in shuffled) == sorted(groups)


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_two_faces_of_copied_pictures_are_paired_by_place(
    params: Params, is_mirrored: bool
) -> None:
    """The crops' own hashes differ, as those of differently aligned crops do."""
    generator = np.random.default_rng(9)
    picture = draw_bust(generator, 400, 300).rgb_u8
    copy = np.ascontiguousarray(picture[:, ::-1]) if is_mirrored else picture
    copy = images.resize_rgb(copy, 200, 150)
    rows = []
    for shown, boxes in ((picture, (40, 300)), (copy, (150, 20))):
        scale = shown.shape[1] / 400
        order = boxes if is_mirrored or shown is picture else boxes[::-1]
        rows += [
            ImageRecord(
                id=sha256_bytes(f"{len(rows)}{x}".encode()),
                domain="photo",
                file=None,
                parent_size_px=(shown.shape[1], shown.shape[0]),
                parent_print=fingerprint(shown).to_hex(),
                picture_print=fingerprint(draw_bust(generator).rgb_u8).to_hex(),
                box=(x, round(80 * scale), round(60 * scale), round(60 * scale)),
            )
            for x in order
        ]
    assert _groups_of(rows, params) == [[0, 2], [1, 3]]


def test_a_fingerprint_survives_the_manifest(colourful: np.ndarray) -> None:
    found = fingerprint(colourful)
    prints = Prints()
    prints.append(found.to_hex())
    for words, part in zip(prints.words()[0].tolist(), (found.plain, found.mirrored), strict=True):
        assert words[0] == part.coarse
        assert sum(word << 64 * (3 - place) for place, word in enumerate(words[1:])) == part.fine
    mirrored = fingerprint(np.ascontiguousarray(colourful[:, ::-1]))
    assert (mirrored.plain, mirrored.mirrored) == (found.mirrored, found.plain)
