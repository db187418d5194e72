"""Synthesised tracks: made in several processes, written as FLAC files."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.io.atomic import atomic_file
from ssl_audio.io.progress import with_progress

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_processes(
    make: Callable[[Job], Result], jobs: Sequence[Job], title: str, workers: int | None = None
) -> list[Result]:
    """The results of a function of this package, in the order of the jobs.

    Args:
        make: a function that new processes can import.
        workers: processes; None is one per processor.
    """
    workers = min(len(jobs), workers or os.cpu_count() or 1)
    if workers <= 1:
        return [make(job) for job in with_progress(jobs, title)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        results = pool.imap(make, jobs, chunksize=2)
        return list(with_progress(results, title, len(jobs)))


def write_flac(path: Path, samples: np.ndarray) -> None:
    """Write (samples,) at 16 kHz, whole or not at all."""
    with atomic_file(path) as temporary:
        soundfile.write(temporary, samples, SAMPLE_RATE, format="FLAC")
