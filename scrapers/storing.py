"""What is a picture worth keeping: judged by its bytes, never by its name or its headers."""

from collections.abc import Container
from pathlib import Path

from anymus.blocklist import REASON, Blocklist
from anymus.encoded import FORMATS, ImageFacts, open_picture
from anymus.errors import ImageError
from anymus.files import content_path, sha256_bytes, write_bytes
from anymus.params import ScrapeParams

from .jpeg import without_data

WEB_FORMATS = frozenset({"JPEG", "PNG", "WEBP", "GIF"})


def check_picture(
    content: bytes, limits: ScrapeParams, formats: Container[str] = FORMATS
) -> ImageFacts:
    """Return the facts of encoded bytes that can be decoded to their end.

    The header is judged first, so that a picture with too many pixels is never decoded. Of a JPEG
    no more is decoded than can fail (`scrapers/jpeg.py`), of all else everything.

    Raises:
        ImageError: It is no picture of these formats, too large, too small, has too many frames, or
            cannot be decoded to its end.
    """
    with open_picture(without_data(content) or content) as picture:
        facts = picture.facts()
        if facts.format not in formats:
            raise ImageError(f"{facts.format} is not taken", reason="unwanted_format")
        if min(facts.width_px, facts.height_px) < limits.min_side_px:
            raise ImageError(
                f"{facts.width_px} x {facts.height_px} pixels: under {limits.min_side_px}",
                reason="too_small",
            )
        if facts.frames > limits.max_frames:
            raise ImageError(f"{facts.frames} frames", reason="too_many_frames")
        picture.check_pixels()
    return facts


def store_picture(
    content: bytes, facts: ImageFacts, folder: Path, blocklist: Blocklist, *, is_flat: bool = False
) -> tuple[str, str]:
    """Store bytes under their content name and return their SHA-256 and the file's path.

    A file that is already there is written anew: to look for one costs as much as it saves, and
    what it holds would have to be read.

    Args:
        content: The encoded bytes.
        facts: What they are.
        folder: Where to store them.
        blocklist: What must not be stored.
        is_flat: The file lies in the folder itself, and the path is what it is to be elsewhere.

    Raises:
        ImageError: The picture is blocked, by its bytes or by what it shows.
        OSError: It cannot be written.
    """
    sha256 = sha256_bytes(content)
    if blocklist.blocks_bytes(sha256) or _shows_what_is_blocked(content, blocklist):
        raise ImageError("blocked", reason=REASON)
    file = content_path(sha256, facts.suffix)
    write_bytes(folder / (file.name if is_flat else file), content)
    return sha256, file.as_posix()


def _shows_what_is_blocked(content: bytes, blocklist: Blocklist) -> bool:
    if not blocklist.has_phashes:
        return False
    from anymus.images import decode_rgb

    return blocklist.blocks_picture(decode_rgb(content))
