"""Commands of the curation wing."""

from pathlib import Path
from typing import Annotated

import typer

from anymus.options import (
    DEFAULT_PARAMS,
    BrowserOption,
    DomainName,
    JsonOption,
    ParamsOption,
    PortOption,
    SetOption,
    print_report,
    resolve_params,
    write_metrics,
)

from . import dataset_cli, detector_cli

DomainArgument = Annotated[DomainName, typer.Argument(help="photo (A) or manga (B).")]


def register(app: typer.Typer) -> None:
    """Add the commands of this wing to the command line."""
    for command in (detect, crop, dedupe, split, report, label):
        app.command(rich_help_panel="Curate")(command)
    detector_cli.register(app)
    dataset_cli.register(app)


def detect(
    domain: DomainArgument,
    params: ParamsOption = DEFAULT_PARAMS,
    overrides: SetOption = None,
    is_json: JsonOption = False,
) -> None:
    """Find the faces of every collected picture."""
    from curation.detect import detect as run

    resolved = resolve_params(params, overrides)
    paths = resolved.paths
    found = run(resolved, domain.value, Path(paths.raw) / domain, Path(paths.detected) / domain)
    write_metrics(resolved, f"detect_{domain}", found)
    print_report(found, is_json)


def crop(
    domain: DomainArgument,
    params: ParamsOption = DEFAULT_PARAMS,
    overrides: SetOption = None,
    is_json: JsonOption = False,
) -> None:
    """Cut the faces out, eyes level, one framing for both domains."""
    from curation.crop import crop as run

    resolved = resolve_params(params, overrides)
    paths = resolved.paths
    made = run(resolved, domain.value, Path(paths.detected) / domain, Path(paths.faces) / domain)
    write_metrics(resolved, f"crop_{domain}", made)
    print_report(made, is_json)


def dedupe(
    domain: DomainArgument,
    params: ParamsOption = DEFAULT_PARAMS,
    overrides: SetOption = None,
    is_json: JsonOption = False,
) -> None:
    """Group near-duplicate faces and keep the best of each group."""
    from curation.dedupe import dedupe as run

    resolved = resolve_params(params, overrides)
    paths = resolved.paths
    found = run(resolved, domain.value, Path(paths.faces) / domain, Path(paths.unique) / domain)
    write_metrics(resolved, f"dedupe_{domain}", found)
    print_report(found, is_json)


def split(
    params: ParamsOption = DEFAULT_PARAMS,
    overrides: SetOption = None,
    is_json: JsonOption = False,
) -> None:
    """Write trainA, trainB, testA and testB, no group on both sides."""
    from curation.split import split as run

    resolved = resolve_params(params, overrides)
    made = run(resolved, Path(resolved.paths.unique), Path(resolved.paths.dataset))
    write_metrics(resolved, "split", made)
    print_report(made, is_json)


def report(
    params: ParamsOption = DEFAULT_PARAMS,
    overrides: SetOption = None,
    is_json: JsonOption = False,
) -> None:
    """Write one HTML page over the data set and the run; it needs no network."""
    from curation.report import report as run

    resolved = resolve_params(params, overrides)
    made = run(resolved, Path(resolved.paths.report))
    print_report(made, is_json)


def label(
    folder: Annotated[Path, typer.Argument(help="Pictures to mark; only read.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="JSON Lines file of the labels.")],
    domain: Annotated[
        DomainName, typer.Option(help="Whose detector proposes faces.")
    ] = DomainName.manga,
    has_proposals: Annotated[
        bool, typer.Option("--proposals/--no-proposals", help="Start from what a detector finds.")
    ] = True,
    port: PortOption = 0,
    has_browser: BrowserOption = True,
    params: ParamsOption = DEFAULT_PARAMS,
    overrides: SetOption = None,
    is_json: JsonOption = False,
) -> None:
    """Mark faces by hand on a page in the browser, on this machine alone; Ctrl-C ends it."""
    from curation.label import label as run

    limits = resolve_params(params, overrides).detect.of(domain.value) if has_proposals else None
    print_report(run(folder, output, limits, port, has_browser=has_browser), is_json)
