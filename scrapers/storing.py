"""What is a picture worth keeping: judged by its bytes, never by its name or its headers."""

from anymus.errors import ImageError
from anymus.images import ImageFacts, decode_rgb, read_facts


def check_picture(content: bytes, min_side_px: int) -> ImageFacts:
    """Return the facts of encoded bytes after all their pixels were decoded.

    The header is judged first, so that a picture with too many pixels is never decoded.

    Raises:
        ImageError: It is no picture, too large, too small, or cannot be decoded to its end.
    """
    try:
        facts = read_facts(content)
    except OSError as error:  # some headers can only be read to the end of the pixels
        raise ImageError(f"cannot read: {error}", reason="truncated") from error
    if min(facts.width_px, facts.height_px) < min_side_px:
        raise ImageError(
            f"{facts.width_px} x {facts.height_px} pixels: a side is under {min_side_px}",
            reason="too_small",
        )
    decode_rgb(content)
    return facts
