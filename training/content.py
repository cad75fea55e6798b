"""Content: is there a face in a translation, are its eyes where they were, who is it?

What KID cannot see. Detectors and models that are not installed are left out, and said to be.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anymus.detectors import DETECTOR_OF_DOMAIN, FaceDetector, make_detector
from anymus.errors import DeviceError
from anymus.face_identity import FaceIdentity
from anymus.framing import EYES_IN_BOX, FACE_PER_BOX, FACE_PER_EYES
from anymus.images import RgbU8, resize_rgb
from anymus.manifest import MANIFEST_NAME, iter_manifest
from anymus.manifest import Domain as Kind
from anymus.progress import log
from anymus.shards import plain_path

from .distances import Figures
from .metrics import pair_distances
from .pair import OTHER, Domain, Translated
from .votes import wilson_interval

Eyes = NDArray[np.float64]
"""Left and right eye as seen, x and y in shares of the picture's side (2, 2)."""

KINDS: Mapping[Domain, Kind] = {"a": "photo", "b": "manga"}
LOOK_PX = 256
"""Side at which detectors see every picture, whatever the generators' size."""
NEAR = 0.05
"""Drift, in face widths, below which an eye counts as kept in its place."""


@dataclass(frozen=True)
class Tools:
    """What looks for faces: detectors by the domain of what they see, and dlib's recognition."""

    detectors: Mapping[Domain, FaceDetector]
    identity: FaceIdentity | None


@dataclass(frozen=True, slots=True)
class Look:
    """What a detector sees in one picture."""

    has_face: bool
    eyes: Eyes | None


@dataclass
class Content:
    """The content of the test pictures of one domain, seen batch by batch.

    Attributes:
        source: Domain of the pictures.
        tools: What looks at them.
        known: Eyes by the path below the data set's folder, as the crops' manifest has them.
        dataset_dir: That folder.
    """

    source: Domain
    tools: Tools
    known: Mapping[str, Eyes]
    dataset_dir: Path
    own: list[Look] = field(default_factory=list)
    untouched: list[Look] = field(default_factory=list)
    translated: list[Look] = field(default_factory=list)
    eyes: list[Eyes | None] = field(default_factory=list)
    people: list[NDArray[np.float64]] = field(default_factory=list)
    people_back: list[NDArray[np.float64]] = field(default_factory=list)

    def see(self, some: Translated) -> None:
        """Look at some pictures, at what became of them, and at what came back."""
        of_source = self.tools.detectors.get(self.source)
        of_target = self.tools.detectors.get(OTHER[self.source])
        own = [look(of_source, picture) for picture in some.real] if of_source else []
        self.own += own
        if of_target:
            self.untouched += [look(of_target, picture) for picture in some.real]
            self.translated += [look(of_target, picture) for picture in some.translated]
        for index, path in enumerate(some.paths):
            eyes = self.known.get(plain_path(path).relative_to(self.dataset_dir).as_posix())
            if eyes is None and own:
                eyes = own[index].eyes
            self.eyes.append(eyes)
            if self.source == "a" and self.tools.identity and eyes is not None:
                who = self.tools.identity
                self.people.append(_describe(who, some.real[index], eyes))
                self.people_back.append(_describe(who, some.cycled[index], eyes))

    def figures(self) -> Figures:
        """Return what was found, by name; what could not be measured is not there."""
        target = OTHER[self.source]
        found: Figures = {}
        if self.own:
            found[f"face_share_{self.source}_real"] = _share(self.own)
        if self.translated:
            found[f"face_detector_{target}"] = DETECTOR_OF_DOMAIN[KINDS[target]]
            name = f"face_share_{target}"
            count = sum(one.has_face for one in self.translated)
            low, high = wilson_interval(count, len(self.translated))
            found |= {name: _share(self.translated), f"{name}_low": low, f"{name}_high": high}
            found[f"{name}_identity"] = _share(self.untouched)
            found |= self._drift_figures(target)
        return found | self._identity_figures()

    def _drift_figures(self, target: Domain) -> Figures:
        drifts = self._drifts(self.translated)
        known = sum(eyes is not None for eyes in self.eyes)
        name = f"eye_drift_{target}"
        found: Figures = {f"{name}_n": len(drifts)}
        if known:
            found[f"{name}_within"] = sum(drift < NEAR for drift in drifts) / known
        if drifts:
            found |= {name: float(np.median(drifts)), f"{name}_p95": _percentile_95(drifts)}
        if untouched := self._drifts(self.untouched):
            found[f"{name}_identity"] = float(np.median(untouched))
        return found

    def _drifts(self, looks: Sequence[Look]) -> list[float]:
        """Return how far both eyes lie from those of the input, in widths of its face."""
        return [
            eye_drift(before, one.eyes, KINDS[self.source])
            for before, one in zip(self.eyes, looks, strict=True)
            if before is not None and one.eyes is not None
        ]

    def _identity_figures(self) -> Figures:
        if len(self.people) < 2:
            return {}
        before, after = np.array(self.people), np.array(self.people_back)  # (N, 128)
        distances = pair_distances(after, before)  # (N, N)
        own = np.diag(distances)
        among = pair_distances(before, before)[np.triu_indices(len(before), 1)]
        name = f"cycle_face_distance_{self.source}"
        return {
            name: float(np.median(own)),
            f"{name}_others": float(np.median(among)),
            f"cycle_face_kept_{self.source}": float((own <= distances.min(axis=1)).mean()),
        }


def load_tools() -> Tools:
    """Return the detectors and the recognition that are installed; say which are not."""
    detectors: dict[Domain, FaceDetector] = {}
    for side, kind in KINDS.items():
        try:
            detectors[side] = make_detector(
                DETECTOR_OF_DOMAIN[kind], upsample=0, second_upsample=0, second_look_share=0.0,
                max_side_px=LOOK_PX, min_score=0.0, min_face_px=1, max_faces=1,
            )  # fmt: skip
        except DeviceError as error:
            log.warning("no face_share_%s, no eye_drift_%s: %s", side, side, error.message)
    try:
        return Tools(detectors, FaceIdentity())
    except DeviceError as error:
        log.warning("no cycle_face_distance_a: %s", error.message)
        return Tools(detectors, None)


def read_eyes(dataset_dir: Path) -> dict[str, Eyes]:
    """Return the eyes of each picture by its path below the folder; none without a manifest.

    Raises:
        DatasetError: A line of the manifest is not a row.
    """
    if not (dataset_dir / MANIFEST_NAME).is_file():
        return {}
    known = {}
    for row in iter_manifest(dataset_dir):
        points = row.landmarks or {}
        if row.file and row.width_px and row.height_px and {"left_eye", "right_eye"} <= set(points):
            eyes = np.array([points["left_eye"], points["right_eye"]])
            known[row.file] = eyes / (row.width_px, row.height_px)
    return known


def look(detector: FaceDetector, rgb_u8: RgbU8) -> Look:
    """Return what a detector sees in a square picture, which is brought to one size first."""
    faces = detector.find(resize_rgb(rgb_u8, LOOK_PX, LOOK_PX))
    points = faces[0].landmarks if faces else {}
    if not {"left_eye", "right_eye"} <= set(points):
        return Look(bool(faces), None)
    return Look(True, np.array([points["left_eye"], points["right_eye"]]) / LOOK_PX)


def eye_drift(before: Eyes, after: Eyes, kind: Kind) -> float:
    """Return the mean distance of both eyes from where they were, in widths of that face."""
    width = math.dist(*before) * FACE_PER_EYES[kind]
    return float(np.linalg.norm(after - before, axis=1).mean() / max(width, 1 / LOOK_PX))


def _describe(identity: FaceIdentity, rgb_u8: RgbU8, eyes: Eyes) -> NDArray[np.float64]:
    """Return the numbers of the person whose eyes are there."""
    width = math.dist(*eyes) * FACE_PER_EYES["photo"] * LOOK_PX
    side = width / FACE_PER_BOX["photo"]
    x, y = eyes.mean(axis=0) * LOOK_PX
    square = (x - side / 2, y - EYES_IN_BOX["photo"] * side, side)
    return identity.describe(resize_rgb(rgb_u8, LOOK_PX, LOOK_PX), square)


def _share(looks: Sequence[Look]) -> float:
    return sum(one.has_face for one in looks) / len(looks)


def _percentile_95(values: Sequence[float]) -> float:
    return float(np.percentile(values, 95))
