"""Differences between two contenders: a figure of each, the interval between, a verdict."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .standing import DIGITS, TITLES

_LOWER_IS_BETTER = ("kid", "cycle_l1", "identity_l1")
_HIGHER_IS_BETTER = ("coverage",)
"""Beginnings of the figures of which less, or more, is better; of the others neither way is."""
_COLUMNS = ("figure", "first", "second", "second - first", "95 % interval", "verdict")


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of two contenders.

    Attributes:
        figure: Its name, as in metrics.json.
        direction: a2b or b2a.
        first: Its value for the first contender.
        second: Its value for the second.
        low: Lower end of the 95 % interval of second - first, the same pictures drawn for both.
        high: Its upper end.
    """

    figure: str
    direction: str
    first: float
    second: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Return which is better; neither is where the interval holds 0."""
        if self.low <= 0 <= self.high:
            return "no difference"
        is_higher = self.low > 0
        if not self.figure.startswith(_LOWER_IS_BETTER + _HIGHER_IS_BETTER):
            return "the second is higher" if is_higher else "the second is lower"
        is_better = is_higher == self.figure.startswith(_HIGHER_IS_BETTER)
        return "the second is better" if is_better else "the first is better"

    def figures(self) -> dict[str, float | str]:
        """Return what is known of the figure, by name, rounded as the evaluation rounds."""
        values = {
            "first": self.first,
            "second": self.second,
            "difference": self.second - self.first,
            "low": self.low,
            "high": self.high,
        }
        rounded = {f"{self.figure}_{end}": float(_text(value)) for end, value in values.items()}
        return {**rounded, f"{self.figure}_verdict": self.verdict}

    def cells(self) -> tuple[str, ...]:
        """Return the texts of the figure's row in the table."""
        interval = f"{_text(self.low)} to {_text(self.high)}"
        values = map(_text, (self.first, self.second, self.second - self.first))
        return self.figure, *values, interval, self.verdict


@dataclass(frozen=True, slots=True)
class CompareReport:
    """What a comparison found.

    Attributes:
        facts: Which weights (`first`, `second`), how many pictures, what looked at them.
        differences: One for each figure of each direction.
    """

    facts: Mapping[str, int | str]
    differences: Sequence[Difference]

    def as_metrics(self) -> dict[str, int | float | str]:
        """Return the figures by name."""
        found: dict[str, int | float | str] = dict(self.facts)
        for one in self.differences:
            found |= one.figures()
        return found

    def as_text(self) -> str:
        """Return a table of each direction: Markdown, aligned to be read as it is."""
        facts = self.facts
        lines = [
            f"First: {facts['first']}. Second: {facts['second']}."
            f" {facts['test_a']} photos and {facts['test_b']} manga faces at"
            f" {facts['image_size_px']} px, seen by {facts['feature_network']}."
        ]
        for direction in dict.fromkeys(one.direction for one in self.differences):
            rows = (one.cells() for one in self.differences if one.direction == direction)
            lines += ["", f"{TITLES[direction]}:", "", *_table(_COLUMNS, rows)]
        return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table whose columns are as wide as their widest cell."""
    every = [head, *rows]
    widths = [max(len(row[column]) for row in every) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in every
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def _text(value: float) -> str:
    return f"{value:.{DIGITS}g}"
