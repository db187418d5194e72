"""The vectors of tracks in the playlist transformer: ids, audio, artists and albums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Catalogue, codes_of
from ssl_audio.recommenders.data.vocabulary import SPECIALS, Vocabulary
from ssl_audio.recommenders.models.standardiser import Standardiser
from ssl_audio.settings.recommend import TransformerSettings

INITIAL_DEVIATION = 0.02  # standard deviation of initial weights
STATISTICS_TRACKS = 10_000  # tracks from which mean and deviation of audio embeddings are computed


@dataclass(frozen=True, eq=False)
class SideInformation:
    """Features of the catalogue's tracks besides the playlists; any may be missing.

    Attributes:
        audio: (catalogue, dimensions) embeddings of any float type; may be memory-mapped.
        has_audio: (catalogue,) bool, True where `audio` is available; None without `audio`.
        artists, albums: (catalogue,) int codes from 0; -1 unknown.
    """

    audio: np.ndarray | None = None
    has_audio: np.ndarray | None = None
    artists: np.ndarray | None = None
    albums: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        catalogue: Catalogue,
        audio: np.ndarray | None = None,
        has_audio: np.ndarray | None = None,
    ) -> SideInformation:
        """The artists and albums of a catalogue, and audio embeddings in its order."""
        return cls(audio, has_audio, _codes(catalogue.artists), _codes(catalogue.albums))

    def available(self, catalogue: int) -> np.ndarray:
        """(catalogue,) bool, True for tracks with any side information."""
        available = np.zeros(catalogue, bool)
        if self.has_audio is not None:
            available |= self.has_audio
        for column in (self.artists, self.albums):
            if column is not None:
                available |= column >= 0
        return available


def _codes(names: Sequence[str]) -> np.ndarray | None:
    """(tracks,) int32 codes of names, -1 for ""; None if all are ""."""
    codes, values = codes_of(names)
    return codes if values else None


class TrackEmbedding(nn.Module):
    """Vectors of tokens: id embedding + projected audio embedding + artist + album.

    In training, the id is dropped with probability `id_dropout` where there is side information, so
    that tracks without an id embedding are read and predicted by the rest. Id embeddings start
    small and random; artists and albums at zero, so that names unseen in training add nothing.

    An audio embedding is standardised in each dimension over the training tracks and divided by the
    root of its width w: its norm is about 1, and a step of Adam, which moves every weight by about
    the learning rate, moves a projected value by at most sqrt(w) of it instead of w. The weights
    start with the deviation of the ids' instead of 1 / sqrt(w) of it, so that ids and projected
    audio start equally long.

    `<start>`, `<unk>` and `<eop>` have an id embedding only.

    Args:
        vocabulary: of training, extended by the tracks with side information only.
    """

    has_side: Tensor

    def __init__(
        self, vocabulary: Vocabulary, side: SideInformation, settings: TransformerSettings
    ) -> None:
        super().__init__()
        d = settings.dimensions
        self.size, self.id_dropout = vocabulary.size, settings.id_dropout
        self.vocabulary, self.side = vocabulary, side
        rows = vocabulary.rows
        self.ids = nn.Embedding(vocabulary.size, d, sparse=True)
        nn.init.normal_(self.ids.weight, std=INITIAL_DEVIATION)
        self.groups = nn.ModuleDict()
        for name in ("artists", "albums"):
            column = getattr(side, name)
            if column is not None:
                codes = np.where(rows < 0, 0, column[rows] + 1)
                self.register_buffer(f"{name}_of", torch.from_numpy(codes).int(), persistent=False)
                table = nn.Embedding(int(column.max()) + 2, d, padding_idx=0, sparse=True)
                nn.init.zeros_(table.weight)
                self.groups[name] = table
        has_side = side.available(vocabulary.catalogue)[rows] & (rows >= 0)
        self.register_buffer("has_side", torch.from_numpy(has_side), persistent=False)
        if side.audio is not None:
            width = side.audio.shape[1]
            self.standardise = Standardiser(width)
            self.standardise.fit(self._training_audio())
            self.audio_projection = nn.Linear(width, d, bias=False)
            nn.init.normal_(self.audio_projection.weight, std=INITIAL_DEVIATION)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (...) to vectors (..., dimensions)."""
        flat = tokens.reshape(-1)
        kept = flat < self.size
        if self.training and self.id_dropout > 0:
            dropped = torch.rand(flat.shape, device=flat.device) < self.id_dropout
            kept = kept & ~(dropped & self.has_side[flat])
        vectors = self.ids(flat.clamp(max=self.size - 1)) * kept[:, None]
        for name, table in self.groups.items():
            vectors = vectors + table(getattr(self, f"{name}_of")[flat])
        if self.side.audio is not None:
            vectors = vectors + self.audio_projection(self._audio(flat))
        return vectors.view(*tokens.shape, vectors.shape[1])

    def _audio(self, flat: Tensor) -> Tensor:
        """(n, width) standardised audio embeddings over sqrt(width), zero where there is none."""
        rows = self.vocabulary.rows[flat.cpu().numpy()]
        assert self.side.has_audio is not None
        has_audio = (rows >= 0) & self.side.has_audio[rows]
        raw = torch.from_numpy(self._raw_audio(rows[has_audio])).to(flat.device)
        audio = torch.zeros(len(rows), raw.shape[1], device=flat.device)
        audio[torch.from_numpy(has_audio).to(flat.device)] = self.standardise(raw)
        return audio / math.sqrt(raw.shape[1])

    def _raw_audio(self, rows: np.ndarray) -> np.ndarray:
        assert self.side.audio is not None
        raw = np.asarray(self.side.audio[rows], np.float32)
        bad = ~np.isfinite(raw).all(1)
        if bad.any():
            raise SslAudioError(
                f"the audio embedding of track {rows[bad][0]} is not finite: remove it from the "
                "store"
            )
        return raw

    def _training_audio(self) -> np.ndarray:
        """(at most `STATISTICS_TRACKS`, width) audio embeddings of training tracks."""
        rows = self.vocabulary.rows[SPECIALS : self.size]
        assert self.side.has_audio is not None
        rows = rows[self.side.has_audio[rows]]
        if not len(rows):
            raise SslAudioError("no training track has an audio embedding: leave audio out")
        return self._raw_audio(rows[:: -(-len(rows) // STATISTICS_TRACKS)])
