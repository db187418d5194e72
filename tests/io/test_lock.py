"""A lock ends with the process that took it, whatever its children do."""

import os
import signal
from pathlib import Path

import pytest

from ssl_audio.io.lock import Busy, only_writer


def hold_with_a_child(folder: Path, ready: int) -> None:
    """In a process of its own: take the lock, start a child, and wait."""
    os.setpgid(0, 0)
    held = only_writer(folder)
    if os.fork():
        os.write(ready, b"1")
    signal.pause()
    held.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_does_not_hold_the_lock_of_its_parent(tmp_path):
    waiting, ready = os.pipe()
    holder = os.fork()
    if not holder:
        hold_with_a_child(tmp_path, ready)
    try:
        assert os.read(waiting, 1)
        with pytest.raises(Busy):
            only_writer(tmp_path)
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        only_writer(tmp_path).close()  # although the child lives
    finally:
        os.killpg(holder, signal.SIGKILL)
