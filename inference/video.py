"""Film files: frames read, frames written in parts, parts joined with the sound of the source.

By PyAV, whose wheel brings its own FFmpeg: no program of the machine is called. Files are opened by
Python and handed over, only containers of films are accepted, and nothing that a file names (the
entries of a playlist) is opened.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from anymus.encoded import MAX_PIXELS, read_facts
from anymus.errors import ImageError
from anymus.files import IMAGE_SUFFIXES, atomic_file
from anymus.images import RgbU8, read_frames
from anymus.progress import log

if TYPE_CHECKING:
    AnyPacket = Packet[Any]
else:
    AnyPacket = Packet

_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,asf,flv,ogg"
_FORMAT_OF_SUFFIX = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
_BT709, _BT601 = 1, 6  # as H.273 numbers matrix, primaries and transfer
_MATRIX_NAME = {_BT709: "ITU709", _BT601: "SMPTE170M"}
_BT601_MATRICES = (4, 5, 6)
# As FFmpeg calls the matrices that films say they have; 2 is "not said", 9 and 10 are BT.2020.
_SAID_MATRICES = {4: "FCC", 7: "SMPTE240M", 9: "BT2020", 10: "BT2020"}
_HDR_TRANSFERS = (16, 18)
_HD_HEIGHT_PX = 720  # films that do not say so are BT.709 from here on
_LIMITED = 1
_ANIMATION_TICK = Fraction(1, 1000)
_PART_TICK = Fraction(1, 25)
_OPUS_HZ = 48_000
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
# What players of a container play; Matroska takes what FFmpeg says that it takes.
_COPIED_SOUND = {
    ".mp4": frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus"}),
    ".mov": frozenset({"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le"}),
    ".webm": frozenset({"opus", "vorbis"}),
}
_REPRODUCIBLE = {"fflags": "+bitexact"}
# Read and written by these, a frame keeps its luma, its chroma changes by 0.1 levels on average;
# FFmpeg's quick ways make it one to two levels darker each time.
_EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
_TO_RGB, _FROM_RGB = Interpolation.BICUBIC | _EXACT, Interpolation.AREA | _EXACT


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """What is known of a film before its frames are read.

    Attributes:
        width_px: Width of a frame as shown: upright, pixels square.
        height_px: Its height.
        rate: Frames a second, the mean.
        time_base: Seconds a tick of the frames' times.
        frames: How many there will be, as the header has it or an estimate; for progress only.
        matrix: What its result's colours are written with, by H.273: BT.709 (1), or BT.601 (6)
            where the film has that, or says nothing and is low.
    """

    width_px: int
    height_px: int
    rate: Fraction
    time_base: Fraction
    frames: int
    matrix: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a film.

    Attributes:
        pts: When it is shown, in ticks.
        ticks: For how long.
        read: Returns its pixels (H, W, 3), upright; the work of doing so is the caller's.
    """

    pts: int
    ticks: int
    read: Callable[[], RgbU8]


class Source(Protocol):
    """Something that can be read frame by frame, as often as wanted."""

    path: Path
    facts: FilmFacts

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in order."""
        ...


@dataclass(frozen=True, slots=True)
class Coding:
    """An encoder, its options and the layout of its pixels."""

    codec: str
    options: dict[str, str]
    pix_fmt: str = "yuv420p"


# Without frames that point forward (bf=0), packets are in the order of the frames, and parts join.
_H264 = Coding("libx264", {"crf": "18", "preset": "medium", "bf": "0"})
_VP9 = Coding("libvpx-vp9", {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "4"})
_MPEG4 = Coding("mpeg4", {"qmin": "2", "qmax": "4", "bf": "0"})


class Film:
    """A film file, read frame by frame as often as wanted.

    Frames come as they are shown: turned upright, pixels square, all of the first one's size.

    Args:
        path: The file.

    Raises:
        ImageError: It cannot be opened, is no film, holds no frame, or its frames are too large.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _opened(path) as container:
            stream = _video_stream(container, path)
            first = next(_decode(container, stream, path), None)
            if first is None:
                raise ImageError(f"{path} holds no frame", "replace the file", "truncated")
            self._turns = round(first.rotation / 90) % 4
            self.facts = _facts(container, stream, first, self._turns)
            own = _MATRIX_NAME[self.facts.matrix]
            self._matrix_name = _SAID_MATRICES.get(int(first.colorspace), own)
            if self.facts.width_px * self.facts.height_px > MAX_PIXELS:
                raise ImageError(
                    f"{path}: frames of {self.facts.width_px} x {self.facts.height_px} pixels, more"
                    f" than {MAX_PIXELS}",
                    reason="too_many_pixels",
                )
            if first.color_trc in _HDR_TRANSFERS:
                log.warning("%s is HDR: its light is not mapped, colours will look flat", path.name)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in order; packets that cannot be decoded are left out with a warning.

        Raises:
            ImageError: The file cannot be read any more.
        """
        with _opened(self.path) as container:
            stream = _video_stream(container, self.path)
            usual = max(1, round(1 / (self.facts.rate * self.facts.time_base)))
            pts = -1
            for frame in _decode(container, stream, self.path):
                pts = pts + usual if frame.pts is None else max(pts + 1, frame.pts)
                ticks = int(getattr(frame, "duration", 0) or usual)
                yield Frame(pts, ticks, partial(self._to_rgb, frame))

    def _to_rgb(self, frame: VideoFrame) -> RgbU8:
        width_px, height_px = self.facts.width_px, self.facts.height_px
        if self._turns % 2:
            width_px, height_px = height_px, width_px
        shown = frame.reformat(
            width=width_px,
            height=height_px,
            format="rgb24",
            src_colorspace=self._matrix_name,
            interpolation=_TO_RGB,
        )
        rgb_u8 = np.asarray(shown.to_ndarray(), np.uint8)
        return np.ascontiguousarray(np.rot90(rgb_u8, self._turns))


def open_source(path: Path) -> Source:
    """Return a film, or an animated picture, to be read frame by frame.

    Raises:
        ImageError: It cannot be read.
    """
    return Animation(path) if path.suffix.lower() in IMAGE_SUFFIXES else Film(path)


class Animation:
    """An animated picture (GIF, WebP, APNG), read like a film; times in thousandths of a second.

    Raises:
        ImageError: As `anymus.images.read_frames`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        first = next(read_frames(path), None)
        if first is None:
            raise ImageError(f"{path} holds no frame", reason="truncated")
        rgb_u8, duration_ms = first
        height_px, width_px = rgb_u8.shape[:2]
        matrix = _BT709 if height_px >= _HD_HEIGHT_PX else _BT601
        rate = Fraction(1000, duration_ms)
        frames = read_facts(path.read_bytes()).frames
        self.facts = FilmFacts(width_px, height_px, rate, _ANIMATION_TICK, frames, matrix)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in order."""
        pts = 0
        for rgb_u8, duration_ms in read_frames(self.path):
            yield Frame(pts, duration_ms, partial(_itself, rgb_u8))
            pts += duration_ms


def cause_of(error: BaseException) -> str:
    """Return in words why a film could not be written, also where FFmpeg hides the reason."""
    hidden: BaseException | None = error
    while hidden is not None:
        if isinstance(hidden, OSError) and not isinstance(hidden, av.error.FFmpegError):
            return hidden.strerror or str(hidden)
        hidden = hidden.__cause__ or hidden.__context__
    return getattr(error, "strerror", None) or str(error)


@contextmanager
def open_part(
    path: Path, coding: Coding, facts: FilmFacts, size_px: tuple[int, int]
) -> Iterator[Callable[[RgbU8], None]]:
    """Give a function that adds a frame to a part of a film, a Matroska file written atomically.

    A part begins with a whole picture. It keeps no times: `join_parts` sets them.

    Args:
        path: The file.
        coding: How its frames are encoded, see `pick_coding`.
        facts: Facts of the source.
        size_px: Width and height of the frames; an odd one is grown by a copy of its last line.
    """
    with (
        atomic_file(path) as stream,
        av.open(stream, "w", format="matroska", options=_REPRODUCIBLE) as container,
    ):
        encoder = _Encoder(container, coding, facts, size_px)
        yield encoder.add
        encoder.finish()


class _Encoder:
    """Frames of one size into the packets of a container."""

    def __init__(
        self, container: OutputContainer, coding: Coding, facts: FilmFacts, size_px: tuple[int, int]
    ) -> None:
        self._container = container
        self._matrix = facts.matrix
        rate = facts.rate.limit_denominator(1001)
        stream = container.add_stream(coding.codec, rate=rate, options=dict(coding.options))
        self._stream = cast(VideoStream, stream)
        self._stream.width, self._stream.height = (side + side % 2 for side in size_px)
        self._stream.pix_fmt = coding.pix_fmt
        _tag_colours(self._stream, facts.matrix)
        self._frames = self._packets = 0

    def add(self, rgb_u8: RgbU8) -> None:
        odd = [(0, side % 2) for side in rgb_u8.shape[:2]]
        even = np.pad(rgb_u8, [*odd, (0, 0)], mode="edge") if any(map(any, odd)) else rgb_u8
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24").reformat(
            format=self._stream.pix_fmt,
            dst_colorspace=_MATRIX_NAME[self._matrix],
            dst_color_range="MPEG",
            interpolation=_FROM_RGB,
        )
        frame.pts, frame.time_base = self._frames, 1 / self._stream.codec_context.framerate
        self._frames += 1
        self._mux(self._stream.encode(frame))

    def finish(self) -> None:
        self._mux(self._stream.encode(None))
        assert self._packets == self._frames, (self._packets, self._frames)

    def _mux(self, packets: list[AnyPacket]) -> None:
        for packet in packets:
            packet.pts = packet.dts = self._packets
            packet.time_base = _PART_TICK
            self._packets += 1
            self._container.mux(packet)


def pick_coding(output: Path) -> Coding:
    """Return how a film of that name is encoded: VP9 in .webm, H.264 elsewhere, or else MPEG-4."""
    if output.suffix.lower() == ".webm":
        return _VP9
    return _H264 if _H264.codec in av.codecs_available else _MPEG4


def join_parts(
    parts: Sequence[Path],
    times: Sequence[tuple[int, int]],
    facts: FilmFacts,
    output: Path,
    sound: Path | None = None,
    *,
    is_metadata_kept: bool = False,
) -> None:
    """Write the film of its parts, atomically, without encoding their frames again.

    Sound is copied where the container takes it, else encoded anew (AAC, Opus in .webm); other
    tracks (subtitles, data) are left out.

    Args:
        parts: Files of `open_part`, in order.
        times: For each frame of all parts, when it is shown and for how long, in ticks.
        facts: Facts of the source.
        output: The film; its suffix names the container.
        sound: A film whose sound is taken; None: none.
        is_metadata_kept: Also take the title, the place and so on of that film.
    """
    container_format = _FORMAT_OF_SUFFIX[output.suffix.lower()]
    with (
        ExitStack() as stack,
        atomic_file(output) as stream,
        av.open(stream, "w", format=container_format, options=_REPRODUCIBLE) as film,
    ):
        with parts[0].open("rb") as part, av.open(part, "r") as first:
            video = film.add_stream_from_template(first.streams.video[0])
        video.time_base = facts.time_base
        tracks: list[Iterator[AnyPacket]] = [_pictures(parts, times, facts.time_base, video)]
        if sound is not None:
            source = stack.enter_context(_opened(sound))
            tracks.append(_sounds(source, film, output))
            if is_metadata_kept:
                film.metadata.update(source.metadata)
        for packet in heapq.merge(*tracks, key=_when):
            film.mux(packet)


def _pictures(
    parts: Sequence[Path],
    times: Sequence[tuple[int, int]],
    time_base: Fraction,
    video: VideoStream,
) -> Iterator[AnyPacket]:
    """Yield the packets of the parts with the times of their frames."""
    shown = iter(times)
    for path in parts:
        with path.open("rb") as file, av.open(file, "r") as part:
            for packet in part.demux(video=0):
                if packet.size:
                    pts, ticks = next(shown)
                    packet.pts = packet.dts = pts
                    packet.duration, packet.time_base = ticks, time_base
                    packet.stream = video
                    yield packet


def _sounds(source: InputContainer, film: OutputContainer, output: Path) -> Iterator[AnyPacket]:
    """Return the packets of the source's sound, its streams added to the film."""
    encoder_of: dict[int, AudioStream | None] = {}
    target_of: dict[int, AudioStream] = {}
    for stream in source.streams.audio:
        name = stream.codec_context.codec.canonical_name
        if name in (_COPIED_SOUND.get(output.suffix.lower()) or film.supported_codecs):
            target_of[stream.index] = film.add_stream_from_template(stream)
            encoder_of[stream.index] = None
        else:
            target = _add_sound(film, stream, output)
            target_of[stream.index] = encoder_of[stream.index] = target
        language = stream.metadata.get("language")
        if language:
            target_of[stream.index].metadata["language"] = language
    return _sound_packets(source, target_of, encoder_of)


def _add_sound(film: OutputContainer, stream: AudioStream, output: Path) -> AudioStream:
    """Return a new stream for sound that has to be encoded anew."""
    context = stream.codec_context
    is_webm = output.suffix.lower() == ".webm"
    codec, rate = ("libopus", _OPUS_HZ) if is_webm else ("aac", context.sample_rate)
    layout = _LAYOUTS.get(context.layout.nb_channels, "stereo")
    target = cast(AudioStream, film.add_stream(codec, rate=rate, layout=layout))
    formats = target.codec_context.codec.audio_formats
    assert formats is not None
    target.codec_context.format = formats[0]
    return target


def _sound_packets(
    source: InputContainer,
    target_of: dict[int, AudioStream],
    encoder_of: dict[int, AudioStream | None],
) -> Iterator[AnyPacket]:
    streams = [stream for stream in source.streams.audio if stream.index in target_of]
    resampler_of = {
        index: AudioResampler(encoder.format, encoder.layout, encoder.rate)
        for index, encoder in encoder_of.items()
        if encoder is not None
    }
    for packet in source.demux(streams) if streams else ():
        index = packet.stream.index
        encoder = encoder_of[index]
        if encoder is not None:
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            for frame in frames:
                for fitting in resampler_of[index].resample(cast(AudioFrame, frame)):
                    yield from encoder.encode(fitting)
        elif packet.dts is not None:
            packet.stream = target_of[index]
            yield packet
    for encoder in encoder_of.values():
        if encoder is not None:
            yield from encoder.encode(None)


def _when(packet: AnyPacket) -> float:
    ticks = packet.dts if packet.dts is not None else packet.pts or 0
    return float(ticks * packet.time_base)


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise ImageError(f"cannot open {path}: {error.strerror}", reason="unreadable") from error
    with file:
        try:
            options = {"format_whitelist": _CONTAINERS}
            container = av.open(file, "r", container_options=options, io_open=_refuse)
        except (av.error.FFmpegError, OSError) as error:
            raise ImageError(
                f"{path} is not a film of a known format: {error.strerror}",
                "replace the file",
                "not_an_image",
            ) from error
        with container:
            yield container


def _itself(rgb_u8: RgbU8) -> RgbU8:
    return rgb_u8


def _refuse(url: str, *_: Any) -> Any:
    raise PermissionError(f"{url} is not opened")


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the film's pictures; a cover picture of a song is none."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            stream.thread_type = "AUTO"
            return stream
    raise ImageError(f"{path} has no moving pictures", "give a film", "not_an_image")


def _decode(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[VideoFrame]:
    lost = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except (av.error.FFmpegError, OSError) as error:
            raise ImageError(f"cannot read {path}: {error.strerror}", reason="truncated") from error
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            lost += 1
        else:
            yield from frames
    if lost:
        log.warning("%s: %d packets cannot be decoded and are left out", path.name, lost)


def _facts(
    container: InputContainer, stream: VideoStream, first: VideoFrame, turns: int
) -> FilmFacts:
    aspect = stream.sample_aspect_ratio or Fraction(1)
    width_px, height_px = round(first.width * aspect), first.height
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    if turns % 2:
        width_px, height_px = height_px, width_px
    frames = stream.frames
    if not frames and container.duration:
        frames = round(container.duration / 1_000_000 * rate)
    is_unsaid = first.colorspace != _BT709 and first.colorspace not in _SAID_MATRICES
    is_old = first.colorspace in _BT601_MATRICES or (is_unsaid and first.height < _HD_HEIGHT_PX)
    matrix = _BT601 if is_old else _BT709
    time_base = stream.time_base or _ANIMATION_TICK
    return FilmFacts(width_px, height_px, Fraction(rate), time_base, frames, matrix)


def _tag_colours(stream: VideoStream, matrix: int) -> None:
    context = stream.codec_context
    context.color_range = _LIMITED
    context.colorspace = context.color_primaries = context.color_trc = matrix
