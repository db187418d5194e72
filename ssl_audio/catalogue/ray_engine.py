"""Embeddings of a catalogue by the actors of a Ray cluster: `engine=ray`.

A window of tracks at a time goes through a Ray Data pipeline: ids and paths, in blocks, to actors
that hold the encoder, and rows back. This process alone yields them, each id once, whatever happens
to the actors: Ray starts a dead one anew and does its block again, and a track that kills each
actor that tries it becomes a failure instead of the end of the run.

What this process holds is bounded, however long the catalogue: the paths of one window, and the
results of one block. Finished blocks wait in Ray's object store, which is shared memory that Ray
bounds, spills to disk, and lets the actors wait for. Apart from the paths, each machine of a
cluster needs the files and the checkpoint at the places that they have here.
"""

from __future__ import annotations

import logging
import os
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ssl_audio.audio import files
from ssl_audio.catalogue.embedding import Failure, Item, Settings, embed_item
from ssl_audio.io.errors import CheckpointError, SslAudioError
from ssl_audio.io.parallel import available_processors
from ssl_audio.models.encoder import load_encoder
from ssl_audio.models.extraction import in_order
from ssl_audio.models.runtime import for_embedding
from ssl_audio.stores.feature_store import Row

if TYPE_CHECKING:
    from ray.data import Dataset

WINDOW = 10_000  # tracks: what an endless source is cut into, each a pipeline of its own
BLOCK = 8  # tracks for each thread of an actor: what a dead actor loses at most
RETRIES = 2  # of a block whose actor died, before its tracks are tried one by one

_ARRAYS = {"vector": np.float32, "segments": np.float32, "times": np.float64}
_LISTED = pa.schema([("id", pa.string()), ("path", pa.binary())])  # names may be any bytes
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "path", "sha256", "reason", "error")),
        ("duration", pa.float64()),
        *((name, pa.large_binary()) for name in _ARRAYS),  # whose lengths differ from row to row
    ]
)


def ray_results(
    todo: Iterable[Item], checkpoint: str, settings: Settings, workers: int | None
) -> Iterator[Row | Failure]:
    """What `local_results` gives, computed by a Ray cluster.

    The cluster is the one that `RAY_ADDRESS` names; without it, one of this machine alone is
    started, and stopped at the end. Results come in the order of the items, but for those of
    actors that died. Items are taken a window at a time: from standard input, results begin when
    the first window is full, or the input is at its end.

    Args:
        todo: the tracks, of different ids.
        checkpoint: an encoder's folder.
        settings: how they are embedded.
        workers: actors; None is one a GPU of the cluster, or one a processor where it has none.

    Raises:
        SslAudioError: Ray is not installed, or the cluster cannot be used.
    """
    try:
        import ray.data  # noqa: F401
    except ImportError as error:
        raise SslAudioError('engine=ray: pip install "ssl_audio[ray]"') from error
    return _results(todo, checkpoint, settings, workers)


def _results(
    todo: Iterable[Item], checkpoint: str, settings: Settings, workers: int | None
) -> Iterator[Row | Failure]:
    embedder = {
        "checkpoint": checkpoint,
        "expected": load_encoder(checkpoint).weights_hash,
        "settings": settings,
        "folder": os.getcwd(),
    }
    items = iter(todo)
    with _cluster():
        pool = _pool(workers)
        while window := list(islice(items, WINDOW)):
            yield from _window(window, embedder, pool)


# --- the cluster ---------------------------------------------------------------------------------


@contextmanager
def _cluster() -> Iterator[None]:
    """Use the caller's Ray if it has one, else the one at RAY_ADDRESS, else one of our own."""
    import ray

    # a terminal belongs to the command and its bar; what dies is told as a failure
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    if ray.is_initialized():
        yield
        return
    try:
        try:
            _start()
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise SslAudioError(f"engine=ray: no cluster: {_last_line(error)}") from error
        yield
    except ray.exceptions.RayError as error:
        raise SslAudioError(f"Ray stopped: {_last_line(error)}") from error
    finally:
        ray.shutdown()


def _start() -> None:
    """Join or start a cluster; its workers must find this package, installed or not."""
    import ray

    package = Path(__file__).resolve().parents[1]
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if os.environ.get("RAY_ADDRESS"):
        with _hushed():
            ray.init(**quiet, runtime_env={"py_modules": [str(package)]})  # it is sent there
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns at each start
    with _hushed(), _path_of_others(package.parent):
        ray.init(
            **quiet,
            address="local",  # or Ray would join whatever cluster was left running here
            num_cpus=available_processors(),
            include_dashboard=False,
        )


@contextmanager
def _hushed() -> Iterator[None]:
    """Without what Ray's own libraries write: that they were asked not to write much."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def _path_of_others(folder: Path) -> Iterator[None]:
    """Processes that start meanwhile import from this folder too."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), before]))
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


@dataclass(frozen=True)
class _Pool:
    """Actors, and what each takes of its machine."""

    actors: int
    cpus: float
    gpus: float

    @property
    def threads(self) -> int:
        """Tracks at a time in an actor; a GPU needs many decoders."""
        return max(1, int(self.cpus))


def _pool(workers: int | None) -> _Pool:
    import ray

    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = sum(int(machine.get("GPU", 0)) for machine in machines)
    cpus = sum(int(machine.get("CPU", 0)) for machine in machines)
    if not gpus:
        count = workers or max(1, cpus)
        return _Pool(count, _share(cpus, count), 0)
    count = workers or gpus
    gpu = _share(gpus, count)
    decoders = min(m.get("CPU", 0) / m["GPU"] for m in machines if m.get("GPU"))
    return _Pool(count, max(1, int(decoders * gpu)) if decoders >= count / gpus else 0, gpu)


def _share(there: int, count: int) -> float:
    """Of a processor, for each of `count` actors: all of one, or a part if they are more."""
    return 1 / max(1, -(-count // max(1, there)))


# --- a window ------------------------------------------------------------------------------------


def _window(
    window: Sequence[Item], embedder: dict[str, Any], pool: _Pool
) -> Iterator[Row | Failure]:
    left = {item.id: item for item in window}
    size = min(BLOCK * pool.threads, max(1, len(left) // (4 * pool.actors)))
    for block in (size, 1):  # alone in its block, a track dies of nothing but its own
        if left:
            for result in _computed(list(left.values()), embedder, pool, block):
                if left.pop(result.id, None):  # a block that was done again may come again
                    yield result
    for item in left.values():
        yield Failure(item.id, files.printable(str(item.path)), "each worker that tried it died")


def _computed(
    items: list[Item], embedder: dict[str, Any], pool: _Pool, block: int
) -> Iterator[Row | Failure]:
    """Results of the blocks whose actors lived."""
    listed = [{"id": item.id, "path": os.fsencode(item.path)} for item in items]
    blocks = [
        pa.Table.from_pylist(listed[first : first + block], schema=_LISTED)
        for first in range(0, len(listed), block)
    ]
    pool = replace(pool, actors=min(pool.actors, len(blocks)))
    table: Any
    for table in _pipeline(blocks, embedder, pool).iter_batches(
        batch_size=None, batch_format="pyarrow", prefetch_batches=1
    ):
        yield from map(_decoded, table.to_pylist())


def _pipeline(blocks: list[pa.Table], embedder: dict[str, Any], pool: _Pool) -> Dataset:
    import ray.data

    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    context.max_errored_blocks = -1  # those of actors that died too often: see `_window`
    # what waits for an actor dies with it, and a track by itself is to die of nothing but its own
    in_flight = 2 if len(blocks[0]) > 1 else 1
    with ray.data.DataContext.current(context), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there is no other way yet to bound the retries
        return ray.data.from_arrow(blocks).map_batches(
            _Embedder,
            fn_constructor_kwargs={**embedder, "threads": pool.threads},
            batch_size=len(blocks[0]),
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(
                size=pool.actors, max_tasks_in_flight_per_actor=in_flight
            ),
            num_cpus=pool.cpus,
            num_gpus=pool.gpus,
            max_restarts=-1,
            max_task_retries=RETRIES,
        )


class _Embedder:
    """An actor: the encoder, on the actor's GPU if it has one."""

    def __init__(
        self, checkpoint: str, expected: str, settings: Settings, folder: str, threads: int
    ) -> None:
        with suppress(OSError):  # paths may be relative to where the command runs
            os.chdir(folder)
        encoder = load_encoder(checkpoint)
        if encoder.weights_hash != expected:
            raise CheckpointError(f"{checkpoint} is another encoder on {os.uname().nodename}")
        self.encoder = for_embedding(encoder, settings.precision, settings.runtime, threads)
        self.settings, self.threads = settings, threads

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """A table of one row for each track of a block."""
        work = partial(embed_item, encoder=self.encoder, settings=self.settings)
        todo = (Item(row["id"], Path(os.fsdecode(row["path"]))) for row in batch.to_pylist())
        try:
            for result in in_order(todo, work, self.threads):
                yield _encoded(result)
        except Exception:  # a fault of the program, which must not pass for an actor's death
            yield _as_table({"error": traceback.format_exc()})


# --- a row between the processes -----------------------------------------------------------------


def _encoded(result: Row | Failure) -> pa.Table:
    values = {field.name: getattr(result, field.name) for field in fields(result)}
    for name, kind in _ARRAYS.items():
        if values.get(name) is not None:
            values[name] = np.ascontiguousarray(values[name], kind).tobytes()
    return _as_table(values)


def _as_table(values: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([values], schema=_SCHEMA)


def _decoded(values: dict[str, Any]) -> Row | Failure:
    if values["error"] is not None:
        raise RuntimeError(f"in a worker:\n{values['error']}")
    if values["reason"] is not None:
        return Failure(values["id"], values["path"], values["reason"])
    told = {name: values[name] for name in ("id", "path", "duration", "sha256")}
    arrays: dict[str, Any] = {
        name: np.frombuffer(values[name], kind)
        for name, kind in _ARRAYS.items()
        if values[name] is not None
    }
    if "segments" in arrays:
        arrays["segments"] = arrays["segments"].reshape(-1, len(arrays["vector"]))
    return Row(**told, **arrays)


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
