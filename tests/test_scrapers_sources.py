"""Sources other than galleries: JSON APIs in their documented shapes, lists, DVC repositories."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from anymus.errors import DatasetError, ParamsError, PolicyError
from anymus.manifest import read_manifest
from anymus.params import Params
from hostile import Hostile, picture, reasons
from scrapers.check import check_site
from scrapers.choices import Choice, collect
from scrapers.scrape import dry_run, hint_of_refusal, scrape
from scrapers.sites import Recipe, load_recipe
from scrapers.url_list import read_urls

COMMONS_ROBOTS = b"User-agent: *\nAllow: /w/load.php?\nDisallow: /w/\nDisallow: /api/\n"


def on_loopback(recipe: Recipe, hostile: Hostile) -> Recipe:
    """Return a shipped recipe with its API's host replaced by the test's server."""
    urls = tuple(
        f"{hostile.url}{urlsplit(url).path}?{urlsplit(url).query}" for url in recipe.start_urls
    )
    update = {"start_urls": urls, "allowed_domains": ("127.0.0.1",), "is_demo": True}
    return recipe.model_copy(update=update)


def with_terms(params: Params, **values: object) -> Params:
    values = {"has_read_api_terms": True, "max_rejected_share": 1.0} | values
    return params.model_copy(update={"scrape": params.scrape.model_copy(update=values)})


class Api:
    """A JSON API on the hostile server: pages by a query parameter, and the queries asked."""

    def __init__(
        self, hostile: Hostile, path: str, answer: Callable[[dict[str, str]], object]
    ) -> None:
        self.queries: list[dict[str, str]] = []
        self._answer = answer
        self._path = path
        hostile.fallback = self._serve

    def _serve(self, handler: BaseHTTPRequestHandler) -> bool:
        parts = urlsplit(handler.path)
        if parts.path != self._path:
            return False
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.queries.append(query)
        body = json.dumps(self._answer(query)).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json; charset=utf-8")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        return True


def commons_file(hostile: Hostile, number: int, licence: str | None) -> dict[str, object]:
    """Return a page of `generator=categorymembers&prop=imageinfo&iiprop=url|mime|extmetadata`."""
    extmetadata = {
        "Artist": {"value": f'<a href="/wiki/User:P{number}">Painter\n{number}</a>', "source": "x"},
        "ImageDescription": {"value": "a face", "source": "x"},
    }
    if licence:
        extmetadata["LicenseShortName"] = {"value": licence, "source": "x", "hidden": ""}
        extmetadata["LicenseUrl"] = {"value": "https://creativecommons.org/l", "source": "x"}
    return {
        "pageid": number,
        "ns": 6,
        "title": f"File:Face {number}.jpg",
        "imagerepository": "local",
        "imageinfo": [
            {
                "thumburl": f"{hostile.url}/thumb/{number}.jpg",
                "thumbwidth": 1280,
                "thumbheight": 960,
                "url": f"{hostile.url}/full/{number}.jpg",
                "descriptionurl": f"https://commons.wikimedia.org/wiki/File:Face_{number}.jpg",
                "mime": "image/jpeg",
                "extmetadata": extmetadata,
            }
        ],
    }


@pytest.fixture
def commons(hostile: Hostile) -> Api:
    """Serve a category of five files on two pages, as MediaWiki continues them."""
    licences = ["CC BY-SA 4.0", "CC0", "GFDL", "Public domain", None]
    for number in range(5):
        hostile.image(f"/thumb/{number}.jpg", picture(number))

    def answer(query: dict[str, str]) -> object:
        first = query.get("gcmcontinue") is None
        chosen = range(3) if first else range(3, 5)
        pages = [commons_file(hostile, number, licences[number]) for number in chosen]
        found: dict[str, object] = {"query": {"pages": pages}}
        if first:
            found["continue"] = {"gcmcontinue": "file|41|7", "continue": "gcmcontinue||"}
        return found | ({} if first else {"batchcomplete": True})

    hostile.routes["/robots.txt"] = (200, {}, COMMONS_ROBOTS)
    return Api(hostile, "/w/api.php", answer)


@pytest.mark.parametrize("domain", ["photo", "manga"])
def test_commons_category(
    hostile: Hostile, commons: Api, params: Params, tmp_path: Path, domain: str
) -> None:
    recipe = on_loopback(load_recipe(f"commons-{domain}"), hostile)
    queries = params.scrape.queries.model_copy(update={domain: "Some Portraits & more"})

    report = scrape(with_terms(params, queries=queries), recipe, tmp_path / "raw")

    rows = {row.title: row for row in read_manifest(tmp_path / "raw")}
    kept = rows["File:Face 0.jpg"]
    assert (kept.author, kept.licence) == ("Painter 0", "CC BY-SA 4.0")
    assert kept.page_url == "https://commons.wikimedia.org/wiki/File:Face_0.jpg"
    assert kept.licence_url == "https://creativecommons.org/l"
    assert kept.url == f"{hostile.url}/thumb/0.jpg"
    assert {title for title, row in rows.items() if row.reason == "licence"} == {
        "File:Face 2.jpg",
        "File:Face 4.jpg",
    }
    assert (report.pictures, report.pages) == (3, 2)
    assert [query["gcmtitle"] for query in commons.queries] == [
        "Category:Some Portraits & more"
    ] * 2
    assert commons.queries[1]["gcmcontinue"] == "file|41|7"
    assert commons.queries[1]["prop"] == "imageinfo"


@pytest.mark.parametrize("reason", ["robots_unavailable", "unresolved", "unreachable", "timeout"])
def test_behind_a_proxy_the_hint_says_why_no_answer_came(
    reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe("commons-photo")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert "proxy" not in hint_of_refusal(recipe, reason)

    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")

    assert "no proxy is used" in hint_of_refusal(recipe, reason)
    assert "proxy" not in hint_of_refusal(recipe, "robots")


def test_an_api_that_robots_closes_to_crawlers_needs_its_terms_read(
    hostile: Hostile, commons: Api, params: Params, tmp_path: Path
) -> None:
    recipe = on_loopback(load_recipe("commons-photo"), hostile)

    with pytest.raises(PolicyError, match="robots") as caught:
        scrape(with_terms(params, has_read_api_terms=False), recipe, tmp_path / "raw")

    assert "API:Etiquette" in (caught.value.hint or "")
    assert "has_read_api_terms" in (caught.value.hint or "")
    assert commons.queries == []
    assert set(hostile.asked) == {"/robots.txt", "/.well-known/tdmrep.json"}


@pytest.mark.parametrize("domain", ["photo", "manga"])
def test_openverse(hostile: Hostile, params: Params, tmp_path: Path, domain: str) -> None:
    kinds = [("by", "2.0"), ("cc0", "1.0"), ("by-nc", "4.0"), ("by-sa", "3.0"), ("pdm", None)]
    for number in range(5):
        hostile.image(f"/img/{number}.jpg", picture(number))

    def answer(query: dict[str, str]) -> object:
        page = int(query["page"])
        numbers = range(2 * page - 2, min(2 * page, 5))
        results = [
            {
                "id": f"{number:08d}-0000-4000-8000-000000000000",
                "title": f"Face {number}",
                "foreign_landing_url": f"https://www.flickr.com/photos/p/{number}",
                "url": f"{hostile.url}/img/{number}.jpg",
                "creator": f"Painter {number}",
                "license": kinds[number][0],
                "license_version": kinds[number][1],
                "license_url": "https://creativecommons.org/licenses/x/",
                "provider": "flickr",
                "source": "flickr",
                "category": None,
                "mature": False,
                "height": 80,
                "width": 80,
            }
            for number in numbers
        ]
        counts = {"result_count": 5, "page_count": 3, "page_size": 2, "page": page}
        return counts | {"results": results}

    api = Api(hostile, "/v1/images/", answer)
    hostile.routes["/robots.txt"] = (200, {}, b"User-agent: *\nDisallow: /v1/images/\n")
    recipe = on_loopback(load_recipe(f"openverse-{domain}"), hostile)

    report = scrape(with_terms(params), recipe, tmp_path / "raw")

    assert [query["page"] for query in api.queries] == ["1", "2", "3"]
    assert {query["license"] for query in api.queries} == {"cc0,pdm,by,by-sa"}
    rows = {row.title: row for row in read_manifest(tmp_path / "raw")}
    assert (rows["Face 3"].licence, rows["Face 3"].author) == ("by-sa 3.0", "Painter 3")
    assert rows["Face 3"].page_url == "https://www.flickr.com/photos/p/3"
    assert rows["Face 2"].reason == rows["Face 4"].reason == "licence"
    assert (report.pictures, report.pages) == (3, 3)


def test_an_api_of_another_shape_is_named(hostile: Hostile, params: Params, tmp_path: Path) -> None:
    Api(hostile, "/v1/images/", lambda _: {"detail": "changed"})
    recipe = on_loopback(load_recipe("openverse-photo"), hostile)

    with pytest.raises(DatasetError, match=r"api\.items 'results' finds nothing"):
        scrape(with_terms(params), recipe, tmp_path / "raw")


LISTED = [
    {"url": "/0.jpg", "author": "Ann", "licence": "CC0", "page_url": "https://example.org/0"},
    {"url": "/1.jpg", "title": "Tüte"},
    {"url": "/gone.jpg"},
    {"url": "ftp://127.0.0.1/x.jpg"},
]


def write_list(folder: Path, suffix: str, base_url: str) -> Path:
    rows = [
        row | {"url": base_url + row["url"] if row["url"].startswith("/") else row["url"]}
        for row in LISTED
    ]
    path = folder / f"urls{suffix}"
    if suffix == ".txt":
        path.write_text("# pictures\n\n" + "\n".join(row["url"] for row in rows))
    elif suffix == ".csv":
        with path.open("w", newline="") as stream:
            names = ["url", "title", "author", "licence", "page_url", "ignored"]
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(rows)
    elif suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    else:
        parquet = pytest.importorskip("pyarrow.parquet", reason="needs anymus[parquet]")
        import pyarrow

        names = ("url", "title", "author", "licence", "page_url")
        columns = {name: [row.get(name) for row in rows] for name in names}
        parquet.write_table(pyarrow.table(columns), path)
    return path


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".jsonl", ".parquet"])
def test_lists_are_read_alike(tmp_path: Path, suffix: str) -> None:
    lines = list(read_urls(write_list(tmp_path, suffix, "http://127.0.0.1")))

    assert [line.url for line in lines][::3] == ["http://127.0.0.1/0.jpg", "ftp://127.0.0.1/x.jpg"]
    if suffix != ".txt":
        assert (lines[0].author, lines[0].licence, lines[1].title) == ("Ann", "CC0", "Tüte")
        assert lines[1].author is None


def test_a_list_is_crawled(
    hostile: Hostile, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hostile.image("/1.jpg", picture(1))
    write_list(tmp_path, ".csv", hostile.url)
    (tmp_path / "mine.yaml").write_text(
        "name: mine\ndomain: photo\ndescription: d\nlicence_note: l\nterms_url: t\nis_demo: true\n"
        "allowed_domains: [127.0.0.1]\nlist: urls.csv\n"
    )

    report = scrape(with_terms(params), "mine.yaml", Path("raw"))

    by_url = {
        (row.url or "").removeprefix(hostile.url): row for row in read_manifest(tmp_path / "raw")
    }
    assert report.pictures == 2
    assert (by_url["/0.jpg"].author, by_url["/0.jpg"].page_url) == ("Ann", "https://example.org/0")
    assert by_url["/gone.jpg"].reason == "http_404"
    assert by_url["ftp://127.0.0.1/x.jpg#line-4"].reason == "no_url"
    assert hostile.asked[0] == "/robots.txt"
    hostile.asked.clear()
    Path("urls.csv").unlink()
    with pytest.raises(ParamsError, match=r"no list .*urls\.csv"):
        scrape(with_terms(params), "mine.yaml", Path("raw"))
    assert hostile.asked == []


def test_a_bare_list_may_not_lead_to_this_machine(
    hostile: Hostile, params: Params, tmp_path: Path
) -> None:
    path = write_list(tmp_path, ".txt", hostile.url)
    choice = Choice("list", str(path), "photo", tmp_path / "raw", None, None, None)

    with pytest.raises(PolicyError, match=r"scrape\.contact"):
        collect(params, choice)
    with pytest.raises(DatasetError, match="private_address"):
        collect(with_terms(params, contact="a@b.org"), choice)
    assert hostile.asked == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("no.csv", "link\nhttp://x/\n", "no column 'url'"),
        ("bad.jsonl", '{"url": 1}\n{"url"\n', "bad.jsonl:2"),
        ("empty.csv", "url,title\n,x\n", "row 1 has no url"),
        ("list.xls", "", "no list"),
        ("bad.parquet", "not parquet", "no parquet"),
        ("latin.txt", "http://x/\udcff", "UTF-8"),
    ],
)
def test_bad_lists_are_named(tmp_path: Path, name: str, text: str, words: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="needs anymus[parquet]")
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(ParamsError) as caught:
        list(read_urls(tmp_path / name))

    assert words in f"{caught.value.message} {caught.value.hint}"


def test_a_dry_run_fetches_pages_and_no_picture(
    hostile: Hostile, commons: Api, params: Params, tmp_path: Path
) -> None:
    recipe = on_loopback(load_recipe("commons-photo"), hostile)

    rows = dry_run(with_terms(params), recipe, tmp_path / "raw")

    what = {(row.url or "").removeprefix(hostile.url): row.reason for row in rows}
    assert what == {
        "/thumb/0.jpg": "would_fetch",
        "/thumb/1.jpg": "would_fetch",
        "/thumb/2.jpg": "licence",
        "/thumb/3.jpg": "would_fetch",
        "/thumb/4.jpg": "licence",
    }
    assert not [path for path in hostile.asked if "thumb" in path]
    assert not (tmp_path / "raw").exists()
    scrape(with_terms(params), recipe, tmp_path / "raw")
    assert len(commons.queries) == 2  # the pages were kept
    again = dry_run(with_terms(params), recipe, tmp_path / "raw")
    assert {row.reason for row in again} == {"already_there", "licence"}


def test_check_shows_what_each_selector_finds(
    hostile: Hostile, params: Params, tmp_path: Path
) -> None:
    hostile.html(
        "/",
        b"<ul><li><img src=/0.jpg><b>One</b><li><img src=/1.jpg><i>Ann</i></ul>"
        b"<a class=next href=/2>",
    )
    (tmp_path / "mine.yaml").write_text(
        f"name: mine\ndomain: photo\ndescription: d\nlicence_note: l\nterms_url: t\nis_demo: true\n"
        f'start_urls: ["{hostile.url}/"]\nallowed_domains: [127.0.0.1]\nitem: li\n'
        'next_page: a.next::attr(href)\npicture: {image: "img::attr(src)", title: b, author: u}\n'
    )

    found = check_site(params, str(tmp_path / "mine.yaml"))

    lines = {line.key: (line.found, line.of, line.first) for line in found.lines}
    assert lines == {
        "item": (2, 2, None),
        "picture.image": (2, 2, "/0.jpg"),
        "picture.title": (1, 2, "One"),
        "picture.author": (0, 2, None),
        "next_page": (1, 1, "/2"),
    }
    found.require_matches()
    assert hostile.asked == ["/robots.txt", "/"]
    hostile.routes["/robots.txt"] = (200, {}, b"User-agent: *\nDisallow: /\n")
    with pytest.raises(PolicyError, match="robots"):
        check_site(params, str(tmp_path / "mine.yaml"))


def test_check_dials_no_private_address(hostile: Hostile, params: Params, tmp_path: Path) -> None:
    port = hostile.server.server_address[1]
    hostile.redirect("/", "http://10.0.0.1/")
    text = (
        "name: mine\ndomain: photo\ndescription: d\nlicence_note: l\nterms_url: t\n"
        'start_urls: ["http://%s:%d/"]\nallowed_domains: ["%s", 10.0.0.1]\nitem: li\n'
        'picture: {image: "img::attr(src)"}\n'
    )
    for host in ("localhost", "0x7f.1", "2130706433"):
        (tmp_path / "mine.yaml").write_text(text % (host, port, host))
        with pytest.raises(PolicyError, match=r"private_address|robots_unavailable"):
            check_site(with_terms(params, contact="a@b.org"), str(tmp_path / "mine.yaml"))
    assert hostile.asked == []
    (tmp_path / "mine.yaml").write_text("is_demo: true\n" + text % ("127.0.0.1", port, "127.0.0.1"))
    with pytest.raises(PolicyError, match="private_address"):
        check_site(params, str(tmp_path / "mine.yaml"))


_PUBLISH = """
import subprocess, sys
from dvc.repo import Repo
git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org"]
subprocess.run([*git, "init", "-q"], check=True)
repo = Repo.init(".")
with repo.config.edit() as config:
    config["remote"] = {"store": {"url": sys.argv[1]}}
    config["core"] = {"remote": "store", "analytics": False}
repo = Repo(".")
repo.add("data")
repo.push()
for command in (["add", "-A"], ["commit", "-qm", "data"], ["tag", "v1"]):
    subprocess.run([*git, *command], check=True)
"""


def test_a_dvc_repository_is_a_source(params: Params, tmp_path: Path) -> None:
    repo = tmp_path / "colleague"
    (repo / "data").mkdir(parents=True)
    for number in range(3):
        (repo / "data" / f"{number}.jpg").write_bytes(picture(number))
    (repo / "data/credits.csv").write_text("path,author,licence\n0.jpg,Ann,CC0 1.0\n")
    command = [sys.executable, "-c", _PUBLISH, str(tmp_path / "remote")]
    subprocess.run(command, cwd=repo, check=True, capture_output=True)
    shutil.rmtree(repo / "data")
    shutil.rmtree(repo / ".dvc/cache")
    choice = Choice("dvc", str(repo), "photo", tmp_path / "raw", None, "data", "v1")

    collect(params, choice)

    rows = read_manifest(tmp_path / "raw")
    assert len([row for row in rows if row.is_kept]) == 3
    by_path = {row.source_path: row for row in rows}
    assert (by_path["0.jpg"].author, by_path["0.jpg"].licence) == ("Ann", "CC0 1.0")
    assert str(by_path["1.jpg"].site).startswith("dvc colleague data @ ")
    assert str(tmp_path) not in (tmp_path / "raw/manifest.jsonl").read_text()
    with pytest.raises(ParamsError, match="nowhere"):
        collect(params, replace(choice, folder="nowhere"))
    with pytest.raises(ParamsError, match="cannot be read"):
        collect(params, replace(choice, rev="v9"))


def test_a_collection_is_gathered_with_its_manifest(
    hostile: Hostile, crawl: Callable[..., object], params: Params, tmp_path: Path
) -> None:
    hostile.html("/", b"<ul><li><img src=/0.jpg><li><img src=/no.jpg></ul>")
    sharded = params.model_copy(
        update={"shards": params.shards.model_copy(update={"above": 0, "pictures": 1})}
    )
    crawl()
    from scrapers.folder import scrape_folder

    (tmp_path / "raw").rename(tmp_path / "parts")

    first = scrape_folder(sharded, tmp_path / "parts", "manga", tmp_path / "packed")
    again = scrape_folder(params, tmp_path / "packed", "manga", tmp_path / "loose")

    assert first.shards == 1
    assert list((tmp_path / "packed").glob("shard-*.tar"))
    (kept,) = [row for row in read_manifest(tmp_path / "loose") if row.is_kept]
    assert (kept.url, kept.site, kept.domain) == (f"{hostile.url}/0.jpg", "hostile", "manga")
    assert reasons(tmp_path / "loose", hostile.url) == {"/no.jpg": "http_404"}
    assert again.pictures == 1
    assert (tmp_path / "loose" / str(kept.file)).read_bytes() == picture()
