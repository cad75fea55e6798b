"""JPEGs without their data: what a decoder can fail at, and nothing else.

In the data of a scan a decoder meets no error: whatever bits it finds there mean some pixels. It
fails at what stands before the data (tables, sizes, components), at other markers among them, or
because they end before the marker that ends the picture. The first needs no data to be found, and
markers are found without decoding (ISO/IEC 10918-1, sections B.1.1.2 and B.1.1.5).
"""

import re

_MARK = 0xFF
_START = b"\xff\xd8"
_END = b"\xff\xd9"
_SCAN = 0xDA
_SEQUENTIAL = frozenset({0xC0, 0xC1})
# Tables, restart interval, what applications and people wrote.
_SEGMENTS = frozenset({0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})
_MORE_PICTURES = b"MPF\0"
# In the data of a scan: no stuffed byte, no restart, no byte that fills up.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def without_data(content: bytes) -> bytes | None:
    """Return a JPEG of one scan without the scan's data, which decodes if the whole does.

    None: it is no JPEG, has several scans or pictures, or its data do not run to its end marker, so
    that only decoding all of it can tell.

    Args:
        content: The encoded bytes.
    """
    data_at = _find_data(content)
    if data_at is None or not _run_to_end(content, data_at):
        return None
    return content[:data_at] + _END


def _find_data(content: bytes) -> int | None:
    """Return where the data of the only scan begin, or None."""
    if not content.startswith(_START):
        return None
    at, components = 2, None
    while at + 4 <= len(content) and content[at] == _MARK:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4])
        body, at = content[at + 4 : at + 2 + length], at + 2 + length
        if marker in _SEQUENTIAL and components is None and len(body) > 5:
            components = body[5]
        elif marker == _SCAN:
            is_only = body[:1] == bytes([components or 0]) and at < len(content)
            return at if is_only else None
        elif marker not in _SEGMENTS or length < 2 or body.startswith(_MORE_PICTURES):
            return None
    return None


def _run_to_end(content: bytes, data_at: int) -> bool:
    """Say whether the first marker in the data, restarts left out, is the one that ends them."""
    marker = _MARKER.search(content, data_at)
    return marker is not None and marker[0] == _END
