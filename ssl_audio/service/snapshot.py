"""What the service answers from: loaded together, never changed, and replaced as a whole."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ssl_audio.catalogue.acoustic_model import load_acoustic
from ssl_audio.catalogue.tagging import check_embeddings
from ssl_audio.io.console import warn
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.remote import Url
from ssl_audio.io.version import __version__
from ssl_audio.models.encoder import load_encoder
from ssl_audio.models.shipped import shipped_probe
from ssl_audio.probing.predictor import TagPredictor, load_predictor
from ssl_audio.recommenders.data.m3u import read_m3u
from ssl_audio.recommenders.data.node_features import ACOUSTIC, AUDIO
from ssl_audio.recommenders.data.track_ids import TrackIds
from ssl_audio.service.analysis import (
    Acoustic,
    EmbeddedFile,
    FileEmbedder,
    Limits,
    feature_names,
    tags_of,
)
from ssl_audio.service.playlists import SIMILARITY, Continuer, Inductor, by_similarity
from ssl_audio.service.problems import Problem
from ssl_audio.service.received import MAX_TEXT
from ssl_audio.service.schemas import (
    MAX_IDS,
    Completion,
    CompletionQuery,
    Health,
    Inductive,
    Neighbour,
    NeighbourQuery,
    NewTrack,
    NewTrackQuery,
    Tag,
    TrackDetails,
)
from ssl_audio.service.tracks import Tracks
from ssl_audio.settings.serve import ServeSettings
from ssl_audio.stores.feature_store import read_about, read_aligned
from ssl_audio.stores.remote import fetched, local_folder, model_beside

EMBEDDINGS = "embeddings"  # the feature group of two_tower
SEEDS = 5  # neighbours that the playlist around a new track starts from


class Snapshot:
    """A version of the store, of the encoder and of the models.

    Raises:
        SslAudioError: one of them cannot be read, or they do not belong together.
    """

    def __init__(self, settings: ServeSettings, observe: Callable[[int], None]) -> None:
        self.features = fetched(settings.features)
        self.tracks = Tracks(self.features)
        self.embedder, self.probe = None, None
        if self.tracks.about.get("kind") == "embedding":
            self.embedder = _embedder(settings, self.tracks, observe)
            self.probe = _probe(settings, self.tracks)
        elif settings.checkpoint or settings.probe:
            raise SslAudioError(f"features={settings.features} holds no embeddings of audio")
        self.acoustic = None
        if settings.acoustic is not None:
            self.acoustic = _acoustic(settings.acoustic, self.tracks)
        self.continuer, self.inductor = None, None
        if settings.run is not None:
            self.continuer = Continuer(settings.run, settings.model)
            available = {AUDIO, EMBEDDINGS} if self.embedder else set()
            if self.acoustic and self.acoustic.model:
                available.add(ACOUSTIC)
            self.inductor = _inductor(settings.run, available, self.continuer)
        ids = [*self.tracks.ids, *(self.continuer.ids if self.continuer else [])]
        self._known, self._matching = TrackIds(ids), threading.Lock()

    @property
    def models(self) -> list[str]:
        """Names of what can continue a playlist, the default first."""
        return [*([self.continuer.name] if self.continuer else []), SIMILARITY]

    def health(self) -> Health:
        """What is loaded."""
        return Health(
            status="ok", version=__version__, tracks=len(self.tracks), store=self.tracks.version,
            encoder=self.embedder is not None, tags=list(self.probe.tags_) if self.probe else [],
            acoustic=self.acoustic is not None, models=self.models,
            inductive=self.inductor.name if self.inductor else None,
        )  # fmt: skip

    def details(self, row: int) -> TrackDetails:
        """All that is known of a track."""
        return TrackDetails(
            **self.tracks.track(row).model_dump(),
            acoustic=self.acoustic.of_track(row) if self.acoustic else None,
            tags=self.tags(self.tracks.vector(row)),
        )

    def tags(self, vector: np.ndarray) -> list[Tag] | None:
        """Of an embedding, the most probable first; None without a probe."""
        return tags_of(self.probe, vector) if self.probe and np.isfinite(vector).all() else None

    def embed(self, path: Path, keep: bool = False) -> EmbeddedFile:
        """Embed a file; see `FileEmbedder`.

        Raises:
            Problem: the store has no embeddings.
            AudioError: the file cannot be used.
        """
        if self.embedder is None:
            raise Problem(409, "the store holds no embeddings, so that audio cannot be embedded")
        return self.embedder.embed(path, keep)

    def tag_file(self, path: Path) -> tuple[EmbeddedFile, list[Tag]]:
        """A file and its tags.

        Raises:
            Problem: there is no probe.
        """
        if self.probe is None:
            raise Problem(409, "no probe is loaded: start the service with probe=FOLDER")
        embedded = self.embed(path)
        return embedded, tags_of(self.probe, embedded.vector)

    def neighbours(self, query: NeighbourQuery, path: Path | None = None) -> list[Neighbour]:
        """The most similar tracks of a query; `path` is its file, if it has one.

        Raises:
            Problem: no such track, or a vector of another length.
        """
        tracks, exclude = self.tracks, list(query.exclude)
        if path is not None:
            vector = self.embed(path).vector
        elif query.id is not None:
            vector = tracks.vector(tracks.of(query.id))
            exclude.append(query.id)
        else:
            vector = np.array(query.vector, np.float32)
            if len(vector) != tracks.dimensions:
                raise Problem(422, f"vector: {tracks.dimensions} numbers, not {len(vector)}")
        return tracks.nearest(vector, query.k, query.prefix, exclude)

    def entries(self, path: Path) -> list[str]:
        """The ids of an M3U's entries, matched to the known ones as `complete` does.

        Raises:
            Problem: no playlist, one without entries, or one that is too long.
        """
        if path.stat().st_size > MAX_TEXT:
            raise Problem(413, f"more than {MAX_TEXT >> 20} MiB of playlist")
        try:
            with self._matching:  # the first match makes an index of the ids
                found = [track.id for track in read_m3u(path, known=self._known)]
        except SslAudioError as error:
            reason = str(error).removeprefix(f"{path}: ")
            raise Problem(422, f"file: {reason}") from error
        if not 0 < len(found) <= MAX_IDS:
            raise Problem(422, f"file: a playlist of {len(found)} tracks; 1 to {MAX_IDS}")
        return found

    def complete(self, query: CompletionQuery) -> Completion:
        """Continue a playlist.

        Raises:
            Problem: no such model, or none of the tracks is known.
        """
        model = query.model or self.models[0]
        if self.continuer is not None and model == self.continuer.name:
            return self.continuer.complete(query.ids, query.length, query.seed)
        if model == SIMILARITY:
            return by_similarity(self.tracks, query.ids, query.length)
        raise Problem(422, f"model={model!r}: one of {', '.join(self.models)}")

    def new_track(self, query: NewTrackQuery, path: Path) -> NewTrack:
        """All that can be said of a file that no playlist has.

        Raises:
            Problem, AudioError: see `embed`.
        """
        described = self.inductor is not None and AUDIO in self.inductor.features
        embedded = self.embed(path, keep=described)
        features = {EMBEDDINGS: embedded.vector}
        if embedded.blocks is not None:
            features[AUDIO] = _descriptors(embedded.blocks)
        acoustic = None
        if self.acoustic and self.acoustic.model:
            features[ACOUSTIC] = self.acoustic.model.features(embedded.vector[None])[0]
            acoustic = self.acoustic.named(features[ACOUSTIC])
        near = self.tracks.nearest(embedded.vector, max(query.k, SEEDS), query.prefix)
        inductive = None
        if self.inductor is not None:
            vector = self.inductor.vector(features)
            inductive = Inductive(model=self.inductor.name, vector=vector.tolist())
            playlist = self.inductor.around(vector, query.length)
        else:
            seeds = self.tracks.nearest(embedded.vector, SEEDS) if query.prefix else near[:SEEDS]
            playlist = self._from_seeds([one.id for one in seeds], query.length)
        return NewTrack(
            seconds=embedded.seconds, note=embedded.note, embedding=embedded.vector.tolist(),
            acoustic=acoustic, tags=self.tags(embedded.vector), neighbours=near[: query.k],
            inductive=inductive, playlist=playlist,
        )  # fmt: skip

    def _from_seeds(self, seeds: Sequence[str], length: int) -> Completion:
        """A playlist that begins with some tracks."""
        seeds = seeds[:length]
        if self.continuer is None or not self.continuer.knows(seeds):
            found = by_similarity(self.tracks, seeds, length - len(seeds))
        else:
            found = self.continuer.complete(seeds, length - len(seeds), seed=0)
        return found.model_copy(update={"ids": [*seeds, *found.ids], "unknown": []})


def _descriptors(blocks: list[np.ndarray]) -> np.ndarray:
    from ssl_audio.catalogue.descriptors import descriptors_of_blocks, normalised  # few need them

    return normalised(descriptors_of_blocks(blocks))


def _embedder(
    settings: ServeSettings, tracks: Tracks, observe: Callable[[int], None]
) -> FileEmbedder:
    folder = settings.checkpoint or Path(tracks.about["checkpoint"])
    encoder = load_encoder(folder)
    if encoder.weights_hash != tracks.about["model"]:
        raise SslAudioError(
            f"features={settings.features} was made with another encoder than {folder}: give "
            "checkpoint="
        )
    limits = Limits(settings.max_seconds, settings.decode_seconds)
    return FileEmbedder(encoder, tracks.about.get("hop"), limits, observe)


def _probe(settings: ServeSettings, tracks: Tracks) -> TagPredictor | None:
    """The probe that is given; else the one in the package, if it is for this store."""
    if settings.probe is not None:
        return _probe_of(settings, tracks, settings.probe)
    try:
        folder = shipped_probe(str(settings.checkpoint or tracks.about.get("checkpoint")))
        return _probe_of(settings, tracks, folder) if folder else None
    except SslAudioError as error:
        warn(f"no tags: {error}")
        return None


def _probe_of(settings: ServeSettings, tracks: Tracks, folder: Path) -> TagPredictor:
    """A probe, if it takes the embeddings of this store; an SslAudioError if not."""
    probe = load_predictor(folder)
    check_embeddings(settings.features, tracks.about, probe)
    return probe


def _acoustic(store: Path | Url, tracks: Tracks) -> Acoustic:
    path = fetched(store)
    values, present = read_aligned(path, tracks.ids)
    with local_folder(model_beside(store)) as folder:
        model = load_acoustic(folder) if folder.is_dir() else None
    if model is not None and model.about.get("encoder") != tracks.about.get("model"):
        raise SslAudioError(f"acoustic={store}: its model was fitted to another encoder")
    return Acoustic(values, present, feature_names(read_about(path), values.shape[1]), model)


def _inductor(run: Path, available: set[str], continuer: Continuer) -> Inductor | None:
    """The first model of a run that computes vectors of new tracks, if a file has its features."""
    try:
        return Inductor(run, available, continuer)
    except SslAudioError as error:
        warn(f"no vectors of new tracks: {error}")
        return None
