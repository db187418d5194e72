"""Published playlists: the real sets, and small files in the published layouts."""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.records import SourcePlaylist, SourceTrack
from ssl_audio.recommenders.data.sources import PUBLISHED, read_source, source_name
from ssl_audio.recommenders.data.store import build_store, open_store
from ssl_audio.recommenders.data.training_data import load_training_data
from ssl_audio.settings.recommend import StoreSettings


def read(name: str, folder: Path) -> tuple[dict[str, list[str]], dict[str, SourceTrack]]:
    """Playlists, and the first metadata of each track."""
    records = list(read_source(f"{name}:{folder}"))
    found = {one.id: one.tracks for one in records if isinstance(one, SourcePlaylist)}
    tracks = {one.id: one for one in reversed(records) if isinstance(one, SourceTrack)}
    return found, tracks


@pytest.mark.parametrize(
    ("name", "playlists", "positions", "tracks", "artists"),
    [("nyphil", 12_769, 64_869, 12_823, True), ("gdshows", 2_076, 39_774, 436, False),
     ("classicrock", 190, 37_667, 2_231, True)],
)  # fmt: skip
def test_the_real_sets_are_complete(
    shared: Path, name: str, playlists: int, positions: int, tracks: int, artists: bool
) -> None:
    found, described = read(name, shared / "playlists")
    assert len(found) == playlists and sum(map(len, found.values())) == positions
    assert len({track for one in found.values() for track in one}) == tracks == len(described)
    assert any(one.artist for one in described.values()) == artists


def test_a_store_says_where_its_data_are_from(tmp_path: Path) -> None:
    lines = "playlist,position,track,artist,year\n9,1,b,B,\n9,0,a,A,\n"
    (tmp_path / "nyphil.csv").write_text(lines)
    build_store(tmp_path / "s.db", Path(f"nyphil:{tmp_path}"))
    opened = open_store(tmp_path / "s.db")
    assert list(opened.catalogue().ids) == ["a", "b"]
    assert opened.about["licence"] == "CC0 1.0" and "Philharmonic" in opened.about["citation"]
    assert opened.about["statistics"]["same_artist"] == 0
    assert source_name(Path(f"nyphil:{tmp_path}")) == "nyphil"
    assert source_name(tmp_path / "s.db") == "s.db"
    data = load_training_data(
        Path(f"nyphil:{tmp_path}"), tmp_path, StoreSettings(), min_weight=1, cold=0.0
    )
    assert data.name == "nyphil" and data.notes[0].endswith("archives.nyphil.org. Licence: CC0 1.0")


def test_every_set_has_a_licence_and_names_the_file_that_is_missing(tmp_path: Path) -> None:
    for name, dataset in PUBLISHED.items():
        assert dataset.licence and dataset.citation.endswith(".")
        with pytest.raises(SslAudioError, match=str(tmp_path)):
            list(read_source(f"{name}:{tmp_path}"))


def test_the_challenge_set(tmp_path: Path) -> None:
    """Playlists without tracks or a name, and positions that are not adjacent."""
    track = {"track_uri": "spotify:track:a", "track_name": "A", "artist_name": "B"}
    lists = [
        {"pid": 1000002, "num_holdouts": 16, "num_samples": 0, "num_tracks": 16, "tracks": [],
         "name": "Party"},
        {"pid": 1000003, "num_holdouts": 5, "num_samples": 2, "num_tracks": 7,
         "tracks": [track | {"pos": 6, "track_uri": "spotify:track:z"}, track | {"pos": 2}]},
    ]  # fmt: skip
    (tmp_path / "challenge_set.json").write_text(json.dumps({"name": "x", "playlists": lists}))
    found, tracks = read("mpd-challenge", tmp_path)
    assert found == {"1000002": [], "1000003": ["spotify:track:a", "spotify:track:z"]}
    assert tracks["spotify:track:a"] == SourceTrack("spotify:track:a", "A", "B")


def test_slices_below_data(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    lists = [{"pid": 0, "tracks": [{"pos": 0, "track_uri": "u"}]}]
    path = tmp_path / "data" / "mpd.slice.0-999.json"
    path.write_text(json.dumps({"info": {}, "playlists": lists}))
    assert read("mpd", tmp_path)[0] == {"0": ["u"]}


def test_lastfm_in_sessions(tmp_path: Path) -> None:
    """Latest first, a track without MusicBrainz id, quotes that quote nothing."""
    path = tmp_path / "userid-timestamp-artid-artname-traid-traname.tsv"
    path.write_text(
        'user_000001\t2009-05-04T23:40:00Z\tm\tDeep Dish\t\tFuck "Me\n'
        "user_000001\t2009-05-04T23:08:57Z\tm\tDeep Dish\tn\tB\n"
        "user_000001\t2009-05-04T22:00:00Z\tm\tÅ\tn\tA\n"
        "user_000002\t2009-05-04T22:00:00Z\tm\tÅ\tn\tA\n"
    )
    found, tracks = read("lastfm-1k", tmp_path)
    assert found == {
        "user_000001:0": ["Å - A"],
        "user_000001:1": ["Deep Dish - B"],
        "user_000001:2": ['Deep Dish - Fuck "Me'],
        "user_000002:0": ["Å - A"],
    }
    assert tracks["Å - A"] == SourceTrack("Å - A", "A", "Å")
    path.write_text("user_000001\tyesterday\tm\tÅ\tn\tA\n")
    with pytest.raises(SslAudioError, match="traname.tsv: .*Row #1.*yesterday"):
        read("lastfm-1k", tmp_path)


def test_thirty_music(tmp_path: Path) -> None:
    for name in ("entities", "relations"):
        (tmp_path / name).mkdir()
    (tmp_path / "entities" / "tracks.idomaar").write_text(
        'track\t7\t-1\t{"duration":-1,"playcount":4,"MBID":null,'
        '"name":"Sigur+R%C3%B3s/_/Svefn-g"}\t{"artists":[{"type":"person","id":3}],"albums":[]}\n'
    )
    (tmp_path / "entities" / "playlist.idomaar").write_text(
        'playlist\t0\t1216134990\t{"ID":1979608,"Title":"my "best" \\ list","numtracks":2}\t'
        '{"subjects":[{"type":"user","id":41504}],"objects":[{"type":"track","id":8},'
        '{"type":"track","id":7}]}\n'
        'playlist\t1\t1216134991\t{"ID":2}\t{"subjects":[{"type":"user","id":1}],"objects":[[]]}\n'
    )
    sessions = tmp_path / "relations" / "sessions.idomaar"
    sessions.write_text(  # a space where a tab is expected
        'event.session\t287144\t1390231051\t{"numtracks":1,"playtime":547} {"subjects":'
        '[{"type":"user","id":44361}],"objects":[{"type":"track","id":7,"playstart":0,'
        '"playtime":290,"playratio":0.99,"action":"play"}]}\n'
    )
    found, tracks = read("30music-playlists", tmp_path)
    assert found == {"0": ["8", "7"], "1": []}
    assert tracks == {"7": SourceTrack("7", "Svefn-g", "Sigur Rós")}
    assert read("30music", tmp_path)[0] == {"287144": ["7"]}
    sessions.write_text('event.session\t1\t2\t{}\t{"subjects":[]}\n')
    with pytest.raises(SslAudioError, match="sessions.idomaar, line 1: no objects"):
        read("30music", tmp_path)


def test_art_of_the_mix(tmp_path: Path) -> None:
    mix = {"mix_id": 3, "category": "Mixed Genre", "timestamp": "2004-10-19T07:46:00", "user": {},
           "filtered_lists": [["SOVMFRV12A8C138B40"]],
           "playlist": [[["peter murphy", "cuts you up"], "SOVMFRV12A8C138B40"],
                        [["ministry", "what about us"], None]]}  # fmt: skip
    path = tmp_path / "aotm2011_playlists.json.gz"
    path.write_bytes(gzip.compress(json.dumps([mix]).encode()))
    found, tracks = read("aotm-2011", tmp_path)
    assert found == {"3": ["peter murphy - cuts you up", "ministry - what about us"]}
    assert tracks[found["3"][1]].artist == "ministry"
    path.write_bytes(gzip.compress(json.dumps([mix, {"mix_id": 4, "playlist": [["a"]]}]).encode()))
    with pytest.raises(SslAudioError, match="json.gz, playlist 2: "):
        read("aotm-2011", tmp_path)


def test_yambda_in_sessions(tmp_path: Path) -> None:
    columns = {
        "uid": np.array([7, 7, 7, 9], np.uint32),
        "timestamp": np.array([0, 1795, 3600, 5], np.uint32),
        "item_id": np.array([3, 1, 3, 2], np.uint32), "is_organic": np.ones(4, np.uint8),
        "played_ratio_pct": np.full(4, 100, np.uint16),
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "listens.parquet")
    assert read("yambda", tmp_path)[0] == {"7:0": ["3", "1"], "7:1": ["3"], "9:0": ["2"]}


@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_melon(tmp_path: Path, suffix: str) -> None:
    song = {"id": 0, "song_name": "Feelings", "album_name": "Feelings", "album_id": 2255639,
            "artist_id_basket": [2727], "artist_name_basket": ["Various", "Artists"],
            "song_gn_gnr_basket": ["GN0900"], "song_gn_dtl_gnr_basket": ["GN0901"],
            "issue_date": "20140512"}  # fmt: skip
    playlist = {"id": 61281, "plylst_title": "x", "tags": ["록"], "songs": [525514, 0],
                "like_cnt": 71, "updt_date": "2013-12-19 18:36:19.000"}  # fmt: skip
    for name, row in (("song_meta", song), ("train", playlist)):
        if suffix == "json":
            (tmp_path / f"{name}.json").write_text(json.dumps([row]))
        else:
            pq.write_table(pa.Table.from_pylist([row]), tmp_path / f"{name}.parquet")
    found, tracks = read("melon", tmp_path)
    assert found == {"61281": ["525514", "0"]}
    assert tracks == {"0": SourceTrack("0", "Feelings", "Various|Artists", "Feelings", "GN0900")}


def test_movielens_by_time(tmp_path: Path) -> None:
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n1,Toy Story,Comedy\n7,Heat,Crime\n")
    lines = "userId,movieId,rating,timestamp\n5,7,4,200\n5,1,3,100\n4,7,1,5\n"
    (tmp_path / "ratings.csv").write_text(lines)
    found, tracks = read("movielens", tmp_path)
    assert found == {"5": ["1", "7"], "4": ["7"]}
    assert tracks["1"] == SourceTrack("1", "Toy Story", genre="Comedy")
