"""Work on processors: so many requests at a time, a bounded number waiting, the others refused."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar

from fastapi import Request

from ssl_audio.service.problems import Problem

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Workers:
    """So many threads, and the requests that wait for one: at most `queue`."""

    def __init__(self, threads: int, queue: int) -> None:
        self.threads, self.limit = threads, threads + queue
        self.admitted = 0  # requests that are read, waiting or worked on
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="work")
        self._seconds = 1.0  # of a request, averaged over the last ones

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place for one request, to be taken before its body is read.

        Raises:
            Problem: 429, all places are taken.
        """
        if self.admitted >= self.limit:
            wait = math.ceil(self._seconds * self.admitted / self.threads)
            raise Problem(
                429, f"{self.admitted} requests are waiting: try again in {wait} s",
                {"Retry-After": str(wait)},
            )  # fmt: skip
        self.admitted += 1
        try:
            yield
        finally:
            self.admitted -= 1

    async def run(
        self,
        request: Request,
        work: Callable[Parameters, Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Call a function in one of the threads, unless the client goes before it is begun."""

        def timed() -> Result:
            started = time.monotonic()
            try:
                return work(*args, **kwargs)
            finally:
                self._seconds += 0.1 * (time.monotonic() - started - self._seconds)

        result = asyncio.get_running_loop().run_in_executor(self._pool, timed)
        gone = asyncio.create_task(_disconnection(request))
        either: set[asyncio.Future[Any]] = {result, gone}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not result.done():
                raise Problem(408, "the client has gone")
            return result.result()
        finally:
            gone.cancel()
            result.cancel()

    def close(self) -> None:
        """End the threads, once their work is done."""
        self._pool.shutdown()


async def _disconnection(request: Request) -> None:
    """Return when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
