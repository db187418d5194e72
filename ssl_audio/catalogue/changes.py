"""What has changed between the tracks of a source and a store: by size and time, then by hash.

An unchanged track costs one look at its file's size and time. A file that may have changed is
hashed: content that the store knows keeps its vector, whatever the file is called now. All else is
left to an engine.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Literal

from ssl_audio.catalogue.tracks import Fingerprint, Item, Items, fingerprint, os_reason
from ssl_audio.io import log
from ssl_audio.io.files import file_sha256, printable, unprintable
from ssl_audio.io.parallel import in_order
from ssl_audio.io.remote import Url, is_url, local_copy
from ssl_audio.stores.columns import Record, Row
from ssl_audio.stores.failures import Failure
from ssl_audio.stores.store_search import DELETED
from ssl_audio.stores.writer import Store

BLOCK = 256  # tracks of a stream that are compared together

# why a row is kept although its file cannot be used, beside DELETED: `state` in the store
DAMAGED, UNREADABLE = "damaged", "unreadable"
FAILED_BEFORE = "failed before"  # in the counts: no failure of this run
_GONE = (FileNotFoundError, NotADirectoryError)

Change = tuple[str, str, Record]  # see `Store.revise`


@dataclass
class Changes:
    """The changes of one run.

    Args:
        store: the store, which is changed.
        deleted: "keep" marks the rows of files that are gone or damaged, "drop" removes them.
        retry_failed: try tracks again that failed before and have not changed.
        workers: files that are hashed at a time; None is the number of processors.

    Attributes:
        counts: number of tracks by what happened to them.
        listed: ids of the source's tracks.
        tried: failures of this run.
    """

    store: Store
    deleted: Literal["keep", "drop"] = "keep"
    retry_failed: bool = False
    workers: int | None = None
    counts: Counter[str] = field(init=False, default_factory=Counter)
    listed: set[str] = field(init=False, default_factory=set)
    tried: list[Failure] = field(init=False, default_factory=list)
    _marks: dict[str, str] = field(init=False, default_factory=dict)  # new states of rows
    _found_again: set[str] = field(init=False, default_factory=set)  # hashes under new ids
    _of_hash: dict[str, str] = field(init=False)  # a track with this content
    _failed: dict[str, Failure] = field(init=False)  # lasting failures by hash
    _sizes: set[int | None] = field(init=False)  # of known files

    def __post_init__(self) -> None:
        records, failures = self.store.records, self.store.failures.values()
        lasting = [each for each in failures if each.lasting and not self.retry_failed]
        self._of_hash = {record.sha256: track for track, record in records.items() if record.sha256}
        self._failed = {failure.sha256: failure for failure in lasting if failure.sha256}
        self._sizes = {record.size for record in records.values()} | {f.size for f in lasting}

    def todo(self, items: Items) -> Items:
        """The tracks that an engine must compute; what else has changed is written at once.

        Args:
            items: a list is compared as a whole, a stream block by block as it comes.
        """
        if isinstance(items, list):
            return self._compare(items)
        blocks = iter(lambda: list(islice(items, BLOCK)), [])
        return chain.from_iterable(self._compare(block) for block in blocks)

    def add(self, result: Row | Failure) -> None:
        """Take what an engine made of a track."""
        known = result.id in self.store.records
        if isinstance(result, Row):
            self.counts["changed" if known else "new"] += 1
            self.store.failures.pop(result.id, None)
            self.store.add(result)
        else:
            self._fail(result)
            if known:
                lasting = self.store.failures[result.id].lasting
                self._marks[result.id] = DAMAGED if lasting else UNREADABLE

    def finish(self) -> None:
        """Mark or remove the rows of files that are gone, and write all marks in one step."""
        self.store.flush()
        records = self.store.records
        for track, record in records.items():
            if track not in self.listed:
                self._look_for(track, record)
        for track in [track for track in self.store.failures if track not in self.listed]:
            error = _error_of(self.store.failures[track].path)
            if error is not None and _is_gone(error):
                del self.store.failures[track]
        dropped, changes = set(), []
        for track, state in self._marks.items():
            record = records[track]
            moved = state == DELETED and record.sha256 in self._found_again
            if moved or (self.deleted == "drop" and state in (DELETED, DAMAGED)):
                dropped.add(track)
            elif record.state != state:
                changes.append((track, track, record._replace(state=state)))
            else:
                continue
            if not moved:
                self.counts[state] += 1
        self.store.revise(changes, dropped)
        self.store.flush()

    def _look_for(self, track: str, record: Record) -> None:
        """Note what became of a file that the source does not list; it may be of another source."""
        error = _error_of(record.path)
        if error is None:
            return
        self._marks[track] = DELETED if _is_gone(error) else UNREADABLE
        if not _is_gone(error):
            self._fail(Failure(track, record.path, os_reason(error)))

    def _compare(self, items: Sequence[Item]) -> list[Item]:
        """Those of some tracks that must be computed."""
        changes: list[Change] = []
        todo: list[Item] = []
        suspects: list[tuple[Item, Fingerprint]] = []
        for item in items:
            if item.id in self.listed:  # listed twice
                continue
            self.listed.add(item.id)
            try:
                found = item.listed or fingerprint(item.path)
            except OSError as error:
                self._cannot_read(item, error)
                continue
            record = self.store.records.get(item.id)
            if record and found == (record.size, record.mtime_ns):
                changes += self._unchanged(item, record)
            elif self._failed_before(item, found):
                self.counts[FAILED_BEFORE] += 1
                if record:  # a run that was stopped has not marked it
                    self._marks[item.id] = DAMAGED
            elif found.size in self._sizes or None in self._sizes:
                suspects.append((item, found))
            else:
                todo.append(item)
        for (item, found), digest in zip(suspects, self._hashes(suspects), strict=True):
            if isinstance(digest, OSError):
                self._cannot_read(item, digest)
            else:
                self._resolve(item, found, digest, changes, todo)
        self.store.revise(changes)
        self.store.flush()
        order = {item.id: -place for place, item in enumerate(reversed(items))}
        return sorted(todo, key=lambda item: order[item.id])

    def _hashes(self, suspects: list[tuple[Item, Fingerprint]]) -> Iterator[str | OSError]:
        def hashed(suspect: tuple[Item, Fingerprint]) -> str | OSError:
            try:
                with local_copy(suspect[0].path) as file:
                    return file_sha256(file)
            except OSError as error:
                return error

        return in_order(suspects, hashed, self.workers) if suspects else iter(())

    def _unchanged(self, item: Item, record: Record) -> list[Change]:
        self.store.failures.pop(item.id, None)
        now = record._replace(path=printable(str(item.path)), state="")
        if now == record:
            return []
        self.counts["back" if record.state else "same content"] += 1
        return [(item.id, item.id, now)]

    def _failed_before(self, item: Item, found: Fingerprint) -> bool:
        failure = self.store.failures.get(item.id)
        return (
            failure is not None and failure.lasting and not self.retry_failed
            and found == (failure.size, failure.mtime_ns)
        )  # fmt: skip

    def _resolve(
        self, item: Item, found: Fingerprint, digest: str, changes: list[Change], todo: list[Item]
    ) -> None:
        """Decide on a file by its hash."""
        path, records = printable(str(item.path)), self.store.records
        own = records.get(item.id)
        source = item.id if own and own.sha256 == digest else self._of_hash.get(digest)
        if source is not None and records[source].sha256 == digest:
            self.counts["same content" if source == item.id else "under another name"] += 1
            if source != item.id:
                self._found_again.add(digest)
            record = Record(path, digest, *found, "", records[source].note)
            changes.append((source, item.id, record))
            self.store.failures.pop(item.id, None)
        elif digest in self._failed:
            failed = self._failed[digest]
            self.store.failures[item.id] = failed._replace(
                id=item.id, path=path, size=found.size, mtime_ns=found.mtime_ns
            )
            self.counts[FAILED_BEFORE] += 1
            if own:
                self._marks[item.id] = DAMAGED
        else:
            todo.append(item)

    def _cannot_read(self, item: Item, error: OSError) -> None:
        self._fail(Failure(item.id, printable(str(item.path)), os_reason(error)))
        if item.id in self.store.records:
            self._marks[item.id] = DELETED if _is_gone(error) else UNREADABLE

    def _fail(self, failure: Failure) -> None:
        """Note a failure; one of a file that cannot be opened is new only if it was not before."""
        before = self.store.failures.get(failure.id)
        if before and not failure.sha256 and failure[:5] == before[:5] and not self.retry_failed:
            self.counts[FAILED_BEFORE] += 1
            return
        tried = failure.tried(before)
        self.store.failures[failure.id] = tried
        self.tried.append(tried)
        log.event("failure", id=tried.id, path=tried.path, reason=tried.reason, tries=tried.tries)


def _error_of(path: str) -> OSError | None:
    """Why a file, by its printable path, has no fingerprint; None if it has one."""
    try:
        fingerprint(Url(path) if is_url(path) else unprintable(path))
    except OSError as error:
        return error
    return None


def _is_gone(error: OSError) -> bool:
    """True if there is no file, or a folder or a pipe in its place (an error without `errno`);
    False if it cannot be looked at."""
    return isinstance(error, _GONE) or error.errno is None
