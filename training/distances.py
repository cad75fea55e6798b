"""The distances of one direction: translated pictures to real ones, beside what is cheap."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from anymus.params import Params

from .features import Features
from .metrics import (
    Sampling,
    cover,
    fid,
    kid,
    kid_gain,
    kid_paper_mix,
    kid_value,
    spread,
)
from .pair import Domain
from .standing import Standing

Figures = dict[str, int | float | str]


class Seen(NamedTuple):
    """The test pictures of one domain and what became of them, all in one order."""

    pictures: int
    real: Features
    translated: Features
    baselines: Mapping[str, Features]
    cycle_l1: float
    identity_l1: float


def stand(
    params: Params,
    way: tuple[Domain, Domain],
    seen: Mapping[str, Seen],
    target_train: Features,
) -> Standing:
    """Return how one direction stands against real pictures and against every baseline."""
    source, target = way
    own = params.evaluate
    sampling = Sampling(own.subset_size, own.subsets, own.resamples)
    real, after = seen[target].real, seen[source].translated
    cheap = {"untouched": seen[source].real, **seen[source].baselines}

    def draw(name: str) -> np.random.Generator:
        return np.random.default_rng([params.seed, ord(target), *name.encode()])

    return Standing(
        source=source,
        target=target,
        floor=kid(target_train, real, sampling, draw("floor")),
        translated=kid(after, real, sampling, draw("translated")),
        baselines={name: kid(x, real, sampling, draw(name)) for name, x in cheap.items()},
        gains={
            name: kid_gain(x, after, real, own.resamples, draw(f"gain over {name}"))
            for name, x in cheap.items()
        },
    )


def compare(
    params: Params,
    way: tuple[Domain, Domain],
    seen: Mapping[str, Seen],
    target_train: Features,
) -> Figures:
    """Return the other figures of one direction."""
    source, target = way
    before, after, real = seen[source].real, seen[source].translated, seen[target].real
    n = min(len(after), len(real))
    return {
        f"is_subset_reduced_{target}": int(n // 2 < params.evaluate.subset_size),
        f"kid_{target}_to_source": kid_value(after, before),
        f"kid_paper_mix_{target}": kid_paper_mix(after, before, real),
        f"fid_{target}": fid(after, real),
        f"fid_{target}_identity": fid(before, real),
        f"fid_{target}_floor": fid(target_train, real),
        f"fid_{target}_n": n,
        **_covers(target, {"": after, "_identity": before, "_floor": target_train}, real),
        f"diversity_{target}": _share(spread(after), spread(real)),
        f"cycle_l1_{source}": seen[source].cycle_l1,
        f"identity_l1_{source}": seen[source].identity_l1,
    }


def _covers(target: str, sets: Mapping[str, Features], real: Features) -> Figures:
    """Return the density and the coverage of some sets, by the end of the figure's name."""
    found = {end: cover(x, real) for end, x in sets.items()}
    return {
        **{f"density_{target}{end}": one.density for end, one in found.items()},
        **{f"coverage_{target}{end}": one.coverage for end, one in found.items()},
        f"coverage_{target}_neighbours": found[""].neighbours,
    }


def _share(part: float, whole: float) -> float:
    """Return part / whole, 0 where the whole is nothing."""
    return part / whole if whole > 0 else 0.0
