"""Convert: good pictures come out, bad ones are named, and originals stay as they were."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import inference.cli
from anymus.drawing.photo import draw_couple, draw_portrait
from anymus.errors import (
    AnymusError,
    CheckpointError,
    DatasetError,
    DeviceError,
    ImageError,
    ParamsError,
    PartialError,
)
from anymus.images import RgbU8, encode_jpeg, encode_png, read_frames, read_rgb, resize_rgb
from inference import faces
from inference.convert import convert
from inference.gif import write_gif as write_gif_of
from inference.options import ConvertOptions
from inference.report import ConvertReport

SIZE_PX = 32
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def portrait() -> RgbU8:
    return draw_portrait(np.random.default_rng([1, 0]), 320, 320).rgb_u8


@pytest.fixture(scope="module")
def couple() -> RgbU8:
    return draw_couple(np.random.default_rng([1, 1])).rgb_u8


@pytest.fixture
def landscape() -> RgbU8:
    """Return a picture without a face (60, 90, 3)."""
    rows, columns = np.mgrid[0:60, 0:90]
    return np.stack([rows * 4, columns * 2, 255 - rows * 2], axis=2).astype(np.uint8)


def _run(models: Path, source: Path, dst: Path, **options: Any) -> ConvertReport:
    return convert(source, dst, ConvertOptions(weights=models, device="cpu", **options))


def write_gif(path: Path, frames: list[RgbU8], durations_ms: list[int]) -> None:
    write_gif_of(path, lambda: iter(frames), durations_ms)


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def _figures(report: ConvertReport, *names: str) -> tuple[int | float | str, ...]:
    return tuple(report.as_metrics()[name] for name in names)


@pytest.fixture
def mixed(tmp_path: Path, portrait: RgbU8, couple: RgbU8, landscape: RgbU8) -> Path:
    """Return a folder of all that people have in their folders."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "face.jpg").write_bytes(encode_jpeg(portrait))
    (folder / "face.png").write_bytes(encode_png(portrait))
    (folder / "sub" / "日本 [b]é.png").write_bytes(encode_png(couple))
    (folder / "sub" / "sea.webp").write_bytes(_encode(landscape, "WEBP"))
    (folder / "broken.png").write_bytes(encode_png(portrait)[:900])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "page.jpg").write_bytes(b"<html></html>")
    (folder / "big.png").write_bytes(_header_of_65_megapixels())
    (folder / "Thumbs.db").write_bytes(b"\0" * 99)
    (folder / "notes.txt").write_text("a picture list")
    write_gif(folder / "film.gif", [landscape, landscape[::-1]], [100, 100])
    (folder / "face.jpg").chmod(0o444)
    return folder


def _encode(rgb_u8: RgbU8, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb_u8).save(buffer, format=kind, **options)
    return buffer.getvalue()


def _header_of_65_megapixels() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (10_000, 6_500)).save(buffer, format="PNG")
    return buffer.getvalue()


def test_mixed_folder(models: Path, mixed: Path, tmp_path: Path) -> None:
    before = _hashes(mixed)
    report = _run(models, mixed, tmp_path / "out")
    names = ("pictures", "converted", "faces", "no_face", "failed", "other_files")
    assert _figures(report, *names) == (9, 5, 4, 2, 4, 2)
    assert sorted(_hashes(tmp_path / "out")) == [
        "face-jpg.png",
        "face-png.png",
        "film.png",
        "sub/sea.png",
        "sub/日本 [b]é-2.png",
        "sub/日本 [b]é.png",
    ]
    assert {item.name: item.reason for item in report.failed} == {
        "big.png": "too_many_pixels",
        "broken.png": "truncated",
        "empty.jpg": "empty",
        "page.jpg": "not_an_image",
    }
    with pytest.raises(PartialError, match="4 of 9"):
        report.require_success()
    assert _hashes(mixed) == before
    assert all(read_rgb(path).shape == (SIZE_PX, SIZE_PX, 3) for path in report.files)


def test_same_input_same_bytes(models: Path, mixed: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        _run(models, mixed, tmp_path / name)
    assert _hashes(tmp_path / "one") == _hashes(tmp_path / "two")


def test_paste_keeps_the_picture_around_the_faces(
    models: Path, couple: RgbU8, tmp_path: Path
) -> None:
    source = tmp_path / "couple.png"
    source.write_bytes(encode_png(couple))
    report = _run(models, source, tmp_path / "out", faces="paste")
    pasted = read_rgb(tmp_path / "out" / "couple.png")
    assert pasted.shape == couple.shape
    changed = (pasted != couple).any(axis=2)
    found = faces.FaceFinder("photo").find(couple)
    assert _figures(report, "faces", "files") == (2, 1)
    assert len(found) == 2
    for face in found:
        x, y, width, height = face.box
        assert changed[y + height // 3 : y + height // 2, x + width // 3 : x + width // 2].all()
    assert not changed[:5].any()
    assert not changed[-5:].any()


def test_strength_mixes_with_the_aligned_input(
    models: Path, portrait: RgbU8, tmp_path: Path
) -> None:
    source = tmp_path / "face.png"
    source.write_bytes(encode_png(portrait))
    _run(models, source, tmp_path / "full", is_side_by_side=True)
    pair = read_rgb(tmp_path / "full" / "face.png").astype(int)
    before, after = pair[:, :SIZE_PX], pair[:, -SIZE_PX:]
    assert np.abs(before - after).max() > 30
    for strength in (0.0, 0.25):
        _run(models, source, tmp_path / "some", strength=strength)
        mixed = read_rgb(tmp_path / "some" / "face.png")
        assert np.abs(mixed - (before + strength * (after - before))).max() <= 1


@pytest.mark.parametrize("mode", ["crop", "paste", "whole"])
def test_heatmap_lies_to_the_right(
    models: Path, portrait: RgbU8, tmp_path: Path, mode: Any
) -> None:
    source = tmp_path / "face.png"
    source.write_bytes(encode_png(portrait))
    options = {"faces": mode, "is_side_by_side": True}
    _run(models, source, tmp_path / "two", **options)
    _run(models, source, tmp_path / "three", has_heatmap=True, **options)
    two, three = (read_rgb(tmp_path / name / "face.png") for name in ("two", "three"))
    width_px = (two.shape[1] - 2) // 2
    assert three.shape == (two.shape[0], 3 * width_px + 4, 3)
    assert np.array_equal(three[:, : two.shape[1]], two)
    heat = three[:, -width_px:].astype(int)
    middle = heat[two.shape[0] // 2 - 8 :][:16, width_px // 2 - 8 :][:, :16]
    assert np.ptp(middle, axis=2).mean() > 40  # colourful, though made of the picture's greys
    if mode == "paste":
        assert np.array_equal(heat[:4], portrait[:4])


def test_screentone_leaves_black_and_white(models: Path, portrait: RgbU8, tmp_path: Path) -> None:
    source = tmp_path / "face.png"
    source.write_bytes(encode_png(portrait))
    _run(models, source, tmp_path / "out", is_mosaic=True, screentone_px=4.0)
    screened = read_rgb(tmp_path / "out" / "face.png")
    assert screened.shape == portrait.shape
    assert (screened.min(axis=2) == screened.max(axis=2)).all()
    assert ((screened == 0) | (screened == 255)).mean() > 0.4


@pytest.mark.parametrize("mode", ["crop", "whole"])
def test_enlarged_results_lie_beside_an_input_and_a_heatmap_of_their_size(
    models: Path, portrait: RgbU8, tmp_path: Path, mode: Any
) -> None:
    source = tmp_path / "face.png"
    source.write_bytes(encode_png(portrait))
    sides = {"is_side_by_side": True, "has_heatmap": True}
    _run(models, source, tmp_path / "1", faces=mode, **sides)
    _run(models, source, tmp_path / "3", faces=mode, enlarge=3, **sides)
    one, three = (read_rgb(tmp_path / number / "face.png") for number in "13")
    assert one.shape[0] == SIZE_PX
    assert three.shape[0] == 3 * SIZE_PX
    gap_px = one.shape[1] - 3 * SIZE_PX
    assert three.shape[1] == 9 * SIZE_PX + gap_px
    assert np.array_equal(three[:, : 3 * SIZE_PX], resize_rgb(one[:, :SIZE_PX], *[3 * SIZE_PX] * 2))


def test_enlarged_faces_keep_the_size_of_the_picture_they_go_back_into(
    models: Path, portrait: RgbU8, tmp_path: Path
) -> None:
    source = tmp_path / "face.png"
    source.write_bytes(encode_png(portrait))
    _run(models, source, tmp_path / "1", faces="paste")
    _run(models, source, tmp_path / "4", faces="paste", enlarge=4)
    one, four = (read_rgb(tmp_path / number / "face.png") for number in "14")
    assert one.shape == four.shape == portrait.shape
    assert not np.array_equal(one, four)
    assert np.array_equal(four[:4], portrait[:4])
    assert np.array_equal(four[:, :4], portrait[:, :4])


@pytest.mark.parametrize("mode", ["whole", "skip"])
def test_picture_without_face_is_reported(
    models: Path, landscape: RgbU8, tmp_path: Path, mode: Any
) -> None:
    source = tmp_path / "sea.png"
    source.write_bytes(encode_png(landscape))
    report = _run(models, source, tmp_path / "out", no_face=mode)
    assert _figures(report, "no_face", "files") == (1, int(mode == "whole"))
    assert report.as_json()["without_face"] == ["sea.png"]
    assert (tmp_path / "out" / "sea.png").exists() == (mode == "whole")


def test_mosaic_keeps_the_size(models: Path, landscape: RgbU8, tmp_path: Path) -> None:
    source = tmp_path / "sea.png"
    source.write_bytes(encode_png(landscape[:, :71]))
    _run(models, source, tmp_path / "m.webp", is_mosaic=True)
    assert read_rgb(tmp_path / "m.webp").shape == (60, 71, 3)
    _run(models, source, tmp_path / "pair", is_mosaic=True, is_side_by_side=True)
    pair = read_rgb(tmp_path / "pair" / "sea.png")
    np.testing.assert_array_equal(pair[:, :71], landscape[:, :71])
    assert pair.shape == (60, 71 + 2 + 71, 3)
    _run(models, source, tmp_path / "less.png", is_mosaic=True, max_side_px=40)
    assert read_rgb(tmp_path / "less.png").shape == (34, 40, 3)
    _run(models, source, tmp_path / "as_is.png", is_mosaic=True, max_side_px=400)
    assert read_rgb(tmp_path / "as_is.png").shape == (60, 71, 3)


def test_side_by_side_shows_the_crop(models: Path, portrait: RgbU8, tmp_path: Path) -> None:
    source = tmp_path / "face.png"
    source.write_bytes(encode_png(portrait))
    _run(models, source, tmp_path / "alone")
    _run(models, source, tmp_path / "pair", is_side_by_side=True, format="png", prefix="manga")
    pair = read_rgb(tmp_path / "pair" / "manga-face.png")
    assert pair.shape == (SIZE_PX, 2 * SIZE_PX + 2, 3)
    np.testing.assert_array_equal(pair[:, -SIZE_PX:], read_rgb(tmp_path / "alone" / "face.png"))


def test_large_jpeg_is_decoded_smaller_only_where_that_does_not_show(
    models: Path, tmp_path: Path
) -> None:
    photo = draw_portrait(np.random.default_rng([1, 0]), 480, 640).rgb_u8
    (tmp_path / "a.jpg").write_bytes(encode_jpeg(photo))
    small = read_rgb(tmp_path / "a.jpg", enough_px=3 * SIZE_PX)
    assert small.shape == (160, 120, 3)
    _run(models, tmp_path / "a.jpg", tmp_path / "b.png", faces="whole", strength=0.0)
    seen = read_rgb(tmp_path / "b.png")
    assert np.array_equal(seen, faces.centre_square(small, SIZE_PX))
    exact = faces.centre_square(read_rgb(tmp_path / "a.jpg"), SIZE_PX)
    assert np.abs(seen.astype(int) - exact).mean() < 0.5
    _run(models, tmp_path / "a.jpg", tmp_path / "c.png", faces="paste", strength=0.0)
    assert np.array_equal(read_rgb(tmp_path / "c.png"), read_rgb(tmp_path / "a.jpg"))


def test_direction_chooses_the_weights(models: Path, landscape: RgbU8, tmp_path: Path) -> None:
    source = tmp_path / "sea.png"
    source.write_bytes(encode_png(landscape))
    for direction in ("a2b", "b2a"):
        report = _run(models, source, tmp_path / direction, direction=direction, faces="whole")
        assert _figures(report, "direction", "weights") == (
            direction,
            f"generator_{direction}.safetensors",
        )


def test_faces_are_seen_at_the_size_that_is_asked_for(
    models: Path, landscape: RgbU8, tmp_path: Path
) -> None:
    source = tmp_path / "sea.png"
    source.write_bytes(encode_png(landscape))
    _run(models, source, tmp_path / "out.png", faces="whole", size_px=64, is_side_by_side=True)
    assert read_rgb(tmp_path / "out.png").shape[0] == 64
    with pytest.raises(ParamsError, match="--size is for faces"):
        _run(models, source, tmp_path / "m.png", is_mosaic=True, size_px=64)


def test_rotated_and_transparent_input(models: Path, landscape: RgbU8, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "in").mkdir()
    turned = np.rot90(landscape)
    (tmp_path / "in" / "turned.png").write_bytes(_encode(turned.copy(), "PNG", exif=exif))
    clear = np.zeros((40, 40, 4), np.uint8)
    (tmp_path / "in" / "clear.png").write_bytes(_encode(clear, "PNG"))
    (tmp_path / "in" / "upright.png").write_bytes(encode_png(landscape))
    (tmp_path / "in" / "white.png").write_bytes(encode_png(np.full((40, 40, 3), 255, np.uint8)))
    _run(models, tmp_path / "in", tmp_path / "out", faces="whole", batch_size=1)
    out = {path.stem: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert out["turned"] == out["upright"]
    assert out["clear"] == out["white"]
    assert out["clear"] != out["upright"]


def test_sixteen_bit_cmyk_and_grey_input(models: Path, landscape: RgbU8, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    grey = landscape[:, :, 0]
    wide = Image.fromarray(grey.astype(np.uint16) * 257)
    wide.save(folder / "sixteen.png")
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(landscape).convert("CMYK").save(folder / "cmyk.tif")
    Image.fromarray(landscape).save(folder / "rgb.tif")
    _run(models, folder, tmp_path / "out", faces="whole", batch_size=1)
    out = {path.stem: read_rgb(path).astype(int) for path in (tmp_path / "out").iterdir()}
    np.testing.assert_array_equal(out["sixteen"], out["grey"])
    assert np.abs(out["cmyk"] - out["rgb"]).mean() < 6
    assert np.abs(out["cmyk"] - out["grey"]).mean() > 6


def test_skip_existing_does_what_is_missing_or_outdated(models: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for index in range(3):
        picture = np.full((40, 40, 3), 40 * index, np.uint8)
        (source / f"{index}.png").write_bytes(encode_png(picture))
    out = tmp_path / "out"
    _run(models, source, out, faces="whole")
    (out / "0.png").unlink()
    os.utime(source / "1.png", (time.time() + 60,) * 2)
    report = _run(models, source, out, faces="whole", is_skip_existing=True)
    assert [done.name for done in report.done] == ["0.png", "1.png", "2.png"]
    assert [done.is_existing for done in report.done] == [False, False, True]
    new_weights = tmp_path / "generator_a2b.safetensors"
    new_weights.write_bytes((models / new_weights.name).read_bytes())
    os.utime(new_weights, (time.time() + 60,) * 2)
    report = _run(new_weights, source, out, faces="whole", is_skip_existing=True)
    assert _figures(report, "existing", "converted") == (0, 3)


def test_unusable_source_weights_and_output(models: Path, landscape: RgbU8, tmp_path: Path) -> None:
    source = tmp_path / "sea.png"
    source.write_bytes(encode_png(landscape))
    (tmp_path / "hollow").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"x")
    (tmp_path / "bad" / "b.png").write_bytes(b"x")
    out = tmp_path / "out"
    with pytest.raises(CheckpointError, match="none"):
        _run(tmp_path / "none", source, out)
    with pytest.raises(CheckpointError, match="a2b, --direction asks for b2a"):
        _run(models / "generator_a2b.safetensors", source, out, direction="b2a")
    with pytest.raises(DatasetError, match="no picture"):
        _run(models, tmp_path / "hollow", out)
    assert not out.exists()
    with pytest.raises(ImageError, match="not a picture"):
        _run(models, tmp_path / "bad" / "a.png", out).require_success()
    with pytest.raises(DatasetError, match="none of 2"):
        _run(models, tmp_path / "bad", out).require_success()
    with pytest.raises(AnymusError, match="is a file") as caught:
        _run(models, tmp_path / "bad", source)
    assert caught.value.exit_code == 1


def test_output_that_cannot_be_written_stops_with_its_path(
    models: Path, landscape: RgbU8, tmp_path: Path
) -> None:
    source = tmp_path / "sea.png"
    source.write_bytes(encode_png(landscape))
    (tmp_path / "out" / "sea.png").mkdir(parents=True)
    with pytest.raises(ImageError, match=r"out/sea\.png") as caught:
        _run(models, source, tmp_path / "out", faces="whole")
    assert caught.value.exit_code == 1
    with pytest.raises(AnymusError, match="cannot make the folder /proc/none"):
        _run(models, source, Path("/proc/none"), faces="whole")


def test_machine_without_face_detector_converts_whole_pictures(
    models: Path, landscape: RgbU8, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "sea.png"
    source.write_bytes(encode_png(landscape))
    monkeypatch.setitem(sys.modules, "dlib", None)
    from anymus import detectors

    detectors._load.cache_clear()
    with pytest.raises(DeviceError, match="dlib"):
        _run(models, source, tmp_path / "out")
    assert _figures(_run(models, source, tmp_path / "out", faces="whole"), "files") == (1,)
    assert _figures(_run(models, source, tmp_path / "out", is_mosaic=True), "files") == (1,)


def test_animation_keeps_its_frames_and_pace(
    models: Path, portrait: RgbU8, landscape: RgbU8, tmp_path: Path
) -> None:
    source = tmp_path / "film.gif"
    frames = [landscape, landscape[::-1].copy(), landscape[:, ::-1].copy()]
    write_gif(source, frames, [80, 120, 500])
    _run(models, source, tmp_path / "manga.gif", is_mosaic=True)
    converted = list(read_frames(tmp_path / "manga.gif"))
    assert [duration for _, duration in converted] == [80, 120, 500]
    assert {frame.shape for frame, _ in converted} == {landscape.shape}
    report = _run(models, source, tmp_path / "out", format="gif", faces="paste")
    assert _figures(report, "frames", "no_face") == (3, 1)
    write_gif(source, [portrait, np.full_like(portrait, 9), portrait[:, ::-1].copy()], [50, 60, 70])
    report = _run(models, source, tmp_path / "skip.gif", no_face="skip", faces="crop")
    shown = list(read_frames(tmp_path / "skip.gif"))
    assert _figures(report, "frames", "faces", "no_face") == (2, 2, 0)
    assert [(frame.shape[0], duration) for frame, duration in shown] == [(32, 110), (32, 70)]


def test_broken_animation_is_a_failed_picture(
    models: Path, landscape: RgbU8, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    write_gif(tmp_path / "in" / "a.gif", [landscape, landscape[::-1]], [80, 120])
    (tmp_path / "in" / "b.gif").write_bytes((tmp_path / "in" / "a.gif").read_bytes()[:300])
    report = _run(models, tmp_path / "in", tmp_path / "out", format="gif", faces="whole")
    assert [item.name for item in report.failed] == ["b.gif"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.gif"]


def _app() -> typer.Typer:
    app = typer.Typer()
    inference.cli.register(app)
    return app


def test_command_prints_json_and_fails_with_the_partial_code(
    models: Path, mixed: Path, tmp_path: Path
) -> None:
    arguments = ["convert", str(mixed), "-o", str(tmp_path / "out"), "-g", str(models), "-p", "r"]
    result = CliRunner().invoke(_app(), [*arguments, "--json", "--device", "cpu"])
    assert isinstance(result.exception, PartialError)
    assert '"file": "broken.png"' in result.stdout
    told = json.loads(result.stdout)
    assert told["converted"] == 5
    assert {
        "file": "sub/sea.webp", "faces": 0, "results": [str(tmp_path / "out/sub/r-sea.png")]
    } in told["outputs"]  # fmt: skip
    assert (tmp_path / "out" / "sub" / "r-sea.png").exists()
    result = CliRunner().invoke(_app(), [*arguments, "--faces", "whole", "-v"])
    assert "failed: broken.png: cannot decode" in result.stderr
    assert "sea.webp: 0 faces, 1 files" in result.stderr
    assert result.stdout == ""


def test_command_refuses_what_excludes_itself(models: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    arguments = ["convert", str(tmp_path), "-g", str(models), "-m", "--faces", "paste"]
    assert isinstance(CliRunner().invoke(_app(), arguments).exception, ParamsError)
    assert CliRunner().invoke(_app(), ["convert", "x", "--faces", "blur"]).exit_code == 2


def test_interrupt_leaves_whole_files_and_the_rest_can_be_done_later(
    models: Path, tmp_path: Path
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    picture = np.random.default_rng(1).integers(0, 256, (400, 400, 3), np.uint8)
    content = encode_png(picture)
    for index in range(60):
        (source / f"{index:02}.png").write_bytes(content)
    code = (
        "import sys, typer, inference.cli\n"
        "app = typer.Typer()\n"
        "inference.cli.register(app)\n"
        "app()\n"
    )
    command = [sys.executable, "-c", code, "convert", str(source), "-o", str(out), "-g"]
    command += [str(models), "-m", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, cwd=tmp_path)
    deadline_s = time.monotonic() + 60
    while not (out.is_dir() and any(out.glob("*.png"))) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    left = list(out.iterdir())
    assert 0 < len(left) < 60
    assert all(read_rgb(path).shape == picture.shape for path in left)
    done = {path.stem for path in left}
    open_ones = [path for path in sorted(source.iterdir()) if path.stem not in done]
    for path in open_ones[2:]:
        path.unlink()
    report = _run(models, source, out, is_mosaic=True, is_skip_existing=True)
    assert _figures(report, "existing", "converted") == (len(left), 2)
