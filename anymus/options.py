"""What all wings' commands share: options, resolved parameters, reports and metrics."""

import json
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

if TYPE_CHECKING:
    from anymus.params import Params

ParamsOption = Annotated[Path, typer.Option("--params", help="Parameter file.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("-S", "--set", metavar="KEY=VALUE", help="Override a parameter, by its key path."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the figures as JSON on stdout.")]
PortOption = Annotated[
    int, typer.Option(min=0, max=65535, help="Port on this machine; 0: any free one.")
]
BrowserOption = Annotated[
    bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
]
DEFAULT_PARAMS = Path("params.yaml")

Figure = int | float | str | bool


class DomainName(StrEnum):
    """The two domains, as a command's argument or option."""

    photo = "photo"
    manga = "manga"


class Report(Protocol):
    """What a stage returns: figures that are flat, named and the same for the same run."""

    def as_metrics(self) -> Mapping[str, Figure]:
        """Return the figures by name."""
        ...


def resolve_params(path: Path, overrides: list[str] | None) -> "Params":
    """Return the checked parameters of a command: the file's, with its -S overrides."""
    from anymus.params import load_params

    return load_params(path, overrides)


def write_metrics(params: "Params", name: str, report: Report) -> None:
    """Write a stage's figures to `<paths.metrics>/<name>.json`, for `dvc metrics`."""
    from anymus.files import write_json

    write_json(Path(params.paths.metrics) / f"{name}.json", report.as_metrics())


def print_report(report: Report, is_json: bool) -> None:
    """Print a report's figures: JSON on stdout if asked for, else one line a figure on stderr."""
    figures = report.as_metrics()
    if is_json:
        sys.stdout.write(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
        return
    width = max((len(name) for name in figures), default=0)
    for name, value in figures.items():
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        sys.stderr.write(f"  {name:<{width}}  {text}\n")
