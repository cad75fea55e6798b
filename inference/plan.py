"""The plan of a conversion: which pictures are taken, and what each result will be called."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from anymus.errors import AnymusError, DatasetError, ParamsError
from anymus.files import IMAGE_SUFFIXES, walk_files
from anymus.shards import SHARD_SUFFIX, plain_path, read_index

from .options import OUTPUT_OF_SUFFIX, SUFFIX_OF_OUTPUT, ConvertOptions, OutputFormat

_MAX_NAME_BYTES = 200


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to convert.

    Attributes:
        source: The picture's file.
        name: What reports call it: its path below the source folder.
        output: The file of its first result.
    """

    source: Path
    name: str
    output: Path


@dataclass(frozen=True, slots=True)
class Plan:
    """What a conversion will read and write.

    Attributes:
        items: The pictures, in the order of their paths.
        folder: Where the results go.
        format: Their format.
        other_files: How many files were left out because their suffix is not a picture's.
        taken: Keys (see `_key`) of all first results and all sources.
    """

    items: tuple[Item, ...]
    folder: Path
    format: OutputFormat
    other_files: int
    taken: frozenset[str]

    def path_of(self, item: Item, number: int) -> Path:
        """Return the file of a picture's nth result (1, 2, ...), never one that is another's.

        The first is `NAME.png`, the further ones `NAME-2.png`; where that name belongs to another
        picture, `NAME-face2.png`.
        """
        if number == 1:
            return item.output
        middle = "-"
        while True:
            name = f"{item.output.stem}{middle}{number}{item.output.suffix}"
            path = item.output.with_name(name)
            if _key(path) not in self.taken:
                return path
            middle = "-face" if middle == "-" else f"{middle}_"


def plan_conversion(source: Path, dst: Path, options: ConvertOptions) -> Plan:
    """Return the plan for one picture, or for all pictures below a folder.

    Hidden files, files that are not pictures by their suffix, and everything below `dst` are left
    out. The folder tree is kept. Pictures that would share a result's name (`a.jpg`, `a.png`) get
    their suffix into it (`a-jpg`, `a-png`); upper and lower case count as the same.

    Raises:
        DatasetError: The source is missing or holds no picture.
        ParamsError: Source, output and format do not go together, or a result would overwrite a
            picture of the source.
        AnymusError: A folder cannot be read, or the output is no folder.
    """
    options.check()
    if source.is_dir():
        return _plan_folder(source, dst, options)
    if not source.exists():
        raise DatasetError(f"no such file or folder: {source}", "check the path")
    return _plan_file(source, dst, options)


def _plan_file(source: Path, dst: Path, options: ConvertOptions) -> Plan:
    named = OUTPUT_OF_SUFFIX.get(dst.suffix.lower())
    if named is None or dst.is_dir():
        output_format = options.format or "png"
        name = _with_prefix(source.stem, options.prefix) + SUFFIX_OF_OUTPUT[output_format]
        return _make_plan([Item(source, source.name, dst / name)], dst, output_format, 0)
    if options.format not in (None, named):
        raise ParamsError(f"--format {options.format} and -o {dst} disagree", "leave one out")
    if options.prefix is not None:
        raise ParamsError(f"-p {options.prefix} and -o {dst} both name the result", "leave one out")
    return _make_plan([Item(source, source.name, dst)], dst.parent, named, 0)


def _plan_folder(source: Path, dst: Path, options: ConvertOptions) -> Plan:
    if not dst.exists() and dst.suffix.lower() in OUTPUT_OF_SUFFIX:
        raise ParamsError(
            f"{source} is a folder, so -o must be one, not {dst}",
            "for a film of a folder of frames: `anymus gif`",
        )
    if dst.resolve() == source.resolve():
        raise ParamsError(
            f"the output {dst} is the folder of the pictures itself", "give another folder with -o"
        )
    files = _walk(source, dst)
    sources = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    if not sources:
        raise DatasetError(
            f"no picture in {source} ({len(files)} other files)",
            "pictures end in " + ", ".join(sorted(IMAGE_SUFFIXES)),
        )
    output_format = options.format or "png"
    names = [plain_path(path).relative_to(source) for path in sources]
    outputs = _name_outputs(names, options.prefix)
    items = [
        Item(path, name.as_posix(), dst / f"{output}{SUFFIX_OF_OUTPUT[output_format]}")
        for path, name, output in zip(sources, names, outputs, strict=True)
    ]
    return _make_plan(items, dst, output_format, len(files) - len(sources))


def _make_plan(items: list[Item], folder: Path, output_format: OutputFormat, others: int) -> Plan:
    sources = {_key(item.source) for item in items}
    for item in items:
        if _key(item.output) in sources:
            raise ParamsError(
                f"{item.output} is a picture of the source and would be overwritten",
                "give another folder with -o",
            )
    _require_folder(folder)
    taken = frozenset(sources | {_key(item.output) for item in items})
    return Plan(tuple(items), folder, output_format, others, taken)


def _require_folder(folder: Path) -> None:
    for parent in (folder, *folder.parents):
        if parent.exists():
            if not parent.is_dir():
                raise AnymusError(
                    f"cannot write into {folder}: {parent} is a file", "give a folder with -o"
                )
            return


def _walk(source: Path, dst: Path) -> list[Path]:
    """Return the files below a folder in sorted order, without those of an output inside it.

    The members of a tar shard stand for it; a tar file that cannot be read is one more other file.
    """
    inside = dst.resolve()
    is_nested = inside.is_relative_to(source.resolve())
    try:
        files = [path for file in walk_files(source) for path in _members_or_file(file)]
        return [path for path in files if not (is_nested and inside in path.resolve().parents)]
    except OSError as error:
        raise AnymusError(
            f"cannot read {error.filename or source}: {error.strerror}", "check its permissions"
        ) from error


def _members_or_file(path: Path) -> list[Path]:
    if path.suffix != SHARD_SUFFIX:
        return [path]
    try:
        return [path / name for name in sorted(read_index(path))]
    except OSError:
        return [path]


def _name_outputs(relatives: list[Path], prefix: str | None) -> list[Path]:
    """Return a result's path below the output folder, without suffix, for each picture."""
    plain = [path.with_name(_with_prefix(path.stem, prefix)) for path in relatives]
    count_of = Counter(_fold(path) for path in plain)
    taken = {key for key, count in count_of.items() if count == 1}
    outputs = []
    for path, name in zip(relatives, plain, strict=True):
        output = name
        if count_of[_fold(name)] > 1:
            output = _first_free(name.with_name(f"{name.name}-{path.suffix[1:].lower()}"), taken)
            taken.add(_fold(output))
        outputs.append(output)
    return outputs


def _first_free(path: Path, taken: Collection[str]) -> Path:
    number, candidate = 1, path
    while _fold(candidate) in taken:
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def _with_prefix(stem: str, prefix: str | None) -> str:
    """Return `prefix-stem`, shortened to what file systems take, with a hash in the cut's place."""
    name = stem if prefix is None else f"{prefix}-{stem}"
    encoded = name.encode(errors="surrogateescape")
    if len(encoded) <= _MAX_NAME_BYTES:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:8]
    return f"{encoded[:_MAX_NAME_BYTES].decode(errors='ignore')}-{digest}"


def _key(path: Path) -> str:
    """Return what two paths share that some file system takes for one, wherever they start."""
    return _fold(path.parent.resolve() / path.name)


def _fold(path: Path) -> str:
    return unicodedata.normalize("NFC", path.as_posix()).casefold()
