"""Convert: one picture, a folder of them, or an animation, through a generator."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from anymus.engine import count_workers
from anymus.errors import AnymusError, ImageError
from anymus.framing import Matrix
from anymus.images import RgbU8, read_frames, read_rgb, write_gif, write_image
from anymus.manifest import Domain
from anymus.progress import log, track
from anymus.shards import find_shard

from .faces import FaceFinder, centre_square, cut_face
from .finish import Finish, Heat, finish_picture, show_heat
from .mosaic import translate_mosaic
from .options import ConvertOptions
from .paste import Pasted, paste_faces
from .plan import Item, Plan, plan_conversion
from .report import ConvertReport, Done, Failed
from .translator import Translator, find_weights, load_translator

T = TypeVar("T")
U = TypeVar("U")

_SOURCE_DOMAIN: dict[str, Domain] = {"a2b": "photo", "b2a": "manga"}
_MAX_THREADS = 4
_MAX_HELD_BYTES = 256 * 1024 * 1024
_DIVIDER_PX = 2


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture before the network: what it is made of.

    Attributes:
        whole: The full picture, where the result is made from it (paste, mosaic).
        crops: Pictures of the training size to translate.
        matrices: For each face, the affine map from picture to crop pixels; empty without a face.
        is_without_face: Whether faces were looked for and none was found.
    """

    whole: RgbU8 | None
    crops: tuple[RgbU8, ...]
    matrices: tuple[Matrix, ...] = ()
    is_without_face: bool = False


def convert(source: Path, dst: Path, options: ConvertOptions) -> ConvertReport:
    """Write the translations of a picture, or of all pictures below a folder, and return figures.

    Sources are only read. Every result is written whole or not at all; the first result of a
    picture is written last, so that its presence says that the picture is done. A picture that
    cannot be read is reported, the others are converted: see `ConvertReport.require_success`.

    Args:
        source: A picture's file or a folder.
        dst: A folder, made if missing; for a single picture also the result's file.
        options: See `ConvertOptions`.

    Raises:
        ParamsError: The options exclude each other.
        DatasetError: The source is missing or holds no picture.
        CheckpointError: No usable weights, or weights of the other direction.
        DeviceError: The device or the face detector is not there.
        AnymusError: The output cannot be written to; its path is named.
    """
    started_s = time.perf_counter()
    plan = plan_conversion(source, dst, options)
    weights = find_weights(options.weights, options.direction)
    translator = load_translator(weights, options.direction, options.device, options.engine)
    _make_folder(plan.folder)
    worker = _Worker(translator, plan, options)
    outcomes = worker.run(weights)
    return ConvertReport(
        done=tuple(outcome for outcome in outcomes if isinstance(outcome, Done)),
        failed=tuple(outcome for outcome in outcomes if isinstance(outcome, Failed)),
        other_files=plan.other_files,
        results=plan.items[0].output if plan.folder != dst else dst,
        weights=weights.name,
        direction=translator.direction,
        seconds=time.perf_counter() - started_s,
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """A picture on its way: prepared and then translated, or failed."""

    item: Item
    prepared: Prepared | Failed
    translated: tuple[RgbU8, ...] = ()
    heats: tuple[Heat, ...] = ()


class _Worker:
    """The steps of one conversion, with what they share: prepare, translate, finish."""

    def __init__(self, translator: Translator, plan: Plan, options: ConvertOptions) -> None:
        self._translator = translator
        self._plan = plan
        self._options = options
        self._batch_size = options.batch_size or translator.batch_size
        self._is_pasting = options.faces == "paste"
        self._finish_as = Finish(
            options.strength, options.screentone_px, options.paste_colour or "match"
        )
        self._domain = _SOURCE_DOMAIN[translator.direction]
        is_looking = not options.is_mosaic and options.faces != "whole"
        self._finder = FaceFinder(self._domain) if is_looking else None

    def run(self, weights: Path) -> list[Done | Failed]:
        """Return what became of every picture of the plan, in its order."""
        skips = [self._options.is_skip_existing and _is_fresh(i, weights) for i in self._plan.items]
        todo = [
            item for item, is_skipped in zip(self._plan.items, skips, strict=True) if not is_skipped
        ]
        convert_all = self._films if self._plan.format == "gif" else self._pictures
        outcomes = iter(list(track(convert_all(todo), "convert", len(todo))))
        return [
            Done(item.name, is_existing=True) if is_skipped else next(outcomes)
            for item, is_skipped in zip(self._plan.items, skips, strict=True)
        ]

    def _pictures(self, items: list[Item]) -> Iterator[Done | Failed]:
        """Yield the outcome of each picture; threads decode and write while the network works."""
        threads = min(_MAX_THREADS, count_workers(0))
        with _pool(threads) as pool:
            prepared = _map_ahead(pool, self._prepare_file, items, threads)
            translated = self._translate(prepared)
            yield from _map_ahead(pool, self._finish, translated, threads)

    def _films(self, items: list[Item]) -> Iterator[Done | Failed]:
        """Yield the outcome of each animation, one after the other."""
        for item in items:
            try:
                yield self._convert_film(item)
            except ImageError as error:
                if error.reason == "unwritable":
                    raise
                yield Failed(item.name, error.reason, error.message)

    def _convert_film(self, item: Item) -> Done:
        """Write one animation, frame by frame; a frame without result prolongs the one before."""
        durations_ms: list[int] = []

        def prepare_frames() -> Iterator[_Job]:
            for rgb_u8, duration_ms in read_frames(item.source):
                durations_ms.append(duration_ms)
                yield _Job(item, self._prepare(rgb_u8, is_frame=True))

        frames: list[RgbU8] = []
        shown_ms: list[int] = []
        faces = 0
        for index, job in enumerate(self._translate(prepare_frames())):
            assert isinstance(job.prepared, Prepared)
            faces += len(job.prepared.matrices)
            results = self._compose(job)
            if results:
                frames.append(results[0])
                shown_ms.append(durations_ms[index])
            elif shown_ms:
                shown_ms[-1] += durations_ms[index]
        if frames:
            write_gif(item.output, frames, shown_ms)
        files = (item.output,) if frames else ()
        is_without_face = self._finder is not None and not faces
        return Done(item.name, faces, len(frames), files, is_without_face)

    def _prepare_file(self, item: Item) -> _Job:
        try:
            return _Job(item, self._prepare(read_rgb(item.source)))
        except ImageError as error:
            return _Job(item, Failed(item.name, error.reason, error.message))

    def _prepare(self, rgb_u8: RgbU8, *, is_frame: bool = False) -> Prepared:
        """Return what the network needs of a picture; of a frame all results have one size."""
        size_px = self._translator.size_px
        if self._options.is_mosaic:
            return Prepared(rgb_u8, ())
        if self._finder is None:
            return Prepared(None, (centre_square(rgb_u8, size_px),))
        faces = self._finder.find(rgb_u8)
        if not faces:
            if is_frame and self._is_pasting:
                return Prepared(rgb_u8, (), is_without_face=True)
            is_kept = self._options.no_face == "whole"
            crops = (centre_square(rgb_u8, size_px),) if is_kept else ()
            return Prepared(None, crops, is_without_face=True)
        if is_frame and not self._is_pasting:
            faces = faces[:1]
        framing = self._translator.framing
        cuts = [cut_face(rgb_u8, face, self._domain, framing) for face in faces]
        return Prepared(
            rgb_u8 if self._is_pasting else None,
            tuple(crop for crop, _ in cuts),
            tuple(matrix for _, matrix in cuts),
        )

    def _translate(self, jobs: Iterable[_Job]) -> Iterator[_Job]:
        """Yield the jobs with their crops translated, batches filled across pictures."""
        batch_size = self._batch_size
        for group in _group(jobs, batch_size):
            crops = [crop for job in group for crop in _crops_of(job)]
            starts = range(0, len(crops), batch_size)
            batches = [self._translator.attend(crops[i : i + batch_size]) for i in starts]
            outputs = (output for pictures, _ in batches for output in pictures)
            heats = (heat for _, maps in batches for heat in maps)
            for job in group:
                translated = tuple(next(outputs) for _ in _crops_of(job))
                if self._options.is_mosaic and isinstance(job.prepared, Prepared):
                    translated = (self._translate_whole(job.prepared),)
                looked = tuple(next(heats) for _ in _crops_of(job))
                yield replace(job, translated=translated, heats=looked)

    def _translate_whole(self, prepared: Prepared) -> RgbU8:
        assert prepared.whole is not None
        return translate_mosaic(
            prepared.whole, self._translator, self._translator.size_px, self._batch_size
        )

    def _compose(self, job: _Job) -> list[RgbU8]:
        """Return a picture's results, in the order of its faces."""
        assert isinstance(job.prepared, Prepared)
        whole, crops = job.prepared.whole, job.prepared.crops
        befores: tuple[RgbU8, ...] = crops if whole is None else (whole,)
        afters: list[RgbU8] = []
        if whole is not None and not self._options.is_mosaic:
            afters = [self._paste(job, whole, job.translated, self._finish_as)]
        else:
            pairs = zip(befores, job.translated, strict=True)
            afters = [finish_picture(*pair, self._finish_as) for pair in pairs]
        strips = [[after] for after in afters]
        if self._options.is_side_by_side:
            strips = [[before, *strip] for before, strip in zip(befores, strips, strict=True)]
        if self._options.has_heatmap:
            looks = [show_heat(*pair) for pair in zip(crops, job.heats, strict=True)]
            if whole is not None:
                looks = [self._paste(job, whole, looks, Finish(paste_colour="keep"))]
            strips = [[*strip, look] for strip, look in zip(strips, looks, strict=True)]
        return [_side_by_side(strip) for strip in strips]

    def _paste(self, job: _Job, whole: RgbU8, afters: Sequence[RgbU8], finish: Finish) -> RgbU8:
        assert isinstance(job.prepared, Prepared)
        triples = zip(job.prepared.crops, afters, job.prepared.matrices, strict=True)
        return paste_faces(whole, [Pasted(*triple) for triple in triples], finish)

    def _finish(self, job: _Job) -> Done | Failed:
        """Write a picture's results, the first one last, and return what became of it."""
        if isinstance(job.prepared, Failed):
            return job.prepared
        results = self._compose(job)
        paths = [self._plan.path_of(job.item, number + 1) for number in range(len(results))]
        for path, result in reversed(list(zip(paths, results, strict=True))):
            write_image(path, result)
        faces = len(job.prepared.matrices)
        log.debug("%s: %d faces, %d files", job.item.name, faces, len(paths))
        return Done(job.item.name, faces, 1, tuple(paths), job.prepared.is_without_face)


def _crops_of(job: _Job) -> tuple[RgbU8, ...]:
    return job.prepared.crops if isinstance(job.prepared, Prepared) else ()


def _group(jobs: Iterable[_Job], batch_size: int) -> Iterator[list[_Job]]:
    """Yield the jobs in groups that fill a batch, smaller ones where pictures are large."""
    group: list[_Job] = []
    crops = held_bytes = 0
    for job in jobs:
        group.append(job)
        crops += max(1, len(_crops_of(job)))
        if isinstance(job.prepared, Prepared) and job.prepared.whole is not None:
            held_bytes += job.prepared.whole.nbytes
        if crops >= batch_size or held_bytes >= _MAX_HELD_BYTES:
            yield group
            group, crops, held_bytes = [], 0, 0
    if group:
        yield group


def _map_ahead(
    pool: ThreadPoolExecutor, function: Callable[[T], U], items: Iterable[T], depth: int
) -> Iterator[U]:
    """Yield `function(item)` in order, at most `depth` items ahead of the consumer."""
    queue: deque[Future[U]] = deque()
    for item in items:
        queue.append(pool.submit(function, item))
        if len(queue) > depth:
            yield queue.popleft().result()
    while queue:
        yield queue.popleft().result()


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of threads; when the block is left early, what has not begun never does."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _side_by_side(pictures: Sequence[RgbU8]) -> RgbU8:
    """Return pictures of one height next to each other, white lines between."""
    divider = np.full((pictures[0].shape[0], _DIVIDER_PX, 3), 255, np.uint8)
    strip = [part for picture in pictures for part in (divider, picture)]
    return np.concatenate(strip[1:], axis=1)


def _is_fresh(item: Item, weights: Path) -> bool:
    """Say whether a picture's result is newer than the picture and the weights."""
    try:
        made_ns = item.output.stat().st_mtime_ns
        shard = find_shard(item.source)
        source = item.source if shard is None else shard[0]
        return made_ns >= max(source.stat().st_mtime_ns, weights.stat().st_mtime_ns)
    except OSError:
        return False


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AnymusError(
            f"cannot make the folder {folder}: {error.strerror}", "give another with -o"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise AnymusError(f"cannot write into {folder}", "check its permissions, or use -o")
