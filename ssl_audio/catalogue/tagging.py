"""A table of tags: one row per track, from audio or from a feature store."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ssl_audio.catalogue.embedding import MIN_OPENVINO_TRACKS
from ssl_audio.catalogue.local_engine import LocalEngine
from ssl_audio.catalogue.tracks import list_items
from ssl_audio.io import log
from ssl_audio.io.atomic import atomic_file
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.progress import with_progress
from ssl_audio.io.remote import Url
from ssl_audio.models.encoder import Encoder
from ssl_audio.models.runtime import for_embedding
from ssl_audio.stores.columns import Row, metadata
from ssl_audio.stores.failures import Failure, failures_table, write_failures_table
from ssl_audio.stores.feature_store import count_rows, read_about, read_rows
from ssl_audio.stores.remote import Working

KIND = "tags"  # of the table, in its metadata
COLUMN = "probability:"  # before a tag: the name of its column
GROUP = 1024  # rows in memory at a time


class Tagger(Protocol):
    """What predicts tags: `ssl_audio.Probe` has these attributes and methods."""

    tags_: tuple[str, ...]
    encoder_: str
    hop_: float | None
    n_features_in_: int
    thresholds_: np.ndarray | None
    about_: dict[str, Any]

    def predict_proba(self, X: np.ndarray) -> np.ndarray: ...

    def decide(self, probabilities: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Tracks:
    """Embeddings of tracks, or why there is none, as they come."""

    rows: Iterable[Row | Failure]
    total: int


@dataclass
class Tagged:
    """The outcome of one run."""

    output: Working
    rows: int = 0
    failures: list[Failure] = field(default_factory=list)

    def lines(self) -> list[str]:
        """What a command prints at its end."""
        lines = [f"{self.rows} tracks: {self.output.name}"]
        if self.failures:
            lines.insert(0, f"{len(self.failures)} files failed: {self.output.failures}")
        return lines


def embedded_tracks(
    source: Path | Url, encoder: Encoder, name: str, tagger: Tagger, workers: int | None = None
) -> Tracks:
    """The tracks of a source, embedded as the tagger requires.

    Args:
        source: as in `list_items`.
        name: of the encoder, for errors.
        workers: tracks at a time; None is the number of processors.

    Raises:
        SslAudioError: an unreadable source, or another encoder than the tagger's.
    """
    _check_encoder(f"checkpoint={name} is", {"model": encoder.weights_hash}, tagger)
    items = list({item.id: item for item in list_items(source)}.values())
    runtime = "auto" if len(items) >= MIN_OPENVINO_TRACKS else "torch"
    embedder = for_embedding(encoder, runtime=runtime, workers=workers)
    return Tracks(LocalEngine(embedder, tagger.hop_, workers=workers).rows(items), len(items))


def stored_tracks(features: Path, tagger: Tagger) -> Tracks:
    """The tracks of a feature store.

    Raises:
        SslAudioError: an unreadable store, or see `check_embeddings`.
    """
    check_embeddings(features, read_about(features), tagger)
    return Tracks(_checked(read_rows(features), features, tagger), count_rows(features))


def check_embeddings(features: Path | Url, about: Mapping[str, Any], tagger: Tagger) -> None:
    """Refuse a store whose vectors a tagger was not trained on; `about` is the store's.

    Raises:
        SslAudioError: no embeddings, or those of another encoder or hop than the tagger's.
    """
    if about.get("kind") != "embedding":
        raise SslAudioError(f"features={features} is no store that embed has written")
    made = f" of checkpoint={about['checkpoint']}" if "checkpoint" in about else ""
    _check_encoder(f"features={features} has embeddings{made},", about, tagger)
    segment = about.get("segment")  # the hop of hop=null
    hops = [segment if hop is None else hop for hop in (about.get("hop"), tagger.hop_)]
    if hops[0] != hops[1]:
        raise SslAudioError(
            f"features={features} was made with hop={hops[0]}, and the probe takes "
            f"hop={hops[1]} (seconds): embed again with that hop"
        )


def _check_encoder(what: str, about: Mapping[str, Any], tagger: Tagger) -> None:
    if not tagger.encoder_:
        raise SslAudioError("the probe does not say which encoder it is for: fit it with encoder=")
    if about.get("model") != tagger.encoder_:
        of = f" ({tagger.about_['encoder']})" if "encoder" in tagger.about_ else ""
        raise SslAudioError(
            f"{what} encoder {str(about.get('model'))[:12]}, and the probe is for encoder "
            f"{tagger.encoder_[:12]}{of}: give that encoder, or a probe for this one"
        )


def _checked(rows: Iterable[Row], features: Path, tagger: Tagger) -> Iterator[Row | Failure]:
    for row in rows:
        if row.vector.shape != (tagger.n_features_in_,):
            raise SslAudioError(
                f"{features} is damaged: {len(row.vector)} dimensions, not {tagger.n_features_in_}"
            )
        good = np.isfinite(row.vector).all()
        yield row if good else Failure(row.id, row.path, "its embedding is missing or not finite")


def write_tags(tracks: Tracks, tagger: Tagger, output: Working) -> Tagged:
    """Write the table of tags in one step, over an older one.

    Columns: id, path, duration (seconds), `tags` (a list of names), and the probability of each tag
    in `probability:TAG`. The file's metadata (`ssl_audio`) has the thresholds.

    Raises:
        SslAudioError: the output is another file than such a table, or no track can be tagged.
    """
    path = output.path
    if path.is_dir() or (path.exists() and read_about(path).get("kind") != KIND):
        raise SslAudioError(
            f"output={output.name} is no table of tags: give the name of another file"
        )
    done = Tagged(output)
    rows = _good(with_progress(tracks.rows, "tagging", tracks.total), done.failures)
    schema = _schema(tagger)
    with (
        atomic_file(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        while group := list(islice(rows, GROUP)):
            writer.write_table(_table(group, tagger, schema))
            done.rows += len(group)
        write_failures_table(failures_table(path), {f.id: f for f in done.failures})
        if not done.rows:
            raise SslAudioError(f"no track can be tagged: see {output.failures}")
    log.event("summary", output=output.name, tracks=done.rows, failed_now=len(done.failures))
    return done


def _good(results: Iterable[Row | Failure], failures: list[Failure]) -> Iterator[Row]:
    for result in results:
        if isinstance(result, Failure):
            failures.append(result)
            log.event("failure", id=result.id, path=result.path, reason=result.reason)
        else:
            yield result


def _schema(tagger: Tagger) -> pa.Schema:
    cuts = None if tagger.thresholds_ is None else tagger.thresholds_.tolist()
    about = {"kind": KIND, "model": tagger.encoder_, "hop": tagger.hop_, "tags": tagger.tags_,
             "thresholds": cuts, "probe": tagger.about_}  # fmt: skip
    columns = [("id", pa.string()), ("path", pa.string()), ("duration", pa.float64()),
               ("tags", pa.list_(pa.string()))]  # fmt: skip
    columns += [(COLUMN + tag, pa.float32()) for tag in tagger.tags_]
    return pa.schema(columns, metadata(about))


def _table(rows: Sequence[Row], tagger: Tagger, schema: pa.Schema) -> pa.Table:
    probabilities = tagger.predict_proba(np.stack([row.vector for row in rows]))
    present = tagger.decide(probabilities)
    tags = [[tagger.tags_[k] for k in np.flatnonzero(each)] for each in present]
    found = [[getattr(row, name) for row in rows] for name in ("id", "path", "duration")]
    columns = [*found, tags, *probabilities.T.astype(np.float32)]
    arrays = [pa.array(c, kind) for c, kind in zip(columns, schema.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
