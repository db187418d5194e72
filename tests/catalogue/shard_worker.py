"""A machine that keeps one shard, for tests that kill it: an engine without a network."""

import hashlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from threading import Timer

import numpy as np

from ssl_audio import merge
from ssl_audio.catalogue.changes import Changes
from ssl_audio.catalogue.tracks import Analysis, list_items, row_of
from ssl_audio.catalogue.update import update_store
from ssl_audio.io.errors import AudioError, SslAudioError
from ssl_audio.stores.writer import Store


class HashEngine:
    """The first bytes of a content's hash as its vector; what begins with "bad" is damaged."""

    runtime = ""

    def rows(self, items):
        return (row_of(item, self.analyse) for item in items)

    def analyse(self, path: Path) -> Analysis:
        content = path.read_bytes()
        if content.startswith(b"bad"):
            raise AudioError(path, "unreadable", "it is damaged")
        vector = np.frombuffer(hashlib.sha256(content).digest()[:8], np.uint8).astype(np.float32)
        return Analysis(float(len(content)), vector)


def keep(words: Sequence[str]) -> int:
    """Bring a store up to date with a shard of a folder: SOURCE STORE NUMBER COUNT."""
    source, output, number, count = words
    items = list_items(Path(source), (int(number), int(count)))
    with Store(Path(output), {"model": "hash"}, group=2) as store:
        try:
            update_store(
                store, Changes(store, "drop", workers=1), items, lambda tracks: HashEngine(), ""
            )
        except SslAudioError as error:
            assert "none of the files" in str(error)
    return 0


def killed(words: Sequence[str]) -> int:
    """As `keep`, or as `ssl-audio merge`, in a process that is killed: SECONDS COMMAND WORDS."""
    seconds, command, *rest = words
    Timer(float(seconds), os.kill, (os.getpid(), signal.SIGKILL)).start()
    (keep if command == "keep" else merge.main)(rest)
    return 0
