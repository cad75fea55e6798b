"""One picture in memory: its faces found, translated, and shown as asked."""

from dataclasses import dataclass

from anymus.images import RgbU8
from anymus.manifest import Domain

from .faces import FaceFinder, centre_square, cut_face
from .finish import Finish, enlarge_input, finish_picture
from .options import FacesMode
from .paste import Pasted, paste_faces
from .translator import Translator

SOURCE_DOMAIN: dict[str, Domain] = {"a2b": "photo", "b2a": "manga"}


@dataclass(frozen=True, slots=True)
class Shown:
    """What became of a picture.

    Attributes:
        pairs: Input and result, of one size each; in the order of the faces where each is one.
        faces: How many faces were found.
    """

    pairs: tuple[tuple[RgbU8, RgbU8], ...]
    faces: int


class PictureTranslator:
    """Translates single pictures of any size; may be called from several threads.

    Args:
        translator: What translates crops.

    Raises:
        DeviceError: The face detector's library is not installed.
    """

    def __init__(self, translator: Translator) -> None:
        self._translator = translator
        self._domain = SOURCE_DOMAIN[translator.direction]
        self._finder = FaceFinder(self._domain)

    def show(self, rgb_u8: RgbU8, faces: FacesMode, finish: Finish) -> Shown:
        """Return the translation of a picture (H, W, 3); see `ConvertOptions` for the modes.

        Without a face, `crop` and `paste` give the centre square, as `whole` does.

        Raises:
            CheckpointError: The weights give values that are no numbers.
            DeviceError: The device has not enough memory.
        """
        found = self._finder.find(rgb_u8) if faces != "whole" else ()
        cuts = [cut_face(rgb_u8, face, self._domain, self._translator.framing) for face in found]
        befores = [crop for crop, _ in cuts] or [centre_square(rgb_u8, self._translator.size_px)]
        afters = self._translate(befores)
        if faces == "paste" and cuts:
            matrices = [matrix for _, matrix in cuts]
            triples = zip(befores, afters, matrices, strict=True)
            pasted = paste_faces(rgb_u8, [Pasted(*triple) for triple in triples], finish)
            return Shown(((rgb_u8, pasted),), len(cuts))
        larger = [enlarge_input(before, finish) for before in befores]
        pairs = zip(larger, afters, strict=True)
        shown = tuple((before, finish_picture(before, after, finish)) for before, after in pairs)
        return Shown(shown, len(cuts))

    def _translate(self, crops: list[RgbU8]) -> list[RgbU8]:
        size = self._translator.batch_size
        starts = range(0, len(crops), size)
        return [after for i in starts for after in self._translator(crops[i : i + size])]
