"""The trained systems of a finished run."""

from __future__ import annotations

from pathlib import Path

from ssl_audio.io.errors import SslAudioError
from ssl_audio.reports.results import PlaylistResults, read_results


def trained_model(run: Path, model: str, key: str) -> tuple[PlaylistResults, Path]:
    """The results of a finished run, and the folder of one of its systems.

    Args:
        run: folder of the run.
        model: "musig", "m2grl" or "transformer".
        key: the setting that names the run, for errors.

    Raises:
        SslAudioError: no such run, or it has not trained this model.
    """
    try:
        results = read_results(run)
    except SslAudioError as error:
        raise SslAudioError(f"{key}={run}: {error}") from error
    if not isinstance(results, PlaylistResults) or model not in results.models:
        raise SslAudioError(f"{key}={run} has no trained {model}: train one with model={model}")
    return results, run / "systems" / results.models[model]
