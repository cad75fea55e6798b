"""Commands of the scraping wing."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anymus.errors import ParamsError
from anymus.options import (
    DEFAULT_PARAMS,
    DomainName,
    JsonOption,
    ParamsOption,
    SetOption,
    print_report,
    resolve_params,
    write_metrics,
)

if TYPE_CHECKING:
    from .sites import Recipe

_PANEL = "Collect"

sites_app = typer.Typer(invoke_without_command=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this wing to the command line."""
    for command in (scrape, draw, forget):
        app.command(rich_help_panel=_PANEL)(command)
    app.add_typer(sites_app, name="sites", rich_help_panel=_PANEL)


def scrape(
    *,
    site: Annotated[
        str | None,
        typer.Argument(
            help="A site of `anymus sites`, a recipe.yaml, or `folder`, `list` or `dvc`;"
            " none: --domain's own site."
        ),
    ] = None,
    path: Annotated[
        str | None,
        typer.Argument(
            help="With `folder`: the folder to take. With `list`: a txt, csv, jsonl or parquet file"
            " of URLs. With `dvc`: a repository's URL or path."
        ),
    ] = None,
    domain: Annotated[
        DomainName | None,
        typer.Option(help="With `folder`, `list`, `dvc`, or alone: photo or manga."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder to fill.", show_default="<paths.raw>/<domain>"),
    ] = None,
    query: Annotated[
        str | None,
        typer.Option(help="Words for a site's {query}; short for -S scrape.queries.DOMAIN=WORDS."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Most pictures; short for -S scrape.max_pictures=N.")
    ] = None,
    is_dry: Annotated[
        bool, typer.Option("--dry-run", help="Read the pages, list the pictures, fetch none.")
    ] = False,
    is_refresh: Annotated[
        bool, typer.Option("--refresh", help="Ask whether what is there already has changed.")
    ] = False,
    credits_file: Annotated[
        Path | None,
        typer.Option("--credits", help="With `folder`: CSV with path, author, licence, group ..."),
    ] = None,
    folder: Annotated[
        str | None, typer.Option("--from", help="With `dvc`: the folder in the repository.")
    ] = None,
    rev: Annotated[
        str | None, typer.Option(help="With `dvc`: a tag, branch or commit; none: as it is now.")
    ] = None,
    params: ParamsOption = DEFAULT_PARAMS,
    overrides: SetOption = None,
    is_json: JsonOption = False,
) -> None:
    """Collect pictures from a site, a list, a folder or a DVC repository, with their origins.

    A crawl that was stopped goes on where it was when it is run again.
    """
    from .choices import Choice, collect, list_ahead
    from .summary import print_ahead, print_summary

    settings = [] if limit is None else [f"scrape.max_pictures={limit}"]
    choice = Choice(site, path, domain.value if domain else None, output, credits_file, folder, rev)
    if query is not None:
        loaded = resolve_params(params, overrides)
        settings.append(f"scrape.queries.{choice.domain_of(loaded)}={json.dumps(query)}")
    resolved = resolve_params(params, [*(overrides or []), *settings])
    if is_dry:
        print_ahead(list_ahead(resolved, choice), is_json=is_json)
        return
    report = collect(resolved, choice, is_refresh=is_refresh)
    if output is None:
        write_metrics(resolved, f"scrape_{report.domain}", report)
    print_summary(report, is_json=is_json)


def draw(
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to fill.")],
    count: Annotated[int, typer.Option(min=1, help="How many portraits.")] = 500,
    shares: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML: how often each trait occurs, such as `glasses: {none: 7, round: 3}`.",
            show_default="as in portrait photographs",
        ),
    ] = None,
    has_twins: Annotated[
        bool,
        typer.Option("--twins", help="Draw each person twice: in photo/ like a photo, in manga/."),
    ] = False,
    is_on_paper: Annotated[
        bool, typer.Option("--paper", help="Draw on white paper, without shadows on faces.")
    ] = False,
    params: ParamsOption = DEFAULT_PARAMS,
    overrides: SetOption = None,
    is_json: JsonOption = False,
) -> None:
    """Draw a folder of manga portraits in ink and greys, free to use, for `scrape folder`."""
    from anymus.drawing.shares import load_shares

    from .draw import draw_folder, draw_twins_folder

    resolved = resolve_params(params, overrides)
    if has_twins and shares is not None:
        raise ParamsError("twins are drawn without --shares", "leave --shares out")
    if has_twins and is_on_paper:
        raise ParamsError("twins are on paper without --paper", "leave --paper out")
    if has_twins:
        print_report(draw_twins_folder(resolved, output, count), is_json)
        return
    chosen = None if shares is None else load_shares(shares)
    print_report(draw_folder(resolved, output, count, chosen, is_on_paper=is_on_paper), is_json)


@sites_app.callback()
def sites(context: typer.Context, is_json: JsonOption = False) -> None:
    """List the sites that have a recipe, with their licences and terms; `check` tries one."""
    if context.invoked_subcommand is not None:
        return
    from .job import PUBLIC_DEMO_URL
    from .sites import list_sites, load_recipe

    recipes = [load_recipe(name).at(PUBLIC_DEMO_URL) for name in list_sites()]
    if is_json:
        rows = [recipe.model_dump(mode="json") for recipe in recipes]
        sys.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        return
    _print_sites(recipes)


@sites_app.command()
def check(
    name: Annotated[str, typer.Argument(help="A site of `anymus sites`, or a recipe.yaml.")],
    url: Annotated[
        str | None, typer.Option(help="Another page of the site than its first.")
    ] = None,
    params: ParamsOption = DEFAULT_PARAMS,
    overrides: SetOption = None,
    is_json: JsonOption = False,
) -> None:
    """Fetch one page of a site and show what each selector of its recipe finds."""
    from .check import check_site
    from .summary import print_check

    found = check_site(resolve_params(params, overrides), name, url)
    print_check(found, is_json=is_json)
    found.require_matches()


def forget(
    what: Annotated[str, typer.Argument(help="A picture's URL, its SHA-256, or an author's name.")],
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    params: ParamsOption = DEFAULT_PARAMS,
    overrides: SetOption = None,
    is_json: JsonOption = False,
) -> None:
    """Remove a picture, or all of an author, with all that was made of it; never take it again."""
    from .forget import forget as run
    from .summary import print_forgotten

    forgotten = run(resolve_params(params, overrides), what, is_dry=is_dry)
    print_forgotten(forgotten, is_json=is_json)


def _print_sites(recipes: "list[Recipe]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("site", "domain", box=None)
    for title in ("what", "licences", "terms"):
        table.add_column(title, overflow="fold")
    for recipe in recipes:
        table.add_row(
            recipe.name, recipe.domain, recipe.description, recipe.licence_note, recipe.terms_url
        )
    Console().print(table)
