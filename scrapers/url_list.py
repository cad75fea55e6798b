"""Lists of picture URLs with their credits: txt, csv, jsonl and parquet files."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from anymus.errors import DeviceError, ParamsError

SUFFIXES = (".txt", ".csv", ".jsonl", ".parquet")
_BATCH_ROWS = 4096


@dataclass(frozen=True, slots=True)
class ListedUrl:
    """A line of a list: a picture's URL and what the list says of it."""

    url: str
    page_url: str | None = None
    title: str | None = None
    author: str | None = None
    licence: str | None = None
    licence_url: str | None = None
    group: str | None = None


_NAMES = tuple(field.name for field in fields(ListedUrl))


def read_urls(path: Path) -> Iterator[ListedUrl]:
    """Yield the lines of a list, one by one.

    A txt file has one URL a line and `#` comments; the others have a column `url` and any of
    page_url, title, author, licence, licence_url, group.

    Raises:
        ParamsError: The file is missing, of another kind, has no column `url`, or is damaged.
        DeviceError: A parquet file without pyarrow.
    """
    readers = {
        ".txt": _read_txt,
        ".csv": _read_csv,
        ".jsonl": _read_jsonl,
        ".parquet": _read_parquet,
    }
    if not path.is_file():
        raise ParamsError(f"no list {path}", "give a file of URLs")
    if path.suffix.lower() not in readers:
        raise ParamsError(f"{path}: {path.suffix!r} is no list", f"one of {', '.join(SUFFIXES)}")
    try:
        for number, line in enumerate(readers[path.suffix.lower()](path), start=1):
            values = {name: str(line.get(name) or "").strip() or None for name in _NAMES}
            url = values.pop("url")
            if url is None:
                raise ParamsError(f"{path}: row {number} has no url", "fill it in or leave it out")
            yield ListedUrl(url, **values)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ParamsError(f"{path} cannot be read: {error}", "save it as UTF-8") from error


def _read_txt(path: Path) -> Iterator[Mapping[str, object]]:
    with path.open(encoding="utf-8-sig") as stream:
        for line in stream:
            url = line.strip()
            if url and not url.startswith("#"):
                yield {"url": url}


def _read_csv(path: Path) -> Iterator[Mapping[str, object]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        _require_url(path, reader.fieldnames or ())
        yield from reader


def _read_jsonl(path: Path) -> Iterator[Mapping[str, object]]:
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ParamsError(f"{path}:{number} is not JSON: {error}", "mend it") from error
            if not isinstance(row, dict):
                raise ParamsError(f"{path}:{number} is no JSON object", '{"url": ...}')
            _require_url(path, row)
            yield row


def _read_parquet(path: Path) -> Iterator[Mapping[str, object]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DeviceError(
            f"{path}: reading parquet needs pyarrow", "pip install 'anymus[parquet]'"
        ) from error
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            names = [name for name in _NAMES if name in table.schema_arrow.names]
            _require_url(path, names)
            for batch in table.iter_batches(_BATCH_ROWS, columns=names):
                yield from batch.to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise ParamsError(f"{path} is no parquet file: {error}", "write it again") from error


def _require_url(path: Path, names: object) -> None:
    if "url" not in names:  # type: ignore[operator]
        raise ParamsError(f"{path} has no column 'url'", "name the column of the URLs 'url'")
