"""Inference: trained generators at work on pictures, folders and animations."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .translator import Translator as Translator


def __getattr__(name: str) -> Any:
    """Return `Translator` on first use, so that importing the wing does not import torch."""
    if name == "Translator":
        from .translator import Translator

        return Translator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
