import io
import random

import numpy as np
import pytest
from PIL import Image

from anymus.encoded import ImageFacts, open_picture
from anymus.errors import ImageError
from anymus.params import Params
from scrapers.jpeg import without_data
from scrapers.storing import WEB_FORMATS, check_picture

KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "plain": ("RGB", {}),
    "grey": ("L", {}),
    "cmyk": ("CMYK", {}),
    "fine": ("RGB", {"subsampling": 0, "quality": 95}),
    "restarts": ("RGB", {"restart_marker_blocks": 4}),
    "a comment like an end": ("RGB", {"comment": b"\xff\xd9\xff\xda\x00"}),
    "a small picture inside": ("RGB", {"exif": b"Exif\0\0II*\0\xff\xd8\xff\xd9"}),
    "progressive": ("RGB", {"progressive": True}),
}
MARKERS = (
    b"\xff\xd9",
    b"\xff\xd8",
    b"\xff\xda",
    b"\xff\xc4",
    b"\xff\xd3",
    b"\xff\xff\xd9",
    b"\xff\1",
)


def _draw(kind: str) -> bytes:
    mode, options = KINDS[kind]
    bands = len(Image.new(mode, (1, 1)).getbands())
    noise = np.random.default_rng(5).integers(0, 256, (48, 64, bands), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise.squeeze(), mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def _judge_whole(content: bytes) -> ImageFacts | str:
    """Return what decoding all of a picture says."""
    try:
        with open_picture(content) as picture:
            facts = picture.facts()
            picture.check_pixels()
            return facts
    except ImageError as error:
        return error.reason


def _judge(content: bytes, params: Params) -> ImageFacts | str:
    limits = params.scrape.model_copy(update={"min_side_px": 1})
    try:
        return check_picture(content, limits, WEB_FORMATS)
    except ImageError as error:
        return error.reason


def _spoil(content: bytes, rng: random.Random) -> bytes:
    """Return the bytes with bits flipped, bytes lost or added, markers put in, or an end lost."""
    at = (
        rng.randrange(len(content)) if rng.random() < 0.6 else rng.randrange(min(700, len(content)))
    )
    before, after = content[:at], content[at:]
    return rng.choice(
        [
            before + bytes([after[0] ^ 1 << rng.randrange(8)]) + after[1:],
            before + b"\xff" + after[1:],
            before + after[rng.choice((1, 2, 10, 100)) :],
            before + rng.randbytes(rng.choice((1, 2, 8))) + after,
            before + rng.choice(MARKERS) + after,
            before,
            before + b"\xff\xd9",
            content + b"PK\3\4 more",
        ]
    )


@pytest.mark.parametrize("kind", list(KINDS))
def test_only_what_may_fail_is_decoded_and_the_verdict_is_that_of_all(
    kind: str, params: Params
) -> None:
    rng = random.Random(kind)
    whole = _draw(kind)
    spoilt = [whole]
    for _ in range(200):
        content = whole
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            content = _spoil(content, rng) or whole
        spoilt.append(content)

    assert (without_data(whole) is None) == (kind == "progressive")
    for content in spoilt:
        assert _judge(content, params) == _judge_whole(content)
    verdicts = {type(_judge_whole(content)) for content in spoilt}
    assert verdicts == {ImageFacts, str}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_picture_cut_anywhere_is_truncated(kind: str, params: Params) -> None:
    whole = _draw(kind)
    start = whole.rindex(b"\xff\xda")

    reasons = {_judge(whole[:end], params) for end in range(start, len(whole), 29)}

    assert reasons == {"truncated"}
    assert without_data(whole[:-1]) is None


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_other_formats_are_decoded_to_their_end(kind: str, params: Params) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, kind)

    assert without_data(buffer.getvalue()) is None
    assert _judge(buffer.getvalue()[:-200], params) in ("truncated", "unreadable")
