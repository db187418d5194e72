"""A bar for what takes long, on standard error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

Result = TypeVar("Result")


def tracks_bar(results: Iterable[Result], total: int | None, doing: str) -> Iterator[Result]:
    """Results as they come, with a bar of tracks a second and the time that is left.

    Args:
        results: one a track.
        total: how many will come; None where nobody knows.
        doing: said before the bar.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(doing), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(doing, total=total, rate="")
        for result in results:
            yield result
            speed = bar.tasks[task].speed
            bar.update(task, advance=1, rate=f"{speed:.1f} tracks/s" if speed else "")
