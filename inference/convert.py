"""Convert: one picture, a folder of them, or an animation, through a generator."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from anymus.engine import count_workers
from anymus.errors import AnymusError, ImageError, ParamsError
from anymus.files import sha256_file
from anymus.framing import Matrix, crop_transform, cut
from anymus.images import QUICK_PNG_LEVEL, RgbU8, fit_rgb, read_exif, read_rgb, write_image
from anymus.manifest import Domain
from anymus.progress import log, track
from anymus.shards import find_shard

from .ahead import map_ahead, pool_of
from .faces import FaceFinder, centre_square
from .finish import Finish, Heat, enlarge_input, finish_picture, show_heat
from .mosaic import Mosaic, plan_tiles, take_samples, translate_mosaic
from .onnx_file import ONNX_SUFFIX
from .options import DEFAULT_MEMORY_MIB, ConvertOptions
from .paste import Pasted, paste_faces
from .plan import Item, Plan, plan_conversion
from .report import ConvertReport, Done, Failed
from .translator import Translator, find_weights, load_translator

if TYPE_CHECKING:
    from .film import Shot, Studio
    from .tile_network import TileNetwork

_SOURCE_DOMAIN: dict[str, Domain] = {"a2b": "photo", "b2a": "manga"}
_MAX_THREADS = 4
_MAX_HELD_BYTES = 256 * 1024 * 1024
_DIVIDER_PX = 2
# A JPEG that is only needed small is decoded no smaller than this many times the size needed:
# 0.1 levels off on average, at most 1 on portraits; at twice the size it is up to 0.7.
_DECODED_SHARE = 3


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


def convert(source: Path | Sequence[Path], dst: Path, options: ConvertOptions) -> ConvertReport:
    """Write the translations of pictures and films and return the figures.

    Sources are only read. Every result is written whole or not at all; the first result of a
    picture is written last, so that its presence says that the picture is done. A picture that
    cannot be read is reported, the others are converted: see `ConvertReport.require_success`.
    With `on_error` stop it ends the conversion.

    Args:
        source: A picture, a film, a folder of them, a pattern as `holiday/**/*.jpg`, or several.
        dst: A folder, made if missing; for a single picture also the result's file.
        options: See `ConvertOptions`.

    Raises:
        ParamsError: The options exclude each other, or the weights do not take the size.
        DatasetError: A source is missing, or there is no picture.
        ImageError: A picture cannot be read, and `on_error` is stop.
        CheckpointError: No usable weights, or weights of the other direction.
        DeviceError: The device or the face detector is not there.
        AnymusError: The output cannot be written to; its path is named.
    """
    started_s = time.perf_counter()
    plan = plan_conversion(source, dst, options)
    weights = find_weights(options.weights, options.direction)
    translator = load_translator(weights, options.direction, options.device, options.engine)
    if options.size_px is not None:
        translator = translator.at_size(options.size_px)
    _make_folder(plan.folder)
    worker = _Worker(translator, plan, options, weights)
    outcomes = worker.run()
    return ConvertReport(
        done=tuple(outcome for outcome in outcomes if isinstance(outcome, Done)),
        failed=tuple(outcome for outcome in outcomes if isinstance(outcome, Failed)),
        other_files=plan.other_files,
        results=plan.items[0].output if plan.folder != dst else dst,
        weights=weights.name,
        licence=str(translator.card.get("licence") or ""),
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

    def __init__(
        self, translator: Translator, plan: Plan, options: ConvertOptions, weights: Path
    ) -> None:
        self._translator = translator
        self._weights = weights
        self._tiles = _load_tile_network(weights, options) if options.is_mosaic else None
        self._plan = plan
        self._options = options
        self._batch_size = options.batch_size or translator.batch_size
        self._finish_as = Finish(
            options.strength,
            options.screentone_px,
            options.paste_colour or "match",
            options.enlarge,
            translator.direction == "a2b",
        )
        self._domain = _SOURCE_DOMAIN[translator.direction]
        is_looking = not options.is_mosaic and options.faces != "whole"
        self._finder = FaceFinder(self._domain) if is_looking else None
        is_small = not options.is_mosaic and options.faces == "whole"
        self._enough_px = _DECODED_SHARE * translator.size_px if is_small else None

    def run(self) -> list[Done | Failed]:
        """Return what became of every item of the plan, in its order; pictures come first."""
        outcomes: dict[Item, Done | Failed] = {
            item: Done(item.name, is_existing=True)
            for item in self._plan.items
            if self._options.is_skip_existing and _is_fresh(item, self._weights)
        }
        todo = [item for item in self._plan.items if item not in outcomes]
        pictures = [item for item in todo if not item.is_film]
        outcomes |= zip(pictures, self._pictures(pictures), strict=True)
        films = [item for item in todo if item.is_film]
        outcomes |= zip(films, self._films(films), strict=True)
        return [outcomes[item] for item in self._plan.items]

    def _pictures(self, items: list[Item]) -> list[Done | Failed]:
        """Return the outcome of each picture; threads decode and write while the network works."""
        threads = min(_MAX_THREADS, count_workers(0))
        with pool_of(threads) as pool:
            prepared = map_ahead(pool, self._prepare_file, items, threads)
            translated = self._translate(prepared)
            done = map_ahead(pool, self._finish, translated, threads)
            return [self._noted(outcome) for outcome in track(done, "convert", len(items))]

    def _noted(self, outcome: Done | Failed) -> Done | Failed:
        """Return the outcome, if the conversion may go on after it."""
        if isinstance(outcome, Failed) and self._options.on_error == "stop":
            hint = "without `--on-error stop` the others are converted"
            raise ImageError(outcome.message, hint, outcome.reason)
        return outcome

    def _films(self, items: list[Item]) -> Iterator[Done | Failed]:
        """Yield the outcome of each film, one after the other."""
        if not items:
            return
        from .film import convert_film

        studio = self._studio()
        for item in items:
            try:
                yield convert_film(item, replace(studio, render=partial(self._render, item)))
            except ImageError as error:
                if error.reason == "unwritable":
                    raise
                yield self._noted(Failed(item.name, error.reason, error.message))

    def _studio(self) -> "Studio":
        from .film import Studio

        options = self._options
        is_pasting = self._finder is not None and _is_pasting(options, is_film=True)
        shaping = replace(options, weights=None, prefix=None, format=None, is_skip_existing=False)
        shaping = replace(shaping, on_error="continue")
        return Studio(
            find=None if self._finder is None else self._finder.find,
            render=lambda _: iter(()),
            domain=self._domain,
            framing=self._translator.framing,
            is_pasting=is_pasting,
            is_skipping=not is_pasting and options.no_face == "skip",
            is_metadata_kept=options.is_metadata_kept,
            fps=options.fps,
            max_side_px=options.max_side_px,
            key=f"{sha256_file(self._weights)} {shaping}",
        )

    def _render(self, item: Item, shots: Iterable["Shot"]) -> Iterator[RgbU8]:
        """Yield the result of each frame of a film; threads prepare and compose."""
        threads = min(_MAX_THREADS, count_workers(0))

        def prepare(shot: "Shot") -> _Job:
            is_pasting = _is_pasting(self._options, is_film=True)
            return _Job(item, self._prepare(shot.read(), shot.matrices, is_pasting=is_pasting))

        with pool_of(threads) as pool:
            translated = self._translate(map_ahead(pool, prepare, shots, threads))
            for results in map_ahead(pool, self._compose, translated, threads):
                yield results[0]

    def _prepare_file(self, item: Item) -> _Job:
        try:
            rgb_u8 = read_rgb(item.source, enough_px=self._enough_px)
        except ImageError as error:
            return _Job(item, Failed(item.name, error.reason, error.message))
        limit_px = self._options.max_side_px
        if limit_px is not None and self._options.is_at_own_size:
            rgb_u8 = fit_rgb(rgb_u8, min(limit_px, max(rgb_u8.shape[:2])))
        matrices = None
        if self._finder is not None:
            framing = self._translator.framing
            faces = self._finder.find(rgb_u8)
            matrices = tuple(crop_transform(face, self._domain, framing) for face in faces)
        is_pasting = _is_pasting(self._options, is_film=False)
        return _Job(item, self._prepare(rgb_u8, matrices, is_pasting=is_pasting and bool(matrices)))

    def _prepare(
        self, rgb_u8: RgbU8, matrices: tuple[Matrix, ...] | None, *, is_pasting: bool
    ) -> Prepared:
        """Return what the network needs of a picture whose faces lie there; None: not looked for.

        A picture without a face becomes its centre square, or nothing; one to paste into stays.
        """
        size_px = self._translator.size_px
        if self._options.is_mosaic:
            return Prepared(rgb_u8, ())
        if matrices is None:
            return Prepared(None, (centre_square(rgb_u8, size_px),))
        if not matrices and not is_pasting:
            is_kept = self._options.no_face == "whole"
            middle = (centre_square(rgb_u8, size_px),) if is_kept else ()
            return Prepared(None, middle, is_without_face=True)
        crops = tuple(cut(rgb_u8, matrix, size_px) for matrix in matrices)
        return Prepared(rgb_u8 if is_pasting else None, crops, matrices, not matrices)

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
                looked = tuple(next(heats) for _ in _crops_of(job))
                if self._tiles is not None and isinstance(job.prepared, Prepared):
                    mosaic = self._translate_whole(job.prepared, self._tiles)
                    assert mosaic.heat is not None
                    translated, looked = (mosaic.rgb_u8,), (mosaic.heat,)
                yield replace(job, translated=translated, heats=looked)

    def _translate_whole(self, prepared: Prepared, tiles: "TileNetwork") -> Mosaic:
        whole = prepared.whole
        assert whole is not None
        size = (whole.shape[0], whole.shape[1])
        memory_mib = self._options.max_memory_mib or DEFAULT_MEMORY_MIB
        plan = plan_tiles(*size, tiles, memory_mib, self._options.tile_px)
        translate = tiles.fit(take_samples(whole, plan))
        batch_size = min(plan.batch_size, self._options.batch_size or plan.batch_size)
        return translate_mosaic(whole, translate, plan.tile_px, batch_size, plan.overlap_px)

    def _compose(self, job: _Job) -> list[RgbU8]:
        """Return a picture's results, in the order of its faces."""
        assert isinstance(job.prepared, Prepared)
        whole, crops = job.prepared.whole, job.prepared.crops
        pasted_into = None if self._options.is_mosaic else whole
        if pasted_into is not None:
            befores = [pasted_into]
            afters = [self._paste(job, pasted_into, job.translated, self._finish_as)]
        else:
            inputs = crops if whole is None else (whole,)
            befores = [enlarge_input(before, self._finish_as) for before in inputs]
            pairs = zip(befores, job.translated, strict=True)
            afters = [finish_picture(*pair, self._finish_as) for pair in pairs]
        strips = [[after] for after in afters]
        if self._options.is_side_by_side:
            strips = [[before, *strip] for before, strip in zip(befores, strips, strict=True)]
        if self._options.has_heatmap:
            seen = befores if pasted_into is None else crops
            looks = [show_heat(*pair) for pair in zip(seen, job.heats, strict=True)]
            if pasted_into is not None:
                looks = [self._paste(job, pasted_into, looks, Finish(paste_colour="keep"))]
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
        exif = read_exif(job.item.source) if self._options.is_metadata_kept else b""
        for path, result in reversed(list(zip(paths, results, strict=True))):
            write_image(path, result, exif, png_level=QUICK_PNG_LEVEL)
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


def _is_pasting(options: ConvertOptions, *, is_film: bool) -> bool:
    """Say whether faces go back into the picture: in films also where nothing was asked for."""
    return options.faces == "paste" or (is_film and options.faces is None)


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


def _load_tile_network(weights: Path, options: ConvertOptions) -> "TileNetwork":
    from .tile_network import TileNetwork

    if weights.suffix.lower() == ONNX_SUFFIX:
        raise ParamsError(f"--mosaic does not run {weights}", "give a .safetensors file with -g")
    return TileNetwork.load(weights, options.device)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AnymusError(
            f"cannot make the folder {folder}: {error.strerror}", "give another with -o"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise AnymusError(f"cannot write into {folder}", "check its permissions, or use -o")
