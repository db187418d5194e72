"""Work on many things at a time, on threads: in order, and in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threaded(
    items: Iterable[Item],
    work: Callable[[Item], Result],
    threads: int,
    lookahead: int,
    prepare: Callable[[], None] | None = None,
) -> Generator[Result, None, None]:
    """The results of work on items, in the order of the items.

    Threads do where the work releases Python's lock, as decoders, resamplers, hashes and torch do.

    Args:
        items: taken as they are needed, a few ahead.
        work: called from several threads at once.
        threads: items at a time.
        lookahead: items that a thread may be ahead of whoever takes the results.
        prepare: called once in each thread.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, initializer=prepare) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > lookahead * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # whoever stops early, or is interrupted, does not wait for the rest
            for future in waiting:
                future.cancel()
