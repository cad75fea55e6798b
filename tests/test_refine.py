"""A generator learns from what the best of its own drawings agree on."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from test_training_loop import TINY
from torch import Tensor
from typer.testing import CliRunner

from anymus.cli import build_app
from anymus.drawing.twin import draw_twins, twins_rng
from anymus.errors import (
    AnymusError,
    CheckpointError,
    DatasetError,
    DeviceError,
    InterruptedRunError,
    ParamsError,
)
from anymus.framing import Framing, crop_transform
from anymus.images import RgbU8, write_png
from inference.grey import take_colour
from training import lessons as lessons_module
from training import refine as refine_module
from training import schoolbook as schoolbook_module
from training.checkpoint import load_generator, save_generator
from training.lessons import VIEWS, Lesson, agree, draw, judge, make_lessons
from training.losses import find_head
from training.networks import Discriminator, Generator
from training.refine import RefineOptions, _as_judged, _lines, _rate, refine
from training.refine_state import RefineState, folder_of, keep_lessons
from training.schoolbook import (
    Batch,
    Schoolbook,
    Shares,
    _as_photographed,
    _before_another_wall,
    _coloured,
    _faded,
    _grain,
    _roughened,
    batch_at,
    batches,
    compile_book,
    draw_twin_lessons,
)
from training.weights_file import GENERATOR_KIND, read_arrays, write_arrays

FRAMING = {"size_px": 64, "face_share": 0.55, "eye_line": 0.46}
CPU = torch.device("cpu")
EYES = np.array([[0.4, 0.5], [0.6, 0.5]])


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    for part, count in (("trainA", 3), ("trainB", 2), ("testA", 2)):
        for index in range(count):
            coarse = rng.integers(0, 256, (8, 8, 3), np.uint8)
            write_png(tmp_path / "data" / part / f"{index}.png", coarse.repeat(8, 0).repeat(8, 1))
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def _short_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.refine.WARM_UP", 2)


def save(
    folder: Path,
    seed: int,
    direction: str = "a2b",
    framing: Mapping[str, object] = FRAMING,
    **shape: object,
) -> Path:
    torch.manual_seed(seed)
    generator = Generator(**TINY["generator"] | {"base_channels": 4, "image_size_px": 64} | shape)
    path = folder / f"generator_{direction}.safetensors"
    facts = {"direction": direction, "framing": framing, "licence": "MIT", "is_grey": True}
    save_generator(path, generator, facts)
    return path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save(tmp_path / "own", 3)


def options(**changes: object) -> RefineOptions:
    return RefineOptions(**{"iterations": 3, "device": "cpu"} | changes)  # type: ignore[arg-type]


class Mirror(torch.nn.Module):
    """Stands for a generator: its picture is the photo itself."""

    arguments = {"image_size_px": 64}  # noqa: RUF012 - as a generator has it

    def forward(self, x: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(image=x)


class Finds:
    """Stands for a detector: finds the eyes it was given wherever the picture is light."""

    def __init__(self, score: float = 0.3, shift: float = 0.0) -> None:
        self.score, self.shift = score, shift

    def find(self, rgb_u8: RgbU8) -> Sequence[SimpleNamespace]:
        if rgb_u8.mean() < 100:
            return []
        left, right = (EYES + np.array([self.shift, 0.0])) * len(rgb_u8)
        landmarks = {"left_eye": tuple(left), "right_eye": tuple(right)}
        return [SimpleNamespace(score=self.score, landmarks=landmarks)]


LIGHT, DARK = (np.full((64, 64, 3), level, np.uint8) for level in (200, 20))


def test_every_view_is_turned_back() -> None:
    photo = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    drawings = {name: draw(Mirror(), photo, view, CPU) for name, view in VIEWS.items()}  # type: ignore[arg-type]
    assert np.array_equal(drawings["as it is"], photo)
    assert np.array_equal(drawings["mirrored"], photo)
    assert drawings["darker"].mean() < photo.mean() - 5
    assert drawings["lighter"].mean() > photo.mean() + 5


@pytest.mark.parametrize("name", ["as it is", "mirrored"])
def test_a_teacher_of_another_size_sees_its_own_and_draws_as_large_as_the_photo(name: str) -> None:
    coarse = np.random.default_rng(3).integers(0, 256, (8, 8, 3), np.uint8)
    photo = coarse.repeat(16, 0).repeat(16, 1)
    teacher = Mirror()
    seen: list[tuple[int, ...]] = []
    teacher.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape)))
    drawing = draw(teacher, photo, VIEWS[name], CPU)  # type: ignore[arg-type]
    assert seen == [(1, 3, 64, 64)]
    assert drawing.shape == photo.shape
    assert np.abs(drawing.astype(int) - photo)[4:12, 4:12].max() < 40  # inside a square


def test_a_drawing_pays_for_eyes_that_moved() -> None:
    near, far = (judge(Finds(shift=shift), LIGHT, EYES) for shift in (0.0, 0.1))  # type: ignore[arg-type]
    assert near == (0.3, True, True)
    assert far.has_face
    assert not far.has_eyes_in_place
    assert far.score < 0.2
    assert judge(Finds(shift=0.1), LIGHT, None) == (0.3, True, True)  # type: ignore[arg-type]
    assert judge(Finds(), DARK, EYES) == (-1.0, False, False)  # type: ignore[arg-type]
    assert not judge(Finds(score=-0.1), LIGHT, EYES).has_face  # type: ignore[arg-type]


def test_what_one_drawing_has_alone_goes() -> None:
    blot = LIGHT.copy()
    blot[10:20, 10:20] = 0
    assert np.array_equal(agree([LIGHT, blot, LIGHT]), LIGHT)
    assert np.array_equal(agree([blot, blot, LIGHT]), blot)


def test_a_lesson_takes_the_best_alone_where_the_median_has_no_face(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawings = iter([DARK, LIGHT, DARK, DARK] * 3)
    learner = Mirror()
    monkeypatch.setattr(lessons_module, "draw", lambda *_: next(drawings))
    monkeypatch.setattr(lessons_module, "make_judge", Finds)
    made = make_lessons(learner, [learner], dataset / "trainA", CPU, best=3)  # type: ignore[list-item, arg-type]
    assert len(made) == 3
    for lesson in made:
        assert np.array_equal(lesson.drawing, LIGHT)
        assert lesson.has_face
        assert lesson.is_hard  # the photo as it is gave a dark one


def test_what_the_learner_cannot_draw_is_hard_whoever_teaches(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, teacher = Mirror(), Mirror()
    monkeypatch.setattr(lessons_module, "draw", lambda who, *_: LIGHT if who is teacher else DARK)
    monkeypatch.setattr(lessons_module, "make_judge", Finds)
    made = make_lessons(learner, [teacher], dataset / "trainA", CPU)  # type: ignore[list-item, arg-type]
    assert all(np.array_equal(one.drawing, LIGHT) and one.is_hard for one in made)
    made = make_lessons(teacher, [learner], dataset / "trainA", CPU)  # type: ignore[list-item, arg-type]
    assert not any(one.has_face or one.is_hard for one in made)


def test_without_a_face_in_any_drawing_a_lesson_says_so(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lessons_module, "draw", lambda *_: DARK)
    monkeypatch.setattr(lessons_module, "make_judge", Finds)
    made = make_lessons(Mirror(), [Mirror()], dataset / "trainA", CPU)  # type: ignore[list-item, arg-type]
    assert [lesson.has_face for lesson in made] == [False] * 3


SITTER = np.zeros((64, 64), np.uint8)
SITTER[20:, 16:48] = 255


def test_sitters_who_are_cut_out_are_drawn_before_a_studio_wall_on_white_paper(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[RgbU8] = []

    def draw_grey(who: object, photo: RgbU8, *_: object) -> RgbU8:
        if who is teacher:
            shown.append(photo)
        return LIGHT

    known = iter([SITTER, None, SITTER])
    learner, teacher = Mirror(), Mirror()
    monkeypatch.setattr(lessons_module, "find_sitter", lambda *_: next(known))
    monkeypatch.setattr(lessons_module, "draw", draw_grey)
    monkeypatch.setattr(lessons_module, "make_judge", Finds)
    made = make_lessons(learner, [teacher], dataset / "trainA", CPU, cuts={})  # type: ignore[list-item, arg-type]
    assert [one.sitter is None for one in made] == [False, True, False]
    first, second, _ = made
    inside = (slice(30, 60), slice(20, 44))
    assert np.array_equal(shown[0][inside], first.photo[inside])
    assert len(np.unique(shown[0][:18].reshape(-1, 3), axis=0)) == 1
    assert np.array_equal(shown[len(VIEWS)], second.photo)
    assert (first.drawing[:14] == 255).all()
    assert np.array_equal(first.drawing[inside], LIGHT[inside])
    assert np.array_equal(second.drawing, LIGHT)


def test_with_sitters_cut_out_the_photo_as_it_is_tells_what_is_hard(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw_if_before_a_studio(_: object, photo: RgbU8, *__: object) -> RgbU8:
        return LIGHT if len(np.unique(photo[0], axis=0)) == 1 else DARK

    learner = Mirror()
    monkeypatch.setattr(lessons_module, "find_sitter", lambda *_: SITTER)
    monkeypatch.setattr(lessons_module, "draw", draw_if_before_a_studio)
    monkeypatch.setattr(lessons_module, "make_judge", Finds)
    made = make_lessons(learner, [learner], dataset / "trainA", CPU, cuts={})  # type: ignore[list-item, arg-type]
    assert all(one.has_face and one.is_hard for one in made)


def lesson(level: int, *, has_face: bool = True, is_hard: bool = False) -> Lesson:
    photo = np.full((64, 64, 3), level, np.uint8)
    photo[:, 20:24] = 255 - level
    return Lesson(photo, photo, has_face, is_hard)


def batch(book: Schoolbook, count: int, place: int = 1, rough_share: float = 0.0) -> Batch:
    shares = Shares(rough=rough_share)
    return batch_at(book, place, seed=20240501, count=count, shares=shares)


def test_a_batch_shifts_photo_and_drawing_alike_and_repeats(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("training.schoolbook.GAMMA_JITTER", 0.0)
    monkeypatch.setattr("training.schoolbook.GREY_SHARE", 0.0)
    monkeypatch.setattr("training.schoolbook.SHADOW_STOPS", 0.0)
    lessons = [lesson(40), lesson(90, has_face=False)]
    book = Schoolbook(lessons, np.array([0.25, -0.5]), np.array([0.5, 0.5]), [LIGHT])
    batches = [batch(book, 3, place) for place in (1, 2, 3, 1)]
    for one in batches:
        assert torch.equal(one.photos, one.wanted)
        assert torch.equal(one.is_taught.flatten() == 1, one.skin == 0.25)
    assert torch.equal(batches[0].photos, batches[3].photos)
    assert len({one.photos.numpy().tobytes() for one in batches}) == 3


def test_light_falls_on_the_photo_alone() -> None:
    book = Schoolbook([lesson(90)], np.zeros(1), np.ones(1), [LIGHT])
    one = batch(book, 4)
    assert len(np.unique(one.wanted.numpy())) == 2
    assert not torch.equal(one.photos, one.wanted)


def test_the_rate_rises_holds_and_falls() -> None:
    rates = [_rate(step, 200) for step in (1, 25, 50, 100, 101, 150, 200)]
    assert rates == pytest.approx([0.02, 0.5, 1, 1, 1, 0.51, 0.01])


def test_refining_writes_a_generator_that_says_what_it_is(
    dataset: Path, weights: Path, tmp_path: Path
) -> None:
    other = save(tmp_path / "other", 4)
    arrays, facts = read_arrays(other, kind=GENERATOR_KIND)
    write_arrays(other, arrays, facts | {"licence": "CC BY-NC-SA 4.0"})
    report = refine(weights, dataset, tmp_path / "out.safetensors", options(others=(other,)))
    assert (report.lessons, report.held_out) == (3, 2)
    assert report.without_face <= report.hard <= 3
    before, after = load_generator(weights)[0], load_generator(report.file)[0]
    moved = [not torch.equal(one, two) for one, two in zip(before.parameters(), after.parameters())]  # noqa: B905
    assert sum(moved) > len(moved) / 2
    card = load_generator(report.file)[1]
    assert (card["direction"], card["framing"]) == ("a2b", FRAMING)
    assert card["licence"] == "MIT and CC BY-NC-SA 4.0"
    assert len(card["refined_from"]) == 64
    assert card["parameters"]["refine"]["iterations"] == 3
    assert "is_grey" not in card  # whatever was said of what it began from


def test_what_draws_in_greys_goes_on_without_colour(
    dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.refine.make_lessons", lambda *_, **__: [lesson(90), lesson(160)])
    grey = tmp_path / "grey" / "generator_a2b.safetensors"
    take_colour(weights, grey)
    heads = {}
    for file in (weights, grey):
        report = refine(file, dataset, tmp_path / "out" / file.parent.name, options())
        generator, card = load_generator(report.file)
        heads[file] = generator.head.weight
        assert card.get("is_grey", False) is (file is grey)
    assert torch.equal(heads[grey], heads[grey][:1].expand_as(heads[grey]))
    assert not torch.equal(heads[grey], load_generator(grey)[0].head.weight)  # it has learned
    assert not torch.equal(heads[weights][0], heads[weights][1])


@pytest.fixture
def logged_rows(
    dataset: Path,
    weights: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[], list[str]]:
    """Three iterations, which return their rows of losses, one after every other iteration."""
    monkeypatch.setattr(refine_module, "_LOG_EVERY", 2)

    def rows() -> list[str]:
        with caplog.at_level("INFO"):
            refine(weights, dataset, tmp_path / "out.safetensors", options())
        return [text for text in caplog.messages if text.startswith("step ")]

    return rows


def test_the_log_has_no_rows_of_the_warm_up(logged_rows: Callable[[], list[str]]) -> None:
    assert [row.split(":")[0] for row in logged_rows()] == ["step 2/3"]


def test_the_first_row_after_a_cut_is_a_mean_as_well(
    logged_rows: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_if_cut(_folder: object, state: RefineState) -> None:
        state.step = 1

    def pay_one(state: RefineState, *_: object) -> Tensor:
        state.step += 1
        return torch.ones(6)

    monkeypatch.setattr(refine_module, "load_state", as_if_cut)
    monkeypatch.setattr(refine_module, "_one_iteration", pay_one)
    rows = logged_rows()
    assert len(rows) == 1
    assert rows[0].startswith("step 2/3: adversarial 1.0000, lesson 1.0000,")


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    dataset: Path, weights: Path, tmp_path: Path
) -> None:
    files = [tmp_path / f"{name}.safetensors" for name in ("one", "same", "other")]
    for file, seed in zip(files, (1, 1, 2), strict=True):
        refine(weights, dataset, file, options(iterations=1, seed=seed))
    one, same, other = (file.read_bytes() for file in files)
    assert one == same
    assert one != other


def test_rough_photos_reach_the_training(dataset: Path, weights: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{share}.safetensors" for share in (0.0, 1.0)]
    for file, share in zip(files, (0.0, 1.0), strict=True):
        refine(weights, dataset, file, options(iterations=1, rough_share=share))
    plain, rough = (load_generator(file)[0].state_dict() for file in files)
    assert any(not torch.equal(plain[name], rough[name]) for name in plain)


def test_what_discriminators_see_is_augmented_and_nothing_else(
    dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, bytes]] = []

    def record(x: Tensor, numbers: Tensor, probability: Tensor, kinds: Sequence[str]) -> Tensor:
        assert (float(probability), len(x), len(kinds)) == (0.5, len(numbers), 3)
        seen.append((x.requires_grad, numbers.numpy().tobytes()))
        return torch.zeros_like(x)  # then discriminators can tell nothing apart

    monkeypatch.setattr("training.refine.make_lessons", lambda *_, **__: [lesson(90), lesson(160)])
    monkeypatch.setattr("training.refine.augmented", record)
    files = [tmp_path / f"{share}.safetensors" for share in (0.0, 0.5)]
    refine(weights, dataset, files[0], options(iterations=1))
    assert not seen
    refine(weights, dataset, files[1], options(iterations=1, augment_share=0.5))
    assert [is_generators for is_generators, _ in seen[-3:]] == [False, False, True]
    assert not any(is_generators for is_generators, _ in seen[:-3])
    assert len({numbers for _, numbers in seen}) == len(seen)
    before, plain, blind = (load_generator(f)[0].state_dict() for f in (weights, *files))
    assert any(not torch.equal(plain[name], blind[name]) for name in plain)
    assert any(not torch.equal(before[name], blind[name]) for name in plain)  # lessons still teach


def test_discriminators_do_not_see_the_margin(
    dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []
    forward = Discriminator.forward

    def record(self: Discriminator, x: Tensor, *counts: object) -> object:
        seen.append(tuple(x.shape[1:]))
        return forward(self, x, *counts)  # type: ignore[arg-type]

    monkeypatch.setattr("training.refine.make_lessons", lambda *_, **__: [lesson(90), lesson(160)])
    monkeypatch.setattr(Discriminator, "forward", record)
    files = [tmp_path / f"{share}.safetensors" for share in (0.0, 0.1)]
    for file, share in zip(files, (0.0, 0.1), strict=True):
        refine(weights, dataset, file, options(iterations=1, margin_share=share))
    assert set(seen) == {(3, 64, 64), (3, 58, 52)}  # below, where shoulders are, they see all
    whole, inner = (load_generator(file)[0].state_dict() for file in files)
    assert any(not torch.equal(whole[name], inner[name]) for name in whole)
    picture = torch.arange(64.0).expand(1, 3, 64, 64)
    columns = _as_judged(picture, torch.zeros(1), augment=0.0, margin=0.1)[0, 0, 0]
    assert columns.tolist() == list(range(6, 58))


def test_around_the_head_lessons_weigh_more(
    dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.refine.make_lessons", lambda *_, **__: [lesson(90), lesson(160)])
    is_head = find_head(100, CPU)
    assert is_head[20:80, 30:70].all()
    assert not is_head[:, [0, 5, 94, 99]].any()
    assert is_head.float().mean() == pytest.approx(np.pi * 0.34 * 0.42, abs=0.01)
    files = [tmp_path / f"{around}.safetensors" for around in (1.0, 3.0)]
    for file, around in zip(files, (1.0, 3.0), strict=True):
        refine(weights, dataset, file, options(iterations=2, around_weight=around))
    alike, heavy = (load_generator(file)[0].state_dict() for file in files)
    assert any(not torch.equal(alike[name], heavy[name]) for name in alike)


def test_what_cannot_be_refined_is_refused(dataset: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    with pytest.raises(ParamsError, match="one of the weights"):
        refine(weights, dataset, weights, options())
    back = save(tmp_path / "back", 3, "b2a")
    with pytest.raises(CheckpointError, match="translates b2a, not a2b"):
        refine(back, dataset, out, options())
    wide = save(tmp_path / "wide", 3, framing=FRAMING | {"face_share": 0.4})
    with pytest.raises(CheckpointError, match="not of the framing"):
        refine(weights, dataset, out, options(others=(wide,)))
    with pytest.raises(ParamsError, match="nobody to draw"):
        refine(weights, dataset, out, options(learns_from_own=False))
    with pytest.raises(DatasetError, match="does not exist"):
        refine(weights, tmp_path / "nowhere", out, options())
    assert not out.exists()


def test_the_command_takes_others_to_draw(dataset: Path, weights: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "other", 4, image_size_px=32, base_channels=8)
    command = ["weights", "refine", str(weights.parent), "--with", str(other.parent)]
    few = ["--dataset", str(dataset), "--iterations", "1", "--best", "3", "--json"]
    judges = ["--around-weight", "3", "--augment-share", "0.4", "--margin-share", "0.1"]
    out = tmp_path / "refined"
    done = CliRunner().invoke(build_app(), [*command, *few, *judges, "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert [path.name for path in out.iterdir()] == ["generator_a2b.safetensors"]
    how = load_generator(out / "generator_a2b.safetensors")[1]["parameters"]["refine"]
    judged = [how[name] for name in ("around_weight", "augment_share", "margin_share")]
    assert (how["best"], *judged) == (3, 3, 0.4, 0.1)


def test_without_its_own_drawings_only_others_teach(
    dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[int]] = []

    def make(
        learner: Generator, teachers: Sequence[Generator], *_: object, **__: object
    ) -> list[Lesson]:
        asked.append([learner.arguments["image_size_px"]])
        asked.append([one.arguments["image_size_px"] for one in teachers])
        return [lesson(90), lesson(160)]

    monkeypatch.setattr("training.refine.make_lessons", make)
    small = save(tmp_path / "small", 4, image_size_px=32)
    for learns_from_own in (True, False):
        refine(
            weights,
            dataset,
            tmp_path / f"{learns_from_own}.safetensors",
            options(iterations=1, others=(small,), learns_from_own=learns_from_own),
        )
    assert asked == [[64], [64, 32], [64], [32]]


def test_twins_are_shown_beside_photos_with_their_own_drawings_as_real_ones() -> None:
    twin = lesson(200)
    book = Schoolbook([lesson(40)], np.zeros(1), np.ones(1), [DARK], [twin])
    one = batch(book, 2)
    assert one.photos.shape == one.wanted.shape == one.real.shape == (4, 3, 64, 64)
    assert one.skin.shape == (2,)
    assert torch.equal(one.wanted[2:], one.real[2:])
    assert one.wanted[2:].mean() > one.wanted[:2].mean()


def test_a_drawn_photo_is_roughened_and_its_drawing_is_not() -> None:
    rng = np.random.default_rng(5)
    rough = [_roughened(lesson(90), 0.4, rng) for _ in range(12)]
    same = [np.array_equal(one.photo, lesson(90).photo) for one in rough]
    assert 0 < sum(same) < 12
    assert all(np.array_equal(one.drawing, lesson(90).drawing) for one in rough)
    assert all(one.photo.dtype == np.uint8 for one in rough)


def test_grain_is_fine_or_coarse_grey_or_coloured() -> None:
    rng = np.random.default_rng(11)
    grains = [_grain(64, rng) for _ in range(40)]
    assert {one.shape for one in grains} == {(64, 64, 1), (64, 64, 3)}
    strengths = np.array([one.std() for one in grains])
    assert strengths.min() < 2
    assert 12 < strengths.max() < 21
    assert abs(np.mean([one.mean() for one in grains])) < 0.2
    alike = [np.corrcoef(one[:, 1:].ravel(), one[:, :-1].ravel())[0, 1] for one in grains]
    assert min(alike) < 0.3
    assert max(alike) > 0.6


def test_photos_are_rough_by_a_share_and_lessons_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schoolbook_module, "_show", lambda one, *_: (one.photo, one.drawing))
    rng = np.random.default_rng(8)
    fine = Lesson(rng.integers(0, 256, (64, 64, 3), np.uint8), LIGHT, has_face=True, is_hard=False)
    plain = Schoolbook([fine], np.zeros(1), np.ones(1), [LIGHT])
    shown = {
        share: [batch(plain, 1, place, share) for place in range(1, 9)] for share in (0.0, 0.3, 1.0)
    }
    changed = {
        share: sum(not torch.equal(one.photos, shown[0.0][0].photos) for one in batches)
        for share, batches in shown.items()
    }
    assert changed[0.0] == 0
    assert 0 < changed[0.3] < 8
    assert changed[1.0] == 8
    wanted = shown[0.0][0].wanted
    assert all(torch.equal(one.wanted, wanted) for batches in shown.values() for one in batches)


def test_a_sitter_stands_before_the_corner_of_another_photo_by_a_share() -> None:
    known = lesson(90)._replace(sitter=SITTER)
    book = Schoolbook([known, lesson(160)], np.zeros(2), np.ones(2) / 2, [LIGHT])
    rng = np.random.default_rng(9)
    shown = [_before_another_wall(known, book, 0.5, rng) for _ in range(40)]
    moved = [one for one in shown if one is not known]
    assert 10 < len(moved) < 30
    for one in moved:
        assert np.array_equal(one.photo[SITTER > 0], known.photo[SITTER > 0])
        assert one.drawing is known.drawing
        assert not np.array_equal(one.photo, known.photo)
    assert len({one.photo[0, 0].tobytes() for one in moved}) == len(moved)
    state = rng.bit_generator.state
    assert _before_another_wall(book.lessons[1], book, 1.0, rng) is book.lessons[1]
    assert _before_another_wall(known, book, 0.0, rng) is known
    assert rng.bit_generator.state == state


def test_before_some_walls_stands_somebody_else_half_behind_the_sitter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None] * 3, (64, 64, 3))
    sitter = np.zeros((64, 64), np.uint8)
    sitter[:, 24:40] = 255
    known = Lesson(np.full_like(ramp, 77), ramp, has_face=True, is_hard=False, sitter=sitter)
    other = Lesson(ramp, ramp, has_face=True, is_hard=False)
    book = Schoolbook([other], np.zeros(1), np.ones(1), [LIGHT])
    monkeypatch.setattr("training.schoolbook.light_otherwise", lambda photo, *_: photo)
    monkeypatch.setattr("training.schoolbook._COMPANY_SHARE", 1.0)
    rng, sides = np.random.default_rng(2), set()
    for _ in range(20):
        shown = _before_another_wall(known, book, 1.0, rng)
        assert (shown.photo[:, 24:40] == 77).all()
        assert shown.drawing is ramp
        row = shown.photo[0, :, 0].astype(int) // 3
        rises = np.sign(row[1] - row[0])  # below 0: the other photo was mirrored
        sides.add(rises)
        step = row[0] if rises > 0 else 63 - row[0]
        assert 0.4 * 64 - 1 <= step <= 0.8 * 64 + 1
        assert row[63] == (63 - step if rises > 0 else step)  # reflected at the photo's end
    assert sides == {-1, 1}


def test_a_faded_photo_has_less_contrast_and_its_drawing_has_not() -> None:
    rng = np.random.default_rng(10)
    fine = lesson(20)
    shown = [_faded(fine, 0.5, rng) for _ in range(40)]
    faded = [one for one in shown if one is not fine]
    assert 10 < len(faded) < 30
    contrasts = [np.ptp(one.photo) / np.ptp(fine.photo) for one in faded]
    assert 0.3 < min(contrasts) < 0.6 < max(contrasts) <= 1
    assert np.ptp([one.photo.mean() for one in faded]) > 50
    assert all(one.drawing is fine.drawing for one in faded)
    assert _faded(fine, 0.0, rng) is fine


def test_a_photo_lit_by_a_lamp_has_no_other_shadow(monkeypatch: pytest.MonkeyPatch) -> None:
    stops: list[float] = []

    def shadowed(photo: RgbU8, depth: float, _: np.random.Generator) -> RgbU8:
        stops.append(depth)
        return photo

    monkeypatch.setattr(schoolbook_module, "shadowed", shadowed)
    plain = Schoolbook([lesson(200)], np.zeros(1), np.ones(1), [LIGHT])
    unshadowed = {}
    for share in (0.0, 0.5, 1.0):
        stops.clear()
        shares = Shares(lamps=share)
        for place in range(1, 9):
            batch_at(plain, place, seed=5, count=1, shares=shares)
        unshadowed[share] = stops.count(0.0)
    assert unshadowed[0.0] == 0
    assert 0 < unshadowed[0.5] < 8
    assert unshadowed[1.0] == 8


def test_a_plain_photo_keeps_its_own_light_and_wall() -> None:
    book = Schoolbook([lesson(90)], np.zeros(1), np.ones(1), [LIGHT])
    shares = Shares(rough=1.0, faded=1.0, lamps=1.0, plain=0.5)
    one = batch_at(book, 1, seed=5, count=16, shares=shares)
    plain = [
        torch.equal(photo, wanted) for photo, wanted in zip(one.photos, one.wanted, strict=True)
    ]
    assert 3 < sum(plain) < 13
    walled = Schoolbook([lesson(90)._replace(sitter=SITTER)], np.zeros(1), np.ones(1), [LIGHT])
    for plain_share, is_kept in ((1.0, True), (0.0, False)):
        shares = Shares(walls=1.0, plain=plain_share)
        one = batch_at(walled, 1, seed=5, count=1, shares=shares)
        assert torch.equal(one.photos, one.wanted) == is_kept


def test_walls_fading_and_lamps_reach_the_training(
    dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Mapping[str, int] | None] = []

    def lessons_of_one(*_: object, cuts: Mapping[str, int] | None) -> list[Lesson]:
        asked.append(cuts)
        return [lesson(90)._replace(sitter=SITTER), lesson(160)._replace(sitter=SITTER)]

    monkeypatch.setattr("training.refine.make_lessons", lessons_of_one)
    made = []
    shares = ({}, {"wall_share": 1.0}, {"fade_share": 1.0}, {"lamp_share": 1.0},
              {"plain_share": 1.0})  # fmt: skip
    for index, changes in enumerate(shares):
        file = tmp_path / f"{index}.safetensors"
        refine(weights, dataset, file, options(iterations=1, **changes))
        made.append(load_generator(file)[0].state_dict())
    assert asked == [None, {}, None, None, None]
    for one, other in combinations(range(len(made)), 2):
        assert any(not torch.equal(made[one][name], made[other][name]) for name in made[0])


def test_where_nothing_compiles_nothing_is_begun(
    dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_compiler(_: object) -> None:
        raise RuntimeError("InvalidCxxCompiler: none found\nand a long story")

    monkeypatch.setattr(torch, "compile", no_compiler)
    monkeypatch.setattr("training.refine.make_lessons", None)
    with pytest.raises(DeviceError, match=r"for cpu here \(InvalidCxxCompiler: none found\)"):
        refine(weights, dataset, tmp_path / "new" / "g.safetensors", options(is_compiled=True))
    assert not (tmp_path / "new").exists()


@pytest.mark.slow  # a compiler's minute
def test_compiled_networks_learn_what_plain_ones_do(
    dataset: Path, weights: Path, tmp_path: Path
) -> None:
    made = []
    for index, is_compiled in enumerate((False, True, True)):
        file = tmp_path / f"{index}.safetensors"
        refine(weights, dataset, file, options(lr=0.01, is_compiled=is_compiled))
        made.append(_all_weights(file))
    plain, compiled, again = made
    assert torch.equal(compiled, again)
    learned = (plain - _all_weights(weights)).abs().mean()
    assert learned > 1e-5
    assert (compiled - plain).abs().mean() < 0.3 * learned  # 0.16: bf16, and signs


def _all_weights(file: Path) -> Tensor:
    return torch.cat([x.flatten() for x in load_generator(file)[0].state_dict().values()])


def test_a_drawn_photo_takes_colours_of_a_real_one_by_a_share() -> None:
    rng = np.random.default_rng(6)
    own, real = (
        rng.integers(low, high, (64, 64, 3), np.uint8) for low, high in ((60, 90), (100, 180))
    )
    real[..., 2] //= 2
    assert np.array_equal(_coloured(own, real, 0.0), own)
    whole, half = _coloured(own, real, 1.0), _coloured(own, real, 0.5)
    assert whole.mean(axis=(0, 1)) == pytest.approx(real.mean(axis=(0, 1)), abs=0.5)
    assert whole.std(axis=(0, 1)) == pytest.approx(real.std(axis=(0, 1)), rel=0.15)
    middle = (own.mean(axis=(0, 1)) + real.mean(axis=(0, 1))) / 2
    assert half.mean(axis=(0, 1)) == pytest.approx(middle, abs=0.5)
    assert np.array_equal(_coloured(LIGHT, DARK, 1.0), DARK)


def test_some_twins_look_as_photographed_and_their_drawing_stays() -> None:
    rng = np.random.default_rng(7)
    book = Schoolbook([lesson(20)], np.zeros(1), np.ones(1), [LIGHT])
    shown = [_as_photographed(lesson(200), book, rng) for _ in range(24)]
    means = np.array([twins.photo.mean() for twins in shown])
    is_own = np.abs(means - lesson(200).photo.mean()) < 1
    assert 4 < is_own.sum() < 20
    assert all(np.array_equal(twins.drawing, lesson(200).drawing) for twins in shown)


def test_lines_stay_where_tones_are_taken() -> None:
    x = torch.full((1, 3, 64, 64), 0.6)
    x[..., 30:32] = -1.0  # an upright line
    assert _lines(x, 1.0) is x
    bare, half = _lines(x, 0.0), _lines(x, 0.5)
    assert bare[..., :20].abs().max() < 1e-6  # paper, whatever its tone
    assert half[..., :20].mean() == pytest.approx(0.3)
    for less in (bare, half):
        step = less[0, 0, 10, 29] - less[0, 0, 10, 30]
        assert step == pytest.approx(1.6, abs=0.01)


@pytest.mark.parametrize("change", [{"lesson_tones": 0.0}, {"even_weight": 5.0}, {"twins": 1}])
def test_what_the_generator_pays_changes_its_weights(
    dataset: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, float],
) -> None:
    monkeypatch.setattr("training.refine.make_lessons", lambda *_, **__: [lesson(90), lesson(160)])
    files = [tmp_path / f"{name}.safetensors" for name in ("plain", "changed")]
    for file, changes in zip(files, ({}, change), strict=True):
        refine(weights, dataset, file, options(iterations=1, **changes))
    assert not torch.equal(*(_all_weights(file) for file in files))
    facts = load_generator(files[1])[1]["parameters"]["refine"]
    assert {name: facts[name] for name in change} == change


def test_drawn_twins_lie_in_the_framing_of_the_weights() -> None:
    framing = Framing(64, 0.55, 0.46)
    (twin,) = draw_twin_lessons(1, 3, framing)
    assert twin.photo.shape == twin.drawing.shape == (64, 64, 3)
    assert not np.ptp(twin.drawing, axis=2).any()
    face = draw_twins(twins_rng(3, 0)).photo.faces[0]
    eyes = np.array([face.landmarks["left_eye"], face.landmarks["right_eye"]])
    truth = face.as_found()
    matrix = crop_transform(truth, "photo", framing)
    y = (eyes @ matrix[:, :2].T + matrix[:, 2]).mean(axis=0)[1]
    assert y == pytest.approx(0.46 * 64, abs=1)


def test_twins_need_to_know_the_framing(dataset: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "own", 3)
    generator, _ = load_generator(path)
    save_generator(path, generator, {"direction": "a2b"})
    with pytest.raises(CheckpointError, match="how faces lie"):
        refine(path, dataset, tmp_path / "out.safetensors", options(twins=1))


def test_what_would_fail_after_an_hour_fails_at_once(
    dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.refine.make_lessons", lambda *_: pytest.fail("too late"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ParamsError, match="no folder to write to"):
        refine(weights, dataset, tmp_path / "file" / "deep" / "out.safetensors", options())
    for path in (dataset / "trainB").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="trainB holds no picture"):
        refine(weights, dataset, tmp_path / "out.safetensors", options())


@pytest.fixture
def opencv_threads() -> Iterator[int]:
    """OpenCV has threads that wait for work; how many it uses."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (9, 9), 3)
    yield 2
    cv2.setNumThreads(before)


def test_processes_that_prepare_batches_change_nothing(opencv_threads: int) -> None:
    lessons = [lesson(level) for level in (40, 90, 200)]
    book = compile_book(lessons, None, [])
    alone, helped = (
        list(batches(book, range(3, 8), seed=5, count=2, shares=Shares(rough=0.5), workers=workers))
        for workers in (0, 2)
    )
    assert len(alone) == 5
    for one, other in zip(alone, helped, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(alone[0].photos, alone[1].photos)
    assert cv2.getNumThreads() == opencv_threads


@pytest.mark.parametrize("cut_at", [-1, 2])
def test_a_run_that_was_cut_goes_on_to_the_same_bytes(
    dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_at: int
) -> None:
    whole = refine(weights, dataset, tmp_path / "whole" / "g.safetensors", options()).file
    follow = refine_module._one_iteration

    def with_a_signal(state: RefineState, *others: Any) -> torch.Tensor:
        losses = follow(state, *others)
        if state.step == cut_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return losses

    out = tmp_path / "cut" / "g.safetensors"
    with monkeypatch.context() as patched:
        patched.setattr(refine_module, "_one_iteration", with_a_signal)
        with pytest.raises(InterruptedRunError, match=rf"SIGTERM at step {cut_at} of 3"):
            refine(weights, dataset, out, options())
    assert [path.name[:7] for path in out.parent.iterdir()] == ["refine-"]
    drawn_again = lambda *_, **__: pytest.fail("lessons were kept")  # noqa: E731
    monkeypatch.setattr(refine_module, "make_lessons", drawn_again)
    assert refine(weights, dataset, out, options()).file.read_bytes() == whole.read_bytes()
    assert [path.name for path in out.parent.iterdir()] == ["g.safetensors"]


def test_what_was_kept_and_is_damaged_is_made_again(
    dataset: Path, weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = Lesson(LIGHT, DARK, has_face=True, is_hard=False)
    other = one._replace(sitter=SITTER)
    folder = folder_of(tmp_path / "g.safetensors", {"seed": 1})
    assert folder_of(tmp_path / "g.safetensors", {"seed": 2}) != folder
    assert keep_lessons(folder, lambda: [one, other])[0] is one
    kept, kept_other = keep_lessons(folder, list)
    assert np.array_equal(kept.drawing, DARK)
    assert (kept.has_face, kept.is_hard, kept.sitter) == (True, False, None)
    assert np.array_equal(kept_other.sitter, SITTER)  # type: ignore[arg-type]
    data = bytearray(folder.lessons_path.read_bytes())
    data[-1] ^= 1
    folder.lessons_path.write_bytes(data)
    assert len(keep_lessons(folder, lambda: [one, one])) == 2
    assert "drawing them again" in caplog.text


def test_two_runs_do_not_share_one_folder(
    dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out" / "g.safetensors"

    def begin_another(*_: Any) -> None:
        with pytest.raises(AnymusError, match="another training runs here"):
            refine(weights, dataset, out, options())
        raise KeyboardInterrupt

    monkeypatch.setattr(refine_module, "count_in_place", begin_another)
    with pytest.raises(KeyboardInterrupt):
        refine(weights, dataset, out, options())
    assert list(out.parent.iterdir()) == []


def test_a_loss_that_is_no_number_ends_the_run_and_writes_nothing(
    dataset: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.safetensors"
    with pytest.raises(CheckpointError, match="no number"):
        refine(weights, dataset, out, options(lr=float("inf")))
    assert not out.exists()
