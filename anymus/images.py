"""Pictures as arrays: the only writer of the project, and its reader above `anymus/encoded.py`.

Everything else speaks `rgb_u8`: (H, W, 3) uint8, 0-255, RGB in sRGB, upright.
"""

import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from anymus.encoded import (
    MAX_PIXELS,
    ORIENTATION,
    decode_image,
    fit_image,
    jpeg_of,
    open_image,
    read_encoded,
    resize_image,
    to_srgb,
)
from anymus.errors import ImageError
from anymus.files import write_bytes

RgbU8 = NDArray[np.uint8]

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue; ITU-R BT.601
MAX_FILM_PIXELS = 2 * MAX_PIXELS
QUICK_PNG_LEVEL = 3
"""zlib's level for pictures that a person waits for: a third of the time of 6 and 6 % more bytes.

Measured on photos of 1.8 megapixels, where 6 takes as long as half a forward pass at 256 px.
"""
_PNG_LEVEL = 6
_ANIMATED_FORMATS = ("GIF", "WEBP", "PNG")
_UNTIMED_FRAME_MS = 100  # what browsers show a frame for that has no duration of its own


def decode_rgb(content: bytes, name: str = "the bytes", *, enough_px: int | None = None) -> RgbU8:
    """Return the pixels of an encoded picture as upright `rgb_u8` (H, W, 3).

    What becomes of transparency, profiles, deep or few colours and animations, and what the
    arguments mean, is told at `anymus.encoded.decode_image`.

    Raises:
        ImageError: Not a picture, truncated, or larger than the limits.
    """
    return np.asarray(decode_image(content, name, enough_px=enough_px), dtype=np.uint8).copy()


def read_rgb(path: Path, *, enough_px: int | None = None) -> RgbU8:
    """Return the pixels of a picture file as upright `rgb_u8` (H, W, 3); see `decode_rgb`.

    A path may lead into a tar shard (`anymus/shards.py`).

    Raises:
        ImageError: The file cannot be opened, is no picture, is truncated or too large.
    """
    return decode_rgb(read_encoded(path), str(path), enough_px=enough_px)


def read_frames(path: Path) -> Iterator[tuple[RgbU8, int]]:
    """Yield the frames of an animation (GIF, WebP, APNG) as `rgb_u8`, with their durations in ms.

    Frames are composed as a browser shows them and laid on white; a still picture is one frame.
    They are decoded one by one, so only the yielded frame is held.

    Raises:
        ImageError: As `read_rgb`, or the frames together have more than `MAX_FILM_PIXELS`.
    """
    content = read_encoded(path)
    with open_image(content, str(path)) as image:
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
                rgb_u8 = np.asarray(to_srgb(image.copy()), dtype=np.uint8).copy()
            except Exception as error:
                raise ImageError(
                    f"cannot decode frame {index} of {path}: {error}", reason="truncated"
                ) from error
            yield rgb_u8, int(image.info.get("duration", 0)) or _UNTIMED_FRAME_MS


def resize_rgb(rgb_u8: RgbU8, width_px: int, height_px: int) -> RgbU8:
    """Return the picture at another size (antialiased bicubic, the one filter of the project)."""
    resized = resize_image(Image.fromarray(rgb_u8), width_px, height_px)
    return np.asarray(resized, dtype=np.uint8)


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
    return jpeg_of(Image.fromarray(rgb_u8), quality, exif=exif)


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
    with open_image(read_encoded(path), str(path)) as image:
        try:
            exif = image.getexif()
            exif.pop(ORIENTATION, None)
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
    image = Image.fromarray(rgb_u8)
    fitted = fit_image(image, side_px)
    return rgb_u8 if fitted is image else np.asarray(fitted, dtype=np.uint8)


def _write(path: Path, content: bytes) -> None:
    try:
        write_bytes(path, content)
    except OSError as error:
        raise ImageError(f"cannot write {path}: {error.strerror}", reason="unwritable") from error
