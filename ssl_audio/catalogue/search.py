"""Search for tracks that sound alike in a feature store of embeddings."""

from __future__ import annotations

from pathlib import Path

from ssl_audio.io.errors import SslAudioError
from ssl_audio.stores.neighbours import Match, StoreIndex


def similar_tracks(
    path: Path,
    query: str,
    k: int,
    checkpoint: Path | None = None,
    approximate: bool | None = None,
) -> list[Match]:
    """The k tracks of a store that are nearest to a query, by cosine, the nearest first.

    Args:
        path: the store.
        query: id of one of its tracks, which is left out, or an audio file.
        k: number of tracks.
        checkpoint: the encoder of the store, for a file; None: where it was when the store was
            written.
        approximate: as in `NeighbourIndex`.

    Raises:
        SslAudioError: an unreadable store, a query that is neither, another encoder than that of
            the store.
    """
    index = StoreIndex(path, approximate)
    if query in index.row or not _is_file(query):
        return index.of_track(query, k)
    about = index.stored.about
    if about.get("kind") != "embedding":
        raise SslAudioError(
            f"query={query}: {path} holds no embeddings, so a query is the id of a track"
        )
    from ssl_audio.models.encoder import load_encoder

    folder = checkpoint or about["checkpoint"]
    encoder = load_encoder(folder)
    if encoder.weights_hash != about["model"]:
        raise SslAudioError(f"{path} was made with another encoder than {folder}: give checkpoint=")
    embedding = encoder.folded().embed_file(query, about["hop"])
    return index.of_vector(embedding.track, k)


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:  # a name that is too long
        return False
