"""The trained models of a finished run."""

from collections.abc import Callable
from pathlib import Path

from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.reports.results import PlaylistResults, read_results


def trained_run(
    run: Path | None, model: str | None, choose: Callable[[list[str]], str | None], kind: str
) -> tuple[Path, PlaylistResults, str]:
    """A finished run, its results, and the name of one of its models.

    Args:
        run: its folder; None: the newest one below `runs/` that has such a model.
        model: its name; None: chosen.
        choose: from the names of a run's models to one of them; None if none serves.
        kind: of the models that serve, for errors.

    Raises:
        SslAudioError: no such run or model.
    """
    if run is not None:
        return (run, *_trained_model(run, model, choose, kind))
    found = sorted(Path("runs").glob("*/results.json"), key=lambda p: p.stat().st_mtime)
    for path in reversed(found):
        try:
            newest = _trained_model(path.parent, model, choose, kind)
        except SslAudioError:
            continue
        say(f"run={path.parent}: the newest run with {kind}")
        return (path.parent, *newest)
    raise SslAudioError(
        f"no run below runs/ has {kind}: name its folder with run=, or train one with "
        "ssl-audio recommend"
    )


def _trained_model(
    run: Path, model: str | None, choose: Callable[[list[str]], str | None], kind: str
) -> tuple[PlaylistResults, str]:
    try:
        results = read_results(run)
    except SslAudioError as error:
        raise SslAudioError(f"run={error}") from error  # begins with the path
    names = list(results.models) if isinstance(results, PlaylistResults) else []
    name = choose(names) if model is None else model
    if not isinstance(results, PlaylistResults) or name is None or name not in names:
        trained = f"it has {', '.join(names)}" if names else "it has none"
        raise SslAudioError(
            f"run={run} has no trained {model or kind}, {trained}: train one with "
            "model= of ssl-audio recommend"
        )
    return results, name
