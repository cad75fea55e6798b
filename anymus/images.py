"""Pictures: the only reader, writer and colour code of the project.

Everything else speaks `rgb_u8`: (H, W, 3) uint8, 0-255, RGB in sRGB, upright.
"""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from anymus.errors import ImageError
from anymus.files import write_bytes
from anymus.shards import read_stored, size_stored

RgbU8 = NDArray[np.uint8]

MAX_PIXELS = 64_000_000
MAX_BYTES = 64 * 1024 * 1024
MAX_FILM_PIXELS = 2 * MAX_PIXELS
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIX_OF_FORMAT = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "GIF": ".gif",
    "BMP": ".bmp",
    "TIFF": ".tif",
}
QUICK_PNG_LEVEL = 3
"""zlib's level for pictures that a person waits for: a third of the time of 6 and 6 % more bytes.

Measured on photos of 1.8 megapixels, where 6 takes as long as half a forward pass at 256 px.
"""
_PNG_LEVEL = 6
_ANIMATED_FORMATS = ("GIF", "WEBP", "PNG")
_UNTIMED_FRAME_MS = 100  # what browsers show a frame for that has no duration of its own
_ORIENTATION = 0x0112
_SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L")


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
    with _open(content, name) as image:
        yield OpenPicture(image, name)


def decode_rgb(content: bytes, name: str = "the bytes", *, enough_px: int | None = None) -> RgbU8:
    """Return the pixels of an encoded picture as upright `rgb_u8` (H, W, 3).

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
    with _open(content, name) as image:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if enough_px is not None:
                    image.draft(None, (enough_px, enough_px))
                image.load()
                upright = ImageOps.exif_transpose(image)
                return np.asarray(_to_srgb(upright), dtype=np.uint8).copy()
        except Exception as error:
            raise ImageError(
                f"cannot decode {name}: {error}", "replace the file", "truncated"
            ) from error


def read_rgb(path: Path, *, enough_px: int | None = None) -> RgbU8:
    """Return the pixels of a picture file as upright `rgb_u8` (H, W, 3); see `decode_rgb`.

    A path may lead into a tar shard (`anymus/shards.py`).

    Raises:
        ImageError: The file cannot be opened, is no picture, is truncated or too large.
    """
    return decode_rgb(_read_bytes(path), str(path), enough_px=enough_px)


def read_frames(path: Path) -> Iterator[tuple[RgbU8, int]]:
    """Yield the frames of an animation (GIF, WebP, APNG) as `rgb_u8`, with their durations in ms.

    Frames are composed as a browser shows them and laid on white; a still picture is one frame.
    They are decoded one by one, so only the yielded frame is held.

    Raises:
        ImageError: As `read_rgb`, or the frames together have more than `MAX_FILM_PIXELS`.
    """
    content = _read_bytes(path)
    with _open(content, str(path)) as image:
        frames = int(getattr(image, "n_frames", 1)) if image.format in _ANIMATED_FORMATS else 1
        if image.width * image.height * frames > MAX_FILM_PIXELS:
            raise ImageError(
                f"{path}: {frames} frames of {image.width} x {image.height} pixels, more than"
                f" {MAX_FILM_PIXELS} in all",
                reason="too_many_pixels",
            )
        if frames == 1:
            yield decode_rgb(content, str(path)), _UNTIMED_FRAME_MS
            return
        for index in range(frames):
            try:
                image.seek(index)
                rgb_u8 = np.asarray(_to_srgb(image.copy()), dtype=np.uint8).copy()
            except Exception as error:
                raise ImageError(
                    f"cannot decode frame {index} of {path}: {error}", reason="truncated"
                ) from error
            yield rgb_u8, int(image.info.get("duration", 0)) or _UNTIMED_FRAME_MS


def resize_rgb(rgb_u8: RgbU8, width_px: int, height_px: int) -> RgbU8:
    """Return the picture at another size (antialiased bicubic, the one filter of the project)."""
    image = Image.fromarray(rgb_u8)
    return np.asarray(image.resize((width_px, height_px), Image.Resampling.BICUBIC), dtype=np.uint8)


def encode_png(rgb_u8: RgbU8, *, exif: bytes = b"", level: int = _PNG_LEVEL) -> bytes:
    """Return the picture as PNG bytes, the same bytes for the same pixels, no metadata but EXIF.

    Args:
        rgb_u8: The picture (H, W, 3).
        exif: What it says about itself, see `read_exif`; empty: nothing.
        level: zlib's, 1 (quick) to 9 (small).
    """
    buffer = io.BytesIO()
    Image.fromarray(rgb_u8).save(buffer, format="PNG", compress_level=level, exif=exif or None)
    return buffer.getvalue()


def encode_jpeg(rgb_u8: RgbU8, quality: int = 92, *, exif: bytes = b"") -> bytes:
    """Return the picture as JPEG bytes at a quality of 1-95, without metadata but EXIF."""
    buffer = io.BytesIO()
    Image.fromarray(rgb_u8).save(buffer, format="JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


def encode_webp(rgb_u8: RgbU8, quality: int = 90, *, exif: bytes = b"") -> bytes:
    """Return the picture as WebP bytes at a quality of 1-100, without metadata but EXIF."""
    buffer = io.BytesIO()
    Image.fromarray(rgb_u8).save(buffer, format="WEBP", quality=quality, exif=exif)
    return buffer.getvalue()


def write_png(path: Path, rgb_u8: RgbU8) -> None:
    """Write a PNG atomically.

    Raises:
        ImageError: The folder cannot be written to, or the disk is full.
    """
    write_image(path, rgb_u8)


def read_exif(path: Path) -> bytes:
    """Return what a picture says about how, when and where it was taken, for `write_image`.

    Left out are the orientation, which belongs to the pixels as they were stored, and the small
    copy of the picture. Empty where the picture says nothing, or nothing that can be read.

    Raises:
        ImageError: As `read_rgb`, but for the pixels.
    """
    with _open(_read_bytes(path), str(path)) as image:
        try:
            exif = image.getexif()
            exif.pop(_ORIENTATION, None)
            return exif.tobytes() if exif or exif.get_ifd(ExifTags.IFD.GPSInfo) else b""
        except Exception:  # noqa: BLE001 - a broken EXIF is none
            return b""


def write_image(
    path: Path, rgb_u8: RgbU8, exif: bytes = b"", *, png_level: int = _PNG_LEVEL
) -> None:
    """Write a picture atomically in the format that the path's suffix names (png, jpg, webp).

    Args:
        path: The file.
        rgb_u8: The picture (H, W, 3).
        exif: What it says about itself, see `read_exif`; empty: nothing.
        png_level: zlib's, 1 (quick) to 9 (small), for a PNG.

    Raises:
        ImageError: The suffix is not one of these, or the file cannot be written.
    """
    encoders: dict[str, Callable[..., bytes]] = {
        ".png": partial(encode_png, level=png_level),
        ".jpg": encode_jpeg,
        ".jpeg": encode_jpeg,
        ".webp": encode_webp,
    }
    encode = encoders.get(path.suffix.lower())
    if encode is None:
        raise ImageError(f"cannot write {path}: unknown suffix", "use .png, .jpg or .webp")
    _write(path, encode(rgb_u8, exif=exif))


def to_grey(rgb_u8: RgbU8) -> NDArray[np.uint8]:
    """Return the luma (H, W) uint8 of a picture, by the weights of ITU-R BT.601."""
    return np.asarray(Image.fromarray(rgb_u8).convert("L"), dtype=np.uint8)


def fit_rgb(rgb_u8: RgbU8, side_px: int) -> RgbU8:
    """Return the picture scaled so that its longer side is `side_px`, its proportions kept."""
    height_px, width_px = rgb_u8.shape[:2]
    scale = side_px / max(height_px, width_px)
    size = (max(1, round(width_px * scale)), max(1, round(height_px * scale)))
    return rgb_u8 if size == (width_px, height_px) else resize_rgb(rgb_u8, *size)


def _read_bytes(path: Path) -> bytes:
    try:
        size_bytes = size_stored(path)
        if size_bytes > MAX_BYTES:
            raise ImageError(
                f"{path}: {size_bytes} bytes, more than {MAX_BYTES}", reason="too_many_bytes"
            )
        return read_stored(path)
    except OSError as error:
        raise ImageError(f"cannot open {path}: {error.strerror}", reason="unreadable") from error


def _write(path: Path, content: bytes) -> None:
    try:
        write_bytes(path, content)
    except OSError as error:
        raise ImageError(f"cannot write {path}: {error.strerror}", reason="unwritable") from error


def _open(content: bytes, name: str) -> Image.Image:
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
        return int(exif.get(_ORIENTATION, 1))
    except (ValueError, TypeError):  # a text, say: a broken EXIF is none
        return 1


def _to_srgb(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BIT_MODES:
        values = np.asarray(image, dtype=np.float64)
        scale = 257.0 if values.max(initial=0) > 255 else 1.0
        image = Image.fromarray(np.clip(values / scale + 0.5, 0, 255).astype(np.uint8))
    elif image.mode == "F":
        image = Image.fromarray(np.clip(np.asarray(image) + 0.5, 0, 255).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        image = _apply_profile(image, profile)
    return image.convert("RGB")


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image  # a broken profile says nothing about the pixels
    return converted if converted is not None else image
