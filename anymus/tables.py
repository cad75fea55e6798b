"""Tables that people fill in: CSV files whose first line names their columns."""

import csv
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from .errors import ParamsError

Row = dict[str, str | None]


def read_table(
    path: Path, columns: Sequence[str], needed: Collection[str]
) -> Iterator[tuple[Row, str]]:
    """Yield each line of a CSV in UTF-8 by its columns, and where it stands, as `file:line`.

    Args:
        path: The file.
        columns: As they are named to who has to mend it.
        needed: Those that must be there.

    Raises:
        ParamsError: It cannot be read, is no CSV in UTF-8, or lacks a column.
    """
    hint = f"its first line is {','.join(columns)}"
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if missing := set(needed).difference(reader.fieldnames or ()):
                raise ParamsError(f"{path} has no column {', '.join(sorted(missing))}", hint)
            for row in reader:
                yield row, f"{path}:{reader.line_num}"
    except OSError as error:
        raise ParamsError(f"cannot read {path}: {error.strerror}", hint) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ParamsError(f"{path} is not a CSV in UTF-8: {error}", "save it as UTF-8") from error
