"""One store that has the tracks of several: shards of a source, or stores of several sources.

The merged store is a function of the others, whatever their order and however often they are
merged; only what differs is written, in steps that are each complete on disk.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from ssl_audio.catalogue.update import RUN, Summary, describe_run
from ssl_audio.io.console import terminable
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.files import file_sha256
from ssl_audio.io.json_file import read_json
from ssl_audio.io.progress import with_progress
from ssl_audio.io.remote import Url
from ssl_audio.settings.merge import MergeSettings
from ssl_audio.settings.tree import plain
from ssl_audio.stores.columns import RECORD_TYPES, Record, completed
from ssl_audio.stores.failures import FAILURES, Failure, read_failures
from ssl_audio.stores.feature_store import (
    count_rows,
    read_about,
    read_completed,
    read_schema,
    read_tables,
    read_version,
)
from ssl_audio.stores.parts import LARGE_BYTES, regrouped
from ssl_audio.stores.remote import Working, fetched, published
from ssl_audio.stores.writer import NOT_COMPARED, Store, check_output

MERGED = "merged"  # in `about`: the stores whose tracks the output has; in _run.json: versions
_KNOWN = ["id", *RECORD_TYPES, "key"]  # what is compared


def merge_stores(settings: MergeSettings) -> Summary:
    """Bring a store up to date with others: it then has their tracks, and no further ones.

    Of several rows of one id, that of a file that can be used goes before others, then that of the
    file that was changed last. Of several failures of one id, the latest stays, and none where a
    row of the same file can be used.

    Raises:
        SslAudioError: stores that are damaged or were made in different ways, different files of
            one id, or tracks in the output that none of the stores has.
    """
    started = time.monotonic()
    check_output(settings.output)
    stores = sorted({_Part(_name(store), fetched(store)) for store in settings.stores})
    if _name(settings.output) in [store.name for store in stores]:
        raise SslAudioError(f"output={settings.output} is one of the stores: name another file")
    with published(settings.output) as output:
        about = _common_about(stores, output.path)
        versions = {store.name: _version(store.path) for store in stores}
        summary = _nothing_to_do(output, versions)
        if summary is None:
            dtype, segments = about.pop("dtype"), about.pop("segments")
            about[MERGED] = list(versions)
            with Store(output.path, about, dtype, segments) as store, terminable():
                summary = _merge(store, stores, output)
        summary.seconds = time.monotonic() - started
        merged = {"output": _version(output.path), "stores": versions}
        describe_run(summary, plain(settings), settings.report, merged=merged)
    return summary


class _Part(NamedTuple):
    """One of the stores."""

    name: str  # absolute path, or URL
    path: Path  # of a local copy, if it is at a URL


def _name(store: Path | Url) -> str:
    return os.path.abspath(store) if isinstance(store, Path) else str(store)


class _Claim(NamedTuple):
    """The row of a track in one of the stores."""

    record: Record
    key: int  # of the vector
    store: int  # its place among the stores


@dataclass
class _Plan:
    """What the output shall have."""

    stores: Sequence[_Part]
    rows: dict[str, _Claim] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)

    def read(self) -> None:
        """Take the rows and failures of all stores."""
        for place, (_, path) in enumerate(self.stores):
            for track, record, key in _known(path):
                claim = _Claim(record, key, place)
                other = self.rows.get(track)
                self.rows[track] = claim if other is None else self._winner(track, other, claim)
            for failure in (read_failures(path) if path.is_dir() else {}).values():
                known = self.failures.get(failure.id, failure)
                self.failures[failure.id] = max(known, failure, key=_lateness)
        for track, failure in list(self.failures.items()):
            row = self.rows.get(track)
            if row and not row.record.state and row.record.path == failure.path:
                del self.failures[track]

    def _winner(self, track: str, one: _Claim, other: _Claim) -> _Claim:
        a, b = one.record, other.record
        first, second = self.stores[one.store].name, self.stores[other.store].name
        if not (a.state or b.state) and a.path != b.path and a.sha256 != b.sha256:
            raise SslAudioError(
                f"{track} is {a.path} in {first}, but another file, {b.path}, in {second}: embed "
                "both with one source=, so that their ids differ"
            )
        return max(one, other, key=_usefulness)


def _usefulness(claim: _Claim) -> tuple[Any, ...]:
    record = claim.record
    return (not record.state, record.mtime_ns or 0, record.path, record.sha256, claim.key)


def _lateness(failure: Failure) -> tuple[Any, ...]:
    return (failure.when, failure.tries, failure.path, failure.reason)


def _merge(store: Store, stores: Sequence[_Part], output: Working) -> Summary:
    """Change the output where it differs from the stores, and close it."""
    summary, plan = Summary(output, len(store.records)), _Plan(stores)
    plan.read()
    _check_others(store, plan)
    keys = {track: key for track, _, key in _known(store.output)} if store.parts else {}
    counts: Counter[str] = Counter()
    wanted: list[set[str]] = [set() for _ in stores]
    changes = []
    for track, claim in plan.rows.items():
        known = store.records.get(track)
        if known == claim.record and keys[track] == claim.key:
            continue
        if known and keys[track] == claim.key and known.sha256 == claim.record.sha256:
            changes.append((track, track, claim.record))
            counts["same content"] += 1
        else:
            wanted[claim.store].add(track)
            counts["changed" if known else "new"] += 1
    gone = set(store.records) - set(plan.rows)
    counts["gone"] += len(gone)
    counts["other failures"] += store.failures != plan.failures
    store.revise(changes, gone)
    pairs = list(zip(stores, wanted, strict=True))
    for (_, path), ids in with_progress(pairs, "merging", unit="stores"):
        for tables in _steps(regrouped(_rows(path, store.about, ids)) if ids else iter(())):
            store.append(tables)
    store.failures = plan.failures
    summary.total = store.close()
    summary.counts, summary.tracks, summary.failed = counts, len(plan.rows), len(plan.failures)
    return summary


def _check_others(store: Store, plan: _Plan) -> None:
    """Refuse to remove rows of the output that are not from these stores."""
    others = sorted(set(store.records) - set(plan.rows))
    before = read_about(store.output).get(MERGED) if others else None
    if others and not (before and set(before) <= {part.name for part in plan.stores}):
        raise SslAudioError(
            f"output={store.output} has {len(others)} tracks of none of these stores, such as "
            f"{others[0]}: name the store that has them too, or another output="
        )


def _rows(path: Path, about: Mapping[str, Any], ids: set[str]) -> Iterator[pa.Table]:
    return (completed(table, about) for table in read_tables(path, chosen=ids.__contains__))


def _known(path: Path) -> Iterator[tuple[str, Record, int]]:
    """The id, record and key of each row."""
    for table in read_completed(path, _KNOWN):
        columns = (table[name].to_pylist() for name in _KNOWN)
        for track, *record, key in zip(*columns, strict=True):
            yield track, Record(*record), key


def _steps(tables: Iterator[pa.Table]) -> Iterator[Iterator[pa.Table]]:
    """Tables in groups of a large part's size: what a crash loses at most."""
    size = 0

    def number(table: pa.Table) -> int:
        nonlocal size
        size += table.nbytes
        return size // LARGE_BYTES

    return (step for _, step in groupby(tables, number))


def _common_about(stores: Sequence[_Part], output: Path) -> dict[str, Any]:
    """How the vectors of all stores were made.

    Raises:
        SslAudioError: in different ways, or with different columns.
    """
    first: dict[str, Any] = {}
    columns: dict[str, pa.DataType] = {}
    for name, path in [*stores, *([_Part(str(output), output)] if output.exists() else [])]:
        about = read_about(path)
        if not {"dtype", "segments"} <= set(about):
            raise SslAudioError(f"{name} is not of this package: only its stores are merged")
        first = first or about
        for key in sorted((set(first) | set(about)) - NOT_COMPARED):
            _check_equal(f"{key}=", about.get(key), first.get(key), name, stores[0].name)
        schema = read_schema(path)
        if schema is None:
            continue
        found = {one: schema.field(one).type for one in schema.names if one not in _KNOWN}
        columns = columns or found
        for one in sorted(set(columns) | set(found)):
            _check_equal(f"column {one}: ", found.get(one), columns.get(one), name, stores[0].name)
    return first


def _check_equal(what: str, one: object, other: object, name: str, first: str) -> None:
    if one != other:
        raise SslAudioError(
            f"{name} was made with {what}{one}, but {first} with {what}{other}: they do not mix"
        )


def _version(path: Path) -> str:
    """What changes with every change of a store's rows or failures."""
    failures = path / FAILURES
    return read_version(path) + (file_sha256(failures) if failures.exists() else "")


def _nothing_to_do(output: Working, versions: Mapping[str, str]) -> Summary | None:
    """The outcome if output and stores are those that the last merge has left; else None."""
    try:
        path = output.path
        merged = read_json(path / RUN)[MERGED]
        if merged != {"output": _version(path), "stores": versions}:
            return None
        total = count_rows(path)
        return Summary(output, total, total=total, tracks=total, failed=len(read_failures(path)))
    except (OSError, ValueError, KeyError, TypeError, SslAudioError):
        return None
