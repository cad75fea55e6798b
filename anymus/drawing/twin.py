"""Twins: one person in a photo-like picture and in manga, in the same place of both.

The two renderers know different traits. Here each trait of the photo-like person names one of the
manga person, always the same, so that whoever sees the photo can tell the drawing: hair by its cut,
skin by its colour and not by its light, age by size of eyes and lines.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anymus.drawing import manga_person as manga
from anymus.drawing import photo_person as photo
from anymus.drawing.manga import face_truth, paint_person, reduce_canvas, scale_truth
from anymus.drawing.manga_ink import BLACK, SUPERSAMPLING, WHITE, Frame, Paint, Pen
from anymus.drawing.photo import draw_people
from anymus.drawing.photo_features import MOUTH_V
from anymus.drawing.truth import Drawing, FaceTruth

SKINS = {
    "porcelain": "pale", "fair": "light", "light": "light", "olive": "olive", "tan": "tan",
    "brown": "brown", "dark": "dark", "deep": "dark",
}  # fmt: skip
HAIR_COLOURS = {
    "black": "black", "dark brown": "black", "brown": "brown", "light brown": "chestnut",
    "blond": "blond", "red": "red", "grey": "grey", "white": "white",
}  # fmt: skip
HAIR_TONES = {"brown": 0.5, "chestnut": 0.34, "red": 0.42, "grey": 0.22}  # the others: white
LIGHT_HAIRS = ("blond", "grey", "white")
CUTS = {
    "short": ("short", "zigzag"), "fringe": ("short", "straight"), "side part": ("short", "side"),
    "swept": ("slick", "back"), "crop": ("crew", "back"), "receding": ("receding", "back"),
    "bald": ("bald", "back"), "curly": ("pixie", "zigzag"), "afro": ("afro", "back"),
    "long": ("long", "side"), "long wavy": ("long", "centre"), "long fringe": ("long", "straight"),
    "bob": ("bob", "side"), "bob fringe": ("bob", "straight"), "bun": ("bun", "back"),
    "tied": ("slick", "back"), "beanie": ("short", "side"),
}  # fmt: skip
"""Hair and fringe by the cut of the photo. Who wears another one has no twin."""
HEADWEAR = {"beanie": "beanie"}
GLASSES = {"none": "none", "round": "round", "square": "thick", "thin": "half"}
BEARDS = {
    "none": "none", "stubble": "stubble", "full": "full", "short": "full", "moustache": "moustache",
    "goatee": "goatee",
}  # fmt: skip
CLOTHES = {
    "blouse": "dress", "suit": "suit", "shirt": "shirt", "t-shirt": "tee", "pullover": "tee",
    "turtleneck": "turtleneck", "hoodie": "hoodie",
}  # fmt: skip
IRIS_GREYS = {
    "dark brown": 60, "brown": 70, "hazel": 110, "green": 150, "blue": 180, "grey": 200
}  # fmt: skip
ADULT_AGE, OLD_AGE = 36.0, 58.0
_EYE_HEIGHTS = {"round": 0.3, "sharp": 0.24, "seinen": 0.13}
_LONG_CURLS_V = 0.8  # curls that end lower than that are long hair


@dataclass(frozen=True, slots=True)
class Twins:
    """One person twice, in two pictures of one size (H, W, 3), eyes in the same place of both."""

    photo: Drawing
    manga: Drawing
    """In ink and flat greys."""


def twins_rng(seed: int, number: int) -> np.random.Generator:
    """Where the traits of the twins of that number come from, of a seed that others use, too."""
    return np.random.default_rng([seed, 0x7714, number])


def draw_twins(rng: np.random.Generator, width_px: int = 320, height_px: int = 400) -> Twins:
    """A person by chance, photographed and drawn.

    Args:
        rng: where every trait comes from; the same state gives the same bytes.
        width_px: width of both pictures.
        height_px: height of both.
    """
    unit = min(width_px / 320, height_px / 400) * float(rng.uniform(56.0, 76.0))
    middle = width_px * (0.5 + float(rng.normal(0.0, 0.02)))
    eyes = height_px * 0.5 - unit * float(rng.uniform(0.35, 0.6))
    person = photo.draw_lots(rng)
    while person.style.name not in CUTS:
        person = photo.draw_lots(rng)
    drawing = draw_people(rng, (width_px, height_px), [(person, (middle, eyes, unit))])
    return Twins(drawing, _draw_manga(person, drawing, unit))


def _draw_manga(person: photo.Person, photographed: Drawing, unit_px: float) -> Drawing:
    """The manga picture, its eyes where the photo's are."""
    height_px, width_px = photographed.rgb_u8.shape[:2]
    aside = float(np.clip(person.pose.gaze_u, -0.8, 0.8))
    eyes_px = _eyes(photographed.faces[0])
    return draw_in_place(as_manga(person), eyes_px, unit_px, (width_px, height_px), aside)


def draw_in_place(
    person: manga.Person,
    eyes_px: NDArray[np.float64],
    unit_px: float,
    size_px: tuple[int, int],
    gaze: float,
) -> Drawing:
    """A manga person on white paper in ink and flat greys, the eyes' middle in its place.

    Lines that vary from drawing to drawing are always those of one seed.

    Args:
        person: who.
        eyes_px: centres (2, 2) of the left and the right eye.
        unit_px: half the width of the face.
        size_px: width and height of the picture.
        gaze: from -1, to the left of the picture, to 1.
    """
    width, height = (side * SUPERSAMPLING for side in size_px)
    canvas = np.full((height, width, 3), 255, np.uint8)
    unit, pose = unit_px * SUPERSAMPLING, person.pose
    own = Frame((0.0, 0.0), unit, pose.roll_rad, pose.is_mirrored)
    wanted, drawn = eyes_px * SUPERSAMPLING, _eyes(face_truth(own, person))
    x, y = wanted.mean(axis=0) - drawn.mean(axis=0)
    pen = Pen(canvas, replace(own, origin_px=(float(x), float(y))), unit * 0.03, screen="grey")
    aside = gaze * (-1 if pose.is_mirrored else 1)
    rng = np.random.default_rng(1)
    truth = paint_person(pen, person, rng, has_side_shadow=False, gaze=(aside, 0.0))
    return Drawing(reduce_canvas(canvas, is_grey=True), (scale_truth(truth, 1 / SUPERSAMPLING),))


def _eyes(face: FaceTruth) -> NDArray[np.float64]:
    """Both eyes (2, 2), in the pixels of their picture."""
    return np.array([face.landmarks["left_eye"], face.landmarks["right_eye"]])


def as_manga(person: photo.Person) -> manga.Person:
    """The manga person of a photo-like one."""
    sex = "female" if person.sex == "woman" else "male"
    age = "young" if person.age < ADULT_AGE else "adult" if person.age < OLD_AGE else "old"
    eye = {"old": "seinen", "adult": "sharp" if sex == "male" else "round"}.get(age, "round")
    hair, bangs = CUTS[person.style.name]
    if person.style.name == "curly" and person.style.end_v > _LONG_CURLS_V:
        hair, bangs = "long", "side"
    colour = HAIR_COLOURS[person.hair]
    grey = IRIS_GREYS[person.eyes]
    twin = manga.Person(
        sex=sex,
        age=age,
        skin=SKINS[person.skin],
        hair=hair,
        bangs=bangs,
        hair_colour=colour,
        eye=eye,
        lids="open",
        mood=_mood(person.pose),
        glasses=GLASSES[person.glasses],
        beard=BEARDS[person.beard],
        marks=frozenset({"freckles"} if person.freckles else ()),
        headwear=HEADWEAR.get(person.style.name, "none"),
        clothes=CLOTHES[person.garment],
        size=_size(person.bones, age, eye),
        pose=turned(
            person.pose.yaw,
            person.pose.pitch,
            float(np.radians(person.pose.roll)),
            is_mirrored=person.pose.yaw < 0,
        ),
        is_colour=False,
        iris=(grey, grey, grey),
        cloth=(_cloth(person.garment_rgb), _cloth(person.accent_rgb)),
        hair_paint=hair_paint(colour),
        skin_paint=Paint(WHITE),
        skin_shadow=Paint(WHITE),
    )
    return with_seen_hair(manga.with_skin(twin, twin.skin))


def with_seen_hair(person: manga.Person) -> manga.Person:
    """The person, with light hair that would melt into the skin drawn white instead of black."""
    if person.hair_colour in LIGHT_HAIRS and person.hair_paint.rgb != WHITE:
        return replace(person, hair_paint=Paint(WHITE))
    return person


def _mood(pose: photo.Pose) -> str:
    is_smiling = pose.smile > 0.45
    if pose.gape > 0.3:
        return "laugh" if is_smiling else "talk"
    return "smile" if is_smiling else "calm"


def _size(bones: photo.Bones, age: str, eye: str) -> manga.Proportions:
    """Proportions as in the photo, but for the eyes, and a chin that is nearer to them."""
    square = float(np.clip((bones.jaw - 2.2) / 1.4, 0.0, 1.0))
    chin_y = bones.chin_v - 0.22
    half_height = _EYE_HEIGHTS[eye] * {"young": 1.0, "adult": 0.9, "old": 0.9}[age]
    return manga.Proportions(
        chin_y=chin_y,
        jaw=0.6 + 0.22 * square,
        chin=0.08 + 0.2 * square,
        nose_y=bones.nose_v - 0.02,
        mouth_y=MOUTH_V - 0.03,
        eye_x=bones.eye_u,
        eye_half=(0.27 if eye != "seinen" else 0.23, half_height),
        brow_y=-half_height - 0.13 + (bones.brow_v + 0.29),
        shoulder=1.9,
    )


def turned(yaw_deg: float, pitch_deg: float, roll_rad: float, *, is_mirrored: bool) -> manga.Pose:
    """The pose of a head, in a figure that may be mirrored, which its roll is counted in.

    Yaw and pitch are those of the picture: above 0 it looks to the right, and down.
    """
    return manga.Pose(
        yaw_rad=float(np.radians(-yaw_deg if is_mirrored else yaw_deg)),
        pitch_rad=float(np.radians(pitch_deg)),
        roll_rad=roll_rad,
        is_mirrored=is_mirrored,
    )


def hair_paint(colour: str) -> Paint:
    """How ink and greys show a hair colour: black, a tone or white."""
    return Paint(BLACK) if colour == "black" else Paint(WHITE, HAIR_TONES.get(colour, 0.0))


def _cloth(rgb: photo.Rgb) -> Paint:
    red, green, blue = (round(float(value)) for value in rgb)
    return manga.greyed((red, green, blue))
