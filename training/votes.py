"""Votes: which of two translations people like better, one JSON object a line, and what they show.

A row says all that is needed to count it: which weights, which picture, what stood where.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from anymus.errors import DatasetError
from anymus.files import locked, write_text

Side = Literal["a", "b"]
Choice = Literal["a", "b", "tie"]

_Z = 1.959964
"""Standard deviations of a normal distribution on each side of its middle 95 %."""


class Vote(BaseModel):
    """What one person chose on one picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    picture: str = Field(min_length=1, description="path below the data set, POSIX form")
    direction: Literal["a2b", "b2a"]
    name_a: str = Field(description="what the first weights were called")
    name_b: str = Field(description="what the second weights were called")
    sha256_a: str = Field(pattern=r"^[0-9a-f]{64}$", description="hash of the first weights file")
    sha256_b: str = Field(pattern=r"^[0-9a-f]{64}$", description="hash of the second weights file")
    left: Side = Field(description="whose translation stood on the left")
    choice: Choice

    @property
    def subject(self) -> tuple[str, str, str]:
        """Return what the vote is about: direction and weights."""
        return self.direction, self.sha256_a, self.sha256_b


def read_votes(path: Path) -> dict[str, Vote]:
    """Return the votes of a file by picture.

    Raises:
        DatasetError: The file is missing, a line is no vote, or not all votes are about the same
            weights.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read votes {path}: {error}", "run `anymus vote`") from error
    votes: dict[str, Vote] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            vote = Vote.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the line"
            raise DatasetError(
                f"{path}:{number}: no vote, {where}: {first['msg']}", "mend or remove that line"
            ) from error
        votes[vote.picture] = vote
    require_one_subject(votes.values(), str(path))
    return votes


def require_one_subject(votes: Iterable[Vote], where: str) -> None:
    """Check that votes are about the same direction of the same weights.

    Raises:
        DatasetError: They are not.
    """
    if len({vote.subject for vote in votes}) > 1:
        raise DatasetError(
            f"{where}: votes on different weights, or on both directions", "count them apart"
        )


class VoteStore:
    """A file of votes, written whole at every vote.

    Args:
        path: The JSON Lines file; made at the first vote.
        subject: What the votes are about; see `Vote.subject`.

    Raises:
        DatasetError: The file holds something else, or votes on other weights.
    """

    def __init__(self, path: Path, subject: tuple[str, str, str]) -> None:
        self._path = path
        if any(vote.subject != subject for vote in self.read().values()):
            raise DatasetError(
                f"{path} holds votes on other weights, or on the other direction",
                "give these a file of their own (-o)",
            )

    def read(self) -> dict[str, Vote]:
        """Return all votes as they are on the disk now, by picture."""
        return read_votes(self._path) if self._path.is_file() else {}

    def save(self, vote: Vote) -> None:
        """Put a vote into the file, in place of an older one on the same picture.

        Raises:
            OSError: It cannot be written; the file is as it was.
        """
        with locked(self._path):
            votes = self.read() | {vote.picture: vote}
            write_text(self._path, "".join(f"{one.model_dump_json()}\n" for one in votes.values()))


@dataclass(frozen=True, slots=True)
class VoteReport:
    """What votes show.

    Attributes:
        name_a: The first weights.
        name_b: The second weights.
        voters: Files of votes.
        wins_a: Pictures on which more voters chose the first.
        wins_b: The same of the second.
        ties: Pictures on which they were even.
        left_wins: Votes for what stood on the left, of those that were no ties.
        right_wins: The same of the right.
    """

    name_a: str
    name_b: str
    voters: int
    wins_a: int
    wins_b: int
    ties: int
    left_wins: int
    right_wins: int

    @property
    def verdict(self) -> str:
        """Return which is preferred; nothing is where the interval of the share holds 0.5."""
        low, high = wilson_interval(self.wins_b, self.wins_a + self.wins_b)
        if low > 0.5:
            return f"B ({self.name_b}) is preferred"
        return f"A ({self.name_a}) is preferred" if high < 0.5 else "no difference"

    def as_metrics(self) -> dict[str, int | float | str]:
        """Return the figures by name; shares are of what was decided, with 95 % intervals."""
        return {
            "verdict": self.verdict,
            "weights_a": self.name_a,
            "weights_b": self.name_b,
            "voters": self.voters,
            "pictures": self.wins_a + self.wins_b + self.ties,
            "wins_a": self.wins_a,
            "wins_b": self.wins_b,
            "ties": self.ties,
            **_share("share_b", self.wins_b, self.wins_a),
            **_share("share_left", self.left_wins, self.right_wins),
        }


def count_votes(files: Sequence[Iterable[Vote]]) -> VoteReport:
    """Return what the votes of one or more people show.

    Every picture counts once, whoever many saw it: two people who look at one picture are not two
    pictures, and the interval is over pictures.

    Args:
        files: The votes of each person.

    Raises:
        DatasetError: There are none, or they are about different weights.
    """
    votes = [vote for file in files for vote in file]
    if not votes:
        raise DatasetError("there are no votes", "run `anymus vote`")
    require_one_subject(votes, "these files")
    margins: Counter[str] = Counter()  # by picture: votes for the second less those for the first
    for vote in votes:
        margins[vote.picture] += {"a": -1, "b": 1, "tie": 0}[vote.choice]
    decided = [vote for vote in votes if vote.choice != "tie"]
    left_wins = sum(vote.choice == vote.left for vote in decided)
    return VoteReport(
        name_a=votes[0].name_a,
        name_b=votes[0].name_b,
        voters=len(files),
        wins_a=sum(margin < 0 for margin in margins.values()),
        wins_b=sum(margin > 0 for margin in margins.values()),
        ties=sum(margin == 0 for margin in margins.values()),
        left_wins=left_wins,
        right_wins=len(decided) - left_wins,
    )


def wilson_interval(wins: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927); all of 0 to 1 where nothing was tried."""
    if trials == 0:
        return 0.0, 1.0
    share, spread = wins / trials, _Z**2 / trials
    middle = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def _share(name: str, wins: int, losses: int) -> dict[str, float]:
    trials = wins + losses
    low, high = wilson_interval(wins, trials)
    share = wins / trials if trials else 0.5
    return {name: share, f"{name}_low": low, f"{name}_high": high}
