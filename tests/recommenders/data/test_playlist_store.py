"""The store of playlists: what goes in comes out, and no playlist is ever in two splits."""

import json
import math
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data import store
from ssl_audio.recommenders.data.collection import Catalogue, Playlists, playlists_of
from ssl_audio.recommenders.data.store import SPLITS, build_store, open_store, splits_of, store_of

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


# --- splits


names = st.lists(st.text(st.characters(codec="utf-8")), unique=True, max_size=40)


@settings(max_examples=30, deadline=None)
@given(names, st.integers(-5, 2**40), st.data())
def test_a_split_depends_on_the_id_alone(ids: list[str], seed: int, data: st.DataObject) -> None:
    split = dict(zip(ids, splits_of(ids, seed).tolist(), strict=True))
    others = data.draw(st.permutations(ids))[: data.draw(st.integers(0, len(ids)))]
    assert splits_of(others, seed).tolist() == [split[name] for name in others]
    assert set(split.values()) <= {0, 1, 2}


@pytest.mark.parametrize("fractions", [(0.8, 0.1, 0.1), (0.5, 0.2, 0.3), (0, 1, 0), (0.7, 0.3, 0)])
def test_fractions_are_those_asked_for(fractions: tuple[float, ...]) -> None:
    count = 20_000
    found = np.bincount(splits_of([str(k) for k in range(count)], 1, fractions), minlength=3)
    for share, n in zip(fractions, found, strict=True):
        assert abs(n - share * count) <= 4.5 * math.sqrt(share * (1 - share) * count)


def test_splits_are_for_ever() -> None:
    """Figures are compared over years: a hash that changes would mix test into train."""
    ids = [str(k) for k in range(30)]
    assert "".join(map(str, splits_of(ids, 0, (0.4, 0.3, 0.3)))) == "100211010221110210122220020200"
    assert "".join(map(str, splits_of(ids, 1, (0.4, 0.3, 0.3)))) == "211010210220222022111221021000"


def test_a_larger_train_split_holds_the_smaller() -> None:
    ids = [str(k) for k in range(500)]
    small = splits_of(ids, 0, (0.5, 0.3, 0.2)) == 0
    assert (splits_of(ids, 0, (0.6, 0.3, 0.1))[small] == 0).all()


@pytest.mark.parametrize(
    "fractions", [(0.8, 0.1), (0.8, 0.1, 0.2), (1.1, -0.1, 0), (math.nan, 0.5, 0.5)]
)
def test_fractions_that_are_none(fractions: tuple[float, ...]) -> None:
    with pytest.raises(SslAudioError, match="fractions="):
        splits_of(["a"], 0, fractions)


# --- building


def test_what_is_built_is_read(tmp_path: Path) -> None:
    lists = random_lists(200)
    report = build_store(tmp_path / "s.db", csv_of(tmp_path / "p.csv", lists), seed=3)
    assert kept(tmp_path / "s.db") == lists
    by_split = {split: kept(tmp_path / "s.db", split) for split in SPLITS}
    codes = splits_of(list(lists), 3)
    for code, split in enumerate(SPLITS):
        wanted = [name for name, c in zip(lists, codes, strict=True) if c == code]
        assert by_split[split] == {name: lists[name] for name in wanted} and wanted
        assert report.splits[split] == len(wanted)
    assert report.playlists == 200
    assert report.positions == sum(map(len, lists.values()))
    assert report.tracks == len({t for tracks in lists.values() for t in tracks})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.csv", "s.db"]


def test_arrays_are_as_the_models_want_them(tmp_path: Path) -> None:
    build_store(tmp_path / "s.db", csv_of(tmp_path / "p.csv", random_lists(9)))
    playlists = open_store(tmp_path / "s.db").playlists()
    assert playlists.tracks.dtype == np.int32 and playlists.offsets.dtype == np.int64
    assert isinstance(playlists.ids, list) and isinstance(playlists.ids[0], str)


def test_chunks_change_nothing(tmp_path: Path, monkeypatch) -> None:
    lists = random_lists(100)
    source = csv_of(tmp_path / "p.csv", lists)
    build_store(tmp_path / "whole.db", source)
    for name, size in (("POSITIONS", 7), ("PLAYLISTS", 11), ("NEWS", 13)):
        monkeypatch.setattr(store, name, size)
    build_store(tmp_path / "cut.db", source)
    assert kept(tmp_path / "cut.db") == lists
    assert kept(tmp_path / "cut.db", "train") == kept(tmp_path / "whole.db", "train")
    assert open_store(tmp_path / "cut.db").about == open_store(tmp_path / "whole.db").about


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


def test_content_changes_with_what_is_kept(tmp_path: Path) -> None:
    found = set()
    for k, lists in enumerate(({"p": ["a", "b"]}, {"p": ["b", "a"]}, {"p": ["a"], "q": ["b"]},
                               {"p": ["a", "c"]}, {"r": ["a", "b"]})):  # fmt: skip
        opened = open_at(tmp_path / f"{k}.db", csv_of(tmp_path / "p.csv", lists))
        found.add(opened.about["content"])
    assert len(found) == 5


def test_a_new_order_of_the_source_moves_no_playlist(tmp_path: Path) -> None:
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


def test_about_says_what_it_is(tmp_path: Path) -> None:
    source = csv_of(tmp_path / "p.csv", {"p": ["a", "a"]})
    report = build_store(tmp_path / "s.db", source, seed=7, fractions=(1, 0, 0))
    about = open_store(tmp_path / "s.db").about
    assert about["source"] == str(source) and about["seed"] == 7
    assert about["fractions"] == [1, 0, 0] and len(about["content"]) == 64
    assert about["counts"]["duplicates"] == report.duplicates == 1
    assert about["versions"]["duckdb"] == duckdb.__version__
    assert str(report).startswith(
        "1 playlists (1 train, 0 validation, 0 test), 1 positions, 1 tracks; 1 duplicates, "
    )


def test_duplicates_count_once_or_stay(tmp_path: Path) -> None:
    source = csv_of(tmp_path / "p.csv", {"p": ["b", "a", "b", "b", "c", "a"], "q": ["b", "a"]})
    report = build_store(tmp_path / "first.db", source)
    assert kept(tmp_path / "first.db") == {"p": ["b", "a", "c"], "q": ["b", "a"]}
    assert report.duplicates == 3 and report.positions == 5
    report = build_store(tmp_path / "keep.db", source, duplicates="keep")
    assert kept(tmp_path / "keep.db")["p"] == ["b", "a", "b", "b", "c", "a"]
    assert report.duplicates == 3 and report.positions == 8


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
def with_strangers(tmp_path: Path) -> Path:
    source = tmp_path / "p.csv"
    source.write_text(
        "playlist,track,artist\np,y,Y\np,b,B\np,x,X\nq,x,X\nq,y,Y\nq,a,other\nr,x,X\n"
    )
    return source


KNOWN = Catalogue(["cold", "a", "b"], artists=["", "A", ""], genres=["rock", "", "pop"])


def test_unknown_tracks_are_dropped_and_counted(tmp_path: Path, with_strangers: Path) -> None:
    report = build_store(tmp_path / "s.db", with_strangers, catalogue=KNOWN)
    assert kept(tmp_path / "s.db") == {"p": ["b"], "q": ["a"]}
    assert (report.unknown, report.unknown_tracks, report.empty) == (5, 2, 1)
    found = open_store(tmp_path / "s.db").catalogue()
    assert list(found.ids) == ["cold", "a", "b"]  # the same rows, also that of no playlist
    assert list(found.artists) == ["", "A", "B"]
    assert list(found.genres) == ["rock", "", "pop"]


def test_unknown_tracks_are_kept_and_counted(tmp_path: Path, with_strangers: Path) -> None:
    report = build_store(tmp_path / "s.db", with_strangers, catalogue=KNOWN, unknown="keep")
    assert kept(tmp_path / "s.db") == {"p": ["y", "b", "x"], "q": ["x", "y", "a"], "r": ["x"]}
    assert (report.unknown, report.unknown_tracks, report.empty) == (5, 2, 0)
    found = open_store(tmp_path / "s.db").catalogue()
    assert list(found.ids) == ["cold", "a", "b", "y", "x"]
    assert list(found.artists) == ["", "A", "B", "Y", "X"]


def test_unknown_tracks_are_refused(tmp_path: Path, with_strangers: Path) -> None:
    with pytest.raises(SslAudioError, match="playlist 'p': track 'y' is not in the catalogue"):
        build_store(tmp_path / "s.db", with_strangers, catalogue=KNOWN, unknown="refuse")
    assert [p.name for p in tmp_path.iterdir()] == ["p.csv"]


@pytest.mark.parametrize("ids", [["a.wav"], []])
def test_no_known_track_at_all_says_how_they_differ(tmp_path: Path, ids: list[str]) -> None:
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
    report = store_of(playlists, catalogue, path, seed=2)
    opened = open_store(path)
    back = opened.playlists()
    assert back.ids == playlists.ids and report.playlists == len(found)
    np.testing.assert_array_equal(back.tracks, playlists.tracks)
    np.testing.assert_array_equal(back.offsets, playlists.offsets)
    assert list(opened.catalogue().ids) == list(catalogue.ids)
    assert list(opened.catalogue().titles) == list(catalogue.titles)
    split = splits_of(playlists.ids, 2)
    for code, name in enumerate(SPLITS):
        part, wanted = opened.playlists(name), playlists.take(split == code)
        assert part.ids == wanted.ids
        np.testing.assert_array_equal(part.tracks, wanted.tracks)


def test_a_store_of_memory_is_one_of_a_file(tmp_path: Path) -> None:
    built = open_at(tmp_path / "a.db", csv_of(tmp_path / "p.csv", random_lists(40)))
    store_of(built.playlists(), built.catalogue(), tmp_path / "b.db")
    again = open_store(tmp_path / "b.db")
    assert again.about["content"] == built.about["content"]
    assert again.about["counts"] == built.about["counts"]
    assert again.about["source"] == "generated"


def test_what_no_store_can_be_made_of(tmp_path: Path) -> None:
    catalogue = Catalogue(["a", "b"])
    with pytest.raises(SslAudioError, match="nothing to keep"):
        store_of(playlists_of([[], []]), catalogue, tmp_path / "s.db")
    with pytest.raises(SslAudioError, match="'x' comes twice"):
        store_of(playlists_of([[0], [1]], ["x", "x"]), catalogue, tmp_path / "s.db")
    with pytest.raises(ValueError, match="2 rows"):
        store_of(playlists_of([[0, 2]]), catalogue, tmp_path / "s.db")
    assert not list(tmp_path.iterdir())


# --- what is refused


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
    with pytest.raises(SslAudioError, match="playlist '4' comes twice"):
        build_store(tmp_path / "s.db", tmp_path)


def test_settings_that_are_none(tmp_path: Path) -> None:
    source = csv_of(tmp_path / "p.csv", {"p": ["a"]})
    for wrong in ({"unknown": "ask"}, {"duplicates": "last"}, {"fractions": (1, 1, 1)}):
        with pytest.raises(SslAudioError, match=f"{next(iter(wrong))}="):
            build_store(tmp_path / "s.db", source, **wrong)


def test_a_file_that_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(SslAudioError, match="no such file"):
        open_store(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("playlist,track\n" * 999)
    (tmp_path / "empty.db").touch()
    duckdb.connect(str(tmp_path / "other.db")).close()
    with duckdb.connect(str(tmp_path / "about.db")) as connection:
        connection.execute('create table about as select \'{"kind": "something"}\' as json')
    for name in ("text.db", "empty.db", "other.db", "about.db"):
        with pytest.raises(SslAudioError, match=f"{name} is no playlist store") as caught:
            open_store(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_another_version_and_an_unknown_split(tmp_path: Path) -> None:
    opened = open_at(tmp_path / "s.db", csv_of(tmp_path / "p.csv", {"p": ["a"]}))
    with pytest.raises(SslAudioError, match="split=valid: one of train, validation, test"):
        opened.playlists("valid")
    with duckdb.connect(str(tmp_path / "s.db")) as connection:
        about = json.dumps({**opened.about, "version": 2})
        connection.execute("update about set json = ?", [about])
    with pytest.raises(SslAudioError, match="of version 2, and this reads 1: build it again"):
        open_store(tmp_path / "s.db")


def test_a_place_where_nothing_can_be_written(tmp_path: Path) -> None:
    source = csv_of(tmp_path / "p.csv", {"p": ["a"]})
    with pytest.raises(SslAudioError, match="cannot write"):
        build_store(source / "s.db", source)


def test_duckdb_that_is_not_installed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(SslAudioError, match="pip install 'ssl_audio"):
        open_store(tmp_path / "s.db")


# --- what stops the writing


def test_a_source_that_breaks_midway_leaves_the_older_store(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(store, "POSITIONS", 2)
    good = {"playlists": [{"pid": 4, "tracks": [{"pos": 0, "track_uri": "a"}]}]}
    (tmp_path / "mpd.slice.0-999.json").write_text(json.dumps(good))
    build_store(tmp_path / "s.db", tmp_path)
    (tmp_path / "mpd.slice.1000-1999.json").write_text("{")
    with pytest.raises(SslAudioError, match="broken JSON"):
        build_store(tmp_path / "s.db", tmp_path)
    assert kept(tmp_path / "s.db") == {"4": ["a"]}
    assert len(list(tmp_path.iterdir())) == 3


ENDLESS = """
    import itertools, signal, sys
    from ssl_audio.recommenders.data import store
    from ssl_audio.recommenders.data.sources import SourcePlaylist

    def endless(path, root):
        for k in itertools.count():
            if k == 2000:
                print("writing", flush=True)
            yield SourcePlaylist(str(k), [f"t{k}", f"t{k + 1}", f"t{k + 2}"])

    signal.signal(signal.SIGINT, signal.default_int_handler)
    store.read_source, store.POSITIONS = endless, 500
    store.build_store(sys.argv[1], "endless")
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_build_that_is_stopped_leaves_no_store(tmp_path: Path, stop: signal.Signals) -> None:
    path = tmp_path / "s.db"
    command = [sys.executable, "-c", textwrap.dedent(ENDLESS), str(path)]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[3]
    )
    try:
        assert child.stdout is not None and child.stdout.readline() == b"writing\n"
        assert [p.name for p in tmp_path.iterdir()]  # it is in the midst of it
        child.send_signal(stop)
        assert child.wait(60) != 0
    finally:
        child.kill()
        child.communicate()
    if stop == signal.SIGINT:
        assert not list(tmp_path.iterdir())
    assert not path.exists()
