"""CPU seconds a picture: a crawl of ours beside Scrapy's own FilesPipeline, same server, same pace.

python benchmarks/scrape.py --pages 200 --pictures 2000 --rounds 3

The server is a local nginx; without one it is Python's http.server, and the table says so. Each
crawl is a process of its own that imports what it needs; its CPU time is what the system counted
when it ended. One small crawl of each kind goes before, so that no run compiles Python's modules.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CONCURRENCY = 8
KINDS = {
    "stock": "Scrapy FilesPipeline",
    "whole": "FilesPipeline with all parts of Scrapy that are on by default",
    "checked": "FilesPipeline with our check of each picture",
    "bare": "anymus scrape without that check",
    "ours": "anymus scrape",
}
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
DIFFERENT = 40  # drawn pictures; a comment in each file makes all bytes differ
RECIPE = """
name: bench
domain: photo
description: a local server
licence_note: none
terms_url: none
is_demo: true
start_urls: ["{url}/0.html"]
allowed_domains: [127.0.0.1]
pace: {{delay_s: 0.0, concurrency: {concurrency}, allowed_by: this machine}}
item: li
next_page: a.next::attr(href)
picture: {{image: "img::attr(src)", title: h3, author: .by, licence: .licence}}
"""
NGINX = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    types {{ text/html html; image/jpeg jpg; }}
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one crawl cost: CPU seconds of all its processes, and wall seconds."""

    cpu_s: float
    wall_s: float
    pictures: int


def fill_site(root: Path, pages: int, pictures: int) -> float:
    """Write galleries that follow each other and their pictures; return the mean size in bytes."""
    import numpy as np

    from anymus.images import encode_jpeg, resize_rgb

    rng = np.random.default_rng(3)
    drawn = []
    for _ in range(DIFFERENT):
        coarse = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        smooth = resize_rgb(coarse, 480, 360).astype(np.int16)
        noise = rng.integers(-11, 12, smooth.shape, dtype=np.int16)
        drawn.append(encode_jpeg(np.clip(smooth + noise, 0, 255).astype(np.uint8)))
    (root / "img").mkdir(parents=True)
    sizes = []
    for number in range(pictures):
        picture, mark = drawn[number % DIFFERENT], f"{number:08d}".encode()
        body = picture[:2] + b"\xff\xfe\x00\x0a" + mark + picture[2:]
        (root / f"img/{number}.jpg").write_bytes(body)
        sizes.append(len(body))
    per_page = pictures // pages
    for page in range(pages):
        items = "".join(
            f"<li><img src='/img/{number}.jpg'><h3>No. {number}</h3><span class=by>A. N. Other"
            f"</span><span class=licence>CC0 1.0</span></li>"
            for number in range(page * per_page, (page + 1) * per_page)
        )
        tail = f"<a class=next href='/{page + 1}.html'>next</a>" if page + 1 < pages else ""
        (root / f"{page}.html").write_text(f"<html><body><ul>{items}</ul>{tail}</body></html>")
    (root / "robots.txt").write_text("User-agent: *\nAllow: /\n")
    return statistics.mean(sizes)


@contextmanager
def serve(root: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Give the URL and the name of a server of `root` while the block runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = shutil.which("nginx")
    if program:
        user = "user root;" if os.geteuid() == 0 else ""
        config = NGINX.format(user=user, folder=folder, port=port, root=root)
        (folder / "nginx.conf").write_text(config)
        command = [program, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    else:
        command = [sys.executable, "-m", "http.server", str(port), "-b", "127.0.0.1"]
    process = subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield f"http://127.0.0.1:{port}", "nginx" if program else "http.server"
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    sys.exit("the server did not start")


def crawl_ours(url: str, folder: Path, *, is_checked: bool) -> None:
    """Run a whole `scrape`: crawl, journal, manifest, page.

    Not `is_checked`: no more than the header of a picture is read before it is stored.
    """
    import scrapers.scrape
    from anymus.params import load_params, read_preset
    from scrapers.scrape import scrape
    from scrapers.sites import load_recipe

    if not is_checked:
        scrapers.scrape.CRAWL_PROGRAM = (__file__, "--unchecked")  # type: ignore[assignment]

    folder.mkdir()
    (folder / "bench.yaml").write_text(RECIPE.format(url=url, concurrency=CONCURRENCY))
    (folder / "params.yaml").write_text(read_preset("demo"))
    params = load_params(folder / "params.yaml", ["shards.above=1000000"])
    scrape(params, load_recipe(str(folder / "bench.yaml")), folder / "raw")


def crawl_unchecked() -> None:
    """Be the crawl process of a `scrape` whose pictures are stored after a look at the header."""
    import scrapers.storing
    from anymus.encoded import OpenPicture
    from scrapers import crawl

    scrapers.storing.without_data = lambda content: None  # noqa: ARG005
    OpenPicture.check_pixels = lambda picture: None  # type: ignore[method-assign] # noqa: ARG005
    crawl.main()


def parts_of_ours() -> dict[str, object]:
    """Return the settings by which our crawl leaves parts of Scrapy out.

    The reference is handed them, so that it imports nothing of ours.
    """
    from scrapers.settings import DOWNLOADER_MIDDLEWARES, EXTENSIONS, SPIDER_MIDDLEWARES

    return {
        "EXTENSIONS_BASE": EXTENSIONS,
        "SPIDER_MIDDLEWARES_BASE": SPIDER_MIDDLEWARES,
        "DOWNLOADER_MIDDLEWARES_BASE": {
            **DOWNLOADER_MIDDLEWARES,
            "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": 100,
            "scrapy.downloadermiddlewares.downloadtimeout.DownloadTimeoutMiddleware": 350,
            "scrapy.downloadermiddlewares.defaultheaders.DefaultHeadersMiddleware": 400,
        },
        "STATS_CLASS": "scrapy.statscollectors.DummyStatsCollector",
    }


def crawl_stock(url: str, folder: Path, parts: dict[str, object], *, is_checked: bool) -> None:
    """Run a plain Scrapy spider with FilesPipeline and the settings of our crawl.

    `parts`: settings that leave parts of Scrapy out. `is_checked`: each picture is checked as ours
    are before it is stored.
    """
    from scrapy import Spider
    from scrapy.crawler import CrawlerProcess
    from scrapy.pipelines.files import FilesPipeline

    folder.mkdir()
    pipeline = _checking(FilesPipeline, folder) if is_checked else FilesPipeline

    class Gallery(Spider):
        name = "gallery"
        start_urls = [f"{url}/0.html"]  # noqa: RUF012 - Scrapy's way

        def parse(self, response):  # type: ignore[no-untyped-def]
            for item in response.css("li"):
                yield {
                    "file_urls": [response.urljoin(item.css("img::attr(src)").get())],
                    "title": item.css("h3::text").get(),
                    "author": item.css(".by::text").get(),
                    "licence": item.css(".licence::text").get(),
                }
            link = response.css("a.next::attr(href)").get()
            if link:
                yield response.follow(link, self.parse)

    settings = {
        "ITEM_PIPELINES": {pipeline: 1},
        "FILES_STORE": str(folder / "raw"),
        "ROBOTSTXT_OBEY": True,
        "DOWNLOAD_DELAY": 0,
        "CONCURRENT_REQUESTS_PER_DOMAIN": CONCURRENCY,
        "CONCURRENT_REQUESTS": CONCURRENCY + 3,
        "AUTOTHROTTLE_ENABLED": False,
        "DOWNLOAD_TIMEOUT": 60,
        "DOWNLOAD_MAXSIZE": 33_554_432,
        "RETRY_TIMES": 2,
        "LOG_LEVEL": "ERROR",
        **parts,
    }
    process = CrawlerProcess(settings)
    process.crawl(Gallery)
    process.start()


def _checking(base: type, folder: Path) -> type:
    """Return the pipeline, but with each picture decoded as `scrape` does it."""
    from anymus.params import load_params, read_preset
    from scrapers.storing import WEB_FORMATS, check_picture

    (folder / "params.yaml").write_text(read_preset("demo"))
    limits = load_params(folder / "params.yaml").scrape

    class Checking(base):  # type: ignore[misc]
        def file_downloaded(self, response, *args, **named):  # type: ignore[no-untyped-def]
            check_picture(response.body, limits, WEB_FORMATS)
            return super().file_downloaded(response, *args, **named)

    return Checking


def measure(kind: str, url: str, folder: Path) -> Cost:
    """Return what one crawl in a new process cost."""
    command = [sys.executable, __file__, "--crawl", kind, "--url", url, "--folder", str(folder)]
    if kind in ("stock", "checked"):
        command += ["--parts", json.dumps(parts_of_ours())]
    environment = {name: value for name, value in os.environ.items() if name != _NO_BYTECODE}
    environment["PYTHONPYCACHEPREFIX"] = str(folder.parent / "bytecode")
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"the crawl {kind!r} ended with code {process.returncode}")
    pictures = sum(1 for _ in (folder / "raw").rglob("*.jpg"))
    return Cost(usage.ru_utime + usage.ru_stime, wall_s, pictures)


def measure_manifest(folder: Path) -> float:
    """Return the CPU seconds that the journal and the manifest of a finished crawl take."""
    from anymus.manifest import write_manifest
    from scrapers.report import settle
    from scrapers.state import Journal, iter_entries, state_folder

    entries = list(iter_entries(state_folder(folder / "raw")))
    again = folder / "again"
    again.mkdir()
    began = time.process_time()
    journal = Journal(again / "journal.jsonl")
    for entry in entries:
        journal.append(entry)
    rows = [entry.row for entry in iter_entries(again)]
    write_manifest(again, settle(rows))
    return time.process_time() - began


def print_table(server: str, costs: dict[str, list[Cost]], manifest_s: list[float]) -> None:
    """Print medians, spreads and ratios."""
    stock = statistics.median(cost.cpu_s / cost.pictures for cost in costs["stock"])
    print(f"server: {server}; {CONCURRENCY} requests at a time, no delay")
    print("| crawl | pictures | CPU ms a picture | spread | wall s | of FilesPipeline |")
    print("|---|---|---|---|---|---|")
    for kind, title in KINDS.items():
        each = [1000 * cost.cpu_s / cost.pictures for cost in costs[kind]]
        wall = statistics.median(cost.wall_s for cost in costs[kind])
        median, spread = statistics.median(each), f"{min(each):.2f}-{max(each):.2f}"
        print(
            f"| {title} | {costs[kind][0].pictures} | {median:.2f} | {spread}"
            f" | {wall:.1f} | {median / 1000 / stock:.2f} |"
        )
    shares = [part / cost.cpu_s for part, cost in zip(manifest_s, costs["ours"], strict=True)]
    print(f"journal and manifest: {statistics.median(shares):.1%} of our CPU time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--crawl", choices=list(KINDS), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--parts", default="{}", help=argparse.SUPPRESS)
    parser.add_argument("--unchecked", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.unchecked:
        crawl_unchecked()
        return
    if options.crawl:
        is_checked = options.crawl in ("ours", "checked")
        if options.crawl in ("ours", "bare"):
            crawl_ours(options.url, options.folder, is_checked=is_checked)
        else:
            parts = json.loads(options.parts)
            crawl_stock(options.url, options.folder, parts, is_checked=is_checked)
        return
    costs: dict[str, list[Cost]] = {kind: [] for kind in KINDS}
    manifest_s = []
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        size_bytes = fill_site(base / "site", options.pages, options.pictures)
        print(f"{options.pictures} pictures of {size_bytes / 1000:.0f} kB on {options.pages} pages")
        fill_site(base / "small", 1, 10)
        with serve(base / "small", base) as (url, _):
            for kind in KINDS:
                measure(kind, url, base / f"{kind}-small")
        with serve(base / "site", base) as (url, server):
            for turn in range(options.rounds):
                for kind in reversed(KINDS) if turn % 2 else KINDS:
                    folder = base / f"{kind}-{turn}"
                    costs[kind].append(measure(kind, url, folder))
                    if kind == "ours":
                        manifest_s.append(measure_manifest(folder))
        print_table(server, costs, manifest_s)


if __name__ == "__main__":
    main()
