"""`ssl-audio serve` under load: `python tools/benchmark_serve.py [WHAT ...]`.

load: for each route and each number of clients, latency (p50, p95, p99) and requests a second.
soak: many requests of all routes mixed; errors, and the memory of the service before and after.

The service is a process of its own, over a made store and probe: vectors are drawn, and files are
noise.
Clients are threads of this process, each with one connection; they share the processors with it.
"""

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
from timing import benchmark

from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import Encoder, load_encoder
from ssl_audio.probing.estimator import Probe
from ssl_audio.settings.fields import Group, setting
from ssl_audio.stores.columns import Row
from ssl_audio.stores.writer import write_store

RATE, FILES = 44_100, 8  # of the made files
TAGS = 24  # of the made probe
MAX_GROWTH = 1.1  # of the memory from a tenth of the soak to its end
FORM = "multipart/form-data; boundary=x"
PERCENTILES = (50, 95, 99)


class BenchmarkServeSettings(Group):
    what: tuple[Literal["load", "soak"], ...] = setting(
        (), help="what to measure; default: everything"
    )
    tracks: int = setting(10_000, help="tracks of the store", min=FILES)
    seconds: float = setting(30.0, help="of audio in a file", above=0)
    clients: tuple[int, ...] = setting((1, 8, 32), help="clients at a time", min=1)
    requests: int = setting(300, help="requests of each route and number of clients", min=1)
    routes: tuple[str, ...] = setting((), help="routes of load; default: all")
    soak: int = setting(10_000, help="requests of soak", min=10)
    checkpoint: str = setting("contrastive", help="encoder")
    words: tuple[str, ...] = setting((), help="further words of serve, such as run=FOLDER")
    json: Path | None = setting(None, help="file of the figures")


@dataclass(frozen=True)
class Request:
    """What one client sends; the answer must be a success."""

    method: str
    path: str
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


def form(content: bytes) -> Request:
    """An upload."""
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.flac"\r\n\r\n'
    return Request("POST", "", head + content + b"\r\n--x--\r\n", {"Content-Type": FORM})


def posted(path: str, **values: Any) -> Request:
    """JSON."""
    return Request("POST", path, json.dumps(values).encode(), {"Content-Type": "application/json"})


def made_probe(folder: Path, encoder: Encoder) -> Path:
    """A probe of TAGS tags on drawn vectors."""
    draw = np.random.default_rng(1)
    x = draw.normal(size=(200, encoder.embedding_size))
    tags = draw.integers(2, size=(200, TAGS))
    return Probe("logistic").fit(x, tags, encoder=encoder.weights_hash).save(folder / "probe")


def made_store(folder: Path, encoder: Encoder, options: BenchmarkServeSettings) -> Path:
    """A store of drawn vectors; its tracks have FILES files."""
    draw = np.random.default_rng(0)
    paths = [folder / f"{k}.flac" for k in range(FILES)]
    for path in paths:
        soundfile.write(path, draw.normal(0, 0.1, round(options.seconds * RATE)), RATE)
    vectors = draw.normal(size=(options.tracks, encoder.embedding_size)).astype(np.float32)
    rows = [
        Row(f"artist {k // 10}/{k}.flac", str(paths[k % FILES]), options.seconds, "", vector)
        for k, vector in enumerate(vectors)
    ]
    about = {"kind": "embedding", "model": encoder.weights_hash, "hop": None,
             "checkpoint": options.checkpoint, "segment": encoder.segment}  # fmt: skip
    write_store(folder / "features.parquet", about, rows)
    return folder / "features.parquet"


def routes(folder: Path, tracks: int) -> dict[str, Callable[[int], Request]]:
    """What the k-th request of each route is."""
    uploads = [form((folder / f"{k}.flac").read_bytes()) for k in range(FILES)]

    def track(k: int) -> str:
        k = k * 7919 % tracks
        return f"artist {k // 10}/{k}.flac"

    def of_track(more: str, k: int) -> Request:
        coded = track(k).replace(" ", "%20").replace("/", "%2F")
        return Request("GET", f"/tracks/{coded}{more}", headers={"Range": "bytes=0-65535"})

    def upload(path: str, k: int) -> Request:
        found = uploads[k % FILES]
        return Request("POST", path, found.body, found.headers)

    return {
        "health": lambda k: Request("GET", "/health"),
        "tracks": lambda k: Request("GET", f"/tracks?query={k % tracks}"),
        "details": partial(of_track, ""),
        "audio": partial(of_track, "/audio"),
        "waveform": partial(of_track, "/waveform"),
        "neighbours": lambda k: posted("/neighbours", id=track(k)),
        "complete": lambda k: posted("/complete", ids=[track(k), track(k + 1)]),
        "embed": partial(upload, "/embed"),
        "tag": partial(upload, "/tag"),
        "neighbours of a file": partial(upload, "/neighbours"),
        "new-track": partial(upload, "/new-track"),
    }


@contextmanager
def service(options: BenchmarkServeSettings, folder: Path) -> Iterator[int]:
    """The port of a running service."""
    encoder = load_encoder(options.checkpoint)
    words = [f"features={made_store(folder, encoder, options)}",
             f"probe={made_probe(folder, encoder)}", "port=0", *options.words]  # fmt: skip
    process = subprocess.Popen(  # noqa: S603 - this Python
        [sys.executable, "-m", "ssl_audio", "serve", *words], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        said = ""
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)/", said)):
            line = process.stderr.readline()
            if not line:
                raise SslAudioError(f"the service has ended: {said.strip()}")
            said += line
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield int(found[1])
    finally:
        process.terminate()
        process.wait(120)


@dataclass
class Outcome:
    """Of many requests."""

    seconds: list[float] = field(default_factory=list)  # latency of each
    errors: Counter[str] = field(default_factory=Counter)
    took: float = 0.0  # all of them, seconds

    def figures(self) -> dict[str, float]:
        """Milliseconds, requests per second, errors."""
        cuts = np.percentile(np.array(self.seconds or [np.nan]) * 1000, PERCENTILES)
        named = {f"p{p}_ms": round(float(v), 2) for p, v in zip(PERCENTILES, cuts, strict=True)}
        rate = round(len(self.seconds) / self.took, 1)
        return {**named, "requests_per_second": rate, "errors": self.errors.total()}


def load_with(port: int, clients: int, requests: list[Request]) -> Outcome:
    """Send requests by so many clients, each its next one as soon as it has an answer."""
    outcome, waiting = Outcome(), iter(requests)
    lock = threading.Lock()

    def client() -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=300)
        while True:
            with lock:
                request = next(waiting, None)
            if request is None:
                return
            started, error = time.perf_counter(), ""
            try:
                connection.request(request.method, request.path, request.body, request.headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status not in (200, 206):
                    error = f"{answer.status} of {request.path.split('?')[0]}"
            except OSError as failed:
                error = type(failed).__name__
                connection.close()
            with lock:
                outcome.seconds.append(time.perf_counter() - started)
                outcome.errors.update([error] if error else [])

    threads = [threading.Thread(target=client) for _ in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcome.took = time.perf_counter() - started
    return outcome


def load(options: BenchmarkServeSettings) -> dict[str, Any]:
    """Latency and rate of each route, by number of clients."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, service(options, Path(name)) as port:
        print(f"\n{'route':<22}{'clients':>8}{'p50':>9}{'p95':>9}{'p99':>9} ms{'req/s':>9} errors")
        for route, request in routes(Path(name), options.tracks).items():
            if options.routes and route not in options.routes:
                continue
            load_with(port, 1, [request(k) for k in range(FILES)])  # fills caches
            for clients in options.clients:
                sent = [request(k) for k in range(options.requests)]
                figures = load_with(port, clients, sent).figures()
                found.setdefault(route, {})[clients] = figures
                p50, p95, p99, rate, errors = figures.values()
                print(f"{route:<22}{clients:>8}{p50:>9.1f}{p95:>9.1f}{p99:>9.1f}   {rate:>9.1f}"
                      f"{errors:>7.0f}")  # fmt: skip
    failed = any(one["errors"] for each in found.values() for one in each.values())
    return {**found, "agree": not failed}


def soak(options: BenchmarkServeSettings) -> dict[str, Any]:
    """Errors and memory over many requests of all routes."""
    with tempfile.TemporaryDirectory() as name, service(options, Path(name)) as port:
        kinds = list(routes(Path(name), options.tracks).values())
        sent = [kinds[k % len(kinds)](k) for k in range(options.soak)]
        memory, errors = [megabytes(port)], Counter[str]()
        for part in np.array_split(np.arange(options.soak), 10):  # memory after each tenth
            outcome = load_with(port, 8, [sent[k] for k in part])
            errors += outcome.errors
            memory.append(megabytes(port))
    growth = memory[-1] / memory[1]
    print(f"\n{options.soak} requests: {errors.total()} errors {dict(errors) or ''}")
    print(f"memory, MB: {' '.join(f'{m:.0f}' for m in memory)}; from a tenth on {growth:.3f}x")
    agree = not errors and growth < MAX_GROWTH
    return {"errors": dict(errors), "memory_mb": memory, "growth": growth, "agree": agree}


def megabytes(port: int) -> float:
    """Resident memory of the service."""
    connection = HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    found = re.search(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)
    return round(float(found[1]) / 1e6, 1) if found else float("nan")


main = benchmark(
    "benchmark_serve",
    "Latency, rate, errors and memory of ssl-audio serve.",
    ("", "load requests=50 clients=[1,8] routes=[embed]", "soak soak=1000 json=soak.json"),
    BenchmarkServeSettings,
    {"load": load, "soak": soak},
)

if __name__ == "__main__":
    sys.exit(main())
