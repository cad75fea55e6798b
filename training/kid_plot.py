"""The picture of the evaluation: KID of a translation between its floor and doing nothing."""

from collections.abc import Mapping

import numpy as np

from anymus.images import RgbU8

from .metrics import Estimate

TITLES = {"a2b": "photo to manga", "b2a": "manga to photo"}
LABELS = {
    "floor": "real,\nother pictures",
    "translated": "translated",
    "untouched": "not translated",
}
COLOURS = {"floor": "#7a9e7e", "translated": "#3d6fb4", "untouched": "#b0b0b0"}


def draw_kid(bars: Mapping[str, Mapping[str, Estimate]]) -> RgbU8:
    """Return a picture (H, W, 3): a panel a direction, a bar with its 95 % interval a row.

    Args:
        bars: Estimates by direction (`a2b`, `b2a`) and row (`floor`, `translated`, `untouched`).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for axes, (direction, estimates) in zip(figure.subplots(1, 2), bars.items(), strict=True):
        for place, (row, one) in enumerate(estimates.items()):
            axes.bar(place, one.value, color=COLOURS[row], width=0.6)
            axes.plot([place, place], [one.low, one.high], color="black", linewidth=1.5)
            axes.text(place + 0.08, one.value, f" {one.value:.2g}", va="bottom", fontsize=9)
        axes.set_xticks(range(len(estimates)), [LABELS[row] for row in estimates])
        axes.axhline(0, color="black", linewidth=0.8)
        n = min(one.n for one in estimates.values())
        axes.set_title(f"{TITLES[direction]}, n = {n}", fontsize=11)
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
    figure.supylabel("KID to the target, lower is nearer")
    canvas.draw()  # type: ignore[no-untyped-call]
    rgba = np.asarray(canvas.buffer_rgba(), dtype=np.uint8)  # type: ignore[no-untyped-call]
    return rgba[:, :, :3].copy()
