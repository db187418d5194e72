"""Merging stores: a function of the stores, whatever is killed meanwhile.

`SSL_AUDIO_KILLS` sets the number of processes that are killed.
"""

import os
import random
import re
from dataclasses import replace

import numpy as np
import pytest
from commands import call
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from processes import start
from shard_worker import keep, killed

from ssl_audio import merge
from ssl_audio.io.remote import Url
from ssl_audio.stores.columns import Row
from ssl_audio.stores.failures import Failure, failures_table, read_failures
from ssl_audio.stores.feature_store import count_rows, read_tables
from ssl_audio.stores.remote import fetched, published
from ssl_audio.stores.writer import Store, write_store

KILLS = int(os.environ.get("SSL_AUDIO_KILLS", "10"))
ABOUT = {"kind": "embedding", "model": "abc", "hop": None}
FAILURE = Failure("", "", "it is damaged", True, "00", 1, 2, "2026-01-01T00:00:00Z", 1)


def row(name, version=0, dimensions=4, **more):
    vector = np.random.default_rng([*name.encode(), version]).normal(size=dimensions)
    return Row(name, more.pop("path", f"/m/{name}"), 1.0, f"{version:02d}",
               vector.astype(np.float32), size=3, mtime_ns=version, **more)  # fmt: skip


def written(path, rows=(), about=ABOUT, failures=(), **options):
    with Store(path, about, **options) as store:
        for each in rows:
            store.add(each)
        store.failures.update({failure.id: failure for failure in failures})
        store.close()
    return path


def content(path):
    """The rows by id, with all columns, and the failures."""
    rows = [each for table in read_tables(path) for each in table.to_pylist()]
    assert len({each["id"] for each in rows}) == len(rows)
    return {each["id"]: each for each in rows}, read_failures(path)


def merged(output, *stores):
    return call(merge.main, *map(str, stores), f"output={output}")


def stamps(folder):
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino)
            for path in [folder, *folder.rglob("*")]}  # fmt: skip


STATES = st.sampled_from(["absent", "failed", "kept", "deleted", "changed", "same content"])


def change(store, name, state, night):
    """Change one track of a store."""
    if state == "absent":
        store.append([], [name])
    elif state == "failed":
        store.failures[name] = FAILURE._replace(id=name, path=f"/m/{name}")
        return
    elif state == "changed" or name not in store.records:
        store.add(row(name, night))
    else:
        mark = state.replace("kept", "")
        moved = {"path": f"/{night}/{name}", "mtime_ns": night} if state == "same content" else {}
        record = store.records[name]._replace(**moved or {"state": mark})
        store.revise([(name, name, record)])
    store.failures.pop(name, None)


@settings(max_examples=4, phases=[Phase.explicit, Phase.generate])  # no shrinking: it is slow
@given(nights=st.lists(st.lists(STATES, min_size=5, max_size=5), min_size=1, max_size=2),
       shards=st.integers(1, 3), seed=st.integers(0, 99))  # fmt: skip
def test_every_order_and_number_of_merges_is_a_new_store(tmp_path_factory, nights, shards, seed):
    folder, rng = tmp_path_factory.mktemp("merge"), random.Random(seed)
    stores = [written(folder / f"{k}.parquet", [row(f"only {k}")]) for k in range(shards)]
    for night, states in enumerate(nights, 1):
        for shard, path in enumerate(stores):
            with Store(path, ABOUT) as store:
                for place in range(shard, len(states), shards):
                    change(store, f"{place}.wav", states[place], night)
                store.close()
        shuffled = rng.sample(stores, shards)
        assert merged(folder / "all.parquet", *shuffled)[0] == 0
        before = stamps(folder / "all.parquet")
        status, _, said = merged(folder / "all.parquet", *shuffled[::-1])
        assert status == 0 and "up to date" in said
        assert stamps(folder / "all.parquet") == before
        assert merged(folder / f"{night}-new.parquet", *stores)[0] == 0
        expected = [content(store) for store in stores]
        rows = {track: each for found, _ in expected for track, each in found.items()}
        failures = {track: each for _, found in expected for track, each in found.items()
                    if rows.get(track, {"state": "gone"})["state"]
                    or rows[track]["path"] != each.path}  # fmt: skip
        for name in ("all", f"{night}-new"):
            assert content(folder / f"{name}.parquet") == (rows, failures)
        table = failures_table(folder / "all.parquet")
        assert table.exists() == bool(failures)
    assert not list(folder.glob("**/.*"))


def test_only_what_differs_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("ssl_audio.catalogue.merge.LARGE_BYTES", 1)  # a step for each row group
    monkeypatch.setattr("ssl_audio.stores.parts.ROW_GROUP", 4)
    a = written(tmp_path / "a.parquet", [row(f"a{k}") for k in range(12)], group=4)
    b = written(tmp_path / "b.parquet", [row("b")])
    write_store(tmp_path / "c.parquet", {**ABOUT, "checkpoint": "c"}, [row("c")])  # of one file
    stores, output = [a, b, tmp_path / "c.parquet"], tmp_path / "all.parquet"
    assert merged(output, *stores)[0] == 0
    before = {path for path in stamps(output) if path.suffix == ".parquet" and path != output}
    assert len(before) == 5
    written(a, [row("a5", 1), row("a99")], group=4)
    status, _, said = merged(output, *stores)
    assert status == 0 and "14 tracks were there before; 1 changed, 1 new" in said
    after = {path for path in stamps(output) if path.suffix == ".parquet" and path != output}
    assert len(before - after) == 1 and len(after - before) == 2
    assert content(output)[0]["a5"]["sha256"] == "01"
    # a row that a store has lost is removed, and so is nothing else
    with Store(b, ABOUT) as store:
        store.append([], ["b"])
        store.close()
    status, _, said = merged(output, tmp_path / "c.parquet", a)
    assert status == 1 and "1 tracks of none of these stores, such as b: name the store" in said
    assert count_rows(output) == 15
    assert "1 gone" in merged(output, *stores)[2] and count_rows(output) == 14


def test_rows_and_failures_of_one_id(tmp_path):
    """A usable file before another one, then the one that was changed last."""
    a = [row("same"), row("older", 1), row("gone", 5), row("moved", path="/a/moved"), row("bad")]
    b = [row("same"), row("older", 2), row("gone", 4), row("moved", path="/b/moved")]
    failed = FAILURE._replace(id="bad", path="/m/bad")
    twice = [failed._replace(id="x", when=f"2026-01-0{k}", tries=k) for k in (2, 1)]
    stores = [
        written(tmp_path / "a.parquet", a, failures=[twice[0]]),
        written(tmp_path / "b.parquet", b, failures=[failed, twice[1]]),
    ]
    with Store(stores[0], ABOUT) as store:
        store.revise([("gone", "gone", store.records["gone"]._replace(state="deleted"))])
        store.close()
    for order in (stores, stores[::-1]):
        output = tmp_path / f"{order[0].stem}-first.parquet"
        assert merged(output, *order)[0] == 0
        rows, failures = content(output)
        assert {track: each["mtime_ns"] for track, each in rows.items()} == {
            "same": 0, "older": 2, "gone": 4, "moved": 0, "bad": 0}  # fmt: skip
        assert rows["moved"]["path"] == "/b/moved" and not rows["gone"]["state"]
        assert failures == {"x": twice[0]}
    other = written(tmp_path / "c.parquet", [row("same", 1, path="/c/same")])
    status, _, said = merged(tmp_path / "all.parquet", *stores, other)
    assert status == 1 and "same is /m/same in" in said and "/c/same, in" in said
    assert not (tmp_path / "all.parquet").exists()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"about": {**ABOUT, "model": "x"}}, "b.parquet was made with model=x, but .*a.parquet"),
        ({"about": {**ABOUT, "hop": 2.0}}, "hop=2.0, but .*hop=None"),
        ({"dtype": "float16"}, "dtype=float16"),
        ({"rows": [row("b", dimensions=5)]}, r"column embedding: fixed_size_list.*\[5\]"),
        ({"rows": [replace(row("b"), segments=np.ones((1, 4)), times=np.ones(1))],
          "segments": True}, "segments=True"),
    ],
)  # fmt: skip
def test_what_was_made_in_another_way_is_refused(tmp_path, other, said):
    stores = [written(tmp_path / "a.parquet", [row("a")]), tmp_path / "b.parquet"]
    written(stores[1], **{"rows": [row("b")], **other})
    before = sorted(tmp_path.iterdir())
    for output, inputs in ((tmp_path / "c.parquet", stores), (stores[1], stores[:1])):
        status, _, err = merged(output, *inputs)
        assert status == 1 and err.count("\n") == 1 and re.search(said, err), err
    assert sorted(tmp_path.iterdir()) == before


def test_refusals(tmp_path):
    a, output = written(tmp_path / "a.parquet", [row("a")]), tmp_path / "o.parquet"
    written(output, [row("b")])
    (tmp_path / "damaged.parquet").write_bytes((a / "part-00000000.parquet").read_bytes()[:99])
    for words, said in (
        ([a], "1 tracks of none of these stores, such as b"),
        ([a, output], "is one of the stores"),
        ([tmp_path / "none.parquet"], "no such file"),
        ([a, tmp_path / "damaged.parquet"], "damaged.parquet is damaged"),
        ([], "stores= is required"),
    ):
        status, _, err = merged(output, *words)
        assert status == 1 and err.count("\n") == 1 and said in err, err
    assert count_rows(output) == 1


def test_stores_at_urls(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_AUDIO_CACHE", str(tmp_path / "cache"))
    place = f"memory://{tmp_path.name}"
    for name in "ab":
        with published(Url(f"{place}/{name}.parquet")) as store:
            written(store.path, [row(name)])
    words = [f"{place}/a.parquet", f"{place}/b.parquet"]
    assert merged(f"{place}/all.parquet", *words)[0] == 0
    assert set(content(fetched(Url(f"{place}/all.parquet")))[0]) == set("ab")
    assert "up to date" in merged(f"{place}/all.parquet", *words[::-1])[2]
    assert "a.parquet is one of the stores" in merged(words[0], *words)[2]


@pytest.mark.slow
def test_killed_workers_lose_and_double_nothing(tmp_path):
    """Machines of three shards and of the merge, killed at random moments while files change."""
    music, rng, clock = tmp_path / "music", random.Random(0), 10**18
    music.mkdir()
    shards = [[str(music), str(tmp_path / f"{k}.parquet"), str(k), "3"] for k in (1, 2, 3)]
    output = tmp_path / "all.parquet"
    stores = [words[1] for words in shards]
    commands = [*(["keep", *words] for words in shards), ["merge", *stores, f"output={output}"]]
    for kill in range(KILLS):
        for _ in range(6):
            path = music / f"{rng.randrange(40)}.wav"
            if rng.random() < 0.2 and len(list(music.iterdir())) > 9:
                path.unlink(missing_ok=True)
                continue
            path.write_bytes(b"%s %d" % (rng.choice([b"good", b"bad"]), rng.randrange(99)))
            clock += 10**6
            os.utime(path, ns=(clock, clock))
        process = start(killed, [str(rng.uniform(0, 0.1)), *rng.choice(commands)])
        process.join()
        if kill % 5 == 4 or kill == KILLS - 1:
            assert [call(keep, *words)[0] for words in shards] == [0, 0, 0]
            assert merged(output, *stores)[0] == 0
            whole = tmp_path / f"{kill}.parquet" / "whole.parquet"
            call(keep, str(music), str(whole), "1", "1")
            (rows, failures), (expected, failed) = content(output), content(whole)
            assert rows == expected and len(rows) > 3
            assert set(failures) == set(failed)
