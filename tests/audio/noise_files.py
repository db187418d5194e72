"""Files of noise, and what is listed of them, for tests of sources and of scans."""

from pathlib import Path

import numpy as np
import soundfile

from ssl_audio.audio.scan import Skipped, Track
from ssl_audio.audio.sources import Source

HEADER = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\r\n"


def audio(path: Path, seconds: float = 1.0, level: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(len(str(path)))
    soundfile.write(path, level * generator.standard_normal(round(8000 * seconds)), 8000)
    return path


def names(found: list[Source] | list[Track] | list[Skipped]) -> list[str]:
    return [Path(item.path).name for item in found]
