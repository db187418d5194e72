"""What a command prints when something is wrong, whatever the terminal."""

import errno
import io
import os
import sys

import pytest

from ssl_audio.io.console import guarded


def test_a_terminal_that_is_not_utf8_shows_names_escaped(monkeypatch):
    written = {name: io.BytesIO() for name in ("stdout", "stderr")}
    for name, file in written.items():
        monkeypatch.setattr(sys, name, io.TextIOWrapper(file, encoding="ascii", errors="strict"))

    def run():
        print("Bj\N{LATIN SMALL LETTER O WITH DIAERESIS}rk \udcff.wav")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/m\N{POUND SIGN}sic/a.parquet")

    assert guarded(run) == 1
    sys.stdout.flush(), sys.stderr.flush()
    assert written["stdout"].getvalue() == b"Bj\\xf6rk \\udcff.wav\n"
    assert written["stderr"].getvalue() == b"error: /m\\xa3sic/a.parquet: No space left on device\n"


def test_other_errors_of_the_system_keep_their_traceback():
    def run():
        raise OSError(errno.EBADF, "Bad file descriptor")

    with pytest.raises(OSError, match="Bad file"):
        guarded(run)
