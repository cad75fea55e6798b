"""Weights of another revision of this repository, read through DVC without checking it out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anymus.errors import CheckpointError, DeviceError, ParamsError


def fetch_weights(revision: str, files: Sequence[Path], dst: Path) -> None:
    """Copy files as they were at a revision into a folder; of several at least one must be there.

    A file that Git tracks comes from Git, one that DVC tracks from its cache, or from its remote.

    Args:
        revision: What Git calls a revision, or the name of an experiment of DVC.
        files: Paths in the working tree of the repository that the current folder is in.
        dst: Folder to copy to.

    Raises:
        ParamsError: No such revision, or this folder is in no repository.
        CheckpointError: The revision has none of the files, or DVC's cache lacks one.
        DeviceError: DVC is not installed.
    """
    try:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
    except ImportError as error:
        raise DeviceError(
            f"{revision!r} is no path, and to read it as a revision needs DVC",
            "install DVC, or name weights",
        ) from error
    try:
        root = Path(Repo.find_root())
        repository = Repo(str(root), rev=revision)
    except DvcException as error:
        raise ParamsError(
            f"{revision!r} is no path, and no revision here: {error}",
            "name weights, a folder of them, or a revision (git log --oneline)",
        ) from error
    with repository:
        places = [_place_in(root, file) for file in files]
        found = [place for place in places if repository.dvcfs.isfile(place)]
        if not found:
            raise CheckpointError(
                f"revision {revision} has no {places[0]}", "name another, or a folder of weights"
            )
        for place in found:
            _copy(repository.dvcfs, revision, place, dst / Path(place).name)


def _place_in(root: Path, file: Path) -> str:
    path, home = file.resolve(), root.resolve()
    if not path.is_relative_to(home):
        raise ParamsError(
            f"{file} lies outside the repository {home}", "set paths.models to a folder inside it"
        )
    return path.relative_to(home).as_posix()


def _copy(files: Any, revision: str, place: str, target: Path) -> None:
    from dvc.exceptions import DvcException

    try:
        files.get_file(place, str(target))
    except (OSError, DvcException) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{place} of revision {revision} is not in DVC's cache: {reason}",
            f"run `git checkout {revision} && dvc pull`, or `dvc fetch --all-commits`",
        ) from error
