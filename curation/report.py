"""Report: one HTML file over the data set and the run, to look at rather than to read."""

import base64
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
from matplotlib.figure import Figure

from anymus.errors import DatasetError, ImageError
from anymus.files import write_text
from anymus.images import RgbU8, contact_sheet, encode_jpeg, read_rgb
from anymus.manifest import (
    DOMAINS,
    Domain,
    ImageRecord,
    count_reasons,
    read_manifest,
)
from anymus.params import Params

_TEMPLATE = Path(__file__).parent / "report.html"
_COLUMNS = 12
_PLOTTED = {
    "upscale": "enlargement of the face, times",
    "sharpness": "sharpness, log10 of the variance of the Laplacian",
    "brightness": "brightness, 0-255",
    "contrast": "contrast, 0-255",
    "saturation": "colour saturation, 0-255",
    "roll_deg": "head roll taken out, degrees",
}


@dataclass(frozen=True, slots=True)
class ReportReport:
    """What the page shows: its pictures and its size."""

    sheets: int
    size_bytes: int

    def as_metrics(self) -> dict[str, int]:
        """Return the figures by name."""
        return {"sheets": self.sheets, "size_bytes": self.size_bytes}


@dataclass(frozen=True, slots=True)
class Sheet:
    """A titled picture of the page, with its bytes inside the page."""

    title: str
    note: str
    data_url: str


@dataclass(frozen=True, slots=True)
class Stages:
    """The manifests of one domain, one a stage."""

    raw: list[ImageRecord]
    detected: list[ImageRecord]
    faces: list[ImageRecord]
    unique: list[ImageRecord]


def report(params: Params, dst: Path) -> ReportReport:
    """Write `dst/index.html`: funnel, contact sheets, histograms, licences, training, evaluation.

    Everything is inside the one file; what has not been run yet is left out. The same inputs give
    the same bytes.

    Args:
        params: All parameters; `paths` and `report` are read.
        dst: Folder of the page.

    Raises:
        DatasetError: There is no collected picture to report on.
    """
    stages = {domain: _read_stages(params, domain) for domain in DOMAINS}
    if not any(found.raw for found in stages.values()):
        raise DatasetError(f"no collected pictures in {params.paths.raw}", "run `dvc repro`")
    sheets = [sheet for domain in DOMAINS for sheet in _make_sheets(params, domain, stages[domain])]
    figures = _plot_quality(stages)
    html = _render(
        funnels=[_funnel(domain, stages[domain]) for domain in DOMAINS],
        sheets=sheets,
        figures=figures,
        licences=_count_licences(stages),
        run_pictures=_find_run_pictures(params),
        figures_of_run=_read_figures(params),
        seed=params.seed,
    )
    write_text(dst / "index.html", html)
    return ReportReport(len(sheets) + len(figures), len(html.encode()))


def _read_stages(params: Params, domain: Domain) -> Stages:
    paths = params.paths
    folders = (paths.raw, paths.detected, paths.faces, paths.unique)
    return Stages(*(_read_if_there(Path(folder) / domain) for folder in folders))


def _read_if_there(folder: Path) -> list[ImageRecord]:
    return read_manifest(folder) if folder.is_dir() else []


def _funnel(domain: Domain, stages: Stages) -> dict[str, object]:
    rows = [
        ("pictures found", len(stages.raw), {}),
        ("pictures kept", _count_kept(stages.raw), count_reasons(stages.raw)),
        ("pictures with a face", _count_kept(stages.detected), count_reasons(stages.detected)),
        ("faces", sum(len(row.faces) for row in stages.detected), {}),
        ("face crops", _count_kept(stages.faces), count_reasons(stages.faces)),
        ("unique faces", _count_kept(stages.unique), count_reasons(stages.unique)),
    ]
    return {"domain": domain, "rows": rows}


def _count_kept(rows: list[ImageRecord]) -> int:
    return sum(row.is_kept for row in rows)


def _make_sheets(params: Params, domain: Domain, stages: Stages) -> list[Sheet]:
    paths = params.paths
    kept = [row for row in stages.unique if row.is_kept]
    sheets = [_sheet(params, f"{domain}: faces kept", kept, Path(paths.unique) / domain)]
    twins = _pair_twins(stages.unique)
    sheets.append(
        _sheet(
            params, f"{domain}: duplicates, each group together", twins, Path(paths.unique) / domain
        )
    )
    missed = [row for row in stages.detected if row.reason == "no_face"]
    sheets.append(_sheet(params, f"{domain}: no face found", missed, Path(paths.detected) / domain))
    return [sheet for sheet in sheets if sheet is not None]


def _pair_twins(rows: list[ImageRecord]) -> list[ImageRecord]:
    """Return the rows of groups of more than one face, group by group, the kept one first."""
    sizes = Counter(row.group for row in rows)
    twins = [row for row in rows if sizes[row.group] > 1]
    return sorted(twins, key=lambda row: (row.group or "", not row.is_kept, row.id))


def _sheet(params: Params, title: str, rows: list[ImageRecord], folder: Path) -> Sheet | None:
    shown = rows[: params.report.tiles]
    tiles = [_read_tile(folder / str(row.file)) for row in shown if row.file]
    if not tiles:
        return None
    picture = contact_sheet(tiles, _COLUMNS, params.report.tile_px)
    return Sheet(title, f"{len(tiles)} of {len(rows)}", _jpeg_url(picture))


def _read_tile(path: Path) -> RgbU8:
    try:
        return read_rgb(path)
    except ImageError:
        return np.full((8, 8, 3), 255, np.uint8)  # removed since: an empty place says so


def _plot_quality(stages: Mapping[Domain, Stages]) -> list[Sheet]:
    rows = {
        domain: [row for row in found.unique if row.is_kept] for domain, found in stages.items()
    }
    if not any(rows.values()):
        return []
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    for axis, (name, label) in zip(axes, _PLOTTED.items(), strict=True):
        values = {d: [(row.quality or {}).get(name, 0.0) for row in rows[d]] for d in DOMAINS}
        if name == "sharpness":
            values = {d: np.log10(1 + np.array(values[d])).tolist() for d in DOMAINS}
        edges = np.histogram_bin_edges(np.concatenate([values[d] for d in DOMAINS]), bins=24)
        for domain, colour in zip(DOMAINS, ("#d1495b", "#2e4057"), strict=True):
            weights = np.full(len(values[domain]), 1 / max(1, len(values[domain])))
            axis.hist(values[domain], edges, weights=weights, alpha=0.6, color=colour, label=domain)
        axis.set_xlabel(label, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.set_yticks([])
    axes[0].legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    note = "share of the kept faces; the nearer the two domains, the better"
    return [Sheet("Quality and framing of both domains", note, _url("png", buffer.getvalue()))]


def _count_licences(stages: Mapping[Domain, Stages]) -> list[tuple[str, str, str, int]]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for domain, found in stages.items():
        for row in found.unique or found.raw:
            if row.is_kept:
                counts[domain, row.licence or "not stated", row.licence_url or ""] += 1
    return [(*key, count) for key, count in sorted(counts.items())]


def _find_run_pictures(params: Params) -> list[Sheet]:
    train, evaluated = Path(params.paths.train_results), Path(params.paths.evaluate_results)
    grids = sorted((train / "samples").glob("*.png"))
    wanted = [("Training: last sample grid", path) for path in grids[-1:]]
    wanted += [("Training: losses", path) for path in sorted((train / "plots").glob("*.png"))]
    wanted += [("Evaluation: samples", path) for path in sorted(evaluated.glob("*.png"))]
    wanted += [("Evaluation", path) for path in sorted((evaluated / "plots").glob("*.png"))]
    return [Sheet(title, path.name, _url("png", path.read_bytes())) for title, path in wanted]


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


def _render(**values: Iterable[object] | int) -> str:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(**values)


def _jpeg_url(rgb_u8: RgbU8) -> str:
    return _url("jpeg", encode_jpeg(rgb_u8, 88))


def _url(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
