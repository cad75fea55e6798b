"""Write docs/cli.md from the commands' own help, or check that it is up to date (--check)."""

import os
import sys
from pathlib import Path

os.environ.update(COLUMNS="100", NO_COLOR="1", TERM="dumb")

import typer
from typer.cli import get_docs_for_click

from anymus.cli import build_app

TARGET = Path(__file__).parent / "cli.md"


def main() -> None:
    """Write or check the file; exit with 1 when it is out of date."""
    command = typer.main.get_command(build_app())
    context = typer.Context(command, info_name="anymus")
    text = get_docs_for_click(obj=command, ctx=context, name="anymus", title="Commands")
    text = "\n".join(line.rstrip() for line in text.splitlines()).strip() + "\n"
    if "--check" not in sys.argv:
        TARGET.write_text(text, encoding="utf-8")
    elif not TARGET.is_file() or TARGET.read_text(encoding="utf-8") != text:
        sys.exit("docs/cli.md is out of date: run `make docs`")


if __name__ == "__main__":
    main()
