"""Playlists to try the playlist models on: `python -m ssl_audio.demo output=... ...`."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_audio.io.console import say, warn
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.progress import tracks_bar
from ssl_audio.recipe import Command, main_with, resolve

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ssl_audio.catalogue.tracks import Item
    from ssl_audio.models.encoder import Encoder
    from ssl_audio.recommenders.generate import Generated
    from ssl_audio.stores.feature_store import Row

COMMAND = Command(
    name="demo",
    does="Generate playlists over excerpts of real recordings, with the features of each track.",
    usage="output=FOLDER checkpoint=FOLDER [KEY=VALUE ...]",
    often=("tracks=", "playlists=", "recordings=", "seed="),
    example="output=playlists checkpoint=checkpoints/contrastive tracks=2000",
)
GENRE = "genre---"  # of a tag in MTG-Jamendo's tables
LEAST_SECONDS = 0.2  # between the starts of excerpts: nearer ones are one and the same
OUTPUTS = ("playlists.duckdb", "train.parquet", "popularity.parquet", "embeddings.parquet",
           "audio.parquet")  # fmt: skip


def run(config: DictConfig) -> None:
    """Cut and embed the recordings, generate the playlists, and write both."""
    settings = resolve(config)
    for key in ("tracks", "playlists", "shortest"):
        if settings[key] < 1:
            raise SslAudioError(f"{key}={settings[key]}: 1 or more")
    import numpy as np

    from ssl_audio.io.atomic import write_json
    from ssl_audio.io.run_folder import versions
    from ssl_audio.models.encoder import load_encoder
    from ssl_audio.recommenders.generate import GeneratorSettings, generate

    chosen = GeneratorSettings(
        **{key: settings[key] for key in ("playlists", "shortest", "longest", "seed")}
    )
    folder = Path(settings["output"])
    there = [name for name in OUTPUTS if (folder / name).exists()]
    if there:
        raise SslAudioError(f"output={folder} has a {there[0]} already: name another folder")
    recordings = _recordings(settings["recordings"])
    encoder = load_encoder(settings["checkpoint"])
    folder.mkdir(parents=True, exist_ok=True)
    rows, genres = _excerpts(recordings, encoder, settings, folder)
    say(f"generating {settings['playlists']} playlists over {len(rows)} tracks")
    generated = generate(np.stack([row.vector for row in rows]), genres, chosen)
    _write(generated, rows, settings, folder)
    write_json(folder / "about.json", {"config": settings, "versions": versions()})


def _recordings(root: str | None) -> list[tuple[Item, str]]:
    """The recordings with their genres, in the order of their tables."""
    from ssl_audio.audio.sources import read_jamendo
    from ssl_audio.audio.synthesis import demo_folder, make_demo
    from ssl_audio.catalogue.tracks import Item

    folder = Path(os.path.abspath(root)) if root else make_demo(demo_folder())
    tables = sorted(folder.glob("*.tsv"))
    if not tables:
        raise SslAudioError(f"recordings={folder}: no table (*.tsv) with genres in it")
    found, seen = [], set[str]()
    for table in tables:
        first = Path(read_jamendo(table, folder)[0].path)
        base = folder if first.exists() else folder / "audio"
        for source in read_jamendo(table, base):
            if source.path in seen:
                continue  # in several tables
            seen.add(source.path)
            genre = next((t.removeprefix(GENRE) for t in source.tags if t.startswith(GENRE)), "")
            path = Path(source.path)
            found.append((Item(path.relative_to(base).as_posix(), path), genre))
    if not any(genre for _, genre in found):
        raise SslAudioError(f"{tables[0]} and the others beside it have no tag {GENRE}...")
    return found


def _excerpts(
    recordings: list[tuple[Item, str]], encoder: Encoder, settings: dict[str, Any], folder: Path
) -> tuple[list[Row], list[str]]:
    """Write the features of `tracks` excerpts; returns the embedded ones and their genres."""
    import numpy as np

    from ssl_audio.catalogue.descriptors import DESCRIPTORS
    from ssl_audio.catalogue.excerpts import excerpts_of
    from ssl_audio.catalogue.tracks import Failure
    from ssl_audio.io.parallel import in_order

    hop = _hop(recordings, encoder.segment, settings["tracks"])
    folded = encoder.folded()
    results = in_order(recordings, lambda r: excerpts_of(r[0], folded, hop), settings["workers"])
    embedded: list[Row] = []
    described: list[Row] = []
    genres: list[str] = []
    bar = tracks_bar(results, len(recordings), "embedding excerpts")
    for (item, genre), found in zip(recordings, bar, strict=True):
        if isinstance(found, Failure):
            warn(f"{item.path}: {found.reason}")
            continue
        embedded += found.embeddings
        described += found.descriptors
        genres += [genre] * len(found.embeddings)
    if len(embedded) < settings["tracks"]:
        raise SslAudioError(
            f"tracks={settings['tracks']}: these recordings give {len(embedded)} excerpts"
        )
    chosen = np.random.default_rng(settings["seed"]).permutation(len(embedded))
    kept = np.sort(chosen[: settings["tracks"]])
    about = {"kind": "embedding", "model": encoder.weights_hash, "hop": hop,
             "checkpoint": settings["checkpoint"], "segment": encoder.segment}  # fmt: skip
    _store(folder / "embeddings.parquet", about, [embedded[k] for k in kept])
    names = [each.name for each in DESCRIPTORS]
    about = {"kind": "descriptors", "model": "42", "names": names}
    _store(folder / "audio.parquet", about, [described[k] for k in kept])
    return [embedded[k] for k in kept], [genres[k] for k in kept]


def _hop(recordings: list[tuple[Item, str]], segment: float, tracks: int) -> float:
    """Seconds between excerpts, as great as gives enough of them."""
    from ssl_audio.audio.decode import info

    durations = [info(item.path).duration for item, _ in recordings]
    hop = max(segment, *durations)
    while sum(1 + max(0, math.floor((d - segment) / hop)) for d in durations) < tracks:
        hop *= 0.95
        if hop < LEAST_SECONDS:
            hours = sum(durations) / 3600
            raise SslAudioError(f"tracks={tracks}: too many for {hours:.2f} hours of recordings")
    return round(hop, 3)


def _store(path: Path, about: dict[str, Any], rows: list[Row]) -> None:
    from ssl_audio.stores.writer import write_store

    say(f"{write_store(path, about, rows)} tracks x {len(rows[0].vector)}: {path}")


def _write(generated: Generated, rows: list[Row], settings: dict[str, Any], folder: Path) -> None:
    """The store of playlists, the tracks' popularity, and the training part as a table."""
    from dataclasses import replace

    from ssl_audio.recommenders.data.splits import cold_tracks
    from ssl_audio.recommenders.data.store import open_store, store_of
    from ssl_audio.recommenders.data.tables import write_table

    ids = [row.id for row in rows]
    catalogue = generated.catalogue(ids)
    popular = [replace(row, vector=p) for row, p in zip(rows, generated.popularity, strict=True)]
    about = {"kind": "popularity", "model": "2", "names": ["global", "regional"]}
    _store(folder / "popularity.parquet", about, popular)
    playlists = folder / "playlists.duckdb"
    say(str(store_of(generated.playlists, catalogue, playlists, seed=settings["seed"])))
    held_out = cold_tracks(ids, settings["cold"], settings["seed"])
    train = open_store(playlists).playlists("train").without_tracks(held_out)
    write_table(folder / "train.parquet", train, catalogue)
    say(f"{held_out.sum()} tracks held out of {folder / 'train.parquet'}")


def main(arguments: list[str] | None = None) -> int:
    """The command's entry point; returns the exit status."""
    return main_with(COMMAND, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
