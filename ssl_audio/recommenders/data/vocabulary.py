"""Playlists as rows of tokens, for a model that reads them as a language.

Three tokens stand before the tracks: `<start>` opens every playlist, `<unk>` is a track that the
vocabulary does not have, `<eop>` is the end of a playlist and fills what is left of the row. The
tracks follow in the order of the catalogue (the causal playlist transformer "trecs", section Data).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists

START, UNKNOWN, END = 0, 1, 2
SPECIALS = 3  # tokens before the first track


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Which token is which track.

    Attributes:
        rows: (tokens,) int32 rows of the catalogue, -1 for the three that are no track. Those from
            `size` on have no embedding of their own: they are known by their audio alone.
        size: tokens that training has seen, `<start>`, `<unk>` and `<eop>` included.
        catalogue: tracks of the catalogue.
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

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Tokens of catalogue rows, in the same shape; a row below 0 is `<unk>`."""
        return np.where(rows < 0, np.int32(UNKNOWN), self.tokens[rows])

    def extended(self, tracks: np.ndarray) -> Vocabulary:
        """This vocabulary and, after it, those tracks of a mask (catalogue,) that it lacks."""
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
            playlists: of rows of the catalogue; a row below 0 is `<unk>`.
            context: tracks in a row.
            where: which part of a longer playlist: its first tracks, its last ones, or as many from
                anywhere, drawn from a generator, so that training reads all of a long playlist.

        Returns:
            (playlists, context + 1) int32: `<start>`, the tracks, `<eop>` up to the end.
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

    def decode(self, tokens: np.ndarray) -> list[list[int]]:
        """Rows of the catalogue in each row of tokens, up to its `<eop>`; -1 for `<unk>`."""
        ended = np.cumsum(tokens == END, axis=1) > 0
        told = ~ended & (tokens != START)
        return [self.rows[row[keep]].tolist() for row, keep in zip(tokens, told, strict=True)]

    def unknown_share(self, playlists: Playlists) -> float:
        """Positions whose track has no token, 0 to 1."""
        if not len(playlists.tracks):
            return 0.0
        return float((self.of(playlists.tracks) == UNKNOWN).mean())


def vocabulary_of(train: Playlists, catalogue: int, least: int = 1) -> Vocabulary:
    """The vocabulary of the training playlists.

    Args:
        train: the training split.
        catalogue: tracks of the catalogue.
        least: times that a track must appear.

    Raises:
        SslAudioError: no track appears so often.
    """
    counts = np.bincount(train.tracks, minlength=catalogue)
    found = np.flatnonzero(counts >= max(least, 1)).astype(np.int32)
    if not len(found):
        raise SslAudioError(
            f"no track of {len(train)} training playlists appears {least} times: lower least="
        )
    rows = np.concatenate([np.full(SPECIALS, -1, np.int32), found])
    return Vocabulary(rows, len(rows), catalogue)


def unknown_rate(vocabulary: Vocabulary, train: Playlists, validation: Playlists) -> float:
    """Share of training tracks to turn into `<unk>`, so that training meets as many as validation.

    Training has some already where the vocabulary leaves out its rare tracks: with shares t and v,
    t + (1 - t) rate = v.
    """
    seen, expected = vocabulary.unknown_share(train), vocabulary.unknown_share(validation)
    return max(0.0, (expected - seen) / (1 - seen)) if seen < 1 else 0.0
