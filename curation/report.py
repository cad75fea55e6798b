"""Report: one HTML file over the data set and the run, to look at rather than to read."""

import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from anymus.errors import DatasetError
from anymus.files import write_text
from anymus.manifest import DOMAINS, Domain, ImageRecord, RowCount
from anymus.params import Params
from anymus.progress import track

from .card import make_card, write_card
from .overrides import COLUMNS, Overrides, read_overrides, report_unknown
from .page import data_url, read_tile, render
from .survey import FIGURE_FACES, Sample, Survey, survey

_PLOT_COLUMNS = 4
_COLOURS = {"photo": "#d1495b", "manga": "#2e4057"}
_FRAMING = {
    "eye_line": "height of the eyes, share of the side",
    "eye_share": "distance of the eyes, share of the side",
    "face_share": "width of the face by its box, share of the side",
    "head_room": "space above the brow, share of the side",
    "roll_deg": "head roll taken out, degrees",
    "turn": "turn to the right, distances of the eyes",
    "yaw_deg": "yaw, degrees to the right",
    "pitch_deg": "pitch, degrees upwards",
    "outside_share": "share of the crop outside the picture",
    "face_outside_share": "share of the face outside the picture",
    "upscale": "enlargement of the face, times",
}
_QUALITY = {
    "sharpness": "sharpness, log10 of the variance",
    "brightness": "brightness, 0-255",
    "contrast": "contrast, 0-255",
    "saturation": "colour saturation, 0-255",
    "lettering_share": "share that lettering covers",
}


@dataclass(frozen=True, slots=True)
class ReportReport:
    """What the page shows: sheets, pictures of faces, and its size."""

    sheets: int
    tiles: int
    unknown_overrides: int
    size_bytes: int

    def as_metrics(self) -> dict[str, int]:
        """Return the figures by name."""
        return {
            "sheets": self.sheets,
            "tiles": self.tiles,
            "unknown_overrides": self.unknown_overrides,
            "size_bytes": self.size_bytes,
        }


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture on a contact sheet; `id` is empty where nobody can decide on it."""

    id: str
    data_url: str
    note: str
    side: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """A titled contact sheet: rows of tiles that belong together."""

    title: str
    note: str
    rows: list[list[Tile]]


@dataclass(frozen=True, slots=True)
class Plot:
    """A titled picture of the page, with its bytes inside the page."""

    title: str
    note: str
    data_url: str


def report(params: Params, dst: Path) -> ReportReport:
    """Write `dst/index.html` and the data-set card, `dataset_card.md` and `.json`.

    The page holds everything it shows: funnel, contact sheets of kept and of rejected faces,
    duplicates side by side, histograms, licences, the card, training, evaluation; what has not been
    run yet is left out. On it faces are chosen to be kept, dropped or moved, which gives a file for
    `overrides/`. A sheet has at most `report.tiles` pictures, so the page stays small. The same
    inputs give the same bytes.

    Args:
        params: All parameters; `paths` and `report` are read.
        dst: Folder of the page.

    Raises:
        DatasetError: There is no collected picture to report on.
        ParamsError: The overrides cannot be read.
    """
    overrides = read_overrides(Path(params.paths.overrides))
    surveys = {
        domain: survey(params, domain, overrides)
        for domain in track(DOMAINS, "report", len(DOMAINS))
    }
    if not any(found.raw.kept + found.raw.rejected for found in surveys.values()):
        raise DatasetError(f"no collected pictures in {params.paths.raw}", "run `dvc repro`")
    unknown = report_unknown(overrides, set().union(*(found.known for found in surveys.values())))
    sheets = [
        sheet for domain in DOMAINS for sheet in _make_sheets(params, domain, surveys[domain])
    ]
    card = make_card(params, surveys, _count_overrides(overrides, unknown))
    html = render(
        "report.html",
        funnels=[_funnel(domain, surveys[domain]) for domain in DOMAINS],
        sheets=sheets,
        plots=_plot_figures(surveys),
        licences=[
            (domain, item["licence"], item["url"], item["faces"])
            for domain in DOMAINS
            for item in card["domains"][domain]["licences"]
        ],
        card=card,
        decisions=_list_decisions(overrides),
        unknown=unknown,
        columns=list(COLUMNS),
        run_pictures=_find_run_pictures(params),
        figures_of_run=_read_figures(params),
        seed=params.seed,
        tile_px=params.report.tile_px,
    )
    write_card(dst, card)
    write_text(dst / "index.html", html)
    tiles = sum(len(row) for sheet in sheets for row in sheet.rows)
    return ReportReport(len(sheets), tiles, len(unknown), len(html.encode()))


def _funnel(domain: Domain, found: Survey) -> dict[str, object]:
    def row(name: str, count: RowCount) -> tuple[str, int, dict[str, int]]:
        return name, count.kept, count.ordered_reasons()

    rows = [
        ("pictures found", found.raw.kept + found.raw.rejected, {}),
        row("pictures kept", found.raw),
        row("pictures with a face", found.detected),
        ("faces", found.detected.faces, {}),
        row("face crops", found.faces),
        row("unique faces", found.unique),
        row("faces in train and test", found.dataset),
    ]
    return {"domain": domain, "rows": rows}


def _make_sheets(params: Params, domain: Domain, found: Survey) -> list[Sheet]:
    paths = params.paths
    is_unique = bool(found.unique.kept + found.unique.rejected)
    faces = Path(paths.unique if is_unique else paths.faces) / domain
    sheets = [_sheet(params, f"{domain}: faces kept", found.kept, faces, found.sides)]
    twins = [_tiles(params, group, faces, found.sides) for group in found.twins]
    shown = sum(len(row) > 0 for row in twins)
    note = f"{shown} of {found.twin_groups} groups, the kept face first"
    sheets.append(Sheet(f"{domain}: near-duplicates side by side", note, twins))
    for reason, sample in sorted(found.rejected.items()):
        title = f"{domain}: faces rejected, {reason}"
        sheets.append(_sheet(params, title, sample, faces, {}))
    for reason, sample in sorted(found.left_out.items()):
        title = f"{domain}: faces left out by split, {reason}"
        sheets.append(_sheet(params, title, sample, Path(paths.dataset), {}))
    for reason, sample in sorted(found.missed.items()):
        title = f"{domain}: pictures without a face, {reason}"
        sheets.append(_sheet(params, title, sample, Path(paths.detected) / domain, None))
    return [sheet for sheet in sheets if any(sheet.rows)]


def _sheet(
    params: Params, title: str, sample: Sample, folder: Path, sides: Mapping[str, str] | None
) -> Sheet:
    """Return a sheet of a sample; `sides` None: not of faces, so nobody can decide on them."""
    tiles = _tiles(params, sample.rows, folder, sides)
    is_whole = len(tiles) == sample.total
    note = f"all {sample.total}" if is_whole else f"a sample of {len(tiles)} of {sample.total}"
    return Sheet(title, note, [tiles] if tiles else [])


def _tiles(
    params: Params, rows: Iterable[ImageRecord], folder: Path, sides: Mapping[str, str] | None
) -> list[Tile]:
    tiles = []
    for row in rows:
        picture = read_tile(folder / str(row.file), params.report.tile_px) if row.file else None
        if picture is not None:
            note = ", ".join(str(part) for part in (row.title, row.author, row.reason) if part)
            side = (sides or {}).get(row.id, "")
            tiles.append(Tile(row.id if sides is not None else "", picture, note, side))
    return tiles


def _plot_figures(surveys: Mapping[Domain, Survey]) -> list[Plot]:
    """Return the histograms of every figure, both domains in one frame each."""
    known = {name for found in surveys.values() for name in found.figures}
    seen = max(min(found.kept.total, FIGURE_FACES) for found in surveys.values())
    note = (
        f"share of the kept faces (of at most {seen} a domain); under each how much of the two"
        " histograms is common to both"
    )
    groups = (("Framing of both domains", _FRAMING), ("Quality of both domains", _QUALITY))
    plots = []
    for title, labels in groups:
        shown = {name: label for name, label in labels.items() if name in known}
        if shown:
            plots.append(Plot(title, note, data_url("png", _draw_histograms(shown, surveys))))
    return plots


def _draw_histograms(labels: Mapping[str, str], surveys: Mapping[Domain, Survey]) -> bytes:
    lines = -(-len(labels) // _PLOT_COLUMNS)
    figure = Figure(figsize=(13, 2.6 * lines), layout="constrained")
    axes = figure.subplots(lines, _PLOT_COLUMNS, squeeze=False).ravel()
    for axis in axes[len(labels) :]:
        axis.set_visible(False)
    for axis, (name, label) in zip(axes, labels.items(), strict=False):
        values = {
            domain: np.asarray(found.figures[name], np.float64)
            for domain, found in surveys.items()
            if name in found.figures
        }
        if name == "sharpness":
            values = {domain: np.log10(1 + found) for domain, found in values.items()}
        _draw_histogram(axis, label, values)
    axes[0].legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


def _draw_histogram(axis: Any, label: str, values: Mapping[Domain, NDArray[np.float64]]) -> None:
    every = np.concatenate(list(values.values()))
    low, high = np.quantile(every, (0.002, 0.998))
    if high - low < 1e-3 * max(1.0, abs(high)):  # one value: leave room around it
        low, high = low - 0.01 * max(1.0, abs(low)), high + 0.01 * max(1.0, abs(high))
    edges = np.linspace(low, high, 25)
    shares = []
    for domain, found in values.items():
        weights = np.full(len(found), 1 / len(found))
        share, _, _ = axis.hist(
            np.clip(found, low, high),
            edges,
            weights=weights,
            alpha=0.6,
            color=_COLOURS[domain],
            label=domain,
        )
        shares.append(share)
    common = f"{np.minimum(*shares).sum():.0%} common" if len(shares) == 2 else f"{domain} only"
    axis.set_xlabel(f"{label}\n{common}", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.locator_params(axis="x", nbins=5)
    axis.set_yticks([])


def _count_overrides(overrides: Overrides, unknown: list[str]) -> dict[str, int]:
    kinds = Counter(decision[1] for decision in _list_decisions(overrides))
    return {name: kinds[name] for name in ("keep", "drop", "move")} | {"unknown": len(unknown)}


def _list_decisions(overrides: Overrides) -> list[tuple[str, str, str, str]]:
    """Return (id, action, side, note) of every decision, as the lines of a file would say them."""
    lines = []
    for identity, override in sorted(overrides.items()):
        if override.is_kept is not None:
            action = "keep" if override.is_kept else "drop"
            lines.append((identity, action, "", override.note))
        if override.side is not None:
            lines.append((identity, "move", override.side, override.note))
    return lines


def _find_run_pictures(params: Params) -> list[Plot]:
    train, evaluated = Path(params.paths.train_results), Path(params.paths.evaluate_results)
    grids = sorted((train / "samples").glob("*.png"))
    wanted = [("Training: last sample grid", path) for path in grids[-1:]]
    wanted += [("Training: losses", path) for path in sorted((train / "plots").glob("*.png"))]
    wanted += [("Evaluation: samples", path) for path in sorted(evaluated.glob("*.png"))]
    wanted += [("Evaluation", path) for path in sorted((evaluated / "plots").glob("*.png"))]
    return [Plot(title, path.name, data_url("png", path.read_bytes())) for title, path in wanted]


def _read_figures(params: Params) -> list[tuple[str, str, str]]:
    """Return (stage, figure, value) of training and evaluation, as their metrics files say."""
    rows = []
    for stage, folder in (
        ("train", params.paths.train_results),
        ("evaluate", params.paths.evaluate_results),
    ):
        path = Path(folder) / "metrics.json"
        values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        for name, value in values.items():
            rows.append((stage, name, f"{value:.4g}" if isinstance(value, float) else str(value)))
    return rows
