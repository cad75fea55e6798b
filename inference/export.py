"""Export: a generator as a file for other programs, or as a smaller one, with its card inside."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anymus.drawing.photo import draw_portrait
from anymus.errors import AnymusError, CheckpointError, ParamsError
from training.weights_file import GENERATOR_KIND, Facts, read_arrays, write_arrays

from .engines import OpenCvEngine, TorchEngine, require_numbers
from .onnx_file import ONNX_SUFFIX, write_onnx
from .onnx_graph import build_graph
from .options import Direction, ExportFormat, Precision
from .translator import Translator, load_translator

MAX_DIFFERENCE = 1e-3
"""Most by which a pixel of an exported graph may differ from the network's, in a range of 2."""

_SUFFIX_OF_FORMAT: dict[ExportFormat, str] = {"onnx": ONNX_SUFFIX, "safetensors": ".safetensors"}


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was exported, and how far it translates a drawn portrait differently.

    Attributes:
        path: The file.
        format: onnx or safetensors.
        precision: fp32 or fp16.
        direction: a2b or b2a.
        file_bytes: Its size.
        max_levels: Largest difference of a pixel from the original weights, levels of 255.
        mean_levels: The mean difference.
    """

    path: Path
    format: ExportFormat
    precision: Precision
    direction: str
    file_bytes: int
    max_levels: int
    mean_levels: float

    def as_metrics(self) -> dict[str, int | float | str]:
        """Return the figures by name."""
        return {
            "file": str(self.path),
            "format": self.format,
            "precision": self.precision,
            "direction": self.direction,
            "bytes": self.file_bytes,
            "max_difference_levels": self.max_levels,
            "mean_difference_levels": round(self.mean_levels, 4),
        }


def export(  # noqa: PLR0913 - two paths, the rest by keyword
    weights: Path,
    dst: Path,
    *,
    direction: Direction | None = None,
    export_format: ExportFormat | None = None,
    precision: Precision = "fp32",
    licence: str | None = None,
    metrics: Path | None = None,
) -> ExportReport:
    """Write a generator to a file of another form, check it, and return what it costs.

    The file's facts are those of the weights (direction, framing, parameters, data revision, step),
    with `precision`, and `licence` and `metrics` if given.

    Args:
        weights: A generator's weights, as `anymus train` wrote them.
        dst: The file to write; replaced as a whole.
        direction: a2b or b2a, which the weights then must translate; None: either.
        export_format: None: what the suffix of `dst` says.
        precision: In which the weights are stored; they are computed with in fp32.
        licence: Under which the weights may be used, such as an SPDX identifier.
        metrics: A JSON file of figures that belong to these weights, such as metrics.json of
            `anymus evaluate`.

    Raises:
        ParamsError: The suffix and the format disagree, `dst` is the weights file itself, or the
            metrics cannot be read.
        CheckpointError: The weights are missing, damaged or not a generator's, do not fit fp16,
            translate the other way, or the exported graph computes something else.
        AnymusError: The file cannot be written.
    """
    export_format = _format_of(dst, export_format)
    if dst.resolve() == weights.resolve():
        raise ParamsError(f"{dst} is the weights file itself", "give another file with -o")
    arrays, facts = read_arrays(weights, kind=GENERATOR_KIND)
    require_numbers(weights, arrays)
    facts |= {"precision": precision} | ({"licence": licence} if licence else {})
    if metrics is not None:
        facts["metrics"] = _read_metrics(metrics)
    if precision == "fp16":
        _require_half(weights, arrays)
    original = load_translator(weights, direction, "cpu", "torch")
    try:
        if export_format == "onnx":
            _export_onnx(dst, arrays, facts, original)
        else:
            kind = np.float16 if precision == "fp16" else np.float32
            write_arrays(dst, {name: array.astype(kind) for name, array in arrays.items()}, facts)
    except OSError as error:
        raise AnymusError(f"cannot write {dst}: {error}", "give another file with -o") from error
    difference = _difference_levels(original, load_translator(dst, None, "cpu"))
    return ExportReport(
        dst,
        export_format,
        precision,
        original.direction,
        dst.stat().st_size,
        int(difference.max()),
        float(difference.mean()),
    )


def _export_onnx(
    dst: Path, arrays: Mapping[str, NDArray[Any]], facts: Facts, original: Translator
) -> None:
    """Write the graph after it was seen to compute what the network computes."""
    whole = build_graph(arrays, facts["architecture"])
    engine = OpenCvEngine(whole.SerializeToString())
    assert isinstance(original.engine, TorchEngine)
    shape = (1, 3, original.size_px, original.size_px)
    x_signed = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    (image, _), (expected, _) = engine(x_signed), original.engine(x_signed)
    difference = float(np.abs(image - expected).max())
    if not difference <= MAX_DIFFERENCE:
        raise CheckpointError(
            f"the graph for {dst} differs from the network by {difference:.3g},"
            f" more than {MAX_DIFFERENCE:g}",
            "these weights amplify rounding: export them as safetensors",
        )
    is_half = facts["precision"] == "fp16"
    graph = build_graph(arrays, facts["architecture"], is_half=True) if is_half else whole
    write_onnx(dst, graph, facts)


def _difference_levels(one: Translator, other: Translator) -> NDArray[np.int16]:
    """Return by how many levels both translate a drawn portrait differently, (H, W, 3)."""
    portrait = draw_portrait(np.random.default_rng(0), one.size_px, one.size_px).rgb_u8
    return np.asarray(np.abs(one(portrait).astype(np.int16) - other(portrait)), np.int16)


def _format_of(dst: Path, export_format: ExportFormat | None) -> ExportFormat:
    suffix = dst.suffix.lower()
    for name, its_suffix in _SUFFIX_OF_FORMAT.items():
        if suffix == its_suffix and export_format in (None, name):
            return name
    wanted = _SUFFIX_OF_FORMAT[export_format] if export_format else ".onnx or .safetensors"
    raise ParamsError(f"{dst} does not end in {wanted}", "give another file with -o")


def _require_half(weights: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    limit = np.finfo(np.float16).max
    for name, array in arrays.items():
        if not np.abs(array).max() <= limit:
            raise CheckpointError(
                f"{weights}: {name} has values beyond half precision", "leave --precision out"
            )


def _read_metrics(path: Path) -> dict[str, Any]:
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ParamsError(
            f"{path}: no JSON file of figures: {error}", "give metrics.json of anymus evaluate"
        ) from error
    if not isinstance(figures, dict):
        raise ParamsError(f"{path} holds no figures by name", "give metrics.json")
    return figures
