"""How a direction stands: its KID beside that of real pictures and of the baselines."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from .metrics import Estimate, Gain
from .pair import Domain

DIGITS = 3
"""Significant digits of every figure: another number of threads changes the fifth."""
PICTURES = {"a": "photos", "b": "manga faces"}
TITLES = {"a2b": "Photo to manga", "b2a": "Manga to photo"}
LABELS = {
    "floor": "real, other pictures",
    "translated": "translated",
    "untouched": "untouched",
    "colour": "colour transfer",
    "cartoon": "cartoon filter",
    "cartoon_colour": "cartoon and colour",
    "stylised": "stylisation",
    "sketch": "pencil sketch",
}
"""What a row of the table is, for people."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The KID of one direction and of what it is measured by.

    Attributes:
        source: Domain of the pictures that are translated: `a` or `b`.
        target: Domain that they are to look like.
        floor: KID of as many training pictures of the target: real against real.
        translated: KID of the model's translations.
        baselines: KID of the same pictures under each baseline; `untouched` is the first.
        gains: By how much `translated` is nearer than each baseline.
    """

    source: Domain
    target: Domain
    floor: Estimate
    translated: Estimate
    baselines: Mapping[str, Estimate]
    gains: Mapping[str, Gain]

    @property
    def direction(self) -> str:
        """Return `a2b` or `b2a`."""
        return f"{self.source}2{self.target}"

    @property
    def title(self) -> str:
        """Return the direction in words."""
        return TITLES[self.direction]

    def rows(self) -> dict[str, Estimate]:
        """Return the rows of the table by name: real pictures, the model, the baselines."""
        return {"floor": self.floor, "translated": self.translated, **self.baselines}

    def figures(self) -> dict[str, int | float | str]:
        """Return the figures by name; doing nothing is `identity` there."""
        named = f"kid_{self.target}"
        found: dict[str, int | float | str] = {
            **_named(named, self.translated),
            f"{named}_n": self.translated.n,
            f"{named}_subset_size": self.translated.subset_size,
            **_named(f"{named}_floor", self.floor),
        }
        for row, estimate in self.baselines.items():
            name = "identity" if row == "untouched" else row
            gain = self.gains[row]
            over = f"{named}_gain" if row == "untouched" else f"{named}_gain_over_{row}"
            found |= _named(f"{named}_{name}", estimate)
            found |= {over: gain.value, f"{over}_low": gain.low, f"{over}_high": gain.high}
            found[f"beats_{name}_{self.direction}"] = int(gain.is_better)
        way = self.baselines["untouched"].value - self.floor.value
        found[f"{named}_gap_closed"] = self.gains["untouched"].value / way if way > 0 else 0.0
        return found

    def table(self) -> str:
        """Return the rows with their 95 % intervals as plain text."""
        width = max(map(len, LABELS.values()))
        head = ("KID", "low", "high", "gain", "low", "high")
        lines = [
            f"{self.title}, n = {self.translated.n}: KID to real {PICTURES[self.target]}, lower is"
            " nearer; gain of the model over each baseline; 95 % intervals",
            f"  {'':<{width}}" + "".join(f"{name:>11}" for name in head),
        ]
        for row, one in self.rows().items():
            values = [one.value, one.low, one.high, *self.gains.get(row, ())]
            lines.append(
                f"  {LABELS[row]:<{width}}" + "".join(f"{value:11.{DIGITS}g}" for value in values)
            )
        return "\n".join(lines) + "\n"


def _named(name: str, estimate: Estimate) -> dict[str, float]:
    values = asdict(estimate)
    return {name: estimate.value, **{f"{name}_{end}": values[end] for end in _ENDS}}


_ENDS = ("std", "low", "high")
