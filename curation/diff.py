"""Diff: which faces of two states of the data set differ, and why, from the manifests of both."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from anymus.manifest import DOMAINS, Domain, ImageRecord

from .fates import SAME_FACE_IOU, Fate, find_fates, overlap_of
from .snapshot import Snapshot

Kind = Literal["added", "removed", "moved", "recut"]
KINDS: tuple[Kind, ...] = ("added", "removed", "moved", "recut")


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one face.

    Attributes:
        kind: added, removed, moved to the other part, or recut: the same face of the same picture
            as other pixels.
        id: Its id, the later one of a face that was cut anew.
        domain: Photo or manga.
        before, after: Path of its picture in the data set, None where it is in none.
        reason: One word, of docs/errors.md for a face or picture that a stage rejected.
        detail: What that means for this face.
        twin: Path of the face kept instead of it, for a near-duplicate.
        url: Where its picture is from.
    """

    kind: Kind
    id: str
    domain: Domain
    before: str | None
    after: str | None
    reason: str
    detail: str
    twin: str | None = None
    url: str | None = None

    @property
    def where(self) -> str:
        """Return the part it is in, or the parts it went from and to."""
        parts = [path.partition("/")[0] for path in (self.before, self.after) if path]
        return " to ".join(dict.fromkeys(parts))

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, without those that say nothing."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class DatasetDiff:
    """Two states of the data set: their names, their sizes, and every change between them."""

    before: str
    after: str
    faces_before: int
    faces_after: int
    changes: tuple[Change, ...]

    def counts(self) -> Counter[tuple[Kind, Domain, str, str]]:
        """Return how many changes there are by kind, domain, part and reason."""
        return Counter((c.kind, c.domain, c.where, c.reason) for c in self.changes)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        kinds = Counter(change.kind for change in self.changes)
        return {
            "before": self.before,
            "after": self.after,
            "faces_before": self.faces_before,
            "faces_after": self.faces_after,
            **{kind: kinds[kind] for kind in KINDS},
            "changes": [change.as_json() for change in self.changes],
        }


def diff(before: Snapshot, after: Snapshot) -> DatasetDiff:
    """Return which faces of the data set differ between two states, and why.

    A face that is gone is looked for in the later state's manifests, from `dedupe` back to
    `scrape`: the first that knows it says why; a face that is new, in the earlier state's. Rows
    stream; only those of faces that differ are held.

    Raises:
        DatasetError: One of the two has no data set, or DVC's cache lacks its manifest.
    """
    pairs = _Pairs(before, after)
    changed = list(pairs.differing())
    moved = [_explain_move(old, new, pairs) for old, new in changed if old and new]
    gone = [old for old, new in changed if new is None and old]
    come = [new for old, new in changed if old is None and new]
    recut = _pair_recut(gone, come)
    again = {row.id for pair in recut for row in pair}
    gone, come = ([row for row in rows if row.id not in again] for rows in (gone, come))
    changes = [
        *_explain_all("removed", gone, after, before),
        *_explain_all("added", come, before, after),
        *moved,
        *(_recut(old, new, before, after) for old, new in recut),
    ]
    changes.sort(key=lambda change: (KINDS.index(change.kind), change.domain, change.id))
    return DatasetDiff(
        before.name, after.name, pairs.count_before, pairs.count_after, tuple(changes)
    )


class _Pairs:
    """The rows of two data sets side by side.

    Attributes:
        count_before, count_after: Number of faces, once all have passed.
        wishes_before, wishes_after: What overrides say of the side, by group.
    """

    def __init__(self, before: Snapshot, after: Snapshot) -> None:
        self.before, self.after = before, after
        self.count_before = self.count_after = 0
        self._overrides_before, self._overrides_after = before.overrides, after.overrides
        self.wishes_before: dict[str, str] = {}
        self.wishes_after: dict[str, str] = {}

    def differing(self) -> Iterator[tuple[ImageRecord | None, ImageRecord | None]]:
        """Yield (before, after) of every face that is in one alone, or in another part."""
        for old, new in _join(*(_kept(state.dataset()) for state in (self.before, self.after))):
            if old is not None:
                self.count_before += 1
                _note_wish(old, self._overrides_before, self.wishes_before)
            if new is not None:
                self.count_after += 1
                _note_wish(new, self._overrides_after, self.wishes_after)
            if old is None or new is None or old.split != new.split:
                yield old, new


def _kept(rows: Iterator[ImageRecord]) -> Iterator[ImageRecord]:
    return (row for row in rows if row.is_kept)


def _join(
    olds: Iterator[ImageRecord], news: Iterator[ImageRecord]
) -> Iterator[tuple[ImageRecord | None, ImageRecord | None]]:
    """Yield the rows of two manifests, both sorted by id, beside one another."""
    old, new = next(olds, None), next(news, None)
    while old is not None or new is not None:
        is_old = new is None or (old is not None and old.id <= new.id)
        is_new = old is None or (new is not None and new.id <= old.id)
        yield (old if is_old else None), (new if is_new else None)
        old = next(olds, None) if is_old else old
        new = next(news, None) if is_new else new


def _note_wish(row: ImageRecord, overrides: Any, wishes: dict[str, str]) -> None:
    override = overrides.get(row.id)
    if override is not None and override.side is not None and row.group is not None:
        note = f" ({override.note})" if override.note else ""
        wishes[row.group] = f"moved to {override.side} by {override.where}{note}"


def _explain_move(old: ImageRecord, new: ImageRecord, pairs: _Pairs) -> Change:
    reason, detail = _why_moved(old, new, pairs)
    return Change("moved", new.id, new.domain, old.file, new.file, reason, detail, url=new.url)


def _why_moved(old: ImageRecord, new: ImageRecord, pairs: _Pairs) -> tuple[str, str]:
    wish_before = pairs.wishes_before.get(old.group or "")
    wish_after = pairs.wishes_after.get(new.group or "")
    if wish_after is not None and wish_after != wish_before:
        return "override", wish_after
    if wish_before is not None and wish_after is None:
        return "override_gone", f"before: {wish_before}"
    for key in ("seed", "split.test_share"):
        was, now = pairs.before.value(key), pairs.after.value(key)
        if was != now:
            return "params", f"{key} was {was} and is {now}"
    if old.group != new.group:
        return "group", f"its group is now that of {str(new.group)[:12]}"
    was, now = (state.ledger.side_of(new.parent or new.id) for state in (pairs.before, pairs.after))
    if now is not None and was != now:
        return "recorded", f"{pairs.after.path_of('sides')} has its picture in {now}"
    return "unknown", "neither its group, nor the parameters, nor overrides differ"


def _pair_recut(
    gone: Iterable[ImageRecord], come: Iterable[ImageRecord]
) -> list[tuple[ImageRecord, ImageRecord]]:
    """Return the faces that left and came back as other pixels: one place of one picture."""
    waiting: dict[tuple[Domain, str | None], list[ImageRecord]] = defaultdict(list)
    for row in gone:
        waiting[row.domain, row.parent].append(row)
    pairs = []
    for row in come:
        left = waiting.get((row.domain, row.parent), []) if row.parent else []
        best = max(left, key=lambda other: overlap_of(row, other), default=None)
        if best is not None and overlap_of(row, best) >= SAME_FACE_IOU:
            left.remove(best)
            pairs.append((best, row))
    return pairs


def _recut(old: ImageRecord, new: ImageRecord, before: Snapshot, after: Snapshot) -> Change:
    differing = []
    for name in (f"detect.{new.domain}", "crop.framing"):
        was, now = before.value(name), after.value(name)
        if isinstance(was, dict) and isinstance(now, dict):
            keys = [key for key in {**was, **now} if was.get(key) != now.get(key)]
            differing += [f"{name}.{k} was {was.get(k)} and is {now.get(k)}" for k in keys]
    reason = "params" if differing else "code"
    detail = "; ".join(differing) or "the code, a library or the detector's weights differ"
    return Change("recut", new.id, new.domain, old.file, new.file, reason, detail, url=new.url)


def _explain_all(
    kind: Kind, rows: list[ImageRecord], other: Snapshot, own: Snapshot
) -> Iterator[Change]:
    """Yield the changes of faces that one state has alone, by what the other knows of them."""
    words = {key: word for key, word in own.overrides.items() if word.is_kept}
    for domain in DOMAINS:
        mine = [row for row in rows if row.domain == domain]
        fates = find_fates(mine, domain, other) if mine else {}
        for row in mine:
            fate = fates[row.id]
            if (word := words.get(row.id)) is not None:
                note = f" ({word.note})" if word.note else ""
                fate = replace(fate, detail=_and(fate.detail, f"kept by {word.where}{note}"))
            yield _change(kind, row, fate)


def _change(kind: Kind, row: ImageRecord, fate: Fate) -> Change:
    before, after = (row.file, None) if kind == "removed" else (None, row.file)
    return Change(
        kind, row.id, row.domain, before, after, fate.reason, fate.detail, fate.twin, row.url
    )


def _and(one: str, other: str) -> str:
    return "; ".join(part for part in (one, other) if part)
