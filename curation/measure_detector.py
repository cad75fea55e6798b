"""Measures a face detector against faces labelled by hand."""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anymus.drawn_faces import face_of_head, see_faces
from anymus.looks import Sight, box_of, overlap
from curation.face_samples import Grey, Sample

MIN_IOU = 0.5
"""Least overlap of a found box and a labelled one that makes them the same face."""


@dataclass(frozen=True, slots=True)
class DetectorFigures:
    """How a detector did on labelled pictures.

    Attributes:
        pictures: Number of pictures.
        labelled: Number of labelled faces.
        found: Number of boxes that the detector gave.
        hits: Number of these that are a labelled face.
        hits_by_view: For each view, the labelled faces that were found and all there are.
        average_precision: Area under precision over recall, where scores were given.
        eye_error: Median distance of an eye from its label in widths of the labelled box.
        cpu_s: CPU seconds that finding took, all pictures together.
    """

    pictures: int
    labelled: int
    found: int
    hits: int
    hits_by_view: Mapping[str, tuple[int, int]]
    average_precision: float
    eye_error: float
    cpu_s: float

    @property
    def recall(self) -> float:
        """Return the share of the labelled faces that were found."""
        return self.hits / max(1, self.labelled)

    @property
    def precision(self) -> float:
        """Return the share of the boxes that are faces."""
        return self.hits / max(1, self.found)

    def as_metrics(self) -> dict[str, float]:
        """Return the figures by name."""
        views = {
            f"recall_{view}": round(hits / total, 4)
            for view, (hits, total) in sorted(self.hits_by_view.items())
        }
        return {
            "pictures": self.pictures,
            "labelled": self.labelled,
            "found": self.found,
            "recall": round(self.recall, 4),
            "precision": round(self.precision, 4),
            "average_precision": round(self.average_precision, 4),
            "eye_error": round(self.eye_error, 4),
            "pictures_per_cpu_s": round(self.pictures / max(1e-9, self.cpu_s), 2),
        } | views


def measure_detector(
    find: Callable[[Grey], Sequence[Sight]], labelled: Sequence[Sample]
) -> DetectorFigures:
    """Return how the faces that `find` gives for a grey picture (H, W) agree with the labels."""
    outcomes: list[tuple[float, bool]] = []
    hits: Counter[str] = Counter()
    errors: list[float] = []
    cpu_s = 0.0
    for sample in labelled:
        start = time.process_time()
        faces = sorted(find(sample.grey_u8), key=lambda face: -face.score)
        cpu_s += time.process_time() - start
        for face, label in zip(faces, match(faces, sample.target.boxes), strict=True):
            outcomes.append((face.score, label is not None))
            if label is not None:
                hits[sample.views[label]] += 1
                errors += _eye_errors(face, sample, label)
    totals = Counter(view for sample in labelled for view in sample.views)
    return DetectorFigures(
        pictures=len(labelled),
        labelled=totals.total(),
        found=len(outcomes),
        hits=hits.total(),
        hits_by_view={view: (hits[view], total) for view, total in totals.items()},
        average_precision=_average_precision(outcomes, totals.total()),
        eye_error=float(np.median(errors)) if errors else math.nan,
        cpu_s=cpu_s,
    )


def network_finder(
    weights: Path, max_side_px: int = 1024, min_score: float = 0.0
) -> Callable[[Grey], Sequence[Sight]]:
    """Return what finds faces with a network of ours, longer pictures reduced to a side first."""

    def find(grey_u8: Grey) -> Sequence[Sight]:
        factor = min(1.0, max_side_px / max(grey_u8.shape))
        return see_faces(weights, grey_u8, factor, min_score)

    return find


def match(faces: Sequence[Sight], boxes: NDArray[np.float32]) -> list[int | None]:
    """Return for each face, best first, the labelled head that it finds, each head once.

    Detectors differ in how much hair a box holds: it may overlap the head or the face in it.
    """
    heads = boxes.astype(np.float64)
    inner = np.array([face_of_head(head) for head in heads]).reshape(-1, 4)
    free = set(range(len(boxes)))
    owners: list[int | None] = []
    for face in faces:
        box = np.array(box_of(face))
        overlaps = np.maximum(overlap(box, heads), overlap(box, inner))
        best = max(sorted(free), key=overlaps.__getitem__, default=None)
        owners.append(best if best is not None and overlaps[best] >= MIN_IOU else None)
        free.discard(-1 if owners[-1] is None else owners[-1])
    return owners


def _average_precision(outcomes: Sequence[tuple[float, bool]], labelled: int) -> float:
    """Return the area under the curve of precision over recall, each hit weighing the same."""
    ranked = sorted(outcomes, key=lambda outcome: -outcome[0])
    hits = np.cumsum([is_hit for _, is_hit in ranked])
    precisions = [hits[place] / (place + 1) for place, (_, is_hit) in enumerate(ranked) if is_hit]
    return float(sum(precisions)) / max(1, labelled)


def _eye_errors(face: Sight, sample: Sample, label: int) -> list[float]:
    width = float(sample.target.boxes[label][2])
    errors = []
    for name, place in (("left_eye", 0), ("right_eye", 2)):
        truth, found = sample.target.eyes[label][place : place + 2], face.landmarks.get(name)
        if found is not None and not np.isnan(truth).any():
            errors.append(math.dist(found, truth) / width)
    return errors
