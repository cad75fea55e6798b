"""Commands of the training wing."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from anymus.options import (
    DEFAULT_PARAMS,
    JsonOption,
    ParamsOption,
    SetOption,
    print_report,
    resolve_params,
)


class DirectionName(StrEnum):
    """The two directions, as an option."""

    a2b = "a2b"
    b2a = "b2a"


def register(app: typer.Typer) -> None:
    """Add the commands of this wing to the command line."""
    for command in (train, evaluate, vote, votes):
        app.command(rich_help_panel="Train")(command)


def train(
    params: ParamsOption = DEFAULT_PARAMS,
    overrides: SetOption = None,
    is_json: JsonOption = False,
) -> None:
    """Train U-GAT-IT; a run that was stopped goes on where it was."""
    from training.loop import train as run

    resolved = resolve_params(params, overrides)
    paths = resolved.paths
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


def evaluate(
    params: ParamsOption = DEFAULT_PARAMS,
    overrides: SetOption = None,
    is_json: JsonOption = False,
) -> None:
    """Measure both generators on the test part, against doing nothing and cheap filters.

    Prints the table of each direction; all figures are in metrics.json, and printed with --json.
    """
    from training.evaluate import evaluate as run

    resolved = resolve_params(params, overrides)
    paths = resolved.paths
    folders = Path(paths.dataset), Path(paths.models), Path(paths.evaluate_results)
    report = run(resolved, *folders)
    if is_json:
        print_report(report, is_json)
    else:
        typer.echo(report.as_text(), nl=False)


def vote(
    weights_a: Annotated[
        str,
        typer.Argument(metavar="A", help="Weights, a folder of both, or a revision."),
    ],
    weights_b: Annotated[str, typer.Argument(metavar="B", help="What to compare them with.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="JSON Lines file of the votes.")
    ] = Path("votes.jsonl"),
    direction: Annotated[
        DirectionName | None,
        typer.Option(help="Photo to manga, or manga to photo.", show_default="a2b"),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 0,
    has_browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
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
