"""Progress on standard error: a bar with rate and time left, or events (`log=json`)."""

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from ssl_audio.io import log

Item = TypeVar("Item")


@contextmanager
def progress_bar(
    title: str, total: int | None, unit: str = "tracks", done: int = 0, shown: bool = True
) -> Iterator[Callable[[], None]]:
    """Show a bar with rate and remaining time; yields the function that advances it by one.

    Args:
        total: number of items; None where it is unknown.
        unit: what an item is, in the plural.
        done: items that an earlier run has finished.
        shown: False shows nothing.
    """
    if not shown:
        yield lambda: None
        return
    if log.as_json():
        progress = log.Progress(title, total, unit, done)
        yield progress.advance
        progress.write()
        return
    from rich import progress as rich
    from rich.console import Console

    columns = (
        rich.TextColumn(title, markup=False), rich.BarColumn(), rich.MofNCompleteColumn(),
        rich.TextColumn("{task.fields[rate]}"), rich.TimeElapsedColumn(), rich.TextColumn("left"),
        rich.TimeRemainingColumn(),
    )  # fmt: skip
    # in a notebook too as text: a widget would need one more package
    with rich.Progress(*columns, console=Console(stderr=True, force_jupyter=False)) as bar:
        task = bar.add_task(title, total=total, completed=done, rate="")

        def advance() -> None:
            speed = bar.tasks[task].speed
            bar.update(task, advance=1, rate=f"{speed:.1f} {unit}/s" if speed else "")

        yield advance


def with_progress(
    items: Iterable[Item], title: str, total: int | None = None, unit: str = "tracks",
    shown: bool = True,
) -> Iterator[Item]:  # fmt: skip
    """Items as they come, with a bar; `total` is their number where they have no length."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress_bar(title, total, unit, shown=shown) as advance:
        for item in items:
            yield item
            advance()
