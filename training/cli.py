"""Commands of the training wing."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anymus.errors import ParamsError
from anymus.options import (
    DEFAULT_PARAMS,
    BrowserOption,
    JsonOption,
    ParamsOption,
    PortOption,
    SetOption,
    print_report,
    resolve_params,
)

if TYPE_CHECKING:
    from anymus.params import Params
    from training.differences import CompareReport
    from training.evaluate import EvaluateReport


class DirectionName(StrEnum):
    """The two directions, as an option."""

    a2b = "a2b"
    b2a = "b2a"


def register(app: typer.Typer) -> None:
    """Add the commands of this wing to the command line."""
    for command in (train, evaluate, vote, votes):
        app.command(rich_help_panel="Train")(command)
    app.command("import-port", rich_help_panel="Train")(import_port)
    app.command("export-port", rich_help_panel="Train")(export_port)


def train(
    params: ParamsOption = DEFAULT_PARAMS,
    overrides: SetOption = None,
    is_dry: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say sizes, memory and seconds an iteration; train and write nothing."
        ),
    ] = False,
    is_measured: Annotated[
        bool,
        typer.Option("--measure/--no-measure", help="Dry run: do a few iterations for the pace."),
    ] = True,
    is_json: JsonOption = False,
) -> None:
    """Train U-GAT-IT; a run that was stopped goes on where it was."""
    resolved = resolve_params(params, overrides)
    paths = resolved.paths
    if is_dry:
        from training.dry_run import dry_run, print_dry_run

        dry = dry_run(
            resolved.train,
            seed=resolved.seed,
            dataset_dir=Path(paths.dataset),
            is_measured=is_measured,
        )
        print_dry_run(dry, is_json)
        return
    from training.loop import train as run

    done = run(
        resolved.train,
        seed=resolved.seed,
        dataset_dir=Path(paths.dataset),
        models_dir=Path(paths.models),
        results_dir=Path(paths.train_results),
        framing=resolved.crop.framing.model_dump(),
        log_path=Path(paths.models) / "speed.jsonl",
    )
    print_report(done, is_json)
    done.require_finished()


def evaluate(
    contenders: Annotated[
        list[str] | None,
        typer.Option(
            "--compare",
            metavar="WEIGHTS",
            help="Compare weights, a folder of both, or a revision, with paths.models; twice: both"
            " with each other.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Folder of the comparison.",
            show_default="results/compare",
        ),
    ] = None,
    params: ParamsOption = DEFAULT_PARAMS,
    overrides: SetOption = None,
    is_json: JsonOption = False,
) -> None:
    """Measure both generators on the test part, against doing nothing and cheap filters.

    Prints the table of each direction; all figures are in metrics.json, and printed with --json.
    With --compare it says instead in which figures two weights differ.
    """
    resolved = resolve_params(params, overrides)
    report = _compare(resolved, contenders, output) if contenders else _evaluate(resolved, output)
    if is_json:
        print_report(report, is_json)
    else:
        typer.echo(report.as_text(), nl=False)


def _evaluate(params: "Params", output: Path | None) -> "EvaluateReport":
    from training.evaluate import evaluate as run

    if output is not None:
        raise ParamsError("-o goes with --compare", f"use -S paths.evaluate_results={output}")
    paths = params.paths
    return run(params, Path(paths.dataset), Path(paths.models), Path(paths.evaluate_results))


def _compare(params: "Params", names: list[str], output: Path | None) -> "CompareReport":
    from training.compare import compare as run

    if len(names) > 2:
        raise ParamsError("--compare takes two weights at most", "compare them two by two")
    first, second = names if len(names) == 2 else (names[0], params.paths.models)
    return run(params, (first, second), output or Path("results/compare"))


def vote(
    weights_a: Annotated[
        str,
        typer.Argument(metavar="A", help="Weights, a folder of both, `drawn`, or a revision."),
    ],
    weights_b: Annotated[str, typer.Argument(metavar="B", help="What to compare them with.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="JSON Lines file of the votes.")
    ] = Path("votes.jsonl"),
    direction: Annotated[
        DirectionName | None,
        typer.Option(help="Photo to manga, or manga to photo.", show_default="a2b"),
    ] = None,
    port: PortOption = 0,
    has_browser: BrowserOption = True,
    params: ParamsOption = DEFAULT_PARAMS,
    overrides: SetOption = None,
    is_json: JsonOption = False,
) -> None:
    """Choose between two translations of test pictures, blindly, in the browser; Ctrl-C ends it."""
    from training.vote import vote as run

    found = run(
        resolve_params(params, overrides),
        (weights_a, weights_b),
        output,
        direction=None if direction is None else direction.value,
        port=port,
        has_browser=has_browser,
    )
    print_report(found, is_json)


def votes(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Votes, a file of each person.")
    ],
    is_json: JsonOption = False,
) -> None:
    """Say which weights people prefer, and how sure that is; see anymus vote."""
    from training.votes import count_votes, read_votes

    print_report(count_votes([read_votes(file).values() for file in files]), is_json)


def import_port(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A .pt file of the official PyTorch port.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the weights; also `convert -g`.")
    ],
    size: Annotated[
        int | None,
        typer.Option(
            min=16,
            help="Side of the pictures, pixels, for light networks.",
            show_default="256, or what full networks tell",
        ),
    ] = None,
    is_json: JsonOption = False,
) -> None:
    """Write weights of the official PyTorch port as ours: both generators, and all six networks."""
    from training.exchange import import_port as run

    print_report(run(checkpoint, output, image_size_px=size), is_json)


def export_port(
    source: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint, or networks.safetensors.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .pt file to write.")],
    mean: Annotated[
        bool,
        typer.Option("--mean", help="The running means of the generators, not the last weights."),
    ] = False,
    is_json: JsonOption = False,
) -> None:
    """Write all six networks as a .pt file that the official PyTorch port loads."""
    from training.exchange import export_port as run

    print_report(run(source, output, is_mean=mean), is_json)
