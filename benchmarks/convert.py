"""Converting: engines against each other, a folder against its forward passes, and the port.

    python benchmarks/convert.py --size 256
    python benchmarks/convert.py --size 128 --rounds 5 --engines torch opencv

First table: one picture through a generator of the preset's shape by each engine, in turns in one
process. Second, a picture: folders of drawn portraits from JPEG to PNG by `convert`, in turns with
the bare forward passes of the same engine on the same pictures (`whole` takes centre squares,
`crop` looks for faces and cuts them, `paste` puts them back), with `whole` of a single picture,
which is what loading costs, and with the official port's test loop as it is described, on the
first few: picture by picture, resized, three passes in fp32 (translation, way back, identity),
attention maps, one strip written; `port, 1 pass` leaves out the other two and the maps. Third: a
process of `anymus convert` for one picture, with weights so small that what is left is the start,
and before it a process that only imports what any of them needs.

CPU and wall seconds are medians with the half-width of their spread. Ratios are medians of the
rounds' ratios to the first row, above 1: quicker.
"""

import argparse
import copy
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from anymus.drawing.photo import draw_portrait
from anymus.images import encode_jpeg, write_png
from anymus.params import load_params
from anymus.progress import set_up_logging
from inference.convert import convert
from inference.engines import OnnxRuntimeEngine, OpenCvEngine, TorchEngine
from inference.onnx_graph import build_graph
from inference.options import ConvertOptions
from training.checkpoint import save_generator
from training.networks import Generator

ROOT = Path(__file__).parent.parent
IMPORTS = "import cv2, numpy, PIL.Image, pydantic, typer"
CARD = {"direction": "a2b", "framing": {"face_share": 0.55, "eye_line": 0.46}}
STARTS = (
    ("opencv", "whole"),
    ("opencv", "crop"),
    ("opencv", "paste"),
    ("onnxruntime", "whole"),
    ("torch", "whole"),
)
ENGINES = ("torch-plain", "torch", "torch-contiguous", "torch-bf16", "onnxruntime", "opencv")


@dataclass
class Row:
    name: str
    task: Callable[[], Any]
    pictures: int = 1
    cpu_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    note: str = ""

    def run(self, *, is_counted: bool) -> Any:
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        outcome = self.task()
        if is_counted:
            self.cpu_s.append((time.process_time() - cpu_s) / self.pictures)
            self.wall_s.append((time.perf_counter() - wall_s) / self.pictures)
        return outcome


class PlainTorch:
    """The network in the form in which it is trained, perhaps in another layout or type."""

    def __init__(self, generator: Generator, *, is_bf16: bool = False) -> None:
        self.generator = generator
        self.is_bf16 = is_bf16

    def __call__(self, x_signed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = torch.from_numpy(x_signed)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self.is_bf16):
            translated = self.generator(x)
        return translated.image.float().numpy(), translated.heatmap.float().numpy()


def make_engine(name: str, generator: Generator) -> Any:
    own = copy.deepcopy(generator)
    if name == "torch-plain":
        return PlainTorch(own)
    if name.startswith("torch"):
        engine = TorchEngine(own, "cpu")
        if name == "torch-contiguous":
            engine.generator.to(memory_format=torch.contiguous_format)
        return PlainTorch(engine.generator, is_bf16=True) if name == "torch-bf16" else engine
    arrays = {key: tensor.numpy() for key, tensor in own.state_dict().items()}
    graph = build_graph(arrays, own.arguments).SerializeToString()
    return OpenCvEngine(graph) if name == "opencv" else OnnxRuntimeEngine(graph)


def compare_engines(names: list[str], generator: Generator, args: argparse.Namespace) -> None:
    portrait = draw_portrait(np.random.default_rng(0), args.size, args.size).rgb_u8
    x_signed = to_signed(portrait)
    engines = {name: make_engine(name, generator) for name in names}
    rows = [Row(name, lambda run=run: run(x_signed)[0]) for name, run in engines.items()]
    expected = engines[names[0]](x_signed)[0]
    for index in range(args.rounds + 1):
        for row in rows:
            image = row.run(is_counted=index > 0)
            row.note = f"{127.5 * np.abs(image - expected).max():.3g}"
    print_table(rows, "engine, one picture", "levels")


def to_signed(rgb_u8: np.ndarray) -> np.ndarray:
    return (rgb_u8.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None].copy()


def compare_folders(engine: str, generators: list[Generator], args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = folder / "generator_a2b.safetensors"
        save_generator(weights, generators[0], CARD)
        sources = draw_portraits(folder / "in", args.pictures, args.portrait)
        squares = [to_signed(cv2.resize(p, (args.size, args.size))) for p in sources.values()]
        few = list(sources)[: args.port_pictures]
        bare = make_engine(engine, generators[0])
        bare(squares[0])

        def run(faces: str, source: Path) -> Callable[[], Any]:
            options = ConvertOptions(weights=weights, faces=faces, device="cpu", engine=engine)
            return lambda: convert(source, folder / faces, options)

        count = len(sources)
        rows = [
            Row(f"{engine}, forward only", lambda: [bare(x) for x in squares], count),
            *(
                Row(f"{engine}, convert --faces {mode}", run(mode, folder / "in"), count)
                for mode in ("whole", "crop", "paste")
            ),
            Row(f"{engine}, whole, 1 picture", run("whole", few[0])),
            Row("port, 1 pass", lambda: port_loop(generators, few, args.size, 1), len(few)),
            Row("port, test loop", lambda: port_loop(generators, few, args.size, 3), len(few)),
        ]
        for _ in range(args.rounds):
            for row in rows:
                row.run(is_counted=True)
    print_table(rows, f"a picture, folder of {count}", "")


def draw_portraits(folder: Path, count: int, side_px: int) -> dict[Path, np.ndarray]:
    folder.mkdir()
    pictures = {}
    for index in range(count):
        drawn = draw_portrait(np.random.default_rng([1, index]), side_px, side_px).rgb_u8
        path = folder / f"{index:03}.jpg"
        path.write_bytes(encode_jpeg(drawn, 90))
        pictures[path] = drawn
    return pictures


def port_loop(generators: list[Generator], sources: list[Path], size_px: int, passes: int) -> None:
    """What the official port's test mode does with each picture, for one direction."""
    a2b, b2a = generators
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for path in sources:
            rgb_u8 = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            real = torch.from_numpy(to_signed(cv2.resize(rgb_u8, (size_px, size_px))))
            fake = a2b(real)
            shown = [real, fake.image]
            if passes == 3:
                back, same = b2a(fake.image), b2a(real)
                looks = [heat_of(one.heatmap, size_px) for one in (fake, back, same)]
                shown += [back.image, same.image, *looks]
            strip = torch.cat([(one[0].permute(1, 2, 0) + 1) * 127.5 for one in shown])
            write_png(Path(folder) / f"{path.stem}.png", strip.round().byte().numpy())


def heat_of(heatmap: torch.Tensor, size_px: int) -> torch.Tensor:
    heat = heatmap[0, 0].numpy()
    level = (heat - heat.min()) / (heat.max() - heat.min())
    large = cv2.resize(level, (size_px, size_px))
    colours = cv2.applyColorMap((255 * large).astype(np.uint8), cv2.COLORMAP_JET)
    return torch.from_numpy(to_signed(colours))


def compare_starts(args: argparse.Namespace) -> None:
    """Processes for one picture of 64 px, whose network takes hundredths of a second."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = Generator(base_channels=16, image_size_px=64, residual_blocks=3, film="pooled")
        save_generator(folder / "g.safetensors", small, CARD)
        source = next(iter(draw_portraits(folder / "in", 1, args.portrait)))
        base = [sys.executable, "-m", "anymus.cli", "convert", str(source), "--device", "cpu"]
        base += ["-g", str(folder / "g.safetensors"), "-o", str(folder / "o.png")]
        commands = {"imports alone": [sys.executable, "-c", IMPORTS]} | {
            f"{engine}, --faces {faces}": [*base, "--engine", engine, "--faces", faces]
            for engine, faces in STARTS
        }
        rows = [Row(title, lambda: None) for title in commands]
        for index in range(args.starts + 1):
            for row in rows:
                before, wall_s = children_cpu_s(), time.perf_counter()
                subprocess.run(commands[row.name], check=True, capture_output=True, cwd=ROOT)
                if index:
                    row.cpu_s.append(children_cpu_s() - before)
                    row.wall_s.append(time.perf_counter() - wall_s)
    print_table(rows, "anymus convert, 1 picture", "")


def children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def print_table(rows: list[Row], title: str, note: str) -> None:
    print(f"\n{title:<32}{'CPU s':>17}{'ratio':>7}{'wall s':>17}{'ratio':>7}  {note}")
    for row in rows:
        text = f"{row.name:<32}"
        for ours, theirs in ((row.cpu_s, rows[0].cpu_s), (row.wall_s, rows[0].wall_s)):
            spread = (max(ours) - min(ours)) / 2
            ratio = statistics.median(t / o for o, t in zip(ours, theirs, strict=True))
            text += f"{statistics.median(ours):>10.3f} ±{spread:<6.2g}{ratio:>6.2f}"
        print(f"{text}  {row.note}", flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="light")
    parser.add_argument("--size", type=int, default=256, help="side of the pictures, pixels")
    parser.add_argument("--portrait", type=int, default=640, help="side of the photos, pixels")
    parser.add_argument("--pictures", type=int, default=40, help="in the folder")
    parser.add_argument("--port-pictures", type=int, default=4, help="of them, through the port")
    parser.add_argument("--starts", type=int, default=5, help="processes a row of the last table")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument(
        "--convert-by", choices=("torch", "onnxruntime", "opencv"), default="opencv"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    set_up_logging(is_verbose=False, is_quiet=True)
    params = load_params(ROOT / "anymus" / "presets" / f"{args.preset}.yaml", []).train
    torch.manual_seed(1)
    generators = [
        Generator(**params.generator.model_dump(), image_size_px=args.size).eval() for _ in range(2)
    ]
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads:
        cv2.setNumThreads(int(threads))
    print(
        f"{args.preset}, {args.size} px, torch {torch.__version__}, OpenCV {cv2.__version__},"
        f" {torch.get_num_threads()} threads of torch, {cv2.getNumThreads()} of OpenCV,"
        f" load {os.getloadavg()[0]:.1f}, {args.rounds} rounds"
    )
    compare_engines(args.engines, generators[0], args)
    compare_folders(args.convert_by, generators, args)
    compare_starts(args)


if __name__ == "__main__":
    main()
