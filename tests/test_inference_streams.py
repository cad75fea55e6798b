"""Streams and patterns: convert in a pipe, over a pattern, over several sources."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import inference.cli
from anymus.errors import DatasetError, ImageError, ParamsError
from anymus.images import RgbU8, decode_rgb, encode_jpeg, encode_png, read_rgb
from inference.options import ConvertOptions
from inference.plan import plan_conversion
from training.checkpoint import save_generator
from training.networks import Generator

ROOT = Path(__file__).parent.parent
SIZE_PX = 32


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    generator = Generator(base_channels=4, image_size_px=SIZE_PX, residual_blocks=1, film="pooled")
    card = {"direction": "a2b", "framing": {"face_share": 0.55, "eye_line": 0.46}}
    save_generator(folder / "generator_a2b.safetensors", generator, card)
    return folder


@pytest.fixture
def landscape() -> RgbU8:
    rows, columns = np.mgrid[0:60, 0:90]
    return np.stack([rows * 4, columns * 2, 255 - rows * 2], axis=2).astype(np.uint8)


def _convert(*arguments: str, content: bytes | None = None) -> Any:
    app = typer.Typer()
    inference.cli.register(app)
    command = ["convert", *arguments, "--device", "cpu", "--faces", "whole"]
    return CliRunner().invoke(app, command, input=content)


def _outputs(sources: list[Path], dst: Path, **options: Any) -> dict[str, str]:
    plan = plan_conversion(sources, dst, ConvertOptions(**options))
    return {item.name: item.output.relative_to(dst).as_posix() for item in plan.items}


def _touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def test_picture_goes_through_a_pipe(models: Path, landscape: RgbU8, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_png(landscape))
    assert (
        _convert(str(tmp_path / "a.png"), "-o", str(tmp_path / "b"), "-g", str(models)).stdout == ""
    )
    code = "import inference.cli, typer; app = typer.Typer(); inference.cli.register(app); app()"
    command = [sys.executable, "-c", code, "convert", "-", "-o", "-", "-g", str(models)]
    outcome = subprocess.run(
        [*command, "--faces", "whole", "--device", "cpu"],
        input=encode_png(landscape),
        capture_output=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    assert outcome.stdout == (tmp_path / "b" / "a.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b"]


def test_stream_has_the_format_asked_for(models: Path, landscape: RgbU8, tmp_path: Path) -> None:
    result = _convert(
        "-", "-o", str(tmp_path / "o"), "-g", str(models), content=encode_png(landscape)
    )
    assert read_rgb(tmp_path / "o" / "stdin.png").shape == (SIZE_PX, SIZE_PX, 3)
    frames = [Image.fromarray(landscape), Image.fromarray(landscape[::-1])]
    film = io.BytesIO()
    frames[0].save(film, format="GIF", save_all=True, append_images=frames[1:], duration=90)
    arguments = ("-", "-o", "-", "-g", str(models), "--format")
    result = _convert(*arguments, "gif", content=film.getvalue())
    with Image.open(io.BytesIO(result.stdout_bytes)) as shown:
        assert (shown.format, getattr(shown, "n_frames", 1)) == ("GIF", 2)
    result = _convert(*arguments, "jpg", content=encode_jpeg(landscape))
    assert result.stdout_bytes[:3] == b"\xff\xd8\xff"
    assert decode_rgb(result.stdout_bytes).shape == (SIZE_PX, SIZE_PX, 3)


def test_streams_that_make_no_sense_are_refused(models: Path, tmp_path: Path) -> None:
    _touch(tmp_path / "in", "a.png")
    folder = str(tmp_path / "in")
    weights = ("-g", str(models))
    for arguments, content, kind in (
        (("-", folder), b"x", ParamsError),
        (("-", "-o", "-", "--json"), b"x", ParamsError),
        ((folder, "-o", "-"), b"", ParamsError),
        (("-", "-o", str(tmp_path / "o")), b"no picture", ImageError),
        (("-", "-o", str(tmp_path / "o")), b"", ImageError),
    ):
        result = _convert(*arguments, *weights, content=content)
        assert type(result.exception) is kind, (arguments, result.exception)
        assert result.stdout == ""
    assert not (tmp_path / "o").exists()


def test_pattern_keeps_the_tree_below_its_fixed_part(tmp_path: Path) -> None:
    _touch(
        tmp_path / "in", "a.jpg", "b.png", "sub/c.jpg", "sub/deep/d.jpg", "sub/notes.txt", ".h.jpg"
    )
    _touch(tmp_path / "in" / "out", "old.jpg")
    top = tmp_path / "in"
    assert _outputs([top / "**" / "*.jpg"], top / "out") == {
        "a.jpg": "a.png",
        "sub/c.jpg": "sub/c.png",
        "sub/deep/d.jpg": "sub/deep/d.png",
    }
    assert _outputs([top / "s*"], tmp_path / "o") == {
        "sub/c.jpg": "sub/c.png",
        "sub/deep/d.jpg": "sub/deep/d.png",
    }
    assert set(_outputs([top / "[a-b].*"], tmp_path / "o")) == {"a.jpg", "b.png"}
    with pytest.raises(DatasetError, match="nothing matches"):
        _outputs([top / "*.tif"], tmp_path / "o")


def test_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    _touch(tmp_path, "a[1].jpg", "a1.jpg")
    assert _outputs([tmp_path / "a[1].jpg"], tmp_path / "o") == {"a[1].jpg": "a[1].png"}


def test_several_sources_keep_apart(tmp_path: Path) -> None:
    _touch(tmp_path, "x/a.jpg", "y/a.jpg", "y/sub/b.jpg", "z/a.jpg", "z/readme.txt")
    sources = [tmp_path / "x" / "a.jpg", tmp_path / "y", tmp_path / "z" / "*"]
    plan = plan_conversion(sources, tmp_path / "o", ConvertOptions())
    assert [item.output.relative_to(tmp_path / "o").as_posix() for item in plan.items] == [
        "a-jpg.png",
        "y/a.png",
        "y/sub/b.png",
        "a-jpg-2.png",
    ]
    assert plan.other_files == 1
    assert len(plan_conversion([*sources, *sources], tmp_path / "o", ConvertOptions()).items) == 4
    with pytest.raises(ParamsError, match="several sources"):
        _outputs(sources, tmp_path / "o.png")


def test_on_error_stop_ends_at_the_first_bad_picture(
    models: Path, landscape: RgbU8, tmp_path: Path
) -> None:
    folder = _touch(tmp_path / "in", "b.png")
    for name in ("a.png", "c.png", "d.png"):
        (folder / name).write_bytes(encode_png(landscape))
    arguments = (str(folder), "-o", str(tmp_path / "o"), "-g", str(models), "--on-error", "stop")
    result = _convert(*arguments)
    assert isinstance(result.exception, ImageError)
    assert result.exception.exit_code == 1
    assert "b.png" in result.exception.message
    assert (tmp_path / "o" / "a.png").exists()
    (folder / "b.png").write_bytes(encode_png(landscape))
    assert _convert(*arguments, "--skip-existing").exit_code == 0
    assert len(list((tmp_path / "o").iterdir())) == 4


def test_exif_is_dropped_unless_kept(models: Path, landscape: RgbU8, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    exif.get_ifd(0x8825)[1], exif.get_ifd(0x8825)[2] = "N", (52.0, 30.0, 0.0)
    for suffix in ("jpg", "png", "webp"):
        source = tmp_path / f"in.{suffix}"
        Image.fromarray(landscape).save(source, exif=exif)
        for target in ("png", "jpg", "webp"):
            output = tmp_path / f"out.{target}"
            arguments = (str(source), "-o", str(output), "-g", str(models))
            assert _convert(*arguments).exit_code == 0
            with Image.open(output) as picture:
                assert not picture.getexif()
                assert not {"exif", "icc_profile", "xmp"} & set(picture.info)
            assert _convert(*arguments, "--keep-metadata").exit_code == 0
            with Image.open(output) as picture:
                kept = picture.getexif()
                assert kept.get(0x0112, 1) == 1  # the pixels are upright already
                assert kept[0x010F] == "a camera"
                assert kept.get_ifd(0x8825)[2] == (52.0, 30.0, 0.0)
