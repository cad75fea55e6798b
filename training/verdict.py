"""The verdict of an evaluation in plain words: what the figures show, and what they do not."""

from collections.abc import Mapping, Sequence

Figures = Mapping[str, int | float | str]

PICTURES = {"a": "photos", "b": "manga faces"}
TITLES = {"a2b": "Photo to manga", "b2a": "Manga to photo"}
NOTHING = "identity"
FEW = 50
"""Pictures of the smaller side below which the verdict adds that there are few."""


def judge(direction: str, figures: Figures) -> str:
    """Return what the figures say about a direction (a2b, b2a), in two or three sentences.

    Better and worse are said only where the 95 % interval of the gain over doing nothing lies on
    one side of 0. A baseline counts as beaten where its figure `beats_<name>_<direction>` is 1.

    Args:
        direction: a2b or b2a.
        figures: Those of metrics.json.
    """
    source, target = direction[0], direction[-1]
    gain, low, high = (float(figures[f"kid_{target}_gain{end}"]) for end in ("", "_low", "_high"))
    interval = f"95 % interval {low:.3g} to {high:.3g}"
    if low > 0:
        share = float(figures[f"kid_{target}_gap_closed"])
        said = f"better than doing nothing: KID to real {PICTURES[target]} falls by {gain:.3g}"
        said += f" ({interval}), {100 * share:.0f} % of the way to the real ones"
    elif high < 0:
        said = f"worse than doing nothing: KID to real {PICTURES[target]} rises by {-gain:.3g}"
        said += f" ({interval.replace(f'{low:.3g} to {high:.3g}', f'{-high:.3g} to {-low:.3g}')})"
    else:
        said = f"no difference to doing nothing is shown: KID changes by {-gain:.3g}"
        said += f", and the interval of the change holds 0 ({-high:.3g} to {-low:.3g})"
    counts = {side: int(figures[f"test_{side}"]) for side in (source, target)}
    few = "" if min(counts.values()) >= FEW else ", which is few: a small difference stays unseen"
    seen = f"{counts[source]} {PICTURES[source]} against {counts[target]} {PICTURES[target]}{few}"
    return f"{TITLES[direction]}: {said}.{_judge_baselines(direction, figures)} Seen on {seen}."


def baselines(direction: str, figures: Figures) -> dict[str, bool]:
    """Return which baselines the translation beats, by name, without doing nothing."""
    begin, end = "beats_", f"_{direction}"
    names = [name[len(begin) : -len(end)] for name in figures if _is_between(name, begin, end)]
    return {name: bool(figures[f"{begin}{name}{end}"]) for name in names if name != NOTHING}


def _is_between(name: str, begin: str, end: str) -> bool:
    return name.startswith(begin) and name.endswith(end) and len(name) > len(begin) + len(end)


def _judge_baselines(direction: str, figures: Figures) -> str:
    found = baselines(direction, figures)
    beaten = [words(name) for name, is_beaten in found.items() if is_beaten]
    rest = [words(name) for name, is_beaten in found.items() if not is_beaten]
    said = f" It beats the baselines {_listed(beaten)}." if beaten else ""
    return said + (f" It is not shown to beat {_listed(rest)}." if rest else "")


def words(name: str) -> str:
    """Return the name of a figure or a baseline as it stands in a sentence."""
    return name.replace("_", " ")


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
