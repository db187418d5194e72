"""A listener's playlist, written on by a trained transformer."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Catalogue
from ssl_audio.recommenders.data.node_features import read_embeddings
from ssl_audio.recommenders.data.sources import SourceTrack, read_m3u, write_m3u
from ssl_audio.recommenders.data.store import open_store
from ssl_audio.recommenders.data.vocabulary import UNKNOWN
from ssl_audio.recommenders.models.sampling_decoder import generate, track_index
from ssl_audio.recommenders.models.transformer import PlaylistTransformer, load_transformer

LARGE = 200_000  # tracks from which a graph search pays

Settings = Mapping[str, Any]


def continue_playlist(settings: Settings, path: Path, output: Path) -> int:
    """Write an M3U of the tracks that go on from a playlist: the new ones alone, in order.

    None of them comes twice or is in the playlist. Entries are absolute paths where the music
    folder is known, ids else; artist and title stand beside them where the run's playlists told.

    Args:
        settings: of `recommend`: run_dir, length, k, seed, approximate, and, where they are not
            as the run had them, music and stores.embeddings.
        path: the playlist. Entries that the model does not know are counted and read as unknown
            tracks.
        output: of the new M3U; its folder exists.

    Returns:
        The number of tracks in it.

    Raises:
        SslAudioError: no such playlist or run, a run without a transformer or whose playlists have
            changed, no entry that is known, or more tracks wanted than there are.
    """
    _check_files(path, output)
    run = Path(settings["run_dir"])
    told = _configuration(run)
    catalogue = _catalogue(run, told)
    model = _transformer(run, settings["stores"]["embeddings"] or told["stores"]["embeddings"],
                         catalogue)  # fmt: skip
    music = settings["music"] or _music(told)
    seeds = _known(read_m3u(path, music), model, catalogue, path)
    index = track_index(model, _by_graph(settings["approximate"], len(model.recommendable)))
    length, k = settings["length"], settings["k"]
    added = generate(model, [seeds], length, k, settings["seed"], index)[0]
    write_m3u(output, [_entry(catalogue, row, music) for row in added])
    return len(added)


def _check_files(path: Path, output: Path) -> None:
    if not path.is_file():
        raise SslAudioError(f"playlist={path}: no such file")
    if output.exists() and output.samefile(path):
        raise SslAudioError(f"output={output} is the playlist itself: name another file")


def _configuration(run: Path) -> dict[str, Any]:
    """What the run was asked."""
    from omegaconf import OmegaConf

    try:
        told = OmegaConf.to_container(OmegaConf.load(run / "config.yaml"))
    except OSError as error:
        raise SslAudioError(
            f"run_dir={run}: no run of python -m ssl_audio.recommend is there"
        ) from error
    if not isinstance(told, dict) or "playlists" not in told or "stores" not in told:
        raise SslAudioError(f"run_dir={run} is a run of another command than recommend")
    if told["playlists"] is None:
        raise SslAudioError(f"run_dir={run} was trained on MovieLens, and has no playlists")
    return told  # type: ignore[return-value]


def _catalogue(run: Path, told: Settings) -> Catalogue:
    """The tracks that the run was trained on, in its order."""
    given = Path(told["playlists"])
    store = open_store(given if given.suffix == ".duckdb" else run / "playlists.duckdb")
    results = run / "results.json"
    if results.is_file():
        hashes = json.loads(results.read_text())["data"]["hashes"]
        if hashes["playlists"] != store.about["content"]:
            raise SslAudioError(f"{store.path} has changed since run_dir={run}: train again")
    return store.catalogue()


def _transformer(run: Path, embeddings: str | None, catalogue: Catalogue) -> PlaylistTransformer:
    """The run's transformer; of one with sound and one without, that which the store fits."""
    found = sorted((run / "systems").glob("main-transformer*/model"))
    if not found:
        raise SslAudioError(
            f"run_dir={run} has no trained transformer: train one with model=transformer"
        )
    audio, heard = read_embeddings(embeddings, catalogue) if embeddings else (None, None)
    model = load_transformer(found[-1] if embeddings else found[0], audio, heard)
    if model.vocabulary.catalogue != len(catalogue):
        raise SslAudioError(
            f"run_dir={run}: trained on {model.vocabulary.catalogue} tracks, and its playlists "
            f"have {len(catalogue)} now: train again"
        )
    return model


def _music(told: Settings) -> str | None:
    """The folder that the run's ids are relative to, where it was told: of M3Us, their own."""
    given = Path(told["playlists"])
    if told["music"] or given.suffix in (".duckdb", ".csv", ".parquet", ".json"):
        return told["music"]
    return str(given if given.is_dir() else given.parent)


def _known(
    entries: Sequence[SourceTrack], model: PlaylistTransformer, catalogue: Catalogue, path: Path
) -> list[int]:
    """Rows of the entries, -1 of those that the model does not know, which are counted."""
    if not entries:
        raise SslAudioError(f"playlist={path}: no track in it")
    rows = np.array([catalogue.row.get(entry.id, -1) for entry in entries])
    known = model.readable.of(rows) != UNKNOWN
    if not known.any():
        ours = catalogue.ids[int(model.recommendable[0])]
        raise SslAudioError(
            f"playlist={path}: the model knows none of its {len(rows)} tracks; they are called "
            f"{entries[0].id!r} here and {ours!r} there: is music= the folder above them?"
        )
    if not known.all():
        first = entries[int(known.argmin())].id
        say(
            f"{int((~known).sum())} of {len(rows)} tracks are unknown to the model, such as {first}"
        )
    return rows.tolist()


def _by_graph(approximate: Any, tracks: int) -> bool:
    if approximate is None:
        return tracks > LARGE
    if not isinstance(approximate, bool):
        raise SslAudioError(f"approximate={approximate}: true, false or null")
    return approximate


def _entry(catalogue: Catalogue, row: int, music: str | None) -> tuple[str, str]:
    """A track's path and what a player shows."""
    track, title, artist = catalogue.ids[row], catalogue.titles[row], catalogue.artists[row]
    shown = f"{artist} - {title}" if artist and title else title
    if music is None or "://" in track or track.startswith("spotify:"):
        return track, shown
    return os.path.abspath(os.path.join(music, track)), shown
