"""A folder that somebody else tracks with DVC as a source, fetched from their remote."""

import os
import re
import tempfile
from pathlib import Path

from anymus.errors import AnymusError, DatasetError, ParamsError
from anymus.manifest import Domain
from anymus.params import Params
from anymus.progress import log

from .folder import scrape_folder
from .report import ScrapeReport, require_own_folder

_CREDENTIALS = re.compile(r"(?<=://)[^/@]*@")


def scrape_dvc(
    params: Params, repo: str, path: str, domain: Domain, dst: Path, rev: str | None = None
) -> ScrapeReport:
    """Fetch a folder of a DVC repository and fill `dst` with it, as `scrape_folder` does.

    What a `manifest.jsonl` in it says of the pictures is kept; the others are said to come from the
    repository at its revision.

    Args:
        params: All parameters.
        repo: URL or path of the Git repository.
        path: The folder in it, tracked by DVC or by Git.
        domain: photo or manga.
        dst: The folder to fill.
        rev: A tag, branch or commit; None: the current state.

    Raises:
        ParamsError: There is no such repository, revision or folder.
        DatasetError: Its remote lacks the data, or no picture was kept.
        AnymusError: As `scrape_folder`.
    """
    require_own_folder(dst)
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    with tempfile.TemporaryDirectory(prefix="anymus-dvc-") as folder:
        fetched = Path(folder) / "data"
        commit = _fetch(repo, path, rev, fetched)
        log.info("%s: fetched %s at %s", name_repo(repo), path, commit or "its current state")
        site = f"dvc {name_repo(repo)} {path}" + (f" @ {commit}" if commit else "")
        return scrape_folder(params, fetched, domain, dst, site=site)


def name_repo(repo: str) -> str:
    """Return how a repository is recorded: without credentials; a local one by its name."""
    if "://" in repo or repo.startswith("git@"):
        return _CREDENTIALS.sub("", repo)
    return Path(repo).resolve().name


def _fetch(repo: str, path: str, rev: str | None, dst: Path) -> str | None:
    """Fetch a folder into `dst` and return the commit it was taken from."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException, FileMissingError
    from dvc.scm import SCMError

    try:
        files = DVCFileSystem(url=repo, rev=rev)
        if not files.isdir(path):
            raise ParamsError(f"{repo} has no folder {path!r}", "`dvc list REPO PATH` shows them")
        files.get(path, str(dst), recursive=True)
        return None if rev is None else str(files.repo.scm.resolve_rev(rev))[:12]
    except FileMissingError as error:
        raise DatasetError(
            f"{repo}: its remote lacks {path}: {error}", "ask its owner for `dvc push`"
        ) from error
    except (DvcException, SCMError) as error:
        text = " ".join(str(error).split())
        raise ParamsError(f"{repo} cannot be read: {text}", "give a DVC repository") from error
    except OSError as error:
        raise AnymusError(f"{repo}: {path} cannot be fetched: {error}", "try it again") from error
