"""A film's conversion against the bare forward pass of its frames, in turns, in one process.

    python benchmarks/film.py -g models/generator_a2b.safetensors --frames 24 --rounds 3

The film is drawn: `--size` pixels, H.264, with sound. `forward` translates the frames' squares one
at a time, from memory. `film` is `anymus convert film.mp4 --faces whole`: weights loaded, the film
read, cut, translated, encoded, joined with the sound. A row: median of the frames a second with
half the range of the rounds, the same as a ratio to `forward` (1: all else is hidden behind the
network, or costs nothing), CPU seconds a frame, and the peak of the process's memory so far.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from inference.convert import convert
from inference.faces import centre_square
from inference.options import ConvertOptions
from inference.translator import find_weights, load_translator
from inference.video import Film


def draw_film(path: Path, frames: int, size_px: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (size_px[1] // 8, size_px[0] // 8, 3), np.uint8)
    wide = coarse.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as film:
        video = film.add_stream("libx264", rate=25)
        video.height, video.width = wide.shape[:2]
        video.pix_fmt = "yuv420p"
        audio = film.add_stream("aac", rate=48000, layout="mono")
        for index in range(frames):
            rolled = np.ascontiguousarray(np.roll(wide, 4 * index, axis=1))
            film.mux(video.encode(av.VideoFrame.from_ndarray(rolled, format="rgb24")))
        film.mux(video.encode(None))
        for start in range(0, frames * 1920, 1920):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.float32), "fltp", "mono")
            sound.sample_rate, sound.pts = 48000, start
            film.mux(audio.encode(sound))
        film.mux(audio.encode(None))


def timed(work: Callable[[], object], frames: int) -> tuple[float, float]:
    """Return frames a second and CPU seconds a frame."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    return frames / wall_s, cpu_s / frames


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("-g", "--weights", type=Path)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, nargs=2, default=(640, 360))
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    weights = find_weights(arguments.weights, None)
    translator = load_translator(weights, None, arguments.device)
    options = ConvertOptions(weights=weights, faces="whole", device=arguments.device)
    frames = arguments.frames
    with tempfile.TemporaryDirectory() as name:
        source, output = Path(name) / "film.mp4", Path(name) / "out.mp4"
        draw_film(source, frames, tuple(arguments.size))
        squares = [centre_square(f.read(), translator.size_px) for f in Film(source).frames()]
        works: dict[str, Callable[[], object]] = {
            "forward": lambda: [translator([square]) for square in squares],
            "film": lambda: convert(source, output, options),
        }
        rows: dict[str, list[tuple[float, float]]] = {kind: [] for kind in works}
        translator(squares[:1])
        for _ in range(arguments.rounds):
            for kind, work in works.items():
                rows[kind].append(timed(work, frames))
    print(f"{'':8}{'frames/s':>16}{'ratio':>16}{'CPU s/frame':>14}{'peak MiB':>10}")
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    for kind, timings in rows.items():
        rates = [rate for rate, _ in timings]
        pairs = zip(rates, rows["forward"], strict=True)
        ratios = [rate / forward for rate, (forward, _) in pairs]
        cpu_s = statistics.median(cpu for _, cpu in timings)
        cells = [
            f"{statistics.median(v):.2f} ± {(max(v) - min(v)) / 2:.2f}" for v in (rates, ratios)
        ]
        print(f"{kind:8}{cells[0]:>16}{cells[1]:>16}{cpu_s:>14.3f}{peak_mib:>10}")


if __name__ == "__main__":
    main()
