"""The folder of one run: what was asked, with which versions, on what data, with what result."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from ssl_audio.io.atomic import write_json, write_text
from ssl_audio.io.errors import SslAudioError

PACKAGES = (
    "ssl_audio", "torch", "torchaudio", "timm", "lightning", "numpy", "soundfile", "soxr",
    "hydra-core", "scikit-learn", "torchcodec", "openvino",
)  # fmt: skip


_FOLDER_VARIABLE = "SSL_AUDIO_RUN_DIR"  # from the first process to those that it starts


def is_leader() -> bool:
    """Whether this is the one process of a run, or the first of several, which writes."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


def followed_run_dir(run_dir: str | None) -> Path:
    """The folder that the run's first process made.

    Raises:
        SslAudioError: it cannot be known, since processes were started by hand without `run_dir=`.
    """
    known = run_dir or os.environ.get(_FOLDER_VARIABLE)
    if not known:
        raise SslAudioError("several processes share a run: name its folder with run_dir=")
    return Path(known)


def make_run_dir(
    run_dir: str | None, recipe: str, resume: bool, finished: str = "config.yaml"
) -> Path:
    """The run's folder, made if need be; a new run never writes into an older run's folder.

    Args:
        run_dir: what the user named; None is a new folder below `runs/`.
        recipe: for its name.
        resume: the run goes on with an older one.
        finished: the file by which an older run is known: a command that cannot go on in the middle
            begins anew in a folder without results.

    Raises:
        SslAudioError: the folder holds another run and this one does not resume it.
    """
    folder = Path(run_dir or f"runs/{recipe}-{time.strftime('%Y%m%d-%H%M%S')}")
    if not resume and (folder / finished).exists():
        go_on = "go on with it (ckpt_path=last), or " if finished == "config.yaml" else ""
        raise SslAudioError(f"run_dir={folder} holds a run already: {go_on}name another folder")
    if resume and not run_dir:
        raise SslAudioError("ckpt_path= goes on with a run: name its folder with run_dir=")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SslAudioError(f"run_dir={folder}: {error.strerror}") from error
    os.environ[_FOLDER_VARIABLE] = str(folder)
    return folder


def save_configuration(
    folder: Path, settings: Mapping[str, Any], resumed: bool | None = None
) -> None:
    """Write what was asked (`config.yaml`) and with what (`versions.json`).

    Args:
        folder: of the run.
        settings: what was asked.
        resumed: the run goes on, so that what was asked first is kept; None where it has
            checkpoints.
    """
    from omegaconf import OmegaConf

    if resumed is None:
        resumed = (folder / "checkpoints").exists()
    name = "config-resumed.yaml" if resumed else "config.yaml"
    write_text(folder / name, OmegaConf.to_yaml(OmegaConf.create(dict(settings))))
    write_json(folder / "versions.json", versions())


def versions() -> dict[str, str]:
    """Versions of Python, the platform and the packages that decide a result."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
