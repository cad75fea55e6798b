"""Commands around the detector of drawn faces: train it again, measure it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anymus.options import JsonOption, print_report

if TYPE_CHECKING:
    from curation.face_samples import Sample

LabelsOption = Annotated[
    Path | None, typer.Option("--labels", help="Label file of `anymus label` (JSONL).")
]
PicturesOption = Annotated[
    Path | None, typer.Option("--pictures", help="Folder that the label file's paths start at.")
]
PrefixOption = Annotated[
    list[str] | None, typer.Option(help="Pictures whose path begins so; may be repeated.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (train_detector, measure_detector):
        app.command(rich_help_panel="Curate")(command)


def train_detector(
    output: Annotated[Path, typer.Option("-o", "--output", help="ONNX file to write.")],
    labels: LabelsOption = None,
    pictures: PicturesOption = None,
    held_out: PrefixOption = None,
    iterations: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 8000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of drawings, pieces, weights.")] = 7,
    is_json: JsonOption = False,
) -> None:
    """Train a detector of drawn faces on our own drawings and on pictures labelled by hand."""
    from curation.train_detector import Recipe
    from curation.train_detector import train_detector as run

    samples = _read(labels, pictures)
    kept = [one for one in samples if not one.name.startswith(tuple(held_out or ()) or "\0")]
    print_report(run(seed, kept, output, Recipe(iterations=iterations)), is_json)


def measure_detector(
    weights: Annotated[Path, typer.Argument(help="ONNX file of a detector.")],
    labels: Annotated[Path, typer.Option("--labels", help="Label file (JSONL).")],
    pictures: Annotated[Path, typer.Option("--pictures", help="Folder its paths start at.")],
    only: PrefixOption = None,
    min_score: Annotated[
        float, typer.Option(min=-1, max=1, help="Least score, over the operating point.")
    ] = 0.0,
    max_side_px: Annotated[int, typer.Option(min=64, help="Longer pictures are reduced.")] = 1024,
    is_json: JsonOption = False,
) -> None:
    """Measure a detector of drawn faces: recall and precision on labelled pictures."""
    from curation.measure_detector import measure_detector as run
    from curation.measure_detector import network_finder

    samples = [one for one in _read(labels, pictures) if one.name.startswith(tuple(only or [""]))]
    print_report(run(network_finder(weights, max_side_px, min_score), samples), is_json)


def _read(labels: Path | None, pictures: Path | None) -> "list[Sample]":
    from anymus.errors import ParamsError
    from curation.face_samples import read_samples

    if labels is None and pictures is None:
        return []
    if labels is None or pictures is None:
        raise ParamsError("--labels and --pictures belong together", "name the file and the folder")
    return read_samples(labels, pictures)
