"""One crawl that several crawlers share, on one machine or many, through a Redis server.

Requests wait in Redis streams, one for each priority, and a consumer group hands them out: what a
crawler takes stays on the list of what it has in hand until it says that all that came of it is
stored. A crawler that is killed stops renewing its lease, and the others take over what it had.
"""

import re
import socket
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from anymus.errors import AnymusError

LEASE_S = 20.0
LEVELS = (2, 1, 0)  # pictures, their pages, galleries: what Scrapy calls priorities
_GROUP = "crawlers"
_RENEWED = 1000
_TAKEN_OVER = 4
_ABANDONED_S = 30 * 86_400
_KEPT_S = 3_600
_LEAST_VERSION = (6, 2)  # XAUTOCLAIM

# A new request is added with its mark, or not at all; one that takes another's place (a retry, a
# redirect) is added while that one is removed.
_PUSH = """
if ARGV[3] == '' then
  if redis.call('SADD', KEYS[1], ARGV[1]) == 0 then return 0 end
else
  redis.call('XACK', KEYS[3], ARGV[4], ARGV[3])
  if redis.call('XDEL', KEYS[3], ARGV[3]) == 0 then return 0 end
end
redis.call('XADD', KEYS[2], '*', 'task', ARGV[2])
return 1
"""
# The run that goes on, or one that ended not long ago, or else a new one.
_JOIN = """
local run = redis.call('GET', KEYS[1])
if run then
  local ended = redis.call('HGET', ARGV[2] .. run .. ':tally', 'ended_at')
  local now = tonumber(redis.call('TIME')[1])
  if not ended then return run end
  if now - tonumber(ended) < tonumber(ARGV[3]) then return run end
end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
"""


@dataclass(frozen=True, slots=True)
class Task:
    """A request in hand: what names it in Redis, its text, and how often it was handed out."""

    token: str
    text: str
    tries: int


class SharedCrawl:
    """The crawl in Redis: what is to do, what was asked for, what is counted.

    Every method raises `redis.RedisError` when the server does not answer.

    Args:
        client: A connection that decodes answers.
        run: Id of the run that the crawlers share.
        worker: Name of this crawler, which no other has.
        lease_s: After how long without a `beat` others take over what this crawler has in hand.
    """

    def __init__(self, client: Any, run: str, worker: str, lease_s: float = LEASE_S) -> None:
        self.client = client
        self.run = run
        self.worker = worker
        self._lease_ms = int(lease_s * 1000)
        base = f"anymus:run:{run}"
        self._queues = {level: f"{base}:todo:{level}" for level in LEVELS}
        self._seen = f"{base}:seen"
        self._tally = f"{base}:tally"
        self._resting = f"{base}:resting"
        self._in_hand: set[str] = set()
        self._taken_over: deque[Task] = deque()
        self._push = client.register_script(_PUSH)
        self._make_groups()

    def push(self, text: str, mark: str, level: int, instead_of: str | None = None) -> bool:
        """Add a request unless its mark was added before, and say whether it was.

        Args:
            text: The request.
            mark: What is the same for the same request.
            level: Its priority, one of `LEVELS`.
            instead_of: The token of a request in hand whose place it takes; then no mark counts.
        """
        old_level, _, old_id = (instead_of or f"{level}:").partition(":")
        keys = [self._seen, self._queues[level], self._queues[int(old_level)]]
        is_added = bool(self._push(keys=keys, args=[mark, text, old_id, _GROUP]))
        self._in_hand.discard(instead_of or "")
        return is_added

    def take(self) -> Task | None:
        """Return a request, which stays in hand until `finish`, or None if none waits."""
        if self._taken_over:
            return self._hold(self._taken_over.popleft())
        for level, queue in self._queues.items():
            for _, entries in self.client.xreadgroup(_GROUP, self.worker, {queue: ">"}, count=1):
                for entry_id, fields in entries:
                    return self._hold(Task(f"{level}:{entry_id}", fields["task"], 1))
        return None

    def finish(self, token: str) -> None:
        """Say that all that came of a request is stored."""
        level, _, entry_id = token.partition(":")
        queue = self._queues[int(level)]
        self.client.pipeline().xack(queue, _GROUP, entry_id).xdel(queue, entry_id).execute()
        self._in_hand.discard(token)

    def beat(self) -> None:
        """Renew the lease of what is in hand, and take over what others let go."""
        for level, queue in self._queues.items():
            ids = [i for i in self._pending(queue) if f"{level}:{i}" in self._in_hand]
            if ids:
                self.client.xclaim(queue, _GROUP, self.worker, 0, ids, justid=True)
            claimed = self.client.xautoclaim(
                queue, _GROUP, self.worker, self._lease_ms, count=_TAKEN_OVER
            )[1]
            for entry_id, fields in claimed:
                token = f"{level}:{entry_id}"
                self._taken_over.append(Task(token, fields["task"], self._tries(queue, entry_id)))
                self._in_hand.add(token)
        self._expire(_ABANDONED_S)

    def hand_back(self) -> None:
        """Give what is in hand to the others at once."""
        for token in sorted(self._in_hand):
            level, _, entry_id = token.partition(":")
            queue = self._queues[int(level)]
            for _, fields in self.client.xrange(queue, entry_id, entry_id):
                pipe = self.client.pipeline().xack(queue, _GROUP, entry_id).xdel(queue, entry_id)
                pipe.xadd(queue, fields).execute()
        self._in_hand.clear()
        self._taken_over.clear()

    def waiting(self) -> int | None:
        """Return how many requests are not done yet, those in hand included."""
        pipe = self.client.pipeline()
        for queue in self._queues.values():
            pipe.xlen(queue)
        return sum(int(length) for length in pipe.execute())

    def add(self, name: str, count: int = 1) -> int:
        """Add to a count of the whole crawl, and return what it is then."""
        return int(self.client.hincrby(self._tally, name, count))

    def count(self, name: str) -> int:
        """Return a count of the whole crawl."""
        return int(self.client.hget(self._tally, name) or 0)

    def note(self, name: str, text: str) -> None:
        """Remember a text for the whole crawl; the first of a name stands."""
        self.client.hsetnx(self._tally, name, text)

    def read(self, name: str) -> str | None:
        """Return the text that was noted, or None."""
        value = self.client.hget(self._tally, name)
        return None if value is None else str(value)

    def rest(self, host: str) -> None:
        """Leave a host alone for the rest of the run."""
        self.client.sadd(self._resting, host)

    def is_resting(self, host: str) -> bool:
        """Say whether a host is left alone in this run."""
        return bool(self.client.sismember(self._resting, host))

    def end(self, kept_s: float) -> bool:
        """Say that the run is over if nothing waits any more; return whether it is.

        A run that gave nothing is void: the next command begins a new one.

        Args:
            kept_s: For how long a crawl of the same kind finds it over, and does not begin anew.
        """
        if self.waiting():
            return False
        is_void = not (self.count("pages") and self.count("kept"))
        self.note("ended_at", "0" if is_void else str(self.client.time()[0]))
        self._expire(int(max(kept_s, _KEPT_S)))
        return True

    def _hold(self, task: Task) -> Task:
        self._in_hand.add(task.token)
        return task

    def _pending(self, queue: str) -> list[str]:
        found = self.client.xpending_range(
            queue, _GROUP, "-", "+", _RENEWED, consumername=self.worker
        )
        return [entry["message_id"] for entry in found]

    def _tries(self, queue: str, entry_id: str) -> int:
        found = self.client.xpending_range(queue, _GROUP, entry_id, entry_id, 1)
        return int(found[0]["times_delivered"]) if found else 1

    def _expire(self, seconds: int) -> None:
        pipe = self.client.pipeline()
        for key in (*self._queues.values(), self._seen, self._tally, self._resting):
            pipe.expire(key, seconds)
        pipe.execute()

    def _make_groups(self) -> None:
        from redis.exceptions import ResponseError

        for queue in self._queues.values():
            try:
                self.client.xgroup_create(queue, _GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise


def connect(url: str) -> Any:
    """Return a connection to a Redis server."""
    import redis

    return redis.Redis.from_url(
        url, decode_responses=True, protocol=2, socket_timeout=5, socket_connect_timeout=5
    )


def join_run(client: Any, what: str, *, kept_s: float) -> str:
    """Return the id of the run of a crawl: the one that is going on, or a new one.

    Args:
        client: The connection.
        what: What is crawled.
        kept_s: A run that ended less than so many seconds ago counts as going on: it is over.
    """
    keys, prefix = [f"anymus:crawl:{what}"], "anymus:run:"
    return str(client.register_script(_JOIN)(keys=keys, args=[uuid.uuid4().hex, prefix, kept_s]))


def name_worker() -> str:
    """Return a name for a crawler: its machine's, and something that no other has."""
    return f"{machine_name()}-{uuid.uuid4().hex[:8]}"


def machine_name() -> str:
    """Return this machine's name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname())[:40].strip("-") or "machine"


@contextmanager
def open_shared(url: str) -> Iterator[Any]:
    """Give a connection to the queue's server after a look at whether it will do.

    Raises:
        AnymusError: The package redis is missing, the server does not answer (now or later), or it
            is too old.
    """
    try:
        from redis.exceptions import RedisError
    except ModuleNotFoundError as error:
        raise AnymusError(
            "scrape.queue needs the package redis", 'pip install "anymus[queue]"'
        ) from error
    try:
        client = connect(url)
        version = str(client.info("server")["redis_version"])
        if tuple(int(part) for part in version.split(".")[:2]) < _LEAST_VERSION:
            raise AnymusError(
                f"the queue {public_name(url)} is Redis {version}", "it must be 6.2 or newer"
            )
        yield client
    except (RedisError, ValueError) as error:
        raise AnymusError(
            f"the queue {public_name(url)} does not answer: {error}",
            "start a Redis server there, or leave it out: -S scrape.queue=null",
        ) from error


def public_name(url: str) -> str:
    """Return a queue's URL without its password."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
