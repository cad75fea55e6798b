"""What can be asked of a conversion; light, so that the command line starts without torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from anymus.errors import ParamsError

Direction = Literal["a2b", "b2a"]
DIRECTIONS: tuple[Direction, ...] = ("a2b", "b2a")
FacesMode = Literal["crop", "paste", "whole"]
NoFaceMode = Literal["whole", "skip"]
OnError = Literal["continue", "stop"]
PasteColour = Literal["match", "keep", "picture"]
OutputFormat = Literal["png", "jpg", "webp", "gif", "mp4", "mov", "mkv", "webm"]
ExportFormat = Literal["onnx", "safetensors"]
Precision = Literal["fp32", "fp16"]
EngineName = Literal["auto", "torch", "opencv", "onnxruntime"]

# Closer dots than these cannot be told from the pixels, wider ones from the drawing.
MIN_SCREENTONE_PX, MAX_SCREENTONE_PX = 3.0, 64.0
MAX_ENLARGE = 8
FILM_OUTPUTS: tuple[OutputFormat, ...] = ("gif", "mp4", "mov", "mkv", "webm")
MAX_GIF_FPS = 50.0
DEFAULT_MEMORY_MIB = 1024
_MAX_FPS = 240.0
_MIN_SIDE_PX = 16

SUFFIX_OF_OUTPUT: dict[OutputFormat, str] = {
    "png": ".png",
    "jpg": ".jpg",
    "webp": ".webp",
    "gif": ".gif",
    "mp4": ".mp4",
    "mov": ".mov",
    "mkv": ".mkv",
    "webm": ".webm",
}
OUTPUT_OF_SUFFIX: dict[str, OutputFormat] = {
    ".png": "png",
    ".jpg": "jpg",
    ".jpeg": "jpg",
    ".webp": "webp",
    ".gif": "gif",
    ".mp4": "mp4",
    ".mov": "mov",
    ".mkv": "mkv",
    ".webm": "webm",
}
# Left out: .ts and .mts, which are program text as often as film.
FILM_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".m2ts", ".wmv", ".flv"}
    | {".3gp", ".ogv"}
)
ANIMATED_SUFFIXES = frozenset({".gif", ".webp", ".png"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertOptions:
    """How to convert; None means that the default depends on the rest.

    Attributes:
        weights: A set that comes with Anymus (`drawn`), a generator's file, or a folder that holds
            `generator_<direction>.safetensors`; None: `drawn`, and for b2a `drawn-small`.
        direction: a2b (photo to manga) or b2a; None: the one of the weights, a2b in a folder.
        faces: `crop` makes one aligned picture of the training size a face, `paste` puts the
            translated faces back into the full picture, `whole` takes the centre square of the
            picture without looking for faces; None: crop, and for films paste.
        size_px: Side at which the network sees a face; None: that of the training. Larger: more of
            the person and finer lines; the style is learned at the training's.
        is_mosaic: Translate the full picture in overlapping tiles instead.
        tile_px: Side of a mosaic's tiles in pixels; None: as large as the memory allows.
        max_memory_mib: What the tiles of a mosaic may take in MiB, at least 1; None: 1024.
        no_face: What becomes of a picture without a face: its centre square, or nothing.
        prefix: Put before every name, as `prefix-name.png`; None: nothing.
        format: Format of the results; None: what the output's suffix says, else png, and for a
            film its own. A picture's format makes of a film a folder of frames.
        is_side_by_side: Put the input to the left of each result.
        has_heatmap: Put what the network looked at to the right of each result.
        strength: Share of the translation in the result, 0 to 1; the rest is the input.
        screentone_px: Distance of the dots that greys are laid in; None: greys stay.
        enlarge: How many times as large as the network's results are, 1 to 8; the lines of drawings
            are redrawn sharp. Pasted faces keep their size in the picture and gain detail.
        paste_colour: What pasted faces take on at the seam, see `inference.paste`; None: match.
        is_skip_existing: Leave results alone that are newer than their picture and the weights.
        on_error: Whether to go on after a picture that cannot be read.
        is_metadata_kept: Take over what a source says about itself: EXIF with the place, a film's
            title.
        fps: Frames a second of a film's result at most; None: those of the film, in a GIF 50.
        max_side_px: Longer side of the result at most, of a film, a mosaic or a picture with pasted
            faces; the latter two are reduced before they are translated. None: as it comes.
        batch_size: Pictures in one forward pass, at least 1; None: what suits the device.
        device: auto, cpu, cuda, cuda:1 or mps.
        engine: What runs the network, see `inference.engines`; auto: what suits the device.
    """

    weights: Path | None = None
    direction: Direction | None = None
    faces: FacesMode | None = None
    size_px: int | None = None
    is_mosaic: bool = False
    tile_px: int | None = None
    max_memory_mib: int | None = None
    no_face: NoFaceMode = "whole"
    prefix: str | None = None
    format: OutputFormat | None = None
    is_side_by_side: bool = False
    has_heatmap: bool = False
    strength: float = 1.0
    screentone_px: float | None = None
    enlarge: int = 1
    paste_colour: PasteColour | None = None
    is_skip_existing: bool = False
    on_error: OnError = "continue"
    is_metadata_kept: bool = False
    fps: float | None = None
    max_side_px: int | None = None
    batch_size: int | None = None
    device: str = "auto"
    engine: EngineName = "auto"

    @property
    def is_at_own_size(self) -> bool:
        """Say whether a picture's result has the size of the picture, not of the training."""
        return self.is_mosaic or self.faces == "paste"

    def check(self) -> None:
        """Do nothing for options that make sense together.

        Raises:
            ParamsError: Two of them exclude each other, or a value is out of bounds.
        """
        self._check_mosaic()
        self._check_finish()
        if self.no_face == "skip" and (self.is_mosaic or self.faces == "whole"):
            raise ParamsError(
                "--no-face skip needs a look for faces, and none was asked for",
                "leave it out, or use --faces crop or paste",
            )
        if self.batch_size is not None and self.batch_size < 1:
            raise ParamsError(f"--batch {self.batch_size} is less than 1", "--batch 1")
        if self.fps is not None and not 0 < self.fps <= _MAX_FPS:
            raise ParamsError(
                f"--fps {self.fps:g} is not above 0 and at most {_MAX_FPS:g}", "--fps 12"
            )
        if self.max_side_px is not None and self.max_side_px < _MIN_SIDE_PX:
            raise ParamsError(
                f"--max-side {self.max_side_px} is less than {_MIN_SIDE_PX}", "--max-side 480"
            )
        if self.prefix is not None and not _is_name(self.prefix):
            raise ParamsError(
                f"prefix {self.prefix!r} is not a plain name", "give a folder with -o instead"
            )

    def _check_mosaic(self) -> None:
        if self.is_mosaic and self.faces not in (None, "whole"):
            raise ParamsError(
                f"--mosaic takes the whole picture, --faces {self.faces} looks for faces",
                "leave one of the two out",
            )
        if self.is_mosaic and self.size_px is not None:
            raise ParamsError(
                "--size is for faces, --mosaic has the picture's",
                "use --max-side to reduce the picture first",
            )
        if self.tile_px is not None and not self.is_mosaic:
            raise ParamsError("--tile is for a mosaic", "add --mosaic")
        if self.is_mosaic and self.engine not in ("auto", "torch"):
            raise ParamsError(
                f"--mosaic is run by torch, not by {self.engine}", "leave --engine out"
            )
        if self.max_memory_mib is not None and not self.is_mosaic:
            raise ParamsError("--max-memory is for a mosaic", "add --mosaic")
        if self.max_memory_mib is not None and self.max_memory_mib < 1:
            raise ParamsError(
                f"--max-memory {self.max_memory_mib} is less than 1 MiB", "--max-memory 1024"
            )

    def _check_finish(self) -> None:
        if self.paste_colour is not None and self.faces != "paste":
            raise ParamsError("--paste-colour is for pasted faces", "add --faces paste")
        if not 1 <= self.enlarge <= MAX_ENLARGE:
            raise ParamsError(
                f"--enlarge {self.enlarge} is not within 1 and {MAX_ENLARGE}", "--enlarge 4"
            )
        if self.enlarge > 1 and self.is_mosaic:
            raise ParamsError(
                "--enlarge is for faces, --mosaic keeps the picture's size",
                "leave one of the two out",
            )
        if not 0 <= self.strength <= 1:
            raise ParamsError(f"--strength {self.strength:g} is not within 0 and 1", "--strength 1")
        if self.screentone_px is not None and not _is_period(self.screentone_px):
            raise ParamsError(
                f"--screentone {self.screentone_px:g} is not within {MIN_SCREENTONE_PX:g}"
                f" and {MAX_SCREENTONE_PX:g} pixels",
                "--screentone 6",
            )


def _is_period(screentone_px: float) -> bool:
    return MIN_SCREENTONE_PX <= screentone_px <= MAX_SCREENTONE_PX


def _is_name(text: str) -> bool:
    return bool(text) and not set(text) & set('/\\\0:*?"<>|') and not text.startswith(".")
