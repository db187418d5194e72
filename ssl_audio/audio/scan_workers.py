"""Processes that examine audio files.

A decoder that crashes or hangs on a damaged file fails that file alone. A pool of
`concurrent.futures` would break when one of its processes crashes.
"""

from __future__ import annotations

import json
import math
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from ssl_audio.io.errors import AudioError, SslAudioError

Answer = tuple[float, str, str]  # duration, reason, detail
CRASHED = "decoder crashed"
NO_ANSWER = "no answer"


class ScanPool:
    """Worker processes, each with a thread that notices when its process crashes or hangs.

    Args:
        workers: processes.
        time_limit: seconds for one file.
    """

    def __init__(self, workers: int, time_limit: float) -> None:
        self._workers, self._time_limit = workers, time_limit
        self._todo: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[str, Answer] | BaseException] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._running: set[_Worker] = set()

    def examine(self, paths: Sequence[str]) -> Iterator[tuple[str, Answer]]:
        """Yield each path with its answer, in order of completion."""
        for path in paths:
            self._todo.put(path)
        for _ in range(self._workers):
            self._todo.put(None)
        threads = [threading.Thread(target=self._feed, daemon=True) for _ in range(self._workers)]
        for thread in threads:
            thread.start()
        try:
            for _ in paths:
                item = self._done.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self._stopped.set()
            for worker in list(self._running):
                worker.kill()
            for thread in threads:
                thread.join()

    def _feed(self) -> None:
        worker: _Worker | None = None
        try:
            while (path := self._todo.get()) is not None and not self._stopped.is_set():
                if worker is None or not worker.alive:
                    worker = self._replace(worker)
                answer = worker.ask(path)
                if answer[2] == CRASHED and not self._stopped.is_set():
                    # once more: it may have been killed because another process took the memory
                    worker = self._replace(worker)
                    answer = worker.ask(path)
                self._done.put((path, answer))
        except BaseException as error:  # raised by the thread that waits for the answers
            self._done.put(error)
        finally:
            if worker is not None:
                self._running.discard(worker)
                worker.kill()

    def _replace(self, worker: _Worker | None) -> _Worker:
        if worker is not None:
            self._running.discard(worker)
            worker.kill()
        worker = _Worker(self._time_limit)
        self._running.add(worker)
        return worker


class _Worker:
    """One process that examines files, by lines of JSON on its standard input and output.

    It is started anew instead of forked: the parent may hold threads and a GPU, which a fork does
    not survive, and its main module may not be importable twice.
    """

    def __init__(self, time_limit: float) -> None:
        self._time_limit = time_limit
        self.alive = True
        code = f"import sys; sys.path[:] = {sys.path!r}; import {__name__} as m; m.serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, json.dumps(time_limit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # decoders print a line per damaged frame
            # one decoder per processor is enough
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        if self._answer() != "ready":
            self.kill()
            raise SslAudioError(
                f"a scan process ended with status {self._process.returncode} at its start: is "
                f"{sys.executable} the Python that ssl_audio is installed in?"
            )

    def ask(self, path: str) -> Answer:
        """Examine one file; the answer says so if the process crashed or hung."""
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(self._time_limit, give_up)
        timer.daemon = True
        timer.start()
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(path).encode() + b"\n")
            self._process.stdin.flush()
            answer = self._answer()
        except OSError:
            answer = None
        finally:
            timer.cancel()
        self.alive = answer is not None and not late.is_set()
        if answer is not None:
            return answer[0], answer[1], answer[2]
        if late.is_set():
            return 0.0, "unreadable", f"{NO_ANSWER} in {self._time_limit:g} s"
        return 0.0, "unreadable", CRASHED

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def kill(self) -> None:
        """End the process and close its pipes."""
        self.alive = False
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:
                pass  # unflushed data has no reader left


def serve() -> None:
    """Entry point of a worker process: examine the files that standard input names."""
    import signal

    time_limit = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers itself
    # answers go to a duplicate of standard output: C libraries may print on the original
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from ssl_audio.audio import decode

    answers.write('"ready"\n')
    answers.flush()
    for line in sys.stdin:
        if hasattr(signal, "alarm"):  # nothing else ends this process if its parent is killed
            signal.alarm(math.ceil(time_limit) + 5)
        answers.write(json.dumps(_examine(json.loads(line), decode)) + "\n")
        answers.flush()
        if hasattr(signal, "alarm"):
            signal.alarm(0)


def _examine(path: str, decode: Any) -> Answer:
    try:
        return decode.examine(path).duration, "", ""
    except AudioError as error:
        return 0.0, error.reason, error.detail
    except Exception as error:  # one file must not end the scan of the others
        return 0.0, "unreadable", f"{type(error).__name__}: {error}"
