"""The page of the evaluation: its verdicts, its order of pictures, and that it stands alone."""

import html
import re
from pathlib import Path

import numpy as np
import pytest

from training.evaluation_page import Direction, render_page
from training.metrics import Estimate
from training.samples import COLUMNS
from training.showcase import Shown, distance_to_targets, pick
from training.verdict import Figures, judge


def _figures(low: float, high: float, **more: float) -> Figures:
    found: dict[str, int | float | str] = {
        "feature_network": "random_vgg_v1",
        "image_size_px": 32,
        "test_a": 60,
        "test_b": 70,
    }
    for target, direction in (("b", "a2b"), ("a", "b2a")):
        found |= {
            f"kid_{target}": 0.01,
            f"kid_{target}_low": -0.002,
            f"kid_{target}_high": 0.02,
            f"kid_{target}_gain": (low + high) / 2,
            f"kid_{target}_gain_low": low,
            f"kid_{target}_gain_high": high,
            f"kid_{target}_gap_closed": 0.8,
            f"beats_identity_{direction}": int(low > 0),
        }
    return {**found, "cycle_l1_a": 0.123, "cycle_l1_b": 0.456, **more}


def _gain(name: str, low: float, high: float, direction: str = "a2b") -> dict[str, float]:
    over = f"kid_{direction[-1]}_gain_over_{name}"
    beats = {f"beats_{name}_{direction}": int(low > 0)}
    return {**beats, over: (low + high) / 2, f"{over}_low": low, f"{over}_high": high}


def test_the_verdict_says_what_the_interval_says() -> None:
    better = judge("a2b", _figures(0.02, 0.04))
    assert better.startswith("Photo to manga: better than doing nothing")
    assert "falls by 0.03 (95 % interval 0.02 to 0.04), 80 % of the way" in better
    assert better.endswith("Seen on 60 photos against 70 manga faces.")
    worse = judge("b2a", _figures(-0.04, -0.02))
    assert "Manga to photo: worse than doing nothing" in worse
    assert "rises by 0.03 (95 % interval 0.02 to 0.04)" in worse
    same = judge("a2b", _figures(-0.01, 0.02))
    assert "no difference to doing nothing is shown" in same
    assert "holds 0 (-0.02 to 0.01)" in same
    assert "better" not in same


def test_the_verdict_names_baselines_and_few_pictures() -> None:
    beats = _gain("colour", 0.1, 0.3) | _gain("cartoon", 0.1, 0.3)
    beats |= _gain("sketch", -0.1, 0.1) | _gain("stylised", -0.2, -0.1)
    said = judge("a2b", _figures(0.02, 0.04, test_a=8, **beats))
    assert (
        "It beats the baselines colour transfer and cartoon filter. It does not beat stylisation:"
        " nearer than the translation. No difference is shown to pencil sketch."
    ) in said
    assert "8 photos against 70 manga faces, which is few" in said
    assert "beats" not in judge("b2a", _figures(0.02, 0.04, **beats))


def test_the_verdict_says_where_faces_are_found() -> None:
    faces = {"face_share_b": 0.5, "face_share_b_low": 0.3, "face_share_b_high": 0.7}
    said = judge("a2b", _figures(0.02, 0.04, **faces, face_share_b_real=0.98))
    assert "in 50 % of the translations (95 % interval 30 to 70 %), in 98 % of real ones." in said
    assert "in 50 % of the translations (95 % interval 30 to 70 %). Seen" in judge(
        "a2b", _figures(0.02, 0.04, **faces)
    )
    assert "face is found" not in judge("b2a", _figures(0.02, 0.04, **faces))


def test_distances_are_multiples_of_those_among_targets() -> None:
    targets = np.arange(10.0)[:, None]  # the usual mean distance to three neighbours: 4 / 3
    outputs = np.array([[4.0], [20.0], [-3.0]])
    expected = np.array([2 / 3, 12.0, 4.0]) * 3 / 4
    assert distance_to_targets(outputs, targets) == pytest.approx(expected)
    assert distance_to_targets(targets[:1], np.zeros((2, 1))) == pytest.approx([0.0])


def test_the_worst_and_the_best_are_picked_and_do_not_overlap() -> None:
    distances = np.array([3.0, 1.0, 9.0, 4.0, 2.0])
    groups = pick(distances, 4, np.random.default_rng(0))
    assert groups["worst"] == [2, 3]
    assert groups["best"] == [1, 4]
    assert len(set(groups["random"])) == 4
    assert pick(distances, 4, np.random.default_rng(0)) == groups
    assert pick(distances, 1, np.random.default_rng(0))["worst"] == [2]


def _page(figures: Figures, train_results: Path) -> str:
    cells = [np.full((8, 8, 3), 30 * index, np.uint8) for index in range(len(COLUMNS))]
    estimates = {
        "floor": Estimate(0.001, 0, -0.001, 0.002, 60, 10),
        "translated": Estimate(0.01, 0, 0.005, 0.02, 60, 10),
        "untouched": Estimate(0.04, 0, 0.03, 0.05, 60, 10),
        "colour": Estimate(0.009, 0, 0.004, 0.02, 60, 10),
    }
    groups = {"worst": [Shown("<b>.png", 2.5, 0.3, cells)], "best": []}
    directions = {name: Direction(estimates, groups) for name in ("a2b", "b2a")}
    return render_page(figures, directions, cells[0], train_results)


def test_the_page_stands_alone_and_holds_every_figure(tmp_path: Path) -> None:
    gains = _gain("colour", -0.1, 0.1) | _gain("colour", 0.1, 0.2, "b2a")
    figures = _figures(0.02, 0.04, **gains)
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "scores.png").write_bytes(b"curve")
    page = _page(figures, tmp_path)
    assert not re.search(r"(src|href)=[\"'](?!data:|#)", page)
    assert html.escape(judge("a2b", figures)) in page
    assert page.count("<img") == 1 + 2 * len(COLUMNS) + 1
    assert "data:image/png;base64,Y3VydmU=" in page
    assert "&lt;b&gt;.png" in page
    for name in figures.keys() - {"kid_a_low", "kid_a_high", "kid_b_low", "kid_b_high"}:
        if not name.endswith(("_low", "_high")):
            assert f"<td>{name}</td>" in page, name
    cells = re.findall(r"<td>(.*?)</td><td class=\"n\">(.*?)</td><td class=\"n\">(.*?)</td>", page)
    assert cells[0] == ("real, other pictures", "0.001", "-0.001 to 0.002")
    rows = re.findall(r"<tr class=\"(\w*)\"><td>(.*?)</td>.*<td>(.*?)</td></tr>", page)
    assert ("bad", "colour transfer", "no difference shown") in rows
    assert ("good", "colour transfer", "beaten") in rows
    assert ("good", "untouched", "beaten") in rows
    assert ("own", "translated", "") in rows
    # The photo's cycle belongs to photo to manga, which comes first.
    assert page.index("<td>cycle_l1_a</td>") < page.index("<td>cycle_l1_b</td>")


def test_without_training_there_are_no_curves(tmp_path: Path) -> None:
    assert 'id="curves"' not in _page(_figures(0.02, 0.04), tmp_path)
