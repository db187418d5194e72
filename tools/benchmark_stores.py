"""Large feature stores, of 1,024 dimensions: `python tools/benchmark_stores.py [WHAT ...]`.

nights: a catalogue that is kept from night to night. Its tracks are hard links of a few hundred
short files, so what is measured is everything but decoder and network; with audio=FOLDER they are
links of the files in it, and the command `embed` decodes and embeds each.
index: search in a store of simulated clustered vectors: building and updating its graph, recall@10
against exact search, time of queries.

Printed with each step: seconds, peak of resident memory (mapped files included), files written.
"""

import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from timing import benchmark

from ssl_audio import embed
from ssl_audio.catalogue.changes import Changes
from ssl_audio.catalogue.tracks import Analysis, Item, list_items, row_of
from ssl_audio.catalogue.update import update_store
from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.fields import Group, setting
from ssl_audio.stores import graph
from ssl_audio.stores.columns import Row
from ssl_audio.stores.failures import Failure
from ssl_audio.stores.parts import LARGE_ROWS
from ssl_audio.stores.store_search import nearest_tracks
from ssl_audio.stores.writer import Store

DIMENSIONS, LATENT, CLUSTERS = 1024, 64, 2000
BLOCK = 4096  # vectors that are drawn together


class BenchmarkStoresSettings(Group):
    what: tuple[Literal["nights", "index"], ...] = setting(
        (), help="what to measure; default: both"
    )
    tracks: int = setting(100_000, help="tracks of the catalogue", min=100)
    contents: int = setting(300, help="files that the tracks are links of", min=1, max=30_000)
    audio: Path | None = setting(
        None,
        help="nights: a folder of audio that the tracks are links of, with decoder and network",
    )
    checkpoint: str = setting("contrastive", help="encoder of audio=")
    vectors: int = setting(1_000_000, help="vectors of the index", min=1000)
    queries: int = setting(200, help="searched for at once, and to measure recall", min=2)
    storage: Literal["f16", "i8"] = setting("f16", help="numbers of the graph's vectors")
    changed: float = setting(0.01, help="share that changes, of tracks and of vectors", above=0)


class HashEngine:
    """Vectors that are drawn by the hash of a file, which is not decoded."""

    runtime = ""

    def rows(self, items: Iterable[Item]) -> Iterator[Row | Failure]:
        return (row_of(item, self.analyse) for item in items)

    def analyse(self, path: Path) -> Analysis:
        seed = int.from_bytes(hashlib.sha256(path.read_bytes()).digest()[:8], "big")
        vector = np.random.default_rng(seed).standard_normal(DIMENSIONS, np.float32)
        return Analysis(1.0, vector)


def write_contents(folder: Path, count: int) -> list[Path]:
    """Files of 2 kB of random bytes, named as audio."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(count):
        (folder / f"{k}.wav").write_bytes(rng.bytes(2048))
    return list(folder.iterdir())


def copy_contents(source: Path, folder: Path) -> list[Path]:
    """The audio of a folder, on the disk of the links."""
    folder.mkdir()
    found = [track.path for track in list_items(source)]
    return [Path(shutil.copy(path, folder / f"{k}{path.suffix}")) for k, path in enumerate(found)]


def make_catalogue(folder: Path, tracks: int, contents: Sequence[Path]) -> None:
    """Links of the contents, in folders of a thousand tracks."""
    for k in range(tracks):
        album, content = folder / f"{k // 1000:05d}", contents[k % len(contents)]
        if k % 1000 == 0:
            album.mkdir(parents=True)
        os.link(content, album / f"{k:08d}{content.suffix}")


def change(folder: Path, share: float) -> int:
    """Replace a share of the tracks by new content, spread over all; returns their number."""
    paths = sorted((folder / "music").glob("*/*.wav"))[:: round(1 / share)]
    rng = np.random.default_rng(1)
    for path in paths:
        path.unlink()
        path.write_bytes(rng.bytes(2048))
    return len(paths)


@contextmanager
def step(title: str, folder: Path) -> Iterator[None]:
    """Print what the block took, and what it wrote below a folder."""
    before = written(folder)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
    started = time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 1024
    sizes = [size for _, size, _ in written(folder) - before]
    print(f"  {title:<28} {seconds:9.2f} s   peak {peak:7.0f} MiB   "
          f"{len(sizes):3d} files written, {sum(sizes) / 2**20:8.1f} MiB")  # fmt: skip


def written(folder: Path) -> set[tuple[str, int, int]]:
    """Name, size and time of the files below a folder."""
    stats = [(str(path), path.stat()) for path in folder.rglob("*") if path.is_file()]
    return {(name, status.st_size, status.st_mtime_ns) for name, status in stats}


def nights(options: BenchmarkStoresSettings) -> None:
    """The first night, one with nothing to do, and, without audio, one with changes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one: Callable[[Path, str], None] = night
        if options.audio is None:
            contents = write_contents(folder / "contents", options.contents)
        else:
            contents = copy_contents(options.audio, folder / "contents")
            one = partial(audio_night, options.checkpoint)
        make_catalogue(folder / "music", options.tracks, contents)
        print(f"\nnights of {options.tracks} tracks, links of {len(contents)} files of "
              f"{options.audio or 'random bytes, without decoder and network'}")  # fmt: skip
        one(folder, "first night")
        one(folder, "nothing to do")
        if options.audio is None:
            count = change(folder, options.changed)
            one(folder, f"{count} tracks changed")


def night(folder: Path, title: str) -> None:
    """Bring the store up to date."""
    path = folder / "f.parquet"
    with step(title, path), Store(path, {"kind": "benchmark"}) as store:
        items = list_items(folder / "music")
        update_store(store, Changes(store), items, lambda tracks: HashEngine(), title)


def audio_night(checkpoint: str, folder: Path, title: str) -> None:
    """The same by the command `embed`; the memory is that of its own process, without decoders."""
    path = folder / "f.parquet"
    words = [f"source={folder / 'music'}", f"checkpoint={checkpoint}", f"output={path}"]
    with step(title, path):
        if embed.main(words) != 0:
            raise SslAudioError(f"{title}: embed failed, see above")


def simulated(count: int, seed: int) -> np.ndarray:
    """Vectors of 1,024 dimensions in clusters of very different sizes, (count, 1024) float32.

    They lie near a subspace of 64 dimensions: in 1,024 independent ones, all neighbours would be
    equally far.
    """
    shared, rng = np.random.default_rng(0), np.random.default_rng([1, seed])
    centres = shared.standard_normal((CLUSTERS, LATENT), np.float32)
    directions = shared.standard_normal((LATENT, DIMENSIONS), np.float32) / LATENT**0.5
    weights = 1 / np.arange(1, CLUSTERS + 1)
    chosen = rng.choice(CLUSTERS, count, p=weights / weights.sum())
    latent = centres[chosen] + 0.5 * rng.standard_normal((count, LATENT), np.float32)
    return latent @ directions + 0.05 * rng.standard_normal((count, DIMENSIONS), np.float32)


def index(options: BenchmarkStoresSettings) -> None:
    """Search in one store, exact and by the graph, before and after an update."""
    graph.STORAGE = options.storage
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "f.parquet"
        print(f"\n{options.vectors} vectors of {DIMENSIONS} dimensions, graph of {options.storage}")
        with step("writing the store", path):
            write(path, 0, options.vectors, 1)
        queries = simulated(options.queries, 10**6)
        search = partial(nearest_tracks, path, approximate=True)
        with step("first search: graph built", path):
            search(queries[:1], 10)
        with step("one query, in a new command", path):
            search(queries[:1], 10)
        recall(path, queries)
        changed = max(1, round(options.vectors * options.changed))
        with step(f"{changed} vectors replaced", path):
            write(path, 0, changed, 2)
        with step("next search: graph updated", path):
            search(queries[:1], 10)
        recall(path, queries)


def write(path: Path, first: int, last: int, version: int) -> None:
    """Write tracks, in place of older ones of their ids."""
    with Store(path, {"kind": "benchmark"}, "float16", group=LARGE_ROWS) as store:
        for start in range(first, last, BLOCK):
            count = min(BLOCK, last - start)
            for k, vector in enumerate(simulated(count, start + version), start):
                store.add(Row(f"{k:08d}", f"/music/{k:08d}.mp3", 1.0, f"{version}", vector))
        store.close()


def recall(path: Path, queries: np.ndarray) -> None:
    """Print recall@10 of the graph against exact search, and the time of its queries."""
    count = len(queries)
    with step(f"{count} queries, exact", path):
        exact = nearest_tracks(path, queries, 10, approximate=False)
    with step(f"{count} queries, by the graph", path):
        found = nearest_tracks(path, queries, 10, approximate=True)
    ids = [[{match.id for match in one} for one in each] for each in (exact, found)]
    share = np.mean([len(a & b) / len(a) for a, b in zip(*ids, strict=True)])
    print(f"  recall@10: {share:.4f}")


WHAT = {"nights": nights, "index": index}
main = benchmark(
    "benchmark_stores", "Measure the nights of a large catalogue, and search in a large store.",
    ("nights tracks=2000", "nights tracks=2000 audio=/music", "index vectors=20000 storage=i8"),
    BenchmarkStoresSettings, WHAT,
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
