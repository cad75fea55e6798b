"""Label: a page in the browser, served to this machine alone, to mark faces by hand."""

import functools
import threading
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from anymus.drawn_faces import head_of_face
from anymus.errors import AnymusError, DatasetError, ParamsError
from anymus.files import walk_images
from anymus.images import RgbU8, encode_jpeg, read_rgb
from anymus.local_page import (
    PageHandler,
    PageServer,
    open_server,
    picture_number,
    serve_until_interrupt,
)
from anymus.manifest import Face
from anymus.params import DetectorParams

from .detect import load_detector
from .labels import LabelledFace, LabelStore, PictureLabels, parse_row

_PAGE = Path(__file__).parent / "label.html"
_MAX_BODY_BYTES = 1 << 20
_JPEG_QUALITY = 95


class LabelDesk:
    """The pictures of a folder, what is known about their faces, and what a detector proposes.

    Args:
        folder: Pictures, sub-folders too; only read.
        store: Where labels go.
        params: The detector that proposes faces; None: nobody does.

    Raises:
        DatasetError: There is no picture in the folder.
        DeviceError: The detector's library is not installed.
    """

    def __init__(self, folder: Path, store: LabelStore, params: DetectorParams | None) -> None:
        if not folder.is_dir():
            raise DatasetError(f"no folder {folder}", "name a folder of pictures")
        self.files = [path.relative_to(folder).as_posix() for path in walk_images(folder)]
        if not self.files:
            raise DatasetError(f"no pictures in {folder}", "name a folder of pictures")
        self._folder = folder
        self._store = store
        self._detector = None if params is None else load_detector(params)
        self._detecting = threading.Lock()  # models are not made for threads
        self._read = functools.lru_cache(maxsize=4)(self._read_now)
        self._propose = functools.lru_cache(maxsize=512)(self._propose_now)

    def overview(self) -> list[dict[str, object]]:
        """Return the name of every picture, in order, and whether it is done."""
        rows = self._store.read()
        done = {name for name, row in rows.items() if row.is_done}
        return [{"file": name, "is_done": name in done} for name in self.files]

    def row(self, index: int) -> dict[str, object]:
        """Return a picture's labels with their revision; without labels, what is proposed."""
        name = self.files[index]
        row = self._store.read().get(name)
        if row is not None:
            return {"row": row.model_dump(), "revision": row.revision}
        return {"row": self._propose(index).model_dump(), "revision": None}

    def jpeg(self, index: int) -> bytes:
        """Return a picture, upright, as the browser shows it.

        Raises:
            ImageError: It cannot be read.
        """
        return encode_jpeg(self._read(index), _JPEG_QUALITY)

    def save(self, index: int, body: bytes, known: str | None) -> str | None:
        """Save the labels that a browser sent; see `LabelStore.save`.

        Raises:
            ParamsError: They are no labels, or those of another picture.
        """
        row = parse_row(body)
        height_px, width_px = self._read(index).shape[:2]
        if (row.file, row.width_px, row.height_px) != (self.files[index], width_px, height_px):
            raise ParamsError(f"the labels are not those of {self.files[index]}")
        return self._store.save(row, known)

    def _read_now(self, index: int) -> RgbU8:
        return read_rgb(self._folder / self.files[index])

    def _propose_now(self, index: int) -> PictureLabels:
        rgb_u8 = self._read(index)
        faces: tuple[Face, ...] = ()
        if self._detector is not None:
            with self._detecting:
                faces = self._detector.find(rgb_u8)
        height_px, width_px = rgb_u8.shape[:2]
        return PictureLabels(
            file=self.files[index],
            width_px=width_px,
            height_px=height_px,
            faces=tuple(_labelled(face) for face in faces),
            negatives=(),
            is_done=False,
        )


def open_desk(desk: LabelDesk, port: int = 0) -> PageServer:
    """Return a server of the desk on this machine's own address, not started yet.

    Raises:
        AnymusError: The port is in use.
    """
    return open_server(_Handler, desk, port)


@dataclass(frozen=True, slots=True)
class LabelReport:
    """How far the work is: pictures, those done, faces and hard negatives marked."""

    pictures: int
    done: int
    faces: int
    negatives: int

    def as_metrics(self) -> dict[str, int]:
        """Return the figures by name."""
        return {
            "pictures": self.pictures,
            "done": self.done,
            "faces": self.faces,
            "negatives": self.negatives,
        }


def label(
    folder: Path, dst: Path, params: DetectorParams | None, port: int = 0, *, has_browser: bool
) -> LabelReport:
    """Answer the browser until Ctrl-C, and return how far the work is.

    Args:
        folder: Pictures, sub-folders too; only read.
        dst: JSON Lines file of the labels; work goes on where it was left.
        params: The detector that proposes faces; None: nobody does.
        port: Port on this machine's own address; 0: any free one.
        has_browser: Whether the page is opened.

    Raises:
        DatasetError: There is no picture in the folder, or `dst` holds something else.
        DeviceError: The detector's library is not installed.
        AnymusError: The port is in use.
    """
    store = LabelStore(dst)
    desk = LabelDesk(folder, store, params)
    with open_desk(desk, port) as server:
        what = f"{len(desk.files)} pictures, labels go to {dst},"
        serve_until_interrupt(server, what, has_browser=has_browser)
    return count_labels(desk, store)


def count_labels(desk: LabelDesk, store: LabelStore) -> LabelReport:
    """Return how far the work on a desk is."""
    rows = [row for name, row in store.read().items() if name in set(desk.files)]
    return LabelReport(
        pictures=len(desk.files),
        done=sum(row.is_done for row in rows),
        faces=sum(len(row.faces) for row in rows),
        negatives=sum(len(row.negatives) for row in rows),
    )


class _Handler(PageHandler):
    """Answers one browser; pictures are named by their number, so no path ever comes in."""

    page = _PAGE

    def __init__(self, desk: LabelDesk, *arguments: Any) -> None:
        self._desk = desk
        super().__init__(*arguments)

    def answer(self, url: SplitResult) -> bool:
        """Send the list of pictures, a picture, or its labels."""
        if url.path == "/api/pictures":
            self.send_json(HTTPStatus.OK, self._desk.overview())
        elif url.path == "/api/labels":
            self.send_json(HTTPStatus.OK, self._desk.row(self._index(url.query)))
        elif url.path == "/picture":
            self.send(HTTPStatus.OK, self._desk.jpeg(self._index(url.query)), "image/jpeg")
        else:
            return False
        return True

    def do_PUT(self) -> None:
        body = self.read_json("/api/labels", _MAX_BODY_BYTES)
        if body is None:
            return
        try:
            known = (self.headers.get("If-Match") or "").strip('"') or None
            revision = self._desk.save(self._index(urlsplit(self.path).query), body, known)
        except AnymusError as error:
            self.refuse_for(error)
            return
        except OSError as error:
            self.refuse(HTTPStatus.INSUFFICIENT_STORAGE, f"cannot save: {error.strerror}")
            return
        if revision is None:
            self.refuse(HTTPStatus.CONFLICT, "these labels were changed in another window")
        else:
            self.send_json(HTTPStatus.OK, {"revision": revision})

    def _index(self, query: str) -> int:
        return picture_number(query, len(self._desk.files))


def _labelled(face: Face) -> LabelledFace:
    points = face.landmarks
    left, right = points.get("left_eye"), points.get("right_eye")
    if left is not None and right is not None and left[0] > right[0]:
        left = right = None
    return LabelledFace(box=head_of_face(face.box), view="front", left_eye=left, right_eye=right)
