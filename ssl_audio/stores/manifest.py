"""A store that is a folder: its Parquet files, and the manifest that says which of them are live.

A part is written once and never changes. A change of the store writes new parts, and then the
manifest in one step; only then are files removed that it no longer names. A reader therefore sees
the store before the change or after it, whatever stops the writer.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_audio.io.atomic import write_text
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.json_file import read_json

MANIFEST = "_manifest.json"
RUN = "_run.json"  # how a run has changed the store: its settings, and what came of it
FORMAT = 1


@dataclass(frozen=True)
class Part:
    """One Parquet file of a store."""

    number: int  # later parts have higher numbers; none is used twice
    rows: int  # in the file
    size: int  # of the file, bytes
    dropped: tuple[int, ...] = ()  # rows in the file that are no longer of the store, ascending

    @property
    def name(self) -> str:
        return f"part-{self.number:08d}.parquet"

    @property
    def live(self) -> int:
        """Rows of the store."""
        return self.rows - len(self.dropped)


@dataclass(frozen=True)
class Manifest:
    """What a store consists of."""

    about: Mapping[str, Any]  # how the vectors were made
    parts: tuple[Part, ...] = ()  # in the order of the store
    numbered: int = 0  # parts so far: the number of the next one


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a store.

    Raises:
        SslAudioError: there is none, or it is damaged.
    """
    path = folder / MANIFEST
    try:
        read = read_json(path)
        if read["format"] != FORMAT:
            raise SslAudioError(f"{folder} is of format {read['format']}: upgrade ssl_audio")
        parts = tuple(
            Part(int(p["number"]), int(p["rows"]), int(p["size"]), tuple(map(int, p["dropped"])))
            for p in read["parts"]
        )
        return Manifest(dict(read["about"]), parts, int(read["numbered"]))
    except FileNotFoundError as error:
        raise SslAudioError(f"{folder} is a folder without {MANIFEST}: no feature store") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SslAudioError(f"{path} is damaged: restore it, or remove {folder}") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest in one step, so that it also survives a power cut."""
    parts = [vars(part) for part in manifest.parts]  # `asdict` would copy each number
    text = json.dumps({"format": FORMAT, **vars(manifest), "parts": parts}, separators=(",", ":"))
    write_text(folder / MANIFEST, text, durable=True)
