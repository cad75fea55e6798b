import socket
from pathlib import Path

import pytest

from scrapers.addresses import find_refusal, may_dial, open_socket
from scrapers.opt_outs import find_opt_out_in_headers, find_opt_out_in_page
from scrapers.refusals import RefusedRequestError
from scrapers.robots import MAX_ROBOTS_BYTES, read_robots
from scrapers.sites import Recipe, load_recipe
from scrapers.spiders.reading import read_fields, read_page

UNTIDY = """
<html><body><h1>Drawings
<div class=drawing><p><img class=full src=/1.jpg><p><b class=title>One</b>
<a class=licence href=/l1>CC0 1.0</a>
<div class=drawing><p><img class=full src=/2.jpg><p><b class=title>Two <i>and a half</b>
by <i class=author>Second</i> <a class=licence href=/l2>CC BY 4.0</a>
<div class=drawing><p><b class=title>No picture
<p><a class=next href=/2>more</a>
"""


@pytest.fixture
def untidy() -> Recipe:
    return load_recipe("manga-site")


def test_unclosed_items_keep_their_fields_apart(untidy: Recipe) -> None:
    page = read_page(UNTIDY, untidy)
    rows = [read_fields(item, untidy.selectors) for item in page.split(untidy.item)]

    assert [row["image"] for row in rows] == ["/1.jpg", "/2.jpg", None]
    assert [row["author"] for row in rows] == [None, "Second", None]
    assert [row["licence"] for row in rows] == ["CC0 1.0", "CC BY 4.0", None]
    assert rows[0]["title"] == "One"
    assert page.find("a.next::attr(href)") == "/2"


def test_the_same_page_read_as_tidy_mixes_the_authors(untidy: Recipe) -> None:
    """Shows that the untidy reader is needed: Scrapy's selectors find the next item's author."""
    tidy = untidy.model_copy(update={"html": "tidy"})
    first = read_page(UNTIDY, tidy).split(untidy.item)[0]

    assert first.find("i.author") == "Second"


def test_text_is_cleaned_and_empty_text_is_none() -> None:
    recipe = load_recipe("photo-site")
    page = read_page("<p class=a>\n two \n <b>words</b></p><p class=b> </p>", recipe)

    assert page.find("p.a") == "two words"
    assert page.find("p.b") is None
    assert page.find("p.c::attr(id)") is None


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (("x-robots-tag", "noai"), "opt_out_noai"),
        (("x-robots-tag", "NoImageAI, nofollow"), "opt_out_noimageai"),
        (("x-robots-tag", "anymus: noai"), "opt_out_noai"),
        (("x-robots-tag", "otherbot: noai"), None),
        (("x-robots-tag", "otherbot: noai, noindex"), None),
        (("x-robots-tag", "unavailable_after: 25 Jun 2010, noai"), "opt_out_noai"),
        (("x-robots-tag", "noindex"), "opt_out_noindex"),
        (("x-robots-tag", "none"), "opt_out_none"),
        (("x-robots-tag", "all"), None),
        (("tdm-reservation", "1"), "opt_out_tdm"),
        (("tdm-reservation", "0"), None),
        (("content-usage", "train-ai=n"), "opt_out_train_ai"),
        (("content-usage", "train-ai=y"), None),
    ],
)
def test_opt_out_headers_of_a_picture(header: tuple[str, str], reason: str | None) -> None:
    assert find_opt_out_in_headers([header], is_picture=True) == reason


def test_noindex_of_a_page_says_nothing_about_its_pictures() -> None:
    header = ("x-robots-tag", "noindex")

    assert find_opt_out_in_headers([header], is_picture=False) is None


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        ('<meta name="robots" content="noai">', "opt_out_noai"),
        ('<META NAME=ROBOTS CONTENT="index, NOIMAGEAI">', "opt_out_noimageai"),
        ('<meta name="anymus" content="noml">', "opt_out_noml"),
        ('<meta name="tdm-reservation" content="1">', "opt_out_tdm"),
        ('<meta name="robots" content="index, follow">', None),
        ("<p>robots say noai</p>", None),
    ],
)
def test_opt_out_meta_tags(html: str, reason: str | None) -> None:
    assert find_opt_out_in_page(html) == reason


@pytest.mark.parametrize(
    ("status", "path", "refusal"),
    [
        (200, "/private/x", "robots"),
        (200, "/public/x", None),
        (404, "/private/x", None),
        (403, "/private/x", None),
        (429, "/public/x", "robots_unavailable"),
        (500, "/public/x", "robots_unavailable"),
        (503, "/public/x", "robots_unavailable"),
    ],
)
def test_robots_by_status(status: int, path: str, refusal: str | None) -> None:
    rules = read_robots(status, b"User-agent: *\nDisallow: /private/\n")

    assert rules.find_refusal(f"http://example.org{path}") == refusal


def test_robots_own_group_comes_before_the_general_one() -> None:
    text = b"User-agent: *\nDisallow: /\n\nUser-agent: anymus\nDisallow: /no\nAllow: /no/but\n"
    rules = read_robots(200, text)

    assert rules.find_refusal("http://example.org/yes") is None
    assert rules.find_refusal("http://example.org/no") == "robots"
    assert rules.find_refusal("http://example.org/no/but") is None


def test_robots_is_read_up_to_its_limit() -> None:
    text = b"User-agent: *\nDisallow: /a\n" + b"#" * MAX_ROBOTS_BYTES + b"\nDisallow: /b\n"
    rules = read_robots(200, text)

    assert rules.find_refusal("http://example.org/a") == "robots"
    assert rules.find_refusal("http://example.org/b") is None


@pytest.mark.parametrize(
    ("address", "for_sites", "for_demo"),
    [
        ("93.184.216.34", True, False),
        ("127.0.0.1", False, True),
        ("::1", False, True),
        ("10.0.0.1", False, False),
        ("169.254.169.254", False, False),
        ("192.168.1.1", False, False),
        ("0.0.0.0", False, False),
        ("100.64.0.1", False, False),
        ("fd00::1", False, False),
        ("224.0.0.1", False, False),
    ],
)
def test_which_addresses_may_be_dialled(address: str, for_sites: bool, for_demo: bool) -> None:
    assert may_dial(address, is_demo=False) == for_sites
    assert may_dial(address, is_demo=True) == for_demo


def test_recipe_file_names_are_their_sites_names() -> None:
    folder = Path(__file__).parent.parent / "scrapers" / "sites"

    assert all(load_recipe(path.stem).name == path.stem for path in folder.glob("*.yaml"))


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "127.0.0.1", "100.64.0.1"])
def test_no_socket_is_made_for_an_address_that_is_not_public(address: str) -> None:
    found = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 80))

    with pytest.raises(RefusedRequestError, match="private_address"):
        open_socket(found, is_demo=False)


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "127.1", "0", "[::1]", "0x0a.0.0.1"])
def test_an_address_is_one_however_it_is_spelt(host: str) -> None:
    recipe = load_recipe("commons-photo")

    assert find_refusal(recipe, f"http://{host}/1.jpg") == "private_address"
    assert find_refusal(recipe, "https://commons.wikimedia.org/") is None


def test_the_text_of_a_match_is_without_comments_and_its_tags() -> None:
    html = "<p class='a b'>one<!-- not --> <i>two</i></p><p class=a id=x><b></b></p>"
    page = read_page(html, load_recipe("photo-site"))

    assert page.find("p.b") == "one two"
    assert page.find("p.a:last-child::attr(id)") == "x"
    assert [item.find("i") for item in page.split("p.a")] == ["two", None]
