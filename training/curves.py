"""The loss curves: a journal of rows, one file of values a loss, and a picture of them all."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anymus.files import write_text
from anymus.images import RgbU8, write_png

Row = dict[str, float]


def read_history(path: Path) -> list[Row]:
    """Return the rows of a journal (JSON lines); a torn line, the mark of a kill, is left out."""
    rows: list[Row] = []
    if not path.is_file():
        return rows
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def cut_history(path: Path, step: int) -> None:
    """Drop from a journal every row after a step."""
    rows = [row for row in read_history(path) if row["step"] <= step]
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def append_history(path: Path, row: Row) -> None:
    """Append one row to a journal; it is with the operating system when this returns."""
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def write_curves(folder: Path, rows: Sequence[Row]) -> None:
    """Write plots/metrics/<loss>.tsv for each loss and plots/losses.png into a folder."""
    _write(folder, rows, "losses", draw_losses)


def write_scores(folder: Path, rows: Sequence[Row]) -> None:
    """Write plots/metrics/<figure>.tsv for each score, and plots/scores.png."""
    _write(folder, rows, "scores", draw_scores)


def _write(
    folder: Path, rows: Sequence[Row], picture: str, draw: Callable[[Sequence[Row]], RgbU8]
) -> None:
    names = [name for name in rows[0] if name != "step"] if rows else []
    for name in names:
        lines = [f"step\t{name}", *(f"{row['step']}\t{row[name]!r}" for row in rows)]
        write_text(folder / "plots" / "metrics" / f"{name}.tsv", "\n".join(lines) + "\n")
    if names:
        write_png(folder / "plots" / f"{picture}.png", draw(rows))


def draw_scores(rows: Sequence[Row]) -> RgbU8:
    """Return a picture of the scores over the steps: KID above, contrast and diversity below."""
    figure, upper, lower = _two_panels()
    steps = [row["step"] for row in rows]
    for name in rows[0]:
        if name != "step":
            axes = upper if name.startswith("kid") else lower
            axes.plot(steps, [row[name] for row in rows], "o-", label=name, markersize=3)
    upper.set_ylabel("KID on held-out pictures")
    lower.set_ylabel("share of the target's")
    return _finished(figure, upper, lower)


def _two_panels() -> tuple[Any, Any, Any]:
    """Return a figure and its two axes, one above the other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), dpi=100, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    return figure, upper, lower


def _finished(figure: Any, upper: Any, lower: Any) -> RgbU8:
    """Return the figure's pixels, with grids and legends."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    lower.set_xlabel("iteration")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, ncols=3)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    rgba = np.asarray(canvas.buffer_rgba(), dtype=np.uint8)  # type: ignore[no-untyped-call]
    return rgba[:, :, :3].copy()


def draw_losses(rows: Sequence[Row]) -> RgbU8:
    """Return a picture of all losses over the steps: discriminators above, generators below."""
    figure, upper, lower = _two_panels()
    steps = [row["step"] for row in rows]
    for name in rows[0]:
        if name in ("step", "lr", "augment_probability"):
            continue
        axes = upper if name.startswith("d_") else lower
        axes.plot(steps, [row[name] for row in rows], label=name, linewidth=1.2)
    upper.set_ylabel("discriminators' loss")
    lower.set_ylabel("generators' loss (log)")
    lower.set_yscale("log")
    return _finished(figure, upper, lower)
