"""The generators that come with Anymus: their names, files, cards, and the check of their bytes.

A set called `drawn` is the folder `anymus/weights/drawn` with `generator_a2b.safetensors`,
`generator_b2a.safetensors` and the model card `card.md`. `anymus/weights/generators.sha256` has the
hashes of all sets, in the form of sha256sum.
"""

from dataclasses import dataclass
from pathlib import Path

import anymus
from anymus.errors import CheckpointError, ParamsError
from anymus.files import sha256_file

FOLDER = Path(anymus.__file__).parent / "weights"
DEFAULT_SET = "drawn"
DEFAULT_SET_BACK = "drawn-small"
"""Of manga to photo: its small network keeps more faces (docs/training.md)."""
SUMS_NAME = "generators.sha256"
CARD_NAME = "card.md"
_HINT = "install Anymus again, or name other weights"


@dataclass(frozen=True, slots=True)
class ShippedWeights:
    """One weights file of a set.

    Attributes:
        name: Of the set, what `-g` takes.
        path: The file.
        sha256: What its bytes must hash to.
    """

    name: str
    path: Path
    sha256: str

    def is_sound(self) -> bool:
        """Return whether the file is there with the bytes that were shipped."""
        return _is_sound(self.path, self.sha256)

    def require_sound(self) -> None:
        """Do nothing for a sound file.

        Raises:
            CheckpointError: It is missing or damaged.
        """
        require_sound(self.path, self.sha256, _HINT)


def require_sound(path: Path, sha256: str, hint: str) -> None:
    """Do nothing for a file with the bytes that were shipped.

    Raises:
        CheckpointError: It is missing or damaged; `hint` says what to do.
    """
    if not _is_sound(path, sha256):
        raise CheckpointError(f"{path}: missing, or not the bytes that were shipped", hint)


def _is_sound(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_file(path) == sha256


def list_shipped() -> list[ShippedWeights]:
    """Return all weights files that belong to this installation, by name and direction.

    Raises:
        CheckpointError: The list of them is missing or damaged.
    """
    sums = FOLDER / SUMS_NAME
    try:
        return [_read_line(line) for line in sums.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{sums}: missing or damaged", _HINT) from error


def shipped_names() -> list[str]:
    """Return the names of the sets."""
    return sorted({one.name for one in list_shipped()})


def resolve_weights(weights: Path) -> Path:
    """Return the folder of a shipped set if that is what is named, else the path itself.

    A set's name wins over a file or folder of that name.

    Raises:
        CheckpointError: The set's files are missing or damaged.
    """
    named = [one for one in list_shipped() if one.name == str(weights)]
    for one in named:
        one.require_sound()
    return named[0].path.parent if named else weights


def read_card(name: str) -> str:
    """Return a set's model card, Markdown.

    Raises:
        ParamsError: There is no such set.
    """
    if name not in shipped_names():
        raise ParamsError(f"no weights called {name}", f"there are: {', '.join(shipped_names())}")
    return (FOLDER / name / CARD_NAME).read_text(encoding="utf-8")


def _read_line(line: str) -> ShippedWeights:
    sha256, file = line.split()
    path = FOLDER / file
    if len(sha256) != 64 or path.parent.parent != FOLDER:
        raise ValueError(line)
    return ShippedWeights(path.parent.name, path, sha256)
