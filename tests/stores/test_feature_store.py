"""The feature store: what is finished stays, what differs never mixes."""

import errno
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.stores.columns import Record, Row
from ssl_audio.stores.feature_store import (
    read_about,
    read_aligned,
    read_rows,
    read_segments,
    read_store,
)
from ssl_audio.stores.writer import Store, write_store

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
    store = Store(path, options.pop("about", ABOUT), **options)
    for name in names:
        store.add(row(name, 2 if store.segments else 0))
    return store


def test_rows_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "features.parquet"
    names = ["a,1", 'b"2', "c\n3", "dü", "e"]
    assert filled(path, names, group=2).close() == 5
    stored = read_store(path)
    assert stored.ids == names and stored.paths == [f"/music/{name}" for name in names]
    np.testing.assert_array_equal(stored.vectors, np.stack([row(n).vector for n in names]))
    assert stored.about["model"] == "abc"


def test_new_tracks_are_added_to_a_finished_output(tmp_path):
    path = tmp_path / "features.parquet"
    filled(path, ["a", "b"]).close()
    store = Store(path, ABOUT)
    assert store.records.keys() == {"a", "b"}
    store.add(row("c"))
    assert store.close() == 3
    assert read_store(path).ids == ["a", "b", "c"]


def test_segments(tmp_path):
    path = tmp_path / "features.parquet"
    filled(path, ["a", "b", "c"], segments=True, group=2).close()
    found = list(read_segments(path))
    assert [track for track, _, _ in found] == ["a", "b", "c"]
    for track, times, segments in found:
        np.testing.assert_array_equal(segments, row(track, 2).segments)
        np.testing.assert_array_equal(times, [0.0, 2.0])


def test_parquet_as_others_read_it(tmp_path):
    path = tmp_path / "features.parquet"
    filled(path, "abcde", group=2, dtype="float16").close()
    files = [pq.ParquetFile(path / f"part-{k:08d}.parquet") for k in range(3)]
    assert [file.metadata.num_rows for file in files] == [2, 2, 1]
    assert files[0].metadata.row_group(0).column(0).compression == "ZSTD"
    schema = files[0].schema_arrow
    assert schema.field("embedding").type == pa.list_(pa.float16(), 4)
    assert schema.names == ["id", "path", "duration", "sha256", "size", "mtime_ns", "state", "note",
                            "key", "embedding"]  # fmt: skip
    assert json.loads(schema.metadata[b"ssl_audio"])["model"] == "abc"
    assert pq.read_table(path)["id"].to_pylist() == list("abcde")
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(f"SELECT id, len(embedding) FROM '{path}/*.parquet'").fetchall()
    assert found == [(name, 4) for name in "abcde"]


def test_groups_survive_whatever_stops_the_run(tmp_path):
    path = tmp_path / "features.parquet"
    store = filled(path, "abcde", group=2)
    del store  # as a crash would: e was not in a whole group
    assert read_store(path).ids == list("abcd")
    again = Store(path, ABOUT, group=2)
    assert again.records.keys() == set("abcd")
    again.add(row("e"))
    assert again.close() == 5
    assert read_store(path).ids == list("abcde")


def test_what_a_stopped_run_left_is_removed(tmp_path):
    path = tmp_path / "features.parquet"
    filled(path, "ab", group=2)
    for name in (".part-00000001.parquet.7.7.tmp", "part-00000009.parquet"):
        (path / name).write_bytes(b"PAR1 cut off")
    (tmp_path / ".features-failures.csv.7.7.tmp").write_bytes(b"")
    assert Store(path, ABOUT).records.keys() == {"a", "b"}
    assert sorted(p.name for p in path.iterdir()) == [
        "_lock", "_manifest.json", "part-00000000.parquet",
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("finished", [True, False])
def test_another_checkpoint_is_refused(tmp_path, finished):
    path = tmp_path / "features.parquet"
    store = filled(path, "ab", group=2)
    if finished:
        store.close()
    del store
    with pytest.raises(SslAudioError, match="model=abc.*model=other"):
        Store(path, {**ABOUT, "model": "other"})
    with pytest.raises(SslAudioError, match="dtype=float32"):
        Store(path, ABOUT, dtype="float16")
    assert Store(path, {**ABOUT, "checkpoint": "elsewhere"}).records.keys() == {"a", "b"}


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [("f.csv", {}, "NAME.parquet"), ("folder.parquet", {}, "folder with notes in it")],
)
def test_refusals(tmp_path, name, options, said):
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "folder.parquet" / "notes").touch()
    with pytest.raises(SslAudioError, match=said):
        Store(tmp_path / name, ABOUT, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.parquet"]


def test_damaged_and_foreign_files_are_one_line(tmp_path):
    path = tmp_path / "features.parquet"
    with pytest.raises(SslAudioError, match="no such file"):
        read_store(path)
    path.write_bytes(b"nothing of use")
    with pytest.raises(SslAudioError, match="damaged"):
        read_store(path)
    pq.write_table(pa.table({"id": ["a"]}), path)
    with pytest.raises(SslAudioError, match="no column embedding, path"):
        read_store(path)
    with pytest.raises(SslAudioError, match="not of this package"):
        Store(path, ABOUT)
    (tmp_path / "old.npy").write_bytes(b"")
    with pytest.raises(SslAudioError, match="to_parquet"):
        read_store(tmp_path / "old.npy")


def test_a_finished_run_without_rows_is_an_empty_store(tmp_path):
    assert Store(tmp_path / "f.parquet", ABOUT).close() == 0
    assert read_store(tmp_path / "f.parquet").vectors.shape == (0, 0)


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(1, 7), max_size=4), st.integers(1, 5))
def test_interruptions_anywhere_give_every_track_once(tmp_path_factory, runs, group):
    path = tmp_path_factory.mktemp("cuts") / "f.parquet"
    names = [f"{k:03d}" for k in range(12)]
    for count in runs:  # each run is stopped after so many tracks
        store = None  # what holds the lock
        store = Store(path, ABOUT, group=group)
        for name in [n for n in names if n not in store.records][:count]:
            store.add(row(name))
    store = None
    store = Store(path, ABOUT, group=group)
    for name in [n for n in names if n not in store.records]:
        store.add(row(name))
    assert store.close() == 12
    assert read_store(path).ids == names


def test_small_parts_are_merged(tmp_path, monkeypatch):
    monkeypatch.setattr("ssl_audio.stores.writer.MAX_SMALL", 3)
    path = tmp_path / "f.parquet"
    names = "abcdefghijklmnopqrstu"
    store = filled(path, names, group=2)
    assert len(store.parts) <= 4
    assert store.close() == len(names)
    assert read_store(path).ids == list(names)
    np.testing.assert_array_equal(read_store(path).vectors, [row(name).vector for name in names])


def test_rows_are_replaced_revised_and_dropped(tmp_path):
    path = tmp_path / "f.parquet"
    filled(path, "abcde", group=3, segments=True).close()
    before = {each.id: each.vector for each in read_rows(path)}
    store = Store(path, ABOUT, segments=True)
    store.add(replace(row("a", 2), vector=np.zeros(4, np.float32)))
    store.flush()
    swapped = [("b", "c", Record("/c", "h")), ("c", "b", Record("/b", "i", 3, 4, "deleted"))]
    store.revise(swapped, dropped=["d"])
    for _ in range(2):  # before and after the parts are rewritten
        after = {each.id: each for each in read_rows(path)}
        assert set(after) == set("abce") and not after["a"].vector.any()
        np.testing.assert_array_equal(after["b"].vector, before["c"])
        np.testing.assert_array_equal(after["c"].vector, before["b"])
        assert (after["b"].path, after["b"].sha256) == ("/b", "i")
        if store.parts[0].dropped:
            assert store.close() == 4
    assert not any(part.dropped for part in store.parts)
    assert sorted(pq.read_table(path)["id"].to_pylist()) == list("abce")
    assert Store(path, ABOUT, segments=True).records["b"] == swapped[1][2]
    segments = {track: rows for track, _, rows in read_segments(path)}
    np.testing.assert_array_equal(segments["b"], row("c", 2).segments)


def test_a_store_of_one_file_becomes_a_folder(tmp_path):
    path = tmp_path / "f.parquet"
    old = write_store(path, ABOUT, [row(name) for name in "ab"]) and pq.read_table(path)
    pq.write_table(old.drop_columns(["size", "mtime_ns", "state", "note", "key"]), path)
    with Store(path, ABOUT) as store:
        assert store.records["a"] == Record("/music/a", "f00")
        store.add(row("c"))
        assert store.close() == 3
    np.testing.assert_array_equal(read_store(path).vectors, [row(name).vector for name in "abc"])
    assert list(tmp_path.iterdir()) == [path] and not (path / "_before.parquet").exists()


def test_two_processes_do_not_write_one_store(tmp_path):
    first = filled(tmp_path / "f.parquet", "a")
    with pytest.raises(SslAudioError, match="another process"):
        Store(tmp_path / "f.parquet", ABOUT)
    first.close()
    Store(tmp_path / "f.parquet", ABOUT)


def test_long_tracks_do_not_wait_for_a_full_row_group(tmp_path, monkeypatch):
    monkeypatch.setattr("ssl_audio.stores.writer.MAX_WAITING_BYTES", 100)
    store = filled(tmp_path / "f.parquet", "abcdefgh", segments=True)
    assert len(store.parts) == 2


def test_vectors_in_the_order_of_given_ids(tmp_path):
    path = tmp_path / "f.parquet"
    rows = [row(name) for name in "dxayc"]
    rows[3] = replace(rows[3], vector=np.full(4, np.inf))
    assert write_store(path, ABOUT, iter(rows)) == 5
    vectors, present = read_aligned(path, list("abcdey"))
    assert present.tolist() == [True, False, True, True, False, False]
    for place, name in ((0, "a"), (2, "c"), (3, "d")):
        np.testing.assert_array_equal(vectors[place], row(name).vector)
    assert not vectors[~present].any() and vectors.dtype == np.float32
    with pytest.raises(SslAudioError, match="none of the 2 tracks"):
        read_aligned(path, ["p", "q"])
    assert [one.id for one in read_rows(path)] == list("dxayc")


def test_a_store_that_pandas_wrote_is_read(tmp_path):
    pandas = pytest.importorskip("pandas")
    vectors = [row(name).vector for name in "abc"]
    frame = pandas.DataFrame({"id": list("abc"), "path": list("abc"), "embedding": vectors})
    frame.to_parquet(tmp_path / "f.parquet")
    np.testing.assert_array_equal(read_store(tmp_path / "f.parquet").vectors, np.stack(vectors))
    assert read_about(tmp_path / "f.parquet") == {}
    ragged = pandas.DataFrame({"id": ["a", "b"], "embedding": [[1.0], [1.0, 2.0]]})
    ragged.to_parquet(tmp_path / "g.parquet")
    with pytest.raises(SslAudioError, match="different lengths"):
        read_aligned(tmp_path / "g.parquet", ["a", "b"])


def test_pandas_reads_a_store(tmp_path):
    pandas = pytest.importorskip("pandas")
    filled(tmp_path / "f.parquet", "abc", group=2).close()
    frame = pandas.read_parquet(tmp_path / "f.parquet")
    np.testing.assert_array_equal(
        np.stack(frame["embedding"]), read_store(tmp_path / "f.parquet").vectors
    )


@pytest.mark.parametrize("damage", ["cut", "missing", "flipped"])
def test_damaged_parts_are_named_and_computed_again(tmp_path, damage, capsys):
    path = tmp_path / "f.parquet"
    with filled(path, "abcd", group=2):
        part = path / "part-00000000.parquet"
    content = bytearray(part.read_bytes())
    if damage == "missing":
        part.unlink()
    elif damage == "cut":
        part.write_bytes(content[:40])
    else:
        content[pq.ParquetFile(part).metadata.row_group(0).column(0).data_page_offset + 30] ^= 0xFF
        part.write_bytes(content)
    with pytest.raises(SslAudioError, match="part-00000000.parquet is damaged"):
        read_store(path)
    with Store(path, ABOUT, group=2) as store:
        assert store.records.keys() == {"c", "d"} and "damaged" in capsys.readouterr().err
        for name in "ab":
            store.add(row(name))
        assert store.close() == 4
    assert sorted(read_store(path).ids) == list("abcd")


def test_a_run_without_rows_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), Store(tmp_path / "f.parquet", ABOUT):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with Store(tmp_path / "f.parquet", ABOUT) as store:
        store.add(row("a"))
    assert Store(tmp_path / "f.parquet", ABOUT).records.keys() == {"a"}


def test_nothing_to_do_touches_nothing(tmp_path):
    path = tmp_path / "f.parquet"
    filled(path, "ab").close()
    before = {each: each.stat().st_mtime_ns for each in [path, *path.iterdir()]}
    with Store(path, ABOUT) as store:
        store.revise([])
        store.close()
    assert {each: each.stat().st_mtime_ns for each in [path, *path.iterdir()]} == before


def test_a_full_disk_is_one_line_and_keeps_what_is_finished(tmp_path, monkeypatch):
    path = tmp_path / "f.parquet"
    store = filled(path, "ab", group=2)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(SslAudioError, match="No space.*make room"):
        patch.setattr("os.fsync", full)
        with store:
            store.add(row("c"))
            store.flush()
    assert read_store(path).ids == ["a", "b"]
    assert len(list(path.glob("*.parquet"))) == 1 and not list(path.glob(".*"))
