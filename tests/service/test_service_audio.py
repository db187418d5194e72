"""Files that are uploaded or named: embeddings, tags, neighbours, and the path of a new track."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_service import IDS, TAGS, sound, tone
from starlette.testclient import TestClient

from ssl_audio.catalogue.acoustic_model import load_acoustic
from ssl_audio.models.encoder import load_encoder
from ssl_audio.probing.estimator import load_probe
from ssl_audio.recommenders.models.two_tower import load_two_tower
from ssl_audio.service.batching import MAX_ROWS, BatchedNetwork

NEW = sound(tone(20, 0.7))


@pytest.fixture(scope="module")
def vector(models: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """(dimensions,) embedding of `NEW`, by the package."""
    path = tmp_path_factory.mktemp("new") / "new.wav"
    path.write_bytes(NEW)
    return load_encoder(models["features"].parent / "encoder").embed_file(path).track


def test_an_upload_is_embedded_as_embed_does(everything: TestClient, vector: np.ndarray) -> None:
    for name in ("new.wav", "no suffix", "../../etc/x.wav", "x.txt"):
        found = everything.post("/embed", files={"file": (name, NEW)}).json()
        np.testing.assert_allclose(found["embedding"], vector, rtol=1e-4, atol=1e-5)
        assert found["seconds"] == 0.7 and found["note"] == ""


def test_a_named_file_is_the_track_of_the_store(
    everything: TestClient, music: Path, models: dict[str, Any]
) -> None:
    for path in (IDS[1], str(music / IDS[1])):
        found = everything.post("/neighbours", json={"path": path, "k": 2}).json()
        assert found[0]["id"] == IDS[1] and found[0]["similarity"] > 0.9999


def test_tags_are_those_of_the_probe(
    everything: TestClient, models: dict[str, Any], vector: np.ndarray
) -> None:
    found = everything.post("/tag", files={"file": NEW}).json()["tags"]
    probe = load_probe(models["probe"])
    expected = probe.predict_proba(vector[None])[0]
    assert [tag["probability"] for tag in found] == sorted(
        (tag["probability"] for tag in found), reverse=True
    )
    for tag in found:
        k = TAGS.index(tag["name"])
        assert tag["probability"] == pytest.approx(expected[k], abs=1e-4)
        assert tag["present"] == (expected[k] >= probe.thresholds_[k])
    details = everything.get(f"/tracks/{IDS[0]}").json()
    assert {tag["name"] for tag in details["tags"]} == set(TAGS)
    assert list(details["acoustic"]) == [f"acoustic_{k}" for k in range(8)]
    assert everything.get("/tracks/..wav").json()["acoustic"] is None  # not in that store


def test_a_new_track_goes_the_whole_way(
    everything: TestClient, models: dict[str, Any], vector: np.ndarray
) -> None:
    folder = models["features"].parent
    fields = {"k": 3, "length": 4, "prefix": "a/"}
    found = everything.post("/new-track", files={"file": NEW}, data=fields).json()
    np.testing.assert_allclose(found["embedding"], vector, rtol=1e-4, atol=1e-5)
    acoustic = load_acoustic(folder / "acoustic-model").features(vector[None])[0]
    np.testing.assert_allclose(list(found["acoustic"].values()), acoustic, atol=1e-3)
    assert len(found["tags"]) == len(TAGS) and len(found["neighbours"]) == 3
    assert all(one["id"].startswith("a/") for one in found["neighbours"])
    own = folder / "run" / "systems" / "two-tower-embeddings"
    inductive = load_two_tower(own / "model").vectors(vector[None])[0]
    assert found["inductive"]["model"] == "two_tower"
    np.testing.assert_allclose(found["inductive"]["vector"], inductive, atol=1e-3)
    order = np.argsort(-(np.load(own / "vectors.npy") @ inductive), kind="stable")[:4]
    assert found["playlist"]["ids"] == [IDS[k] for k in order]


def test_without_a_run_the_playlist_begins_with_the_nearest(
    client: Any, models: dict[str, Any]
) -> None:
    service = client(features=models["features"])

    def neighbours(**fields: Any) -> Any:
        return service.post("/neighbours", files={"file": NEW}, data=fields).json()

    nearest = neighbours(k=5)
    for fields in ({}, {"k": 2}, {"k": 2, "prefix": "a/"}):
        data = {"length": 6, **fields}
        found = service.post("/new-track", files={"file": NEW}, data=data).json()
        assert found["inductive"] is found["acoustic"] is found["tags"] is None
        assert found["neighbours"] == neighbours(**fields)
        playlist = found["playlist"]["ids"]
        assert playlist[:5] == [one["id"] for one in nearest] and len(set(playlist)) == 6


def test_playlists_are_continued_by_the_model(everything: TestClient) -> None:
    known = {"ids": [IDS[0], IDS[1]], "length": 3}
    found = everything.post("/complete", json=known).json()
    assert found["model"] == "two_tower" and found["unknown"] == []
    assert len(set(found["ids"]) - {IDS[0], IDS[1]}) == 3
    m3u = f"#EXTM3U\r\nC:\\Music\\{IDS[0]}\n/elsewhere/{IDS[1]}\nnobody.mp3\n".replace("/b", "\\b")
    by_file = everything.post("/complete", files={"file": m3u.encode()}, data={"length": 3}).json()
    assert by_file == {**found, "unknown": ["nobody.mp3"]}
    found = everything.post("/complete", json={**known, "length": 1000}).json()
    assert len(found["ids"]) == len(IDS) - 2  # all there are
    by_sound = everything.post("/complete", json={**known, "model": "similarity"}).json()
    assert by_sound["model"] == "similarity" and len(by_sound["ids"]) == 3


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"", 422, "empty"),
        (b"RIFF", 422, "the audio is un"),
        (NEW[:40], 422, "the audio is"),
        (sound(tone(0, 3.5)), 422, "too long (more than 3 s)"),
        (b"ID3" + b"x" * 999 + b"#EXTM3U\nfile:///etc/passwd", 415, "list of other files"),
    ],
)
def test_what_cannot_be_used_is_named(
    client: Any, models: dict[str, Any], content: bytes, status: int, said: str
) -> None:
    service = client(features=models["features"], max_seconds=3)
    answer = service.post("/embed", files={"file": content})
    assert answer.status_code == status and said in answer.json()["detail"], answer.text
    assert "/tmp" not in answer.text


def test_a_store_without_embeddings_has_no_encoder(client: Any) -> None:
    for path in ("/embed", "/new-track", "/tag"):
        assert client().post(path, files={"file": NEW}).status_code == 409


def test_requests_at_a_time_share_a_batch() -> None:
    """Rows of all who wait, in batches of MAX_ROWS at most, each to whom they belong."""
    sizes: list[int] = []
    first, go = threading.Event(), threading.Event()

    def network(x: torch.Tensor) -> torch.Tensor:
        first.set()
        go.wait(10)
        if (x == -1).any():
            raise ValueError("bad")
        return x * 2

    batched, found = BatchedNetwork(network, sizes.append), dict[int, Any]()

    def call(k: int, rows: int) -> None:
        try:
            found[k] = batched(torch.full((rows, 3 + k % 2), float(k)))
        except ValueError as error:
            found[k] = str(error)

    threads = [threading.Thread(target=call, args=(0, 1))]
    threads[0].start()
    assert first.wait(10)
    threads += [threading.Thread(target=call, args=(k, rows))
                for k, rows in [(2, 3), (4, 30), (6, 31), (8, 70), (1, 2), (3, 5)]]  # fmt: skip
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(10)
    for k, rows in [(0, 1), (2, 3), (4, 30), (6, 31), (8, 70), (1, 2), (3, 5)]:
        assert torch.equal(found[k], torch.full((rows, 3 + k % 2), 2.0 * k))
    assert sum(sizes) == 142 and len(sizes) < 7 and all(s <= MAX_ROWS or s == 70 for s in sizes)
    call(-1, 2)
    assert found[-1] == "bad"
    call(0, 2)  # a failure does not end the network
    assert torch.equal(found[0], torch.zeros(2, 3))


def test_concurrent_embeddings_equal_single_ones(
    everything: TestClient, vector: np.ndarray
) -> None:
    contents = [sound(tone(k, 0.6)) for k in range(4)] * 2
    single = [
        everything.post("/embed", files={"file": content}).json()["embedding"]
        for content in contents[:4]
    ]
    found: list[Any] = [None] * len(contents)

    def call(k: int) -> None:
        answer = everything.post("/embed", files={"file": contents[k]})
        found[k] = answer.json()["embedding"]

    threads = [threading.Thread(target=call, args=(k,)) for k in range(len(contents))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, one in enumerate(found):
        np.testing.assert_allclose(one, single[k % 4], rtol=1e-4, atol=1e-5)
