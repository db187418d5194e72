"""The playlist store: what is written is read back, and inputs that cannot be stored."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data import duckdb_file, store
from ssl_audio.recommenders.data.collection import Catalogue, Playlists, playlists_of
from ssl_audio.recommenders.data.splits import SPLITS, cold_tracks, splits_of
from ssl_audio.recommenders.data.store import build_store, open_store, store_playlists
from ssl_audio.recommenders.data.training_data import load_training_data
from ssl_audio.settings.recommend import StoreSettings

duckdb = pytest.importorskip("duckdb")


def csv_of(path: Path, lists: dict[str, list[str]]) -> Path:
    lines = [f"{name},{track}" for name, tracks in lists.items() for track in tracks]
    path.write_text("\n".join(["playlist,track", *lines]) + "\n")
    return path


def named(playlists: Playlists, catalogue: Catalogue) -> dict[str, list[str]]:
    return {name: [catalogue.ids[t] for t in playlists[k]] for k, name in enumerate(playlists.ids)}


def kept(path: Path, split: str | None = None) -> dict[str, list[str]]:
    opened = open_store(path)
    return named(opened.playlists(split), opened.catalogue())


def random_lists(count: int, seed: int = 0) -> dict[str, list[str]]:
    draw = np.random.default_rng(seed)
    return {
        f"list {k}": [f"track {t}" for t in draw.permutation(300)[: draw.integers(1, 30)]]
        for k in range(count)
    }


# --- building


def test_a_built_store_is_read_back(tmp_path: Path) -> None:
    lists = random_lists(200)
    report = build_store(tmp_path / "s.db", csv_of(tmp_path / "p.csv", lists), seed=3)
    assert kept(tmp_path / "s.db") == lists
    by_split = {split: kept(tmp_path / "s.db", split) for split in SPLITS}
    codes = splits_of(list(lists), 3)
    for code, split in enumerate(SPLITS):
        expected = [name for name, c in zip(lists, codes, strict=True) if c == code]
        assert by_split[split] == {name: lists[name] for name in expected} and expected
        assert report.splits[split] == len(expected)
    assert report.playlists == 200
    assert report.positions == sum(map(len, lists.values()))
    assert report.tracks == len({t for tracks in lists.values() for t in tracks})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.csv", "s.db"]


def test_types_of_the_arrays(tmp_path: Path) -> None:
    build_store(tmp_path / "s.db", csv_of(tmp_path / "p.csv", random_lists(9)))
    playlists = open_store(tmp_path / "s.db").playlists()
    assert playlists.tracks.dtype == np.int32 and playlists.offsets.dtype == np.int64
    assert isinstance(playlists.ids, list) and isinstance(playlists.ids[0], str)


def test_two_builds_are_equal(tmp_path: Path) -> None:
    source = csv_of(tmp_path / "p.csv", random_lists(50))
    first, second = (open_at(tmp_path / n, source) for n in ("a.db", "b.db"))
    assert first.about == second.about
    assert first.catalogue() == second.catalogue()
    for split in (None, *SPLITS):
        one, two = first.playlists(split), second.playlists(split)
        assert one.ids == two.ids
        np.testing.assert_array_equal(one.tracks, two.tracks)
        np.testing.assert_array_equal(one.offsets, two.offsets)


def open_at(path: Path, source: Path) -> store.PlaylistStore:
    build_store(path, source)
    return open_store(path)


def test_the_content_hash_depends_on_all_content(tmp_path: Path) -> None:
    found = set()
    for k, lists in enumerate(({"p": ["a", "b"]}, {"p": ["b", "a"]}, {"p": ["a"], "q": ["b"]},
                               {"p": ["a", "c"]}, {"r": ["a", "b"]})):  # fmt: skip
        opened = open_at(tmp_path / f"{k}.db", csv_of(tmp_path / "p.csv", lists))
        found.add(opened.about["content"])
    assert len(found) == 5


def test_splits_do_not_depend_on_the_order_of_the_source(tmp_path: Path) -> None:
    lists = random_lists(120)
    turned = {name: lists[name] for name in reversed(lists)}
    more = {**random_lists(150), **turned}
    built = []
    for k, source in enumerate((lists, turned, more)):
        build_store(tmp_path / f"{k}.db", csv_of(tmp_path / "p.csv", source), seed=5)
        built.append({split: set(kept(tmp_path / f"{k}.db", split)) for split in SPLITS})
    assert built[0] == built[1]
    for split in SPLITS:
        assert built[0][split] == built[2][split] & set(lists)
    assert not built[2]["train"] & built[2]["test"]
    assert set().union(*built[2].values()) == set(more)


def test_about(tmp_path: Path) -> None:
    source = csv_of(tmp_path / "p.csv", {"p": ["a", "a"]})
    report = build_store(tmp_path / "s.db", source, seed=7)
    about = open_store(tmp_path / "s.db").about
    assert about["source"] == str(source) and about["seed"] == 7
    assert about["fractions"] == [0.8, 0.1, 0.1] and len(about["content"]) == 64
    assert about["counts"]["duplicates"] == report.duplicates == 1
    assert about["versions"]["duckdb"] == duckdb.__version__
    assert str(report).startswith(
        "1 playlists (1 train, 0 validation, 0 test), 1 positions, 1 tracks; 1 duplicates, "
    )


def test_repeats_of_a_track_are_left_out(tmp_path: Path) -> None:
    source = csv_of(tmp_path / "p.csv", {"p": ["b", "a", "b", "b", "c", "a"], "q": ["b", "a"]})
    report = build_store(tmp_path / "first.db", source)
    assert kept(tmp_path / "first.db") == {"p": ["b", "a", "c"], "q": ["b", "a"]}
    assert report.duplicates == 3 and report.positions == 5


def test_details_of_tracks(tmp_path: Path) -> None:
    source = tmp_path / "p.csv"
    source.write_text("playlist,track,artist,title\np,b,B,\np,a,A,one\nq,b,other,other\n")
    build_store(tmp_path / "s.db", source)
    known = open_store(tmp_path / "s.db").catalogue()
    assert known == Catalogue(["b", "a"], artists=["B", "A"], albums=["", ""], genres=["", ""],
                              titles=["", "one"])  # fmt: skip
    assert known.row == {"b": 0, "a": 1}


def test_m3us_are_built_below_a_root(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "a.m3u").write_text("#EXTINF:1,A - T\n../x.wav\n../y.wav\n")
    build_store(tmp_path / "s.db", tmp_path / "lists", root=tmp_path)
    assert kept(tmp_path / "s.db") == {"a.m3u": ["x.wav", "y.wav"]}
    assert list(open_store(tmp_path / "s.db").catalogue().artists) == ["A", ""]


# --- unknown tracks


@pytest.fixture
def with_unknown(tmp_path: Path) -> Path:
    source = tmp_path / "p.csv"
    source.write_text(
        "playlist,track,artist\np,y,Y\np,b,B\np,x,X\nq,x,X\nq,y,Y\nq,a,other\nr,x,X\n"
    )
    return source


KNOWN = Catalogue(["cold", "a", "b"], artists=["", "A", ""], genres=["rock", "", "pop"])


def test_unknown_tracks_are_dropped_and_counted(tmp_path: Path, with_unknown: Path) -> None:
    report = build_store(tmp_path / "s.db", with_unknown, catalogue=KNOWN)
    assert kept(tmp_path / "s.db") == {"p": ["b"], "q": ["a"]}
    assert (report.unknown, report.unknown_tracks, report.empty) == (5, 2, 1)
    found = open_store(tmp_path / "s.db").catalogue()
    assert list(found.ids) == ["cold", "a", "b"]  # the same rows, also that of no playlist
    assert list(found.artists) == ["", "A", "B"]
    assert list(found.genres) == ["rock", "", "pop"]


def test_unknown_tracks_are_kept_and_counted(tmp_path: Path, with_unknown: Path) -> None:
    report = build_store(tmp_path / "s.db", with_unknown, catalogue=KNOWN, unknown="keep")
    assert kept(tmp_path / "s.db") == {"p": ["y", "b", "x"], "q": ["x", "y", "a"], "r": ["x"]}
    assert (report.unknown, report.unknown_tracks, report.empty) == (5, 2, 0)
    found = open_store(tmp_path / "s.db").catalogue()
    assert list(found.ids) == ["cold", "a", "b", "y", "x"]
    assert list(found.artists) == ["", "A", "B", "Y", "X"]


def test_unknown_tracks_are_refused(tmp_path: Path, with_unknown: Path) -> None:
    with pytest.raises(SslAudioError, match="playlist 'p': track 'y' is not in the catalogue"):
        build_store(tmp_path / "s.db", with_unknown, catalogue=KNOWN, unknown="refuse")
    assert [p.name for p in tmp_path.iterdir()] == ["p.csv"]


@pytest.mark.parametrize("ids", [["a.wav"], []])
def test_no_known_track_gives_an_example_of_both_ids(tmp_path: Path, ids: list[str]) -> None:
    source = csv_of(tmp_path / "p.csv", {"p": ["music/a.wav"]})
    with pytest.raises(SslAudioError, match="it has 'music/a.wav', not '?(a.wav|nothing)'"):
        build_store(tmp_path / "s.db", source, catalogue=Catalogue(ids))


# --- generated collections


lists = st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=8).filter(any)


@settings(max_examples=4, deadline=None)
@given(lists)
def test_playlists_in_memory_make_the_round_trip(
    tmp_path_factory: pytest.TempPathFactory, found: list[list[int]]
) -> None:
    path = tmp_path_factory.mktemp("store") / "s.db"
    catalogue = Catalogue([f"t{k}" for k in range(10)], titles=[f"é{k}" for k in range(10)])
    playlists = playlists_of(found)
    report = store_playlists(playlists, catalogue, path, seed=2)
    opened = open_store(path)
    back = opened.playlists()
    assert back.ids == playlists.ids and report.playlists == len(found)
    np.testing.assert_array_equal(back.tracks, playlists.tracks)
    np.testing.assert_array_equal(back.offsets, playlists.offsets)
    assert list(opened.catalogue().ids) == list(catalogue.ids)
    assert list(opened.catalogue().titles) == list(catalogue.titles)
    split = splits_of(playlists.ids, 2)
    for code, name in enumerate(SPLITS):
        part, expected = opened.playlists(name), playlists.take(split == code)
        assert part.ids == expected.ids
        np.testing.assert_array_equal(part.tracks, expected.tracks)


def test_a_store_of_playlists_in_memory_equals_one_of_a_file(tmp_path: Path) -> None:
    built = open_at(tmp_path / "a.db", csv_of(tmp_path / "p.csv", random_lists(40)))
    store_playlists(built.playlists(), built.catalogue(), tmp_path / "b.db")
    again = open_store(tmp_path / "b.db")
    assert again.about["content"] == built.about["content"]
    assert again.about["counts"] == built.about["counts"]
    assert again.about["source"] == "generated"


def test_a_store_has_the_same_cold_tracks_for_any_seed_of_training(tmp_path: Path) -> None:
    """Those of its own seed, which features may have been trained without."""
    path = tmp_path / "s.duckdb"
    build_store(path, csv_of(tmp_path / "p.csv", random_lists(40)), seed=7)
    expected = cold_tracks(open_store(path).catalogue().ids, 0.3, 7)
    for seed in (0, 7):
        options = {"min_weight": 1, "cold": 0.3, "seed": seed}
        data = load_training_data(path, tmp_path, StoreSettings(), **options)
        np.testing.assert_array_equal(data.cold, expected)
    assert 0 < expected.sum() < len(expected)
    with pytest.raises(SslAudioError, match="no training playlist has a track"):
        load_training_data(path, tmp_path, StoreSettings(), min_weight=1, cold=1.0)


# --- refused inputs


def test_an_empty_source(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("playlist,track\n")
    (tmp_path / "p.m3u").write_text("#EXTM3U\n")
    for name in ("p.csv", "p.m3u"):
        with pytest.raises(SslAudioError, match="no playlist with a track in it"):
            build_store(tmp_path / "s.db", tmp_path / name)
    assert not (tmp_path / "s.db").exists()


def test_a_playlist_that_comes_twice(tmp_path: Path) -> None:
    content = {"playlists": [{"pid": 4, "tracks": [{"pos": 0, "track_uri": "a"}]}]}
    for name in ("mpd.slice.0-999.json", "mpd.slice.1000-1999.json"):
        (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(SslAudioError, match="playlist id '4' is repeated"):
        build_store(tmp_path / "s.db", tmp_path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SslAudioError, match="no such file"):
        open_store(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("playlist,track\n" * 999)
    (tmp_path / "empty.db").touch()
    duckdb.connect(str(tmp_path / "other.db")).close()
    for name, error in (("text", "is no DuckDB file"), ("empty", "is no DuckDB file"),
                        ("other", "missing column about.json of type VARCHAR")):  # fmt: skip
        with pytest.raises(SslAudioError, match=f"{name}.db.* {error}") as caught:
            open_store(tmp_path / f"{name}.db")
        assert "\n" not in str(caught.value)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    build_store(tmp_path / "s.db", csv_of(tmp_path / "p.csv", {"p": ["a", "b"], "q": ["a"]}))
    return tmp_path / "s.db"


@pytest.mark.parametrize(
    "code, error",
    [
        ("drop table about; create view about as select content as json from read_text('{file}')",
         "view 'about'"),
        ("create view more as select * from read_text('{file}')", "view 'more'"),
        ("create macro duckdb_views() as table select 'x' as view_name", "function 'duckdb_views'"),
        ("create macro sum(x) as (select content from read_text('{file}'))", "function 'sum'"),
        ("create type split as enum ('train')", "type 'split'"),
        ("alter table about rename to old; create table about (a text, json text as ('{{}}'))",
         "computed column 'about.json'"),
        ("alter table tracks alter artist type integer using 0",
         "unexpected column tracks.artist of type INTEGER"),
        ("alter table tracks add column more integer[]",
         r"unexpected column tracks.more of type INTEGER\[\]"),
        ("alter table tracks drop column genre", "missing column tracks.genre"),
        ("create table more (a integer)", "unexpected column more.a"),
    ],
)  # fmt: skip
def test_a_store_with_code_or_another_schema(stored: Path, code: str, error: str) -> None:
    with duckdb.connect(str(stored)) as connection:
        connection.execute(code.format(file=stored.with_name("p.csv")))
    with pytest.raises(SslAudioError, match=error) as caught:
        open_store(stored)
    assert "\n" not in str(caught.value) and "playlist,track" not in str(caught.value)


def test_nothing_in_a_store_reaches_other_files(stored: Path, tmp_path: Path) -> None:
    """Also where the check of its tables is passed by: the connection itself is closed."""
    with duckdb.connect(str(stored)) as connection:
        connection.execute(f"create view v as select * from read_text('{tmp_path / 'p.csv'}')")
    out = tmp_path / "out.csv"
    for query in ("select * from v", f"copy tracks to '{out}'", f"attach '{out}'", "load httpfs",
                  "set enable_external_access = true"):  # fmt: skip
        with pytest.raises(SslAudioError, match="is damaged: .*(disabled|locked)"):
            duckdb_file.fetch(stored, query)
    assert not out.exists()


@pytest.mark.parametrize(
    "change, error",
    [
        ("update positions set track = 2 where position = 0", "positions without a track"),
        ("update positions set track = -1 where position = 0", "positions without a track"),
        ("update playlists set length = 9", "lengths of playlists"),
        ("delete from positions", "lengths of playlists"),
        ("update playlists set id = null", "an empty cell in column id"),
        ("update tracks set number = number + 1", "numbers of tracks"),
        ("update tracks set id = 'a'", "a repeated track"),
    ],
)
def test_a_store_with_impossible_content_is_refused(stored: Path, change: str, error: str) -> None:
    with duckdb.connect(str(stored)) as connection:
        connection.execute(change)
    opened = open_store(stored)
    with pytest.raises(SslAudioError, match=f"is damaged.*{error}"):
        opened.playlists()
        opened.catalogue()


@pytest.mark.parametrize(
    "about",
    [
        "",
        "3",
        "[]",
        "{}",
        '{"kind": "other", "version": 1, "content": "", "counts": {}}',
        '{"kind": "ssl_audio playlists", "version": 1, "content": "", "counts": [1]}',
        "[" * 10**5,
    ],
)
def test_a_store_with_another_about_is_refused(stored: Path, about: str) -> None:
    with duckdb.connect(str(stored)) as connection:
        connection.execute("update about set json = ?", [about])
    with pytest.raises(SslAudioError, match="is no playlist store"):
        open_store(stored)
    with duckdb.connect(str(stored)) as connection:
        connection.execute("delete from about")
    with pytest.raises(SslAudioError, match="is no playlist store"):
        open_store(stored)


def test_another_version_is_refused(tmp_path: Path) -> None:
    opened = open_at(tmp_path / "s.db", csv_of(tmp_path / "p.csv", {"p": ["a"]}))
    with duckdb.connect(str(tmp_path / "s.db")) as connection:
        about = json.dumps({**opened.about, "version": 2})
        connection.execute("update about set json = ?", [about])
    with pytest.raises(SslAudioError, match="version 2, this program reads version 1: build it"):
        open_store(tmp_path / "s.db")


def test_an_unwritable_path(tmp_path: Path) -> None:
    source = csv_of(tmp_path / "p.csv", {"p": ["a"]})
    with pytest.raises(SslAudioError, match="cannot write"):
        build_store(source / "s.db", source)


def test_missing_duckdb(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "s.db").touch()
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(SslAudioError, match="pip install 'ssl_audio"):
        open_store(tmp_path / "s.db")


# --- interruptions


def test_an_unreadable_source_leaves_the_older_store(tmp_path: Path) -> None:
    good = {"playlists": [{"pid": 4, "tracks": [{"pos": 0, "track_uri": "a"}]}]}
    (tmp_path / "mpd.slice.0-999.json").write_text(json.dumps(good))
    build_store(tmp_path / "s.db", tmp_path)
    (tmp_path / "mpd.slice.1000-1999.json").write_text("{")
    with pytest.raises(SslAudioError, match="broken JSON"):
        build_store(tmp_path / "s.db", tmp_path)
    assert kept(tmp_path / "s.db") == {"4": ["a"]}
    assert len(list(tmp_path.iterdir())) == 3


def test_an_interrupted_build_leaves_no_store(tmp_path: Path, monkeypatch) -> None:
    source, write = csv_of(tmp_path / "p.csv", {"p": ["a"]}), store.write_tables

    def interrupted(path: str, tables: dict) -> None:
        write(path, tables)
        assert len(list(tmp_path.iterdir())) == 2  # under a temporary name
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "write_tables", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_store(tmp_path / "s.db", source)
    assert [p.name for p in tmp_path.iterdir()] == ["p.csv"]
