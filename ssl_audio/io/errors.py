"""The one family of errors that a command prints as a single line instead of a traceback."""


class SslAudioError(Exception):
    """Something the user can mend: the message says what was given and what to do next."""


class AudioError(SslAudioError):
    """An audio file that cannot be used; `reason` is a short name that reports count by."""

    def __init__(self, path: object, reason: str, detail: str = "") -> None:
        self.path = str(path)
        self.reason = reason
        self.detail = detail
        super().__init__(path, reason, detail)  # args must rebuild the error: it crosses processes

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" + (f" ({self.detail})" if self.detail else "")


class CheckpointError(SslAudioError):
    """A checkpoint folder that is missing, damaged or of another architecture."""


def first_line(error: BaseException, most: int = 200) -> str:
    """The first line of what an error says, `most` characters; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]
