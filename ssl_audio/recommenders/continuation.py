"""Continue a listener's playlist with a trained transformer."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Catalogue
from ssl_audio.recommenders.data.m3u import read_m3u, write_m3u
from ssl_audio.recommenders.data.records import SourceTrack
from ssl_audio.recommenders.data.store import open_store
from ssl_audio.recommenders.data.track_ids import TrackIds, unknown_lines
from ssl_audio.recommenders.data.vocabulary import UNKNOWN
from ssl_audio.recommenders.models.sampling_decoder import generate, track_index
from ssl_audio.recommenders.models.transformer import PlaylistTransformer, load_transformer
from ssl_audio.recommenders.systems import MODEL
from ssl_audio.recommenders.trained import trained_model
from ssl_audio.settings.recommend import RecommendSettings
from ssl_audio.settings.tree import build
from ssl_audio.stores.feature_store import read_aligned


def continue_playlist(
    playlist: Path,
    output: Path | None = None,
    run_dir: Path | None = None,
    *,
    length: int = 30,
    k: int = 20,
    seed: int = 0,
    approximate: bool | None = None,
    music: Path | None = None,
    embeddings: Path | None = None,
) -> int:
    """Write an M3U file of the tracks that continue a playlist, in order, without its own tracks.

    No track is repeated. Entries are absolute paths if the music folder is known, otherwise ids.
    Artist and title are included where the run's playlists have them.

    Args:
        playlist: an M3U file. Entries that the model does not know are listed and read as unknown
            tracks.
        output: the new M3U file, in a folder that exists; None: NAME-more.m3u beside the playlist.
        run_dir: run with a trained transformer; None: the newest below `runs/`.
        length: tracks to add.
        k: each next track is drawn from the k most likely ones.
        seed: of the draws.
        approximate: HNSW search of the next track; None: see `NeighbourIndex`.
        music: folder that the tracks' ids are relative to; None: as in the run.
        embeddings: feature store of the transformer; None: as in the run.

    Returns:
        Entries that the model does not know.

    Raises:
        SslAudioError: no such playlist or run, a run without a transformer or whose playlists have
            changed, no known entry, or fewer tracks than `length`.
    """
    output = output or playlist.with_name(f"{playlist.stem}-more.m3u")
    _check_files(playlist, output)
    run = run_dir or _newest_run()
    results, folder = trained_model(run, "transformer", "run_dir")
    used = build(RecommendSettings, results.config)
    catalogue = _catalogue(run, used, results.data.hashes["playlists"])
    embeddings = embeddings or used.stores.embeddings
    audio, has_audio = read_aligned(embeddings, catalogue.ids) if embeddings else (None, None)
    model = load_transformer(folder / MODEL, audio, has_audio)
    music = music or _music(used)
    entries = read_m3u(playlist, music, TrackIds(catalogue.ids))
    seeds, unknown = _known(entries, model, catalogue, playlist)
    added = generate(model, [seeds], length, k, seed, track_index(model, approximate))[0]
    write_m3u(output, [_entry(catalogue, row, music) for row in added])
    say(f"{len(added)} tracks: {output}")
    return unknown


def _newest_run() -> Path:
    """The last run below `runs/` that has trained a transformer."""
    found = sorted(Path("runs").glob("*/results.json"), key=lambda p: p.stat().st_mtime)
    for path in reversed(found):
        try:
            trained_model(path.parent, "transformer", "run_dir")
        except SslAudioError:
            continue
        say(f"run_dir={path.parent}: the newest run with a transformer")
        return path.parent
    raise SslAudioError(
        "playlist= needs a trained transformer, and no run below runs/ has one: name its run_dir=, "
        "or train one with model=transformer"
    )


def _check_files(path: Path, output: Path) -> None:
    if not path.is_file():
        raise SslAudioError(f"playlist={path}: no such file")
    if output.exists() and output.samefile(path):
        raise SslAudioError(f"output={output} is the playlist itself: name another file")


def _catalogue(run: Path, used: RecommendSettings, content: str) -> Catalogue:
    """The tracks that the run was trained on, in its order; `content` is the hash of its store."""
    given = used.playlists
    in_place = given is not None and given.suffix == ".duckdb"
    store = open_store(given if in_place and given else run / "playlists.duckdb")
    if store.about["content"] != content:
        raise SslAudioError(f"{store.path} has changed since run_dir={run}: train again")
    return store.catalogue()


def _music(used: RecommendSettings) -> Path | None:
    """The folder that the run's ids are relative to, if known; for M3U files, their own folder."""
    given = used.playlists
    if given is not None and used.music is None:
        if given.is_dir():
            return given
        if given.suffix in (".m3u", ".m3u8"):
            return given.parent
    return used.music


def _known(
    entries: Sequence[SourceTrack], model: PlaylistTransformer, catalogue: Catalogue, path: Path
) -> tuple[list[int], int]:
    """Catalogue rows of the entries, -1 if not in the catalogue, and how many are unknown."""
    if not entries:
        raise SslAudioError(f"playlist={path}: no track in it")
    rows = np.array([catalogue.row.get(entry.id, -1) for entry in entries])
    known = model.extended_vocabulary.of(rows) != UNKNOWN
    if not known.any():
        like = catalogue.ids[int(model.recommendable[0])]
        raise SslAudioError(
            f"playlist={path}: the model knows none of its {len(rows)} tracks; their ids are like "
            f"{entries[0].id!r}, the model's like {like!r}: is music= the folder above them?"
        )
    if not known.all():
        every = model.extended_vocabulary.of(np.arange(len(catalogue))) != UNKNOWN
        ours = [catalogue.ids[k] for k in np.flatnonzero(every).tolist()]
        others = Counter(entries[k].id for k in np.flatnonzero(~known).tolist())
        for line in unknown_lines(others, ours):
            say(line)
        say(f"{int((~known).sum())} of {len(rows)} tracks are unknown to the model")
    return rows.tolist(), int((~known).sum())


def _entry(catalogue: Catalogue, row: int, music: Path | None) -> tuple[str, str]:
    """Path or id of a track, and the title that players show."""
    track, title, artist = catalogue.ids[row], catalogue.titles[row], catalogue.artists[row]
    shown = f"{artist} - {title}" if artist and title else title
    if music is None or "://" in track or track.startswith("spotify:"):
        return track, shown
    return os.path.abspath(os.path.join(music, track)), shown
