"""Crawls of the embedded demo site, end to end: a real server, a real crawl process."""

import hashlib
import socket
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from anymus.encoded import read_facts
from anymus.errors import AnymusError, DatasetError, ParamsError, PolicyError
from anymus.images import decode_rgb
from anymus.manifest import ImageRecord, read_manifest
from anymus.params import Params
from scrapers.demo_site import server
from scrapers.demo_site.content import DemoPicture, draw_picture, plan_pictures
from scrapers.scrape import scrape


def change(params: Params, **demo_site: int) -> Params:
    """Return the parameters of a small demo site."""
    small = {"portraits": 5, "busts": 5, "pages": 1, "items_per_page": 4} | demo_site
    site = params.scrape.demo_site.model_copy(update=small)
    return params.model_copy(
        update={"scrape": params.scrape.model_copy(update={"demo_site": site})}
    )


def limit(params: Params, **values: object) -> Params:
    return params.model_copy(update={"scrape": params.scrape.model_copy(update=values)})


@pytest.fixture
def small(params: Params) -> Params:
    return change(params)


def plan_reasons(plan: list[DemoPicture]) -> Counter[str]:
    """Return what the plan says a crawl must reject, by reason."""
    by_fault = {
        "truncated": "truncated",
        "html": "not_an_image",
        "svg": "not_an_image",
        "noai": "opt_out_noai",
        "forbidden": "robots",
        "missing": "http_404",
        "off_site": "off_site",
        "tiny": "too_small",
    }
    reasons = Counter(by_fault[p.fault] for p in plan if p.fault)
    reasons["licence"] = sum(p.licence == "All rights reserved" for p in plan)
    is_open = [p for p in plan if p.licence != "All rights reserved"]
    reasons["same_bytes"] = sum(p.copy == "exact" for p in is_open)
    return +reasons


@pytest.mark.parametrize("domain", ["photo", "manga"])
def test_demo_crawl_follows_its_plan(
    small: Params, tmp_path: Path, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _spy_on_paths(monkeypatch)
    plan = plan_pictures(small.seed, small.scrape.demo_site, domain)

    report = scrape(small, f"{domain}-site", tmp_path / "raw")

    rows = read_manifest(tmp_path / "raw")
    rejected = plan_reasons(plan)
    assert Counter(row.reason for row in rows if not row.is_kept) == rejected
    assert report.pictures == len(plan) - rejected.total()
    assert report.is_complete
    assert report.as_metrics()["rejected_robots"] == 1
    assert "/robots.txt" in asked
    assert not [path for path in asked if path.startswith("/private")]
    _check_rows(small, plan, rows, tmp_path / "raw")


def _spy_on_paths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    answer = server.DemoSite.answer

    def spy(site: server.DemoSite, path: str) -> server.Reply:
        asked.append(path)
        return answer(site, path)

    monkeypatch.setattr(server.DemoSite, "answer", spy)
    return asked


def _check_rows(
    params: Params, plan: list[DemoPicture], rows: list[ImageRecord], folder: Path
) -> None:
    by_url = {f"http://demo.localhost{picture.path}": picture for picture in plan}
    kept = [row for row in rows if row.is_kept]
    for row in kept:
        assert row.file is not None
        content = (folder / row.file).read_bytes()
        picture = by_url[row.url or ""]
        assert content == draw_picture(params.seed, picture)
        assert hashlib.sha256(content).hexdigest() == row.id == Path(row.file).stem
        planned = (picture.title, picture.author, picture.licence, picture.licence_url)
        assert (row.title, row.author, row.licence, row.licence_url) == planned
        assert row.fetched_at
        assert (row.width_px, row.height_px) == decode_rgb(content).shape[1::-1]
    stored = {path.stem for path in folder.rglob("*") if path.is_file()} - {"manifest", "index"}
    assert stored == {row.id for row in kept}
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        if not row.is_kept:
            assert row.file is None
            assert row.id == hashlib.sha256((row.url or "").encode()).hexdigest()


def test_two_crawls_give_the_same_bytes(small: Params, tmp_path: Path) -> None:
    first = scrape(small, "manga-site", tmp_path / "first")
    second = scrape(small, "manga-site", tmp_path / "second")

    assert first.as_metrics() == second.as_metrics()
    assert (tmp_path / "first/manifest.jsonl").read_bytes() == (
        tmp_path / "second/manifest.jsonl"
    ).read_bytes()
    text = (tmp_path / "first/manifest.jsonl").read_text()
    assert "127.0.0.1" not in text
    assert str(tmp_path) not in text


def test_limit_stops_and_says_so(small: Params, tmp_path: Path) -> None:
    report = scrape(limit(small, max_pictures=2), "manga-site", tmp_path / "raw")

    assert report.pictures <= 2
    assert not report.is_complete
    assert report.rejected["over_budget"] >= 1


def test_a_second_crawl_replaces_the_first(small: Params, tmp_path: Path) -> None:
    scrape(small, "manga-site", tmp_path / "raw")
    stray = tmp_path / "raw" / "ff" / "stray.jpg"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"old")

    scrape(small, "manga-site", tmp_path / "raw")

    assert not stray.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"preset.yaml", "raw", ".raw.crawl"}


def test_a_foreign_folder_is_not_replaced(small: Params, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"precious")

    with pytest.raises(ParamsError, match="holds files"):
        scrape(small, "manga-site", tmp_path)

    assert (tmp_path / "holiday.jpg").read_bytes() == b"precious"


def test_port_in_use(small: Params, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AnymusError, match=str(port)) as caught:
            scrape(change(small, port=port), "manga-site", tmp_path / "raw")

    assert caught.value.exit_code == 1
    assert "port=0" in (caught.value.hint or "")
    assert not (tmp_path / "raw").exists()


def test_site_that_draws_nothing_usable(small: Params, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="too_small") as caught:
        scrape(limit(small, min_side_px=2000), "manga-site", tmp_path / "raw")

    assert caught.value.exit_code == 3
    assert not (tmp_path / "raw").exists()


def test_contact_is_required_beyond_this_machine(small: Params, tmp_path: Path) -> None:
    recipe = tmp_path / "live.yaml"
    recipe.write_text(
        "name: live\ndomain: photo\ndescription: d\nlicence_note: l\nterms_url: t\n"
        'start_urls: ["https://example.org/"]\nallowed_domains: [example.org]\n'
        'item: li\npicture: {image: "img::attr(src)"}\n'
    )

    with pytest.raises(PolicyError, match=r"scrape\.contact") as caught:
        scrape(small, str(recipe), tmp_path / "raw")

    assert caught.value.exit_code == 4
    with pytest.raises(ParamsError, match="neither a mail address"):
        scrape(limit(small, contact="me\nX-Evil: 1"), str(recipe), tmp_path / "raw")


def test_plan_is_the_same_for_a_seed_and_holds_every_case(params: Params) -> None:
    site = params.scrape.demo_site
    plan = plan_pictures(params.seed, site, "photo")

    assert plan == plan_pictures(params.seed, site, "photo")
    assert plan != plan_pictures(params.seed + 1, site, "photo")
    kinds, copies = Counter(p.kind for p in plan), Counter(p.copy for p in plan)
    assert {"portrait", "couple", "scene"} == set(kinds)
    assert all(copies[copy] >= 2 for copy in ("exact", "resized", "recompressed", "mirrored"))
    assert {p.suffix for p in plan} == {".jpg", ".png"}
    assert len({p.path for p in plan}) == len(plan)


def test_copies_differ_from_their_original_as_planned(small: Params) -> None:
    plan = plan_pictures(small.seed, small.scrape.demo_site, "manga")
    original = next(p for p in plan if not p.fault and not p.copy and p.kind == "bust")
    rgb_u8 = decode_rgb(draw_picture(small.seed, replace(original, suffix=".png")))

    mirrored = replace(original, suffix=".png", copy="mirrored")
    resized = replace(original, suffix=".png", copy="resized")

    assert (decode_rgb(draw_picture(small.seed, mirrored))[:, ::-1] == rgb_u8).all()
    assert read_facts(draw_picture(small.seed, resized)).width_px < rgb_u8.shape[1]


def test_demo_site_answers_and_ends(small: Params) -> None:
    with server.run_demo_site(small) as site:
        home = _get(site.base_url + "/")
        assert b"/photo/page/1" in home
        assert b"Disallow: /private/" in _get(site.base_url + "/robots.txt")
        for path in ("/photo/page/999", "/photo/page/0", "/photo/item/x", "/../etc/passwd", "/no"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                _get(site.base_url + path)
        assert site.requested_paths[0] == "/"
        base_url = site.base_url

    with pytest.raises(urllib.error.URLError):
        _get(base_url + "/")


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:
        return bytes(response.read())
