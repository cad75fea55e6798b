"""GIF: a folder of frames made into one animation."""

import re
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from anymus.errors import AnymusError, DatasetError, ParamsError
from anymus.files import IMAGE_SUFFIXES
from anymus.images import MAX_FILM_PIXELS, RgbU8, read_rgb, write_gif
from anymus.progress import track

MAX_FPS = 50.0


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
        AnymusError: The frames together are too many pixels, or the folder cannot be read.
    """
    started_s = time.perf_counter()
    if not 0 < fps <= MAX_FPS:
        raise ParamsError(f"--fps {fps:g} is not above 0 and at most {MAX_FPS:g}", "--fps 12")
    if output.suffix.lower() != ".gif":
        raise ParamsError(f"{output} does not end in .gif", f"-o {output.with_suffix('.gif')}")
    paths = list_frames(folder, output)
    frames = _read_frames(paths)
    durations_ms = frame_durations_ms(len(frames), fps)
    write_gif(output, frames, durations_ms)
    height_px, width_px = frames[0].shape[:2]
    return GifReport(
        frames=len(frames),
        width_px=width_px,
        height_px=height_px,
        length_s=sum(durations_ms) / 1000,
        seconds=time.perf_counter() - started_s,
        result=output,
    )


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


def _read_frames(paths: list[Path]) -> list[RgbU8]:
    frames: list[RgbU8] = []
    for path in track(paths, "frames", len(paths)):
        frame = read_rgb(path)
        if not frames and frame.shape[0] * frame.shape[1] * len(paths) > MAX_FILM_PIXELS:
            raise AnymusError(
                f"{len(paths)} frames of {frame.shape[1]} x {frame.shape[0]} pixels are more than"
                f" {MAX_FILM_PIXELS} in all",
                "use fewer or smaller frames",
            )
        if frames and frame.shape != frames[0].shape:
            raise ParamsError(
                f"frames differ in size: {paths[0]} is {_size(frames[0])},"
                f" {path} is {_size(frame)}",
                "convert them alike: `--faces crop` gives one size",
            )
        frames.append(frame)
    return frames


def _size(rgb_u8: RgbU8) -> str:
    return f"{rgb_u8.shape[1]} x {rgb_u8.shape[0]}"
