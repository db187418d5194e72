"""Embedding a catalogue by the actors of a Ray cluster: `engine=ray`.

A window of tracks at a time goes through a Ray Data pipeline: blocks of ids and paths to actors
that hold the encoder, and rows back. Only this process yields rows, each id once. Ray restarts an
actor that has died and repeats its block; a track that kills every actor that tries it becomes a
failure.

Memory is bounded: this process holds the paths of one window and the results of one block; finished
blocks wait in Ray's object store. Each machine of a cluster needs the files and the checkpoint
under the same paths.
"""

from __future__ import annotations

import logging
import os
import pickle
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ssl_audio.catalogue.embedding import LocalEngine
from ssl_audio.catalogue.tracks import Failure, Item
from ssl_audio.io.errors import CheckpointError, SslAudioError
from ssl_audio.io.files import printable
from ssl_audio.io.parallel import available_processors
from ssl_audio.models.encoder import load_encoder
from ssl_audio.models.runtime import for_embedding
from ssl_audio.stores.feature_store import Row

if TYPE_CHECKING:
    from ray.data import Dataset

WINDOW = 10_000  # tracks in one pipeline; standard input is cut into windows
BLOCK = 8  # tracks per thread of an actor: the most that a dead actor loses
RETRIES = 2  # of a block whose actor died, before its tracks are tried one by one

_LISTED = pa.schema([("id", pa.string()), ("path", pa.binary())])  # file names may be any bytes
_RESULT = pa.schema([("result", pa.large_binary())])


@dataclass(frozen=True)
class RayEngine:
    """Embeds tracks on a Ray cluster.

    The cluster is that of `RAY_ADDRESS`; without it, one of this machine alone is started, and
    stopped at the end. Results come in the order of the tracks, except for those of actors that
    died. From standard input, results begin when a window is full or the input has ended.

    Attributes:
        checkpoint: folder of the encoder.
        precision, runtime: as in `for_embedding`.
        hop, batch_size, segments: as in `LocalEngine`.
        workers: actors; None is one per GPU of the cluster, or per processor without any.

    Raises:
        SslAudioError: Ray is not installed, or the cluster cannot be used.
    """

    checkpoint: str
    precision: str
    runtime: str
    hop: float | None
    batch_size: int
    segments: bool
    workers: int | None

    def __post_init__(self) -> None:
        try:
            import ray.data  # noqa: F401
        except ImportError as error:
            raise SslAudioError('engine=ray: pip install "ssl_audio[ray]"') from error

    def rows(self, items: Iterable[Item]) -> Iterator[Row | Failure]:
        """The rows of tracks, which have different ids."""
        checked = _Checked(self, load_encoder(self.checkpoint).weights_hash, os.getcwd())
        waiting = iter(items)
        with _cluster():
            pool = _pool(self.workers)
            while window := list(islice(waiting, WINDOW)):
                yield from _window(window, checked, pool)


@dataclass(frozen=True)
class _Checked:
    """An engine, with the hash of its weights and the folder that its paths are relative to."""

    engine: RayEngine
    weights_hash: str
    folder: str


# --- the cluster ---------------------------------------------------------------------------------


@contextmanager
def _cluster() -> Iterator[None]:
    """Use the caller's Ray if it is initialised, else that of RAY_ADDRESS, else a new local one."""
    import ray

    # the terminal belongs to the progress bar; dead actors are reported as failures
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
        with _silenced():
            ray.init(**quiet, runtime_env={"py_modules": [str(package)]})
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns
    with _silenced(), _child_python_path(package.parent):
        ray.init(
            **quiet,
            address="local",  # else Ray would join any cluster that runs here
            num_cpus=available_processors(),
            include_dashboard=False,
        )


@contextmanager
def _silenced() -> Iterator[None]:
    """Without the messages of Ray's libraries on standard error."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


@contextmanager
def _child_python_path(folder: Path) -> Iterator[None]:
    """Let processes that start meanwhile import from this folder too."""
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
    """Number of actors, and the resources of each."""

    actors: int
    cpus: float
    gpus: float

    @property
    def threads(self) -> int:
        """Tracks at a time in an actor."""
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


def _share(available: int, actors: int) -> float:
    """Processors for each actor: 1, or a fraction where there are more actors."""
    return 1 / max(1, -(-actors // max(1, available)))


# --- a window ------------------------------------------------------------------------------------


def _window(window: Sequence[Item], checked: _Checked, pool: _Pool) -> Iterator[Row | Failure]:
    left = {item.id: item for item in window}
    size = min(BLOCK * pool.threads, max(1, len(left) // (4 * pool.actors)))
    for block in (size, 1):  # alone in its block, a track cannot be killed by another one
        if left:
            for result in _computed(list(left.values()), checked, pool, block):
                if left.pop(result.id, None):  # a repeated block may repeat results
                    yield result
    for item in left.values():
        yield Failure(item.id, printable(str(item.path)), "each worker that tried it died")


def _computed(
    items: list[Item], checked: _Checked, pool: _Pool, block: int
) -> Iterator[Row | Failure]:
    """Results of the blocks whose actors did not die."""
    listed = [{"id": item.id, "path": os.fsencode(item.path)} for item in items]
    blocks = [
        pa.Table.from_pylist(listed[first : first + block], schema=_LISTED)
        for first in range(0, len(listed), block)
    ]
    pool = replace(pool, actors=min(pool.actors, len(blocks)))
    table: Any
    for table in _pipeline(blocks, checked, pool).iter_batches(
        batch_size=None, batch_format="pyarrow", prefetch_batches=1
    ):
        yield from map(_result, table["result"].to_pylist())


def _pipeline(blocks: list[pa.Table], checked: _Checked, pool: _Pool) -> Dataset:
    import ray.data

    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    context.max_errored_blocks = -1  # `_window` handles the blocks of dead actors
    # blocks that wait for an actor die with it, so single tracks do not wait
    in_flight = 2 if len(blocks[0]) > 1 else 1
    with ray.data.DataContext.current(context), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the argument that bounds the retries is deprecated
        return ray.data.from_arrow(blocks).map_batches(
            _Embedder,
            fn_constructor_kwargs={"checked": checked, "threads": pool.threads},
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

    def __init__(self, checked: _Checked, threads: int) -> None:
        with suppress(OSError):  # paths may be relative to the folder of the command
            os.chdir(checked.folder)
        engine = checked.engine
        encoder = load_encoder(engine.checkpoint)
        if encoder.weights_hash != checked.weights_hash:
            machine = os.uname().nodename
            raise CheckpointError(f"{engine.checkpoint} is another encoder on {machine}")
        embedder = for_embedding(encoder, engine.precision, engine.runtime, threads)
        self.local = LocalEngine(embedder, engine.hop, engine.batch_size, engine.segments, threads)

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """A table of one row per track of a block."""
        items = (Item(row["id"], Path(os.fsdecode(row["path"]))) for row in batch.to_pylist())
        try:
            for result in self.local.rows(items):
                yield _table(result)
        except Exception:  # an error of the program must not pass for the death of an actor
            yield _table(traceback.format_exc())


def _table(result: Row | Failure | str) -> pa.Table:
    """A result, or the traceback of an error, as the only row of a table."""
    return pa.table({"result": [pickle.dumps(result)]}, schema=_RESULT)


def _result(content: bytes) -> Row | Failure:
    result = pickle.loads(content)
    if isinstance(result, str):
        raise RuntimeError(f"in a worker:\n{result}")
    return result


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
