"""One iteration of `anymus weights refine`: torch's own operations against compiled ones, in turns.

    python benchmarks/refine_step.py -g drawn --rounds 5
    python benchmarks/refine_step.py -g drawn-small --rounds 10

Both begin with the same weights and see the same batches: drawn people, so no data set is needed. A
row: the seconds until the first iteration was done, the median of the seconds an iteration with
half their spread, the ratio to the first row (above 1: quicker). Above them each round's seconds,
and the lesson's loss at its end.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch

from anymus.torchlib import deterministic
from inference.translator import find_weights
from training.memory import keep_freed_memory
from training.refine import RefineOptions, _batches_of, _begin, _framing, _load, _one_iteration
from training.refine_state import RefineState
from training.schoolbook import Schoolbook, compile_book, draw_twin_lessons
from training.weights_file import read_facts

PEOPLE, DRAWINGS = 12, 8


def main() -> None:
    args = parse_arguments()
    device, weights = torch.device(args.device), find_weights(Path(args.weights), "a2b")
    book = make_book(weights)
    keep_freed_memory()
    print(
        f"{args.weights}, {len(book.lessons[0].photo)} px, torch {torch.__version__},"
        f" {torch.get_num_threads()} threads, {args.rounds} rounds of {args.iterations}"
    )
    with deterministic(device):
        names = ("plain", "compiled")
        options = [
            RefineOptions(device=args.device, is_compiled=name == names[1]) for name in names
        ]
        states, first_s = zip(*(begin(weights, one, book, device) for one in options), strict=True)
        seconds: list[list[float]] = [[], []]
        for _ in range(args.rounds):
            for state, one, taken in zip(states, options, seconds, strict=True):
                start = time.perf_counter()
                for batch in _batches_of(book, range(args.iterations), one, device):
                    losses = _one_iteration(state, batch.to(device), one, device)
                taken.append((time.perf_counter() - start) / args.iterations)
                lesson = float(losses[1])
                print(f"  {names[one.is_compiled]:<10}{taken[-1]:.3f} s  lesson {lesson:.4f}")
    print(f"{'':<12}{'first s':>8}{'s an iteration':>18}{'ratio':>8}")
    for name, first, taken in zip(names, first_s, seconds, strict=True):
        ratio = statistics.median(t / o for o, t in zip(taken, seconds[0], strict=True))
        spread = (max(taken) - min(taken)) / 2
        print(
            f"{name:<12}{first:>8.1f}{statistics.median(taken):>10.3f} ±{spread:<6.2g}{ratio:>8.2f}"
        )


def begin(
    weights: Path, options: RefineOptions, book: Schoolbook, device: torch.device
) -> tuple[RefineState, float]:
    """Return the state after the first iteration of the generator, and the seconds to there."""
    (generator,), _ = _load([weights], device)
    state = _begin(generator, options, device)
    state.step = 0  # without the discriminators' warm-up
    start = time.perf_counter()
    batch = next(_batches_of(book, range(1), options, device))
    _one_iteration(state, batch.to(device), options, device)
    return state, time.perf_counter() - start


def make_book(weights: Path) -> Schoolbook:
    """Return lessons of people whom the renderers draw both ways, and drawings of others."""
    framing = _framing(weights, read_facts(weights))
    drawings = [twins.drawing for twins in draw_twin_lessons(DRAWINGS, 2, framing)]
    return compile_book(draw_twin_lessons(PEOPLE, 1, framing), drawings, [])


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-g", "--weights", default="drawn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=4, help="of a round")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
