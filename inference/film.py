"""Film: the conversion of one film, frame by frame, that goes on where it was stopped.

All frames are looked at first: when they are shown, where the film cuts, where the faces are. Then
they are translated, part by part, and at the end the parts become the film. What is finished lies
in a hidden folder beside the output, named by the source, the weights and the options; a run that
finds it goes on there, and the film is the same as if nothing had happened.
"""

import fcntl
import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib.metadata import version
from itertools import islice, pairwise
from pathlib import Path

import av
import av.error
from pydantic import TypeAdapter

from anymus.errors import AnymusError, ImageError, InterruptedRunError
from anymus.files import atomic_folder, link_file, sha256_file
from anymus.framing import Framing, Matrix
from anymus.images import QUICK_PNG_LEVEL, RgbU8, fit_rgb, read_rgb, write_image
from anymus.manifest import Domain, Face
from anymus.progress import log, track

from .ahead import run_ahead
from .gif import write_gif
from .options import MAX_GIF_FPS, SUFFIX_OF_OUTPUT
from .plan import Item
from .report import Done
from .tracks import Look, Track, change_between, follow_faces, thumbnail
from .video import Film, Frame, Source, cause_of, join_parts, open_part, open_source, pick_coding

Finder = Callable[[RgbU8], tuple[Face, ...]]

_PART_FRAMES = 48
_AHEAD = 4
_PICTURES = ("png", "jpg", "webp")
_FRAME_NAME = re.compile(r"frame-\d+\.(png|jpg|webp)")
_FACES = TypeAdapter(tuple[Face, ...])


@dataclass(frozen=True, slots=True)
class Shot:
    """A frame to translate, read where it is needed, and where its faces lie; None: not known."""

    read: Callable[[], RgbU8]
    matrices: tuple[Matrix, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Studio:
    """What the conversion of a film needs of the rest.

    Attributes:
        find: Returns the faces of a frame; None: nobody looks for faces.
        render: Yields the result of each shot, all of one size.
        domain: What the film shows, photo or manga.
        framing: How a face lies in its crop.
        is_pasting: Whether faces go back into the frame; else the frame shows one face.
        is_skipping: Whether frames without a face are left out; never where faces are pasted.
        is_metadata_kept: Whether title, place and so on of the source are taken over.
        fps: Frames a second at most; None: as many as there are.
        max_side_px: Longer side of the result at most; None: as it comes.
        key: What else decides what a frame becomes: weights, modes, looks.
    """

    find: Finder | None
    render: Callable[[Iterable[Shot]], Iterator[RgbU8]]
    domain: Domain
    framing: Framing
    is_pasting: bool
    is_skipping: bool
    is_metadata_kept: bool
    fps: float | None
    max_side_px: int | None
    key: str


@dataclass(frozen=True, slots=True)
class _Cut:
    """What is to be shown: for each frame its number, when and how long, and its faces."""

    frames: list[int]
    times: list[tuple[int, int]]
    matrices: list[tuple[Matrix, ...] | None]


def convert_film(item: Item, studio: Studio) -> Done:
    """Write the translation of a film, or of an animated picture, and return what became of it.

    The item's format may be mp4, mov, mkv, webm or gif; or png, jpg or webp: a folder of frames.

    Raises:
        ImageError: The source cannot be read, or the output cannot be written.
        InterruptedRunError: Ctrl-C; what is finished is kept.
        AnymusError: Another run is at it, or a folder of other files is in the place of the output.
    """
    film = open_source(item.source)
    if item.format == "gif":
        studio = replace(studio, fps=min(studio.fps or MAX_GIF_FPS, MAX_GIF_FPS))
    if item.format in _PICTURES:
        _require_replaceable(item.output)
    try:
        with _work_folder(item, studio) as work:
            looks, end = _look(film, work, item.name, studio)
            cut, faces = _direct(film, looks, end, studio)
            if cut.frames:
                _shoot(film, cut, item, work, studio)
    except (OSError, av.error.FFmpegError) as error:
        raise ImageError(
            f"cannot write {item.output}: {cause_of(error)}", reason="unwritable"
        ) from error
    files = (item.output,) if cut.frames else ()
    is_without_face = studio.find is not None and not faces
    return Done(item.name, faces, len(cut.frames), files, is_without_face)


def thin(frames: Iterable[Frame], tick_s: float, fps: float | None) -> Iterator[Frame]:
    """Yield at most `fps` frames a second: of those in one period the first; None: all.

    Args:
        frames: In order.
        tick_s: Seconds a tick.
        fps: Periods a second.
    """
    last = None
    for frame in frames:
        period = None if fps is None else math.floor(frame.pts * tick_s * fps + 1e-6)
        if period is None or period != last:
            last = period
            yield frame


def _look(film: Source, work: Path, name: str, studio: Studio) -> tuple[list[Look], int]:
    """Return what is seen of every frame, and when the last one ends, in ticks; keep it in work."""
    path = work / "looks.jsonl"
    looks, end = _read_looks(path)
    if end is not None:
        return looks, end
    frames = _Ending(film.frames())
    seen = islice(_see(film, frames, len(looks), studio), len(looks), None)
    title = f"{name}: faces" if studio.find else f"{name}: times"
    try:
        with path.open("a", encoding="utf-8") as notes:
            for look in track(seen, title, max(1, film.facts.frames - len(looks))):
                looks.append(look)
                faces = _FACES.dump_python(look.faces)
                row = {"pts": look.pts, "change": look.change, "faces": faces}
                notes.write(json.dumps(row) + "\n")
                notes.flush()
            notes.write(json.dumps({"end": frames.end}) + "\n")
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted, {len(looks)} frames of {name} were looked at",
            "the same command goes on there",
        ) from None
    return looks, frames.end


class _Ending:
    """Frames handed on, with the end of the last one remembered."""

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._frames = frames
        self.end = 0

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._frames:
            self.end = frame.pts + frame.ticks
            yield frame


def _see(film: Source, frames: Iterable[Frame], known: int, studio: Studio) -> Iterator[Look]:
    """Yield a look at every frame; of those already known it sees only what a cut is seen by."""
    kept = enumerate(thin(frames, float(film.facts.time_base), studio.fps))
    find = studio.find
    if find is None:
        yield from (Look(frame.pts, 0.0, ()) for _, frame in kept)
        return
    before = None
    pictures = (
        (index, frame.pts, frame.read() if index >= known - 1 else None) for index, frame in kept
    )
    with closing(run_ahead(pictures, _AHEAD)) as read:
        for index, pts, rgb_u8 in read:
            if rgb_u8 is None:
                yield Look(pts, 0.0, ())
                continue
            thumb = thumbnail(rgb_u8)
            faces = find(rgb_u8) if index >= known else ()
            yield Look(pts, change_between(before, thumb), faces)
            before = thumb


def _read_looks(path: Path) -> tuple[list[Look], int | None]:
    """Return the looks that an earlier run noted, up to its last whole line, and the film's end."""
    looks: list[Look] = []
    whole = 0
    content = path.read_bytes() if path.exists() else b""
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        row = json.loads(line)
        if "end" in row:
            return looks, int(row["end"])
        looks.append(Look(row["pts"], row["change"], _FACES.validate_python(row["faces"])))
        whole += len(line)
    if whole < len(content):
        with path.open("r+b") as notes:
            notes.truncate(whole)
    return looks, None


def _direct(film: Source, looks: list[Look], end: int, studio: Studio) -> tuple[_Cut, int]:
    """Return which frames are shown when, with which faces, and how many faces there are."""
    frames = list(range(len(looks)))
    matrices: list[tuple[Matrix, ...] | None] = [None] * len(looks)
    tracks: list[Track] = []
    if studio.find is not None:
        tick_s = float(film.facts.time_base)
        times_s = [look.pts * tick_s for look in looks]
        tracks = follow_faces(looks, times_s, studio.domain, studio.framing)
        tracks.sort(key=lambda track: -track.weight)
        in_frame = [
            tuple(t.matrices[i - t.first] for t in tracks if 0 <= i - t.first < len(t.matrices))
            for i in frames
        ]
        matrices = list(in_frame if studio.is_pasting else [found[:1] for found in in_frame])
        if studio.is_skipping:
            frames = [index for index in frames if in_frame[index]]
    starts = [looks[index].pts for index in frames]
    stops = [*starts[1:], end]
    times = [(pts, max(1, stop - pts)) for pts, stop in zip(starts, stops, strict=False)]
    return _Cut(frames, times, [matrices[index] for index in frames]), len(tracks)


def _shoot(film: Source, cut: _Cut, item: Item, work: Path, studio: Studio) -> None:
    """Translate the frames that are not yet done, and make the output of all."""
    total = len(cut.frames)
    is_film = item.format not in (*_PICTURES, "gif")
    suffix = (
        ".mkv" if is_film else ".png" if item.format == "gif" else SUFFIX_OF_OUTPUT[item.format]
    )
    step = _PART_FRAMES if is_film else 1
    paths = [work / f"frame-{first + 1:06}{suffix}" for first in range(0, total, step)]
    ready = step * next((i for i, path in enumerate(paths) if not path.exists()), len(paths))
    if ready:
        log.info("%s: goes on at frame %d of %d", item.name, min(ready, total) + 1, total)
    try:
        with closing(_results(film, cut, ready, studio)) as results:
            counted = track(results, f"{item.name}: frames", max(1, total - ready))
            for number in range(ready // step, len(paths)):
                wanted = min(step, total - number * step)
                if is_film:
                    _write_part(paths[number], islice(counted, wanted), film, item)
                else:
                    write_image(paths[number], next(counted), png_level=QUICK_PNG_LEVEL)
                ready = number * step + wanted
            next(counted, None)  # the last line of the progress
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted, {ready} of {total} frames of {item.name} are done",
            "the same command goes on there",
        ) from None
    _finish(film, cut, item, paths, studio)


def _results(film: Source, cut: _Cut, ready: int, studio: Studio) -> Generator[RgbU8, None, None]:
    """Yield the result of every frame from number `ready` on; a thread works on them."""
    matrices_of = dict(zip(cut.frames[ready:], cut.matrices[ready:], strict=True))

    def shots() -> Iterator[Shot]:
        frames = thin(film.frames(), float(film.facts.time_base), studio.fps)
        with closing(run_ahead(frames, _AHEAD)) as decoded:
            for index, frame in enumerate(decoded):
                if index in matrices_of:
                    yield Shot(frame.read, matrices_of[index])

    with closing(run_ahead(studio.render(shots()), _AHEAD)) as rendered:
        for rgb_u8 in rendered:
            limit_px = studio.max_side_px
            is_larger = limit_px is not None and max(rgb_u8.shape[:2]) > limit_px
            yield fit_rgb(rgb_u8, limit_px) if limit_px is not None and is_larger else rgb_u8


def _write_part(path: Path, frames: Iterator[RgbU8], film: Source, item: Item) -> None:
    first = next(frames)
    size_px = (first.shape[1], first.shape[0])
    with open_part(path, pick_coding(item.output), film.facts, size_px) as add:
        add(first)
        for rgb_u8 in frames:
            add(rgb_u8)


def _finish(film: Source, cut: _Cut, item: Item, paths: list[Path], studio: Studio) -> None:
    """Make the output in the work folder, of what lies there, then put it in its place."""
    if item.format in _PICTURES:
        with atomic_folder(item.output) as folder:
            for path in paths:
                link_file(path, folder / path.name)
        return
    made = paths[0].with_name(f"film{item.output.suffix}")
    if item.format == "gif":
        durations_ms = gif_durations_ms(cut.times, film.facts.time_base)
        write_gif(made, lambda: (read_rgb(path) for path in paths), durations_ms)
    else:
        sound = film.path if isinstance(film, Film) else None
        kept = studio.is_metadata_kept
        join_parts(paths, cut.times, film.facts, made, sound, is_metadata_kept=kept)
    made.replace(item.output)


def gif_durations_ms(times: Sequence[tuple[int, int]], time_base: Fraction) -> list[int]:
    """Return how long each frame of a GIF is shown, in hundredths of a second, at least two.

    Browsers slow down what is shown for less. Rounding does not add up: every frame begins at the
    hundredth next to its time.

    Args:
        times: For each frame, when it is shown and for how long, in ticks.
        time_base: Seconds a tick.
    """
    ends = [round(100 * (pts + ticks) * time_base) for pts, ticks in times]
    marks = [round(100 * times[0][0] * time_base)]
    for end in ends:
        marks.append(max(marks[-1] + 2, end))
    return [10 * (after - before) for before, after in pairwise(marks)]


@contextmanager
def _work_folder(item: Item, studio: Studio) -> Iterator[Path]:
    """Give the folder of what is finished; it is removed when the block succeeds.

    Folders of the same output with another source, other weights or options are removed first.
    """
    output = item.output
    output.parent.mkdir(parents=True, exist_ok=True)
    parts = [sha256_file(item.source), studio.key, item.format, str(_PART_FRAMES), av.__version__]
    parts += [version("anymus"), str(studio.fps), str(studio.max_side_px)]
    stem = f".anymus-{_digest(output.name)}-"
    work = output.parent / f"{stem}{_digest(*parts)}"
    for other in output.parent.iterdir():
        if other.name.startswith(stem) and other != work:
            shutil.rmtree(other, ignore_errors=True)
    work.mkdir(exist_ok=True)
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AnymusError(
                f"{output}: another run is at work on it", "wait for it, or stop it"
            ) from None
        yield work
    shutil.rmtree(work)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:12]


def _require_replaceable(folder: Path) -> None:
    """Do nothing for a folder that holds frames only, or is not there."""
    if not folder.exists():
        return
    if folder.is_dir() and all(_FRAME_NAME.fullmatch(path.name) for path in folder.iterdir()):
        return
    raise AnymusError(f"{folder} is there and holds other files", "give another folder with -o")
