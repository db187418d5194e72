"""Embedding of a whole catalogue, resumable and in bounded memory."""

from __future__ import annotations

from ssl_audio.catalogue.local_engine import LocalEngine
from ssl_audio.catalogue.ray_engine import RayEngine
from ssl_audio.catalogue.tracks import Summary, fill_store, list_items, missing
from ssl_audio.io.atomic import write_json
from ssl_audio.io.run_folder import versions
from ssl_audio.models.encoder import Encoder, load_encoder
from ssl_audio.models.runtime import for_embedding
from ssl_audio.settings.embed import EmbedSettings
from ssl_audio.settings.tree import plain
from ssl_audio.stores.writer import Store, check_output

# tracks per process that compiles the network for OpenVINO: fewer are embedded sooner in torch
MIN_OPENVINO_TRACKS = 300


def embed_catalogue(settings: EmbedSettings) -> Summary:
    """Add the tracks of a source that a store does not have yet, and describe the run beside it.

    Raises:
        SslAudioError: an unreadable source or encoder, or a store of other embeddings.
    """
    output = settings.output
    check_output(output)
    items = list_items(settings.source)
    encoder = load_encoder(settings.checkpoint)
    with Store(
        output, _about(settings, encoder), settings.dtype, settings.segments, settings.group
    ) as store:
        rest = missing(items, store.finished)
        total = len(rest) if isinstance(rest, list) else None
        engine = _engine(settings, encoder, total)
        failures = output.parent / "failures.csv"
        summary = fill_store(store, engine.rows(rest), total, "embedding", failures)
    config = {**plain(settings), "runtime": engine.runtime}
    write_json(
        output.with_name(f"{output.name}.run.json"),
        {"tracks": summary.total, "failed": len(summary.failures), "config": config,
         "versions": versions()},
    )  # fmt: skip
    return summary


def _about(settings: EmbedSettings, encoder: Encoder) -> dict[str, object]:
    """The values that determine the embeddings, equal for all rows of a store."""
    return {
        "kind": "embedding", "model": encoder.weights_hash, "checkpoint": str(settings.checkpoint),
        "hop": settings.hop, "precision": settings.precision, "segment": encoder.segment,
    }  # fmt: skip


def _engine(
    settings: EmbedSettings, encoder: Encoder, tracks: int | None
) -> LocalEngine | RayEngine:
    """The engine for a number of tracks; None where that is unknown."""
    processes = (settings.workers or 1) if settings.engine == "ray" else 1
    runtime = settings.runtime
    if runtime == "auto" and tracks is not None and tracks < MIN_OPENVINO_TRACKS * processes:
        runtime = "torch"
    if settings.engine == "ray":
        return RayEngine(
            str(settings.checkpoint), settings.precision, runtime, settings.hop,
            settings.batch_size, settings.segments, settings.workers,
        )  # fmt: skip
    embedder = for_embedding(encoder, settings.precision, runtime, settings.workers)
    return LocalEngine(
        embedder, settings.hop, settings.batch_size, settings.segments, settings.workers
    )
