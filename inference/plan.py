"""The plan of a conversion: which pictures are taken, and what each result will be called."""

import glob
import hashlib
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from anymus.errors import AnymusError, DatasetError, ParamsError
from anymus.files import IMAGE_SUFFIXES, walk_files
from anymus.shards import SHARD_SUFFIX, plain_path, read_index

from .options import (
    ANIMATED_SUFFIXES,
    FILM_OUTPUTS,
    FILM_SUFFIXES,
    MAX_GIF_FPS,
    OUTPUT_OF_SUFFIX,
    SUFFIX_OF_OUTPUT,
    ConvertOptions,
    OutputFormat,
)

_MAX_NAME_BYTES = 200
_SOURCE_SUFFIXES = IMAGE_SUFFIXES | FILM_SUFFIXES


@dataclass(frozen=True, slots=True)
class Item:
    """One picture or film to convert.

    Attributes:
        source: Its file.
        name: What reports call it: its path below the source folder.
        output: The file of its first result; the folder of the frames where a film becomes such.
        format: The format of its results.
    """

    source: Path
    name: str
    output: Path
    format: OutputFormat

    @property
    def is_film(self) -> bool:
        """Say whether it is converted frame by frame."""
        return self.format in FILM_OUTPUTS or _is_film(self.source)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a conversion will read and write.

    Attributes:
        items: The pictures and films, in the order of their paths.
        folder: Where the results go.
        other_files: How many files were left out because their suffix is neither a picture's nor a
            film's.
        taken: Keys (see `_key`) of all first results and all sources.
    """

    items: tuple[Item, ...]
    folder: Path
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


def plan_conversion(source: Path | Sequence[Path], dst: Path, options: ConvertOptions) -> Plan:
    """Return the plan for one picture or film, for all below a folder, or for several of these.

    A source that does not exist and holds `*`, `?` or `[` is a pattern, `**` for any folders.
    Hidden files, files that are neither picture nor film by their suffix, and everything below
    `dst` are left out. The tree below a folder, or below a pattern's fixed part, is kept; of
    several sources a folder keeps its name. What would share a result's name (`a.jpg`, `a.png`)
    gets its suffix into it (`a-jpg`, `a-png`); upper and lower case count as the same.

    Raises:
        DatasetError: A source is missing, or there is no picture.
        ParamsError: Source, output and format do not go together, or a result would overwrite a
            picture of the source.
        AnymusError: A folder cannot be read, or the output is no folder.
    """
    options.check()
    sources = [source] if isinstance(source, Path) else list(source)
    if len(sources) == 1 and sources[0].is_file():
        plan = _plan_file(sources[0], dst, options)
    else:
        plan = _plan_files(sources, dst, options)
    _check_film_options(plan, options)
    return plan


def _check_film_options(plan: Plan, options: ConvertOptions) -> None:
    has_film = any(item.is_film for item in plan.items)
    if options.fps is not None and not has_film:
        raise ParamsError("--fps is for films, and there is none", "leave it out")
    if options.max_side_px is not None and not (has_film or options.is_at_own_size):
        raise ParamsError(
            "--max-side is for films, pasted faces and mosaics", "--faces paste, or leave it out"
        )
    has_gif = any(item.format == "gif" for item in plan.items)
    if has_gif and options.fps is not None and options.fps > MAX_GIF_FPS:
        raise ParamsError(
            f"--fps {options.fps:g}: a GIF shows at most {MAX_GIF_FPS:g}", "--fps 25, or -o x.mp4"
        )


def _plan_file(source: Path, dst: Path, options: ConvertOptions) -> Plan:
    suffix = dst.suffix.lower()
    named = OUTPUT_OF_SUFFIX.get(suffix)
    if dst.is_dir() or suffix not in OUTPUT_OF_SUFFIX.keys() | _SOURCE_SUFFIXES:
        output_format = _format_of(source, options.format)
        name = Path(_with_prefix(source.stem, options.prefix))
        output = dst / _add_suffix(source, name, output_format)
        return _make_plan([Item(source, source.name, output, output_format)], dst, 0)
    if named is None:
        kind, other = ("film", ".mp4") if suffix in FILM_SUFFIXES else ("picture", ".png")
        raise ParamsError(f"cannot write a {kind} {suffix}", f"-o {dst.with_suffix(other)}")
    if options.format not in (None, named):
        raise ParamsError(f"--format {options.format} and -o {dst} disagree", "leave one out")
    if options.prefix is not None:
        raise ParamsError(f"-p {options.prefix} and -o {dst} both name the result", "leave one out")
    if _format_of(source, named) != named:
        raise ParamsError(f"{source} is one picture, {dst} is a film", "give a picture with -o")
    if _is_film(source) and named not in FILM_OUTPUTS:
        raise ParamsError(
            f"{source} is a film, {dst} is one picture",
            f"--format {named} -o {dst.with_suffix('')} gives a folder of its frames",
        )
    return _make_plan([Item(source, source.name, dst, named)], dst.parent, 0)


def _require_no_file(sources: list[Path], dst: Path) -> None:
    """Do nothing where several results can go into `dst`."""
    what = "there are several sources"
    if len(sources) == 1:
        kind = "is a folder" if sources[0].is_dir() else "may match several files"
        what = f"{sources[0]} {kind}"
    if not dst.exists() and dst.suffix.lower() in OUTPUT_OF_SUFFIX.keys() | _SOURCE_SUFFIXES:
        raise ParamsError(
            f"{what}, so -o must be a folder, not {dst}",
            "for a film of a folder of frames: `anymus gif`",
        )
    if any(source.is_dir() and dst.resolve() == source.resolve() for source in sources):
        raise ParamsError(
            f"the output {dst} is the folder of the pictures itself", "give another folder with -o"
        )


def _plan_files(sources: list[Path], dst: Path, options: ConvertOptions) -> Plan:
    files = _gather(sources, dst)
    _require_no_file(sources, dst)
    paths = [path for path in files if path.suffix.lower() in _SOURCE_SUFFIXES]
    if not paths:
        where = ", ".join(map(str, sources))
        raise DatasetError(
            f"no picture in {where} ({len(files)} other files)",
            "pictures end in " + ", ".join(sorted(IMAGE_SUFFIXES)),
        )
    names = [files[path] for path in paths]
    items = []
    for path, name, output in zip(paths, names, _name_outputs(names, options.prefix), strict=True):
        output_format = _format_of(path, options.format)
        output_path = dst / _add_suffix(path, output, output_format)
        items.append(Item(path, name.as_posix(), output_path, output_format))
    return _make_plan(items, dst, len(files) - len(paths))


def _gather(sources: list[Path], dst: Path) -> dict[Path, Path]:
    """Return the files of all sources, each once, with their names below the output."""
    gathered: dict[Path, Path] = {}
    for source in sources:
        if source.is_dir():
            top = source if len(sources) == 1 else source.absolute().parent
            found = {path: plain_path(path).absolute() for path in _walk(source, dst)}
            named = {path: plain.relative_to(top.absolute()) for path, plain in found.items()}
        elif source.exists():
            named = {source: Path(source.name)}
        else:
            named = _match(source, dst)
        for path, name in named.items():
            gathered.setdefault(path, name)
    return gathered


def _match(pattern: Path, dst: Path) -> dict[Path, Path]:
    """Return the files that a pattern matches, and those below folders that it matches.

    Raises:
        DatasetError: It is no pattern, or matches nothing.
    """
    if not glob.has_magic(str(pattern)):
        raise DatasetError(f"no such file or folder: {pattern}", "check the path")
    fixed = list(takewhile(lambda part: not glob.has_magic(part), pattern.parts))
    top = Path(*fixed)
    named = {}
    for match in sorted(glob.glob(str(pattern), recursive=True)):  # noqa: PTH207 - as the shell
        path = Path(match)
        for file in _walk(path, dst) if path.is_dir() else [path]:
            if not _is_below(file, dst, top):
                named[file] = plain_path(file).relative_to(top)
    if not named:
        raise DatasetError(f"nothing matches {pattern}", "check the pattern")
    return named


def _is_film(source: Path) -> bool:
    return source.suffix.lower() in FILM_SUFFIXES


def _format_of(source: Path, asked: OutputFormat | None) -> OutputFormat:
    """Return the format of a source's results where `asked` is wanted, None for its usual one.

    A film stays what it is, or becomes MP4; a picture becomes PNG, also where a film is asked for
    and it cannot be animated.
    """
    suffix = source.suffix.lower()
    if asked is not None:
        is_possible = asked not in FILM_OUTPUTS or asked == "gif" or _is_film(source)
        return asked if is_possible or suffix in ANIMATED_SUFFIXES else "png"
    return OUTPUT_OF_SUFFIX.get(suffix, "mp4") if _is_film(source) else "png"


def _add_suffix(source: Path, name: Path, output_format: OutputFormat) -> Path:
    """Return a result's name with its suffix; a folder's, which has none, where frames go there."""
    if _is_film(source) and output_format not in FILM_OUTPUTS:
        return name.with_name(f"{name.name}-frames")
    return name.with_name(name.name + SUFFIX_OF_OUTPUT[output_format])


def _make_plan(items: list[Item], folder: Path, others: int) -> Plan:
    sources = {_key(item.source) for item in items}
    for item in items:
        if _key(item.output) in sources:
            raise ParamsError(
                f"{item.output} is a picture of the source and would be overwritten",
                "give another folder with -o",
            )
    _require_folder(folder)
    taken = frozenset(sources | {_key(item.output) for item in items})
    return Plan(tuple(items), folder, others, taken)


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
    try:
        files = [path for file in walk_files(source) for path in _members_or_file(file)]
    except OSError as error:
        raise AnymusError(
            f"cannot read {error.filename or source}: {error.strerror}", "check its permissions"
        ) from error
    return [path for path in files if not _is_below(path, dst, source)]


def _is_below(path: Path, dst: Path, top: Path) -> bool:
    """Say whether a file lies in an output that is a folder inside `top`."""
    inside = dst.resolve()
    is_nested = inside.is_relative_to(top.resolve()) and inside != top.resolve()
    return is_nested and inside in path.resolve().parents


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
