"""Streams: a picture from standard input, a result to standard output, for use in pipes."""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from anymus.encoded import MAX_BYTES, read_facts
from anymus.errors import DatasetError, ImageError, ParamsError
from anymus.progress import log

from .convert import convert
from .options import ConvertOptions
from .report import ConvertReport

STREAM = Path("-")
_INPUT_NAME = "stdin"


def convert_streams(
    sources: Sequence[Path], output: Path, options: ConvertOptions
) -> ConvertReport:
    """Convert as `inference.convert.convert`, where `-` is standard input or standard output.

    Standard input is one picture or animation. Standard output gets the bytes of one result and
    nothing else: of several faces the first, which is the largest.

    Raises:
        ParamsError: As there; or several sources for one stream, or a stream that is a terminal.
        DatasetError: As there; or there is no result to write to standard output.
        ImageError: Standard input is no picture.
    """
    if STREAM not in sources and output != STREAM:
        return convert(sources, output, options)
    if len(sources) > 1:
        raise ParamsError("`-` is one picture, there are several sources", "leave the others out")
    with tempfile.TemporaryDirectory(prefix="anymus-") as name:
        folder = Path(name)
        source = _take_in(folder) if sources[0] == STREAM else sources[0]
        if output != STREAM:
            return convert(source, output, options)
        return _give_out(source, folder / "results", options)


def _take_in(folder: Path) -> Path:
    """Return a file of what comes from standard input, its suffix that of its format."""
    if sys.stdin.isatty():
        raise ParamsError("standard input is a terminal", "anymus convert - < picture.jpg")
    content = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ImageError(f"standard input has more than {MAX_BYTES} bytes", reason="too_many_bytes")
    try:
        suffix = read_facts(content).suffix
    except ImageError as error:
        message = error.message.replace("the bytes", "standard input")
        raise ImageError(message, "give a picture", error.reason) from error
    path = folder / f"{_INPUT_NAME}{suffix}"
    path.write_bytes(content)
    return path


def _give_out(source: Path, results: Path, options: ConvertOptions) -> ConvertReport:
    """Convert one file and write its first result to standard output."""
    if sys.stdout.isatty():
        raise ParamsError("standard output is a terminal", "anymus convert x.jpg -o - > y.png")
    if source.is_dir():
        raise ParamsError(f"{source} is a folder, standard output is one picture", "-o FOLDER")
    report = convert(source, results, options)
    report.require_success()
    if not report.files:
        raise DatasetError(f"no face in {source}, nothing to write", "--no-face whole")
    if report.files[0].is_dir():
        raise ParamsError("standard output is one file, not a folder of frames", "--format mp4")
    if len(report.files) > 1:
        log.warning("%d faces, the largest is written", len(report.files))
    sys.stdout.buffer.write(report.files[0].read_bytes())
    sys.stdout.buffer.flush()
    return replace(report, results=STREAM)
