"""The one reader: whatever people hand over comes out upright, RGB, 8 bits, or as a named error."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from anymus import images
from anymus.encoded import read_facts
from anymus.errors import ImageError

Picture = NDArray[np.uint8]


def _encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_comes_out_upright(colourful: Picture, orientation: int) -> None:
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    upright = Image.fromarray(colourful)
    stored = upright if undo is None else upright.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = _encode(stored, "PNG", exif=exif)
    np.testing.assert_array_equal(images.decode_rgb(content), colourful)
    facts = read_facts(content)
    assert (facts.width_px, facts.height_px) == (80, 60)


def test_sixteen_bits_are_scaled(colourful: Picture) -> None:
    grey = colourful[:, :, 0]
    content = _encode(Image.fromarray(grey.astype(np.uint16) * 257), "PNG")
    np.testing.assert_allclose(images.decode_rgb(content)[:, :, 1], grey, atol=1)


def test_transparency_is_laid_on_white() -> None:
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:, :2] = (200, 10, 10, 255)
    decoded = images.decode_rgb(_encode(Image.fromarray(rgba), "PNG"))
    assert decoded[0, 0].tolist() == [200, 10, 10]
    assert decoded[0, 3].tolist() == [255, 255, 255]


def test_palette_transparency_and_grey_alpha_are_laid_on_white() -> None:
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert images.decode_rgb(_encode(palette, "PNG", transparency=1)).min() == 255
    grey_alpha = Image.new("LA", (4, 4), (90, 0))
    assert images.decode_rgb(_encode(grey_alpha, "PNG")).min() == 255


def test_cmyk_becomes_rgb(colourful: Picture) -> None:
    content = _encode(Image.fromarray(colourful).convert("CMYK"), "JPEG", quality=95)
    decoded = images.decode_rgb(content)
    assert np.abs(decoded.astype(int) - colourful).mean() < 6


def test_an_embedded_profile_is_applied(colourful: Picture) -> None:
    linear = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert images.decode_rgb(_encode(Image.fromarray(colourful), "PNG", icc_profile=linear)).shape
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = _encode(Image.fromarray(colourful), "PNG", icc_profile=srgb)
    assert np.abs(images.decode_rgb(content).astype(int) - colourful).max() <= 2


def test_of_an_animation_the_first_frame_is_read(colourful: Picture) -> None:
    frames = [Image.fromarray(colourful), Image.fromarray(255 - colourful)]
    content = _encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_facts(content).frames == 2
    assert np.abs(images.decode_rgb(content).astype(int) - colourful).mean() < 12


def _bomb(width_px: int, height_px: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width_px, height_px, 1, 0, 0, 0, 0)
    body = zlib.compress(bytes(64))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<!doctype html><title>404</title>", "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image"),
        (_bomb(30_000, 30_000), "too_many_pixels"),
        (_bomb(12_000, 12_000), "too_many_pixels"),
    ],
)
def test_hostile_bytes_are_refused_by_name(content: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        images.decode_rgb(content, "upload.png")
    assert caught.value.reason == reason
    assert "upload.png" in caught.value.message


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_picture_is_an_error(colourful: Picture, kind: str) -> None:
    content = _encode(Image.fromarray(colourful), kind)
    with pytest.raises(ImageError) as caught:
        images.decode_rgb(content[: len(content) * 2 // 3])
    assert caught.value.reason in ("truncated", "unreadable")


def test_an_orientation_that_is_a_text_is_none(colourful: Picture) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\2\0\2\0\0\0\x06\0\0\0\0\0\0\0"
    facts = read_facts(_encode(Image.fromarray(colourful), "JPEG", exif=exif))

    assert (facts.height_px, facts.width_px) == colourful.shape[:2]


def test_an_animation_whose_blocks_lie_is_an_error(colourful: Picture) -> None:
    first, other = Image.fromarray(colourful), Image.fromarray(255 - colourful)
    content = _encode(first, "GIF", save_all=True, append_images=[other, first], duration=40)
    second = content.index(b"\x21\xf9", content.index(b"\x21\xf9") + 2)
    lying = content[: second + 2] + b"\x01" + content[second + 3 :]

    with pytest.raises(ImageError) as caught:
        read_facts(lying)
    assert caught.value.reason == "truncated"


def test_what_is_written_is_read_again_and_repeats(colourful: Picture, tmp_path: Path) -> None:
    path = tmp_path / "sub" / "été.png"
    images.write_png(path, colourful)
    np.testing.assert_array_equal(images.read_rgb(path), colourful)
    assert images.encode_png(colourful) == path.read_bytes()
    with pytest.raises(ImageError):
        images.write_image(tmp_path / "picture.bmp", colourful)


def test_reading_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png"):
        images.read_rgb(tmp_path / "gone.png")


def test_reduction_does_not_alias_screentone() -> None:
    rows, columns = np.mgrid[0:512, 0:512]
    dots = (((rows % 5) < 2) & ((columns % 5) < 2)).astype(np.uint8) * 255
    reduced = images.resize_rgb(np.repeat(dots[:, :, None], 3, axis=2), 64, 64)
    assert reduced.std() < 6


def test_a_picture_is_fitted_into_a_square_with_its_proportions(colourful: Picture) -> None:
    assert images.fit_rgb(colourful, 40).shape == (30, 40, 3)
