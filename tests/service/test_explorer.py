"""What the explorer is sent: its page, and the map of the catalogue."""

from __future__ import annotations

import gzip
import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from made_service import Client

from ssl_audio.reports.projection import method_for, project
from ssl_audio.service.explorer import map as map_module
from ssl_audio.service.explorer.map import (
    MAX_GROUPS,
    MapMaker,
    Points,
    cached_map,
    folders,
    map_file,
    map_json,
)
from ssl_audio.service.explorer.routes import STATIC, _points

MAX_BYTES = 600_000  # of the page and its libraries, in the wheel


def points(count: int = 12, **colourings: list[str]) -> Points:
    vectors = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    return Points([f"t{k}" for k in range(count)], vectors, dict(colourings))


def test_the_page_and_its_files_come_from_here_and_run_nothing_else(client: Client) -> None:
    service = client()
    page = service.get("/")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';") and "unsafe" not in policy
    assert "<script>" not in page.text and "style=" not in page.text and "http" not in page.text
    for name in ["components.css", "tooltip.js", "main.js", "vendor/libraries.min.js", "icon.svg"]:
        file = service.get(f"/explorer/{name}")
        assert file.status_code == 200 and file.headers["x-content-type-options"] == "nosniff"
        if name.endswith(".js"):
            assert file.headers["content-type"].startswith("text/javascript")
    assert "--series-0" in service.get("/explorer/components.css").text
    assert service.get("/explorer/%2e%2e/routes.py").status_code == 404


def test_the_files_are_small() -> None:
    sizes = {path: path.stat().st_size for path in STATIC.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < MAX_BYTES
    for path in sizes:
        if path.parent == STATIC:
            assert len(path.read_text().splitlines()) < 400, path.name


def test_the_map_is_computed_in_the_background_and_then_known_by_its_tag(client: Client) -> None:
    service = client()
    answer = service.get("/map")
    deadline = time.monotonic() + 60
    while answer.status_code == 202 and time.monotonic() < deadline:
        assert answer.json()["seconds"] >= 0
        time.sleep(0.02)
        answer = service.get("/map")
    assert answer.headers["content-encoding"] == "gzip"
    found = answer.json()
    assert len(found["ids"]) == len(found["x"]) == len(found["y"])
    assert set(found["ids"]) == {t["id"] for t in service.get("/tracks").json()["tracks"]}
    plain = service.get("/map", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers and plain.json() == found
    again = service.get("/map", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304 and again.content == b""


def test_places_are_those_of_the_projection() -> None:
    made = points(folder=["a"] * 5 + ["b"] * 7, same=["c"] * 12)
    made.vectors[3] = np.nan
    found = json.loads(map_json(made, "1"))
    rows = [k for k in range(12) if k != 3]
    places, method = project(made.vectors[rows])
    assert found["method"] == method == "t-SNE"
    assert found["ids"] == [f"t{k}" for k in rows]
    for name, values in zip("xy", places.T, strict=True):
        assert (min(found[name]), max(found[name])) == (0, 65535)
        assert np.corrcoef(found[name], values)[0, 1] == pytest.approx(1)
    (colouring,) = found["colourings"]  # that with one group shows nothing
    assert colouring == {"name": "folder", "groups": ["b", "a"], "values": [1] * 4 + [0] * 7}
    assert map_json(made, "1") == map_json(made, "1")


def test_the_first_map_is_that_of_principal_components(tmp_path: Path) -> None:
    made, given = points(folder=["a"] * 5 + ["b"] * 7), []
    content = cached_map(tmp_path / "s.parquet", "1", made, given.append)
    first, found = json.loads(given[0]), json.loads(gzip.decompress(content))
    standard = (made.vectors - made.vectors.mean(0)) / made.vectors.std(0)
    directions = np.linalg.svd(standard)[2][:2]
    for name, values in zip("xy", directions @ standard.T, strict=True):
        assert abs(np.corrcoef(first[name], values)[0, 1]) == pytest.approx(1, abs=1e-5)
    assert first["method"] == "PCA" and found["method"] == "t-SNE"
    assert all(first[key] == found[key] for key in ("version", "ids", "colourings"))
    cached_map(tmp_path / "s.parquet", "1", made, given.append)  # from its file
    assert len(given) == 1


def test_the_preview_is_there_until_the_map_is(
    client: Client, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(music / "features.parquet", tmp_path)  # without its map
    go, service = threading.Event(), client(features=tmp_path / "features.parquet")

    def slow(_: np.ndarray, preview: Callable[[np.ndarray], None]) -> tuple[np.ndarray, str]:
        preview(np.arange(14.0).reshape(7, 2))
        go.wait(60)
        return np.eye(7)[:, :2], "t-SNE"

    monkeypatch.setattr(map_module, "project", slow)
    assert service.get("/map/preview").status_code == 404  # nothing is computed yet

    def waited(ready: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + 60
        while not ready(answer := service.get("/map")) and time.monotonic() < deadline:
            time.sleep(0.02)
        return answer

    assert waited(lambda answer: answer.json().get("preview")).status_code == 202
    first = service.get("/map/preview").json()
    assert first["method"] == "PCA" and first["x"][0] == 0 and len(first["ids"]) == 7
    go.set()
    assert waited(lambda answer: answer.status_code == 200).json()["method"] == "t-SNE"
    assert service.get("/map/preview").status_code == 404


def test_of_many_groups_the_smallest_are_one() -> None:
    names = [f"g{k:02}" for k in range(MAX_GROUPS + 3)]
    found = json.loads(map_json(points(2 * len(names) - 3, folder=[*names, *names[:-3]]), "1"))
    (colouring,) = found["colourings"]
    assert colouring["groups"] == [*names[:MAX_GROUPS], "other"]
    assert colouring["values"][: len(names)] == [*range(MAX_GROUPS), *[MAX_GROUPS] * 3]


def test_tracks_are_coloured_by_their_most_probable_tag() -> None:
    vectors = np.random.default_rng(1).normal(size=(20, 2)).astype(np.float32)
    vectors[4] = np.nan
    tracks = SimpleNamespace(ids=points(20).ids, vectors=vectors, directions=vectors)
    probe = SimpleNamespace(tags_=("low", "high"), predict_proba=lambda found: found)
    found = _points(cast(Any, SimpleNamespace(tracks=tracks, probe=probe)))
    groups = np.array(found.colourings["most probable tag"])
    shown = np.isfinite(vectors).all(1)
    assert ((groups == "high") == (vectors[:, 1] > vectors[:, 0]))[shown].all()
    assert [c["name"] for c in json.loads(map_json(found, "1"))["colourings"]] == [
        "most probable tag"
    ]


def test_the_projection_depends_on_the_number_of_tracks() -> None:
    sizes = [(1, 8), (8, 1), (9, 8), (10, 8), (100_000, 8)]
    assert [method_for(*size) for size in sizes] == ["order", "order", "PCA", "t-SNE", "t-SNE"]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["m/a/1", "m/a/2", "m/b/c/3"], ["a", "a", "b"]),
        (["1", "a/2", "a/b/3"], ["", "a", "a"]),
        (["m/1", "m/2"], ["", ""]),
        ([], []),
    ],
)
def test_folders_are_those_where_the_tracks_part(ids: list[str], expected: list[str]) -> None:
    assert folders(ids) == expected


def test_a_map_is_kept_until_the_store_changes(tmp_path: Path) -> None:
    store, made = tmp_path / "s.parquet", points()
    content, file = cached_map(store, "1", made), map_file(store)
    assert file.read_bytes() == content and json.loads(gzip.decompress(content))["ids"] == made.ids
    stamp = file.stat().st_mtime_ns
    assert cached_map(store, "1", made) == content and file.stat().st_mtime_ns == stamp
    file.write_bytes(content[:40])  # damaged: written again
    assert cached_map(store, "1", made) == content == file.read_bytes()
    for version, other in [("2", points(13)), ("2", points(13, folder=["a"] * 13))]:
        assert cached_map(store, version, other) == file.read_bytes() != content
        content = file.read_bytes()


def test_a_map_that_cannot_be_kept_is_given(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    store, made = tmp_path / "s.parquet", points()
    map_file(store).mkdir()
    assert json.loads(gzip.decompress(cached_map(store, "1", made)))["ids"] == made.ids
    assert "cannot be kept" in capsys.readouterr().err


def test_a_computation_that_fails_is_named_and_tried_again(tmp_path: Path) -> None:
    made, calls = points(3), []

    def given() -> Points:
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError("too many tracks")
        return made

    maker, store = MapMaker(), tmp_path / "s.parquet"

    def waited() -> object:
        deadline = time.monotonic() + 60
        while (found := maker.get("1", store, given)) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return found

    with pytest.raises(MemoryError, match="too many"):
        waited()
    assert waited() is not None and len(calls) == 2
