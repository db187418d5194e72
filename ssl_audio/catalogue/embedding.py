"""Embedding of a whole catalogue, resumable and in bounded memory."""

from __future__ import annotations

from itertools import chain, islice

from ssl_audio.catalogue.calibration import TRACKS, typical_segments
from ssl_audio.catalogue.local_engine import LocalEngine
from ssl_audio.catalogue.ray_engine import RayEngine
from ssl_audio.catalogue.tracks import Engine, Item, list_items
from ssl_audio.catalogue.update import Summary, update_catalogue
from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import Encoder, load_encoder
from ssl_audio.models.runtime import for_embedding
from ssl_audio.settings.embed import EmbedSettings
from ssl_audio.stores.remote import Working, published
from ssl_audio.stores.writer import Store, check_output

# tracks per process that compiles the network for OpenVINO: fewer are embedded sooner in torch
MIN_OPENVINO_TRACKS = 300


def embed_catalogue(settings: EmbedSettings) -> Summary:
    """Bring a store of embeddings up to date with a source.

    Raises:
        SslAudioError: an unreadable source or encoder, or a store of other embeddings.
    """
    check_output(settings.output)
    with published(settings.output) as output:
        return _embed(settings, output)


def _embed(settings: EmbedSettings, output: Working) -> Summary:
    items = list_items(settings.source, settings.part)
    first = list(islice(items, TRACKS)) if settings.precision == "int8" else []
    if not isinstance(items, list):
        items = chain(first, items)
    encoder = load_encoder(settings.checkpoint)
    about = _about(settings, encoder)
    store = Store(output.path, about, settings.dtype, settings.segments, settings.group)
    return update_catalogue(
        settings, store, items, lambda tracks: _engine(settings, encoder, tracks, first),
        "embedding", output,
    )  # fmt: skip


def _about(settings: EmbedSettings, encoder: Encoder) -> dict[str, object]:
    """The values that determine the embeddings, equal for all rows of a store."""
    return {
        "kind": "embedding", "model": encoder.weights_hash, "checkpoint": str(settings.checkpoint),
        "hop": settings.hop, "precision": settings.precision, "segment": encoder.segment,
    }  # fmt: skip


def _engine(
    settings: EmbedSettings, encoder: Encoder, tracks: int | None, first: list[Item]
) -> Engine:
    """The engine for a number of tracks; None where that is unknown.

    Args:
        first: tracks of the source, for int8.
    """
    processes = (settings.workers or 1) if settings.engine == "ray" else 1
    runtime = settings.runtime
    if runtime == "auto" and tracks is not None and tracks < MIN_OPENVINO_TRACKS * processes:
        runtime = "torch"
    if settings.engine == "ray":
        return RayEngine(
            str(settings.checkpoint), settings.precision, runtime, settings.hop,
            settings.batch_size, settings.segments, settings.workers,
        )  # fmt: skip
    music = None
    if settings.precision == "int8":
        music = typical_segments(first, encoder.segment, encoder.sample_rate)
        if not len(music):
            raise SslAudioError(f"precision=int8: none of the first {TRACKS} tracks can be read")
    embedder = for_embedding(encoder, settings.precision, runtime, settings.workers, music)
    return LocalEngine(
        embedder, settings.hop, settings.batch_size, settings.segments, settings.workers
    )
