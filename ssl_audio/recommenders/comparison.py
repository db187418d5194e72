"""A comparison of recommenders: its run folder and its results."""

from __future__ import annotations

from ssl_audio.io.run_folder import CONFIG, choose_run_folder, open_run_folder
from ssl_audio.reports.results import PlaylistResults, write_results
from ssl_audio.settings.recommend import RecommendSettings
from ssl_audio.settings.tree import to_yaml

INPUTS = ("train.parquet", "playlists.duckdb")  # files of a run folder that are not results


def compare(settings: RecommendSettings) -> PlaylistResults:
    """Train and measure every system; writes `results.json`.

    Finished systems are kept in the run's folder; `ckpt_path=last` resumes after them.

    Raises:
        SslAudioError: playlists, features or settings that cannot be used.
    """
    resume = settings.ckpt_path is not None
    source = "playlists" if settings.playlists else "movielens"
    folder = settings.run_dir
    if not resume:
        folder = choose_run_folder(folder, f"recommend-{source}")
    assert folder is not None  # ckpt_path= requires run_dir=
    resumed = resume and (folder / CONFIG).exists()
    from ssl_audio.recommenders.training import check_trainer

    check_trainer(settings.trainer)
    with open_run_folder(folder, to_yaml(settings), resumed, INPUTS):
        if settings.playlists:
            from ssl_audio.recommenders.playlist_comparison import (
                compare_on_playlists as compare_systems,
            )
        else:
            from ssl_audio.recommenders.session_comparison import (
                compare_on_sessions as compare_systems,
            )
        results = compare_systems(settings, folder)
        write_results(folder, results)
    return results
