"""Tables that people fill in are read by their columns."""

from pathlib import Path

import pytest

from anymus.errors import ParamsError
from anymus.tables import read_table

COLUMNS = ("id", "cut", "note")


def test_lines_are_read_by_their_columns_and_say_where_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('\ufeffcut,id\n3,a\n"4\n5",b\n6\n', encoding="utf-8")
    rows = list(read_table(path, COLUMNS, needed=("id", "cut")))
    assert [(row["id"], row["cut"]) for row, _ in rows] == [("a", "3"), ("b", "4\n5"), (None, "6")]
    assert [where for _, where in rows] == [f"{path}:2", f"{path}:4", f"{path}:5"]


@pytest.mark.parametrize(
    ("content", "what", "hint"),
    [
        (b"note\n", r"t\.csv has no column cut, id", "its first line is id,cut,note"),
        (b"", "has no column cut, id", "its first line is"),
        (b"id,cut\n\xff,1\n", "is not a CSV in UTF-8", "save it as UTF-8"),
        (None, r"cannot read .*t\.csv: No such file", "its first line is"),
    ],
)
def test_what_is_no_such_table_is_refused(
    tmp_path: Path, content: bytes | None, what: str, hint: str
) -> None:
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ParamsError, match=what) as caught:
        list(read_table(path, COLUMNS, needed=("id", "cut")))
    assert hint in caught.value.hint
