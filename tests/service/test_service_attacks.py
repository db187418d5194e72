"""What a hostile client, page or file may try."""

import asyncio
import gc
import json
import os
import random
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import Request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_service import IDS, Client, sound, tone
from starlette.testclient import TestClient

from ssl_audio.io.errors import SslAudioError
from ssl_audio.service import bounded
from ssl_audio.service.problems import Problem
from ssl_audio.service.state import Service
from ssl_audio.service.work import Workers
from ssl_audio.settings.serve import ServeSettings
from ssl_audio.stores.columns import Row
from ssl_audio.stores.writer import write_store

NEW = sound(tone(3))


def is_problem(answer: Any) -> bool:
    """True for an error that is a problem document, and not the service's own fault."""
    kind = answer.headers["content-type"]
    return 400 <= answer.status_code < 500 and kind == "application/problem+json"


# files


@pytest.fixture
def rooted(everything: TestClient, music: Path, tmp_path: Path) -> Iterator[Path]:
    """A secret outside of the roots, with links to it from inside."""
    secret = tmp_path / "secret.wav"
    secret.write_bytes(NEW)
    links = {music / "link.wav": secret, music / "up": tmp_path, music / "loop": music / "loop"}
    for link, target in links.items():
        link.symlink_to(target)
    yield secret
    for link in links:
        link.unlink()


def test_no_path_leads_outside_of_the_roots(everything: TestClient, rooted: Path) -> None:
    up = os.path.relpath(rooted, "/").replace("..", "")
    paths = [
        str(rooted), "link.wav", "up/secret.wav", "loop", "a/../up/secret.wav", "../secret.wav",
        f"{'../' * 40}{up}", f"a/{'../' * 40}{up}", f"..%2f{'..%2f' * 40}{quote(up)}",
        f"..\\..\\{up}", f"file://{rooted}", f"//{rooted}", "/etc/passwd", "../../../../etc/passwd",
        "\0", "a/b c.wav\0.mp3", "x" * 4096, "/" * 4096, "~/secret.wav", "", ".", "..", "a", "/",
        "/proc/self/environ", "/dev/zero", "\\x2e\\x2e/secret.wav", "\ud800".encode(
            "utf-8", "surrogatepass").decode("utf-8", "replace"), "a/b c.wav/..",
    ]  # fmt: skip
    for path in paths:
        for route in ("/embed", "/neighbours", "/new-track"):
            answer = everything.post(route, json={"path": path})
            assert is_problem(answer), (path, answer.text)
    assert everything.post("/embed", json={"path": "a/../a/b c.wav"}).status_code == 200


def test_track_ids_are_no_paths(everything: TestClient, rooted: Path) -> None:
    for track in (str(rooted), "../secret.wav", "link.wav", "/etc/passwd", "a/b c.wav\0"):
        for more in ("", "/audio", "/waveform"):
            for coded in (quote(track, safe=""), quote(quote(track, safe=""), safe="")):
                assert is_problem(everything.get(f"/tracks/{coded}{more}")), track


def test_files_of_the_store_are_served_below_the_roots_only(
    client: Client, music: Path, tmp_path: Path
) -> None:
    vector = tone(1)[:4]
    paths = {"in": music / IDS[0], "out": "/etc/passwd", "gone": music / "gone", "dev": "/dev/zero"}
    rows = [Row(name, str(path), 1.0, "", vector) for name, path in paths.items()]
    write_store(tmp_path / "f.parquet", {"kind": "test"}, rows)
    service = client(features=tmp_path / "f.parquet", roots=(music,))
    assert service.get("/tracks/in/audio").status_code == 200
    for name, status in {"out": 403, "gone": 404, "dev": 403}.items():
        assert service.get(f"/tracks/{name}/audio").status_code == status
        assert service.get(f"/tracks/{name}/waveform").status_code == status
    open_service = client(features=tmp_path / "f.parquet")
    assert is_problem(open_service.get("/tracks/dev/audio"))
    assert is_problem(open_service.post("/embed", json={"path": str(music / IDS[0])}))


# bodies


def test_bodies_are_limited_as_they_arrive(client: Client, models: dict[str, Any]) -> None:
    service = client(features=models["features"], max_upload=0.1)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        head = '--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        yield head.encode()
        for _ in range(1000):
            sent += 1
            yield bytes(10_000)

    form = {"Content-Type": "multipart/form-data; boundary=x"}
    for route in ("/embed", "/complete", "/neighbours"):
        answer = service.post(route, content=endless(), headers=form)
        assert answer.status_code == 413 and is_problem(answer)
        assert answer.headers["connection"] == "close"
    answer = service.post("/embed", content=b"x", headers={**form, "Content-Length": "9" * 30})
    assert answer.status_code == 413
    deep = b"[" * 90_000
    answer = service.post("/complete", content=deep, headers={"Content-Type": "application/json"})
    assert is_problem(answer)


def test_slow_bodies_are_given_up(
    client: Client, models: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "PATIENCE", -1.0)
    monkeypatch.setattr(bounded, "MIN_RATE", 1 << 30)
    answer = client().post("/complete", json={"ids": ["a"]})
    assert answer.status_code == 408 and is_problem(answer)


BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["id", "ids", "vector", "path", "k", "prefix", "exclude", "length",
                         "model", "seed", "x"]), inner, max_size=4),
    max_leaves=6,
)  # fmt: skip
ROUTES = ["/embed", "/tag", "/neighbours", "/complete", "/new-track"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, route=st.sampled_from(ROUTES))
def test_any_json_is_answered(everything: TestClient, body: Any, route: str) -> None:
    text = json.dumps(body)
    answer = everything.post(route, content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200 or is_problem(answer), answer.text


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=60)
    | st.lists(st.sampled_from([
        b"--x", b"--x--", b"\r\n", b'Content-Disposition: form-data; name="file"', b"; filename=a",
        b'Content-Disposition: form-data; name="k"', b"\xff", b"1", b"\0",
    ]), max_size=12).map(b"".join),
    kind=st.sampled_from(["application/json", "multipart/form-data; boundary=x",
                          "multipart/form-data", "multipart/form-data; boundary=x; charset=x",
                          "text/plain", "", "\xff", "application/x-www-form-urlencoded"]),
    route=st.sampled_from(ROUTES),
)  # fmt: skip
def test_any_bytes_are_answered(everything: TestClient, body: bytes, kind: str, route: str) -> None:
    headers = {"Content-Type": kind.encode("latin-1")}
    assert is_problem(everything.post(route, content=body, headers=headers))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_damaged_files_are_named_or_embedded(everything: TestClient, kind: str) -> None:
    """Fifty of each format: bytes changed, the end lost, or rubbish put in."""
    whole, draw = sound(tone(5, 0.3), kind), random.Random(kind)
    for _ in range(50):
        damaged = bytearray(whole)
        for _ in range(draw.choice([1, 5, 50])):
            damaged[draw.randrange(min(len(damaged), draw.choice([60, 10**6])))] = draw.randrange(
                256
            )
        if draw.random() < 0.3:
            del damaged[draw.randrange(len(damaged)) :]
        name = draw.choice(["a", f"a.{kind.lower()}"])
        answer = everything.post("/embed", files={"file": (name, bytes(damaged))})
        assert answer.status_code == 200 or (answer.status_code == 422 and is_problem(answer))
    answer = everything.post("/embed", files={"file": whole})
    assert answer.status_code == 200


# queue and reloads


def test_a_full_queue_is_429(client: Client, models: dict[str, Any]) -> None:
    service = client(features=models["features"], queue=0)
    state: Service = service.app.state.service  # type: ignore[attr-defined]
    state.workers.admitted = state.workers.limit
    answer = service.post("/embed", files={"file": NEW})
    assert answer.status_code == 429 and is_problem(answer)
    assert int(answer.headers["retry-after"]) >= 1
    assert service.get("/health").status_code == 200  # as long as the work is small
    state.workers.admitted = 0
    assert service.post("/embed", files={"file": NEW}).status_code == 200


def test_clients_that_have_gone_are_not_worked_for() -> None:
    workers, begun = Workers(threads=1, queue=5), list[int]()
    free = threading.Event()

    def work(number: int) -> int:
        begun.append(number)
        free.wait(10)
        return number

    def request(*messages: str) -> Request:
        sent = iter(messages)

        async def receive() -> dict[str, str]:
            kind = next(sent, None)
            return {"type": kind} if kind else await asyncio.Event().wait()  # type: ignore[return-value]

        return Request({"type": "http"}, receive)

    async def ask() -> None:
        first = asyncio.create_task(workers.run(request("http.request"), work, 1))
        await asyncio.sleep(0)  # until it has been given to the thread
        with pytest.raises(Problem, match="has gone"):
            await workers.run(request("http.request", "http.disconnect"), work, 2)
        await asyncio.sleep(0)  # until the thread pool has been told
        third = asyncio.create_task(workers.run(request(), work, 3))
        free.set()
        assert await first == 1 and await third == 3

    asyncio.run(ask())
    workers.close()
    assert begun == [1, 3]


def test_reloads_fail_no_request(client: Client, tmp_path: Path) -> None:
    store = tmp_path / "f.parquet"

    def publish(version: int) -> None:
        rows = [Row(f"{version} {k}", "", 1.0, "", tone(k)[:8]) for k in range(5)]
        write_store(tmp_path / "new.parquet", {"kind": "test"}, rows)
        os.replace(tmp_path / "new.parquet", store)

    publish(0)
    service = client(features=store)
    stop, failed, seen = threading.Event(), [], set()

    def ask() -> None:
        while not stop.is_set():
            found = service.get("/tracks").json()["tracks"]
            versions = {one["id"].split()[0] for one in found}
            track = service.post("/neighbours", json={"vector": tone(0)[:8].tolist()})
            if len(versions) != 1 or track.status_code != 200:
                failed.append(found)
            seen.update(versions)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for version in range(1, 6):
        publish(version)
        assert service.post("/reload").status_code == 200
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed and len(seen) > 1
    assert service.get("/tracks").json()["tracks"][0]["id"].startswith("5 ")
    state: Service = service.app.state.service  # type: ignore[attr-defined]
    old = weakref.ref(state.snapshot)
    assert service.post("/reload").status_code == 200
    gc.collect()
    assert old() is None
    store.write_bytes(b"no store")
    answer = service.post("/reload")
    assert answer.status_code == 409 and "still used" in answer.json()["detail"]
    assert service.get("/tracks/5%203").status_code == 200


def test_a_new_version_of_a_watched_store_is_loaded(client: Client, tmp_path: Path) -> None:
    rows = [Row(f"{k}", "", 1.0, "", tone(k)[:8]) for k in range(5)]
    write_store(tmp_path / "f.parquet", {"kind": "test"}, rows[:4])
    service = client(features=tmp_path / "f.parquet", watch=0.01)
    write_store(tmp_path / "f.parquet", {"kind": "test"}, rows)
    wait = threading.Event()
    while service.get("/health").json()["tracks"] != 5:
        wait.wait(0.02)
    assert 'ssl_audio_reloads_total{outcome="done"} 1.0' in service.get("/metrics").text


# pages and tokens


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": ""}, 421),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:3000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:8000"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_pages_of_other_sites_can_do_nothing(
    everything: TestClient, headers: dict[str, str], status: int
) -> None:
    answer = everything.post("/complete", json={"ids": [IDS[0]]}, headers=headers)
    assert answer.status_code == status, answer.text
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_links_from_other_sites_can_be_followed(everything: TestClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert everything.get("/docs", headers=headers).status_code == 200


def test_every_route_asks_for_the_token(client: Client) -> None:
    token = "s3cret é+&"
    service = client(token=token)
    track = f"/tracks/{quote(IDS[0], safe='')}"
    routes = ["/health", "/metrics", "/docs", "/openapi.json", "/tracks", track, f"{track}/audio",
              "/", "/nowhere"]  # fmt: skip
    wrong = [{}, {"Authorization": "Bearer x"}, {"Authorization": token}, {"Cookie": "ssl_audio=x"},
             {"Authorization": "Bearer"}, {"Cookie": f"ssl_audio={quote(token)}"},
             {"Cookie": "\xff=;;"}]  # fmt: skip
    for route in routes:
        for headers in wrong:
            coded = {name: value.encode() for name, value in headers.items()}
            answer = service.get(route, headers=coded)  # type: ignore[arg-type]
            assert answer.status_code == 401, (route, headers)
            assert answer.headers["www-authenticate"] == "Bearer"
    assert service.post("/reload").status_code == 401
    assert service.get("/health?token=wrong").status_code == 401
    right = {"Authorization": f"Bearer {token}".encode()}
    assert service.get("/health", headers=right).status_code == 200  # type: ignore[arg-type]
    address = f"{track}/audio?a=1&token={quote(token)}"
    answer = service.get(address, follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == f"{track}/audio?a=1"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and token not in cookie
    assert service.get(f"{track}/audio").status_code == 200  # the client keeps the cookie


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "music.example", "10.0.0.1"])
def test_others_are_let_in_by_intent_only(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SslAudioError, match="give token="):
        ServeSettings(features=tmp_path, host=host)
    ServeSettings(features=tmp_path, host=host, token="x")
    ServeSettings(features=tmp_path, host=host, public=True)
    monkeypatch.setenv("SSL_AUDIO_TOKEN", "y")
    assert ServeSettings(features=tmp_path, host=host).secret == "y"


def test_the_documentation_needs_no_network(everything: TestClient) -> None:
    page = everything.get("/docs").text
    assert "<script" not in page and "://" not in page.replace("http://127.0.0.1", "")
    for route in (*ROUTES, "/tracks/{track}/audio", "/reload", "/metrics"):
        assert route in page
