"""Files of another revision of this repository, read through DVC without checking it out."""

import os
from pathlib import Path

from anymus.errors import AnymusError, DeviceError, ParamsError


class Revision:
    """The repository around the current folder, as a revision has it.

    What Git tracks comes from Git; what DVC tracks comes from its cache, or else from its remote.

    Args:
        name: A tag, branch or commit of the Git repository, or an experiment of DVC.

    Raises:
        ParamsError: Not a DVC repository, or no such revision.
        DeviceError: DVC is not installed.
    """

    def __init__(self, name: str) -> None:
        os.environ.setdefault("DVC_NO_ANALYTICS", "1")
        try:
            from dvc.api import DVCFileSystem
            from dvc.exceptions import DvcException
            from dvc.repo import Repo
            from dvc.scm import SCMError, resolve_rev
        except ImportError as error:
            raise DeviceError(f"revision {name!r} is read through DVC", "install DVC") from error
        self.name = name
        try:
            repo = Repo()
            resolve_rev(repo.scm, name)
            self._root = Path(os.path.realpath(repo.scm.root_dir))
            is_below = repo.root_dir != repo.scm.root_dir
            self._files = DVCFileSystem(url=".", rev=name, subrepos=is_below)
        except (DvcException, SCMError) as error:
            text = " ".join(str(error).split())
            hint = "give a tag, branch or commit of this Git repository"
            raise ParamsError(f"cannot read revision {name!r}: {text}", hint) from error

    @property
    def fetch_hint(self) -> str:
        """Return what brings files into the cache that it lacks."""
        return f"`dvc fetch --all-commits`, or `git checkout {self.name}`, then `dvc pull`"

    def has(self, path: Path) -> bool:
        """Return whether the revision has a file or a folder, be it in the cache or not.

        Args:
            path: Where it lies in the working tree, relative to the current folder.

        Raises:
            ParamsError: That is outside the repository.
        """
        return bool(self._files.exists(self._place(path)))

    def has_folder(self, path: Path) -> bool:
        """Return whether the revision has a folder at a path; see `has`."""
        return bool(self._files.isdir(self._place(path)))

    def copy(self, path: Path, target: Path) -> None:
        """Copy a file, or a folder with all that is in it.

        Args:
            path: Where it lies in the working tree, relative to the current folder.
            target: Where to copy it to; its folder is made.

        Raises:
            FileNotFoundError: The cache lacks it, and so does the remote.
            AnymusError: It cannot be read.
        """
        from dvc.exceptions import DvcException

        place = self._place(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if self._files.isdir(place):
                self._files.get(place, str(target), recursive=True)
            else:
                self._files.get_file(place, str(target))
        except DvcException as error:
            raise AnymusError(f"{path} of {self.name} cannot be read: {error}") from error

    def _place(self, path: Path) -> str:
        """Return a path as the repository knows it; links in it are not followed."""
        place = Path(os.path.relpath(Path.cwd() / path, self._root))
        if place.parts[:1] == (os.pardir,):
            raise ParamsError(
                f"{path} lies outside the repository {self._root}", "name a path inside it"
            )
        return place.as_posix()
