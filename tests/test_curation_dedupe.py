"""Which face of a group of duplicates is kept."""

import itertools

import numpy as np
import pytest

from anymus.manifest import ImageRecord
from curation.dedupe import Faces
from curation.groups import near_best

EYES = {"left_eye": (90.0, 118.0), "right_eye": (160.0, 118.0)}


def _face(name: str, score: float | None = 1.0, eyes: int = 2, **quality: float) -> ImageRecord:
    figures = {"upscale": 1.0, "sharpness": 300.0, "face_outside_share": 0.0} | quality
    return ImageRecord(
        id=name * 64,
        domain="manga",
        file="x.png",
        box=(10, 10, 20, 20),
        parent_size_px=(64, 64),
        parent_print="0" * 160,
        picture_print="0" * 160,
        score=score,
        landmarks=dict(list(EYES.items())[:eyes]),
        quality=figures,
    )


def _best(*rows: ImageRecord, roots: tuple[int, ...] | None = None) -> list[str]:
    """Return the first letters of the ids of the faces that are kept, all one group by default."""
    faces = Faces()
    for row in rows:
        faces.append(row)
    _, is_best = faces.settle(np.array(roots or (0,) * len(rows)))
    return [row.id[0] for row, is_kept in zip(rows, is_best, strict=True) if is_kept]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        # A drawn figure without a face, larger and sharper than the one with a face.
        (_face("b", 0.29), _face("a", 0.11, eyes=0, upscale=0.8, sharpness=900.0)),
        (_face("b", 0.29), _face("a", 0.29, eyes=1, upscale=0.8)),
        # Both with eyes, the detector doubts one; it does not doubt a copy of half the score.
        (_face("b", 1.5), _face("a", 0.4, upscale=0.8)),
        (_face("b", 0.75, upscale=0.8), _face("a", 1.5)),
        # Cut by the picture's edge, or by a hair's breadth, which is nothing.
        (_face("b"), _face("a", face_outside_share=0.04, upscale=0.8)),
        (_face("b", face_outside_share=0.01, upscale=0.8), _face("a")),
        # More pixels, though less sharp; of one size, the sharper.
        (_face("b", upscale=0.8, sharpness=200.0), _face("a")),
        (_face("b", upscale=1.01, sharpness=301.0), _face("a")),
        (_face("b"), _face("a", sharpness=299.0)),
        (_face("a"), _face("b")),  # alike: the first by id
        (_face("b", 0.1), _face("a", None)),
        (_face("b", -0.1), _face("a", -0.3)),
    ],
)
def test_the_better_of_two_is_kept(better: ImageRecord, worse: ImageRecord) -> None:
    assert _best(better, worse) == _best(worse, better) == [better.id[0]]


def test_the_best_of_a_group_does_not_depend_on_the_order() -> None:
    """Each is better than the next by one figure, and sizes go in steps that are no difference."""
    rows = [
        _face("a", 0.11, eyes=0, upscale=0.7),
        _face("b", 0.30, upscale=1.00, sharpness=100.0),
        _face("c", 0.30, upscale=1.015, sharpness=200.0),
        _face("d", 0.30, upscale=1.03, sharpness=300.0),
        _face("e", 0.05, upscale=0.7, sharpness=400.0),
    ]
    assert {tuple(_best(*order)) for order in itertools.permutations(rows)} == {("c",)}


def test_every_group_keeps_one_whatever_it_lacks() -> None:
    rows = [_face("a", 0.1, eyes=0), _face("b"), _face("c", None, eyes=0), _face("d", -0.2, eyes=1)]
    assert _best(*rows, roots=(0, 1, 0, 3)) == ["a", "b", "d"]


def test_near_the_best_is_counted_among_those_that_are_in() -> None:
    roots = np.array([0, 0, 0, 3, 3])
    values = np.array([10.0, 8.0, 7.0, -2.0, -3.5], np.float32)
    is_in = np.array([False, True, True, True, True])
    assert near_best(roots, values, is_in, 0.5).tolist() == [False, True, True, True, False]
    assert near_best(roots, values, is_in, 1.0).tolist() == [False, True, False, True, False]
