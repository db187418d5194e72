"""The folder of cached results: scans, the demo corpus, embeddings."""

import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """`$SSL_AUDIO_CACHE`, or `ssl_audio` in the user's cache folder; it need not exist.

    A user without a home folder, as in some containers, has that for temporary files.
    """
    chosen = os.environ.get("SSL_AUDIO_CACHE")
    if chosen:
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ssl_audio"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / "ssl_audio"
