"""Film: frames become frames at their times, and a run that was stopped goes on where it was."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from anymus.drawing.photo import draw_portrait
from anymus.errors import AnymusError, ImageError, InterruptedRunError, ParamsError
from anymus.framing import Framing
from anymus.images import RgbU8, encode_jpeg, read_frames
from films import length_s, moving, sound_bytes, write_film
from inference import film as film_module
from inference.convert import convert
from inference.film import Shot, Studio, convert_film, gif_durations_ms
from inference.options import ConvertOptions, OutputFormat
from inference.plan import Item
from inference.report import ConvertReport
from inference.video import Film
from training.checkpoint import save_generator
from training.networks import Generator

ROOT = Path(__file__).parent.parent
SIZE_PX = 32


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(2)
    generator = Generator(base_channels=4, image_size_px=SIZE_PX, residual_blocks=1, film="pooled")
    card = {"direction": "a2b", "framing": {"face_share": 0.55, "eye_line": 0.46}}
    save_generator(folder / "generator_a2b.safetensors", generator, card)
    return folder


@pytest.fixture
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film_module, "_PART_FRAMES", 4)


def _run(models: Path, source: Path, dst: Path, **options: Any) -> ConvertReport:
    return convert(source, dst, ConvertOptions(weights=models, device="cpu", **options))


def _studio(**changes: Any) -> Studio:
    """Return a studio that makes negatives of its frames."""

    def negatives(shots: Iterable[Shot]) -> Iterator[RgbU8]:
        for shot in shots:
            yield 255 - shot.read()

    plain = Studio(
        find=None,
        render=negatives,
        domain="photo",
        framing=Framing(SIZE_PX, 0.55, 0.46),
        is_pasting=True,
        is_skipping=False,
        is_metadata_kept=False,
        fps=None,
        max_side_px=None,
        key="negative",
    )
    return replace(plain, **changes)


def _stopping(studio: Studio, after: int) -> tuple[Studio, list[int]]:
    """Return the studio with a Ctrl-C after so many frames, and the count of those it rendered."""
    rendered = [0]

    def render(shots: Iterable[Shot]) -> Iterator[RgbU8]:
        for result in studio.render(shots):
            if rendered[0] == after:
                raise KeyboardInterrupt
            rendered[0] += 1
            yield result

    return replace(studio, render=render), rendered


def _item(source: Path, output: Path, output_format: OutputFormat = "mp4") -> Item:
    return Item(source, source.name, output, output_format)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_film_keeps_its_frames_times_and_sound(models: Path, tmp_path: Path) -> None:
    source = write_film(tmp_path / "in.mp4", moving(10), sound="aac")
    report = _run(models, source, tmp_path / "out" / "film.mp4", faces="whole")
    film = Film(tmp_path / "out" / "film.mp4")
    frames = list(film.frames())
    assert [float(f.pts * film.facts.time_base) for f in frames] == [i / 25 for i in range(10)]
    assert frames[0].read().shape == (SIZE_PX, SIZE_PX, 3)
    assert sound_bytes(film.path) == sound_bytes(source)
    assert length_s(film.path) == pytest.approx(length_s(source), abs=0.04)
    assert (report.as_metrics()["frames"], report.as_metrics()["files"]) == (10, 1)
    assert _names(tmp_path / "out") == ["film.mp4"]


def test_faces_are_pasted_into_the_frames(models: Path, tmp_path: Path) -> None:
    portrait = draw_portrait(np.random.default_rng([1, 0]), 240, 240).rgb_u8
    wide = np.full((240, 320, 3), 90, np.uint8)
    frames = [wide.copy() for _ in range(6)]
    for index, frame in enumerate(frames):
        frame[:, 10 * index : 240 + 10 * index] = portrait
    report = _run(models, write_film(tmp_path / "in.mp4", frames), tmp_path / "out")
    assert report.as_metrics()["faces"] == 1
    after = [frame.read() for frame in Film(tmp_path / "out" / "in.mp4").frames()]
    changes = [np.abs(a.astype(int) - b).mean(axis=2) for a, b in zip(after, frames, strict=True)]
    middles = [np.argwhere(change > 25).mean(axis=0)[1] for change in changes]
    assert np.diff(middles) == pytest.approx([10] * 5, abs=2)
    assert all(change[:5].mean() < 6 and change[-5:].mean() < 6 for change in changes)
    report = _run(models, tmp_path / "in.mp4", tmp_path / "face.mp4", faces="crop")
    assert next(Film(tmp_path / "face.mp4").frames()).read().shape == (SIZE_PX, SIZE_PX, 3)


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("output", ["out.mp4", "out.webm", "out.gif"])
def test_interrupted_film_goes_on_and_ends_the_same(tmp_path: Path, output: str) -> None:
    source = write_film(tmp_path / "in.mp4", moving(11), sound="aac")
    output_format: Any = output.split(".")[1]
    straight, stopped = tmp_path / "straight" / output, tmp_path / "stopped" / output
    convert_film(_item(source, straight, output_format), _studio())
    studio, _ = _stopping(_studio(), after=9)
    with pytest.raises(InterruptedRunError, match="of 11 frames") as caught:
        convert_film(_item(source, stopped, output_format), studio)
    assert caught.value.exit_code == 130
    assert [name for name in _names(stopped.parent) if not name.startswith(".anymus-")] == []
    studio, rendered = _stopping(_studio(), after=99)
    convert_film(_item(source, stopped, output_format), studio)
    assert rendered[0] <= 3
    assert stopped.read_bytes() == straight.read_bytes()
    assert _names(stopped.parent) == [output]


@pytest.mark.usefixtures("short_parts")
def test_what_was_done_with_other_options_is_not_used(tmp_path: Path) -> None:
    source = write_film(tmp_path / "in.mp4", moving(11))
    item = _item(source, tmp_path / "out" / "film.mp4")
    studio, _ = _stopping(_studio(), after=9)
    with pytest.raises(InterruptedRunError):
        convert_film(item, studio)
    (work,) = (tmp_path / "out").iterdir()
    studio, rendered = _stopping(_studio(key="other weights"), after=99)
    convert_film(item, studio)
    assert rendered[0] == 11
    assert _names(tmp_path / "out") == ["film.mp4"]
    assert not work.exists()


def test_looking_for_faces_goes_on_where_it_was(tmp_path: Path) -> None:
    source = write_film(tmp_path / "in.mp4", moving(8))
    seen = [0]

    def find(_: RgbU8) -> tuple[()]:
        seen[0] += 1
        if seen[0] == 6:
            raise KeyboardInterrupt
        return ()

    item = _item(source, tmp_path / "out" / "film.mp4")
    with pytest.raises(InterruptedRunError, match="5 frames of"):
        convert_film(item, _studio(find=find))
    (work,) = (tmp_path / "out").iterdir()
    with (work / "looks.jsonl").open("a") as notes:
        notes.write('{"pts": 5, "cha')  # a line cut by a power failure
    convert_film(item, _studio(find=find))
    assert seen[0] == 6 + 3


def test_second_run_on_the_same_film_is_refused(tmp_path: Path) -> None:
    source = write_film(tmp_path / "in.mp4", moving(3))
    item = _item(source, tmp_path / "out" / "film.mp4")
    inner: list[str] = []

    def render(shots: Iterable[Shot]) -> Iterator[RgbU8]:
        with pytest.raises(AnymusError, match="another run is at work"):
            convert_film(item, _studio())
        inner.append("refused")
        yield from _studio().render(shots)

    convert_film(item, _studio(render=render))
    assert inner == ["refused"]


def test_gif_has_the_pace_and_the_size_asked_for(models: Path, tmp_path: Path) -> None:
    source = write_film(tmp_path / "in.mp4", moving(30))
    gif = tmp_path / "out.gif"
    _run(models, source, gif, is_mosaic=True, fps=10, max_side_px=48)
    frames = list(read_frames(gif))
    assert sum(duration for _, duration in frames) == 1200
    assert [duration for _, duration in frames][:4] == [120, 80, 120, 80]
    assert frames[0][0].shape == (36, 48, 3)
    fast = write_film(tmp_path / "fast.mp4", moving(12), times=[128 * i for i in range(12)])
    _run(models, fast, gif, faces="whole")
    durations_ms = [duration for _, duration in read_frames(gif)]
    assert min(durations_ms) >= 20
    assert 110 <= sum(durations_ms) <= 150


def test_gif_times_do_not_drift() -> None:
    times = [(1001 * i, 1001) for i in range(300)]
    durations_ms = gif_durations_ms(times, Fraction(1, 30000))
    assert sum(durations_ms) == round(100 * 300 * 1001 / 30000) * 10
    assert set(durations_ms) == {30, 40}


def test_animation_becomes_a_film(models: Path, tmp_path: Path) -> None:
    frames = [Image.fromarray(frame) for frame in moving(4, 61, 41)]
    frames[0].save(
        tmp_path / "in.webp", save_all=True, append_images=frames[1:], duration=[80, 120, 40, 200]
    )
    _run(models, tmp_path / "in.webp", tmp_path / "out.mp4", is_mosaic=True)
    film = Film(tmp_path / "out.mp4")
    assert [float(f.pts * film.facts.time_base) for f in film.frames()] == [0, 0.08, 0.2, 0.24]
    assert (film.facts.width_px, film.facts.height_px) == (62, 42)
    assert length_s(film.path)["video"] == pytest.approx(0.44)


def test_film_becomes_a_folder_of_frames(models: Path, tmp_path: Path) -> None:
    source = write_film(tmp_path / "in.mp4", moving(5))
    _run(models, source, tmp_path / "out", faces="whole", format="png")
    frames = tmp_path / "out" / "in-frames"
    assert _names(frames) == [f"frame-00000{i}.png" for i in range(1, 6)]
    (frames / "frame-000009.png").write_bytes(b"old")
    _run(models, source, tmp_path / "out", faces="whole", format="png")
    assert len(_names(frames)) == 5
    (frames / "mine.txt").write_text("keep me")
    with pytest.raises(AnymusError, match="holds other files"):
        _run(models, source, tmp_path / "out", faces="whole", format="png")
    assert (frames / "mine.txt").read_text() == "keep me"


def test_frames_without_a_face_are_kept_or_left_out(models: Path, tmp_path: Path) -> None:
    source = write_film(tmp_path / "in.mp4", moving(4))
    report = _run(models, source, tmp_path / "kept", faces="crop")
    assert (report.as_metrics()["no_face"], report.as_metrics()["frames"]) == (1, 4)
    report = _run(models, source, tmp_path / "skipped", faces="crop", no_face="skip")
    assert (report.as_metrics()["no_face"], report.as_metrics()["files"]) == (1, 0)
    assert _names(tmp_path / "skipped") == []


def test_folder_of_pictures_and_films(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    write_film(folder / "sub" / "été.mkv", moving(3))
    (folder / "sub" / "été.jpg").write_bytes(encode_jpeg(moving(1)[0]))
    (folder / "broken.mov").write_bytes(b"no film")
    report = _run(models, folder, tmp_path / "out", faces="whole")
    assert [(item.name, item.reason) for item in report.failed] == [("broken.mov", "not_an_image")]
    assert _names(tmp_path / "out" / "sub") == ["été-jpg.png", "été-mkv.mkv"]
    again = _run(models, folder, tmp_path / "out", faces="whole", is_skip_existing=True)
    assert again.as_metrics()["existing"] == 2


def test_title_and_place_are_dropped_unless_kept(models: Path, tmp_path: Path) -> None:
    source = write_film(tmp_path / "in.mp4", moving(2))
    titles = []
    for is_kept in (False, True):
        _run(models, source, tmp_path / "out.mp4", faces="whole", is_metadata_kept=is_kept)
        with av.open(str(tmp_path / "out.mp4")) as film:
            titles.append(film.metadata.get("title"))
    assert titles == [None, "a secret title"]


def test_full_disk_names_the_output(
    tmp_path: Path, full_disk: Callable[[], AbstractContextManager[None]]
) -> None:
    source = write_film(tmp_path / "in.mp4", moving(30))
    item = _item(source, tmp_path / "out" / "film.mp4")
    noise = np.random.default_rng(1)

    def render(shots: Iterable[Shot]) -> Iterator[RgbU8]:
        for shot in shots:
            yield noise.integers(0, 256, shot.read().shape, np.uint8)

    with full_disk(), pytest.raises(ImageError, match=r"cannot write .*film\.mp4") as caught:
        convert_film(item, _studio(render=render))
    assert caught.value.reason == "unwritable"
    assert not item.output.exists()


def test_requests_that_make_no_sense_are_refused(models: Path, tmp_path: Path) -> None:
    film = write_film(tmp_path / "in.mp4", moving(2))
    (tmp_path / "a.jpg").write_bytes(encode_jpeg(moving(1)[0]))
    for source, output, options, message in (
        (film, "x.png", {}, "is a film, .*x.png is one picture"),
        (film, "x.avi", {}, "cannot write a film .avi"),
        (film, "x.gif", {"fps": 60.0}, "a GIF shows at most 50"),
        (film, "x.mp4", {"fps": 0.0}, "--fps 0"),
        (film, "x.mp4", {"max_side_px": 3}, "--max-side 3"),
        (tmp_path / "a.jpg", "x.mp4", {}, "is one picture"),
        (tmp_path / "a.jpg", "x.png", {"fps": 5.0}, "--fps is for films"),
        (film, "in.mp4", {}, "would be overwritten"),
    ):
        with pytest.raises(ParamsError, match=message):
            _run(models, source, tmp_path / output, **options)


@pytest.mark.parametrize("output", ["out.mp4", "out.gif"])
def test_what_is_unfinished_lies_in_the_work_folder_alone(
    tmp_path: Path, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    put = Path.replace

    def die_at_the_end(path: Path, target: Path) -> Path:
        if "frame-" in path.name:
            return put(path, target)
        seen.extend(_names(made.parent))
        raise RuntimeError("killed")

    monkeypatch.setattr(Path, "replace", die_at_the_end)
    source = write_film(tmp_path / "in.mp4", moving(3))
    made = tmp_path / "made" / output
    output_format: Any = output.split(".")[1]
    with pytest.raises(RuntimeError, match="killed"):
        convert_film(_item(source, made, output_format), _studio())
    assert len(seen) == 1  # a kill there would have left what the next run goes on with
    assert seen[0].startswith(".anymus-")


@pytest.mark.slow
def test_killed_again_and_again_ends_the_same(models: Path, tmp_path: Path) -> None:
    source = write_film(tmp_path / "in.mp4", moving(150), sound="aac")
    output = tmp_path / "out" / "film.mp4"
    command = [sys.executable, "-m", "anymus.cli", "convert", str(source), "-o", str(output)]
    command += ["-g", str(models), "--faces", "whole", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    for kill_at in (1, 2, 3):
        process = subprocess.Popen(command, env=environment, cwd=tmp_path)
        deadline_s = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline_s:
            if len(list(tmp_path.glob("out/.anymus-*/frame-*.mkv"))) >= kill_at:
                process.send_signal(signal.SIGKILL if kill_at % 2 else signal.SIGINT)
                break
            time.sleep(0.01)
        assert process.wait(timeout=60) in (-signal.SIGKILL, 130, 0)
    subprocess.run(command, env=environment, cwd=tmp_path, check=True)
    convert(
        source,
        tmp_path / "straight.mp4",
        ConvertOptions(weights=models, faces="whole", device="cpu"),
    )
    assert output.read_bytes() == (tmp_path / "straight.mp4").read_bytes()
    assert _names(output.parent) == ["film.mp4"]
