"""Errors that a command prints as a single line instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager


class SslAudioError(Exception):
    """An error that the user can fix: its message states what was given and what to do."""


class AudioError(SslAudioError):
    """An audio file that cannot be used; `reason` is the short category that reports count."""

    def __init__(self, path: object, reason: str, detail: str = "") -> None:
        self.path = str(path)
        self.reason = reason
        self.detail = detail
        super().__init__(path, reason, detail)  # the arguments, so that it can be pickled

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" + (f" ({self.detail})" if self.detail else "")


class CheckpointError(SslAudioError):
    """A checkpoint folder that is missing, damaged or of another architecture."""


def first_line(error: BaseException, max_length: int = 200) -> str:
    """The first line of an error's message; its type if the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:max_length]


def reason_of(error: BaseException) -> str:
    """The system's reason of an `OSError` without its file; else the first line of the message."""
    return getattr(error, "strerror", None) or first_line(error)


@contextmanager
def named(what: str, *others: type[Exception]) -> Iterator[None]:
    """Context in which an `OSError`, or an error of another given type, is an `SslAudioError`.

    Args:
        what: the beginning of its message, such as "cannot read PATH"; the reason follows.
        others: further types of errors.
    """
    kinds: tuple[type[Exception], ...] = (OSError, *others)
    try:
        yield
    except kinds as error:
        raise SslAudioError(f"{what}: {reason_of(error)}") from error
