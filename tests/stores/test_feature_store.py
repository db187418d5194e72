"""The feature store: what is finished stays, what differs never mixes."""

import csv
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.stores.feature_store import (
    SUFFIXES,
    Row,
    Store,
    read_about,
    read_segments,
    read_store,
    write_failures,
)

ABOUT = {"kind": "embedding", "model": "abc"}


def row(name, segments=0, dimensions=4):
    rng = np.random.default_rng(sum(map(ord, name)))
    more = {}
    if segments:
        more = {"segments": rng.normal(size=(segments, dimensions)).astype(np.float32),
                "times": np.arange(segments) * 2.0}  # fmt: skip
    vector = rng.normal(size=dimensions).astype(np.float32)
    return Row(name, f"/music/{name}", 1.5, "f00", vector, **more)


def filled(path, names, **options):
    store = Store(path, options.pop("about", ABOUT), 4, **options)
    for name in names:
        store.add(row(name, 2 if store.segments else 0))
    return store


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_back_what_went_in(tmp_path, suffix):
    path = tmp_path / f"features{suffix}"
    names = ["a,1", 'b"2', "c\n3", "dü", "e"]
    assert filled(path, names, group=2).close() == 5
    stored = read_store(path)
    assert stored.ids == names and stored.paths == [f"/music/{name}" for name in names]
    np.testing.assert_array_equal(stored.vectors, np.stack([row(n).vector for n in names]))
    assert stored.about["model"] == "abc"
    assert not (tmp_path / f"features{suffix}.parts").exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_new_tracks_are_added_to_a_finished_output(tmp_path, suffix):
    path = tmp_path / f"features{suffix}"
    filled(path, ["a", "b"]).close()
    store = Store(path, ABOUT, 4)
    assert store.finished == {"a", "b"}
    store.add(row("c"))
    assert store.close() == 3
    assert read_store(path).ids == ["a", "b", "c"]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_segments(tmp_path, suffix):
    path = tmp_path / f"features{suffix}"
    filled(path, ["a", "b", "c"], segments=True, group=2).close()
    found = list(read_segments(path))
    assert [track for track, _, _ in found] == ["a", "b", "c"]
    for track, times, segments in found:
        np.testing.assert_array_equal(segments, row(track, 2).segments)
        np.testing.assert_array_equal(times, [0.0, 2.0])


def test_parquet_as_others_read_it(tmp_path):
    path = tmp_path / "features.parquet"
    filled(path, "abcde", group=2, dtype="float16").close()
    file = pq.ParquetFile(path)
    assert [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)] == [2, 2, 1]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert file.schema_arrow.field("embedding").type == pa.list_(pa.float16(), 4)
    assert file.schema_arrow.names == ["id", "path", "duration", "sha256", "embedding"]
    assert json.loads(file.schema_arrow.metadata[b"ssl_audio"])["model"] == "abc"


def test_row_groups_survive_whatever_stops_the_run(tmp_path):
    path = tmp_path / "features.parquet"
    store = filled(path, "abcde", group=2)
    del store  # as a crash would: e was not in a whole group
    assert not path.exists()
    again = Store(path, ABOUT, 4, group=2)
    assert again.finished == set("abcd")
    again.add(row("e"))
    assert again.close() == 5
    assert read_store(path).ids == list("abcde")


def test_half_a_part_is_none(tmp_path):
    path = tmp_path / "features.parquet"
    filled(path, "ab", group=2)
    (tmp_path / "features.parquet.parts" / ".00000001.parquet.77").write_bytes(b"PAR1 cut off")
    assert Store(path, ABOUT, 4).finished == {"a", "b"}


@pytest.mark.parametrize("finished", [True, False])
def test_another_checkpoint_is_refused(tmp_path, finished):
    path = tmp_path / "features.parquet"
    store = filled(path, "ab", group=2)
    if finished:
        store.close()
    del store
    with pytest.raises(SslAudioError, match="model=abc.*model=other"):
        Store(path, {**ABOUT, "model": "other"}, 4)
    with pytest.raises(SslAudioError, match="dtype=float32"):
        Store(path, ABOUT, 4, dtype="float16")
    assert Store(path, {**ABOUT, "checkpoint": "elsewhere"}, 4).finished == {"a", "b"}


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [("f.pickle", {}, "parquet"), ("f.csv", {"segments": True}, "segments"),
     ("f.parquet", {"dtype": "int8"}, "float16"), ("f.parquet", {"group": 0}, "group")],
)  # fmt: skip
def test_refusals(tmp_path, name, options, said):
    with pytest.raises(SslAudioError, match=said):
        Store(tmp_path / name, ABOUT, 4, **options)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_and_foreign_files_are_one_line(tmp_path, suffix):
    path = tmp_path / f"features{suffix}"
    with pytest.raises(SslAudioError, match="no such file"):
        read_store(path)
    path.write_bytes(b"nothing of use")
    with pytest.raises(SslAudioError, match="damaged|beside it"):
        read_store(path)
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"id": ["a"]}), foreign)
    with pytest.raises(SslAudioError, match="does not say what made it"):
        read_about(foreign)


def test_an_output_without_rows_is_none(tmp_path):
    store = Store(tmp_path / "f.parquet", ABOUT, 4)
    assert store.close() == 0 and list(tmp_path.iterdir()) == []


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 7), max_size=6), st.integers(1, 5))
def test_any_cuts_give_every_track_once(tmp_path_factory, runs, group):
    path = tmp_path_factory.mktemp("cuts") / "f.parquet"
    names = [f"{k:03d}" for k in range(20)]
    for count in runs:  # each run is stopped after so many tracks
        store = None  # what holds the lock
        store = Store(path, ABOUT, 4, group=group)
        for name in [n for n in names if n not in store.finished][:count]:
            store.add(row(name))
    store = None
    store = Store(path, ABOUT, 4, group=group)
    for name in [n for n in names if n not in store.finished]:
        store.add(row(name))
    assert store.close() == 20
    assert read_store(path).ids == names


def test_failures_are_listed_and_an_old_list_goes(tmp_path):
    path = tmp_path / "failures.csv"
    write_failures(path, [("a,b", "/music/a,b", "cut off")])
    assert list(csv.DictReader(path.open())) == [
        {"id": "a,b", "path": "/music/a,b", "reason": "cut off"}
    ]
    write_failures(path, [])
    assert not path.exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_stop_between_the_output_and_the_parts_doubles_nothing(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"features{suffix}"
    store = filled(path, "abc", group=2)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda folder: None)
        store.close()
    assert len(list(store.parts.glob("0*.parquet"))) == 2
    del store
    again = Store(path, ABOUT, 4, group=2)
    assert again.finished == set("abc")
    again.add(row("d"))
    assert again.close() == 4
    assert read_store(path).ids == list("abcd")


def test_a_stop_between_tracks_and_vectors_leaves_the_older_store(tmp_path, monkeypatch):
    path = tmp_path / "features.npy"
    filled(path, "ab").close()
    store = Store(path, ABOUT, 4)
    store.add(row("c"))

    def stopped(source, target, replace=os.replace):
        if str(target).endswith(".npy"):
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            store.close()
    assert read_store(path).ids == ["a", "b"]
    del store
    again = Store(path, ABOUT, 4)
    assert again.finished == set("abc") and again.close() == 3
    assert read_store(path).ids == ["a", "b", "c"]


def test_two_processes_do_not_write_one_store(tmp_path):
    first = filled(tmp_path / "f.parquet", "a")
    with pytest.raises(SslAudioError, match="another process"):
        Store(tmp_path / "f.parquet", ABOUT, 4)
    first.close()
    Store(tmp_path / "f.parquet", ABOUT, 4)


def test_long_tracks_do_not_wait_for_a_full_row_group(tmp_path, monkeypatch):
    monkeypatch.setattr("ssl_audio.stores.feature_store.MOST_BYTES", 100)
    store = filled(tmp_path / "f.parquet", "abcdefgh", segments=True)
    assert len(list(store.parts.glob("0*.parquet"))) == 2
