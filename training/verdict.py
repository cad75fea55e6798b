"""The verdict of an evaluation in plain words: what the figures show, and what they do not."""

from collections.abc import Mapping, Sequence

from .standing import LABELS, PICTURES, TITLES

Figures = Mapping[str, int | float | str]

NOTHING = "identity"
FEW = 50
"""Pictures of the smaller side below which the verdict adds that there are few."""


def judge(direction: str, figures: Figures) -> str:
    """Return what the figures say about a direction (a2b, b2a), in two or three sentences.

    Better and worse are said only where the 95 % interval of the gain over doing nothing lies on
    one side of 0. The same holds for each baseline (`is_beaten`).

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
    rest = _judge_baselines(direction, figures) + _judge_faces(target, figures)
    return f"{TITLES[direction]}: {said}.{rest} Seen on {seen}."


def baselines(direction: str, figures: Figures) -> dict[str, bool | None]:
    """Return what `is_beaten` says of each baseline, by name, without doing nothing."""
    begin, end = "beats_", f"_{direction}"
    names = [name[len(begin) : -len(end)] for name in figures if _is_between(name, begin, end)]
    return {name: is_beaten(direction, figures, name) for name in names if name != NOTHING}


def is_beaten(direction: str, figures: Figures, name: str) -> bool | None:
    """Say whether the translation is nearer than a baseline; None: no difference is shown.

    False is said only where the whole interval of the gain over the baseline lies below 0.
    """
    if figures[f"beats_{name}_{direction}"]:
        return True
    over = "" if name == NOTHING else f"_over_{name}"
    return False if float(figures[f"kid_{direction[-1]}_gain{over}_high"]) < 0 else None


def _is_between(name: str, begin: str, end: str) -> bool:
    return name.startswith(begin) and name.endswith(end) and len(name) > len(begin) + len(end)


def _judge_baselines(direction: str, figures: Figures) -> str:
    found = baselines(direction, figures)
    beaten, unclear, nearer = (
        _listed([LABELS[name] for name, state in found.items() if state is wanted])
        for wanted in (True, None, False)
    )
    noun = "baselines" if " and " in beaten else "baseline"
    said = f" It beats the {noun} {beaten}." if beaten else ""
    said += f" It does not beat {nearer}: nearer than the translation." if nearer else ""
    return said + (f" No difference is shown to {unclear}." if unclear else "")


def _judge_faces(target: str, figures: Figures) -> str:
    """Return in how many translations a face is found; nothing where nobody looked."""
    name = f"face_share_{target}"
    if name not in figures:
        return ""
    share, low, high = (100 * float(figures[f"{name}{end}"]) for end in ("", "_low", "_high"))
    said = f" A face is found in {share:.0f} % of the translations (95 % interval {low:.0f} to"
    said += f" {high:.0f} %)"
    real = figures.get(f"{name}_real")
    return f"{said}." if real is None else f"{said}, in {100 * float(real):.0f} % of real ones."


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
