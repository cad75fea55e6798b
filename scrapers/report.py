"""What a collection returns, and how its rows and files become a folder."""

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from anymus.errors import AnymusError, DatasetError, ParamsError
from anymus.files import link_file, sha256_bytes
from anymus.manifest import MANIFEST_NAME, Domain, ImageRecord, count_reasons, write_manifest
from anymus.params import Params
from anymus.shards import PictureStore, choose_shards

from .page import write_page
from .state import stored_path

# Reasons that are a choice of ours or of the owner, and no sign of a broken site or folder.
CHOSEN_REASONS = frozenset(
    {
        "licence", "robots", "off_site", "scheme", "private_address", "same_bytes", "over_budget",
        "too_small", "too_many_frames", "unwanted_format", "blocked", "rate_limited",
        "would_fetch", "already_there",
    }
)  # fmt: skip

UNKNOWN_LICENCE = "unknown"


@dataclass(frozen=True, slots=True)
class ScrapeReport:
    """The figures of one collection."""

    site: str
    domain: Domain
    folder: Path
    pictures: int
    size_bytes: int
    pages: int
    authors: int
    is_complete: bool
    shards: int = 0
    licences: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    fetched: int | None = None

    def as_metrics(self) -> dict[str, int | float | str | bool]:
        """Return the flat figures: the same for the same site and parameters."""
        figures: dict[str, int | float | str | bool] = {
            "pictures": self.pictures,
            "size_bytes": self.size_bytes,
            "pages": self.pages,
            "authors": self.authors,
            "licences": len(self.licences.keys() - {UNKNOWN_LICENCE}),
            "without_licence": self.licences.get(UNKNOWN_LICENCE, 0),
            "is_complete": self.is_complete,
            "rejected": sum(self.rejected.values()),
        }
        figures |= {f"rejected_{reason}": count for reason, count in sorted(self.rejected.items())}
        return figures


def require_own_folder(dst: Path) -> None:
    """Do nothing if `dst` may be replaced: it is new, empty, or an earlier collection.

    Raises:
        ParamsError: It is a file, or a folder with something else in it.
    """
    if not dst.exists():
        return
    if not dst.is_dir():
        raise ParamsError(f"{dst} is a file", "give a folder with -o")
    if any(dst.iterdir()) and not (dst / MANIFEST_NAME).is_file():
        raise ParamsError(
            f"{dst} holds files that no collection put there ({MANIFEST_NAME} is missing)",
            "give a new or empty folder with -o",
        )


def settle(rows: Iterable[ImageRecord]) -> list[ImageRecord]:
    """Return the rows with one kept row for the same bytes, by the first URL in their order.

    The others become rejected rows, named by the hash of their URL; `parent` is the kept one's id.
    A row that is given twice, by two crawlers of one crawl, counts once.
    """
    by_id: defaultdict[str, dict[str, ImageRecord]] = defaultdict(dict)
    settled: dict[tuple[str, str], ImageRecord] = {}
    for row in rows:
        if row.is_kept:
            by_id[row.id].setdefault(_origin(row), row)
        else:
            settled.setdefault((row.id, _origin(row)), row)
    taken = {_origin(row) for copies in by_id.values() for row in copies.values()}
    result = [row for row in settled.values() if _origin(row) not in taken]
    for copies in by_id.values():
        first, *others = sorted(copies.values(), key=_origin)
        result.append(first)
        result += [_as_copy(row) for row in others]
    return result


def finish(  # noqa: PLR0913 - the facts of one report
    rows: list[ImageRecord],
    store: Path,
    folder: Path,
    dst: Path,
    *,
    site: str,
    domain: Domain,
    params: Params,
    pages: int = 0,
    is_complete: bool = True,
    fetched: int | None = None,
) -> ScrapeReport:
    """Fill `folder` with pictures, manifest and page; return the report of what will lie in `dst`.

    Args:
        rows: All rows, as they came.
        store: A crawl's store of the kept rows' files, which is left as it is, or `folder` itself.
        folder: The folder to fill.
        dst: What the folder will be called.
        site: The source's name.
        domain: photo or manga.
        params: All parameters; `scrape.max_rejected_share` and `shards` are used.
        pages: How many pages were read.
        is_complete: Whether no budget cut the collection short.
        fetched: How many pictures came over the network in this run.

    Raises:
        DatasetError: No picture is left.
        AnymusError: More than `max_rejected_share` of the pictures were unusable.
    """
    settled = settle(rows)
    kept = [row for row in settled if row.is_kept]
    rejected = count_reasons(settled)
    if not kept:
        raise DatasetError(f"{site}: no picture was kept ({_in_words(rejected)})", _hint(rejected))
    _require_share(site, len(kept), rejected, params.scrape.max_rejected_share)
    shards = choose_shards(len(kept), params.shards.above, params.shards.pictures)
    kept = _place(kept, store, folder, shards)
    settled = [row for row in settled if not row.is_kept] + kept
    write_manifest(folder, settled)
    write_page(folder, settled, site)
    return ScrapeReport(
        site=site,
        domain=domain,
        folder=dst,
        pictures=len(kept),
        size_bytes=sum(row.size_bytes or 0 for row in kept),
        pages=pages,
        authors=len({row.author for row in kept if row.author}),
        is_complete=is_complete,
        shards=shards,
        licences=dict(Counter(row.licence or UNKNOWN_LICENCE for row in kept)),
        rejected=rejected,
        fetched=fetched,
    )


def _place(kept: list[ImageRecord], store: Path, folder: Path, shards: int) -> list[ImageRecord]:
    """Put the kept files into the folder, as links or in shards, and return their rows."""
    if not shards and store == folder:
        return kept
    if not shards:
        _link(store, folder, kept)
        return kept
    packed = []
    with PictureStore(folder, shards) as pictures:
        for row in sorted(kept, key=lambda row: row.id):
            source = folder / str(row.file) if store == folder else stored_path(store, row)
            file = pictures.take(row.id, source)
            packed.append(row.model_copy(update={"file": file}))
    if store == folder:
        for part in {str(row.file).split("/")[0] for row in kept}:
            shutil.rmtree(folder / part)
    return packed


def _link(store: Path, folder: Path, rows: list[ImageRecord]) -> None:
    for part in sorted({str(row.file).rpartition("/")[0] for row in rows}):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for row in rows:
        link_file(stored_path(store, row), folder / str(row.file))


def _require_share(site: str, kept: int, rejected: dict[str, int], max_share: float) -> None:
    failed = {reason: n for reason, n in rejected.items() if not is_chosen(reason)}
    total = kept + sum(failed.values())
    if sum(failed.values()) / total > max_share:
        raise AnymusError(
            f"{site}: {sum(failed.values())} of {total} pictures are unusable "
            f"({_in_words(failed)}), more than {max_share:.0%}",
            "look at the site or the folder, or raise scrape.max_rejected_share",
        )


def is_chosen(reason: str) -> bool:
    """Say whether a reason is a rule that was followed, and not a failure."""
    return reason in CHOSEN_REASONS or reason.startswith(("opt_out_", "robots"))


def _as_copy(row: ImageRecord) -> ImageRecord:
    own_id = sha256_bytes(_origin(row).encode())
    copy = row.reject("same_bytes")
    return copy.model_copy(update={"id": own_id, "file": None, "parent": row.id})


def _origin(row: ImageRecord) -> str:
    return row.asked_url or row.url or row.source_path or ""


def _in_words(rejected: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in rejected.items()) or "none was found"


def _hint(rejected: dict[str, int]) -> str:
    if any(is_chosen(reason) for reason in rejected):
        return (
            "the owner's rules or scrape.* leave nothing: choose another source, or ask the owner"
        )
    return "look at the reasons, or choose another source"
