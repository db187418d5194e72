"""Tracks that sound alike: `python -m ssl_audio.search index=features.parquet query=song.mp3`."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recipe import Command, main_with, resolve

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ssl_audio.stores.neighbours import Match, StoreIndex

COMMAND = Command(
    name="search",
    does="Print the tracks of a feature store that are nearest to a query, as CSV.",
    usage="index=FILE query=FILE_OR_ID [KEY=VALUE ...]",
    often=("k=10", "checkpoint=", "approximate=true"),
    example="index=features.parquet query=song.mp3 k=10",
)


def run(config: DictConfig) -> None:
    """Search, and print rank, similarity, id and path."""
    settings = resolve(config)
    if settings["k"] < 1:
        raise SslAudioError(f"k={settings['k']}: 1 or more")
    from ssl_audio.stores.neighbours import StoreIndex

    neighbours = StoreIndex(Path(settings["index"]), settings["approximate"])
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["rank", "similarity", "id", "path"])
    for rank, match in enumerate(_matches(neighbours, settings), 1):
        writer.writerow([rank, f"{match.similarity:.4f}", match.id, match.path])


def _matches(neighbours: StoreIndex, settings: dict[str, Any]) -> list[Match]:
    query, k = str(settings["query"]), settings["k"]
    if query in neighbours.row or not Path(query).is_file():
        return neighbours.of_track(query, k)
    about = neighbours.stored.about
    if about.get("kind") != "embedding":
        raise SslAudioError(f"query={query}: in an index of {about.get('kind')} name a track's id")
    from ssl_audio.models.encoder import load_encoder

    encoder = load_encoder(settings["checkpoint"] or about["checkpoint"])
    if encoder.weights_hash != about["model"]:
        raise SslAudioError(
            f"{settings['index']} was made with another encoder than "
            f"{settings['checkpoint'] or about['checkpoint']}: name it with checkpoint="
        )
    found = encoder.folded().embed_file(query, about["hop"])
    return neighbours.of_vector(found.track, k)


def main(arguments: list[str] | None = None) -> int:
    """The command's entry point; returns the exit status."""
    return main_with(COMMAND, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
