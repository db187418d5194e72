"""Search in a store: exact against brute force, and the graph that follows the store."""

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ssl_audio.stores import kept_graph
from ssl_audio.stores.columns import Row
from ssl_audio.stores.store_search import nearest_tracks
from ssl_audio.stores.writer import Store

CENTRES = np.random.default_rng(9).normal(size=(20, 12))


def vectors(count, seed):
    """Clustered, (count, 12)."""
    rng = np.random.default_rng(seed)
    return (CENTRES[rng.integers(20, size=count)] + rng.normal(0, 0.3, (count, 12))).astype("f4")


def add(path, names, seed, **marks):
    """Add rows, and mark some."""
    with Store(path, {"kind": "x"}, group=150) as store:
        for name, vector in zip(names, vectors(len(names), seed), strict=True):
            store.add(Row(name, f"/{name}", 1.0, "", vector))
        store.flush()
        store.revise([(name, name, store.records[name]._replace(state=state))
                      for name, state in marks.items()])  # fmt: skip
        store.close()


def brute_force(path, queries, count, prefix="", states=("",)):
    table = pq.read_table(path).to_pydict()
    rows = np.array(table["embedding"], np.float64)
    cosines = queries @ rows.T / np.linalg.norm(rows, axis=1)
    cosines /= np.linalg.norm(queries, axis=1, keepdims=True)
    usable = [i.startswith(prefix) and s in states
              for i, s in zip(table["id"], table["state"], strict=True)]  # fmt: skip
    order = np.argsort(np.where(usable, -cosines, np.inf), axis=1)[:, : min(count, sum(usable))]
    return [[(table["id"][k], c[k]) for k in row] for row, c in zip(order, cosines, strict=True)]


@pytest.mark.parametrize(
    ("options", "states"),
    [({}, ("",)), ({"prefix": "1"}, ("",)), ({"deleted": True}, ("", "deleted"))],
)
def test_exact_search_is_brute_force(tmp_path, options, states):
    path = tmp_path / "f.parquet"
    add(path, [f"{k}" for k in range(400)], 0, **{"17": "deleted", "18": "deleted"})
    queries = np.vstack([vectors(5, 1), vectors(400, 0)[17:18]])
    expected = brute_force(path, queries, 120, options.get("prefix", ""), states)
    for one, other in zip(nearest_tracks(path, queries, 120, **options), expected, strict=True):
        assert [match.id for match in one] == [track for track, _ in other]
        np.testing.assert_allclose([m.similarity for m in one], [c for _, c in other], atol=1e-5)
        assert all(match.path == f"/{match.id}" for match in one)


def recall(path, queries):
    found = nearest_tracks(path, queries, 10, approximate=True)
    for matches in found:
        assert (np.diff([match.similarity for match in matches]) <= 0).all()
    ids = [{match.id for match in matches} for matches in found]
    exact = [{track for track, _ in row} for row in brute_force(path, queries, 10)]
    return np.mean([len(a & b) for a, b in zip(ids, exact, strict=True)]) / 10


def stamps(path):
    return {each: each.stat().st_mtime_ns for each in path.rglob("*")}


def test_the_graph_follows_the_store(tmp_path, capsys):
    pytest.importorskip("usearch", reason="usearch is not installed")
    path, queries, seen = tmp_path / "f.parquet", vectors(30, 1), 300
    add(path, [f"{k}" for k in range(seen)], 0)
    assert recall(path, queries) > 0.97
    assert capsys.readouterr().err == "building the graph of 300 vectors\n"
    before = stamps(path)
    recall(path, queries)
    assert stamps(path) == before and not capsys.readouterr().err
    for night in range(1, 5):
        new = [f"{k}" for k in range(seen, seen + 20)]
        changed = [f"{k}" for k in range(night, seen, 17)]
        gone = {f"{k}": "deleted" for k in range(night, seen, 31)}
        add(path, [*new, *changed], night, **gone)
        with Store(path, {"kind": "x"}) as store:
            store.append([], [f"{night * 5}"])
            store.close()
        seen += 20
        nearest = nearest_tracks(path, queries, seen, approximate=True)
        states = dict(
            zip(*pq.read_table(path, columns=["id", "state"]).to_pydict().values(), strict=True)
        )
        for matches in nearest:  # every track that is there, and no other
            assert sorted(m.id for m in matches) == sorted(i for i, s in states.items() if not s)
        assert recall(path, queries) > 0.95
        assert capsys.readouterr().err.startswith("updating the graph: ")
        assert len(list((path / "_index").iterdir())) == 3
    gone = {f"{k}": "deleted" for k in range(seen) if f"{k}" in states}
    add(path, [], 0, **gone)
    assert nearest_tracks(path, queries, 3, approximate=True) == [[]] * 30


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "manifest.json").write_text("{"), "manifest.json is damaged: "),
        (lambda f: (f / "manifest.json").write_text(json.dumps(
            {**json.loads((f / "manifest.json").read_text()), "format": 0})), "another version: "),
        (lambda f: flip(next(f.glob("*.usearch"))), "usearch is damaged: "),
        (lambda f: next(f.glob("*.usearch")).unlink(), "cannot be read ("),
        (lambda f: (f / "manifest.json").unlink(), ""),
    ],
)  # fmt: skip
def test_an_index_that_cannot_be_used_is_built_again(tmp_path, capsys, damage, said):
    pytest.importorskip("usearch", reason="usearch is not installed")
    path, queries = tmp_path / "f.parquet", vectors(3, 1)
    add(path, [f"{k}" for k in range(50)], 0)
    expected = nearest_tracks(path, queries, 5, approximate=True)
    capsys.readouterr()
    damage(path / "_index")
    assert nearest_tracks(path, queries, 5, approximate=True) == expected
    line = capsys.readouterr().err
    assert said in line and line.endswith("building the graph of 50 vectors\n")
    assert line.count("\n") == 1
    assert nearest_tracks(path, queries, 5, approximate=True) == expected
    assert not capsys.readouterr().err


def flip(path):
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


def test_a_graph_that_cannot_be_written_still_serves(tmp_path, monkeypatch, capsys):
    pytest.importorskip("usearch", reason="usearch is not installed")
    path, queries = tmp_path / "f.parquet", vectors(3, 1)
    add(path, [f"{k}" for k in range(50)], 0)

    def full(path, text):
        raise OSError("No space left on device")

    monkeypatch.setattr(kept_graph, "write_text", full)
    assert len(nearest_tracks(path, queries, 5, approximate=True)[0]) == 5
    assert "so the next search repeats this: No space left" in capsys.readouterr().err


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_an_update_that_is_killed_is_repeated(tmp_path, monkeypatch, capsys, renames):
    """After so many renames; what it has left is removed."""
    pytest.importorskip("usearch", reason="usearch is not installed")
    path, queries, left = tmp_path / "f.parquet", vectors(3, 1), [renames]
    add(path, [f"{k}" for k in range(50)], 0)
    nearest_tracks(path, queries, 5, approximate=True)
    add(path, ["new"], 1, **{"3": "deleted"})
    rename = os.replace

    def killed(*arguments):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        rename(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("os.replace", killed)
        nearest_tracks(path, queries, 5, approximate=True)
    (path / "_index" / ".new.usearch.1.1.tmp").touch()
    (path / "_index" / "of another module").touch()
    capsys.readouterr()
    found = nearest_tracks(path, queries, 50, approximate=True)
    assert capsys.readouterr().err == "updating the graph: 1 vectors are added, 1 removed\n"
    assert {match.id for match in found[0]} == {"new", *(f"{k}" for k in range(50) if k != 3)}
    assert len(list((path / "_index").iterdir())) == 4


def test_a_store_of_another_program_has_its_graph_beside_it(tmp_path, capsys):
    pytest.importorskip("usearch", reason="usearch is not installed")
    path, queries = tmp_path / "f.parquet", vectors(3, 1)
    rows = [*vectors(50, 0), np.full(12, np.nan, "f4")]
    names = [f"{k}" for k in range(51)]
    pq.write_table(pa.table({"id": names, "path": names, "embedding": rows}), path)
    found = nearest_tracks(path, queries, 60, approximate=True)
    exact = nearest_tracks(path, queries, 60)
    assert [[m.id for m in each] for each in found] == [[m.id for m in each] for each in exact]
    assert len(found[0]) == 50 and (tmp_path / "f.parquet.index" / "manifest.json").exists()
