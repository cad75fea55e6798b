"""Fates: what the manifests of one state of a project say of faces that its data set lacks."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import ValidationError

from anymus.looks import overlap
from anymus.manifest import Domain, ImageRecord
from anymus.params import CropParams

from .quality import describe_fault
from .snapshot import Snapshot

SAME_FACE_IOU = 0.3
"""Least overlap of two boxes in one picture that makes them one face."""


@dataclass(frozen=True, slots=True)
class Fate:
    """Why a state's data set lacks a face.

    Attributes:
        reason: One word: that of a stage (docs/errors.md), or `source_gone`, `source_changed`,
            `face_not_found`, `blocked`, `not_split`, `unknown`.
        detail: What it means for this face; may be empty.
        twin: Path of the face that is kept instead of a near-duplicate.
    """

    reason: str
    detail: str = ""
    twin: str | None = None


def find_fates(rows: list[ImageRecord], domain: Domain, state: Snapshot) -> dict[str, Fate]:
    """Return for each face, by its id, why a state's data set lacks it.

    Looked for is the face itself, then, because other parameters cut other pixels, a face at the
    same place of the same picture; then its picture.

    Args:
        rows: Faces of one domain that another state has.
        domain: Photo or manga.
        state: The state that lacks them.
    """
    fates = {
        row.id: Fate("blocked", f"{state.path_of('blocklist')} names it")
        for row in rows
        if state.blocklist.blocks(row)
    }
    looks = (_look_among_left_out, _look_among_faces, _look_among_pictures, _look_among_sources)
    for look in looks:
        missing = [row for row in rows if row.id not in fates]
        if missing:
            fates |= look(missing, domain, state)
    return fates


def _look_among_left_out(
    rows: list[ImageRecord], domain: Domain, state: Snapshot
) -> dict[str, Fate]:
    """Return the fates of faces that `split` left out."""
    left_out = {row.id for row in state.dataset() if not row.is_kept and row.domain == domain}
    detail = "it was in train, and a copy of it is in test"
    return {row.id: Fate("twin_in_test", detail) for row in rows if row.id in left_out}


def _look_among_faces(rows: list[ImageRecord], domain: Domain, state: Snapshot) -> dict[str, Fate]:
    """Return the fates of faces that `dedupe`, or `crop` before it, has a row of."""
    known = state.rows("unique", domain) or state.rows("faces", domain)
    if known is None:
        reason = f"no manifest of {state.path_of('unique')}/{domain} to look into"
        return {row.id: Fate("unknown", reason) for row in rows}
    ids = {row.id for row in rows}
    of_parent: dict[str, list[ImageRecord]] = defaultdict(list)
    for row in rows:
        if row.parent is not None:
            of_parent[row.parent].append(row)
    found: dict[str, tuple[float, ImageRecord]] = {}
    for row in known:
        if row.id in ids and (row.id not in found or row.file is not None):
            found[row.id] = (2.0, row)
        for wanted in of_parent.get(row.parent or "", ()):
            shared = overlap_of(wanted, row)
            if shared >= SAME_FACE_IOU and shared > found.get(wanted.id, (0.0, row))[0]:
                found[wanted.id] = (shared, row)
    best_of = _find_best({row.group for _, row in found.values() if row.group}, domain, state)
    return {key: _fate_of_face(row, state, best_of) for key, (_, row) in found.items()}


def overlap_of(one: ImageRecord, other: ImageRecord) -> float:
    """Return how far two faces of one picture lie over one another, 0-1; 0 without boxes."""
    if one.box is None or other.box is None:
        return 0.0
    boxes = np.array([one.box, other.box], np.float64)
    return float(overlap(boxes[0], boxes[1:])[0])


def _find_best(groups: set[str], domain: Domain, state: Snapshot) -> dict[str, ImageRecord]:
    """Return the first face kept of each group of near-duplicates."""
    best: dict[str, ImageRecord] = {}
    for row in (state.rows("unique", domain) or ()) if groups else ():
        if row.is_kept and row.group in groups:
            best.setdefault(str(row.group), row)
    return best


def _fate_of_face(row: ImageRecord, state: Snapshot, best_of: Mapping[str, ImageRecord]) -> Fate:
    if row.is_kept:
        return Fate("not_split", "`dedupe` keeps it, but `split` has not run since")
    if row.reason == "near_duplicate":
        best = best_of.get(row.group or "")
        if best is None:
            return Fate("near_duplicate")
        path = os.path.normpath(f"{state.path_of('unique')}/{row.domain}/{best.file}")
        return Fate("near_duplicate", f"of {best.id[:12]}{_from(best)}", path)
    if row.reason == "dropped":
        override = state.overrides.get(row.id)
        where = "overrides" if override is None else override.where
        note = f" ({override.note})" if override and override.note else ""
        return Fate("dropped", f"by {where}{note}")
    return Fate(row.reason or "unknown", _describe_limit(row, state))


def _describe_limit(row: ImageRecord, state: Snapshot) -> str:
    try:
        params = CropParams.model_validate(state.value("crop"))
    except ValidationError:
        return ""  # the parameters of another version of Anymus
    return describe_fault(row.quality, params, row.domain) if row.quality else ""


def _look_among_pictures(
    rows: list[ImageRecord], domain: Domain, state: Snapshot
) -> dict[str, Fate]:
    """Return the fates of faces whose picture `detect` has a row of."""
    pictures = _by_id({row.parent for row in rows if row.parent}, state.rows("detected", domain))
    fates = {}
    for row in rows:
        picture = pictures.get(row.parent or "")
        if picture is None:
            continue
        if picture.reason is not None:
            fates[row.id] = Fate(picture.reason, f"of its picture{_from(picture)}")
        else:
            count = len(picture.faces)
            fates[row.id] = Fate("face_not_found", f"`detect` has {count} other faces there")
    return fates


def _look_among_sources(
    rows: list[ImageRecord], domain: Domain, state: Snapshot
) -> dict[str, Fate]:
    """Return the fates of faces by what `scrape` says of their picture, or of its URL."""
    parents = {row.parent for row in rows if row.parent}
    urls = {row.url for row in rows if row.url}
    by_id: dict[str, ImageRecord] = {}
    by_url: dict[str, ImageRecord] = {}
    for source in state.rows("raw", domain) or ():
        if source.id in parents:
            by_id[source.id] = source
        if source.url in urls:
            by_url[str(source.url)] = source
    fates = {}
    for row in rows:
        source_or_none = by_id.get(row.parent or "") or by_url.get(row.url or "")
        fates[row.id] = _fate_of_source(row, source_or_none)
    return fates


def _fate_of_source(row: ImageRecord, source: ImageRecord | None) -> Fate:
    if source is None:
        return Fate("source_gone", f"its picture is not among the collected{_from(row)}")
    if source.reason is not None:
        return Fate(source.reason, f"of its picture{_from(source)}")
    if source.id != row.parent:
        return Fate("source_changed", f"its URL gives another picture{_from(source)}")
    return Fate("unknown", "its picture is there: `detect` has not run since")


def _by_id(ids: set[str], rows: Iterable[ImageRecord] | None) -> dict[str, ImageRecord]:
    return {row.id: row for row in rows or () if row.id in ids}


def _from(row: ImageRecord) -> str:
    source = row.url or row.source_path or row.title
    return f", from {source}" if source else ""
