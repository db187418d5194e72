"""Embedding a catalogue by the actors of a Ray cluster: `engine=ray`.

Blocks of tracks go to actors that hold the encoder, and their rows come back in order. Ray restarts
an actor that has died and repeats its blocks; the tracks of a block that fails again are then tried
one by one, so that only a track that kills its actor becomes a failure. Each machine of a cluster
needs the files and the checkpoint under the same paths.
"""

import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ssl_audio.catalogue.local_engine import LocalEngine
from ssl_audio.catalogue.tracks import Item
from ssl_audio.io.errors import CheckpointError, SslAudioError
from ssl_audio.io.files import printable
from ssl_audio.io.parallel import available_processors
from ssl_audio.models.encoder import load_encoder
from ssl_audio.models.runtime import for_embedding
from ssl_audio.stores.columns import Row
from ssl_audio.stores.failures import Failure

BLOCK = 8  # tracks per thread of an actor: the most that a dead actor loses
AHEAD = 4  # blocks per actor whose results may wait to be taken
RETRIES = 2  # of a block whose actor died


@dataclass(frozen=True)
class RayEngine:
    """Embeds tracks on a Ray cluster: that of `RAY_ADDRESS`, or one of this machine alone.

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
            import ray  # noqa: F401
        except ImportError as error:
            raise SslAudioError('engine=ray: pip install "ssl_audio[ray]"') from error

    def rows(self, items: Iterable[Item]) -> Iterator[Row | Failure]:
        """The rows of tracks, in their order."""
        weights_hash = load_encoder(self.checkpoint).weights_hash
        with _cluster():
            pool = _Pool(self, weights_hash)
            size = BLOCK * pool.threads
            if isinstance(items, Sequence):  # a block for each actor, however few tracks
                size = max(1, min(size, len(items) // (AHEAD * len(pool.actors))))
            waiting: deque[tuple[Any, list[Item]]] = deque()
            rest = iter(items)
            while block := list(islice(rest, size)):
                waiting.append((pool.submit(block), block))
                if len(waiting) > AHEAD * len(pool.actors):
                    yield from pool.results(*waiting.popleft())
            while waiting:
                yield from pool.results(*waiting.popleft())


class _Pool:
    """The actors of a cluster, and one more for tracks that are tried alone."""

    def __init__(self, engine: RayEngine, weights_hash: str) -> None:
        import ray

        self.engine, self.weights_hash = engine, weights_hash
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        gpus = sum(int(machine.get("GPU", 0)) for machine in machines)
        cpus = sum(int(machine.get("CPU", 0)) for machine in machines)
        count = engine.workers or gpus or max(1, cpus)
        gpu = _share(gpus, count) if gpus else 0.0
        cpu = _share(cpus, count)
        if gpus:
            decoders = min(m.get("CPU", 0) / m["GPU"] for m in machines if m.get("GPU"))
            cpu = max(1, int(decoders * gpu)) if decoders >= count / gpus else 0
        self.threads = max(1, int(cpu))
        self.actors = [self._actor(cpu, gpu) for _ in range(count)]
        self.pending: list[list[Any]] = [[] for _ in self.actors]
        self.spare: Any = None
        ray.get([actor.ready.remote() for actor in self.actors])

    def _actor(self, cpus: float, gpus: float) -> Any:
        import ray

        options = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": -1,
                   "max_task_retries": RETRIES}  # fmt: skip
        made = ray.remote(_Embedder).options(**options)
        return made.remote(self.engine, self.weights_hash, self.threads, os.getcwd())

    def submit(self, block: list[Item]) -> Any:
        """Give a block to the actor with the fewest unfinished ones; returns its future."""
        import ray

        for k, futures in enumerate(self.pending):
            if futures:
                self.pending[k] = ray.wait(futures, num_returns=len(futures), timeout=0)[1]
        chosen = min(range(len(self.actors)), key=lambda k: len(self.pending[k]))
        future = self.actors[chosen].rows.remote(block)
        self.pending[chosen].append(future)
        return future

    def results(self, future: Any, block: list[Item]) -> list[Row | Failure]:
        """The results of a block."""
        import ray

        try:
            return ray.get(future)
        except ray.exceptions.RayActorError:
            return [self._alone(item) for item in block]

    def _alone(self, item: Item) -> Row | Failure:
        import ray

        self.spare = self.spare or self._actor(0, 0)
        try:
            return ray.get(self.spare.rows.remote([item]))[0]
        except ray.exceptions.RayActorError:
            self.spare = None  # while it restarts, it would fail the next track too
            path = printable(str(item.path))
            return Failure(item.id, path, "each worker that tried it died")


def _share(available: int, actors: int) -> float:
    """Processors for each actor: 1, or a fraction where there are more actors."""
    return 1 / max(1, -(-actors // max(1, available)))


class _Embedder:
    """An actor: the encoder, on the actor's GPU if it has one."""

    def __init__(self, engine: RayEngine, weights_hash: str, threads: int, folder: str) -> None:
        with suppress(OSError):  # paths may be relative to the folder of the command
            os.chdir(folder)
        encoder = load_encoder(engine.checkpoint)
        if encoder.weights_hash != weights_hash:
            machine = os.uname().nodename
            raise CheckpointError(f"{engine.checkpoint} is another encoder on {machine}")
        embedder = for_embedding(encoder, engine.precision, engine.runtime, threads)
        self.local = LocalEngine(embedder, engine.hop, engine.batch_size, engine.segments, threads)

    def ready(self) -> None:
        """Return once the encoder is loaded."""

    def rows(self, block: list[Item]) -> list[Row | Failure]:
        """The results of a block."""
        return list(self.local.rows(block))


@contextmanager
def _cluster() -> Iterator[None]:
    """Use the caller's Ray if it is initialised, else that of RAY_ADDRESS, else a new local one."""
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        try:
            _start()
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise SslAudioError(f"engine=ray: no cluster: {_last_line(error)}") from error
        yield
    except ray.exceptions.RayTaskError:  # an error of the program
        raise
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
    """Discard what Ray's libraries print on standard error."""
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
    """Add a folder to the PYTHONPATH of processes that are started in the block."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), before]))
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
