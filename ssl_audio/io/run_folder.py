"""The folder of one run: its configuration, the versions it ran with, and its results."""

import os
import platform
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from ssl_audio.io.atomic import recover, write_json, write_text
from ssl_audio.io.errors import SslAudioError, named
from ssl_audio.io.lock import LOCK, only_writer

PACKAGES = (
    "ssl_audio", "torch", "torchaudio", "timm", "lightning", "numpy", "soundfile", "soxr",
    "hydra-core", "scikit-learn", "torchcodec", "openvino",
)  # fmt: skip

CONFIG, VERSIONS, RESULTS = "config.yaml", "versions.json", "results.json"
_DESCRIPTIONS = {
    CONFIG,
    "config-resumed.yaml",
    VERSIONS,
    "skipped.csv",
    "logs",
    "checkpoints",
    LOCK,
}
_FOLDER_VARIABLE = "SSL_AUDIO_RUN_DIR"  # set by a run's first process for those that it starts


def is_leader() -> bool:
    """True in the only process of a run, or in the first of several: the one that writes."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


def choose_run_folder(run_dir: Path | None, name: str, marker: str = RESULTS) -> Path:
    """The folder of a new run, which is not created yet.

    Args:
        run_dir: the user's choice; None is `runs/NAME-DATE-TIME`.
        name: see `run_dir`.
        marker: a folder with this file holds another run and is refused.

    Raises:
        SslAudioError: the folder holds another run or cannot be written.
    """
    folder = run_dir or Path("runs", f"{name}-{time.strftime('%Y%m%d-%H%M%S')}")
    if os.path.exists(folder / marker):
        resume = "resume it with ckpt_path=last, or " if marker == CONFIG else ""
        raise SslAudioError(f"run_dir={folder} already holds a run: {resume}name another folder")
    parent = next(p for p in (folder, *folder.absolute().parents) if os.path.exists(p))
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise SslAudioError(f"run_dir={folder}: {parent} is not a folder that can be written")
    return folder


def run_folder_of_leader(run_dir: Path | None) -> Path:
    """The folder that the first process of this run created.

    Raises:
        SslAudioError: it is unknown, since the processes were started by hand without `run_dir=`.
    """
    known = run_dir or os.environ.get(_FOLDER_VARIABLE)
    if not known:
        raise SslAudioError("several processes share a run: name its folder with run_dir=")
    return Path(known)


@contextmanager
def open_run_folder(
    folder: Path, config: str, resumed: bool = False, inputs: Collection[str] = ()
) -> Iterator[None]:
    """Create a run's folder with its configuration and versions.

    If the run fails before it has written a checkpoint or any result, everything that was created
    is removed again, so that the same command can be repeated.

    Args:
        folder: created with its parents where it does not exist.
        config: YAML text of `config.yaml`.
        resumed: keep the first `config.yaml`, and write `config-resumed.yaml`.
        inputs: names of further files that are not results, such as converted inputs.

    Raises:
        SslAudioError: the folder cannot be created, or another process is at this run.
    """
    created = [p for p in (folder, *folder.parents) if not p.exists()]
    with named(f"run_dir={folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        before = set(folder.iterdir())
        lock = only_writer(folder, written=f"run_dir={folder}")
    with lock:
        recover(folder)  # of a run that was killed
        before |= set(folder.iterdir()) - {folder / LOCK}
        os.environ[_FOLDER_VARIABLE] = str(folder)
        try:
            write_text(folder / ("config-resumed.yaml" if resumed else CONFIG), config)
            write_json(folder / VERSIONS, versions())
            yield
        except BaseException:
            _remove_failed_start(folder, before, created, inputs)
            raise
        finally:
            os.environ.pop(_FOLDER_VARIABLE, None)


def _remove_failed_start(
    folder: Path, before: set[Path], created: list[Path], inputs: Collection[str]
) -> None:
    """Remove what a run created, unless it has checkpoints or results."""
    new = set(folder.iterdir()) - before
    kept = {path.name for path in new} - _DESCRIPTIONS - set(inputs)
    if kept or any(folder.glob("checkpoints/*")):
        return
    for path in new:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in created:
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def versions() -> dict[str, str]:
    """Versions of Python, the platform and the packages that influence results."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
