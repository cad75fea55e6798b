"""Work done ahead: in order, in time, and ended with its consumer."""

import threading
from collections.abc import Iterator

import pytest

from inference.ahead import map_ahead, pool_of, run_ahead


def test_next_item_is_made_while_the_consumer_holds_the_last() -> None:
    is_held, is_made = threading.Event(), threading.Event()
    threads: list[str] = []

    def items() -> Iterator[int]:
        threads.append(threading.current_thread().name)
        yield 0
        assert is_held.wait(30)
        is_made.set()
        yield 1

    taken = run_ahead(items(), 2)
    assert next(taken) == 0
    is_held.set()
    assert is_made.wait(30)
    assert list(taken) == [1]
    assert threads != [threading.current_thread().name]


def test_error_reaches_the_consumer_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    taken = run_ahead(items(), 4)
    assert next(taken) == 1
    with pytest.raises(ValueError, match="broken"):
        next(taken)


def test_consumer_that_leaves_ends_the_thread_and_closes_the_items() -> None:
    made, closed = [], threading.Event()

    def items() -> Iterator[int]:
        try:
            for number in range(1000):
                made.append(number)
                yield number
        finally:
            closed.set()

    before = threading.active_count()
    taken = run_ahead(items(), 3)
    assert next(taken) == 0
    taken.close()
    assert closed.is_set()
    assert len(made) <= 6
    assert threading.active_count() == before


def test_mapping_is_bounded_and_ordered() -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            asked.append(number)
            yield number

    with pool_of(2) as pool:
        results = map_ahead(pool, lambda number: number * number, items(), 3)
        assert next(results) == 0
        assert len(asked) <= 5
        assert list(results) == [number * number for number in range(1, 20)]
