"""Who is drawn: bones, skin, hair, clothes, pose and expression, all drawn by lot."""

from dataclasses import dataclass

import numpy as np

Rgb = tuple[float, float, float]
"""sRGB, 0 to 255."""

SKINS: dict[str, Rgb] = {
    "porcelain": (246, 218, 203),
    "fair": (238, 202, 182),
    "light": (230, 188, 160),
    "olive": (208, 164, 130),
    "tan": (190, 141, 104),
    "brown": (155, 106, 76),
    "dark": (116, 76, 54),
    "deep": (84, 55, 43),
}
HAIRS: dict[str, Rgb] = {
    "black": (30, 25, 24),
    "dark brown": (56, 38, 28),
    "brown": (92, 62, 40),
    "light brown": (134, 98, 64),
    "blond": (186, 156, 112),
    "red": (124, 66, 42),
    "grey": (146, 144, 142),
    "white": (188, 186, 182),
}
EYES: dict[str, Rgb] = {
    "dark brown": (58, 36, 24),
    "brown": (96, 62, 36),
    "hazel": (106, 82, 48),
    "green": (98, 122, 86),
    "blue": (92, 130, 166),
    "grey": (122, 136, 146),
}
CLOTHES: tuple[Rgb, ...] = (
    (38, 44, 62), (52, 54, 58), (24, 26, 30), (96, 38, 44), (44, 78, 66), (70, 92, 130),
    (176, 160, 136), (224, 220, 212), (142, 92, 62), (196, 138, 60), (128, 74, 110),
    (150, 172, 186),    (88, 104, 70), (190, 96, 88), (60, 116, 128), (106, 108, 116),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HairStyle:
    """A hair cut, or a cloth worn instead; lengths in units of half a head's width."""

    name: str
    hairline_v: float = -1.0
    top: float = 0.16
    side: float = 0.08
    end_v: float = 0.1
    part_u: float = 0.0
    wave: float = 0.0
    curl: float = 0.0
    fringe: float = 0.0
    density: float = 1.0
    bun: bool = False
    cloth: bool = False


@dataclass(frozen=True, slots=True)
class Bones:
    """Proportions of a head, as factors or units near the human mean."""

    jaw: float
    taper: float
    chin_v: float
    eye_u: float
    eye_size: float
    eye_open: float
    eye_tilt: float
    lid_fold: float
    brow_v: float
    brow_arch: float
    brow_width: float
    nose_width: float
    nose_height: float
    nose_v: float
    lips: float
    mouth_u: float
    ears: float


@dataclass(frozen=True, slots=True)
class Pose:
    """How the head is held (degrees) and what the face does (0 to 1)."""

    yaw: float
    pitch: float
    roll: float
    gaze_u: float
    gaze_v: float
    smile: float
    gape: float


@dataclass(frozen=True, slots=True)
class Person:
    """Everything that is decided before a person is drawn."""

    sex: str
    age: float
    skin: str
    skin_rgb: Rgb
    hair: str
    hair_rgb: Rgb
    eyes: str
    style: HairStyle
    beard: str
    glasses: str
    garment: str
    garment_rgb: Rgb
    accent_rgb: Rgb
    makeup: float
    freckles: float
    bones: Bones
    pose: Pose


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    names = list(weights)
    shares = np.array([weights[name] for name in names])
    return names[int(rng.choice(len(names), p=shares / shares.sum()))]


def _vary(rng: np.random.Generator, rgb: Rgb, spread: float) -> Rgb:
    """Returns the colour with its lightness moved together and its tint a little."""
    shift = rng.normal(0.0, spread)
    tint = rng.normal(0.0, spread * 0.35, 3)
    red, green, blue = np.clip(np.array(rgb) * (1.0 + shift + tint), 4, 252)
    return float(red), float(green), float(blue)


def _hair_colour(rng: np.random.Generator, skin: str, age: float) -> str:
    greying = np.clip((age - 46.0) / 30.0, 0.0, 0.9)
    if rng.random() < greying:
        return "white" if rng.random() < np.clip((age - 60.0) / 30.0, 0.0, 0.7) else "grey"
    if skin in ("porcelain", "fair", "light"):
        return _pick(
            rng, {"black": 2, "dark brown": 3, "brown": 4, "light brown": 3, "blond": 3, "red": 1.6}
        )
    if skin in ("olive", "tan"):
        return _pick(rng, {"black": 5, "dark brown": 4, "brown": 2, "light brown": 0.6})
    return _pick(rng, {"black": 7, "dark brown": 2})


def _eye_colour(rng: np.random.Generator, skin: str) -> str:
    if skin in ("porcelain", "fair", "light"):
        return _pick(
            rng, {"dark brown": 2, "brown": 3, "hazel": 2, "green": 2, "blue": 4, "grey": 2}
        )
    return _pick(rng, {"dark brown": 5, "brown": 3, "hazel": 0.8})


STYLE_ODDS: dict[str, dict[str, float]] = {
    "man": {
        "short": 4, "side part": 4, "swept": 3, "crop": 3, "curly": 1.6, "receding": 2,
        "bald": 1.6, "long": 0.5, "afro": 0.3, "beanie": 0.5, "fringe": 1.2,
    },
    "woman": {
        "long": 4, "long wavy": 3.5, "long fringe": 2.5, "bob": 3, "bob fringe": 2, "bun": 2.5,
        "tied": 2, "curly": 2, "short": 1.0, "hijab": 1.0, "beanie": 0.3, "afro": 0.3,
        "side part": 0.7,
    },
}  # fmt: skip


def _style(rng: np.random.Generator, sex: str, age: float, skin: str) -> HairStyle:
    odds = dict(STYLE_ODDS[sex])
    if skin in ("dark", "deep", "brown"):
        odds |= {"afro": 2.5, "crop": odds.get("crop", 0.5) * 2, "curly": 4.0}
    if sex == "man":
        odds["receding"] *= np.clip((age - 28.0) / 15.0, 0.1, 2.0)
        odds["bald"] *= np.clip((age - 25.0) / 20.0, 0.2, 1.6)
    return build_style(rng, _pick(rng, odds), sex)


def build_style(rng: np.random.Generator, name: str, sex: str) -> HairStyle:
    """Returns one of the hair styles, with its lengths drawn by lot."""
    line = float(rng.uniform(-1.06, -0.9))
    side = float(rng.choice([-1.0, 1.0]))
    part = side * float(rng.uniform(0.25, 0.5))
    long_v = float(rng.uniform(1.8, 2.6))
    bob_v = float(rng.uniform(0.9, 1.5))
    table = {
        "short": HairStyle(name, line, 0.22, 0.1, 0.1, part * 0.6, fringe=0.12),
        "fringe": HairStyle(name, -0.66, 0.24, 0.12, 0.12, part * 0.4, fringe=0.3),
        "side part": HairStyle(name, line, 0.24, 0.11, 0.12, part, fringe=0.05),
        "swept": HairStyle(name, line - 0.02, 0.32, 0.09, 0.05, part * 0.4, fringe=0.08),
        "crop": HairStyle(name, line, 0.06, 0.03, 0.0, density=float(rng.uniform(0.86, 0.97))),
        "receding": HairStyle(name, -1.3, 0.07, 0.07, 0.1, part * 0.5, density=0.95),
        "bald": HairStyle(name, -1.8, 0.0, 0.0, -1.7, density=0.0),
        "curly": HairStyle(
            name, line, 0.36, 0.26 if sex == "man" else 0.36,
            0.1 if sex == "man" else float(rng.uniform(0.9, 1.9)), part * 0.5, curl=0.6, fringe=0.1,
        ),
        "afro": HairStyle(name, line, 0.55, 0.5, 0.55, curl=1.0),
        "long": HairStyle(name, line, 0.2, 0.18, long_v, part * float(rng.uniform(0.0, 1.0))),
        "long wavy": HairStyle(name, line, 0.24, 0.26, long_v, part * 0.8, wave=1.0),
        "long fringe": HairStyle(name, -0.5, 0.2, 0.17, long_v, fringe=0.16),
        "bob": HairStyle(name, line, 0.22, 0.24, bob_v, part, wave=float(rng.choice([0.0, 0.5]))),
        "bob fringe": HairStyle(name, -0.5, 0.22, 0.22, bob_v, fringe=0.16),
        "bun": HairStyle(name, line, 0.1, 0.04, 0.1, part * 0.4, bun=True),
        "tied": HairStyle(name, line, 0.1, 0.05, 0.12, part),
        "hijab": HairStyle(name, -0.86, 0.16, 0.16, 3.0, cloth=True),
        "beanie": HairStyle(name, -0.66, 0.2, 0.1, -0.3, cloth=True),
    }  # fmt: skip
    return table[name]


def _bones(rng: np.random.Generator, sex: str) -> Bones:
    man = 1.0 if sex == "man" else 0.0

    def near(mean: float, spread: float) -> float:
        return float(mean + spread * np.clip(rng.normal(), -1.9, 1.9))

    return Bones(
        jaw=near(2.55 + 0.5 * man, 0.3),
        taper=near(0.17 - 0.05 * man, 0.03),
        chin_v=near(1.5 + 0.07 * man, 0.05),
        eye_u=near(0.45, 0.014),
        eye_size=near(0.246 - 0.01 * man, 0.009),
        eye_open=near(1.1 - 0.13 * man, 0.09),
        eye_tilt=near(0.015, 0.02),
        lid_fold=float(np.clip(near(0.6, 0.4), 0.0, 1.0)),
        brow_v=near(-0.31 + 0.04 * man, 0.022),
        brow_arch=near(0.055 - 0.025 * man, 0.015),
        brow_width=near(0.048 + 0.024 * man, 0.01),
        nose_width=near(0.95 + 0.09 * man, 0.11),
        nose_height=near(0.93 + 0.1 * man, 0.1),
        nose_v=near(0.57, 0.03),
        lips=near(1.06 - 0.14 * man, 0.15),
        mouth_u=near(0.35 + 0.015 * man, 0.02),
        ears=near(1.0, 0.07),
    )


def _pose(rng: np.random.Generator, spread: float) -> Pose:
    yaw = float(np.clip(rng.normal(0.0, 12.0), -25, 25)) * spread
    pitch = float(np.clip(rng.normal(0.0, 4.0), -10, 10)) * spread
    roll = float(np.clip(rng.normal(0.0, 4.5), -12, 12)) * spread
    mood = _pick(rng, {"neutral": 3.5, "smile": 3.5, "laugh": 2.4, "open": 0.7})
    smile = {"neutral": 0.24, "smile": 0.62, "laugh": 0.9, "open": 0.2}[mood]
    gape = {"neutral": 0.0, "smile": 0.0, "laugh": 0.75, "open": 0.55}[mood]
    aside = rng.random() < 0.15
    return Pose(
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        gaze_u=float(rng.uniform(-0.8, 0.8)) if aside else float(-yaw / 40.0),
        gaze_v=float(rng.normal(0.0, 0.1) - pitch / 60.0),
        smile=float(np.clip(smile + rng.normal(0.0, 0.12), 0.0, 1.0)),
        gape=gape * float(rng.uniform(0.75, 1.15)),
    )


def _beard(rng: np.random.Generator, sex: str) -> str:
    if sex == "woman":
        return "none"
    return _pick(
        rng, {"none": 5, "stubble": 2.5, "full": 2, "short": 2, "moustache": 0.8, "goatee": 1}
    )


def _garment(rng: np.random.Generator, sex: str, style: str) -> str:
    if style == "hijab":
        return _pick(rng, {"pullover": 1, "blouse": 1})
    if sex == "man":
        return _pick(
            rng,
            {"suit": 3.5, "shirt": 3, "t-shirt": 2, "pullover": 2, "turtleneck": 0.7, "hoodie": 1},
        )
    return _pick(
        rng,
        {"blouse": 3, "suit": 1.4, "shirt": 1.2, "t-shirt": 2, "pullover": 2, "turtleneck": 1.3},
    )


def draw_lots(rng: np.random.Generator, pose_spread: float = 1.0) -> Person:
    """Returns a person drawn by lot; pose_spread scales how far the head may turn."""
    sex = "woman" if rng.random() < 0.5 else "man"
    age = float(np.clip(rng.gamma(4.0, 6.5) + 18.0, 19, 84))
    skin = list(SKINS)[int(rng.integers(len(SKINS)))]
    hair = _hair_colour(rng, skin, age)
    style = _style(rng, sex, age, skin)
    pale = skin in ("porcelain", "fair", "light")
    return Person(
        sex=sex,
        age=age,
        skin=skin,
        skin_rgb=_vary(rng, SKINS[skin], 0.03),
        hair=hair,
        hair_rgb=_vary(rng, HAIRS[hair], 0.03 if hair in ("grey", "white") else 0.08),
        eyes=_eye_colour(rng, skin),
        style=style,
        beard=_beard(rng, sex),
        glasses=_pick(rng, {"none": 7, "round": 1, "square": 1.5, "thin": 1}),
        garment=_garment(rng, sex, style.name),
        garment_rgb=_vary(rng, CLOTHES[int(rng.integers(len(CLOTHES)))], 0.12),
        accent_rgb=_vary(rng, CLOTHES[int(rng.integers(len(CLOTHES)))], 0.15),
        makeup=float(rng.uniform(0.0, 1.0)) if sex == "woman" else 0.0,
        freckles=float(rng.uniform(0.3, 1.0)) if pale and rng.random() < 0.22 else 0.0,
        bones=_bones(rng, sex),
        pose=_pose(rng, pose_spread),
    )


def tags_of(person: Person) -> dict[str, str]:
    """Returns what was drawn, in words and whole numbers."""
    moods = ((0.3, "open mouth"), (0.0, "closed"))
    mouth = moods[0][1] if person.pose.gape > moods[0][0] else moods[1][1]
    return {
        "sex": person.sex,
        "age": str(round(person.age)),
        "skin": person.skin,
        "hair": person.style.name,
        "hair_colour": person.hair,
        "eyes": person.eyes,
        "glasses": person.glasses,
        "beard": person.beard,
        "garment": person.garment,
        "mouth": "smile, " + mouth if person.pose.smile > 0.45 else mouth,
        "yaw": str(round(person.pose.yaw)),
        "pitch": str(round(person.pose.pitch)),
        "roll": str(round(person.pose.roll)),
    }
