"""Tracks by id, name and similarity, and playlists without a model."""

import io
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import soundfile
from made_service import IDS, Client, sound, tone

from ssl_audio.service import tracks
from ssl_audio.stores.columns import Row
from ssl_audio.stores.kept_graph import index_folder
from ssl_audio.stores.writer import Store


def url(track: str, more: str = "") -> str:
    return f"/tracks/{quote(track, safe='')}{more}"


@pytest.mark.parametrize("track", IDS)
def test_any_id_works_percent_encoded(client: Client, music: Path, track: str) -> None:
    service = client()
    found = service.get(url(track)).json()
    assert found["id"] == track and found["seconds"] == 0.5 and found["tags"] is None
    heard = service.get(url(track, "/audio"))
    assert heard.content == (music / track).read_bytes()
    part = service.get(url(track, "/audio"), headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == heard.content[10:20]
    assert part.headers["content-range"] == f"bytes 10-19/{len(heard.content)}"
    if track.endswith(".wav"):
        assert heard.headers["content-type"] == "audio/wav"


def test_slashes_may_be_sent_as_they_are(client: Client) -> None:
    assert client().get("/tracks/a/b c.wav").json()["id"] == "a/b c.wav"
    assert client().get("/tracks/a/audio.wav/audio").status_code == 200


def test_head_is_answered_wherever_get_is(client: Client) -> None:
    service = client()
    documented = service.get("/openapi.json").json()["paths"]
    assert not any("head" in methods for methods in documented.values())
    paths = [path for path, methods in documented.items() if "get" in methods]
    paths = [path.replace("/{track}", url(IDS[0]).removeprefix("/tracks")) for path in paths]
    more = ["/", "/docs", "/openapi.json", "/explorer/components.css", "/explorer/main.js"]
    for path in [*paths, *more]:
        whole, head = service.get(path), service.head(path)
        assert head.status_code == whole.status_code == 200 and head.content == b"", path
        assert head.headers["content-type"] == whole.headers["content-type"]
        if path != "/metrics":
            assert head.headers["content-length"] == whole.headers["content-length"]
    assert len(paths) >= 6 and service.head(url("none")).status_code == 404
    assert service.head("/complete").status_code == 405


def test_waveform_is_that_of_the_file(client: Client) -> None:
    found = client().get(url(IDS[2], "/waveform?points=5")).json()
    expected = np.abs(soundfile.read(io.BytesIO(sound(tone(2))))[0]).reshape(5, -1).max(1)
    assert found["seconds"] == 0.5
    np.testing.assert_allclose(found["peaks"], expected, atol=1e-4)
    assert len(client().get(url(IDS[2], "/waveform")).json()["peaks"]) == 25  # one per 20 ms


@pytest.mark.parametrize(
    ("query", "found"),
    [("motorhead", [1]), ("LIVE mot", [1]), ("日本", [3]), ("", range(7)), ("b c", [0]),
     ("nothing", []), ("AUDIO", [2])],
)  # fmt: skip
def test_search_by_part_of_the_name(client: Client, query: str, found: list[int]) -> None:
    answer = client().get("/tracks", params={"query": query}).json()
    assert {track["id"] for track in answer["tracks"]} == {IDS[k] for k in found}
    assert answer["total"] == len(found)
    first = client().get("/tracks", params={"query": "a", "limit": 3}).json()["tracks"]
    # the name begins with it, in the order of the ids; then it is in the name
    assert [one["id"] for one in first] == ["a/audio.wav", "..wav", "a/b c.wav"]


def test_neighbours_are_those_of_highest_cosine(client: Client) -> None:
    vectors = np.eye(len(IDS)) + 0.1 * np.arange(len(IDS))[:, None]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    service = client()
    found = service.post("/neighbours", json={"id": IDS[0], "k": 3}).json()
    order = [k for k in np.argsort(-(unit @ unit[0]), kind="stable") if k][:3]
    assert [one["id"] for one in found] == [IDS[k] for k in order]
    np.testing.assert_allclose([one["similarity"] for one in found], (unit @ unit[0])[order], 1e-5)
    by_vector = {"vector": vectors[0].tolist(), "k": 4}
    found = service.post("/neighbours", json=by_vector).json()
    assert [one["id"] for one in found] == [IDS[0], *(IDS[k] for k in order)]
    more = {**by_vector, "prefix": "a/", "exclude": [IDS[0]]}
    found = service.post("/neighbours", json=more).json()
    assert {one["id"] for one in found} == {"a/audio.wav", "a/b/waveform"}
    assert service.post("/neighbours", json={**by_vector, "prefix": "none"}).json() == []


def test_large_stores_are_searched_by_their_graph(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("usearch", reason="usearch is not installed")
    vectors = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    rows = [Row(f"{k % 3}/{k}", "", 1.0, "", v) for k, v in enumerate(vectors)]
    with Store(tmp_path / "f.parquet", {"kind": "test"}) as store:
        for row in rows:
            store.add(row)
        store.flush()
        store.revise([("0/0", "0/0", rows[0].record._replace(state="deleted"))])
    exact = client(features=tmp_path / "f.parquet")
    monkeypatch.setattr(tracks, "MAX_EXACT", 100)
    by_graph = client(features=tmp_path / "f.parquet")
    assert exact.get("/health").json()["tracks"] == 299
    assert index_folder(tmp_path / "f.parquet").is_dir()
    for query in ({"id": "1/1"}, {"vector": vectors[0].tolist()}, {"id": "2/2", "prefix": "1/"}):
        found, expected = (one.post("/neighbours", json=query).json() for one in (by_graph, exact))
        assert [one["id"] for one in found] == [one["id"] for one in expected]
        assert found[0]["similarity"] == pytest.approx(expected[0]["similarity"], abs=1e-5)


def test_playlists_are_continued_by_similarity(client: Client) -> None:
    service = client()
    answer = service.post("/complete", json={"ids": [IDS[5], "new"], "length": 3}).json()
    expected = service.post("/neighbours", json={"id": IDS[5], "k": 3}).json()
    assert answer == {
        "model": "similarity", "ids": [one["id"] for one in expected], "unknown": ["new"]
    }  # fmt: skip
    answer = service.post("/complete", json={"ids": IDS, "length": 3}).json()
    assert answer["ids"] == []


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/tracks/none", None, 404, "no track 'none'"),
        ("/tracks/%ff", None, 404, "not UTF-8"),
        ("/tracks?limit=0", None, 422, "query.limit"),
        ("/nowhere", None, 404, "Not Found"),
        ("/neighbours", {"id": "none"}, 404, "no track"),
        ("/neighbours", {"id": IDS[0], "vector": [1]}, 422, "exactly one"),
        ("/neighbours", {"vector": [1, 2]}, 422, "vector: 7 numbers, not 2"),
        ("/neighbours", {"id": IDS[0], "K": 1}, 422, "K"),
        ("/complete", {"ids": ["none"]}, 422, "'none' should be like 'a/b c.wav'"),
        ("/complete", {"ids": [IDS[0]], "model": "x"}, 422, "one of similarity"),
    ],
)
def test_errors_are_problem_documents(
    client: Client, path: str, body: object, status: int, said: str
) -> None:
    answer = client().post(path, json=body) if body else client().get(path)
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert answer.status_code == document["status"] == status and document["title"]
    assert said in document["detail"], document
