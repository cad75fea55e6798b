"""Snapshot: the files of a project as a revision has them, read through DVC, or as they are now."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from anymus.blocklist import Blocklist, load_blocklist
from anymus.errors import DatasetError, ParamsError
from anymus.ledger import Ledger, load_ledger
from anymus.manifest import MANIFEST_NAME, Domain, ImageRecord, iter_manifest
from anymus.progress import log
from anymus.revision import Revision
from anymus.shards import SHARD_SUFFIX
from anymus.yaml_file import parse_yaml

from .overrides import Overrides, read_overrides

NOW = "the working tree"

Fetch = Callable[[str, Path], bool]


class Snapshot:
    """A project at one time. Files of a revision are copied to a scratch folder when asked for.

    Args:
        name: What messages call it: the revision as it was given, or `NOW`.
        root: Folder that the paths are relative to; for a revision an empty scratch folder.
        values: The parameters of that time, as plain values: only what is read is checked, so a
            revision from before a parameter was added can be compared.
        fetch: Copies a file of the revision to a path and says whether the revision has it; None
            for the working tree.
        fetch_hint: What brings files into DVC's cache that it lacks.

    Attributes:
        lacking: Manifests that the revision has, but DVC's cache and remote do not.
    """

    def __init__(
        self,
        name: str,
        root: Path,
        values: Mapping[str, Any],
        fetch: Fetch | None = None,
        fetch_hint: str = "",
    ) -> None:
        self.name = name
        self.values = values
        self.lacking: list[str] = []
        self._root = root
        self._fetch = fetch
        self._fetch_hint = fetch_hint

    def path_of(self, key: str) -> str:
        """Return a value of the section `paths`.

        Raises:
            ParamsError: The parameters of that time do not name it.
        """
        path = self.value(f"paths.{key}")
        if not isinstance(path, str):
            raise ParamsError(f"the parameters of {self.name} name no paths.{key}")
        return path

    def value(self, key_path: str) -> Any:
        """Return a parameter, or a section of them, by its key path; None where there is none."""
        value: Any = self.values
        for key in key_path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def find(self, path: str) -> Path | None:
        """Return where a file, or a member of a shard, can be read; None if there is none.

        Raises:
            FileNotFoundError: The revision has it, but DVC's cache and remote do not.
        """
        shard, suffix, member = path.partition(f"{SHARD_SUFFIX}/")
        stored = self._root / (shard + suffix.removesuffix("/"))
        if not stored.exists() and (
            self._fetch is None or not self._fetch(shard + suffix.removesuffix("/"), stored)
        ):
            return None
        return stored / member if member else stored

    def dataset(self) -> Iterator[ImageRecord]:
        """Return the rows of the data set, also those of faces that `split` left out.

        Raises:
            DatasetError: There is no data set, or DVC's cache and remote lack its manifest.
        """
        folder = self.path_of("dataset")
        try:
            path = self.find(f"{folder}/{MANIFEST_NAME}")
        except FileNotFoundError as error:
            raise DatasetError(
                f"DVC's cache lacks {folder}/{MANIFEST_NAME} of {self.name}",
                self._fetch_hint,
            ) from error
        if path is None:
            raise DatasetError(
                f"{self.name} has no {folder}/{MANIFEST_NAME}",
                "run `dvc repro split`, and commit dvc.lock to have a revision to compare with",
            )
        return iter_manifest(path.parent)

    def rows(self, stage: str, domain: Domain) -> Iterator[ImageRecord] | None:
        """Return the rows that a stage wrote; None, after a warning, where there are none to read.

        Args:
            stage: Key of its folder in `paths`: raw, detected, faces or unique.
            domain: Whose rows.
        """
        name = f"{self.path_of(stage)}/{domain}/{MANIFEST_NAME}"
        try:
            path = self.find(name)
        except FileNotFoundError:
            path = None
        if path is None:
            if name not in self.lacking:
                self.lacking.append(name)
                hint = "" if self._fetch is None else f": {self._fetch_hint}"
                log.warning("%s of %s cannot be read%s", name, self.name, hint)
            return None
        return iter_manifest(path.parent)

    @cached_property
    def blocklist(self) -> Blocklist:
        """Return what was blocked."""
        path = self.find(self.path_of("blocklist"))
        return Blocklist() if path is None else load_blocklist(path)

    @cached_property
    def ledger(self) -> Ledger:
        """Return the sides that were recorded; none in a state from before there was a ledger."""
        name = self.value("paths.sides")
        path = self.find(name) if isinstance(name, str) else None
        return Ledger() if path is None else load_ledger(path)

    @cached_property
    def overrides(self) -> Overrides:
        """Return what people had decided."""
        return read_overrides(self._root / self.path_of("overrides"))


def take_working_tree(values: Mapping[str, Any]) -> Snapshot:
    """Return the project in the current folder as it is now."""
    return Snapshot(NOW, Path(), values)


def take_revision(rev: str, params: Path, scratch: Path) -> Snapshot:
    """Return the project of the current folder as a revision has it.

    Args:
        rev: A tag, branch or commit of the Git repository.
        params: Path of the parameter file below the current folder.
        scratch: An empty folder that takes copies.

    Raises:
        ParamsError: Not a DVC repository, no such revision, or no parameters in it.
    """
    revision = Revision(rev)

    def fetch(path: str, target: Path) -> bool:
        if not revision.has(Path(path)):
            return False
        revision.copy(Path(path), target)
        return True

    if not fetch(params.as_posix(), scratch / params):
        raise ParamsError(f"{rev} has no {params}", "give --params as it was called then")
    values = _read_values(scratch / params, rev)
    folder = values["paths"].get("overrides")
    if folder is not None and revision.has_folder(Path(str(folder))):
        revision.copy(Path(str(folder)), scratch / str(folder))
    return Snapshot(rev, scratch, values, fetch, revision.fetch_hint)


def _read_values(path: Path, rev: str) -> Mapping[str, Any]:
    from ruamel.yaml.error import YAMLError

    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"the parameters of {rev} are not YAML") from error
    if not isinstance(values, dict) or not isinstance(values.get("paths"), dict):
        raise ParamsError(f"the parameters of {rev} name no paths")
    return values
