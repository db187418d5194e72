"""Work on many things at a time, on threads: in order, and in bounded memory."""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def keep_freed_memory() -> None:
    """Have the C library keep what is freed for what is asked for next, where it can be told to.

    A track's arrays, of some megabytes, would else be pages that the system takes back, clears and
    maps again for each of them, and two threads wait for each other at that: a fourteenth of the
    time of an export. The process holds little more at its most, and gives it back at its end.
    """
    try:
        tell = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc
        return
    tell(_M_MMAP_THRESHOLD, 1 << 25)  # the most there is
    tell(_M_TRIM_THRESHOLD, 1 << 30)


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
