"""Commands over the parameters: show them, or take a preset."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from anymus.options import DEFAULT_PARAMS, ParamsOption, SetOption, resolve_params


def register(app: typer.Typer) -> None:
    """Add `anymus params` to the command line."""
    params_app = typer.Typer(help="Show the parameters, or write those of a preset.")
    params_app.command("show")(show)
    params_app.command("use")(use)
    app.add_typer(params_app, name="params", rich_help_panel="Run")


def show(params: ParamsOption = DEFAULT_PARAMS, overrides: SetOption = None) -> None:
    """Print every parameter with its value, bounds and meaning."""
    from anymus.params import Params, describe_fields

    resolved = resolve_params(params, overrides)
    for key_path, kind, description in describe_fields(Params):
        value: object = resolved
        for key in key_path.split("."):
            value = getattr(value, key)
        sys.stdout.write(f"{key_path} = {value!r}  # {kind}: {description}\n")


def use(
    preset: Annotated[
        str, typer.Argument(help="Name of a preset: demo, small, light, paper or seed.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write.")] = DEFAULT_PARAMS,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that differs.")] = False,
) -> None:
    """Write a preset as params.yaml."""
    from anymus.errors import ParamsError
    from anymus.files import write_text
    from anymus.params import list_presets, read_preset

    text = read_preset(preset)
    if output.exists() and not force:
        current = output.read_text(encoding="utf-8")
        if current not in {read_preset(name) for name in list_presets()}:
            raise ParamsError(f"{output} holds changes of yours", "add --force to replace it")
    write_text(output, text)
    sys.stderr.write(f"{output} now holds the preset {preset}\n")
