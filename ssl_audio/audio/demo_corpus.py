"""The demo corpus: synthesised music with labels, in MTG-Jamendo's format."""

import hashlib
import json
from os import PathLike
from pathlib import Path

from ssl_audio.audio.rendering import in_processes, write_flac
from ssl_audio.audio.sources import write_jamendo
from ssl_audio.audio.synthesis import VERSION, compose
from ssl_audio.io.atomic import write_json
from ssl_audio.io.cache import cache_folder
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.json_file import read_json

SPLITS = (("train", 0.65), ("validation", 0.8), ("test", 1.0))  # by cumulative fraction
Job = tuple[Path, int, int, float]  # folder, seed, track, seconds


def demo_folder(tracks: int = 240, seconds: float = 30.0, seed: int = 0) -> Path:
    """The folder of a corpus in the cache."""
    text = json.dumps(_parameters(tracks, seconds, seed), sort_keys=True)
    return cache_folder() / f"demo-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _parameters(tracks: int, seconds: float, seed: int) -> dict[str, float]:
    return {"version": VERSION, "tracks": tracks, "seconds": seconds, "seed": seed}


def make_demo(
    folder: str | PathLike[str], tracks: int = 240, seconds: float = 30.0, seed: int = 0,
    workers: int | None = None,
) -> Path:  # fmt: skip
    """Make the corpus, or its missing part, and return its folder.

    Writes `audio/*.flac` (16 kHz mono), `demo-{train,validation,test}.tsv` in MTG-Jamendo's format
    with paths relative to the folder, and `demo.json` last. The same parameters give the same
    bytes whatever the number of workers.

    Args:
        tracks: 10 or more.
        seconds: length of each track.
        workers: processes; default is one per processor.

    Raises:
        SslAudioError: the folder holds a corpus of other parameters.
    """
    folder = Path(folder)
    parameters = _parameters(tracks, seconds, seed)
    done = folder / "demo.json"
    if done.exists():
        if read_json(done) != parameters:
            raise SslAudioError(f"{folder} holds a demo corpus of other parameters; name another")
        if all(_path(folder, track).exists() for track in range(tracks)):
            return folder
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    jobs = [(folder, seed, track, seconds) for track in range(tracks)]
    tags = in_processes(_make_track, jobs, "making the demo corpus", workers)
    _write_lists(folder, tags, seconds)
    write_json(done, parameters)
    return folder


def _path(folder: Path, track: int) -> Path:
    return folder / "audio" / f"{track:04d}.flac"


def _make_track(job: Job) -> tuple[str, ...]:
    folder, seed, track, seconds = job
    song = compose(seed, track, seconds)
    path = _path(folder, track)
    if not path.exists():
        write_flac(path, song.samples)
    return song.tags


def _write_lists(folder: Path, tags: list[tuple[str, ...]], seconds: float) -> None:
    first = 0
    for split, until in SPLITS:
        last = round(until * len(tags))
        rows = [
            [f"track_{track:07d}", "artist_000000", "album_000000",
             _path(folder, track).relative_to(folder).as_posix(), f"{seconds:.1f}", *tags[track]]
            for track in range(first, last)
        ]  # fmt: skip
        write_jamendo(folder / f"demo-{split}.tsv", rows)
        first = last
