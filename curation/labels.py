"""Labels: faces that a person marked on pictures, one JSON object a line, one line a picture."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from anymus.errors import DatasetError, ParamsError
from anymus.files import locked, write_text

View = Literal["front", "three_quarter", "profile", "partial", "tiny"]
Pixel = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
LabelBox = tuple[Pixel, Pixel, Positive, Positive]
LabelPoint = tuple[Pixel, Pixel]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LabelledFace(_Row):
    """A face as a person marked it, in pixels of the upright picture."""

    box: LabelBox = Field(description="x, y, width, height of the head with its hair, to the chin")
    view: View = Field(description="from where, or how little, the face is seen")
    left_eye: LabelPoint | None = Field(description="middle of the eye with the smaller x")
    right_eye: LabelPoint | None = Field(description="middle of the other eye")

    @model_validator(mode="after")
    def _order_eyes(self) -> "LabelledFace":
        if self.left_eye and self.right_eye and self.left_eye[0] > self.right_eye[0]:
            raise ValueError("left_eye lies right of right_eye")
        return self


class PictureLabels(_Row):
    """What a person marked on one picture."""

    file: str = Field(min_length=1, description="path below the folder of pictures, POSIX form")
    width_px: int = Field(gt=0, description="width of the upright picture")
    height_px: int = Field(gt=0, description="height of the upright picture")
    faces: tuple[LabelledFace, ...]
    negatives: tuple[LabelBox, ...] = Field(
        description="boxes of what looks like a face and is none: balloons, hands, hair"
    )
    is_done: bool = Field(description="whether every face of the picture is marked")

    @model_validator(mode="after")
    def _check_places(self) -> "PictureLabels":
        path = Path(self.file)
        if path.is_absolute() or ".." in path.parts or "\\" in self.file:
            raise ValueError(f"file {self.file!r} is not a path below the folder")
        for x, y, width, height in (*(face.box for face in self.faces), *self.negatives):
            if x + width <= 0 or y + height <= 0 or x >= self.width_px or y >= self.height_px:
                raise ValueError(f"box {(x, y, width, height)} lies outside the picture")
        return self

    @property
    def revision(self) -> str:
        """Return a word that changes with the content, to notice that somebody else saved."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


def read_labels(path: Path) -> dict[str, PictureLabels]:
    """Return the rows of a file of labels by picture; of two rows of one picture the later.

    Raises:
        DatasetError: The file is missing, or a line is not a row (the line is named).
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read labels {path}: {error}", "run `anymus label`") from error
    rows = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = PictureLabels.model_validate_json(line)
        except ValidationError as error:
            raise DatasetError(
                f"{path}:{number}: {_first_problem(error)}", "mend or remove that line"
            ) from error
        rows[row.file] = row
    return rows


class LabelStore:
    """A file of labels that several windows and several servers may write to at once.

    Args:
        path: The JSON Lines file; made at the first save, always written whole or not at all.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.read()

    def read(self) -> dict[str, PictureLabels]:
        """Return all rows as they are on the disk now, by picture."""
        return read_labels(self._path) if self._path.is_file() else {}

    def save(self, row: PictureLabels, known: str | None) -> str | None:
        """Put a row into the file, and return its revision; None: somebody else saved before.

        Args:
            row: The new row of a picture.
            known: Revision of the row that the person started from; None: there was none.
        """
        with locked(self._path):
            rows = self.read()
            there = rows.get(row.file)
            if (there.revision if there else None) != known:
                return None
            rows[row.file] = row
            lines = (rows[name].model_dump_json() for name in sorted(rows))
            write_text(self._path, "".join(f"{line}\n" for line in lines))
        return row.revision


def parse_row(body: bytes) -> PictureLabels:
    """Return the row that a browser sent.

    Raises:
        ParamsError: It is no row; the first thing wrong with it is named.
    """
    try:
        return PictureLabels.model_validate_json(body)
    except ValidationError as error:
        raise ParamsError(f"not a row of labels: {_first_problem(error)}") from error


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the row"
    return f"{where}: {first['msg']}"
