"""How often each trait of a drawn sitter occurs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, ValidationError, field_validator

from anymus.errors import ParamsError
from anymus.yaml_file import describe_first, read_yaml

Mood = Literal["grin", "smile", "calm", "talk", "frown", "laugh", "smirk", "sad"]
Beard = Literal["none", "stubble", "moustache", "goatee", "full", "long"]
Clothes = Literal[
    "suit", "blazer", "shirt", "tee", "turtleneck", "hoodie", "dress", "kimono", "sailor"
]


class Shares(BaseModel):
    """How often each trait occurs.

    An unpaired network can learn who is who only where both domains show the same kinds of
    people as often: with dark skin in one photo of ten and in four drawings of ten, three people
    of ten have to be drawn dark who are not. Weights need not sum to 1; a value that is left out
    is never drawn.

    The defaults are about those of the photographs that docs/training.md names, of officials and
    of people in the wild, counted by eye.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sex: dict[Literal["female", "male"], NonNegativeFloat] = {"female": 0.35, "male": 0.65}
    age: dict[Literal["young", "adult", "old"], NonNegativeFloat] = {
        "young": 0.22,
        "adult": 0.45,
        "old": 0.33,
    }
    skin: dict[Literal["pale", "light", "olive", "tan", "brown", "dark"], NonNegativeFloat] = {
        "pale": 0.3, "light": 0.3, "olive": 0.14, "tan": 0.08, "brown": 0.1, "dark": 0.08,
    }  # fmt: skip
    mood: dict[Mood, NonNegativeFloat] = {
        "grin": 0.5, "smile": 0.24, "calm": 0.18, "talk": 0.04, "frown": 0.04,
    }  # fmt: skip
    lids: dict[Literal["open", "half", "closed", "happy"], NonNegativeFloat] = {
        "open": 0.94,
        "half": 0.06,
    }
    glasses: dict[Literal["none", "round", "square", "half", "thick"], NonNegativeFloat] = {
        "none": 0.8, "round": 0.05, "square": 0.09, "half": 0.03, "thick": 0.03,
    }  # fmt: skip
    beard: dict[Beard, NonNegativeFloat] = {
        "none": 0.8, "stubble": 0.05, "moustache": 0.06, "goatee": 0.04, "full": 0.05,
    }  # fmt: skip
    """Of men who are not young; nobody else has one."""
    clothes: dict[Clothes, NonNegativeFloat] = {
        "suit": 0.5, "blazer": 0.2, "shirt": 0.12, "tee": 0.08, "turtleneck": 0.05, "hoodie": 0.05,
    }  # fmt: skip

    @field_validator("*")
    @classmethod
    def _some_are_drawn(cls, weights: dict[str, float]) -> dict[str, float]:
        if sum(weights.values()) <= 0:
            raise ValueError("one weight at least must be above 0")
        return weights

    def weights_of(self, trait: str) -> Mapping[str, float]:
        """Return the weights of a trait by its name."""
        weights: Mapping[str, float] = getattr(self, trait)
        return weights


def load_shares(path: Path) -> Shares:
    """Read shares from YAML; traits that the file leaves out keep their defaults.

    Raises:
        ParamsError: The file cannot be read, is no YAML, or names an unknown trait or value.
    """
    try:
        return Shares.model_validate(read_yaml(path) or {})
    except OSError as error:
        raise ParamsError(f"cannot read {path}: {error.strerror}", "give a YAML file") from error
    except ValidationError as error:
        raise ParamsError(describe_first(path, error), "see docs/training.md") from error
