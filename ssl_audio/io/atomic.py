"""Atomic writes: a reader sees either the old content or the complete new one."""

import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# of `atomic_file` and `atomic_folder`: name, number of the process, and what tells them apart
_TEMPORARY = re.compile(r"\.(.+)\.(\d+)\.(?:\d+\.tmp|(?:new|old)-.*)")


def write_text(path: Path, text: str, durable: bool = False) -> None:
    """Write a UTF-8 text file: see `write_bytes`."""
    write_bytes(path, text.encode("utf-8"), durable)


def write_bytes(path: Path, content: bytes, durable: bool = False) -> None:
    """Write a file: see `atomic_file`; OSError where its folder cannot be written to."""
    with atomic_file(path, durable) as temporary:
        Path(temporary).write_bytes(content)


@contextmanager
def atomic_file(path: str | os.PathLike[str], durable: bool = False) -> Iterator[str]:
    """Yield a temporary name, a hidden one; the file written there replaces `path` on leaving.

    With `durable`, its content is on disk before its name: else a power cut may leave the name
    without the content.
    """
    folder, name = os.path.split(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        yield temporary
        if durable:
            with open(temporary, "r+b") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `folder` on leaving; all users may read its files.

    Between the two renames of a replacement there is no `folder`: `recover` puts it back.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    recover(folder.parent, folder.name)
    temporary = _hidden_folder(folder, "new")
    try:
        yield temporary
        for path in temporary.iterdir():
            path.chmod(0o644)
        temporary.chmod(0o755)
        if folder.exists():
            old = _hidden_folder(folder, "old")
            os.rename(folder, old / folder.name)
            os.rename(temporary, folder)
            shutil.rmtree(old)
        else:
            os.rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def recover(folder: Path, name: str | None = None) -> None:
    """Remove the hidden files and folders that killed processes have left of atomic writes in a
    folder, of everything in it or of one name, and put folders back that they were replacing."""
    for left in folder.glob(".*"):
        match = _TEMPORARY.fullmatch(left.name)
        if match is None or name not in (None, match[1]) or _is_alive(int(match[2])):
            continue
        target = folder / match[1]
        with suppress(OSError):
            if not target.exists() and (left / target.name).is_dir():
                os.rename(left / target.name, target)
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def _hidden_folder(folder: Path, kind: str) -> Path:
    prefix = f".{folder.name}.{os.getpid()}.{kind}-"
    return Path(tempfile.mkdtemp(dir=folder.parent, prefix=prefix))


def _is_alive(process: int) -> bool:
    """True for another process that is running; in containers, each is number 1."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # of another user
        pass
    return True


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(values, indent=2, default=str) + "\n")
