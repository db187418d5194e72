"""Errors that a command prints as a single line instead of a traceback."""


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
