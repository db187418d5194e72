"""Decoded audio for training: 16 kHz mono int16 in large files, from which a crop is a copy.

A folder of shards holds

- `shard-00000.npy` and so on: plain 1-d int16 arrays, mapped into memory when read, of whole
  tracks one after the other;
- `shard-00000.json` and so on: the source files of each, so that an interrupted run resumes;
- `skipped.csv`: the files that could not be used, and why;
- `index.parquet`: a row a track. It is written last: a folder without it is unfinished.

A track is named by its place in a shard, which `ssl_audio.audio.decode` reads like a file.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.audio.scan import Manifest, Skipped, Track, common_folder, scan
from ssl_audio.audio.shard_reader import place
from ssl_audio.audio.shard_writer import (
    SAMPLE_BYTES,
    Entry,
    ShardWriter,
    decode_track,
    has_length,
    shard_name,
)
from ssl_audio.audio.sources import Source
from ssl_audio.io.atomic import atomic_file
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.files import AnyPath, printable
from ssl_audio.io.json_file import read_json
from ssl_audio.io.lock import only_writer
from ssl_audio.io.parallel import in_order
from ssl_audio.io.progress import progress_bar

INDEX = "index.parquet"
SHARD_SECONDS = 2**30 / SAMPLE_BYTES / SAMPLE_RATE  # 1 GiB, 9.3 hours

_VERSION = 1
_LOOKAHEAD = 2  # tracks a thread may be ahead of the writer; one of 3 minutes takes 6 MB
_OWN = re.compile(r"(shard-\d{5,})\.(npy|json)(\.part)?")
_COLUMNS = ("id", "shard", "start", "samples", "duration", "source", "sha256")


@dataclass(frozen=True)
class Shards:
    """A finished folder of shards."""

    folder: Path  # absolute
    ids: list[str]  # of each track, its source's path below the folder that all of them share
    tracks: list[Track]  # each with its place as path, and its source's duration in seconds
    skipped: int  # how many files were left out
    made: int = 0  # shards that this call has written; 0 if the folder was finished

    @property
    def hours(self) -> float:
        """Duration of all tracks, hours."""
        return sum(track.duration for track in self.tracks) / 3600


def open_shards(folder: AnyPath) -> Shards:
    """Read the index of a finished folder of shards.

    Raises:
        SslAudioError: no such folder, an unfinished one, or an index that cannot be read.
    """
    folder = Path(os.path.abspath(folder))
    table = _read_index(folder)
    columns = table.to_pydict()
    rows = zip(*(columns[name] for name in _COLUMNS[1:]), strict=True)
    tracks = [
        Track(
            place(folder / shard, start, samples), duration, size=samples * SAMPLE_BYTES,
            group=os.path.dirname(source), sha256=sha256, origin=source,
        )
        for shard, start, samples, duration, source, sha256 in rows
    ]  # fmt: skip
    return Shards(folder, columns["id"], tracks, int(table.schema.metadata[b"skipped"]))


def _read_index(folder: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    if not folder.is_dir():
        raise SslAudioError(f"{folder} is not a folder: make one with tools/prepare.py")
    if not (folder / INDEX).is_file():
        raise SslAudioError(
            f"{folder} has no {INDEX}: it is unfinished or holds no shards; run tools/prepare.py "
            "on it, which resumes"
        )
    try:
        table = pyarrow.parquet.read_table(folder / INDEX)
    except (OSError, pyarrow.ArrowException) as error:
        raise SslAudioError(
            f"cannot read {folder / INDEX}: delete it and run tools/prepare.py again"
        ) from error
    note = table.schema.metadata or {}
    if set(_COLUMNS) - set(table.column_names) or note.get(b"version") != b"%d" % _VERSION:
        raise SslAudioError(f"{folder / INDEX} is not an index of shards: give another folder")
    return table


def write_shards(
    sources: Iterable[Source], folder: AnyPath, workers: int | None = None,
    shard_seconds: float = SHARD_SECONDS, cache: AnyPath | None = None,
) -> Shards:  # fmt: skip
    """Decode files into a folder of shards, or resume one that was interrupted.

    Files are first scanned as they are for training on the files themselves, so that the tracks,
    their order and their durations, and with them a run's pairs, are the same. The files on
    disk depend on the sources alone, not on interruptions or on the number of threads.

    Args:
        sources: the files; as `find_audio`, `read_list` or `read_table` list them.
        folder: made if absent. A finished one of the same sources is left as it is.
        workers: decoding threads; None is one per processor.
        shard_seconds: max length of a shard; a longer track has a shard of its own.
        cache: folder of the kept scan; None is the user's cache folder.

    Returns:
        The finished folder. Files that could not be used are counted there, and listed in its
        `skipped.csv` with the reason.

    Raises:
        SslAudioError: no usable audio, a folder of other sources or that another process is
            writing, a disk that is full or cannot be written, or a setting out of range.
    """
    if not 1.0 <= shard_seconds < float("inf"):  # `not` also refuses NaN
        raise SslAudioError(f"a shard of {shard_seconds:g} s: give at least 1 s")
    limit = int(shard_seconds * SAMPLE_RATE)
    sources, folder = list(sources), Path(os.path.abspath(folder))
    identity = _identity(sources, limit)
    if _is_finished(folder, identity):
        return open_shards(folder)
    found = scan(sources, cache, workers)
    if not found.tracks:
        raise SslAudioError(f"no usable audio: {found.summary()}. Give a folder or list with some")
    try:
        with only_writer(folder):
            made = _write(found, folder, identity, workers, limit)
    except OSError as error:
        raise SslAudioError(
            f"cannot write {folder}: {error.strerror}. Fix that or make room, and run the same "
            "again: shards that are whole are kept"
        ) from error
    return replace(open_shards(folder), made=made)


def _identity(sources: Sequence[Source], limit: int) -> str:
    """Identity of the sources and their versions (hex)."""
    digest = hashlib.sha256(f"{_VERSION} {limit}\n".encode())
    for source in sources:
        path = os.path.abspath(source.path)
        try:
            status = os.stat(path)
            stamp = f"{status.st_size} {status.st_mtime_ns}"
        except (OSError, ValueError):
            stamp = "missing"
        digest.update(f"{path}\0{stamp}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _is_finished(folder: Path, identity: str) -> bool:
    """True if nothing is left to do.

    Raises:
        SslAudioError: the folder is finished, but of other sources.
    """
    if folder.exists() and not folder.is_dir():
        raise SslAudioError(f"{folder} is a file: give a folder to write to")
    if not (folder / INDEX).exists():
        return False
    table = _read_index(folder)
    if table.schema.metadata.get(b"identity") != identity.encode():
        raise SslAudioError(
            f"{folder} holds shards of other or changed sources, or of another size: "
            "give another folder, or delete it"
        )
    ends: dict[str, int] = {}
    for row in table.select(["shard", "start", "samples"]).to_pylist():
        ends[row["shard"]] = row["start"] + row["samples"]  # rows are in order
    if all(has_length(folder / shard, end) for shard, end in ends.items()):
        return True
    (folder / INDEX).unlink()  # a shard was lost: whole ones are kept, the rest is made again
    return False


def _write(found: Manifest, folder: Path, identity: str, workers: int | None, limit: int) -> int:
    """Write the missing shards of a folder; returns their number."""
    shards = _whole_shards(folder, found.tracks, identity)
    kept, covered = len(shards), sum(len(entries) for entries in shards)
    rest = found.tracks[covered:]
    with (
        closing(in_order(rest, decode_track, workers, _LOOKAHEAD)) as results,
        progress_bar("decoding audio", len(found.tracks), "files", covered) as step,
        ShardWriter(folder, kept, limit, identity) as writer,
    ):
        for result in results:
            writer.add(result)
            step()
    shards += writer.done
    entries = [entry for shard in shards for entry in shard]
    skipped = [Skipped(e["path"], e["reason"], e["detail"]) for e in entries if "reason" in e]
    damaged = [
        Track(e["path"], e["duration"], damage=e["damage"]) for e in entries if e.get("damage")
    ]
    report = Manifest(damaged, found.skipped + skipped)
    if len(skipped) == len(entries):
        raise SslAudioError(f"no usable audio: {report.summary()}. Give a folder or list with some")
    report.save_report(folder / "skipped.csv")
    _write_index(folder, shards, identity, len(report.skipped))
    return len(shards) - kept


def _whole_shards(folder: Path, tracks: Sequence[Track], identity: str) -> list[list[Entry]]:
    """Return the entries of the first shards that are whole and made of these tracks.

    The others, of other sources, are removed.
    """
    kept: list[list[Entry]] = []
    covered = 0
    while entries := _sidecar(folder / shard_name(len(kept)), identity):
        planned = [track.path for track in tracks[covered : covered + len(entries)]]
        if [entry["path"] for entry in entries] != planned:
            break
        covered += len(entries)
        kept.append(entries)
    names = {shard_name(number) for number in range(len(kept))}
    for path in folder.iterdir():
        own = _OWN.fullmatch(path.name)
        if own and (own[3] or f"{own[1]}.npy" not in names):
            path.unlink()
    return kept


def _sidecar(shard: Path, identity: str) -> list[Entry]:
    """The entries of a shard; none if it is not whole, or of other sources."""
    try:
        note = read_json(shard.with_suffix(".json"))
    except (OSError, ValueError):
        return []
    if note.get("identity") != identity:
        return []
    if note["samples"] and not has_length(shard, note["samples"]):
        return []
    return note["entries"]


def _write_index(
    folder: Path, shards: Sequence[Sequence[Entry]], identity: str, skipped: int
) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [
        {**entry, "shard": shard_name(number)}
        for number, entries in enumerate(shards)
        for entry in entries
        if "reason" not in entry
    ]
    root = common_folder([row["path"] for row in rows])
    text, whole, real = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    for row in rows:
        row["source"] = printable(row["path"])
        row["id"] = printable(row["path"].removeprefix(root).lstrip(os.sep).replace(os.sep, "/"))
    kinds = (text, text, whole, whole, real, text, text)
    about = {"version": str(_VERSION), "sample_rate": str(SAMPLE_RATE), "identity": identity,
             "skipped": str(skipped)}  # fmt: skip
    schema = pyarrow.schema(zip(_COLUMNS, kinds, strict=True), about)
    with atomic_file(folder / INDEX) as temporary:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), temporary)
