"""What passes between a command and its crawl process: the job, the progress, the outcome."""

import sys
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from anymus.params import ScrapeParams

from .sites import Recipe

JOURNAL_NAME = ".journal.jsonl"
PUBLIC_DEMO_URL = "http://demo.localhost"
DEMO_FETCHED_AT = "2024-01-01T00:00:00Z"

Ending = Literal["complete", "over_budget", "mismatch", "failed"]


class Message(BaseModel):
    """A frozen message, one JSON line."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CrawlJob(Message):
    """All that a crawl process has to know."""

    recipe: Recipe
    limits: ScrapeParams
    user_agent: str
    folder: str = Field(description="absolute path of the folder to fill")
    base_url: str | None = Field(description="where the demo site answers in this run")

    def public_url(self, url: str) -> str:
        """Return the URL as it is recorded: the demo site's changing port is left out."""
        if self.base_url and url.startswith(self.base_url):
            return PUBLIC_DEMO_URL + url[len(self.base_url) :]
        return url


class CrawlProgress(Message):
    """How far a crawl is."""

    pages: int
    pictures: int
    rejected: int


class CrawlOutcome(Message):
    """How a crawl ended."""

    ending: Ending
    detail: str = Field(default="", description="what failed, for a person")
    pages: int = Field(description="gallery and item pages read")
    start_failure: str | None = Field(default=None, description="reason of a start page not read")
    start_url: str | None = Field(default=None, description="that start page")


def send(kind: Literal["progress", "outcome"], message: Message) -> None:
    """Write a message as one line of stdout, for the process that started the crawl."""
    sys.stdout.write(f"{kind} {message.model_dump_json()}\n")
    sys.stdout.flush()
