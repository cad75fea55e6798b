"""The scrape stage: one recipe crawled into a folder of original bytes and a manifest."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO

from anymus.errors import AnymusError, DatasetError, ParamsError, PolicyError
from anymus.files import atomic_folder
from anymus.manifest import ImageRecord
from anymus.params import Params
from anymus.progress import log

from .job import JOURNAL_NAME, CrawlJob, CrawlOutcome, CrawlProgress
from .report import ScrapeReport, finish, is_chosen, require_own_folder
from .sites import Recipe, load_recipe

_GRACE_S = 2.0
_STDERR_LINES = 5


def scrape(params: Params, site: str, dst: Path) -> ScrapeReport:
    """Crawl a site's recipe into `dst`: `manifest.jsonl` and the pictures' original bytes.

    Pictures are named by their SHA-256. `dst` is replaced as a whole at the end; until then, and
    after a failure, it stays as it was. The demo site is started and stopped for its recipes.

    Args:
        params: All parameters; `scrape`, `seed` and `engine` are used.
        site: The name of a shipped recipe, or the path of a recipe ending in .yaml.
        dst: The folder to fill.

    Raises:
        ParamsError: The site is unknown, the contact is malformed, or `dst` holds other things.
        PolicyError: The contact is missing, or the owner's rules forbid the start page.
        DatasetError: The pages do not match the recipe, or no picture was kept.
        AnymusError: The demo site's port is in use, or too many pictures are unusable.
    """
    recipe = load_recipe(site)
    user_agent = build_user_agent(recipe, params.scrape.contact)
    require_own_folder(dst)
    with _site_of(params, recipe) as base_url, atomic_folder(dst) as partial:
        job = CrawlJob(
            recipe=recipe.at(base_url or ""),
            limits=params.scrape,
            user_agent=user_agent,
            folder=str(partial),
            base_url=base_url,
        )
        outcome = _crawl(job)
        rows = _read_journal(partial / JOURNAL_NAME)
        _require_success(recipe, outcome)
        return finish(
            rows,
            partial,
            dst,
            site=recipe.name,
            domain=recipe.domain,
            max_rejected_share=params.scrape.max_rejected_share,
            pages=outcome.pages,
            is_complete=outcome.ending == "complete",
        )


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


@contextmanager
def _site_of(params: Params, recipe: Recipe) -> Iterator[str | None]:
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
    command = [sys.executable, "-m", "scrapers.crawl"]
    home = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryFile("w+") as errors:
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
            outcome = _follow(process, job)
            process.wait()
        finally:
            _end(process)
        if outcome is None:
            raise AnymusError(
                f"the crawl process ended with code {process.returncode}: {_tail(errors)}",
                "run it again; if it ends again, report the lines above",
            )
        if outcome.ending == "failed":
            log.debug("%s", _tail(errors))
        return outcome


def _follow(process: "subprocess.Popen[str]", job: CrawlJob) -> CrawlOutcome | None:
    """Hand the job over, log the progress, and return the outcome if one came."""
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
            now = CrawlProgress.model_validate_json(text)
            message = "%s: %d pages, %d pictures, %d rejected"
            log.info(message, job.recipe.name, now.pages, now.pictures, now.rejected)
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
        raise AnymusError(f"the crawl of {recipe.name} failed: {outcome.detail}", "try it again")
    if outcome.ending == "mismatch":
        raise DatasetError(
            f"the page no longer matches the recipe {recipe.name}: {outcome.detail}",
            "look at the page and mend the recipe's selector",
        )
    if outcome.pages:
        return
    reason, url = outcome.start_failure or "no answer", outcome.start_url or recipe.start_urls[0]
    if is_chosen(reason):
        raise PolicyError(
            f"{recipe.name}: {url} must not be fetched ({reason})",
            "choose another source, or ask its owner",
        )
    raise DatasetError(
        f"{recipe.name}: {url} could not be read ({reason})", "look at the site, or try again later"
    )


def _read_journal(path: Path) -> list[ImageRecord]:
    """Return the rows of a journal, and remove it."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    path.unlink()
    return [ImageRecord.model_validate_json(line) for line in lines]


def _tail(errors: IO[str]) -> str:
    errors.seek(0)
    return " | ".join(errors.read().splitlines()[-_STDERR_LINES:]) or "no message"
