"""The picture of the evaluation: KID of a translation beside real pictures and the baselines."""

from collections.abc import Sequence

import numpy as np

from anymus.images import RgbU8

from .standing import LABELS, Standing

COLOURS = {"floor": "#7a9e7e", "translated": "#3d6fb4"}
BASELINE_COLOUR = "#b0b0b0"


def draw_kid(standings: Sequence[Standing]) -> RgbU8:
    """Return a picture (420, 1100, 3): a panel a direction, a bar with its 95 % interval a row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for axes, standing in zip(figure.subplots(1, len(standings)), standings, strict=True):
        rows = standing.rows()
        for place, (row, one) in enumerate(rows.items()):
            colour = COLOURS.get(row, BASELINE_COLOUR)
            axes.barh(place, one.value, color=colour, height=0.62)
            axes.plot([one.low, one.high], [place, place], color="black", linewidth=1.5)
            end = max(one.value, one.high)
            axes.annotate(
                f"{one.value:.2g}", (end, place), (4, 0), textcoords="offset points",
                va="center", fontsize=9,
            )  # fmt: skip
        axes.set_yticks(range(len(rows)), [LABELS[row] for row in rows])
        axes.invert_yaxis()
        axes.margins(x=0.2)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_title(f"{standing.title}, n = {standing.translated.n}", fontsize=11)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    figure.supxlabel("KID to the target, lower is nearer; black: 95 % interval")
    canvas.draw()  # type: ignore[no-untyped-call]
    rgba = np.asarray(canvas.buffer_rgba(), dtype=np.uint8)  # type: ignore[no-untyped-call]
    return rgba[:, :, :3].copy()
