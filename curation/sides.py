"""Sides: which faces go to train and which to test, from what was recorded and from the seed.

A side belongs to a source picture and stays: the ledger (`anymus.ledger`) records it when it is
first given. A new picture goes where its copies are, else where the faces of its title, group or
page are; only what resembles nothing known is drawn (docs/decisions/0018).
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anymus.errors import ParamsError
from anymus.ledger import NEW, TEST, TRAIN, Keys, Ledger
from anymus.params import Params

from .groups import Indices, id_columns, join_equals, least_of_each
from .links import Faces, Mask
from .overrides import Overrides

_LARGEST_TEST_GROUP = 0.5  # of a domain's faces: a larger group is not drawn for test
_Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Sides:
    """Which side every face is on; columns (n,) as in `Faces`.

    Attributes:
        faces: The faces.
        names: Name of the group of each, that of its first duplicate group.
        is_test: Which are on the side of test.
        is_left_out: Which kept faces are in neither part: their side is train, and one of their
            copies is in test.
        ledger: The ledger, with the new pictures in it; it knows nothing of overrides.
        groups: Number of groups with a face in the data set.
        moved: Groups that overrides put on another side.
    """

    faces: Faces
    names: NDArray[np.void]
    is_test: Mask
    is_left_out: Mask
    ledger: Ledger
    groups: int
    moved: int

    def counts(self) -> _Counts:
        """Return the numbers of faces in the data set (2, 2): photo or manga, train or test."""
        return _count(self.faces, self.is_test, self.faces.is_kept & ~self.is_left_out)

    def torn_values(self) -> int:
        """Return how many values of `split.group_by` have faces in train and in test."""
        is_in = self.faces.is_kept & ~self.is_left_out
        torn = 0
        for values in self.faces.fields.values():
            sides = (values[is_in & (values > 0) & (self.is_test == side)] for side in (0, 1))
            torn += len(np.intersect1d(*sides))
        return torn


def choose_sides(params: Params, faces: Faces, overrides: Overrides, ledger: Ledger) -> Sides:
    """Return the side of every face.

    Recorded sides hold. A train face whose copy is in test is left out; nothing else moves.

    Args:
        params: All parameters; `split` and `seed` are read.
        faces: The faces and what links them.
        overrides: What people decided.
        ledger: The sides that were given before.

    Raises:
        ParamsError: The overrides move a group to both sides.
    """
    recorded = ledger.sides_of(faces.pictures)
    is_test = recorded == TEST
    is_new = recorded == NEW
    if is_new.any():
        is_test[is_new] = _settle_new(params, faces, recorded)
    roots = join_equals([_apart(column, is_test) for column in faces.links()])
    is_moved = _find_moves(faces, roots, is_test, overrides)
    now = is_test ^ is_moved
    is_left_out = faces.is_kept & ~now & np.isin(faces.twins, faces.twins[now])
    return Sides(
        faces=faces,
        names=faces.names[least_of_each(roots, *id_columns(faces.names))],
        is_test=now,
        is_left_out=is_left_out,
        ledger=ledger.with_new(faces.pictures, is_test),
        groups=len(np.unique(roots[faces.is_kept & ~is_left_out])),
        moved=len(np.unique(roots[is_moved])),
    )


def _settle_new(params: Params, faces: Faces, recorded: NDArray[np.int8]) -> Mask:
    """Return for each face of a new picture (m,) whether it goes to test.

    New pictures that are linked go together: to train if a copy of one is there, else to test if a
    copy is there, else to where most recorded faces with their values are (test if there are as
    many), else they are drawn. With copies on both sides they go to train, where those of test
    faces are left out: so nothing that was trained on comes to test, nor the other way. What is
    recorded does not pass links on: else one picture between two large groups would pull all that
    follow to one side.
    """
    is_new = recorded == NEW
    roots = join_equals([np.where(is_new, column, 0) for column in faces.links()])
    heads, units = np.unique(roots[is_new], return_inverse=True)
    count = len(heads)
    has_twin = {
        side: np.bincount(
            units, np.isin(faces.twins[is_new], faces.twins[recorded == side]), count
        ) > 0
        for side in (TRAIN, TEST)
    }  # fmt: skip
    votes = sum((_vote(column, recorded, units, count) for column in faces.fields.values()),
                np.zeros((count, 2), np.int64))  # fmt: skip
    is_known = has_twin[TEST] | has_twin[TRAIN] | votes.any(axis=1)
    is_test = has_twin[TEST] | (is_known & (votes[:, TEST] >= votes[:, TRAIN]))
    is_test &= ~has_twin[TRAIN]
    own = faces.names[is_new]
    first = np.empty(count, np.int64)
    first[units] = least_of_each(units, *id_columns(own))
    draws = np.array([_draw(params.seed, bytes(name).hex()) for name in own[first]])
    drawn = _Drawn(params, is_test, ~is_known, draws)
    sizes = np.zeros((count, 2), np.int64)
    np.add.at(sizes, (units, faces.is_manga[is_new].astype(int)), faces.is_kept[is_new])
    drawn.draw(sizes, _count(faces, recorded == TEST, faces.is_kept & ~is_new))
    return drawn.is_test[units]


def _vote(column: Keys, recorded: NDArray[np.int8], units: Indices, count: int) -> _Counts:
    """Return how many recorded faces share a value with each unit (count, 2): train, test."""
    values, place = np.unique(column, return_inverse=True)
    votes = np.zeros((count, 2), np.int64)
    for side in (TRAIN, TEST):
        known = np.bincount(place, (recorded == side) & (column > 0), len(values))
        votes[:, side] = np.bincount(units, known[place[recorded == NEW]], count)
    return votes


class _Drawn:
    """The sides of units of new pictures, some of which are to be drawn.

    Attributes:
        is_test: The sides (m,), as far as they are settled.
    """

    def __init__(self, params: Params, is_test: Mask, is_open: Mask, draws: NDArray[np.float64]):
        self._share = params.split.test_share
        self._least = (params.split.min_train, params.split.min_test)
        self._is_open, self._draws = is_open, draws
        self.is_test = is_test

    def draw(self, sizes: _Counts, recorded: _Counts) -> None:
        """Settle the open units: a draw below `test_share` is for test.

        A part that is then too small is filled from the other, unit by unit, as long as that one
        stays large enough, by the unit that brings the share of test nearest to what is wanted.

        Args:
            sizes: Kept faces of each unit (m, 2): photos, drawings.
            recorded: Kept faces with recorded sides (2, 2): photo or manga, train or test.
        """
        total = recorded.sum(axis=1) + sizes.sum(axis=0)
        is_large = (sizes > _LARGEST_TEST_GROUP * total).any(axis=1)
        self.is_test |= self._is_open & (self._draws < self._share) & ~is_large
        for domain in (0, 1):
            for side in (TEST, TRAIN):
                while (chosen := self._choose(sizes, recorded, domain, side)) is not None:
                    self.is_test[chosen] = side == TEST

    def _choose(self, sizes: _Counts, recorded: _Counts, domain: int, side: int) -> int | None:
        """Return the unit that is to change to a side that has too few faces of a domain."""
        there = self.is_test == (side == TEST)
        counts = np.stack([sizes[~self.is_test].sum(axis=0), sizes[self.is_test].sum(axis=0)], 1)
        counts += recorded
        if counts[domain, side] >= self._least[side]:
            return None
        other = TRAIN if side == TEST else TEST
        stays = counts[:, other] - sizes
        is_free = self._is_open & ~there & (sizes[:, domain] > 0)
        is_free &= ((stays >= self._least[other]) | (sizes == 0)).all(axis=1)
        free = np.flatnonzero(is_free)
        if not len(free):
            return None
        tests = counts[domain, TEST] + sizes[free, domain] * (1 if side == TEST else -1)
        off = np.abs(tests - self._share * counts[domain].sum())
        return int(free[np.lexsort((self._draws[free], off))[0]])


def _find_moves(faces: Faces, roots: Indices, is_test: Mask, overrides: Overrides) -> Mask:
    """Return the faces (n,) of the groups that overrides put on the other side."""
    wishes: dict[int, list[str]] = {}
    for index, identity in faces.wishes.items():
        wishes.setdefault(int(roots[index]), []).append(identity)
    moved = [
        root for root, ids in wishes.items()
        if _wish_of(ids, overrides) != ("test" if is_test[root] else "train")
    ]  # fmt: skip
    return np.isin(roots, np.array(moved, np.int64))


def _wish_of(ids: list[str], overrides: Overrides) -> str:
    """Return the side that people want a group on."""
    sides = {str(overrides[identity].side): identity for identity in ids}
    if len(sides) > 1:
        one, other = (f"{overrides[key].where} ({side})" for side, key in sorted(sides.items()))
        raise ParamsError(
            f"{one} and {other} move faces of one group to different sides",
            "near-duplicates and faces of one picture stay together: remove one of the lines",
        )
    return next(iter(sides))


def _apart(column: Keys, is_test: Mask) -> Keys:
    """Return a column in which no value of a test face equals one of a train face; 0 stays."""
    return np.where(is_test & (column > 0), ~column, column)


def _count(faces: Faces, is_test: Mask, mask: Mask) -> _Counts:
    """Return the faces of a mask (n,) by domain and side (2, 2)."""
    counts = np.zeros((2, 2), np.int64)
    np.add.at(counts, (faces.is_manga[mask].astype(int), is_test[mask].astype(int)), 1)
    return counts


def _draw(seed: int, group: str) -> float:
    """Return a number in [0, 1) that depends on the seed and the group's name alone."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
