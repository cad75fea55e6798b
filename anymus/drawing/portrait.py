"""Portraits: the person of a photo drawn in manga, each feature in the place it has there.

Who it is and where the face lies is read from a row of a table (`Sitting`): a person or a detector
of landmarks wrote it, nothing here looks at a photo.
"""

from dataclasses import dataclass

import numpy as np

from anymus.drawing import manga_person as manga
from anymus.drawing.manga_ink import BLACK, WHITE, Paint
from anymus.drawing.truth import Drawing
from anymus.drawing.twin import (
    CLOTHES,
    GLASSES,
    HAIR_COLOURS,
    draw_in_place,
    hair_paint,
    turned,
    with_seen_hair,
)
from anymus.drawing.twin import CUTS as TWINS_CUTS

SEXES = {"man": "male", "woman": "female"}
CUTS = {**TWINS_CUTS, "pixie": ("pixie", "side"), "combed": ("short", "back")}
CHOICES = {
    "sex": tuple(SEXES),
    "age": ("young", "adult", "old"),
    "cut": tuple(CUTS),
    "hair": tuple(HAIR_COLOURS),
    "skin": tuple(manga.SKINS),
    "glasses": tuple(GLASSES),
    "beard": ("none", "stubble", "moustache", "goatee", "full", "long"),
    "clothes": tuple(CLOTHES),
    "parting": ("left", "right"),
}
"""What each trait of a sitting may be."""
CHIN_RISE = 0.18
"""How far drawn chins are nearer to the eyes than those of photos, in half face widths."""
_EYE_HALVES = {"round": (0.27, 0.3), "sharp": (0.27, 0.24), "seinen": (0.24, 0.14)}
_MOST_TURNED_AWAY_DEG = 12.0  # to the side that the renderer does not draw by itself
_SMILE, _TEETH, _LAUGH, _NARROW = 0.06, 0.06, 0.2, 0.8


@dataclass(frozen=True, slots=True)
class Sitting:
    """A face in a square picture; places are shares of its side, angles degrees.

    Attributes:
        sex: man or woman.
        age: young, adult or old.
        cut: Of the hair, of `twin.CUTS`.
        hair: Its colour, of `twin.HAIR_COLOURS`.
        skin: Of `manga_person.SKINS`.
        glasses: Of `twin.GLASSES`.
        beard: none, stubble, moustache, goatee, full or long.
        clothes: Of `twin.CLOTHES`.
        parting: left or right: the side of the picture from which hair is combed across.
        eyes: Centres (x, y) of the left and the right one in the picture.
        half_width: Of the face.
        brow_y: Middle of the brows.
        nose_y: Below the nose.
        mouth_y: Between the lips.
        chin_y: Its tip.
        jaw: Half width between the corners of the jaw.
        gape: Opening of the lips, in widths of the mouth.
        lift: How much higher corners are than the middle of the mouth, in distances of the eyes.
        wide: Width of the mouth, in distances of the eyes.
        gaze: From -1, to the left of the picture, to 1.
        yaw: Above 0 the face looks to the right of the picture.
        pitch: Above 0 it looks down.
    """

    sex: str
    age: str
    cut: str
    hair: str
    skin: str
    glasses: str
    beard: str
    clothes: str
    parting: str
    eyes: tuple[tuple[float, float], tuple[float, float]]
    half_width: float
    brow_y: float
    nose_y: float
    mouth_y: float
    chin_y: float
    jaw: float
    gape: float
    lift: float
    wide: float
    gaze: float
    yaw: float
    pitch: float


def draw_portrait(sitting: Sitting, side_px: int) -> Drawing:
    """Return the person drawn on white paper, (side_px, side_px, 3), in ink and flat greys.

    Its varying lines are always those of one seed (`draw_in_place`), so a network can learn them.

    Args:
        sitting: Who, and where the face lies.
        side_px: Of the picture.
    """
    eyes_px = np.array(sitting.eyes) * side_px
    unit_px = sitting.half_width * side_px
    return draw_in_place(as_manga(sitting), eyes_px, unit_px, (side_px, side_px), sitting.gaze)


def as_manga(sitting: Sitting) -> manga.Person:
    """Return whom the renderer of manga draws for a sitting."""
    sex = SEXES[sitting.sex]
    eye = _eye(sitting)
    hair, bangs = CUTS[sitting.cut]
    colour = HAIR_COLOURS[sitting.hair]
    cloth = Paint(BLACK) if sitting.clothes == "suit" else Paint(WHITE, 0.35)
    person = manga.Person(
        sex=sex,
        age=sitting.age,
        skin=sitting.skin,
        hair=hair,
        bangs=bangs,
        hair_colour=colour,
        eye=eye,
        lids="open",
        mood=_mood(sitting),
        glasses=GLASSES[sitting.glasses],
        beard=sitting.beard,
        marks=frozenset(),
        headwear="none",
        clothes=CLOTHES[sitting.clothes],
        size=_size(sitting, eye),
        pose=_pose(sitting),
        is_colour=False,
        iris=(70, 70, 70),
        cloth=(cloth, Paint(WHITE)),
        hair_paint=hair_paint(colour),
        skin_paint=Paint(WHITE),
        skin_shadow=Paint(WHITE),
    )
    return with_seen_hair(manga.with_skin(person, sitting.skin))


def _eye(sitting: Sitting) -> str:
    if sitting.age == "old":
        return "seinen"
    return "sharp" if sitting.sex == "man" else "round"


def _mood(sitting: Sitting) -> str:
    is_smiling = sitting.lift > _SMILE or sitting.wide > 1.0
    if sitting.gape > _LAUGH:
        return "laugh" if sitting.wide > _NARROW else "talk"
    if sitting.gape > _TEETH:
        return "grin" if is_smiling else "talk"
    return "smile" if is_smiling else "calm"


def _size(sitting: Sitting, eye: str) -> manga.Proportions:
    """Return the proportions of the photo, the chin a little nearer to the eyes."""
    (left_x, left_y), (right_x, right_y) = sitting.eyes
    eyes_y, unit = (left_y + right_y) / 2, sitting.half_width
    turn = np.cos(np.radians(sitting.yaw))
    chin_y = (sitting.chin_y - eyes_y) / unit
    rise = (chin_y - CHIN_RISE) / chin_y
    square = float(np.clip((sitting.jaw / unit - 0.76) / 0.12, 0.0, 1.0))
    half_width, half_height = _EYE_HALVES[eye]
    return manga.Proportions(
        chin_y=chin_y - CHIN_RISE,
        jaw=0.58 + 0.24 * square,
        chin=0.08 + (0.2 if sitting.sex == "man" else 0.08) * square,
        nose_y=rise * (sitting.nose_y - eyes_y) / unit,
        mouth_y=rise * (sitting.mouth_y - eyes_y) / unit,
        eye_x=float(np.clip((right_x - left_x) / 2 / unit / turn, 0.4, 0.5)),
        eye_half=(half_width, half_height),
        brow_y=min((sitting.brow_y - eyes_y) / unit, -half_height - 0.08),
        shoulder=2.2 if sitting.sex == "man" else 1.8,
    )


def _pose(sitting: Sitting) -> manga.Pose:
    """Return how the head is turned, in a figure that is mirrored where hair parts on the left.

    Who is turned too far from the parting is mirrored by the turn.
    """
    (left_x, left_y), (right_x, right_y) = sitting.eyes
    roll = float(np.arctan2(right_y - left_y, right_x - left_x))
    is_mirrored = sitting.parting == "left"
    if abs(sitting.yaw) > _MOST_TURNED_AWAY_DEG:
        is_mirrored = sitting.yaw < 0
    own_roll = -roll if is_mirrored else roll
    return turned(sitting.yaw, sitting.pitch, own_roll, is_mirrored=is_mirrored)
