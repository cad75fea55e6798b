"""What the commands of this wing print: tables on stderr, or JSON on stdout."""

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING

from anymus.manifest import ImageRecord

from .page import PAGE_NAME
from .report import ScrapeReport

if TYPE_CHECKING:
    from rich.table import Table

    from .check import SiteCheck
    from .forget import Forgotten

_LISTED = 20


def print_summary(report: ScrapeReport, *, is_json: bool) -> None:
    """Print a collection's figures: what was kept, by licence, and what was not, by reason."""
    if is_json:
        _print_json(report.as_metrics())
        return
    from rich.markup import escape

    table = _table("kept", "pictures")
    for licence, count in sorted(report.licences.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(escape(licence), str(count))
    table.add_row("[bold]all kept", f"[bold]{report.pictures}")
    _print(table)
    if report.rejected:
        sys.stderr.write("\n")
        table = _table("left out, by reason", "pictures")
        for reason, count in report.rejected.items():
            table.add_row(reason, str(count))
        _print(table)
    fetched = "" if report.fetched is None else f", {report.fetched} fetched in this run"
    shards = f" in {report.shards} tar shards" if report.shards else ""
    sys.stderr.write("\n")
    lines = [
        f"{report.size_bytes / 1e6:.1f} MB{shards}, {report.pages} pages, "
        f"{report.authors} authors{fetched}",
        f"look at {report.folder / PAGE_NAME}",
    ]
    if not report.is_complete:
        lines.insert(0, "a budget was spent: there is more (scrape.max_*)")
    sys.stderr.write("\n".join(lines) + "\n")


def print_ahead(rows: list[ImageRecord], *, is_json: bool) -> None:
    """Print what a crawl would do with each picture."""
    if is_json:
        for row in rows:
            line = {"url": row.url, "page_url": row.page_url, "licence": row.licence}
            sys.stdout.write(json.dumps(line | {"what": row.reason}, ensure_ascii=False) + "\n")
        return
    counts = Counter(row.reason or "" for row in rows)
    table = _table("what would happen", "pictures")
    for reason, count in counts.most_common():
        table.add_row(reason, str(count))
    _print(table)
    ahead = [row for row in rows if row.reason == "would_fetch"]
    for row in ahead[:_LISTED]:
        sys.stdout.write(f"{row.url}\n")
    if len(ahead) > _LISTED:
        sys.stderr.write(f"and {len(ahead) - _LISTED} more: --json lists all\n")


def print_check(found: "SiteCheck", *, is_json: bool) -> None:
    """Print what each selector of a recipe finds on one page."""
    if is_json:
        _print_json(found.as_json())
        return
    from rich.markup import escape

    table = _table("key", "selector", "found", "first value")
    for line in found.lines:
        count = f"{line.found} of {line.of}"
        table.add_row(line.key, escape(line.selector), count, escape((line.first or "-")[:120]))
    sys.stderr.write(f"{found.url}\n")
    for note in found.notes:
        sys.stderr.write(f"{note}\n")
    _print(table)


def print_forgotten(forgotten: "Forgotten", *, is_json: bool) -> None:
    """Print what was removed, and what may still hold it."""
    if is_json:
        _print_json(forgotten.as_json())
        return
    from rich.markup import escape

    verb = "would be removed" if forgotten.is_dry else "removed"
    table = _table(verb, "files", "rows")
    for place in forgotten.places:
        table.add_row(escape(place.path), str(place.files), str(place.rows))
    _print(table)
    for line in forgotten.remarks:
        sys.stderr.write(f"{line}\n")


def _table(*titles: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in titles:
        is_number = title in ("pictures", "files", "rows")
        table.add_column(title, justify="right" if is_number else "left", overflow="fold")
    return table


def _print(table: "Table") -> None:
    from rich.console import Console

    Console(stderr=True).print(table)


def _print_json(values: object) -> None:
    sys.stdout.write(json.dumps(values, indent=2, ensure_ascii=False) + "\n")
