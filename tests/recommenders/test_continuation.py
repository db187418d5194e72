"""Playlists continued by the transformer of a run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders import continuation
from ssl_audio.recommenders.continuation import continue_playlist
from ssl_audio.recommenders.data.collection import Catalogue, playlists_of
from ssl_audio.recommenders.data.m3u import read_m3u, write_m3u
from ssl_audio.recommenders.data.store import open_store, store_playlists
from ssl_audio.recommenders.data.vocabulary import vocabulary_of
from ssl_audio.recommenders.models.sampling_decoder import generate
from ssl_audio.recommenders.models.track_embedding import SideInformation
from ssl_audio.recommenders.models.transformer import PlaylistTransformer, load_transformer
from ssl_audio.recommenders.track_index import TrackIndex
from ssl_audio.reports.results import (
    PlaylistData,
    PlaylistResults,
    read_results,
    write_results,
)
from ssl_audio.settings.complete import CompleteSettings
from ssl_audio.settings.recommend import (
    CompletionSettings,
    RecommendSettings,
    StoreSettings,
    TransformerSettings,
)
from ssl_audio.settings.tree import plain
from ssl_audio.stores.columns import Row
from ssl_audio.stores.writer import Store

TRACKS, WARM = 40, 30  # the last ten are in no playlist
IDS = [f"artist {k // 4}/{k:02d} song.mp3" for k in range(TRACKS)]
CATALOGUE = Catalogue(
    IDS,
    artists=[f"Artist {k // 4}" if k % 3 else "" for k in range(TRACKS)],
    titles=[f"Song {k}" if k % 5 else "" for k in range(TRACKS)],
)


def make_run(folder: Path, has_audio: bool = False, **options: Any) -> Path:
    """A run folder of `recommend model=transformer`, with random weights."""
    run = folder / "run"
    (run / "systems").mkdir(parents=True)
    stored = folder / "playlists.duckdb"
    lists = playlists_of([[*range(k, k + 10)] for k in range(WARM - 9)])
    store_playlists(lists, CATALOGUE, stored)
    audio = np.random.default_rng(0).normal(size=(TRACKS, 4)).astype(np.float32)
    embeddings = folder / "embeddings.parquet"
    if has_audio:
        store = Store(embeddings, {"kind": "test"})
        for name, vector in zip(IDS, audio, strict=True):
            store.add(Row(name, name, 1.0, "", vector))
        store.close()
    model = PlaylistTransformer(
        vocabulary_of(lists, TRACKS),
        TransformerSettings(layers=1, heads=2, dimensions=16, feed_forward=16, context=8),
        SideInformation(audio, np.ones(TRACKS, bool)) if has_audio else None,
    )
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=rng))
    system = "transformer-embeddings" if has_audio else "transformer"
    model.save(run / "systems" / system / "model")
    stores = StoreSettings(embeddings=embeddings if has_audio else None)
    cold = CompletionSettings(cold=0)
    used = RecommendSettings(playlists=stored, stores=stores, completion=cold, **options)
    hashes = {"playlists": str(open_store(stored).about["content"])}
    data = PlaylistData(name="made", counts={}, notes=(), hashes=hashes)
    write_results(run, PlaylistResults(
        run=str(run), seed=0, config=plain(used), versions={}, seconds={}, protocol="", data=data,
        tables=(), losses={}, correlation=None, models={"transformer": system},
    ))  # fmt: skip
    return run


def more(run: Path, playlist: Path, output: Path, **changed: Any) -> int:
    """Continue a playlist; returns how many tracks were added."""
    given = {"length": 8, "k": 5, **changed}
    stores = StoreSettings(embeddings=given.pop("embeddings", None))
    continue_playlist(
        CompleteSettings(playlist=playlist, output=output, run=run, stores=stores, **given)
    )
    return len(read_m3u(output))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path)


@pytest.fixture
def playlist(tmp_path: Path) -> Path:
    """Its entries are below the folder that it is in."""
    path = tmp_path / "my.m3u"
    write_m3u(path, [(IDS[k], "") for k in (3, 4, 5)])
    return path


def generated(model: PlaylistTransformer, history: list[int]) -> list[int]:
    vectors = model.output_vectors(np.arange(len(IDS))).numpy()
    index = TrackIndex(vectors, model.recommendable, False, None)
    return generate(model, history, 8, 5, 0, index=index)


def test_the_new_tracks_are_what_the_model_generates(run: Path, playlist: Path) -> None:
    output = playlist.with_name("my-more.m3u")
    assert more(run, playlist, output) == 8
    model = load_transformer(run / "systems" / "transformer" / "model")
    expected = generated(model, [3, 4, 5])
    assert [track.id for track in read_m3u(output)] == [IDS[row] for row in expected]
    assert not {3, 4, 5} & set(expected) and len(set(expected)) == 8 and max(expected) < WARM
    first = output.read_bytes()
    more(run, playlist, output)
    assert output.read_bytes() == first
    more(run, playlist, output, seed=1)
    assert output.read_bytes() != first


def test_titles_stand_where_the_catalogue_has_them(run: Path, playlist: Path) -> None:
    output = playlist.with_name("more.m3u")
    more(run, playlist, output, length=WARM - 3)
    lines = output.read_text().splitlines()
    shown = {line: before for before, line in zip(lines, lines[1:], strict=False)}
    assert len([line for line in lines if not line.startswith("#")]) == WARM - 3
    assert shown[IDS[7]] == "#EXTINF:-1,Artist 1 - Song 7"
    assert shown[IDS[6]] == "#EXTINF:-1,Song 6"  # no artist
    assert not shown[IDS[10]].startswith("#EXTINF")  # no title


def test_entries_lead_to_the_music_folder(run: Path, tmp_path: Path) -> None:
    music, lists = tmp_path / "music", tmp_path / "lists"
    lists.mkdir()
    write_m3u(lists / "my.m3u", [(str(music / IDS[k]), "") for k in (3, 4)])
    output = lists / "more.m3u"
    more(run, lists / "my.m3u", output, music=music)
    entries = [line for line in output.read_text().splitlines() if not line.startswith("#")]
    assert len(entries) == 8 and all(entry.startswith(f"{music}/artist ") for entry in entries)
    assert {str(Path(entry).relative_to(music)) for entry in entries} < set(IDS)


def test_the_music_folder_of_the_run_serves_too(tmp_path: Path) -> None:
    run = make_run(tmp_path, music=tmp_path / "music")
    write_m3u(tmp_path / "my.m3u", [(f"music/{IDS[3]}", "")])
    more(run, tmp_path / "my.m3u", tmp_path / "more.m3u")
    for track in read_m3u(tmp_path / "more.m3u", tmp_path / "music"):
        assert track.id in IDS


def test_ids_that_are_no_paths_stay_as_they_are() -> None:
    catalogue = Catalogue(["spotify:track:1", "https://example.org/a.mp3", "/abs/b.mp3", "c.mp3"])
    entries = [continuation._entry(catalogue, row, "/music")[0] for row in range(4)]
    assert entries == ["spotify:track:1", "https://example.org/a.mp3", "/abs/b.mp3", "/music/c.mp3"]


def test_unknown_tracks_are_counted_and_read_as_unknown(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that the catalogue lacks, and one that training never saw."""
    path, output = tmp_path / "my.m3u", tmp_path / "more.m3u"
    write_m3u(path, [(IDS[3], ""), ("other/new.mp3", ""), (IDS[35], ""), (IDS[4], "")])
    more(run, path, output)
    lines = capsys.readouterr().err
    assert "2 of 4 tracks are unknown to the model" in lines
    assert "unknown: 'other/new.mp3' (1 positions); nearest: " in lines
    model = load_transformer(run / "systems" / "transformer" / "model")
    expected = generated(model, [3, -1, 35, 4])
    assert [track.id for track in read_m3u(output)] == [IDS[row] for row in expected]


def test_sound_makes_tracks_of_no_playlist_known(
    tmp_path: Path, playlist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, output = make_run(tmp_path, has_audio=True), tmp_path / "more.m3u"
    write_m3u(playlist, [(IDS[35], ""), (IDS[4], "")])
    assert more(run, playlist, output, length=TRACKS - 2) == TRACKS - 2
    assert {track.id for track in read_m3u(output)} == set(IDS) - {IDS[35], IDS[4]}
    assert "unknown" not in capsys.readouterr().err


def test_embeddings_that_were_moved_can_be_named_anew(tmp_path: Path, playlist: Path) -> None:
    run, output = make_run(tmp_path, has_audio=True), tmp_path / "more.m3u"
    moved = (tmp_path / "embeddings.parquet").rename(tmp_path / "moved.parquet")
    with pytest.raises(SslAudioError, match="embeddings.parquet: no such file"):
        more(run, playlist, output)
    assert more(run, playlist, output, embeddings=moved) == 8


def refused(
    playlist: Path, run: Path, match: str, output: Path | None = None, **changed: Any
) -> None:
    output = output or playlist.with_name("more.m3u")
    with pytest.raises(SslAudioError, match=match) as caught:
        more(run, playlist, output, **changed)
    assert "\n" not in str(caught.value)
    assert output == playlist or not output.exists()


def test_what_cannot_be_used_is_refused_in_a_line(run: Path, playlist: Path) -> None:
    refused(playlist.with_name("none.m3u"), run, "none.m3u: no such file")
    refused(playlist, run.with_name("absent"), "run=.*absent: .*[Nn]o such file")
    refused(playlist, run, "is the playlist itself", output=playlist)
    refused(playlist, run, "length=0: a whole number, 1 or more", length=0)
    refused(playlist, run, "give a smaller length=", length=WARM)
    refused(playlist, run, "cannot write", output=playlist.with_name("no") / "folder.m3u")
    assert [track.id for track in read_m3u(playlist)] == IDS[3:6]


def test_a_playlist_without_a_known_track_is_refused(run: Path, playlist: Path) -> None:
    write_m3u(playlist, [("elsewhere/a.mp3", ""), ("elsewhere/b.mp3", "")])
    refused(playlist, run, "none of its 2 tracks; their ids are like 'elsewhere/a.mp3', "
            "the model's like 'artist 0/00 song.mp3': is music=")  # fmt: skip
    playlist.write_text("#EXTM3U\n")
    refused(playlist, run, "no track in it")


def test_a_simple_model_continues_by_its_scores(run: Path, playlist: Path) -> None:
    """Popularity ranks tracks by their playlists; training playlists are read from the run."""
    results = read_results(run)
    assert isinstance(results, PlaylistResults)
    write_results(run, replace(results, models={"popularity": "popularity"}))
    output = playlist.with_name("more.m3u")
    assert more(run, playlist, output) == 8
    store = open_store(run.parent / "playlists.duckdb")
    counts = np.bincount(store.playlists("train").tracks, minlength=TRACKS)
    counts[[3, 4, 5]] = 0
    added = [IDS.index(track.id) for track in read_m3u(output)]
    np.testing.assert_array_equal(counts[added], np.sort(counts)[::-1][:8])
    other = playlist.with_name("other.m3u")
    refused(playlist, run, "gives 27 tracks: give a smaller length=", other, length=WARM)


def test_runs_without_the_model_are_refused(run: Path, playlist: Path) -> None:
    refused(playlist, run, "no trained musig, it has transformer", model="musig")
    (run / "results.json").write_text("{}")
    refused(playlist, run, "run=.*run/results.json: no results of")


def test_playlists_that_have_changed_are_refused(run: Path, playlist: Path) -> None:
    """The rows of tracks in another store are different ones."""
    stored = run.parent / "playlists.duckdb"
    stored.unlink()
    refused(playlist, run, "no such file")
    store_playlists(playlists_of([[0, 1, 2]]), Catalogue(IDS[:WARM]), stored)
    refused(playlist, run, "playlists.duckdb has changed since")
