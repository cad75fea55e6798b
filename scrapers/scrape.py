"""The scrape stage: one recipe crawled into a folder of original bytes and a manifest."""

import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from anymus.errors import AnymusError, DatasetError, ParamsError, PolicyError
from anymus.files import atomic_folder, sha256_bytes, sha256_file
from anymus.manifest import ImageRecord
from anymus.params import Params
from anymus.progress import log

from .job import DRY_RUN_NAME, CrawlJob, CrawlOutcome, CrawlProgress, Note, Sharing
from .meter import Meter, measure
from .report import ScrapeReport, finish, is_chosen, require_own_folder
from .shared import SharedCrawl, join_run, machine_name, name_worker, open_shared, public_name
from .sites import Recipe, load_recipe
from .state import CrawlState, Entry, open_state
from .url_list import read_urls

# No answer came: where the web is only reached through a proxy, that is why.
_NO_WAY = frozenset({"robots_unavailable", "unreachable", "unresolved", "timeout", "failed"})
# Nothing that is imported is garbage, so nobody looks for any until the crawl begins.
CRAWL_PROGRAM = ("-c", "import gc; gc.disable(); from scrapers.crawl import main; main()")
_GRACE_S = 2.0
_STDERR_LINES = 5


def scrape(
    params: Params, site: str | Recipe, dst: Path, *, is_refresh: bool = False
) -> ScrapeReport:
    """Crawl a site's recipe into `dst`: `manifest.jsonl`, the pictures' original bytes, a page.

    Pictures are named by their SHA-256. `dst` is replaced as a whole at the end; until then, and
    after a failure, it stays as it was. What was collected is kept beside it (`scrapers/state.py`),
    so that a crawl that was stopped, or killed, goes on where it was, and a finished one asks for
    no picture again. The demo site is started and stopped for its recipes.

    With `scrape.queue` the crawl is shared with all others that name the same queue and recipe:
    `dst` then holds what this one fetched, or, where several fill the same folder, what they did.

    Args:
        params: All parameters; `scrape`, `seed`, `engine` and `paths.blocklist` are used.
        site: The name of a shipped recipe, the path of a recipe ending in .yaml, or a recipe.
        dst: The folder to fill.
        is_refresh: Ask whether what is known has changed (ETag, Last-Modified).

    Raises:
        ParamsError: The site is unknown, the contact is malformed, or `dst` holds other things.
        PolicyError: The contact is missing, or the owner's rules forbid the start page.
        DatasetError: The pages do not match the recipe, or no picture was kept.
        AnymusError: Another crawl fills `dst`, the demo site's port is in use, the disk is full,
            the queue does not answer, or too many pictures are unusable.
    """
    recipe = prepare_recipe(params, site)
    require_own_folder(dst)
    with _prepare(params, recipe, dst, is_refresh=is_refresh) as (state, job, shared):
        outcome = _crawl(job)
        is_over = shared is None or shared.end(params.scrape.cache_s)
        _require_success(recipe, outcome)
        with state.writing(), atomic_folder(dst) as partial:
            rows = state.rows_of(job.run)
            if shared is not None:
                _require_share(recipe, rows, shared)
            report = finish(
                rows,
                state.store,
                partial,
                dst,
                site=recipe.name,
                domain=recipe.domain,
                params=params,
                pages=outcome.pages,
                is_complete=outcome.ending == "complete",
                fetched=outcome.fetched,
            )
            if is_over:
                state.end_run(len(rows))
        return report


def dry_run(params: Params, site: str | Recipe, dst: Path) -> list[ImageRecord]:
    """Return what `scrape` would do with each picture, after reading pages and no picture.

    The reason of a row says it: `would_fetch`, `already_there`, or why it would be refused. Pages
    that are read are kept for the crawl; `dst` is not touched.

    Raises:
        AnymusError: As `scrape`.
    """
    recipe = prepare_recipe(params, site)
    require_own_folder(dst)
    with _prepare(params, recipe, dst, is_dry=True) as (state, job, _):
        path = state.folder / DRY_RUN_NAME
        path.unlink(missing_ok=True)
        outcome = _crawl(job)
        _require_success(recipe, outcome)
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        path.unlink(missing_ok=True)
        return [Entry.model_validate_json(line).row for line in lines]


def prepare_recipe(params: Params, site: str | Recipe) -> Recipe:
    """Return a source's recipe with the words it is asked for filled in.

    Raises:
        ParamsError: The site is unknown, its recipe takes no words, or its list cannot be read.
    """
    recipe = load_recipe(site) if isinstance(site, str) else site
    if recipe.list is not None:
        deque(read_urls(Path(recipe.list)), maxlen=0)  # to its end, before anything is asked for
    queries = params.scrape.queries
    words = queries.photo if recipe.domain == "photo" else queries.manga
    return recipe.asked_for(words)


def build_user_agent(recipe: Recipe, contact: str | None) -> str:
    """Return the honest user agent of a crawl: the project, its version and whom to write to.

    Raises:
        PolicyError: The recipe leads beyond this machine and there is no contact.
        ParamsError: The contact is neither a mail address nor a URL.
    """
    name = f"Anymus/{version('anymus')}"
    if contact is None:
        if recipe.is_demo:
            return name
        raise PolicyError(
            f"{recipe.name}: a site's owner must be able to reach you: scrape.contact is not set",
            "-S scrape.contact=you@example.org",
        )
    is_reachable = "@" in contact or contact.startswith(("http://", "https://"))
    if not is_reachable or not contact.isprintable() or not contact.isascii():
        raise ParamsError(
            f"scrape.contact: {contact!r} is neither a mail address nor a URL",
            "-S scrape.contact=you@example.org",
        )
    return f"{name} (+{contact})"


def hint_of_refusal(recipe: Recipe, reason: str) -> str:
    """Return what one may do about a start page that must not be fetched."""
    if reason == "robots" and recipe.api is not None and recipe.api.offered_at is not None:
        return (
            f"its owner offers this API to programs at {recipe.api.offered_at}: read that, then"
            " -S scrape.has_read_api_terms=true"
        )
    if reason in _NO_WAY and not recipe.is_demo and _has_proxy():
        return (
            "no proxy is used, because the address that is checked must be the one that is"
            " dialled: run it where the web is reached without one"
        )
    if reason == "robots_unavailable":
        return "a robots.txt that cannot be read counts as no: look at it, or try again later"
    if not is_chosen(reason):
        return "look at the site, or try again later"
    return "choose another source, or ask its owner"


def _has_proxy() -> bool:
    from urllib.request import getproxies

    return bool(getproxies())


@contextmanager
def _prepare(
    params: Params, recipe: Recipe, dst: Path, *, is_dry: bool = False, is_refresh: bool = False
) -> Iterator[tuple[CrawlState, CrawlJob, SharedCrawl | None]]:
    """Give the crawl's state and job, with its demo site running if it has one.

    The third is the crawl that others share, if `scrape.queue` says so; a dry run goes alone.
    """
    user_agent = build_user_agent(recipe, params.scrape.contact)
    if not recipe.is_demo and _has_proxy():
        log.warning("the proxy of the environment is not used: addresses are checked when dialled")
    queue = None if is_dry else params.scrape.queue
    with (
        open_shared(queue) if queue else nullcontext() as client,
        open_state(dst, _state_key(params, recipe), is_shared=queue is not None) as state,
        site_of(params, recipe) as base_url,
    ):
        what = _name_crawl(recipe)
        shared = _join(params, client, what, is_refresh=is_refresh) if queue else None
        run, is_resumed = (
            ("dry", False) if is_dry else state.begin_run(what, shared.run if shared else None)
        )
        if is_resumed:
            log.info("%s: going on where the last run stopped", recipe.name)
        blocklist = Path(params.paths.blocklist)
        yield (
            state,
            CrawlJob(
                recipe=recipe.at(base_url or ""),
                limits=params.scrape,
                user_agent=user_agent,
                folder=str(state.folder),
                blocklist=str(blocklist.absolute()),
                run=run,
                base_url=base_url,
                sharing=_describe(shared, queue),
                is_dry=is_dry,
                is_refresh=is_refresh,
            ),
            shared,
        )


def _join(params: Params, client: Any, what: str, *, is_refresh: bool) -> SharedCrawl:
    """Join the crawl that goes on in the queue, or begin it; a refresh finds none that is over."""
    run = join_run(client, what, kept_s=0.0 if is_refresh else params.scrape.cache_s)
    shared = SharedCrawl(client, run, name_worker())
    log.info("the crawl is shared at %s", public_name(params.scrape.queue or ""))
    return shared


def _describe(shared: SharedCrawl | None, queue: str | None) -> Sharing | None:
    if shared is None or queue is None:
        return None
    return Sharing(url=queue, worker=shared.worker, machine=machine_name())


def _name_crawl(recipe: Recipe) -> str:
    """Return what names a crawl, on every machine: its recipe, and of a list what is in it."""
    if recipe.list is not None:
        recipe = recipe.model_copy(update={"list": sha256_file(Path(recipe.list))})
    return sha256_bytes(recipe.model_dump_json().encode())


def _require_share(recipe: Recipe, rows: list[ImageRecord], shared: SharedCrawl) -> None:
    """Say so if others have fetched all pictures of a shared crawl."""
    if not any(row.is_kept for row in rows) and shared.count("kept"):
        raise DatasetError(
            f"{recipe.name}: all {shared.count('kept')} pictures are with the other crawlers",
            "gather their folders: anymus scrape folder PARENT --domain"
            f" {recipe.domain}; --refresh begins a new crawl",
        )


def _state_key(params: Params, recipe: Recipe) -> str:
    """Return what a state is good for: the demo site's pictures change with what draws them."""
    if not recipe.needs_demo_site:
        return "web"
    from .demo_site.server import name_content

    return name_content(params)


@contextmanager
def site_of(params: Params, recipe: Recipe) -> Iterator[str | None]:
    """Give the URL of a running demo site to recipes that need it, else None."""
    if not recipe.needs_demo_site:
        yield None
        return
    from .demo_site.server import run_demo_site

    with run_demo_site(params, (recipe.domain,)) as demo_site:
        yield demo_site.base_url


def _crawl(job: CrawlJob) -> CrawlOutcome:
    """Run the crawl in a process of its own and return how it ended.

    The process has its own session, so that Ctrl-C reaches this process alone, which then ends it.
    """
    command = [sys.executable, *CRAWL_PROGRAM]
    home = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryFile("w+") as errors, measure(job.recipe.name) as meter:
        process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        try:
            outcome = _follow(process, job, meter)
            process.wait()
        except KeyboardInterrupt:
            log.warning("stopped: what was collected is kept; run it again to go on")
            raise
        finally:
            _end(process)
        if outcome is None:
            raise AnymusError(
                f"the crawl process ended with code {process.returncode}: {_tail(errors)}",
                "run it again: it goes on where it was; if it ends again, report the lines above",
            )
        if outcome.ending == "failed":
            log.debug("%s", _tail(errors))
        return outcome


def _follow(process: "subprocess.Popen[str]", job: CrawlJob, meter: Meter) -> CrawlOutcome | None:
    """Hand the job over, show the progress, and return the outcome if one came."""
    assert process.stdin is not None
    assert process.stdout is not None
    outcome = None
    try:
        process.stdin.write(job.model_dump_json() + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        return None
    for line in process.stdout:
        kind, _, text = line.partition(" ")
        if kind == "outcome":
            outcome = CrawlOutcome.model_validate_json(text)
        elif kind == "progress":
            meter.show(CrawlProgress.model_validate_json(text))
        elif kind == "note":
            log.warning("%s: %s", job.recipe.name, Note.model_validate_json(text).text)
    return outcome


def _end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _require_success(recipe: Recipe, outcome: CrawlOutcome) -> None:
    if outcome.ending == "failed":
        raise AnymusError(
            f"the crawl of {recipe.name} failed: {outcome.detail}",
            "mend that and run it again: what was collected is kept",
        )
    if outcome.ending == "mismatch":
        raise DatasetError(
            f"the page no longer matches the recipe {recipe.name}: {outcome.detail}",
            f"`anymus sites check {recipe.name}` shows what each selector finds",
        )
    if outcome.pages:
        return
    start = recipe.start_urls[0] if recipe.start_urls else recipe.name
    reason, url = outcome.start_failure or "no answer", outcome.start_url or start
    if is_chosen(reason):
        raise PolicyError(
            f"{recipe.name}: {url} must not be fetched ({reason})",
            hint_of_refusal(recipe, reason),
        )
    raise DatasetError(
        f"{recipe.name}: {url} could not be read ({reason})", hint_of_refusal(recipe, reason)
    )


def _tail(errors: IO[str]) -> str:
    errors.seek(0)
    return " | ".join(errors.read().splitlines()[-_STDERR_LINES:]) or "no message"
