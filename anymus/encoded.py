"""Encoded pictures: the only reader and colour code of the project, on Pillow alone.

A crawl needs no more and starts without numpy; `anymus/images.py` gives the pixels as arrays.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from anymus.errors import ImageError
from anymus.shards import read_stored, size_stored

MAX_PIXELS = 64_000_000
MAX_BYTES = 64 * 1024 * 1024
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIX_OF_FORMAT = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "GIF": ".gif",
    "BMP": ".bmp",
    "TIFF": ".tif",
}
ORIENTATION = 0x0112
_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "F")


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a picture's header says: its format and its size in pixels as shown (EXIF applied)."""

    format: str
    width_px: int
    height_px: int
    frames: int

    @property
    def suffix(self) -> str:
        """Return the file suffix of the format, with its dot."""
        return SUFFIX_OF_FORMAT[self.format]


class OpenPicture:
    """An encoded picture whose header was read, and whose pixels were not."""

    def __init__(self, image: Image.Image, name: str) -> None:
        self._image = image
        self._name = name

    def facts(self) -> ImageFacts:
        """Return what the header says.

        Raises:
            ImageError: It can only be read to the end of the pixels, and those are cut or wrong.
        """
        image = self._image
        width_px, height_px = image.size
        try:
            if _read_orientation(image) in (5, 6, 7, 8):
                width_px, height_px = height_px, width_px
            frames = int(getattr(image, "n_frames", 1))
        except Exception as error:  # Pillow's readers raise of every kind on bytes that lie
            raise ImageError(
                f"cannot read {self._name}: {error}", "replace the file", "truncated"
            ) from error
        kind = "JPEG" if image.format == "MPO" else str(image.format)  # MPO: a JPEG with more views
        return ImageFacts(kind, width_px, height_px, frames)

    def check_pixels(self) -> None:
        """Decode the picture to its end, as cheaply as its format allows, and keep nothing.

        A JPEG is decoded at an eighth of its size: all its data are read, which finds a cut file,
        at about half the time.

        Raises:
            ImageError: It is truncated.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if self._image.format == "JPEG":
                    self._image.draft("L", (1, 1))
                self._image.load()
        except Exception as error:
            raise ImageError(
                f"cannot decode {self._name}: {error}", "replace the file", "truncated"
            ) from error


def read_facts(content: bytes) -> ImageFacts:
    """Return what the header of encoded bytes says, without decoding pixels.

    Raises:
        ImageError: Not a picture of an accepted format, or larger than the limits.
    """
    with open_picture(content) as picture:
        return picture.facts()


@contextmanager
def open_picture(content: bytes, name: str = "the bytes") -> Iterator[OpenPicture]:
    """Give an encoded picture to look at.

    Raises:
        ImageError: Not a picture of an accepted format, or larger than the limits.
    """
    with open_image(content, name) as image:
        yield OpenPicture(image, name)


def decode_image(
    content: bytes, name: str = "the bytes", *, enough_px: int | None = None
) -> Image.Image:
    """Return an encoded picture decoded, upright, in sRGB and of three bands of 8 bits.

    EXIF orientation is applied, an embedded colour profile is turned to sRGB, transparency is laid
    on white, 16-bit values are scaled, CMYK and palettes are converted, and of an animation the
    first frame is taken.

    Args:
        content: The encoded bytes.
        name: What to call the picture in an error.
        enough_px: A JPEG may be decoded at a half, quarter or eighth of its size, which is quicker,
            as long as no side falls below this.

    Raises:
        ImageError: Not a picture, truncated, or larger than the limits.
    """
    with open_image(content, name) as image:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if enough_px is not None:
                    image.draft(None, (enough_px, enough_px))
                image.load()
                return to_srgb(ImageOps.exif_transpose(image))
        except Exception as error:
            raise ImageError(
                f"cannot decode {name}: {error}", "replace the file", "truncated"
            ) from error


def resize_image(image: Image.Image, width_px: int, height_px: int) -> Image.Image:
    """Return a picture at another size (antialiased bicubic, the one filter of the project)."""
    return image.resize((width_px, height_px), Image.Resampling.BICUBIC)


def fit_image(image: Image.Image, side_px: int) -> Image.Image:
    """Return a picture scaled so that its longer side is `side_px`, its proportions kept."""
    scale = side_px / max(image.size)
    width_px, height_px = (max(1, round(length * scale)) for length in image.size)
    is_same = (width_px, height_px) == image.size
    return image if is_same else resize_image(image, width_px, height_px)


def jpeg_of(image: Image.Image, quality: int = 92, *, exif: bytes = b"") -> bytes:
    """Return a picture as JPEG bytes at a quality of 1-95, without metadata but EXIF."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


def read_encoded(path: Path) -> bytes:
    """Return the bytes of a picture file, or of a member of a tar shard (`anymus/shards.py`).

    Raises:
        ImageError: It cannot be opened, or is too large.
    """
    try:
        size_bytes = size_stored(path)
        if size_bytes > MAX_BYTES:
            raise ImageError(
                f"{path}: {size_bytes} bytes, more than {MAX_BYTES}", reason="too_many_bytes"
            )
        return read_stored(path)
    except OSError as error:
        raise ImageError(f"cannot open {path}: {error.strerror}", reason="unreadable") from error


def open_image(content: bytes, name: str) -> Image.Image:
    """Return Pillow's view of an encoded picture whose header was read and is within the limits.

    Raises:
        ImageError: Not a picture of an accepted format, or larger than the limits.
    """
    if not content:
        raise ImageError(f"{name} is empty", reason="empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: {error}", reason="too_many_pixels") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is not a picture of a known format", reason="not_an_image"
        ) from error
    except Exception as error:
        raise ImageError(f"cannot open {name}: {error}", reason="unreadable") from error
    width_px, height_px = image.size
    if width_px * height_px > MAX_PIXELS:
        image.close()
        raise ImageError(
            f"{name}: {width_px} x {height_px} pixels, more than {MAX_PIXELS}",
            reason="too_many_pixels",
        )
    return image


def _read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation as far as the header tells it (a PNG may keep it at its end)."""
    exif = Image.Exif()
    try:
        if image.format == "PNG":
            exif.load(image.info.get("exif", b""))  # PngImageFile.getexif() would decode the pixels
        else:
            exif = image.getexif()
        return int(exif.get(ORIENTATION, 1))
    except (ValueError, TypeError):  # a text, say: a broken EXIF is none
        return 1


def to_srgb(image: Image.Image) -> Image.Image:
    """Return a decoded picture in sRGB, three bands of 8 bits, on white where it is transparent."""
    if image.mode in _DEEP_MODES:
        image = _shallow(image)
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        image = _apply_profile(image, profile)
    return image.convert("RGB")


def _shallow(image: Image.Image) -> Image.Image:
    """Return a picture of one deep band with 8 bits."""
    import numpy as np

    if image.mode == "F":
        return Image.fromarray(np.clip(np.asarray(image) + 0.5, 0, 255).astype(np.uint8))
    values = np.asarray(image, dtype=np.float64)
    scale = 257.0 if values.max(initial=0) > 255 else 1.0
    return Image.fromarray(np.clip(values / scale + 0.5, 0, 255).astype(np.uint8))


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image:
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image  # a broken profile says nothing about the pixels
    return converted if converted is not None else image
