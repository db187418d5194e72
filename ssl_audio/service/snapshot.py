"""What the service answers from: loaded together, never changed, and replaced as a whole."""

from __future__ import annotations

import secrets

import numpy as np

from ssl_audio.io.version import __version__
from ssl_audio.recommenders.continuation import open_model
from ssl_audio.service.playlists import SIMILARITY, Continuer, by_similarity
from ssl_audio.service.problems import Problem
from ssl_audio.service.schemas import (
    Completion,
    CompletionQuery,
    Health,
    Neighbour,
    NeighbourQuery,
    TrackDetails,
)
from ssl_audio.service.tracks import Tracks
from ssl_audio.settings.serve import ServeSettings


class Snapshot:
    """A version of the store, of the encoder and of the models.

    Args:
        settings: name the files.

    Raises:
        SslAudioError: one of them cannot be read, or they do not belong together.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self.version = secrets.token_hex(8)
        self.tracks = Tracks(settings.features)
        self.continuer = None
        if settings.run is not None:
            self.continuer = Continuer(open_model(settings.run, settings.model))

    @property
    def models(self) -> list[str]:
        """Names of what can continue a playlist, the default first."""
        return [*([self.continuer.name] if self.continuer else []), SIMILARITY]

    def health(self) -> Health:
        """What is loaded."""
        return Health(
            status="ok", version=__version__, tracks=len(self.tracks), store=self.version,
            encoder=False, tags=[], acoustic=False, models=self.models,
        )  # fmt: skip

    def details(self, row: int) -> TrackDetails:
        """All that is known of a track."""
        return TrackDetails(**self.tracks.track(row).model_dump())

    def neighbours(self, query: NeighbourQuery) -> list[Neighbour]:
        """The most similar tracks of a query by id or vector.

        Raises:
            Problem: no such track, or a vector of another length.
        """
        tracks = self.tracks
        exclude = [*query.exclude, *([] if query.id is None else [query.id])]
        if query.id is not None:
            vector = tracks.vector(tracks.of(query.id))
        else:
            vector = np.array(query.vector, np.float32)
            if len(vector) != tracks.dimensions:
                raise Problem(422, f"vector: {tracks.dimensions} numbers, not {len(vector)}")
        return tracks.nearest(vector, query.k, query.prefix, exclude)

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
