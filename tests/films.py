"""Films made by code: for tests of what reads and writes films."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from anymus.images import RgbU8

_CODING: dict[str, tuple[str, dict[str, str]]] = {".webm": ("libvpx-vp9", {})}
PACE = Fraction(1, 25)


def moving(count: int, width_px: int = 128, height_px: int = 96) -> list[RgbU8]:
    """Return frames without a face: a square that wanders over a slope of colours.

    Below about 128 pixels x264 does not always give the same bytes for the same frames.
    """
    rows, columns = np.mgrid[0:height_px, 0:width_px]
    ground = np.stack([rows * 2, columns * 2, 255 - rows * 2], axis=2).clip(0, 255)
    frames = []
    for index in range(count):
        frame = ground.astype(np.uint8)
        frame[10:26, 2 + index : 18 + index] = (240, 30, 60)
        frames.append(frame)
    return frames


def write_film(
    path: Path,
    frames: Sequence[RgbU8],
    *,
    times: Sequence[int] | None = None,
    sound: str | None = None,
    turned: list[int] | None = None,
    **stream_options: Any,
) -> Path:
    """Write a film with H.264 (VP9 in .webm), in ticks of 1/12800 s; `turned`: display matrix."""
    with av.open(str(path), "w") as film:
        film.metadata["title"] = "a secret title"
        codec, options = _CODING.get(path.suffix, ("libx264", {"crf": "16"}))
        video = film.add_stream(codec, rate=25, options=options)
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = Fraction(1, 12800)
        for name, value in stream_options.items():
            setattr(video.codec_context, name, value)
        if turned is not None:
            video.set_display_matrix(turned)
        audio = film.add_stream(sound, rate=48000, layout="stereo") if sound else None
        for index, rgb_u8 in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(rgb_u8, format="rgb24")
            frame.pts = 512 * index if times is None else times[index]
            frame.time_base = Fraction(1, 12800)
            film.mux(video.encode(frame))
        film.mux(video.encode(None))
        if audio is not None:
            for packet in _tone(audio, len(frames) * PACE):
                film.mux(packet)
    return path


def _tone(audio: Any, length_s: Fraction) -> list[Any]:
    packets = []
    for start in range(0, int(48000 * length_s), 960):
        wave = np.sin(2 * np.pi * 440 * (start + np.arange(960)) / 48000)
        samples = (wave * 9000).astype(np.int16).repeat(2)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = 48000, start
        packets += audio.encode(frame)
    return packets + audio.encode(None)


def sound_bytes(path: Path) -> list[bytes]:
    """Return the packets of a film's sound."""
    with av.open(str(path)) as film:
        return [bytes(packet) for packet in film.demux(audio=0) if packet.size]


def length_s(path: Path) -> dict[str, float]:
    """Return how long the film's tracks are, by the times of what is in them."""
    ends: dict[str, float] = {}
    with av.open(str(path)) as film:
        for packet in film.demux():
            if packet.pts is not None and packet.size:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                kind = packet.stream.type
                ends[kind] = max(ends.get(kind, 0.0), end)
    return ends
