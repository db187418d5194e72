"""Readers of playlists: every format, and malformed files."""

import contextlib
import gzip
import json
import math
import os
import unicodedata
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.m3u import read_m3u, write_m3u
from ssl_audio.recommenders.data.records import SourcePlaylist, SourceTrack
from ssl_audio.recommenders.data.sources import read_source
from ssl_audio.recommenders.data.track_ids import TrackIds, unknown_lines


def playlists(path: Path, **settings: object) -> dict[str, list[str]]:
    found = read_source(path, **settings)
    return {one.id: one.tracks for one in found if isinstance(one, SourcePlaylist)}


def details(path: Path) -> list[SourceTrack]:
    return [one for one in read_source(path) if isinstance(one, SourceTrack)]


def mpd_track(pos: int, name: str) -> dict:
    return {
        "pos": pos,
        "artist_name": f"artist of {name}",
        "track_uri": f"spotify:track:{name}",
        "artist_uri": "spotify:artist:x",
        "track_name": f"title of {name}",
        "album_uri": "spotify:album:x",
        "duration_ms": 226863,
        "album_name": f"album of {name}",
    }


def mpd_slice(path: Path, lists: dict[int, list[dict]]) -> Path:
    found = [{"name": "Throwbacks", "pid": p, "tracks": t} for p, t in lists.items()]
    path.write_text(json.dumps({"info": {"slice": "0-999"}, "playlists": found}, indent=1))
    return path


# --- Million Playlist Dataset


def test_slices_are_read_by_number_and_tracks_by_pos(tmp_path: Path) -> None:
    mpd_slice(tmp_path / "mpd.slice.1000-1999.json", {1000: [mpd_track(0, "a")]})
    mpd_slice(tmp_path / "mpd.slice.0-999.json", {0: [mpd_track(1, "b"), mpd_track(0, "a")]})
    found = list(read_source(tmp_path))
    assert [one.id for one in found if isinstance(one, SourcePlaylist)] == ["0", "1000"]
    assert playlists(tmp_path)["0"] == ["spotify:track:a", "spotify:track:b"]
    assert details(tmp_path) == [
        SourceTrack(f"spotify:track:{n}", f"title of {n}", f"artist of {n}", f"album of {n}")
        for n in "ba"
    ]
    first = found.index(SourcePlaylist("0", ["spotify:track:a", "spotify:track:b"]))
    assert first == 2  # metadata precedes the playlist


def test_broken_json_is_found_by_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "mpd.slice.0-999.json"
    path.write_text('{"info": {},\n "playlists": [\n  {"pid": 0, "tracks" []}]}')
    with pytest.raises(SslAudioError, match=r"mpd.slice.0-999.json, line 3, column 23: broken"):
        list(read_source(tmp_path))


def test_json_cut_off_is_broken(tmp_path: Path) -> None:
    path = mpd_slice(tmp_path / "mpd.slice.0-999.json", {0: [mpd_track(0, "a")]})
    path.write_text(path.read_text()[:200])
    with pytest.raises(SslAudioError, match=r"line \d+, column \d+: broken JSON"):
        list(read_source(path))


@pytest.mark.parametrize("key", ["pid", "tracks"])
def test_a_playlist_without_a_key_is_named(tmp_path: Path, key: str) -> None:
    whole = {"pid": 17, "tracks": [mpd_track(0, "a")]}
    broken = {name: value for name, value in whole.items() if name != key}
    path = tmp_path / "mpd.slice.0-999.json"
    path.write_text(json.dumps({"playlists": [{**whole, "pid": 3}, broken]}))
    which = "playlist 2: no pid" if key == "pid" else r"playlist 2 \(pid 17\): no tracks"
    with pytest.raises(SslAudioError, match=which):
        list(read_source(path))


@pytest.mark.parametrize("key", ["pos", "track_uri"])
def test_a_track_without_a_key_is_named(tmp_path: Path, key: str) -> None:
    broken = mpd_track(1, "b")
    del broken[key]
    path = mpd_slice(tmp_path / "challenge_set.json", {5: [mpd_track(0, "a"), broken]})
    with pytest.raises(SslAudioError, match=rf"playlist 1 \(pid 5\), track 2: no {key}"):
        list(read_source(path))


@pytest.mark.parametrize("text", ["[]", "{}", '{"playlists": 3}'])
def test_json_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(SslAudioError, match="no list named playlists"):
        list(read_source(path))


@pytest.mark.parametrize("playlist", ["text", ["pid"], {"pid": 1, "tracks": [3]}])
def test_json_of_other_shapes_is_refused(tmp_path: Path, playlist: object) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"playlists": [playlist]}))
    with pytest.raises(SslAudioError, match="other.json, playlist 1"):
        list(read_source(path))


@pytest.mark.parametrize(
    "change, error",
    [
        ({"track_uri": None}, "no track_uri"),
        ({"track_uri": ["spotify:track:a"]}, "track_uri is list, text or a number is expected"),
        ({"track_uri": True}, "track_uri is bool"),
        ({"track_name": {"en": "x"}}, "track_name is dict"),
        ({"pos": None}, "pos is not a number"),
        ({"pos": float("nan")}, "pos is not a number"),
        ({"pos": [0]}, "pos is not a number"),
        ({"pos": True}, "pos is not a number"),
    ],
)
def test_json_values_of_other_types_are_refused(tmp_path: Path, change: dict, error: str) -> None:
    path = mpd_slice(tmp_path / "a.json", {5: [mpd_track(0, "a"), mpd_track(1, "b") | change]})
    with pytest.raises(SslAudioError, match=rf"a.json, playlist 1 \(pid 5\), track 2: {error}"):
        list(read_source(path))


def test_json_names_that_are_missing_and_numbers_are_read(tmp_path: Path) -> None:
    odd = {"track_name": 1999, "artist_name": None, "album_name": float("nan"), "pos": "1"}
    first = mpd_track(0, "b") | {"pos": 0.5}
    path = mpd_slice(tmp_path / "a.json", {5: [mpd_track(0, "a") | odd, first]})
    assert playlists(path) == {"5": ["spotify:track:b", "spotify:track:a"]}
    assert details(path)[0] == SourceTrack("spotify:track:a", title="1999")


def test_json_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 200_000)
    with pytest.raises(SslAudioError, match="a.json: JSON that is nested too deeply"):
        list(read_source(tmp_path / "a.json"))


def test_a_lone_surrogate_becomes_text(tmp_path: Path) -> None:
    track = {**mpd_track(0, "a"), "track_name": "\ud83d"}
    path = mpd_slice(tmp_path / "a.json", {0: [track]})
    assert details(path)[0].title == "?"


# --- tables


def test_csv_keeps_lines_in_order_and_duplicates(tmp_path: Path) -> None:
    path = tmp_path / "lists.csv"
    path.write_text("playlist,track\nmine,b\nyours,a\nmine,a\nmine,b\n")
    assert playlists(path) == {"mine": ["b", "a", "b"], "yours": ["a"]}
    assert details(path) == []


def test_csv_is_ordered_by_position_and_ties_by_line(tmp_path: Path) -> None:
    path = tmp_path / "lists.csv"
    path.write_text("position,track,playlist\n10,d,p\n9,b,p\n9,c,p\n-1.5,a,p\n0,z,q\n")
    assert playlists(path) == {"p": ["a", "b", "c", "d"], "q": ["z"]}


def test_csv_gives_the_metadata_of_a_track_once(tmp_path: Path) -> None:
    path = tmp_path / "lists.csv"
    path.write_text(
        "\ufeffplaylist,track,artist,genre,mood\r\n"
        'p,a,"Bartók, Béla",folk,glad\r\n\r\np,b,,,\r\nq,a,other,other,\r\n',
        encoding="utf-8",
    )
    assert details(path) == [
        SourceTrack("a", artist="Bartók, Béla", genre="folk"),
        SourceTrack("b"),
    ]


@pytest.mark.parametrize(
    "text, error",
    [
        ("playlist,track\np,a\np\n", "line 3: 1 fields; the header has 2"),
        ("playlist,track\np,a,b\n", "line 2: 3 fields"),
        ("playlist,track\n\np,\n", "line 3: no track"),
        ("playlist,track\n,a\n", "line 2: no playlist"),
        ("playlist,track,position\np,a,1\np,b,first\n", "line 3: position is not a number"),
        ("playlist,track,position\np,a,nan\n", "line 2: position is not a number"),
        ('playlist,track\np,"a\nb"\np\n', "line 4: 1 fields"),
        ('playlist,track\np,a\np,"b\np,c\n', "line 3: unexpected end"),
        ('playlist,track\np,"a"b\n', "line 2: .*expected after"),
        ("playlist,song\np,a\n", "no column track"),
        ("", "no column playlist"),
    ],
)
def test_a_malformed_csv_is_found_by_its_line(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "lists.csv"
    path.write_text(text)
    with pytest.raises(SslAudioError, match=f"lists.csv.*{error}"):
        list(read_source(path))


def test_a_csv_that_is_not_utf8_is_found_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "lists.csv"
    path.write_bytes(b"playlist,track\n" + b"p,a\n" * 5000 + "p,é\n".encode("latin-1"))
    with pytest.raises(SslAudioError, match="line 5002: not UTF-8"):
        list(read_source(path))


lines = st.lists(st.tuples(st.sampled_from("pqr"), st.sampled_from("abcde"), st.integers(0, 3)))


@settings(max_examples=50, deadline=None)
@given(lines, st.booleans())
def test_csv_and_parquet_equal_a_plain_sort(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int]], ordered: bool
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    names = ["playlist", "track", *(["position"] if ordered else [])]
    text = [",".join(map(str, row[: len(names)])) for row in rows]
    (folder / "t.csv").write_text("\n".join([",".join(names), *text]))
    columns = {name: [row[k] for row in rows] for k, name in enumerate(names)}
    schema = pa.schema([(n, pa.int64() if n == "position" else pa.string()) for n in names])
    pq.write_table(pa.table(columns, schema=schema), folder / "t.parquet")
    expected: dict[str, list] = {}
    for playlist, track, position in rows:
        expected.setdefault(playlist, []).append((position, track))
    expected = {
        playlist: [t for _, t in (sorted(found, key=lambda f: f[0]) if ordered else found)]
        for playlist, found in expected.items()
    }
    for name in ("t.csv", "t.parquet"):
        got = playlists(folder / name)
        assert got == expected and list(got) == list(expected)


def parquet(path: Path, **columns: list) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


def test_parquet_takes_numbers_as_ids_and_details(tmp_path: Path, monkeypatch) -> None:
    # a track is in several batches
    monkeypatch.setattr("ssl_audio.recommenders.data.tables.BATCH", 2)
    path = parquet(
        tmp_path / "lists.parquet",
        playlist=[1, 2, 1, 1, 2],
        track=["a", "a", "c", "b", "d"],
        position=[3, 0, 1, 2, 1],
        artist=["A", "other", None, "B", "D"],
    )
    assert playlists(path) == {"1": ["c", "b", "a"], "2": ["a", "d"]}
    assert details(path) == [
        SourceTrack("a", artist="A"),
        SourceTrack("c"),
        SourceTrack("b", artist="B"),
        SourceTrack("d", artist="D"),
    ]


@pytest.mark.parametrize(
    "columns, error",
    [
        ({"playlist": ["p"] * 3, "track": ["a", "b", None]}, "row 3: no track"),
        ({"playlist": ["p", "", "p"], "track": ["a", "b", "c"]}, "row 2: no playlist"),
        ({"playlist": ["p"], "track": ["a"], "position": [None]}, "row 1: position"),
        ({"playlist": ["p"], "track": ["a"], "position": ["x"]}, "row 1: position is not a number"),
        ({"playlist": ["p"], "song": ["a"]}, "no column track among playlist, song"),
        ({"playlist": ["p"], "track": [["a"]]}, "column track is of type list<.*, not text"),
        ({"playlist": [{"a": 1}], "track": ["a"]}, "column playlist is of type struct"),
        ({"playlist": ["p"], "track": [True]}, "column track is of type bool"),
        ({"playlist": ["p"] * 2, "track": [7.0, float("nan")]}, "row 2: no track"),
        ({"playlist": ["p"], "track": ["a"], "artist": [["A"]]}, "column artist is of type list"),
        ({"playlist": ["p"], "track": ["a"], "position": [[1]]}, "column position is .*list"),
        ({"playlist": ["p"], "track": ["a"], "position": [True]}, "column position is .*bool"),
        ({"playlist": ["p"], "track": ["a"], "position": [math.inf]}, "row 1: position"),
        ({"playlist": ["p"], "track": [b"\xff"]}, "cannot read"),
    ],
)
def test_a_malformed_parquet_is_refused(tmp_path: Path, columns: dict, error: str) -> None:
    with pytest.raises(SslAudioError, match=error):
        list(read_source(parquet(tmp_path / "lists.parquet", **columns)))


@pytest.mark.parametrize(
    "positions",
    [
        [2.0, 0.5, 1.0],
        ["10", "8", "9.5"],
        [10**18 + 2, 10**18, 10**18 + 1],  # nanoseconds, which no float64 tells apart
        np.array(["2020-01-03", "2019-01-01", "2020-01-02"], "datetime64[D]"),
        pa.array([3, 1, 2]).dictionary_encode(),
    ],
)
def test_parquet_is_ordered_by_positions_of_any_type(tmp_path: Path, positions: list) -> None:
    table = pa.table({"playlist": ["p"] * 3, "track": ["c", "a", "b"], "position": positions})
    pq.write_table(table, tmp_path / "lists.parquet")
    assert playlists(tmp_path / "lists.parquet") == {"p": ["a", "b", "c"]}


def test_parquet_takes_whole_numbers_with_gaps_and_categories(tmp_path: Path) -> None:
    """As pandas stores them."""
    path = parquet(
        tmp_path / "lists.parquet",
        playlist=pa.array(["p", "q"]).dictionary_encode(),
        track=[12.0, 7.0],
        artist=[float("nan"), 3.0],
        title=pa.nulls(2),
    )
    assert playlists(path) == {"p": ["12"], "q": ["7"]}
    assert details(path) == [SourceTrack("12"), SourceTrack("7", artist="3")]


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("playlist,track,track\np,a,b\n")
    table = pa.Table.from_arrays([pa.array(["p"])] * 3, ["playlist", "track", "track"])
    pq.write_table(table, tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        with pytest.raises(SslAudioError, match="more than one column track"):
            list(read_source(tmp_path / name))


def test_a_compressed_csv(tmp_path: Path) -> None:
    content = gzip.compress(b"playlist,track\np,a\np,\n")
    (tmp_path / "a.csv.gz").write_bytes(content)
    with pytest.raises(SslAudioError, match="a.csv.gz, line 3: no track"):
        list(read_source(tmp_path / "a.csv.gz"))
    (tmp_path / "a.csv.gz").write_bytes(content[:-12])
    with pytest.raises(SslAudioError, match="cannot read .*a.csv.gz"):
        list(read_source(tmp_path / "a.csv.gz"))


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lists.parquet").write_text("playlist,track\n")
    with pytest.raises(SslAudioError, match="cannot read"):
        list(read_source(tmp_path / "lists.parquet"))


# --- M3U


def test_m3us_of_a_folder_and_the_ids_of_their_entries(tmp_path: Path) -> None:
    lists = tmp_path / "music" / "lists" / "old"
    lists.mkdir(parents=True)
    (lists / "one.m3u").write_text(
        "\ufeff#EXTM3U\r\n#EXTINF:123,Bartók - Mikrokosmos - 1\r\n../../bartok/1.flac\r\n\r\n"
        "#EXTINF:-1,Just a title\r\nhere.mp3\r\n# a remark\r\n../../bartok/1.flac\r\n",
        encoding="utf-8",
    )
    (lists.parent / "two.M3U8").write_text(f"{tmp_path}/music/x.wav\n/elsewhere/y.wav\nno.mp3")
    (lists / "._one.m3u").write_text("hidden.mp3\n")
    music = tmp_path / "music"
    assert playlists(music) == {
        "lists/old/one.m3u": ["bartok/1.flac", "lists/old/here.mp3", "bartok/1.flac"],
        "lists/two.M3U8": ["x.wav", "/elsewhere/y.wav", "lists/no.mp3"],
    }
    assert playlists(music / "lists", root=music) == {
        name.removeprefix("lists/"): tracks for name, tracks in playlists(music).items()
    }
    assert details(music) == [
        SourceTrack("bartok/1.flac", "Mikrokosmos - 1", "Bartók"),
        SourceTrack("lists/old/here.mp3", "Just a title"),
    ]


def test_m3u_from_windows_and_with_urls(tmp_path: Path) -> None:
    path = tmp_path / "lists" / "old.m3u"
    path.parent.mkdir()
    path.write_bytes(
        "#EXTINF:1,Café\n..\\Bartók\\1.mp3\nC:\\Music\\2.mp3\nhttp://host/3.mp3\n"
        "spotify:track:4\nfile:///a/b%20c.mp3\n".encode("cp1252")
    )
    tracks = read_m3u(path, root=tmp_path)
    assert [t.id for t in tracks] == [
        "Bartók/1.mp3", "C:/Music/2.mp3", "http://host/3.mp3", "spotify:track:4", "/a/b c.mp3",
    ]  # fmt: skip
    assert tracks[0].title == "Café"


def test_m3u_below_a_link_to_the_music(tmp_path: Path) -> None:
    (tmp_path / "music" / "lists").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "music")
    (tmp_path / "music" / "lists" / "a.m3u").write_text(f"../x.mp3\n{tmp_path}/music/y.mp3\n")
    for lists in ("music", "link"):
        for root in ("music", "link"):
            found = read_m3u(tmp_path / lists / "lists" / "a.m3u", tmp_path / root)
            assert [t.id for t in found] == ["x.mp3", "y.mp3"], (lists, root)


def test_one_m3u_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "my.m3u").write_text("a.mp3\nsub/b.mp3\n")
    assert playlists(tmp_path / "my.m3u") == {"my.m3u": ["a.mp3", "sub/b.mp3"]}


def test_m3u_with_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xe9t\xe9.m3u")
    Path(path).write_text("a.mp3\n")
    assert list(playlists(tmp_path)) == ["\\xe9t\\xe9.m3u"]


def test_an_m3u_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.m3u"
    for content in (b"\xff\xfea.mp3", b"a\0b\n"):  # half of a character of UTF-16
        path.write_bytes(content)
        with pytest.raises(SslAudioError, match="a.m3u: .*save it as UTF-8"):
            list(read_source(tmp_path))
    path.write_bytes("\ufeffé.mp3\n".encode("utf-16-le"))
    assert playlists(path) == {"a.m3u": ["é.mp3"]}


IDS = [
    "Björk/Jóga.mp3", "AC-DC/Back in Black/01 Hells Bells.flac", "50% off/a+b.ogg", "q\\r/x.wav",
    unicodedata.normalize("NFD", "Beyoncé/Déjà Vu.mp3"), "Sigur Rós/Ágætis/Svefn-g’englar.mp3",
    "Same/x.mp3", "same/X.mp3", "intro.mp3",
]  # fmt: skip


@pytest.mark.parametrize(
    "entry, expected",
    [
        ("Björk/Jóga.mp3".encode(), IDS[0]),
        ("Björk/Jóga.mp3".encode("cp1252"), IDS[0]),
        ("Sigur Rós\\Ágætis\\Svefn-g’englar.mp3".encode("cp1252"), IDS[5]),
        (unicodedata.normalize("NFD", "Björk/Jóga.mp3").encode(), IDS[0]),
        ("Beyoncé/Déjà Vu.mp3".encode(), IDS[4]),
        (b"bj%C3%B6rk/J%C3%B3ga.MP3", IDS[0]),
        (b"Bj%F6rk/J%F3ga.mp3", IDS[0]),
        (b"AC-DC/Back%20in%20Black/01%20Hells%20Bells.flac", IDS[1]),
        (b"../Music/AC-DC/Back in Black/01 Hells Bells.flac", IDS[1]),
        (b"..\\..\\Music\\ac-dc\\back in black\\01 hells bells.FLAC", IDS[1]),
        (b"D:\\Musik\\AC-DC\\Back in Black\\01 Hells Bells.flac", IDS[1]),
        (b"\\\\nas\\music\\AC-DC\\Back in Black\\01 Hells Bells.flac", IDS[1]),
        (b"file:///C:/Users/me/Music/AC-DC/Back%20in%20Black/01%20Hells%20Bells.flac", IDS[1]),
        (b"file://localhost/home/me/AC-DC/Back%20in%20Black/01%20Hells%20Bells.flac", IDS[1]),
        (b"Back in Black/01 Hells Bells.flac", IDS[1]),  # the music folder is deeper
        (b"C:\\Music\\intro.mp3", IDS[8]),
        (b"50% off/a+b.ogg", IDS[2]),
        (b"50%25%20off/a+b.ogg", IDS[2]),
        (b"q\\r/x.wav", IDS[3]),
        (b"Same/x.mp3", IDS[6]),
        (b"same/X.mp3", IDS[7]),
        (b"SAME/x.mp3", "SAME/x.mp3"),  # one of two
        (b"Other/intro.mp3", "Other/intro.mp3"),  # another file in the music folder
        (b"01 Hells Bells.flac", "01 Hells Bells.flac"),
        (b"http://host/Bj%C3%B6rk/J%C3%B3ga.mp3", "http://host/Bj%C3%B6rk/J%C3%B3ga.mp3"),
    ],
)
def test_entries_are_matched_to_known_ids(tmp_path: Path, entry: bytes, expected: str) -> None:
    path = tmp_path / "Music" / "my.m3u"
    path.parent.mkdir()
    path.write_bytes(b"\xef\xbb\xbf#EXTM3U\r\n" + entry + b"\r\n")
    assert [t.id for t in read_m3u(path, known=TrackIds(IDS))] == [expected]


WRITTEN = {  # an id as a player writes it
    "composed": lambda track: unicodedata.normalize("NFC", track),
    "decomposed": lambda track: unicodedata.normalize("NFD", track),
    "upper case": str.upper,
    "encoded": quote,
    "Windows": lambda track: "E:\\My Music\\" + track.replace("/", "\\"),
    "URL": lambda track: f"file:///Volumes/Music/{quote(track)}",
}
parts = st.text("aBéñ %&+'(", min_size=1, max_size=6).filter(lambda part: part == part.strip())
paths = st.lists(parts, min_size=2, max_size=3).map("/".join)


@settings(max_examples=40, deadline=None)
@given(st.lists(paths, min_size=1, max_size=6), st.sampled_from(sorted(WRITTEN)))
def test_every_id_is_found_however_it_is_written(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], way: str
) -> None:
    ids = list({track.casefold(): track for track in ids}.values())
    path = tmp_path_factory.mktemp("lists") / "a.m3u"
    path.write_text("\n".join(WRITTEN[way](track) for track in ids))
    assert [track.id for track in read_m3u(path, known=TrackIds(ids))] == ids


def test_a_list_in_two_encodings(tmp_path: Path) -> None:
    (tmp_path / "a.m3u").write_bytes("Jóga.mp3\n".encode() + "Jóga.mp3\x81\n".encode("latin-1"))
    assert playlists(tmp_path / "a.m3u") == {"a.m3u": ["Jóga.mp3", "Jóga.mp3\x81"]}


def test_unknown_tracks_are_listed_with_the_nearest_id() -> None:
    pytest.importorskip("duckdb")
    found = unknown_lines({"D:/Mp3/Bjork/Joga (live).mp3": 1, "50 off/a + b.ogg": 3}, IDS)
    assert found == [
        "unknown: '50 off/a + b.ogg' (3 positions); nearest: '50% off/a+b.ogg'",
        "unknown: 'D:/Mp3/Bjork/Joga (live).mp3' (1 positions); nearest: 'Björk/Jóga.mp3'",
    ]
    assert unknown_lines({f"{k}": 1 for k in range(60)}, [])[-1] == "unknown: 10 more tracks"


def test_a_written_m3u_is_read_back(tmp_path: Path) -> None:
    names = ["a.mp3", "sub/Béla - 1.flac", "#1.mp3", "spotify:track:4", "/elsewhere/x.wav"]
    titles = ["Bartók - A", "", "line\nbreak", "d", "e"]
    write_m3u(tmp_path / "out.m3u", zip(names, titles, strict=True))
    found = read_m3u(tmp_path / "out.m3u")
    assert [t.id for t in found] == names
    assert [(t.artist, t.title) for t in found][:3] == [
        ("Bartók", "A"), ("", ""), ("", "line break"),
    ]  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["out.m3u"]


@pytest.mark.parametrize("entry", ["a\nb.mp3", " ", ""])
def test_a_path_that_an_m3u_cannot_hold_is_refused(tmp_path: Path, entry: str) -> None:
    with pytest.raises(SslAudioError, match="cannot hold the path"):
        write_m3u(tmp_path / "out.m3u", [("a.mp3", ""), (entry, "")])
    assert not list(tmp_path.iterdir())


def test_an_m3u_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SslAudioError, match="cannot write"):
        write_m3u(tmp_path / "none" / "out.m3u", [("a.mp3", "")])


# --- other paths


def test_paths_without_playlists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SslAudioError, match="no such file or folder"):
        read_source(tmp_path / "none.csv")
    with pytest.raises(SslAudioError, match="nope is none of nyphil, gdshows, "):
        read_source(f"nope:{tmp_path}")
    with pytest.raises(SslAudioError, match="no such folder as /none"):
        read_source("nyphil:/none")
    (tmp_path / "mpd:x.csv").write_text("playlist,track\np,a\n")  # a path as it is
    with contextlib.chdir(tmp_path):
        assert playlists(Path("mpd:x.csv")) == {"p": ["a"]}
    with pytest.raises(SslAudioError, match="no mpd.slice"):
        read_source(tmp_path)
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(SslAudioError, match="a folder, or a file .json, .csv, .parquet"):
        read_source(tmp_path / "a.txt")
