"""GIF: a folder of frames made into one animation."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import cast

import av
import av.error
from av.container import OutputContainer
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from anymus.errors import AnymusError, DatasetError, ImageError, ParamsError
from anymus.files import IMAGE_SUFFIXES, atomic_file
from anymus.images import RgbU8, read_rgb
from anymus.progress import track

from .options import MAX_GIF_FPS

_TICK = Fraction(1, 100)
_PALETTE_OF = "stats_mode=full"
_PALETTE_USE = "dither=bayer:bayer_scale=4:diff_mode=rectangle"


@dataclass(frozen=True, slots=True)
class GifReport:
    """The figures of an animation: frames, size in pixels, length and wall time in seconds."""

    frames: int
    width_px: int
    height_px: int
    length_s: float
    seconds: float
    result: Path

    def as_metrics(self) -> dict[str, int | float | str]:
        """Return the figures by name."""
        return {
            "frames": self.frames,
            "width_px": self.width_px,
            "height_px": self.height_px,
            "length_s": round(self.length_s, 2),
            "seconds": round(self.seconds, 2),
            "result": str(self.result),
        }


def make_gif(folder: Path, output: Path, fps: float) -> GifReport:
    """Write the pictures of a folder as one looping GIF and return its figures.

    Frames are the folder's own pictures, not those of folders in it, in the order of their names
    with numbers read as numbers (`frame-2` before `frame-10`). The output itself is no frame.

    Args:
        folder: The frames, all of one size.
        output: The file to write, `.gif`.
        fps: Frames a second, above 0 and at most 50.

    Raises:
        ParamsError: `fps` or the suffix is not usable, or the frames differ in size.
        DatasetError: There is no such folder, or no picture in it.
        ImageError: A frame cannot be read (it is named), or the output cannot be written.
        AnymusError: The folder cannot be read.
    """
    started_s = time.perf_counter()
    if not 0 < fps <= MAX_GIF_FPS:
        raise ParamsError(f"--fps {fps:g} is not above 0 and at most {MAX_GIF_FPS:g}", "--fps 12")
    if output.suffix.lower() != ".gif":
        raise ParamsError(f"{output} does not end in .gif", f"-o {output.with_suffix('.gif')}")
    paths = list_frames(folder, output)
    width_px, height_px = _check_sizes(paths)
    durations_ms = frame_durations_ms(len(paths), fps)
    write_gif(output, lambda: (read_rgb(path) for path in paths), durations_ms)
    return GifReport(
        frames=len(paths),
        width_px=width_px,
        height_px=height_px,
        length_s=sum(durations_ms) / 1000,
        seconds=time.perf_counter() - started_s,
        result=output,
    )


def write_gif(
    path: Path, frames: Callable[[], Iterator[RgbU8]], durations_ms: Sequence[int]
) -> None:
    """Write an animated GIF that loops for ever, atomically, with one palette for all its frames.

    FFmpeg's filters choose the palette and lay the frames on it. They are read twice, one by one.

    Args:
        path: The file.
        frames: Begins to yield the pictures, all of one size, at each call.
        durations_ms: How long each is shown, in steps of 10.

    Raises:
        ImageError: The file cannot be written.
    """
    marks = list(accumulate((duration // 10 for duration in durations_ms), initial=0))
    try:
        with (
            atomic_file(path) as stream,
            av.open(stream, "w", format="gif", options=_gif_options(durations_ms)) as film,
        ):
            target: VideoStream | None = None
            for frame in _on_palette(frames, marks):
                if target is None:
                    target = _gif_stream(film, frame)
                film.mux(target.encode(frame))
            assert target is not None
            film.mux(target.encode(None))
    except OSError as error:
        raise ImageError(f"cannot write {path}: {error.strerror}", reason="unwritable") from error


def _gif_options(durations_ms: Sequence[int]) -> dict[str, str]:
    return {"loop": "0", "final_delay": str(durations_ms[-1] // 10), "fflags": "+bitexact"}


def _gif_stream(film: OutputContainer, frame: VideoFrame) -> VideoStream:
    stream = film.add_stream("gif", rate=round(1 / _TICK))
    stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "pal8"
    stream.codec_context.time_base = _TICK
    return stream


def _on_palette(
    frames: Callable[[], Iterator[RgbU8]], marks: Sequence[int]
) -> Iterator[VideoFrame]:
    """Yield the frames on their common palette, with their times in hundredths of a second."""
    palette = _palette_of(frames())
    graph = Graph()
    use, sink = graph.add("paletteuse", _PALETTE_USE), graph.add("buffersink")
    inputs: list[FilterContext] = []
    for index, frame in enumerate(frames()):
        shown = _frame_of(frame, marks[index])
        if not inputs:
            inputs = [_input(graph, shown), _input(graph, palette)]
            for pad, source in enumerate(inputs):
                source.link_to(use, 0, pad)
            use.link_to(sink)
            graph.configure()
            inputs[1].push(palette)
            inputs[1].push(None)
        inputs[0].push(shown)
        yield from _pulled(sink)
    inputs[0].push(None)
    yield from _pulled(sink)


def _palette_of(frames: Iterator[RgbU8]) -> VideoFrame:
    """Return the 256 colours (16 x 16 pixels) that serve all the frames best."""
    graph = Graph()
    generate, sink = graph.add("palettegen", _PALETTE_OF), graph.add("buffersink")
    source: FilterContext | None = None
    for index, frame in enumerate(frames):
        shown = _frame_of(frame, index)
        if source is None:
            source = _input(graph, shown)
            source.link_to(generate)
            generate.link_to(sink)
            graph.configure()
        source.push(shown)
    assert source is not None
    source.push(None)
    palette = cast(VideoFrame, sink.pull())
    palette.pts, palette.time_base = 0, _TICK
    return palette


def _input(graph: Graph, frame: VideoFrame) -> FilterContext:
    return graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=_TICK
    )


def _frame_of(rgb_u8: RgbU8, mark: int) -> VideoFrame:
    frame = VideoFrame.from_ndarray(rgb_u8, format="rgb24")
    frame.pts, frame.time_base = mark, _TICK
    return frame


def _pulled(sink: FilterContext) -> Iterator[VideoFrame]:
    while True:
        try:
            yield cast(VideoFrame, sink.pull())
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def list_frames(folder: Path, output: Path) -> list[Path]:
    """Return the pictures of a folder as the frames of a film, in order, without `output`.

    Raises:
        DatasetError: There is no such folder, or no picture in it.
        AnymusError: The folder cannot be read.
    """
    if not folder.is_dir():
        raise DatasetError(f"no such folder: {folder}", "give the folder of the frames")
    try:
        paths = [path for path in folder.iterdir() if _is_frame(path, output)]
    except OSError as error:
        raise AnymusError(f"cannot read {folder}: {error.strerror}", "check it") from error
    if not paths:
        raise DatasetError(f"no picture in {folder}", "convert some into it first")
    return sorted(paths, key=lambda path: (_natural(path.name), path.name))


def frame_durations_ms(count: int, fps: float) -> list[int]:
    """Return how long each frame is shown: hundredths of a second that keep the pace on average."""
    marks = [round(100 * index / fps) for index in range(count + 1)]
    return [10 * (end - start) for start, end in pairwise(marks)]


def _is_frame(path: Path, output: Path) -> bool:
    is_picture = path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    return is_picture and path.is_file() and path.resolve() != output.resolve()


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key that reads runs of digits as numbers."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()) for part in parts]


def _check_sizes(paths: list[Path]) -> tuple[int, int]:
    """Return width and height of the frames.

    Raises:
        ParamsError: They differ.
        ImageError: One cannot be read.
    """
    first: RgbU8 | None = None
    for path in track(paths, "frames", len(paths)):
        frame = read_rgb(path)
        if first is None:
            first = frame
        if frame.shape != first.shape:
            raise ParamsError(
                f"frames differ in size: {paths[0]} is {_size(first)}, {path} is {_size(frame)}",
                "convert them alike: `--faces crop` gives one size",
            )
    assert first is not None
    return first.shape[1], first.shape[0]


def _size(rgb_u8: RgbU8) -> str:
    return f"{rgb_u8.shape[1]} x {rgb_u8.shape[0]}"
