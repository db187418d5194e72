"""Continue a listener's playlist with a trained recommender."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.comparison import SYSTEMS, fitted, load_data
from ssl_audio.recommenders.data.collection import Catalogue
from ssl_audio.recommenders.data.m3u import read_m3u, write_m3u
from ssl_audio.recommenders.data.records import SourceTrack
from ssl_audio.recommenders.data.store import open_store
from ssl_audio.recommenders.data.track_ids import TrackIds, unknown_lines
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.recommender import Recommender, make
from ssl_audio.recommenders.session_data import movielens_folder
from ssl_audio.recommenders.trained import trained_run
from ssl_audio.reports.results import PlaylistResults
from ssl_audio.settings.complete import CompleteSettings
from ssl_audio.settings.recommend import RecommendSettings, StoreSettings
from ssl_audio.settings.tree import build


@dataclass(frozen=True)
class PlaylistModel:
    """A trained recommender of a run."""

    name: str  # in `model=`
    recommender: Recommender
    catalogue: Catalogue  # its tracks, with all metadata
    music: Path | None  # the folder that the tracks' ids are relative to, if known


def open_model(
    run: Path | None,
    model: str | None = None,
    stores: StoreSettings | None = None,
    music: Path | None = None,
    data: TrainingData | None = None,
) -> PlaylistModel:
    """A trained recommender that can continue playlists.

    Args:
        run: a finished run of `recommend`; None: the newest one below runs/.
        model: of the run; None: the transformer if it has one, else its first.
        stores: feature stores that were moved since the run.
        music: the folder that ids are relative to; None: as in the run.
        data: of another model of the run; None: it is read.

    Raises:
        SslAudioError: no such run, a run without such a model, or whose playlists have changed.
    """
    run, results, name = trained_run(run, model, _preferred, "model")
    used = build(RecommendSettings, results.config)
    moved = {} if stores is None else {one: path for one, path in vars(stores).items() if path}
    used = replace(used, stores=replace(used.stores, **moved))
    recommender = _load(run, results, name, used, data)
    return PlaylistModel(
        name, recommender, _catalogue(run, used, recommender), music or _music(used)
    )


def continue_playlist(settings: CompleteSettings) -> int:
    """Write an M3U file of the tracks that continue a playlist, in order, without its own tracks.

    No track is repeated. Entries are absolute paths if the music folder is known, otherwise ids.
    Artist and title are included where the run's playlists have them. Entries of the playlist that
    the model does not know are listed.

    Returns:
        Entries that the model does not know.

    Raises:
        SslAudioError: no such playlist or run, a run without such a model or whose playlists have
            changed, no known entry, or fewer tracks than `length`.
    """
    playlist = settings.playlist
    assert playlist is not None
    output = settings.output or playlist.with_name(f"{playlist.stem}-more.m3u")
    _check_files(playlist, output)
    opened = open_model(settings.run, settings.model, settings.stores, settings.music)
    recommender, catalogue = opened.recommender, opened.catalogue
    entries = read_m3u(playlist, opened.music, TrackIds(catalogue.ids))
    history, unknown = _known(entries, recommender, playlist)
    added = recommender.continuation(
        history, settings.length, settings.k, settings.seed, settings.approximate
    )
    if len(added) < settings.length:
        raise SslAudioError(f"{opened.name} gives {len(added)} tracks: give a smaller length=")
    write_m3u(output, [_entry(catalogue, row, opened.music) for row in added])
    say(f"{len(added)} tracks: {output}")
    return unknown


def _preferred(names: list[str]) -> str | None:
    return "transformer" if "transformer" in names else next(iter(names), None)


def _load(
    run: Path,
    results: PlaylistResults,
    name: str,
    used: RecommendSettings,
    data: TrainingData | None,
) -> Recommender:
    """A recommender of a finished run, as it was trained."""
    data = data or load_data(used, run)
    if data.hashes != results.data.hashes:
        raise SslAudioError(f"{used.playlists} has changed since run={run}: train again")
    one = next(one for one in make(name, used, data) if one.folder == results.models[name])
    own = run / SYSTEMS / one.folder
    if one.stored and not own.is_dir():
        raise SslAudioError(f"{own} is missing: train again")
    return fitted(one, run)[0]


def _catalogue(run: Path, used: RecommendSettings, recommender: Recommender) -> Catalogue:
    """The tracks with all metadata: models do not know the artists of cold tracks."""
    if recommender.data.in_sessions:
        return recommender.data.catalogue
    in_place = used.playlists.suffix == ".duckdb"
    return open_store(used.playlists if in_place else run / "playlists.duckdb").catalogue()


def _check_files(path: Path, output: Path) -> None:
    if not path.is_file():
        raise SslAudioError(f"playlist={path}: no such file")
    if output.exists() and output.samefile(path):
        raise SslAudioError(f"output={output} is the playlist itself: name another file")


def _music(used: RecommendSettings) -> Path | None:
    """The folder that the run's ids are relative to, if known; for M3U files, their own folder."""
    given = used.playlists
    if used.music is None and movielens_folder(given) is None:
        if given.is_dir():
            return given
        if given.suffix in (".m3u", ".m3u8"):
            return given.parent
    return used.music


def _known(
    entries: Sequence[SourceTrack], recommender: Recommender, path: Path
) -> tuple[np.ndarray, int]:
    """Catalogue rows of the entries, -1 if not in the catalogue, and how many are unknown."""
    if not entries:
        raise SslAudioError(f"playlist={path}: no track in it")
    catalogue = recommender.data.catalogue
    rows = np.array([catalogue.row.get(entry.id, -1) for entry in entries])
    can_read = recommender.known()
    known = (rows >= 0) & can_read[rows]
    if not known.any():
        like = catalogue.ids[int(can_read.argmax())]
        raise SslAudioError(
            f"playlist={path}: the model knows none of its {len(rows)} tracks; their ids are like "
            f"{entries[0].id!r}, the model's like {like!r}: is music= the folder above them?"
        )
    if not known.all():
        ours = [catalogue.ids[k] for k in np.flatnonzero(can_read).tolist()]
        others = Counter(entries[k].id for k in np.flatnonzero(~known).tolist())
        for line in unknown_lines(others, ours):
            say(line)
        say(f"{int((~known).sum())} of {len(rows)} tracks are unknown to the model")
    return rows, int((~known).sum())


def _entry(catalogue: Catalogue, row: int, music: Path | None) -> tuple[str, str]:
    """Path or id of a track, and the title that players show."""
    track, title, artist = catalogue.ids[row], catalogue.titles[row], catalogue.artists[row]
    shown = f"{artist} - {title}" if artist and title else title
    if music is None or "://" in track or track.startswith("spotify:"):
        return track, shown
    return os.path.abspath(os.path.join(music, track)), shown
