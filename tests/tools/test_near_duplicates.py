"""tools/near_duplicates.py as a user runs it."""

import csv
from pathlib import Path

import near_duplicates
import numpy as np
import pytest

from ssl_audio.stores import kept_graph
from ssl_audio.stores.columns import Row
from ssl_audio.stores.store_search import nearest_tracks
from ssl_audio.stores.writer import Store


@pytest.mark.parametrize("by_graph", [False, True])
def test_pairs_above_a_cosine_are_listed_once(tmp_path, monkeypatch, capsys, by_graph):
    """A graph that is kept with the store is used, and not built again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(near_duplicates, "BLOCK", 16)
    vectors = np.random.default_rng(0).standard_normal((30, 64))
    vectors[7] = 2 * vectors[3] + 0.1 * vectors[4]
    vectors[20] = vectors[7] + 0.01 * vectors[5]
    rows = [Row(f"{k}", f"/music/{k}.mp3", 9.0, "", v.astype("f4")) for k, v in enumerate(vectors)]
    with Store(Path("features.parquet"), {"kind": "embedding"}) as store:
        for row in [*rows, Row("gone", "/music/gone.mp3", 9.0, "", rows[3].vector)]:
            store.add(row)
        store.flush()
        gone = store.records["gone"]._replace(state="deleted")
        store.revise([("gone", "gone", gone)])
        store.close()
    if by_graph:
        pytest.importorskip("usearch", reason="usearch is not installed")
        nearest_tracks(Path("features.parquet"), rows[0].vector[None], 1, approximate=True)
        monkeypatch.delattr(kept_graph, "_write")
    capsys.readouterr()
    assert near_duplicates.main(["features.parquet", "near.csv", "min_cosine=0.95"]) == 0
    assert "near.csv: 3 pairs, 3 of 31 tracks" in capsys.readouterr().out
    with open("near.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert [float(row["cosine"]) for row in found] == sorted(
        (float(row["cosine"]) for row in found), reverse=True
    )
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for row in found:
        later, first = (int(Path(row[name]).stem) for name in ("path", "other"))
        assert later > first and abs(unit[later] @ unit[first] - float(row["cosine"])) < 1e-3
    assert {(row["path"], row["other"]) for row in found} == {
        (f"/music/{a}.mp3", f"/music/{b}.mp3") for a, b in ((7, 3), (20, 3), (20, 7))
    }
