"""The process of the service: slow and endless clients, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import call
from made_service import WIDTH, sound, tone
from processes import start

from ssl_audio import serve
from ssl_audio.stores.columns import Row
from ssl_audio.stores.feature_store import read_about
from ssl_audio.stores.writer import write_store

FORM = (
    b"POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
)
BIG = 30 << 20  # bytes of a track
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'


def main(words: Sequence[str]) -> int:
    """The command, with less patience."""
    from ssl_audio.service import bounded, connections

    connections.HEADER_SECONDS = connections.READ_SECONDS = 1.0
    bounded.PATIENCE = 3.0
    return serve.main(words)


@pytest.fixture
def running(models: dict[str, Any], tmp_path: Path) -> Iterator[tuple[Any, int]]:
    """A process of the service, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    about = read_about(models["features"])
    (tmp_path / "big").write_bytes(bytes(BIG))
    row = Row("big", str(tmp_path / "big"), 1.0, "", np.ones(WIDTH, np.float32))
    write_store(tmp_path / "f.parquet", about, [row])
    words = [f"features={tmp_path / 'f.parquet'}", f"port={port}", "max_upload=20"]
    process = start(main, words)
    while healthy(port) is None:
        assert process.is_alive()
        time.sleep(0.1)
    yield process, port
    process.kill()
    process.join()


def healthy(port: int) -> int | None:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status
    except ConnectionRefusedError:
        return None
    finally:
        connection.close()


def connect(port: int, first: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(first)
    return connection


def rest(connection: socket.socket) -> bytes:
    """What still comes, until the other side ends the connection."""
    found = bytearray()
    try:
        while part := connection.recv(1 << 20):
            found += part
    except ConnectionError:
        pass
    return bytes(found)


def test_hostile_clients_and_a_graceful_end(running: tuple[Any, int]) -> None:
    process, port = running
    heads = [connect(port), connect(port, b"GET /health HT"), connect(port, b"\0\xff\r\n\r\n"),
             connect(port, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he")]  # fmt: skip
    answers = [rest(one) for one in heads]  # they are ended
    assert answers[:2] == [b"", b""] and answers[2].startswith(b"HTTP/1.1 400")
    assert answers[3].startswith(b"HTTP/1.1 200")

    endless = connect(port, FORM + b"Transfer-Encoding: chunked\r\n\r\n")
    block = b"%x\r\n%b\r\n" % (len(PART), PART)
    sent = 0
    try:
        while sent < 1 << 30:
            endless.sendall(block)
            sent += len(block)
            block = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    except ConnectionError:
        pass
    assert sent < 200 << 20 and healthy(port) == 200

    reader = connect(port)
    reader.sendall(b"GET /tracks/big/audio HTTP/1.1\r\nHost: localhost\r\n\r\n")
    time.sleep(2.5)
    assert 0 < len(rest(reader)) < BIG  # it was not waited for

    trickle = connect(port, FORM + b"Content-Length: 9999\r\n\r\n" + PART)
    assert rest(trickle).startswith(b"HTTP/1.1 408")

    whole = PART + sound(tone(0)) + b"\r\n--x--\r\n"
    running_request = connect(port, FORM + b"Content-Length: %d\r\n\r\n" % len(whole) + whole[:99])
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGTERM)
    time.sleep(0.5)
    running_request.sendall(whole[99:])
    assert rest(running_request).startswith(b"HTTP/1.1 200")
    process.join(60)
    assert process.exitcode == 143
    assert healthy(port) is None


def test_what_few_requests_need_is_not_imported_at_the_start(models: dict[str, Any]) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from ssl_audio.service.app import create_app
        from ssl_audio.service.state import Service
        from ssl_audio.settings.serve import ServeSettings
        features, probe, run = map(Path, sys.argv[1:])
        create_app(Service(ServeSettings(features=features, probe=probe, run=run)))
        late = ("sklearn", "lightning", "matplotlib", "gensim", "librosa")
        print(*(name for name in late if name in sys.modules))
    """
    given = [str(models[name]) for name in ("features", "probe", "run")]
    found = subprocess.run(
        [sys.executable, "-c", code, *given], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == ""


def test_an_address_in_use_is_one_line(models: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        status, _, said = call(serve.main, f"features={models['features']}", f"port={port}")
    assert status == 1 and said.count("\n") == 1 and f"127.0.0.1:{port}" in said
