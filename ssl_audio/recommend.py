"""Playlist models: `python -m ssl_audio.recommend model=musig playlists=... features=...`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_audio.console import say
from ssl_audio.errors import SslAudioError
from ssl_audio.recipe import Command, main_with, resolve
from ssl_audio.run_dir import make_run_dir, save_configuration

if TYPE_CHECKING:
    from omegaconf import DictConfig

COMMAND = Command(
    name="recommend",
    does="Train playlist models, complete held-out playlists beside baselines, export track "
         "vectors; or go on from a playlist.",
    usage="playlists=FILE [model=musig] [KEY=VALUE ...] | playlist=FILE run_dir=RUN [length=30]",
    often=("model=[musig,m2grl,transformer]", "features=[popularity,acoustic]", "stores.acoustic=",
           "stores.audio=", "stores.embeddings=", "baselines=[random,track2vec]",
           "by_features=true", "by_task=true", "by_weights=true", "movielens=", "run_dir="),
    example="playlists=playlists/playlists.duckdb stores.acoustic=playlists/acoustic.parquet",
)  # fmt: skip


def run(config: DictConfig) -> None:
    """Compare, or generate."""
    settings = resolve(config)
    given = [k for k in ("playlists", "movielens", "playlist") if settings[k] is not None]
    if len(given) != 1:
        raise SslAudioError(
            "give one of playlists=, movielens= and playlist= (with the run_dir= of a trained "
            "transformer): see --help"
        )
    if given == ["playlist"]:
        _generate(settings)
        return
    _compare(settings, given[0])


def _compare(settings: dict[str, Any], source: str) -> None:
    resume = settings["ckpt_path"] is not None
    folder = make_run_dir(settings["run_dir"], f"recommend-{source}", resume, "results.json")
    settings["run_dir"] = str(folder)
    save_configuration(folder, settings)
    if source == "movielens":
        from ssl_audio.playlists.next_session import compare
    else:
        from ssl_audio.playlists.comparison import compare
    results = compare(settings, folder)
    from ssl_audio.reports.page import write_report
    from ssl_audio.reports.playlist_page import text_tables

    written = write_report(results, folder)
    print(text_tables(results))
    for path in written:
        if path.name == "report.html":
            print(f"report: {path}")


def _generate(settings: dict[str, Any]) -> None:
    from ssl_audio.playlists.continuation import continue_playlist

    if settings["run_dir"] is None:
        raise SslAudioError("playlist= goes on by a trained transformer: give the run's run_dir=")
    path = Path(settings["playlist"])
    output = Path(settings["output"] or path.with_name(f"{path.stem}-more.m3u"))
    added = continue_playlist(settings, path, output)
    say(f"{added} tracks: {output}")


def main(arguments: list[str] | None = None) -> int:
    """The command's entry point; returns the exit status."""
    return main_with(COMMAND, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
