"""Commands of the training wing."""

from pathlib import Path

import typer

from anymus.options import (
    DEFAULT_PARAMS,
    JsonOption,
    ParamsOption,
    SetOption,
    print_report,
    resolve_params,
)


def register(app: typer.Typer) -> None:
    """Add the commands of this wing to the command line."""
    for command in (train, evaluate):
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
