"""What one crawl counts and remembers while it runs."""

from collections import Counter


class Tally:
    """Counts and notes of a crawl in one process; `SharedCrawl` keeps the same for many."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._notes: dict[str, str] = {}

    def add(self, name: str, count: int = 1) -> int:
        """Add to a count, and return what it is then."""
        self._counts[name] += count
        return self._counts[name]

    def count(self, name: str) -> int:
        """Return a count."""
        return self._counts[name]

    def note(self, name: str, text: str) -> None:
        """Remember a text; the first of a name stands."""
        self._notes.setdefault(name, text)

    def read(self, name: str) -> str | None:
        """Return the text that was noted, or None."""
        return self._notes.get(name)

    def waiting(self) -> int | None:
        """Return how many requests are not done yet; None: only the crawl itself knows."""
        return None
