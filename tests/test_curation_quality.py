"""The figures of a crop say what was done to it, and the limits name the first thing wrong."""

import math

import cv2
import numpy as np
import pytest

from anymus.drawing.manga import draw_bust
from anymus.drawing.photo import draw_portrait
from anymus.framing import Framing, crop_transform, cut, face_box
from anymus.images import RgbU8
from anymus.manifest import Domain, Face
from anymus.params import Params
from curation.lettering import lettering_share
from curation.quality import describe_fault, find_fault, measure

FRAMING = Framing(size_px=128, face_share=0.55, eye_line=0.46)


def _figures(rgb_u8: RgbU8, face: Face, domain: Domain = "photo") -> dict[str, float]:
    matrix = crop_transform(face, domain, FRAMING)
    height_px, width_px = rgb_u8.shape[:2]
    crop_u8 = cut(rgb_u8, matrix, FRAMING.size_px)
    return measure(crop_u8, matrix, face, domain, FRAMING, (width_px, height_px))


@pytest.fixture(scope="module")
def portrait() -> tuple[RgbU8, Face]:
    drawing = draw_portrait(np.random.default_rng(5))
    truth = drawing.faces[0]
    return drawing.rgb_u8, truth.as_found()


def test_figures_follow_what_is_done_to_a_picture(portrait: tuple[RgbU8, Face]) -> None:
    rgb_u8, face = portrait
    sharp = _figures(rgb_u8, face)
    blurred = _figures(cv2.GaussianBlur(rgb_u8, (0, 0), 6), face)
    assert blurred["sharpness"] < 0.2 * sharp["sharpness"]
    dark = _figures((rgb_u8 * 0.2).astype(np.uint8), face)
    assert dark["brightness"] == pytest.approx(0.2 * sharp["brightness"], abs=3)
    flat = _figures((rgb_u8 * 0.1 + 110).astype(np.uint8), face)
    assert flat["contrast"] < 0.2 * sharp["contrast"]
    grey = _figures(np.repeat(rgb_u8.mean(axis=2, keepdims=True), 3, 2).astype(np.uint8), face)
    assert grey["saturation"] < 1 < sharp["saturation"]


def test_eyes_lie_in_the_same_places_in_photos_and_drawings(portrait: tuple[RgbU8, Face]) -> None:
    bust = draw_bust(np.random.default_rng(5))
    truth = bust.faces[0]
    drawn = truth.as_found()
    photo, manga = _figures(*portrait), _figures(bust.rgb_u8, drawn, "manga")
    for name in ("eye_share", "eye_line"):
        assert manga[name] == pytest.approx(photo[name], abs=0.002)


def test_framing_figures_say_where_the_face_is(portrait: tuple[RgbU8, Face]) -> None:
    rgb_u8, face = portrait
    found = _figures(rgb_u8, face)
    assert found["eye_line"] == pytest.approx(FRAMING.eye_line, abs=0.01)
    assert found["face_share"] == pytest.approx(FRAMING.face_share, rel=0.35)
    assert 0 < found["head_room"] < FRAMING.eye_line
    assert abs(found["turn"]) < 0.35
    assert found["face_outside_share"] == 0
    x, y, width, height = face.box
    half = np.ascontiguousarray(rgb_u8[:, x + width // 2 :])
    points = {name: (u - x - width // 2, v) for name, (u, v) in face.landmarks.items()}
    cut_off = Face(box=(-(width // 2), y, width, height), score=1.0, landmarks=points)
    assert _figures(half, cut_off)["face_outside_share"] == pytest.approx(0.5, abs=0.02)


def test_a_turned_head_is_told_by_its_nose_or_its_box() -> None:
    picture = np.full((200, 200, 3), 128, np.uint8)
    eyes = {"left_eye": (80.0, 100.0), "right_eye": (120.0, 100.0)}
    right = Face(box=(60, 60, 80, 80), score=1, landmarks=eyes | {"nose": (120.0, 115.0)})
    assert _figures(picture, right)["turn"] == pytest.approx(0.5)
    boxed = Face(box=(40, 60, 80, 80), score=1, landmarks=eyes)  # its eyes are right of its middle
    assert _figures(picture, boxed)["turn"] == pytest.approx(0.5)
    assert {"yaw_deg", "pitch_deg"}.isdisjoint(_figures(picture, boxed))
    blind = _figures(picture, Face(box=(40, 60, 80, 80), score=1, landmarks={}))
    assert "turn" not in blind
    assert "eye_line" not in blind


@pytest.mark.parametrize("yaw_deg", [-40.0, 0.0, 25.0])
@pytest.mark.parametrize("pitch_deg", [-20.0, 0.0, 15.0])
@pytest.mark.parametrize("name", ["nose", "nose_base"])
def test_yaw_and_pitch_are_those_of_a_head_seen_from_afar(
    yaw_deg: float, pitch_deg: float, name: str
) -> None:
    below, before = {"nose_base": (0.75, 0.38), "nose": (0.57, 0.5)}[name]
    head = np.array([[-0.5, 0, 0], [0.5, 0, 0], [0, below, before]])  # right, down, to the viewer
    yaw, pitch = math.radians(yaw_deg), math.radians(pitch_deg)
    y = head[:, 1] * math.cos(pitch) - head[:, 2] * math.sin(pitch)
    z = head[:, 1] * math.sin(pitch) + head[:, 2] * math.cos(pitch)
    x = head[:, 0] * math.cos(yaw) + z * math.sin(yaw)
    points = {
        point: (100 + 80 * float(u), 100 + 80 * float(v))
        for point, u, v in zip(("left_eye", "right_eye", name), x, y, strict=True)
    }
    picture = np.full((240, 240, 3), 128, np.uint8)
    found = _figures(picture, Face(box=(40, 40, 140, 140), score=1, landmarks=points))
    if not pitch_deg:
        assert found["yaw_deg"] == pytest.approx(yaw_deg, abs=0.1)
    elif yaw_deg:  # a nod is taken for more or less of a turn
        assert 0.2 < found["yaw_deg"] / yaw_deg < 2
    if not yaw_deg:
        assert found["pitch_deg"] == pytest.approx(pitch_deg, abs=8 if pitch_deg else 0.1)


def test_a_box_is_brow_to_chin_in_both_domains() -> None:
    """dlib's square begins at the brow, the box of a drawing in the hair."""
    photo = face_box(Face(box=(50, 50, 100, 100), score=1, landmarks={}), "photo")
    drawing = face_box(Face(box=(50, 50, 100, 112), score=1, landmarks={}), "manga")
    assert photo == pytest.approx((54.5, 50, 91, 100))
    assert drawing == pytest.approx((53.5, 78, 93, 84))


GOOD = {
    "upscale": 1.0,
    "outside_share": 0.0,
    "face_outside_share": 0.0,
    "sharpness": 500.0,
    "brightness": 120.0,
    "contrast": 50.0,
    "saturation": 60.0,
    "roll_deg": 0.0,
    "eye_share": 0.239,
    "lettering_share": 0.0,
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"turn": 0.1}, None),
        ({"upscale": 9.0}, "too_small"),
        ({"outside_share": 0.5}, "cut_by_edge"),
        ({"face_outside_share": 0.3}, "cut_by_edge"),
        ({"sharpness": 1.0}, "blurred"),
        ({"brightness": 9.0}, "too_dark"),
        ({"brightness": 254.0}, "too_bright"),
        ({"contrast": 2.0}, "flat"),
        ({"turn": -0.8}, "turned"),
        ({"roll_deg": -120.0}, "tilted"),
        ({"upscale": 9.0, "sharpness": 1.0}, "too_small"),
    ],
)
@pytest.mark.parametrize("domain", ["photo", "manga"])
def test_every_limit_has_its_reason(
    params: Params, domain: Domain, change: dict[str, float], reason: str | None
) -> None:
    assert find_fault(GOOD | change, params.crop, domain) == reason


def test_grey_colour_and_lettering_are_limits_one_may_set(params: Params) -> None:
    limits = params.crop.manga.model_copy(update={"max_saturation": 10.0, "min_saturation": 0.0})
    only_grey = params.crop.model_copy(update={"manga": limits})
    assert find_fault(GOOD, only_grey, "manga") == "colour"
    assert find_fault(GOOD | {"saturation": 0.0}, only_grey, "manga") is None
    limits = params.crop.photo.model_copy(update={"min_saturation": 10.0})
    only_colour = params.crop.model_copy(update={"photo": limits})
    assert find_fault(GOOD | {"saturation": 0.0}, only_colour, "photo") == "grey"
    lettered = GOOD | {"lettering_share": 0.3}
    assert find_fault(lettered, params.crop, "manga") == "lettering"
    assert find_fault(lettered, params.crop, "photo") is None


def test_a_face_without_both_eyes_is_rejected_where_eyes_are_asked_for(
    params: Params, portrait: tuple[RgbU8, Face]
) -> None:
    rgb_u8, face = portrait
    one_eyed = face.model_copy(update={"landmarks": {"left_eye": face.landmarks["left_eye"]}})
    limits = params.crop.manga.model_copy(update={"needs_eyes": True})
    asked = params.crop.model_copy(update={"manga": limits})
    hidden = {name: value for name, value in GOOD.items() if name != "eye_share"}
    assert "eye_share" not in _figures(rgb_u8, one_eyed)
    assert find_fault(GOOD, asked, "manga") is None
    assert find_fault(hidden, asked, "manga") == "eyes_hidden"
    assert describe_fault(hidden, asked, "manga").endswith("crop.manga.needs_eyes")
    assert find_fault(hidden | {"contrast": 2.0}, asked, "manga") == "flat"
    assert find_fault(hidden, params.crop, "manga") is None
    assert describe_fault(hidden, params.crop, "manga") == ""


def _letter(canvas: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Write columns of strokes of a glyph's size, as a balloon has them."""
    generator = np.random.default_rng(3)
    for column in range(columns):
        for row in range(rows):
            x, y = 180 - 18 * column, 20 + 16 * row
            for _ in range(3):
                ends = generator.integers(0, 11, 4)
                cv2.line(canvas, (x + ends[0], y), (x + ends[1], y + 10), 0, 2)
                cv2.line(canvas, (x, y + ends[2]), (x + 10, y + ends[3]), 0, 2)
    return canvas


def test_lettering_is_told_from_drawing() -> None:
    white = np.full((256, 256), 255, np.uint8)
    text = lettering_share(_letter(white.copy(), rows=9, columns=4))
    assert 0.1 < text < 0.4
    assert lettering_share(_letter(white.copy(), rows=5, columns=1)) < text / 2
    assert lettering_share(white) == 0.0
    assert lettering_share(_letter(np.full((256, 256), 120, np.uint8), 9, 4)) == 0.0
    shares = []
    for seed in range(12):
        drawing = draw_bust(np.random.default_rng([9, seed]))
        grey = cv2.cvtColor(drawing.rgb_u8, cv2.COLOR_RGB2GRAY)
        shares.append(lettering_share(cv2.resize(grey, (256, 256), interpolation=cv2.INTER_AREA)))
    assert sum(share > 0.12 for share in shares) == 0, shares
