"""Decoding in processes of its own, which a damaged or hostile file may crash, block or fill.

`Stream` reads a whole file and `examine` measures one, as in `decode`; what happens to the process
of a file is that file's error, and the next file gets another process. Threads may call both: each
has a process while it needs one, and idle ones are kept. A pool of `concurrent.futures` would break
when one of its processes crashes.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.io.errors import AudioError, SslAudioError
from ssl_audio.io.files import AnyPath

TIME_LIMIT = 60.0  # s for the next block of a file
MEMORY_LIMIT = 2 << 30  # bytes of a process; it holds some blocks, and torch where FFmpeg decodes
CRASHED = "decoder crashed"
NO_ANSWER = "no answer"
TEMPORARY = (CRASHED, NO_ANSWER)  # how a detail begins that the state of the machine may explain
_PIPE_BYTES = 1 << 20  # 16 s of audio that a decoder may be ahead; Linux allows no more
_F_SETPIPE_SZ = 1031  # of Linux
_TIMED = hasattr(signal, "setitimer")  # not on Windows, which has no time limits


class Stream:
    """A whole file as mono in blocks, decoded in another process: see `decode.Stream`.

    Args:
        path, sample_rate: as there.
        time_limit: seconds for the next block; None: `TIME_LIMIT`.

    Attributes:
        samples: given so far.
    """

    def __init__(
        self, path: AnyPath, sample_rate: int = SAMPLE_RATE, time_limit: float | None = None
    ) -> None:
        self._path, self._sample_rate = os.fspath(path), sample_rate
        self._time_limit = TIME_LIMIT if time_limit is None else time_limit
        self.samples, self.note = 0, ""

    def __iter__(self) -> Iterator[np.ndarray]:
        with _process() as process:
            limit = self._time_limit
            for kind, *answer in process.ask("stream", self._path, self._sample_rate, limit):
                if kind == "block":
                    self.samples += len(answer[0])
                    yield answer[0]
                elif kind == "end":
                    self.note = answer[0]
                    return
                else:
                    reason, detail = answer
                    if detail.startswith(TEMPORARY):
                        detail += f" after {self.samples / self._sample_rate:.1f} s of audio"
                    raise AudioError(self._path, reason, detail)


def examine(path: str) -> tuple[float, str]:
    """Duration in seconds and damage of a file: see `decode.examine`.

    Raises:
        AudioError: as `decode.examine`, or the decoder crashed or did not answer in time.
    """
    # once more after a crash: the system may have ended the process, short of memory
    for attempt in (1, 2):
        with _process() as process:
            kind, *answer = next(process.ask("examine", path, SAMPLE_RATE, TIME_LIMIT))
        if kind == "end":
            return answer[0], answer[1]
        if answer[1] != CRASHED or attempt == 2:
            break
    raise AudioError(path, *answer)


class _Process:
    """A process that decodes: a line of JSON for each file, and for each answer.

    It is started anew instead of forked: the parent may hold threads and a GPU, which a fork does
    not survive, and its main module may not be importable twice.
    """

    def __init__(self) -> None:
        self.usable = True  # waits for the next file
        code = f"import sys; sys.path[:] = {sys.path!r}; import {__name__} as m; m.serve()"
        self._process = subprocess.Popen(  # noqa: S603 - Python itself; files' names go to its stdin
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # decoders print a line per damaged frame
            # one decoder per processor is enough
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        if self._line() != "ready":
            self.kill()
            raise SslAudioError(
                f"a decoding process ended with status {self._process.returncode} at its start: is "
                f"{sys.executable} the Python that ssl_audio is installed in?"
            )

    def ask(self, kind: str, path: str, sample_rate: int, limit: float) -> Iterator[list[Any]]:
        """Answers on a file, the last of them "end" or "error"."""
        self.usable = False
        try:
            request = json.dumps([kind, os.path.abspath(path), sample_rate, limit])
            self._requests.write(request.encode() + b"\n")
            self._requests.flush()
            while (answer := self._line()) is not None:
                if answer[0] != "block":
                    self.usable = True
                    yield answer
                    return
                block = np.empty(answer[1], np.float32)
                if self._answers.readinto(block) < block.nbytes:  # type: ignore[attr-defined]
                    break
                yield ["block", block]
        except OSError:
            pass
        yield ["error", "unreadable", self._end(limit)]

    def _end(self, limit: float) -> str:
        """Why the process has ended."""
        status = self._process.wait()
        if status == -signal.SIGINT:  # Ctrl-C reaches all processes of a terminal
            raise KeyboardInterrupt
        return f"{NO_ANSWER} in {limit:g} s" if _TIMED and status == -signal.SIGALRM else CRASHED

    def _line(self) -> Any:
        line = self._answers.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process and close its pipes."""
        self.usable = False
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._answers):
            with suppress(OSError):  # unflushed data has no reader left
                pipe.close()


_idle: list[_Process] = []  # of this process; `pop` and `append` are atomic


@contextmanager
def _process() -> Iterator[_Process]:
    try:
        while not (process := _idle.pop()).alive:  # ended by Ctrl-C, or by the system
            process.kill()
    except IndexError:
        process = _Process()
    try:
        yield process
    finally:
        if process.usable:
            _idle.append(process)
        else:
            process.kill()


@atexit.register
def stop() -> None:
    """End the idle processes."""
    while _idle:
        _idle.pop().kill()


if hasattr(os, "register_at_fork"):  # a fork does not share the processes of its parent
    os.register_at_fork(after_in_child=_idle.clear)


def serve() -> None:
    """Entry point of a decoding process: answer on the files that standard input names."""
    # answers go to a duplicate of standard output: C libraries may print on the original
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if _TIMED:  # a parent may ignore or block what ends this process
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    _limit_memory()
    _widen(answers.fileno())
    from ssl_audio.audio import decode

    def send(*answer: object) -> None:
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()

    answers.write(b'"ready"\n')
    answers.flush()
    for line in sys.stdin:
        kind, path, sample_rate, limit = json.loads(line)
        _alarm(limit)
        try:
            if kind == "examine":
                found = decode.examine(path)
                send("end", found.duration, found.damage)
                continue
            stream = decode.Stream(path, sample_rate)
            for block in stream:
                _alarm(None)  # waiting for the reader takes no time of the decoder
                answers.write(json.dumps(["block", len(block)]).encode() + b"\n")
                answers.write(np.ascontiguousarray(block, np.float32).data)
                answers.flush()
                _alarm(limit)
            send("end", stream.note)
        except AudioError as error:
            send("error", error.reason, error.detail)
        except MemoryError:
            limit_mib = MEMORY_LIMIT >> 20
            send("error", "unreadable", f"decoding takes more than {limit_mib} MiB of memory")
        except Exception as error:  # one file must not end the work on the others
            send("error", "unreadable", f"{type(error).__name__}: {error}")
        finally:
            _alarm(None)


def _alarm(limit: float | None) -> None:
    """End this process after some seconds, also if its parent was killed; None: no more."""
    if _TIMED:
        signal.setitimer(signal.ITIMER_REAL, limit or 0.0)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    # writable memory alone: libraries may map far more addresses than they use
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = MEMORY_LIMIT if hard == resource.RLIM_INFINITY else min(hard, MEMORY_LIMIT)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _widen(pipe: int) -> None:
    """Let a pipe hold more than 64 KiB, where the system can: fewer changes between processes."""
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.fcntl(pipe, _F_SETPIPE_SZ, _PIPE_BYTES)
