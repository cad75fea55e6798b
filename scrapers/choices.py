"""From what a person typed to the collection that it means."""

from dataclasses import dataclass
from pathlib import Path

from anymus.errors import ParamsError
from anymus.manifest import Domain, ImageRecord
from anymus.params import Params

from .report import ScrapeReport
from .sites import RESERVED_NAMES, Recipe, list_recipe, load_recipe
from .url_list import read_urls


@dataclass(frozen=True, slots=True)
class Choice:
    """The arguments of `anymus scrape`."""

    site: str | None
    path: str | None
    domain: Domain | None
    output: Path | None
    credits_file: Path | None
    folder: str | None
    rev: str | None

    def domain_of(self, params: Params) -> Domain:
        """Return the domain that this collection fills."""
        if self.site in RESERVED_NAMES or self.site is None:
            if self.domain is None:
                raise ParamsError(
                    "neither a site nor a domain is given"
                    if self.site is None
                    else f"`anymus scrape {self.site}` needs a {_NEEDS[self.site]} and its domain",
                    "`anymus sites` lists the sites; `--domain photo` takes scrape.sources.photo"
                    if self.site is None
                    else f"anymus scrape {self.site} {_NEEDS[self.site].upper()} --domain photo",
                )
            return self.domain
        return _recipe_of(params, self).domain

    def destination(self, params: Params) -> Path:
        """Return the folder to fill."""
        return self.output or Path(params.paths.raw) / self.domain_of(params)


_NEEDS = {"folder": "folder", "list": "file", "dvc": "repository"}


def collect(params: Params, choice: Choice, *, is_refresh: bool = False) -> ScrapeReport:
    """Run the collection that a choice means and return its report.

    Raises:
        AnymusError: As the source's own function.
    """
    from .dvc_source import scrape_dvc
    from .folder import scrape_folder
    from .scrape import scrape

    _require_fitting(choice)
    domain, dst = choice.domain_of(params), choice.destination(params)
    if choice.site in ("folder", "dvc") and choice.path is None:
        raise ParamsError(
            f"`anymus scrape {choice.site}` needs a {_NEEDS[choice.site]} and its domain",
            f"anymus scrape {choice.site} {_NEEDS[choice.site].upper()} --domain photo",
        )
    if choice.site == "folder":
        return scrape_folder(params, Path(str(choice.path)), domain, dst, choice.credits_file)
    if choice.site == "dvc":
        folder = choice.folder or f"data/raw/{domain}"
        return scrape_dvc(params, str(choice.path), folder, domain, dst, choice.rev)
    return scrape(params, _recipe_of(params, choice), dst, is_refresh=is_refresh)


def list_ahead(params: Params, choice: Choice) -> list[ImageRecord]:
    """Return what the collection would do with each picture, without fetching any.

    Raises:
        ParamsError: The source is local: nothing is fetched from it.
        AnymusError: As the crawl.
    """
    from .scrape import dry_run

    _require_fitting(choice)
    if choice.site in ("folder", "dvc"):
        raise ParamsError("--dry-run is about what a crawl would fetch", "leave it out")
    return dry_run(params, _recipe_of(params, choice), choice.destination(params))


def _recipe_of(params: Params, choice: Choice) -> Recipe:
    if choice.site == "list":
        if choice.path is None or choice.domain is None:
            raise ParamsError(
                "`anymus scrape list` needs a file and its domain",
                "anymus scrape list URLS.csv --domain photo",
            )
        path = Path(choice.path)
        return list_recipe(path, choice.domain, [line.url for line in read_urls(path)])
    site = choice.site
    if site is None:
        site = str(getattr(params.scrape.sources, choice.domain_of(params)))
    recipe = load_recipe(site)
    if choice.domain is not None and recipe.domain != choice.domain:
        raise ParamsError(
            f"{recipe.name} is a site of domain {recipe.domain}, not {choice.domain}",
            "choose another site, or leave --domain out",
        )
    return recipe


def _require_fitting(choice: Choice) -> None:
    """Refuse arguments that the source would ignore."""
    if choice.path is not None and choice.site not in RESERVED_NAMES:
        raise ParamsError("PATH goes with `anymus scrape folder`, `list` and `dvc`", "leave it out")
    if choice.credits_file is not None and choice.site != "folder":
        raise ParamsError("--credits goes with `anymus scrape folder`", "leave it out")
    if (choice.folder is not None or choice.rev is not None) and choice.site != "dvc":
        raise ParamsError("--from and --rev go with `anymus scrape dvc`", "leave them out")
