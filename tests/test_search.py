"""Nearest neighbours: exact against scikit-learn, approximate against exact, and the command."""

import csv
import io

import numpy as np
import pytest
import soundfile
from sklearn.neighbors import NearestNeighbors

from ssl_audio import embed, search
from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import build_encoder
from ssl_audio.stores.feature_store import Row
from ssl_audio.stores.neighbours import Neighbours
from ssl_audio.stores.writer import Store

VECTORS = np.random.default_rng(0).normal(size=(500, 16)).astype(np.float32)


@pytest.fixture
def index(tmp_path):
    store = Store(tmp_path / "f.parquet", {"kind": "embedding"})
    for k, vector in enumerate(VECTORS):
        store.add(Row(f"t{k}", f"/m/{k}", 1.0, "", vector))
    store.close()
    return tmp_path / "f.parquet"


def test_exact_search_is_scikit_learns(index):
    peer = NearestNeighbors(n_neighbors=7, metric="cosine").fit(VECTORS)
    queries = np.random.default_rng(1).normal(size=(20, 16)).astype(np.float32)
    distances, rows = peer.kneighbors(queries)
    neighbours = Neighbours(index)
    for query, expected, distance in zip(queries, rows, distances, strict=True):
        found = neighbours.of_vector(query, 7)
        assert [match.id for match in found] == [f"t{k}" for k in expected]
        np.testing.assert_allclose([m.similarity for m in found], 1 - distance, atol=1e-5)


def test_approximate_search_finds_nearly_all_and_keeps_its_graph(index, tmp_path):
    pytest.importorskip("usearch", reason="usearch is not installed")
    exact, graph = Neighbours(index), Neighbours(index, approximate=True)
    assert len(list(tmp_path.glob("*.usearch"))) == 1
    graph = Neighbours(index, approximate=True)  # from what was kept
    hits = [
        len({m.id for m in exact.of_vector(v, 10)} & {m.id for m in graph.of_vector(v, 10)})
        for v in VECTORS[:50]
    ]
    assert np.mean(hits) > 9.5
    found = graph.of_track("t3", 5)
    assert "t3" not in {m.id for m in found}
    assert found[0].similarity == pytest.approx(exact.of_track("t3", 1)[0].similarity, abs=0.01)


def test_refusals(index):
    neighbours = Neighbours(index)
    assert len(neighbours.of_vector(VECTORS[0], 10_000)) == 500
    with pytest.raises(SslAudioError, match="nothing"):
        neighbours.of_track("nothing", 3)
    with pytest.raises(SslAudioError, match="dimensions"):
        neighbours.of_vector(VECTORS[0, :4], 3)


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    build_encoder(segment=1.0, embedding_size=32).save(tmp_path / "encoder", card="")
    (tmp_path / "music").mkdir()
    for k in range(6):
        tone = np.sin(2 * np.pi * 200 * (k + 1) * np.arange(32_000) / 16_000)
        soundfile.write(tmp_path / "music" / f"{k}.wav", 0.3 * tone, 16_000)
    soundfile.write(tmp_path / "copy.flac", 0.3 * tone, 16_000)
    assert embed.main(["source=music", "checkpoint=encoder", "output=f.parquet"]) == 0
    capsys.readouterr()
    assert search.main(["index=f.parquet", "query=copy.flac", "k=3"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 3 and rows[0]["id"] == "5.wav" and float(rows[0]["similarity"]) > 0.999
    assert search.main(["index=f.parquet", "query=5.wav", "k=2"]) == 0
    assert "5.wav," not in capsys.readouterr().out
    build_encoder(segment=1.0, embedding_size=32).save(tmp_path / "other", card="")
    for words, said in (
        (["query=copy.flac", "checkpoint=other"], "another encoder"),
        (["query=/nowhere.wav"], "/nowhere.wav"),
        (["query=5.wav", "k=0"], "k=0"),
    ):
        assert search.main(["index=f.parquet", *words]) == 1
        assert said in capsys.readouterr().err.splitlines()[-1]
