"""Who is drawn: a person's traits, drawn by chance so that all kinds of people occur."""

from dataclasses import dataclass, replace

import numpy as np

from anymus.drawing.manga_ink import WHITE, Colour, Paint, darken, grey_of, mix

SKINS: dict[str, Colour] = {
    "pale": (255, 238, 226),
    "light": (253, 224, 203),
    "olive": (238, 200, 166),
    "tan": (214, 164, 124),
    "brown": (165, 112, 78),
    "dark": (112, 74, 54),
}
SKIN_TONES = {"pale": 0.0, "light": 0.0, "olive": 0.06, "tan": 0.16, "brown": 0.3, "dark": 0.44}
HAIRS: dict[str, Colour] = {
    "black": (38, 36, 46),
    "brown": (96, 62, 44),
    "chestnut": (142, 86, 52),
    "blond": (240, 206, 120),
    "red": (188, 66, 50),
    "grey": (150, 150, 156),
    "white": (238, 238, 244),
    "blue": (88, 128, 204),
    "pink": (240, 150, 178),
    "green": (70, 140, 104),
    "purple": (124, 92, 168),
}
NATURAL_HAIRS = ("black", "brown", "chestnut", "blond", "red")
IRISES: tuple[Colour, ...] = (
    (110, 70, 40), (60, 110, 190), (60, 140, 90), (190, 60, 50), (130, 80, 170), (200, 150, 50),
    (70, 70, 90),
)  # fmt: skip
CLOTH_COLOURS: tuple[Colour, ...] = (
    (250, 250, 250), (52, 62, 96), (60, 60, 66), (190, 60, 60), (90, 140, 110), (230, 190, 90),
    (140, 170, 210), (200, 150, 180), (110, 90, 80), (40, 40, 46),
)  # fmt: skip
FEMALE_HAIR = ("long", "long", "bob", "bob", "twin tails", "ponytail", "bun", "short", "braid",
               "afro", "pixie")  # fmt: skip
MALE_HAIR = ("short", "short", "spiky", "spiky", "crew", "slick", "bob", "afro", "ponytail",
             "undercut")  # fmt: skip
OLD_MALE_HAIR = ("short", "slick", "receding", "receding", "bald", "crew", "undercut")
BANGS = ("zigzag", "zigzag", "straight", "side", "side", "centre", "swept", "one eye")
MOODS = ("calm", "smile", "smile", "laugh", "talk", "shout", "surprise", "frown", "wavy", "cat",
         "smirk", "grit", "pout", "sad")  # fmt: skip
EYES = ("round", "sharp", "drooping", "narrow", "tall", "seinen")
CLOTHES = ("sailor", "blazer", "hoodie", "shirt", "suit", "tee", "turtleneck", "kimono", "dress")


@dataclass(frozen=True, slots=True)
class Pose:
    """How a head is turned: radians; positive yaw to the right of the unmirrored figure."""

    yaw_rad: float
    pitch_rad: float
    roll_rad: float
    is_mirrored: bool


@dataclass(frozen=True, slots=True)
class Proportions:
    """Sizes in figure units: half a face wide, eye line at 0, y down."""

    chin_y: float
    jaw: float
    """Half width of the jaw."""
    chin: float
    """Half width of the chin's flat end."""
    nose_y: float
    mouth_y: float
    eye_x: float
    eye_half: tuple[float, float]
    """Half width and height above the eye line of an open eye."""
    brow_y: float
    shoulder: float


@dataclass(frozen=True, slots=True)
class Person:
    """All that the renderer asks of a person; text traits are those of the lists above."""

    sex: str
    age: str
    skin: str
    hair: str
    bangs: str
    hair_colour: str
    eye: str
    lids: str
    """open, closed, happy, wink or wide."""
    mood: str
    glasses: str
    beard: str
    marks: frozenset[str]
    """freckles, blush, sweat, tears, scar, vein, mole, earrings."""
    headwear: str
    clothes: str
    size: Proportions
    pose: Pose
    is_colour: bool
    iris: Colour
    cloth: tuple[Paint, Paint]
    hair_paint: Paint
    skin_paint: Paint
    skin_shadow: Paint

    def tags(self) -> dict[str, str]:
        """What was drawn, as text."""
        return {
            "sex": self.sex, "age": self.age, "skin": self.skin, "hair": self.hair,
            "hair_colour": self.hair_colour, "eyes": self.eye, "lids": self.lids,
            "mood": self.mood, "glasses": self.glasses, "beard": self.beard,
            "headwear": self.headwear, "clothes": self.clothes,
            "yaw": f"{np.degrees(self.pose.yaw_rad) * (-1 if self.pose.is_mirrored else 1):.0f}",
            "pitch": f"{np.degrees(self.pose.pitch_rad):.0f}",
            "roll": f"{np.degrees(self.pose.roll_rad):.0f}",
            "colour": str(self.is_colour).lower(),
        }  # fmt: skip


def choose(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    """One of the options, each as likely."""
    return options[int(rng.integers(len(options)))]


def draw_person(rng: np.random.Generator, *, is_colour: bool, roll_limit: float = 20.0) -> Person:
    """A person drawn by chance; `roll_limit` in degrees bounds how far the head leans."""
    sex = choose(rng, ("female", "male"))
    age = choose(rng, ("young", "young", "adult", "adult", "old"))
    eye = _draw_eye(rng, age)
    hair_colour = _draw_hair_colour(rng, age)
    skin = choose(rng, ("pale", "light", "light", "olive", "tan", "brown", "dark"))
    hair = _draw_hair(rng, sex, age)
    return Person(
        sex=sex,
        age=age,
        skin=skin,
        hair=hair,
        bangs=_draw_bangs(rng, hair),
        hair_colour=hair_colour,
        eye=eye,
        lids=_draw_lids(rng),
        mood=choose(rng, MOODS),
        glasses=_draw_glasses(rng, age),
        beard=_draw_beard(rng, sex, age),
        marks=_draw_marks(rng, sex),
        headwear=_draw_headwear(rng, sex, hair),
        clothes=choose(rng, CLOTHES),
        size=_draw_size(rng, sex, age, eye),
        pose=_draw_pose(rng, roll_limit),
        is_colour=is_colour,
        iris=_draw_iris(rng, is_colour),
        cloth=_draw_cloth(rng, is_colour),
        hair_paint=_apart(_hair_paint(rng, hair_colour, is_colour), skin, is_colour),
        skin_paint=_skin_paint(skin, is_colour),
        skin_shadow=_skin_shadow(skin, is_colour),
    )


def with_skin(person: Person, skin: str) -> Person:
    """The same person with another skin; hair that would melt into it becomes black."""
    return replace(
        person,
        skin=skin,
        skin_paint=_skin_paint(skin, person.is_colour),
        skin_shadow=_skin_shadow(skin, person.is_colour),
        hair_paint=_apart(person.hair_paint, skin, person.is_colour),
    )


def _draw_eye(rng: np.random.Generator, age: str) -> str:
    if age == "old" or (age == "adult" and rng.random() < 0.4):
        return choose(rng, ("seinen", "seinen", "narrow", "sharp"))
    return choose(rng, EYES)


def _draw_iris(rng: np.random.Generator, is_colour: bool) -> Colour:
    if is_colour:
        return IRISES[int(rng.integers(len(IRISES)))]
    grey = int(rng.choice([60, 90, 130, 200, 255]))
    return (grey, grey, grey)


def _draw_hair_colour(rng: np.random.Generator, age: str) -> str:
    if age == "old":
        return choose(rng, ("grey", "white", "grey", "black", "brown"))
    if rng.random() < 0.68:
        return choose(rng, ("black", *NATURAL_HAIRS))
    return choose(rng, tuple(HAIRS))


def _draw_hair(rng: np.random.Generator, sex: str, age: str) -> str:
    options: tuple[str, ...]
    if sex == "female":
        options = ("bun", "bob", "short", "pixie", "long") if age == "old" else FEMALE_HAIR
    else:
        options = OLD_MALE_HAIR if age == "old" else MALE_HAIR
    if age == "adult" and sex == "male" and rng.random() < 0.12:
        return choose(rng, ("bald", "receding"))
    return choose(rng, options)


def _draw_bangs(rng: np.random.Generator, hair: str) -> str:
    if hair in ("slick", "receding", "bald", "crew", "afro"):
        return "back"
    if hair in ("bun", "ponytail", "braid") and rng.random() < 0.3:
        return "back"
    return choose(rng, BANGS)


def _draw_lids(rng: np.random.Generator) -> str:
    kinds = ("open", "closed", "happy", "wink", "wide", "half")
    return kinds[int(rng.choice(len(kinds), p=[0.76, 0.06, 0.06, 0.03, 0.04, 0.05]))]


def _draw_glasses(rng: np.random.Generator, age: str) -> str:
    if rng.random() > (0.35 if age == "old" else 0.16):
        return "none"
    return choose(rng, ("round", "square", "half", "thick"))


def _draw_beard(rng: np.random.Generator, sex: str, age: str) -> str:
    share = {"young": 0.0, "adult": 0.4, "old": 0.6}[age]
    if sex == "female" or rng.random() > share:
        return "none"
    return choose(rng, ("moustache", "goatee", "full", "stubble", "long"))


def _draw_marks(rng: np.random.Generator, sex: str) -> frozenset[str]:
    shares = {"freckles": 0.08, "blush": 0.25, "sweat": 0.1, "tears": 0.05, "scar": 0.03,
              "vein": 0.04, "mole": 0.06, "earrings": 0.25 if sex == "female" else 0.03,
              "shadowed": 0.08}  # fmt: skip
    return frozenset(mark for mark, share in shares.items() if rng.random() < share)


def _draw_headwear(rng: np.random.Generator, sex: str, hair: str) -> str:
    roll = rng.random()
    if roll < 0.07 and hair not in ("afro", "spiky", "twin tails"):
        return choose(rng, ("cap", "beanie", "headscarf"))
    if roll < 0.22 and sex == "female":
        return choose(rng, ("hairband", "ribbon", "clip"))
    if roll < 0.1:
        return "headband"
    return "none"


def _draw_size(rng: np.random.Generator, sex: str, age: str, eye: str) -> Proportions:
    is_small_eyed = eye in ("seinen", "narrow")
    chin_y = {"young": 1.06, "adult": 1.17, "old": 1.25}[age] + 0.1 * is_small_eyed
    chin_y += 0.08 * (sex == "male") + rng.uniform(-0.07, 0.07)
    square = rng.random() if sex == "male" and age != "young" else 0.35 * rng.random()
    half_width = rng.uniform(0.24, 0.3) - 0.05 * is_small_eyed
    half_height = {"round": 0.34, "sharp": 0.27, "drooping": 0.28, "narrow": 0.15, "tall": 0.39,
                   "seinen": 0.115}[eye] * rng.uniform(0.85, 1.12)  # fmt: skip
    half_height *= {"young": 1.0, "adult": 0.88, "old": 0.8}[age]
    return Proportions(
        chin_y=chin_y,
        jaw=0.57 + 0.24 * square + rng.uniform(-0.03, 0.05),
        chin=0.06 + 0.24 * square * rng.uniform(0.7, 1.2) + 0.05 * (age == "old"),
        nose_y=chin_y * rng.uniform(0.43, 0.48),
        mouth_y=chin_y * rng.uniform(0.67, 0.72),
        eye_x=rng.uniform(0.42, 0.48),
        eye_half=(half_width, half_height),
        brow_y=-half_height - rng.uniform(0.1, 0.2),
        shoulder=rng.uniform(1.45, 1.75) + (0.45 if sex == "male" else 0.0),
    )


def _draw_pose(rng: np.random.Generator, roll_limit: float) -> Pose:
    is_front = rng.random() < 0.3
    yaw = rng.uniform(0, 6) if is_front else rng.uniform(6, 45)
    roll = np.clip(rng.normal(0, roll_limit * 0.45), -roll_limit, roll_limit)
    return Pose(
        yaw_rad=float(np.radians(yaw)),
        pitch_rad=float(np.radians(rng.uniform(-14, 16))),
        roll_rad=float(np.radians(roll)),
        is_mirrored=bool(rng.random() < 0.5),
    )


def _draw_cloth(rng: np.random.Generator, is_colour: bool) -> tuple[Paint, Paint]:
    first, second = rng.choice(len(CLOTH_COLOURS), 2, replace=False)
    colours = CLOTH_COLOURS[int(first)], CLOTH_COLOURS[int(second)]
    if is_colour:
        return Paint(colours[0]), Paint(colours[1])
    return greyed(colours[0]), greyed(colours[1])


def greyed(rgb: Colour) -> Paint:
    """How ink and screentone show a colour: black, a tone or white."""
    luma = grey_of(rgb)
    if luma < 66:
        return Paint((16, 16, 18))
    return Paint(WHITE, 0.0 if luma > 200 else 0.55 * (1.0 - luma / 230))


def _hair_paint(rng: np.random.Generator, name: str, is_colour: bool) -> Paint:
    rgb = HAIRS[name]
    if is_colour:
        jitter = rng.integers(-12, 13, 3)
        red, green, blue = (int(np.clip(c + d, 0, 255)) for c, d in zip(rgb, jitter, strict=True))
        return Paint((red, green, blue))
    if name == "black" or (name == "brown" and rng.random() < 0.6):
        return Paint((14, 14, 16))
    return Paint(WHITE, {"white": 0.0, "blond": 0.0}.get(name, 0.6 * (1 - grey_of(rgb) / 255)))


def _apart(hair: Paint, skin: str, is_colour: bool) -> Paint:
    """The hair's paint, or solid black where its screentone would melt into the skin's."""
    is_near = hair.rgb == WHITE and hair.tone > 0 and abs(hair.tone - SKIN_TONES[skin]) < 0.2
    return Paint((14, 14, 16)) if is_near and not is_colour else hair


def _skin_paint(name: str, is_colour: bool) -> Paint:
    return Paint(SKINS[name]) if is_colour else Paint(WHITE, SKIN_TONES[name])


def _skin_shadow(name: str, is_colour: bool) -> Paint:
    if is_colour:
        return Paint(mix(darken(SKINS[name], 0.82), (170, 80, 90), 0.14))
    return Paint(WHITE, min(SKIN_TONES[name] + 0.2, 0.75))
