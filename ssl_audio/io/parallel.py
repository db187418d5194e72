"""Parallel map on threads, with results in order and bounded memory."""

import ctypes
import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LOOKAHEAD = 4  # results per worker

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next allocation.

    Otherwise the arrays of each track, of some megabytes, are unmapped and mapped again, which
    takes a lock that all threads of the process share.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 25)  # the largest value that glibc accepts
    mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def in_order(
    items: Iterable[Item], work: Callable[[Item], Result], workers: int | None = None,
    lookahead: int = LOOKAHEAD,
) -> Generator[Result, None, None]:  # fmt: skip
    """Map `work` over items on several threads; yields results in the order of the items.

    Useful where `work` releases the GIL, as decoders, resamplers, hashes and torch do. BLAS and
    torch are limited to one thread in each worker.

    Args:
        items: consumed lazily, a few ahead of the results.
        work: must be thread-safe.
        workers: items at a time; None is the number of processors.
        lookahead: max results per worker that are not consumed yet.
    """
    from threadpoolctl import threadpool_limits

    keep_freed_memory()
    torch: Any = sys.modules.get("torch")
    torch_threads = torch.get_num_threads() if torch else 1
    count = workers or available_processors()
    waiting: deque[Future[Result]] = deque()
    with (
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(count, initializer=_one_torch_thread) as pool,
    ):
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > lookahead * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # a caller that stops early, or an interrupt, does not wait for the rest
            for future in waiting:
                future.cancel()
            if torch:
                torch.set_num_threads(torch_threads)


def _one_torch_thread() -> None:
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
