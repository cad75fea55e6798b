"""GIF: a folder of frames becomes a film, in order, at its pace."""

from pathlib import Path

import numpy as np
import pytest

from anymus.errors import DatasetError, ImageError, ParamsError
from anymus.images import read_frames, write_png
from inference.gif import frame_durations_ms, list_frames, make_gif


def _frames(folder: Path, shades: dict[str, int], shape: tuple[int, int] = (20, 30)) -> Path:
    for name, shade in shades.items():
        write_png(folder / name, np.full((*shape, 3), shade, np.uint8))
    return folder


def test_frames_follow_their_numbers(tmp_path: Path) -> None:
    folder = _frames(tmp_path, {"f-10.png": 200, "f-2.png": 100, "f-1.png": 50, "sub/x.png": 9})
    report = make_gif(folder, tmp_path / "film.gif", 12)
    frames = list(read_frames(tmp_path / "film.gif"))
    assert [int(frame[0, 0, 0]) for frame, _ in frames] == [50, 100, 200]
    assert sum(duration for _, duration in frames) == 250
    assert report.as_metrics()["frames"] == 3
    assert (report.width_px, report.height_px, report.length_s) == (30, 20, 0.25)


def test_film_is_no_frame_of_itself(tmp_path: Path) -> None:
    folder = _frames(tmp_path, {"a.png": 1, "b.png": 2})
    output = folder / "film.gif"
    make_gif(folder, output, 10)
    first = output.read_bytes()
    make_gif(folder, output, 10)
    assert output.read_bytes() == first
    assert [path.name for path in list_frames(folder, output)] == ["a.png", "b.png"]


@pytest.mark.parametrize("fps", [1, 7, 12, 24, 30, 50])
def test_durations_keep_the_pace(fps: float) -> None:
    durations_ms = frame_durations_ms(300, fps)
    assert abs(sum(durations_ms) - 300_000 / fps) <= 5
    assert all(duration % 10 == 0 and duration >= 10 for duration in durations_ms)
    assert max(durations_ms) - min(durations_ms) <= 10


def test_frames_of_different_sizes_are_refused(tmp_path: Path) -> None:
    folder = _frames(tmp_path, {"a.png": 1, "b.png": 2})
    _frames(tmp_path, {"c.png": 3}, (21, 30))
    with pytest.raises(ParamsError, match=r"a\.png is 30 x 20, .*c\.png is 30 x 21"):
        make_gif(folder, tmp_path / "film.gif", 12)
    assert not (tmp_path / "film.gif").exists()


def test_bad_requests(tmp_path: Path) -> None:
    folder = _frames(tmp_path / "in", {"a.png": 1})
    for fps in (0, -1, 51, float("nan")):
        with pytest.raises(ParamsError, match="--fps"):
            make_gif(folder, tmp_path / "film.gif", fps)
    with pytest.raises(ParamsError, match=r"\.gif"):
        make_gif(folder, tmp_path / "film.mp4", 12)
    with pytest.raises(DatasetError, match="no such folder"):
        make_gif(tmp_path / "none", tmp_path / "film.gif", 12)
    with pytest.raises(DatasetError, match="no picture"):
        make_gif(tmp_path, tmp_path / "film.gif", 12)
    (folder / "b.png").write_bytes(b"x")
    with pytest.raises(ImageError, match=r"b\.png"):
        make_gif(folder, tmp_path / "film.gif", 12)
