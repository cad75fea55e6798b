"""The roof: `anymus` mounts every wing's commands, sets up logging, turns errors into codes."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from anymus.errors import AnymusError
from anymus.progress import log, set_up_logging

WINGS = ("scrapers", "curation", "training", "inference")

app = typer.Typer(
    name="anymus",
    help="Photo face to manga face: collect, curate, train, use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def _global_options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say warnings only.")] = False,
) -> None:
    set_up_logging(is_verbose=verbose, is_quiet=quiet)


def build_app() -> typer.Typer:
    """Return the application with the commands of all wings mounted."""
    _refuse_foreign_wings()
    if not app.registered_commands:
        import curation.cli
        import inference.cli
        import scrapers.cli
        import training.cli
        from anymus import params_cli

        scrapers.cli.register(app)
        curation.cli.register(app)
        training.cli.register(app)
        inference.cli.register(app)
        params_cli.register(app)
    return app


def main() -> None:
    """Run the command line and exit with the code of docs/errors.md."""
    set_up_logging(is_verbose=False, is_quiet=False)
    try:
        build_app()()
    except AnymusError as error:
        log.error("error: %s", error.message)
        if error.hint:
            log.error("hint: %s", error.hint)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        log.error("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


def _refuse_foreign_wings() -> None:
    """Stop when another distribution owns the import name of a wing."""
    home = Path(__file__).resolve().parent.parent
    for wing in WINGS:
        spec = find_spec(wing)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        if found is None or found.parent != home / wing:
            raise AnymusError(
                f"the package {wing!r} comes from {found}, not from {home / wing}",
                "install Anymus in a virtual environment of its own (`make setup`)",
            )


if __name__ == "__main__":
    main()
