"""Playlists as rows of tokens, for the transformer.

Three tokens precede the tracks: `<start>` begins every playlist, `<unk>` is a track without a
token, `<eop>` is the end of a playlist and pads its row. The tracks follow in the order of the
catalogue (the causal playlist transformer "trecs", section Data).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ssl_audio.recommenders.data.collection import Playlists

START, UNKNOWN, END = 0, 1, 2
SPECIALS = 3  # tokens before the first track


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Tokens of the tracks.

    Attributes:
        rows: (tokens,) int32 rows of the catalogue, -1 for the three special tokens. Tokens from
            `size` on have no id embedding: they are represented by their audio alone.
        size: number of tokens seen in training, including the special ones.
        catalogue: number of tracks in the catalogue.
        tokens: (catalogue,) int32, `<unk>` for a track without a token.
    """

    rows: np.ndarray
    size: int
    catalogue: int
    tokens: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        tokens = np.full(self.catalogue, UNKNOWN, np.int32)
        tokens[self.rows[SPECIALS:]] = np.arange(SPECIALS, len(self.rows), dtype=np.int32)
        object.__setattr__(self, "tokens", tokens)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Tokens of catalogue rows, in the same shape; `<unk>` for negative rows."""
        return np.where(rows < 0, np.int32(UNKNOWN), self.tokens[rows])

    def extended(self, tracks: np.ndarray) -> Vocabulary:
        """This vocabulary with the tracks of a mask (catalogue,) that it lacks appended."""
        more = np.flatnonzero(tracks & (self.tokens == UNKNOWN)).astype(np.int32)
        return Vocabulary(np.concatenate([self.rows, more]), self.size, self.catalogue)

    def encode(
        self,
        playlists: Playlists,
        context: int = 50,
        where: np.random.Generator | Literal["first", "last"] = "first",
    ) -> np.ndarray:
        """Playlists as rows of tokens.

        Args:
            playlists: rows of the catalogue; negative ones are `<unk>`.
            context: tracks in a row.
            where: part of longer playlists: their first or last tracks, or a random window.

        Returns:
            (playlists, context + 1) int32: `<start>`, the tracks, padded with `<eop>`.
        """
        spare = np.maximum(playlists.lengths - context, 0)
        if isinstance(where, np.random.Generator):
            skipped = where.integers(0, spare + 1)
        else:
            skipped = spare if where == "last" else np.zeros_like(spare)
        places = np.arange(context)
        filled = places < (playlists.lengths - spare)[:, None]
        positions = (playlists.offsets[:-1] + skipped)[:, None] + places
        tokens = np.full((len(playlists), context + 1), END, np.int32)
        tokens[:, 0] = START
        tokens[:, 1:][filled] = self.of(playlists.tracks[positions[filled]])
        return tokens

    def unknown_share(self, playlists: Playlists) -> float:
        """Share of the positions whose track has no token, 0 to 1."""
        if not len(playlists.tracks):
            return 0.0
        return float((self.of(playlists.tracks) == UNKNOWN).mean())


def vocabulary_of(train: Playlists, catalogue: int) -> Vocabulary:
    """The vocabulary of the tracks in training playlists, of a catalogue of so many tracks."""
    found = np.flatnonzero(np.bincount(train.tracks, minlength=catalogue)).astype(np.int32)
    rows = np.concatenate([np.full(SPECIALS, -1, np.int32), found])
    return Vocabulary(rows, len(rows), catalogue)
