"""From an answer to a stored picture and a row of the journal."""

from pathlib import Path

from anymus.blocklist import Blocklist
from anymus.errors import ImageError
from anymus.files import sha256_bytes
from anymus.manifest import ImageRecord

from .job import DRY_RUN_NAME, CrawlJob
from .spiders.answers import Answer
from .state import STORE_NAME, Entry, Journal, journal_path
from .storing import WEB_FORMATS, check_picture, store_picture

# What a row keeps of an earlier run when the picture is not asked for again.
_KNOWN_FIELDS = (
    "id", "file", "status", "reason", "url", "asked_url", "fetched_at", "headers", "format",
    "size_bytes", "width_px", "height_px",
)  # fmt: skip


class Recorder:
    """Turns answers into rows: stores the bytes, then writes the row.

    Args:
        job: The crawl.
        blocklist: What must not be stored.
        name: Who writes, when several crawlers share a state.
    """

    def __init__(self, job: CrawlJob, blocklist: Blocklist, name: str | None = None) -> None:
        self._job = job
        self._blocklist = blocklist
        folder = Path(job.folder)
        self._store = folder / STORE_NAME
        self._journal = Journal(folder / DRY_RUN_NAME if job.is_dry else journal_path(folder, name))

    def record(self, answer: Answer) -> ImageRecord:
        """Return the answer's row, after its bytes were stored and the row was added."""
        row = self._take(answer)
        entry = Entry(run=self._job.run, limits=self._job.limits_mark, row=row)
        if entry != answer.known:
            self._journal.append(entry)
        return row

    def _take(self, answer: Answer) -> ImageRecord:
        row = self._base_row(answer)
        if answer.reason:
            return row.reject(answer.reason)
        if answer.known is not None:
            return self._take_known(answer.known.row, row)
        if self._blocklist.blocks(row):  # since a shared crawl's queue took it
            return row.reject("blocked")
        try:
            facts = check_picture(answer.body, self._job.limits, WEB_FORMATS)
            sha256, file = store_picture(
                answer.body, facts, self._store, self._blocklist, is_flat=True
            )
        except ImageError as error:
            size_bytes = {"size_bytes": len(answer.body)}
            return row.reject(error.reason).model_copy(update=size_bytes)
        url = self._job.public_url(answer.url)
        return row.model_copy(
            update={
                "id": sha256,
                "file": file,
                "url": url,
                "asked_url": None if url == row.url else row.url,
                "headers": answer.headers or None,
                "format": facts.format,
                "size_bytes": len(answer.body),
                "width_px": facts.width_px,
                "height_px": facts.height_px,
            }
        )

    def _take_known(self, known: ImageRecord, row: ImageRecord) -> ImageRecord:
        if self._job.is_dry:
            return row.reject("already_there")
        row = row.model_copy(update={name: getattr(known, name) for name in _KNOWN_FIELDS})
        if self._blocklist.blocks(row):
            return row.reject("blocked").model_copy(update={"file": None})
        side_px = min(known.width_px or 0, known.height_px or 0)
        if row.is_kept and side_px < self._job.limits.min_side_px:
            return row.reject("too_small").model_copy(update={"file": None})
        return row

    def _base_row(self, answer: Answer) -> ImageRecord:
        """Return the row of an answer without bytes: its id is the hash of the URL asked for."""
        found = answer.found
        return ImageRecord(
            id=sha256_bytes(found.url.encode()),
            domain=self._job.recipe.domain,
            file=None,
            site=self._job.recipe.name,
            url=found.url,
            page_url=found.page_url or None,
            title=found.title,
            author=found.author,
            licence=found.licence,
            licence_url=found.licence_url,
            group=found.group,
            fetched_at=answer.fetched_at,
        )
