"""Inference: trained generators at work on pictures, folders and animations."""

from typing import TYPE_CHECKING, Any

import anymus as _anymus  # noqa: F401 - before torch: it tells OpenMP how to wait

if TYPE_CHECKING:
    from .translator import Translator as Translator


def __getattr__(name: str) -> Any:
    """Return `Translator` on first use, so that importing the wing does not import torch."""
    if name == "Translator":
        from .translator import Translator

        return Translator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
