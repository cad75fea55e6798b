"""Site recipes: YAML files that say where a source's pictures and their credits are."""

import re
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import quote_plus, urlsplit

import jmespath
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from anymus.errors import ParamsError
from anymus.manifest import Domain
from anymus.yaml_file import describe_first, read_yaml

SITES_FOLDER = Path(__file__).parent / "sites"
BASE_URL_MARK = "{base_url}"
QUERY_MARK = "{query}"
RESERVED_NAMES = frozenset({"folder", "list", "dvc"})
_SELECTOR = re.compile(r"^(?P<css>.+?)(?:::attr\((?P<attribute>[\w:-]+)\)|::text)?$")


class RecipePart(BaseModel):
    """A frozen part of a recipe that knows no key but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class PictureSelectors(RecipePart):
    """Where a picture's fields are.

    In a gallery CSS selectors, within one item or on its page: `css`, `css::text` or
    `css::attr(name)`. In an API JMESPath expressions within one item.
    """

    image: str = Field(description="the picture's URL; in a gallery an attribute")
    title: str | None = Field(default=None, description="the picture's title")
    author: str | None = Field(default=None, description="who made it")
    licence: str | None = Field(default=None, description="the licence's name")
    licence_url: str | None = Field(default=None, description="the licence's URL")
    page_url: str | None = Field(default=None, description="in an API: the page for people")

    @cached_property
    def named(self) -> tuple[tuple[str, str], ...]:
        """Return the fields that are given, with their selectors."""
        return tuple(self.model_dump(exclude_none=True).items())


class ApiPaging(RecipePart):
    """How the next page of a JSON answer is asked for: one of the three."""

    merge: str | None = Field(
        default=None, description="JMESPath of an object whose members join the query (MediaWiki)"
    )
    page: str | None = Field(default=None, description="query parameter that counts pages")
    last: str | None = Field(
        default=None, description="with `page`: JMESPath of the number of the last page"
    )
    url: str | None = Field(default=None, description="JMESPath of the next page's URL")

    @model_validator(mode="after")
    def _check_one(self) -> "ApiPaging":
        if sum(value is not None for value in (self.merge, self.page, self.url)) != 1:
            raise ValueError("give one of merge, page, url")
        if (self.page is None) != (self.last is None):
            raise ValueError("`page` and `last` go together")
        return self


class Api(RecipePart):
    """A JSON source: where its items are and how its pages follow each other."""

    items: str = Field(description="JMESPath of the list, or object, of items")
    paging: ApiPaging | None = Field(default=None, description="null: there is one page")
    offered_at: str | None = Field(
        default=None,
        description="page on which the owner offers this API to programs; robots.txt, which speaks"
        " to crawlers, is then not asked about the API's own address; it is about all else",
    )


class Pace(RecipePart):
    """A faster pace than `scrape.delay_s` and one request at a time, which the owner allows."""

    delay_s: float = Field(ge=0, description="least time between two requests, seconds")
    concurrency: int = Field(ge=1, le=32, description="most requests at a time")
    allowed_by: str = Field(min_length=1, description="where, or by whom, the owner allows it")


class Recipe(RecipePart):
    """How to collect from one source, and what its owner allows.

    Exactly one of `item` (an HTML gallery), `api` (JSON) and `list` (a file of URLs) is given.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="the file's name without .yaml")
    domain: Domain = Field(description="photo or manga")
    description: str = Field(description="one line for `anymus sites`")
    licence_note: str = Field(description="what the pictures' licences are, one line")
    terms_url: str = Field(description="where the owner's terms are")
    is_demo: bool = Field(
        default=False,
        description="served on this machine: only loopback addresses, fixed fetched_at, no contact",
    )
    html: Literal["tidy", "untidy"] = Field(
        default="tidy", description="untidy: tags left open, so items may lie within items"
    )
    start_urls: tuple[str, ...] = Field(default=(), description="first gallery or API pages")
    query: str | None = Field(
        default=None, description="what `{query}` in the start URLs stands for by default"
    )
    allowed_domains: tuple[str, ...] = Field(
        min_length=1, description="hosts, with their subdomains, that may be asked"
    )
    pace: Pace | None = Field(default=None, description="null: scrape.delay_s, one at a time")
    licences: tuple[str, ...] | None = Field(
        default=None, description="accepted licences by name; null: all, by the site's terms"
    )
    default_licence: str | None = Field(
        default=None, description="licence of a picture whose page names none"
    )
    item: str | None = Field(
        default=None, description="selector of one picture's element on a gallery page"
    )
    item_page: str | None = Field(
        default=None, description="selector, in the item, of the link to the picture's own page"
    )
    next_page: str | None = Field(default=None, description="selector of the link to the next page")
    api: Api | None = Field(default=None, description="for a JSON source instead of `item`")
    list: str | None = Field(
        default=None,
        description="for a txt, csv, jsonl or parquet file of URLs instead of `item`",
    )
    picture: PictureSelectors | None = Field(default=None, description="where its fields are")

    @field_validator("start_urls")
    @classmethod
    def _check_start_urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not url.startswith(("http://", "https://", BASE_URL_MARK)):
                raise ValueError(f"{url!r} is neither http nor https")
        return urls

    @field_validator("allowed_domains")
    @classmethod
    def _check_domains(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        for domain in domains:
            if "/" in domain or not domain.strip():
                raise ValueError(f"{domain!r} is no host name")
        return domains

    @model_validator(mode="after")
    def _check_kind(self) -> "Recipe":
        if sum(part is not None for part in (self.item, self.api, self.list)) != 1:
            raise ValueError("give one of item (a gallery), api (JSON) and list (a file of URLs)")
        if self.list is None and not (self.start_urls and self.picture):
            raise ValueError("a gallery and an API need start_urls and picture")
        if (self.query is None) == any(QUERY_MARK in url for url in self.start_urls):
            raise ValueError("`query` and a {query} in start_urls go together")
        if self.api is not None and self.picture is not None:
            _check_expressions(self.api, self.picture)
        return self

    @property
    def kind(self) -> Literal["gallery", "api", "list"]:
        """Return what kind of source it is."""
        return "gallery" if self.item else "api" if self.api else "list"

    @property
    def selectors(self) -> PictureSelectors:
        """Return the selectors of a gallery or an API."""
        assert self.picture is not None
        return self.picture

    @property
    def needs_demo_site(self) -> bool:
        """Say whether the embedded demo site has to run for this recipe."""
        return any(BASE_URL_MARK in url for url in self.start_urls)

    def at(self, base_url: str) -> "Recipe":
        """Return the recipe with its `{base_url}` filled in."""
        urls = tuple(url.replace(BASE_URL_MARK, base_url) for url in self.start_urls)
        terms_url = self.terms_url.replace(BASE_URL_MARK, base_url)
        return self.model_copy(update={"start_urls": urls, "terms_url": terms_url})

    def asked_for(self, query: str | None) -> "Recipe":
        """Return the recipe with its `{query}` filled in; None: with its own words.

        Raises:
            ParamsError: Words were given to a recipe without `{query}`.
        """
        if self.query is None:
            if query is not None:
                raise ParamsError(
                    f"{self.name} has no {{query}}: it always collects the same pages",
                    "leave --query out, or see `anymus sites` for one that has",
                )
            return self
        words = quote_plus(query if query is not None else self.query)
        urls = tuple(url.replace(QUERY_MARK, words) for url in self.start_urls)
        return self.model_copy(update={"start_urls": urls, "query": None})

    def is_api_address(self, url: str) -> bool:
        """Say whether a URL is the address of an API that its owner offers to programs."""
        if self.api is None or self.api.offered_at is None:
            return False
        return any(url.partition("?")[0] == start.partition("?")[0] for start in self.start_urls)

    def accepts_licence(self, licence: str | None) -> bool:
        """Say whether a picture under this licence may be taken."""
        if self.licences is None:
            return True
        return licence is not None and _fold(licence) in {_fold(name) for name in self.licences}


@lru_cache
def split_selector(selector: str) -> tuple[str, str | None]:
    """Return the CSS and the attribute's name (None: the text) of `css::attr(name)`."""
    match = _SELECTOR.match(selector.strip())
    if match is None:
        return selector, None
    return match["css"], match["attribute"]


def list_sites() -> list[str]:
    """Return the names of the shipped recipes."""
    return sorted(path.stem for path in SITES_FOLDER.glob("*.yaml"))


def load_recipe(site: str) -> Recipe:
    """Return the recipe of a shipped site, or of a YAML file if `site` ends in .yaml.

    Raises:
        ParamsError: There is no such recipe, or it is not valid; the key is in the message.
    """
    is_path = site.endswith((".yaml", ".yml"))
    path = Path(site) if is_path else SITES_FOLDER / f"{site}.yaml"
    if is_path and not path.is_file():
        raise ParamsError(f"no recipe {site}", "docs/scraping.md shows one in ten lines")
    if not is_path and site not in list_sites():
        raise ParamsError(
            f"no site {site!r}",
            f"known sites: {', '.join(list_sites())}; `anymus scrape folder PATH` takes a folder",
        )
    recipe = _parse_recipe(path)
    if recipe.name != path.stem or recipe.name in RESERVED_NAMES:
        raise ParamsError(f"{path}: name: {recipe.name!r}", f"call it {path.stem!r}, as its file")
    if recipe.list is not None:
        return recipe.model_copy(update={"list": str((path.parent / recipe.list).absolute())})
    return recipe


def list_recipe(path: Path, domain: Domain, urls: "list[str]") -> Recipe:
    """Return the recipe of a bare list of URLs: its hosts are those of the URLs."""
    hosts = sorted({urlsplit(url).hostname or "" for url in urls} - {""})
    return Recipe(
        name="list",
        domain=domain,
        description=f"the URLs of {path.name}",
        licence_note="as the list says",
        terms_url="the terms of each site",
        allowed_domains=tuple(hosts) or ("nowhere.invalid",),
        list=str(path.absolute()),
    )


def _parse_recipe(path: Path) -> Recipe:
    values = read_yaml(path)
    try:
        # Lists become tuples only in lax mode; everything else stays strict.
        return Recipe.model_validate(_as_tuples(values))
    except ValidationError as error:
        raise ParamsError(describe_first(path, error), "see docs/scraping.md") from error


def _check_expressions(api: Api, picture: PictureSelectors) -> None:
    paging = api.paging or ApiPaging(url="@")
    named = {"items": api.items, **picture.model_dump(exclude_none=True)}
    named |= {name: getattr(paging, name) or "@" for name in ("merge", "last", "url")}
    for name, expression in named.items():
        try:
            jmespath.compile(expression)
        except jmespath.exceptions.JMESPathError as error:
            text = " ".join(str(error).split())
            raise ValueError(f"{name}: {expression!r} is no JMESPath: {text}") from error


def _as_tuples(values: object) -> object:
    if isinstance(values, dict):
        return {
            key: tuple(item) if isinstance(item, list) else item for key, item in values.items()
        }
    return values


def _fold(text: str) -> str:
    return " ".join(text.split()).casefold()
