"""What passes between a command and its crawl process: the job, the progress, the outcome."""

import sys
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from anymus.params import ScrapeParams

from .sites import Recipe

DRY_RUN_NAME = "dry-run.jsonl"
PUBLIC_DEMO_URL = "http://demo.localhost"
DEMO_FETCHED_AT = "2024-01-01T00:00:00Z"

Ending = Literal["complete", "over_budget", "mismatch", "failed"]


class Message(BaseModel):
    """A frozen message, one JSON line."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Sharing(Message):
    """How a crawler takes part in a crawl that others share."""

    url: str = Field(description="the Redis server")
    worker: str = Field(description="name of this crawler, which no other has")
    machine: str = Field(description="name of its machine, as part of a file name")


class CrawlJob(Message):
    """All that a crawl process has to know."""

    recipe: Recipe
    limits: ScrapeParams
    user_agent: str
    folder: str = Field(description="absolute path of the crawl's state")
    blocklist: str | None = Field(default=None, description="absolute path of the blocklist")
    run: str = Field(description="id of the run that the rows belong to")
    base_url: str | None = Field(description="where the demo site answers in this run")
    sharing: Sharing | None = Field(default=None, description="null: this process crawls alone")
    is_dry: bool = Field(default=False, description="pages are read, pictures are only listed")
    is_refresh: bool = Field(default=False, description="ask whether what is known has changed")

    def public_url(self, url: str) -> str:
        """Return the URL as it is recorded: the demo site's changing port is left out."""
        if self.base_url and url.startswith(self.base_url):
            return PUBLIC_DEMO_URL + url[len(self.base_url) :]
        return url

    def local_url(self, url: str) -> str:
        """Return the URL that `public_url` recorded, as it is asked for in this run."""
        if self.base_url and url.startswith(PUBLIC_DEMO_URL):
            return self.base_url + url[len(PUBLIC_DEMO_URL) :]
        return url

    @property
    def limits_mark(self) -> str:
        """Return the limits on which a picture's refusal may depend, as one word."""
        limits = self.limits
        return f"{limits.min_side_px}/{limits.max_picture_bytes}/{limits.max_frames}"


class CrawlProgress(Message):
    """How far a crawl is."""

    pages: int
    pictures: int
    rejected: int
    size_bytes: int = Field(default=0, description="bytes of the pictures kept")
    waiting: int | None = Field(
        default=None, description="requests of a shared crawl that are not done yet"
    )


class Note(Message):
    """Something that a person should know of."""

    text: str


class CrawlOutcome(Message):
    """How a crawl ended."""

    ending: Ending
    detail: str = Field(default="", description="what failed, for a person")
    pages: int = Field(description="gallery and item pages read")
    fetched: int = Field(
        default=0, description="pictures that were fetched, not found in the state"
    )
    start_failure: str | None = Field(default=None, description="reason of a start page not read")
    start_url: str | None = Field(default=None, description="that start page")


def send(kind: Literal["progress", "note", "outcome"], message: Message) -> None:
    """Write a message as one line of stdout, for the process that started the crawl."""
    sys.stdout.write(f"{kind} {message.model_dump_json()}\n")
    sys.stdout.flush()
