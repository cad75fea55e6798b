from pathlib import Path

import pytest

from anymus.errors import ParamsError
from scrapers.sites import list_sites, load_recipe, split_selector

RECIPE = """
name: {name}
domain: photo
description: test
licence_note: test
terms_url: https://example.org/terms
start_urls: ["https://example.org/1"]
allowed_domains: [example.org]
item: li
picture: {{image: "img::attr(src)"}}
"""


def write_recipe(folder: Path, name: str = "mine", extra: str = "") -> str:
    path = folder / f"{name}.yaml"
    path.write_text(RECIPE.format(name=name) + extra, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", list_sites())
def test_shipped_recipes_load_and_say_their_terms(name: str) -> None:
    recipe = load_recipe(name)

    assert recipe.name == name
    assert recipe.terms_url
    assert recipe.licence_note


def test_unknown_site_names_the_known_ones() -> None:
    with pytest.raises(ParamsError, match="nosuch") as caught:
        load_recipe("nosuch")

    assert "manga-site" in (caught.value.hint or "")
    assert "photo-site" in (caught.value.hint or "")


def test_a_path_leads_nowhere_outside_the_shipped_recipes() -> None:
    with pytest.raises(ParamsError):
        load_recipe("../sites/photo-site")


def test_own_recipe_by_path(tmp_path: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path))

    assert recipe.allowed_domains == ("example.org",)
    assert not recipe.is_demo


@pytest.mark.parametrize(
    ("extra", "key"),
    [
        ("colour: red\n", "colour"),
        ("html: shiny\n", "html"),
        ("is_demo: 'yes'\n", "is_demo"),
        ("licences: CC0\n", "licences"),
        ("next_page: [a]\n", "next_page"),
    ],
)
def test_bad_recipe_names_the_key(tmp_path: Path, extra: str, key: str) -> None:
    with pytest.raises(ParamsError, match=key):
        load_recipe(write_recipe(tmp_path, extra=extra))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/1", "example.org"])
def test_start_urls_are_http(tmp_path: Path, url: str) -> None:
    path = Path(write_recipe(tmp_path))
    path.write_text(path.read_text().replace("https://example.org/1", url))

    with pytest.raises(ParamsError, match="start_urls"):
        load_recipe(str(path))


def test_recipe_without_allowed_domains_is_refused(tmp_path: Path) -> None:
    path = Path(write_recipe(tmp_path))
    path.write_text(path.read_text().replace("[example.org]", "[]"))

    with pytest.raises(ParamsError, match="allowed_domains"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("selector", "parts"),
    [
        ("img::attr(src)", ("img", "src")),
        ("a[rel=next]::attr(href)", ("a[rel=next]", "href")),
        ("b.title::text", ("b.title", None)),
        ("li:nth-child(2) > i", ("li:nth-child(2) > i", None)),
    ],
)
def test_split_selector(selector: str, parts: tuple[str, str | None]) -> None:
    assert split_selector(selector) == parts


def test_licence_rule_ignores_case_and_spaces(tmp_path: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path, extra="licences: [CC BY 4.0]\n"))

    assert recipe.accepts_licence(" cc  by 4.0 ")
    assert not recipe.accepts_licence("All rights reserved")
    assert not recipe.accepts_licence(None)


def test_a_recipe_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"no recipe .*musuem\.yaml"):
        load_recipe(str(tmp_path / "musuem.yaml"))
