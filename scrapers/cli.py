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
    from anymus.params import Params

    from .report import ScrapeReport

_PANEL = "Collect"
_FOLDER = "folder"


def register(app: typer.Typer) -> None:
    """Add the commands of this wing to the command line."""
    for command in (scrape, sites):
        app.command(rich_help_panel=_PANEL)(command)


def scrape(
    *,
    site: Annotated[
        str | None,
        typer.Argument(
            help="A site of `anymus sites`, a recipe.yaml, or `folder`; none: --domain's own site."
        ),
    ] = None,
    path: Annotated[Path | None, typer.Argument(help="With `folder`: the folder to take.")] = None,
    domain: Annotated[
        DomainName | None, typer.Option(help="With `folder`, or alone: photo or manga.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder to fill.", show_default="<paths.raw>/<domain>"),
    ] = None,
    credits_file: Annotated[
        Path | None,
        typer.Option("--credits", help="With `folder`: CSV with path, author, licence, group ..."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Most pictures; short for -S scrape.max_pictures=N.")
    ] = None,
    params: ParamsOption = DEFAULT_PARAMS,
    overrides: SetOption = None,
    is_json: JsonOption = False,
) -> None:
    """Collect pictures from a site or a folder, with where each comes from."""
    limits = [] if limit is None else [f"scrape.max_pictures={limit}"]
    resolved = resolve_params(params, [*(overrides or []), *limits])
    if site == _FOLDER:
        report = _scrape_folder(resolved, path, domain, output, credits_file)
    elif path is not None or credits_file is not None:
        raise ParamsError("PATH and --credits go with `anymus scrape folder`", "leave them out")
    else:
        report = _scrape_site(resolved, site, domain, output)
    if output is None:
        write_metrics(resolved, f"scrape_{report.domain}", report)
    print_report(report, is_json)


def sites(is_json: JsonOption = False) -> None:
    """List the sites that have a recipe, with their licences and terms."""
    from .job import PUBLIC_DEMO_URL
    from .sites import list_sites, load_recipe

    recipes = [load_recipe(name).at(PUBLIC_DEMO_URL) for name in list_sites()]
    if is_json:
        rows = [recipe.model_dump(mode="json") for recipe in recipes]
        sys.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        return
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


def _scrape_site(
    params: "Params", site: str | None, domain: DomainName | None, output: Path | None
) -> "ScrapeReport":
    from .scrape import scrape as run
    from .sites import load_recipe

    if site is None:
        if domain is None:
            raise ParamsError(
                "neither a site nor a domain is given",
                "`anymus sites` lists the sites; `--domain photo` takes scrape.sources.photo",
            )
        site = str(getattr(params.scrape.sources, domain.value))
    recipe = load_recipe(site)
    if domain is not None and recipe.domain != domain.value:
        raise ParamsError(
            f"{recipe.name} is a site of domain {recipe.domain}, not {domain.value}",
            "choose another site, or leave --domain out",
        )
    return run(params, site, output or Path(params.paths.raw) / recipe.domain)


def _scrape_folder(
    params: "Params",
    path: Path | None,
    domain: DomainName | None,
    output: Path | None,
    credits_file: Path | None,
) -> "ScrapeReport":
    from .folder import scrape_folder as run

    if path is None or domain is None:
        raise ParamsError(
            "`anymus scrape folder` needs a folder and its domain",
            "anymus scrape folder PATH --domain photo",
        )
    dst = output or Path(params.paths.raw) / domain.value
    return run(params, path, domain.value, dst, credits_file)
