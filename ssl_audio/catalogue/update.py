"""Bringing a store up to date with a source: the run of `embed` and of `acoustic`."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl_audio.catalogue.changes import FAILED_BEFORE, Changes
from ssl_audio.catalogue.tracks import Engine, Items
from ssl_audio.io import log
from ssl_audio.io.atomic import write_json
from ssl_audio.io.console import SOME_FAILED, say, terminable
from ssl_audio.io.errors import SslAudioError, named
from ssl_audio.io.progress import with_progress
from ssl_audio.io.run_folder import versions
from ssl_audio.settings.catalogue import CatalogueSettings
from ssl_audio.settings.tree import plain
from ssl_audio.stores.columns import Row
from ssl_audio.stores.failures import Failure
from ssl_audio.stores.manifest import RUN
from ssl_audio.stores.remote import Working
from ssl_audio.stores.writer import Store


@dataclass
class Summary:
    """The outcome of one run."""

    output: Working  # the store
    known: int  # rows that it had before
    counts: dict[str, int] = field(default_factory=dict)  # of changed tracks, by what happened
    rows: int = 0  # tracks that an engine computed
    audio_seconds: float = 0.0  # their duration
    seconds: float = 0.0  # of the run
    tracks: int = 0  # of the source
    tried: list[Failure] = field(default_factory=list)  # failures of this run
    failed: int = 0  # tracks without a row, those of earlier runs included
    total: int = 0  # rows of the store
    runtime: str = ""  # of the engine; "" where none was needed

    @property
    def changed(self) -> bool:
        """False if there was nothing to do."""
        return bool(self.tried) or any(n for k, n in self.counts.items() if k != FAILED_BEFORE)

    def finish(self, max_failed: str) -> int:
        """Print the outcome; returns the exit status.

        Args:
            max_failed: number, or share of the source's tracks ("1%"), that may fail in this run.
        """
        say("\n".join(self.lines()))
        share = max_failed.endswith("%")
        limit = float(max_failed.rstrip("%")) * (self.tracks / 100 if share else 1)
        return SOME_FAILED if len(self.tried) > limit else 0

    def lines(self) -> list[str]:
        """What a command prints at its end."""
        lines = []
        if self.rows:
            hours, rate = self.audio_seconds / 3600, self.rows / max(self.seconds, 1e-9)
            lines.append(f"{self.rows} tracks ({hours:.2f} hours) in {self.seconds:.0f} s, "
                         f"{rate:.1f} per second")  # fmt: skip
        if self.known and self.changed:
            counts = (f"{number} {what}" for what, number in self.counts.items() if number)
            lines.append(f"{self.known} tracks were there before; " + ", ".join(counts))
        if self.failed:
            earlier = self.failed - len(self.tried)
            before = f" ({earlier} of them before)" if earlier > 0 else ""
            lines.append(f"{self.failed} files failed{before}: {self.output.failures}")
        if not self.changed:
            lines.append("up to date")
        return [*lines, f"{self.total} tracks: {self.output.name}"]

    def json(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        return {
            "output": self.output.name, "up_to_date": not self.changed, "tracks": self.total,
            "source_tracks": self.tracks, "changes": dict(self.counts), "computed": self.rows,
            "audio_seconds": round(self.audio_seconds, 3), "seconds": round(self.seconds, 3),
            "failed_now": len(self.tried), "failed": self.failed,
        }  # fmt: skip


def update_catalogue(
    settings: CatalogueSettings, store: Store, items: Items,
    engine_for: Callable[[int | None], Engine], title: str, output: Working,
) -> Summary:  # fmt: skip
    """`update_store` with the settings of a command; a run that changed anything is described.

    The description, `_run.json` in the store, has the settings and the versions of packages.

    Raises:
        SslAudioError: as `update_store`, or the report cannot be written.
    """
    with store:
        changes = Changes(store, settings.deleted, settings.retry_failed, settings.workers)
        summary = update_store(store, changes, items, engine_for, title, output)
    runtime = {"runtime": summary.runtime} if summary.runtime else {}
    describe_run(summary, {**plain(settings), **runtime}, settings.report)
    return summary


def describe_run(
    summary: Summary, config: dict[str, Any], report: Path | None, **more: Any
) -> None:  # fmt: skip
    """Describe a run in `_run.json` of its store, if it changed anything, and in a report.

    Args:
        report: a further file, or None.
        more: further values, kept in `_run.json`.

    Raises:
        SslAudioError: a file cannot be written.
    """
    log.event("summary", **summary.json())
    files = [(summary.output.path / RUN, more)] if summary.changed else []
    files += [(report, {})] if report else []
    described = {**summary.json(), "config": config, **({"versions": versions()} if files else {})}
    for path, values in files:
        with named(f"cannot write {path}"):
            write_json(path, {**described, **values})


def update_store(
    store: Store, changes: Changes, items: Items, engine_for: Callable[[int | None], Engine],
    title: str, output: Working | None = None,
) -> Summary:  # fmt: skip
    """Bring a store up to date with a source, and close it.

    Args:
        engine_for: makes the engine for a number of tracks, None where it is unknown; not called
            where there is nothing to compute.
        output: of the store; None: a local path. It is saved after each track that was computed.

    Raises:
        SslAudioError: the store has no track in the end although the source has some.
    """
    output = output or Working(store.output)
    summary, started = Summary(output, len(store.records)), time.monotonic()
    try:
        with terminable():
            todo = changes.todo(items)
            if todo != []:
                total = len(todo) if isinstance(todo, list) else None
                engine = engine_for(total)
                summary.runtime = engine.runtime
                for result in with_progress(engine.rows(todo), title, total):
                    changes.add(result)
                    output.save()
                    if isinstance(result, Row):
                        summary.rows += 1
                        summary.audio_seconds += result.duration
            changes.finish()
    except KeyboardInterrupt:
        store.flush()
        say(f"{len(store.records)} tracks are in {output.name}; the same command goes on")
        raise
    summary.total = store.close()
    summary.seconds = time.monotonic() - started
    summary.counts, summary.tracks = dict(changes.counts), len(changes.listed)
    summary.tried, summary.failed = changes.tried, len(store.failures)
    if store.failures and not summary.total:
        raise SslAudioError(f"none of the files can be read: see {output.failures}")
    return summary
