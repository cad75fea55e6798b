"""Film files: what goes in comes out at its time, upright, in its colours, with its sound."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from anymus.errors import ImageError
from anymus.images import RgbU8, encode_png
from films import length_s, moving, sound_bytes, write_film
from inference.video import Animation, Film, join_parts, open_part, open_source, pick_coding

CLOCKWISE = [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]  # as a phone held upright writes it


def _copy(source: Path, output: Path, part_frames: int = 7) -> list[Fraction]:
    """Write a film again, in parts, and return when its frames were shown, in seconds."""
    film = open_source(source)
    frames = list(film.frames())
    height_px, width_px = frames[0].read().shape[:2]
    parts = []
    for first in range(0, len(frames), part_frames):
        parts.append(output.with_name(f"part-{first}.mkv"))
        with open_part(parts[-1], pick_coding(output), film.facts, (width_px, height_px)) as add:
            for frame in frames[first : first + part_frames]:
                add(frame.read())
    times = [(frame.pts, frame.ticks) for frame in frames]
    join_parts(parts, times, film.facts, output, source if isinstance(film, Film) else None)
    return [frame.pts * film.facts.time_base for frame in frames]


def _difference(one: RgbU8, other: RgbU8) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())


@pytest.mark.parametrize(
    ("suffix", "sound", "comes_out_as"),
    [
        (".mp4", "aac", "aac"),
        (".mov", "aac", "aac"),
        (".mkv", "pcm_s16le", "pcm_s16le"),
        (".mp4", "pcm_s16le", "aac"),
        (".webm", "aac", "opus"),
    ],
)
def test_film_of_uneven_pace_keeps_its_times_and_its_sound(
    tmp_path: Path, suffix: str, sound: str, comes_out_as: str
) -> None:
    times = [512 * i + (200 if i % 3 == 0 else 0) for i in range(20)]
    source = write_film(tmp_path / "in.mkv", moving(20), times=times, sound=sound)
    shown = _copy(source, tmp_path / f"out{suffix}")
    film = Film(tmp_path / f"out{suffix}")
    frames = list(film.frames())
    begin = frames[0].pts * film.facts.time_base - shown[0]
    offsets = [
        float(abs(f.pts * film.facts.time_base - t - begin))
        for f, t in zip(frames, shown, strict=True)
    ]
    assert max(offsets) <= 0.0011
    was = [frame.read() for frame in Film(source).frames()]
    assert max(_difference(f.read(), p) for f, p in zip(frames, was, strict=True)) < 3
    with av.open(str(film.path)) as container:
        assert container.streams.audio[0].codec_context.codec.canonical_name == comes_out_as
    if sound == comes_out_as:
        assert sound_bytes(film.path) == sound_bytes(source)
    before, after = length_s(source), length_s(film.path)
    assert after["video"] - float(begin) == pytest.approx(before["video"], abs=0.045)
    assert after["audio"] == pytest.approx(before["audio"], abs=0.05)
    assert not list(tmp_path.glob(".*"))


def test_same_film_same_bytes(tmp_path: Path) -> None:
    source = write_film(tmp_path / "in.mp4", moving(12), sound="aac")
    for suffix in (".mp4", ".mkv", ".webm"):
        for name in ("a", "b"):
            _copy(source, tmp_path / f"{name}{suffix}")
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_film_of_a_phone_comes_upright(tmp_path: Path) -> None:
    picture = np.zeros((48, 80, 3), np.uint8)
    picture[:20, :20] = (250, 20, 20)
    source = write_film(tmp_path / "in.mp4", [picture] * 3, turned=CLOCKWISE)
    frame = next(Film(source).frames()).read()
    assert frame.shape == (80, 48, 3)
    assert frame[5, -5, 0] > 200 > frame[5, 5, 0]
    _copy(source, tmp_path / "out.mp4")
    again = next(Film(tmp_path / "out.mp4").frames())
    assert _difference(again.read(), frame) < 3


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path) -> None:
    aspect = {"sample_aspect_ratio": Fraction(3, 2)}
    source = write_film(tmp_path / "in.mp4", moving(2), **aspect)
    assert next(Film(source).frames()).read().shape == (96, 192, 3)


@pytest.mark.parametrize("matrix", [1, 6, 2, 9])
def test_colours_stay(tmp_path: Path, matrix: int) -> None:
    patches = [(230, 30, 30), (30, 200, 40), (40, 40, 220), (128, 128, 128), (250, 250, 250)]
    picture = np.zeros((32, 160, 3), np.uint8)
    for index, colour in enumerate(patches):
        picture[:, 32 * index : 32 * index + 32] = colour
    # FFmpeg's own conversion is BT.601; a film that says otherwise means other colours by it.
    source = write_film(tmp_path / "in.mp4", [picture] * 3, colorspace=matrix)
    before = next(Film(source).frames()).read()
    _copy(source, tmp_path / "out.mp4")
    after = next(Film(tmp_path / "out.mp4").frames()).read()
    assert _difference(before[:, 8::32], after[:, 8::32]) < 1
    assert abs(after.mean() - before.mean()) < 0.3
    if matrix in (2, 6):
        assert _difference(before[:, 8::32], picture[:, 8::32]) < 4
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert film.streams.video[0].codec_context.colorspace == (6 if matrix in (2, 6) else 1)


def test_odd_frames_grow_to_even_ones(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(encode_png(moving(1, 61, 41)[0]))
    _copy(tmp_path / "in.png", tmp_path / "out.mp4")
    frame = next(Film(tmp_path / "out.mp4").frames()).read()
    assert frame.shape == (42, 62, 3)
    assert _difference(frame[:41, :61], moving(1, 61, 41)[0]) < 6
    assert Animation(tmp_path / "in.png").facts.frames == 1


def test_what_is_no_film_is_refused(tmp_path: Path) -> None:
    good = write_film(tmp_path / "good.mp4", moving(9), sound="aac").read_bytes()
    (tmp_path / "secret.txt").write_text("secret")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{tmp_path}/good.mp4\n"
    bad = {
        "empty.mp4": b"",
        "text.mp4": b"not a film at all" * 20,
        "cut.mp4": good[: len(good) // 2],
        "list.mp4": playlist.encode(),
        "concat.mp4": f"ffconcat version 1.0\nfile {tmp_path}/good.mp4\n".encode(),
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=name) as caught:
            Film(tmp_path / name)
        assert caught.value.reason == "not_an_image"
    with pytest.raises(ImageError, match="cannot open"):
        Film(tmp_path / "none.mp4")


def test_sound_without_pictures_is_no_film(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.mp4"), "w") as film:
        audio = film.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 48000, 0
        film.mux(audio.encode(frame))
        film.mux(audio.encode(None))
    with pytest.raises(ImageError, match="no moving pictures"):
        Film(tmp_path / "song.mp4")


def test_film_that_ends_early_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    source = write_film(tmp_path / "in.mkv", moving(40))
    content = source.read_bytes()
    source.write_bytes(content[: len(content) * 2 // 3])
    assert 5 < len(list(Film(source).frames())) < 40
