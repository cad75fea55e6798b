"""Commands over the data set as a whole: `anymus dataset diff`."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anymus.options import DEFAULT_PARAMS, JsonOption, ParamsOption, SetOption, resolve_params

if TYPE_CHECKING:
    from anymus.params import Params

    from .diff import DatasetDiff
    from .snapshot import Snapshot


def register(app: typer.Typer) -> None:
    """Add `anymus dataset` to the command line."""
    dataset_app = typer.Typer(help="Look at the data set as a whole.", no_args_is_help=True)
    dataset_app.command("diff")(diff)
    dataset_app.callback()(_group)
    app.add_typer(dataset_app, name="dataset", rich_help_panel="Curate")


def _group() -> None:
    """Look at the data set as a whole."""


def diff(
    rev1: Annotated[str, typer.Argument(help="Earlier tag, branch or commit.")],
    rev2: Annotated[str | None, typer.Argument(help="Later one; none: the working tree.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page that shows the faces.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="Most faces listed; --json lists them all.")
    ] = 30,
    params: ParamsOption = DEFAULT_PARAMS,
    overrides: SetOption = None,
    is_json: JsonOption = False,
) -> None:
    """Say which faces came, went or moved between two revisions of the data set, and why."""
    from .diff import diff as run

    resolved = resolve_params(params, overrides)
    with _snapshots(resolved, params, rev1, rev2) as (before, after):
        found = run(before, after)
        if html is not None:
            from .diff_page import write_page

            write_page(found, before, after, resolved.report, html)
    if is_json:
        sys.stdout.write(json.dumps(found.as_json(), indent=2, ensure_ascii=False) + "\n")
    else:
        _print(found, limit)


@contextmanager
def _snapshots(
    resolved: "Params", path: Path, rev1: str, rev2: str | None
) -> Iterator[tuple["Snapshot", "Snapshot"]]:
    import tempfile

    from .snapshot import take_revision, take_working_tree

    with tempfile.TemporaryDirectory(prefix="anymus-diff-") as scratch:
        before = take_revision(rev1, path, Path(scratch) / "before")
        if rev2 is None:
            yield before, take_working_tree(resolved.model_dump(mode="json"))
        else:
            yield before, take_revision(rev2, path, Path(scratch) / "after")


def _print(found: "DatasetDiff", limit: int) -> None:
    """Print counts as a table on stderr and the changes, one a line, on stdout."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(stderr=True)
    console.print(
        f"{found.before} to {found.after}: {found.faces_before} faces before,"
        f" {found.faces_after} after, {len(found.changes)} changes",
        highlight=False,
        markup=False,
    )
    table = Table(box=None, pad_edge=False)
    for title in ("change", "domain", "part", "why", "faces"):
        table.add_column(title, justify="right" if title == "faces" else "left", overflow="fold")
    for (kind, domain, where, reason), count in found.counts().items():
        table.add_row(kind, domain, where, escape(reason), str(count))
    if found.changes:
        console.print(table)
    for change in found.changes[:limit]:
        detail = f": {change.detail}" if change.detail else ""
        line = f"{change.kind} {change.where} {change.id[:12]} {change.reason}{detail}"
        sys.stdout.write(line.encode("utf-8", "backslashreplace").decode() + "\n")
    if len(found.changes) > limit:
        sys.stderr.write(f"and {len(found.changes) - limit} more: --json lists all\n")
