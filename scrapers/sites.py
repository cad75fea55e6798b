"""Site recipes: YAML files that say where a site's pictures and their credits are."""

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from anymus.errors import ParamsError
from anymus.manifest import Domain

SITES_FOLDER = Path(__file__).parent / "sites"
BASE_URL_MARK = "{base_url}"
RESERVED_NAMES = frozenset({"folder"})
_SELECTOR = re.compile(r"^(?P<css>.+?)(?:::attr\((?P<attribute>[\w:-]+)\)|::text)?$")


class RecipePart(BaseModel):
    """A frozen part of a recipe that knows no key but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PictureSelectors(RecipePart):
    """CSS selectors, within one item or on its page: `css`, `css::text` or `css::attr(name)`."""

    image: str = Field(description="the picture's URL, an attribute")
    title: str | None = Field(default=None, description="the picture's title")
    author: str | None = Field(default=None, description="who made it")
    licence: str | None = Field(default=None, description="the licence's name")
    licence_url: str | None = Field(default=None, description="the licence's URL, an attribute")


class Recipe(RecipePart):
    """How to collect from one site, and what its owner allows."""

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
    start_urls: tuple[str, ...] = Field(min_length=1, description="first gallery pages")
    allowed_domains: tuple[str, ...] = Field(
        min_length=1, description="hosts, with their subdomains, that may be asked"
    )
    licences: tuple[str, ...] | None = Field(
        default=None, description="accepted licences by name; null: all, by the site's terms"
    )
    default_licence: str | None = Field(
        default=None, description="licence of a picture whose page names none"
    )
    item: str = Field(description="selector of one picture's element on a gallery page")
    item_page: str | None = Field(
        default=None, description="selector, in the item, of the link to the picture's own page"
    )
    next_page: str | None = Field(default=None, description="selector of the link to the next page")
    picture: PictureSelectors

    @field_validator("start_urls")
    @classmethod
    def _check_start_urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not url.startswith(("http://", "https://", BASE_URL_MARK)):
                raise ValueError(f"{url!r} is neither http nor https")
        return urls

    @property
    def needs_demo_site(self) -> bool:
        """Say whether the embedded demo site has to run for this recipe."""
        return any(BASE_URL_MARK in url for url in self.start_urls)

    def at(self, base_url: str) -> "Recipe":
        """Return the recipe with its `{base_url}` filled in."""
        urls = tuple(url.replace(BASE_URL_MARK, base_url) for url in self.start_urls)
        terms_url = self.terms_url.replace(BASE_URL_MARK, base_url)
        return self.model_copy(update={"start_urls": urls, "terms_url": terms_url})

    def accepts_licence(self, licence: str | None) -> bool:
        """Say whether a picture under this licence may be taken."""
        if self.licences is None:
            return True
        return licence is not None and _fold(licence) in {_fold(name) for name in self.licences}


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
    if not (path.is_file() if is_path else site in list_sites()):
        raise ParamsError(
            f"no site {site!r}",
            f"known sites: {', '.join(list_sites())}; `anymus scrape folder PATH` takes a folder",
        )
    recipe = _parse_recipe(path)
    if recipe.name != path.stem or recipe.name in RESERVED_NAMES:
        raise ParamsError(f"{path}: name: {recipe.name!r}", f"call it {path.stem!r}, as its file")
    return recipe


def _parse_recipe(path: Path) -> Recipe:
    yaml = YAML(typ="safe", pure=True)
    try:
        values = yaml.load(path.read_text(encoding="utf-8"))
        # Lists become tuples only in lax mode; everything else stays strict.
        return Recipe.model_validate(_as_tuples(values))
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(
            f"{path} is not YAML: {' '.join(str(error).split())}", "mend that line"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ParamsError(f"{path}: {where}: {first['msg']}", "see docs/datasets.md") from error


def _as_tuples(values: object) -> object:
    if isinstance(values, dict):
        return {
            key: tuple(item) if isinstance(item, list) else item for key, item in values.items()
        }
    return values


def _fold(text: str) -> str:
    return " ".join(text.split()).casefold()
