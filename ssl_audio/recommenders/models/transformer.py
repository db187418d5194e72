"""A causal transformer over playlists that also knows its tracks by their sound.

The architecture of "trecs": 6 pre-norm layers of 8 heads and 128 dimensions, a ReLU network of 256,
dropout 0.1, learnt positions, an output head that is the embeddings. A track's vector is its id
embedding plus a projection of its audio embedding plus its artist's and album's; in training the id
is dropped at random, so that what remains must do, and a track that no playlist has is read and
recommended by it. The same vector is what is read and what is predicted.

Nothing in a training step is as large as the vocabulary: the tables' gradients are sparse, and
audio embeddings are looked up for the tokens of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssl_audio.io.errors import CheckpointError, SslAudioError
from ssl_audio.models.weight_decay import parameter_groups
from ssl_audio.recommenders.data.collection import Catalogue, Playlists, codes_of
from ssl_audio.recommenders.data.vocabulary import END, SPECIALS, UNKNOWN, Vocabulary
from ssl_audio.recommenders.models.model_folder import load_model, save_model
from ssl_audio.recommenders.models.sampled_softmax import sampled_softmax_loss
from ssl_audio.recommenders.models.transformer_batches import TransformerBatch
from ssl_audio.settings.recommend import TransformerSettings
from ssl_audio.settings.tree import build, plain

KIND, COLUMN = "transformer", "catalogue."
SCALE = 0.02  # standard deviation of what is learnt from nothing
PLAYLISTS = 256  # read at a time outside training
ROWS = 16_384  # tracks whose vectors are made at a time outside training
STATISTICS = 10_000  # tracks that the audio embeddings' mean and deviation are taken from


@dataclass(frozen=True, eq=False)
class SideInformation:
    """What is known of the catalogue's tracks besides the playlists; any part may be missing.

    Attributes:
        audio: (catalogue, dimensions) embeddings of any float type; may be memory-mapped.
        heard: (catalogue,) bool, which tracks have one; None: all.
        artists, albums: (catalogue,) int, equal for equal names, from 0 up; -1 unknown.
    """

    audio: np.ndarray | None = None
    heard: np.ndarray | None = None
    artists: np.ndarray | None = None
    albums: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.audio is None:
            object.__setattr__(self, "heard", None)
        elif self.heard is None:
            object.__setattr__(self, "heard", np.ones(len(self.audio), bool))

    @classmethod
    def of(
        cls,
        catalogue: Catalogue,
        audio: np.ndarray | None = None,
        heard: np.ndarray | None = None,
    ) -> SideInformation:
        """The artists and albums of a catalogue, and audio embeddings in its order."""
        return cls(audio, heard, _codes(catalogue.artists), _codes(catalogue.albums))

    def check(self, catalogue: int) -> None:
        """Refuse columns of another catalogue.

        Raises:
            SslAudioError: one has another number of tracks.
        """
        for name in ("audio", "heard", "artists", "albums"):
            column = getattr(self, name)
            if column is not None and len(column) != catalogue:
                raise SslAudioError(
                    f"{name} of {len(column)} tracks for a catalogue of {catalogue}: "
                    "give one row a track, in the catalogue's order"
                )

    def known(self, catalogue: int) -> np.ndarray:
        """(catalogue,) bool, the tracks of which anything is known."""
        known = np.zeros(catalogue, bool)
        if self.heard is not None:
            known |= self.heard
        for column in (self.artists, self.albums):
            if column is not None:
                known |= column >= 0
        return known


def _codes(names: Sequence[str]) -> np.ndarray | None:
    """(tracks,) int32 numbers of the names, -1 for ""; None where all are ""."""
    codes, values = codes_of(names)
    return codes if values else None


class SparseAdamW(torch.optim.SparseAdam):
    """Adam of the rows that a step touches, with their decoupled weight decay.

    A row that is not touched neither moves nor decays, since either would cost a step as much as
    the table is large. A row therefore decays once for each step that reads it, draws it or
    predicts it, instead of once a step.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], learning_rate: float, weight_decay: float
    ) -> None:
        super().__init__(list(params), lr=learning_rate)
        self.weight_decay = weight_decay

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step; the tables' gradients are sparse."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    table.grad = table.grad.coalesce()
                    rows = table.grad.indices()[0]
                    table[rows] = table[rows] * (1 - group["lr"] * self.weight_decay)
        return super().step(closure)


class Block(nn.Module):
    """One pre-norm layer: causal self-attention, then the ReLU network, each added to its input."""

    def __init__(self, settings: TransformerSettings) -> None:
        super().__init__()
        d = settings.dimensions
        self.heads, self.dropout = settings.heads, settings.dropout
        self.norm_attention, self.norm_network = nn.LayerNorm(d), nn.LayerNorm(d)
        self.queries_keys_values = nn.Linear(d, 3 * d)
        self.mix = nn.Linear(d, d)
        self.network = nn.Sequential(
            nn.Linear(d, settings.feed_forward), nn.ReLU(), nn.Dropout(settings.dropout),
            nn.Linear(settings.feed_forward, d), nn.Dropout(settings.dropout),
        )  # fmt: skip
        self.drop = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(playlists, length, dimensions) to the same."""
        x = x + self.drop(self._attend(self.norm_attention(x)))
        return x + self.network(self.norm_network(x))

    def _attend(self, x: Tensor) -> Tensor:
        batch, length, d = x.shape
        parts = self.queries_keys_values(x).view(batch, length, 3, self.heads, d // self.heads)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(
            queries, keys, values, is_causal=True, dropout_p=self.dropout if self.training else 0.0
        )
        return self.mix(mixed.transpose(1, 2).reshape(batch, length, d))


class Tracks(nn.Module):
    """The vectors of tokens, composed of what is known of each.

    The vector of an id starts small and random; of an artist or album at zero, so that one that no
    training playlist has adds nothing. `<start>`, `<unk>` and `<eop>` have an id alone.

    Args:
        readable: the vocabulary and, after it, the tracks that only their side information tells.
        side: of the catalogue.
    """

    known: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(
        self, readable: Vocabulary, side: SideInformation, settings: TransformerSettings
    ) -> None:
        super().__init__()
        d = settings.dimensions
        self.size, self.id_dropout = readable.size, settings.id_dropout
        self.readable, self.side = readable, side
        self.ids = nn.Embedding(readable.size, d, sparse=True)
        nn.init.normal_(self.ids.weight, std=SCALE)
        self.groups = nn.ModuleDict()
        for name in ("artists", "albums"):
            column = getattr(side, name)
            if column is not None:
                codes = np.where(readable.rows < 0, 0, column[readable.rows] + 1)
                self.register_buffer(f"{name}_of", torch.from_numpy(codes).int(), persistent=False)
                table = nn.Embedding(int(column.max()) + 2, d, padding_idx=0, sparse=True)
                nn.init.zeros_(table.weight)
                self.groups[name] = table
        known = side.known(readable.catalogue)[readable.rows] & (readable.rows >= 0)
        self.register_buffer("known", torch.from_numpy(known), persistent=False)
        if side.audio is not None:
            width = side.audio.shape[1]
            mean, deviation = self._statistics()
            self.register_buffer("mean", mean)
            self.register_buffer("deviation", deviation)
            self.listen = nn.Linear(width, d, bias=False)
            nn.init.normal_(self.listen.weight, std=SCALE / math.sqrt(width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (...) to vectors (..., dimensions)."""
        flat = tokens.reshape(-1)
        kept = flat < self.size
        if self.training and self.id_dropout > 0:
            dropped = torch.rand(flat.shape, device=flat.device) < self.id_dropout
            kept = kept & ~(dropped & self.known[flat])
        vectors = self.ids(flat.clamp(max=self.size - 1)) * kept[:, None]
        for name, table in self.groups.items():
            vectors = vectors + table(getattr(self, f"{name}_of")[flat])
        if self.side.audio is not None:
            vectors = vectors + self.listen(self._audio(flat))
        return vectors.view(*tokens.shape, vectors.shape[1])

    def _audio(self, flat: Tensor) -> Tensor:
        """(n, width) standardised audio embeddings, zero for a token without one."""
        rows = self.readable.rows[flat.cpu().numpy()]
        assert self.side.heard is not None
        heard = (rows >= 0) & self.side.heard[rows]
        sound = torch.zeros(len(rows), len(self.mean), device=flat.device)
        raw = self._raw(rows[heard]).to(flat.device)
        sound[torch.from_numpy(heard).to(flat.device)] = (raw - self.mean) / self.deviation
        return sound

    def _raw(self, rows: np.ndarray) -> Tensor:
        assert self.side.audio is not None
        raw = np.asarray(self.side.audio[rows], np.float32)
        bad = ~np.isfinite(raw).all(1)
        if bad.any():
            raise SslAudioError(
                f"the audio embedding of track {rows[bad][0]} is not finite: mark it as not heard"
            )
        return torch.from_numpy(raw)

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each dimension over training tracks."""
        rows = self.readable.rows[SPECIALS : self.size]
        assert self.side.heard is not None
        rows = rows[self.side.heard[rows]]
        if not len(rows):
            raise SslAudioError("no training track has an audio embedding: leave audio out")
        raw = self._raw(rows[:: -(-len(rows) // STATISTICS)]).double()
        deviation = raw.std(0, unbiased=False)
        deviation[deviation < 1e-6] = 1.0  # a constant dimension is zero, not noise
        return raw.mean(0).float(), deviation.float()


class PlaylistTransformer(nn.Module):
    """Predicts a playlist's next track from those before it.

    Args:
        vocabulary: of the training playlists.
        settings: sizes and training.
        side: what else is known of the catalogue's tracks; not saved with the model, but artists
            and albums are.
        seed: of the initial weights.

    Raises:
        SslAudioError: side information of another catalogue.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        settings: TransformerSettings | None = None,
        side: SideInformation | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.settings = settings = settings or TransformerSettings()
        self.vocabulary = vocabulary
        side = side or SideInformation()
        side.check(vocabulary.catalogue)
        self.readable = vocabulary.extended(side.known(vocabulary.catalogue))
        d = settings.dimensions
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.tracks = Tracks(self.readable, side, settings)
            self.positions = nn.Parameter(SCALE * torch.randn(settings.context + 1, d))
            self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
            self.norm = nn.LayerNorm(d)
        self.drop = nn.Dropout(settings.dropout)

    def hidden(self, tokens: Tensor) -> Tensor:
        """States after each token.

        Args:
            tokens: (playlists, length up to context + 1), the first `<start>`.

        Returns:
            (playlists, length, dimensions): position k has read the tokens up to k alone.
        """
        return self._hidden(self.tracks(tokens))

    def _hidden(self, vectors: Tensor) -> Tensor:
        x = self.drop(vectors + self.positions[: vectors.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def loss(self, batch: TransformerBatch) -> dict[str, Tensor]:
        """Sampled softmax cross-entropy of each next token, in nats.

        A position counts up to the playlist's first `<eop>`, which is predicted; what fills the row
        after it is not.

        Returns:
            `total`, over all positions that count, and `tracks`, over those that are tracks.
        """
        tokens = batch.tokens
        vectors = self.tracks(tokens)
        targets = tokens[:, 1:]
        counted = tokens[:, :-1] != END
        losses = sampled_softmax_loss(
            self._hidden(vectors[:, :-1])[counted],
            targets[counted],
            vectors[:, 1:][counted],
            batch.negatives,
            self.tracks(batch.negatives),
            self.vocabulary.size - 1,
            self.settings.corrected,
        )
        tracks = losses.detach()[targets[counted] >= SPECIALS]
        return {"total": losses.mean(), "tracks": tracks.mean()}

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """AdamW of what every step moves, and its sparse form for the tables."""
        tables = [*self.tracks.ids.parameters(), *self.tracks.groups.parameters()]
        sparse = {id(table) for table in tables}
        dense = [p for p in self.parameters() if id(p) not in sparse]
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        return [
            torch.optim.AdamW(parameter_groups(dense, decay), lr=rate),
            SparseAdamW(tables, rate, decay),
        ]

    @property
    def recommendable(self) -> np.ndarray:
        """Catalogue rows of the tracks that have a vector, ascending; others are `<unk>`."""
        return np.sort(self.readable.rows[SPECIALS:])

    def output_vectors(self, rows: np.ndarray) -> Tensor:
        """(n, dimensions) composed vectors of catalogue rows, cold ones too.

        That of `<unk>` for a track of which nothing is known.
        """
        tokens = torch.from_numpy(self.readable.of(np.asarray(rows))).long()
        device = self.positions.device
        with self._reading():
            made = [self.tracks(part.to(device)) for part in tokens.split(ROWS)]
        return torch.cat(made) if made else torch.zeros(0, self.settings.dimensions, device=device)

    def logits(self, hidden: Tensor, rows: np.ndarray | None = None) -> Tensor:
        """Logits of catalogue rows as the next track.

        Args:
            hidden: (n, dimensions) last states.
            rows: (tracks,); None: the whole catalogue.

        Returns:
            (n, tracks).
        """
        rows = np.arange(self.vocabulary.catalogue) if rows is None else rows
        return hidden @ self.output_vectors(rows).T

    def last_hidden(self, seeds: Playlists) -> Tensor:
        """(playlists, dimensions) states after the last `context` tracks of each playlist."""
        context = self.settings.context
        device = self.positions.device
        found = []
        with self._reading():
            for start in range(0, len(seeds), PLAYLISTS):
                part = seeds.take(np.arange(start, min(start + PLAYLISTS, len(seeds))))
                last = torch.from_numpy(np.minimum(part.lengths, context)).to(device)
                longest = int(last.max())
                tokens = torch.from_numpy(self.readable.encode(part, longest, "last")).long()
                states = self.hidden(tokens.to(device))
                found.append(states[torch.arange(len(part), device=device), last])
        return torch.cat(found) if found else torch.zeros(0, self.settings.dimensions)

    def scores(self, seeds: Playlists, candidates: Playlists) -> np.ndarray:
        """Logits of candidate tracks as the next track after the seeds.

        Comparable within a playlist: a log-probability up to a constant of the playlist. A track of
        which nothing is known has its equal share of `<unk>`.

        Args:
            seeds: what each playlist begins with.
            candidates: as many lists of tracks to score.

        Returns:
            (positions of all candidates,) float32.

        Raises:
            ValueError: as many lists there are not.
        """
        if len(seeds) != len(candidates):
            raise ValueError(f"{len(seeds)} seeds for {len(candidates)} lists of candidates")
        rows, which = np.unique(candidates.tracks, return_inverse=True)
        vectors, states = self.output_vectors(rows), self.last_hidden(seeds)
        unknown = self.readable.of(rows) == UNKNOWN
        nameless = max(1, int((self.readable.tokens == UNKNOWN).sum()))
        share = torch.from_numpy(np.where(unknown, -math.log(nameless), 0.0)).to(vectors)
        owners, places = torch.from_numpy(candidates.owners).long(), torch.from_numpy(which)
        scores = np.empty(len(places), np.float32)
        for start in range(0, len(places), ROWS):
            part = slice(start, start + ROWS)
            own, place = owners[part].to(vectors.device), places[part].to(vectors.device)
            found = (states[own] * vectors[place]).sum(-1) + share[place]
            scores[part] = found.cpu().numpy()
        return scores

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Without dropout and gradients."""
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.train(training)

    def save(self, folder: str | Path) -> None:
        """Write weights, vocabulary, artists and albums, in one step; audio stays where it is."""
        side = self.tracks.side
        columns = {"rows": self.vocabulary.rows, "artists": side.artists, "albums": side.albums}
        kept = {COLUMN + name: torch.from_numpy(column)
                for name, column in columns.items() if column is not None}  # fmt: skip
        config = {
            "settings": plain(self.settings),
            "catalogue": self.vocabulary.catalogue,
            "audio_dimensions": None if side.audio is None else side.audio.shape[1],
        }
        save_model(Path(folder), KIND, config, {**self.state_dict(), **kept})


def load_transformer(
    folder: str | Path, audio: np.ndarray | None = None, heard: np.ndarray | None = None
) -> PlaylistTransformer:
    """A saved model, in evaluation mode.

    Args:
        folder: that `save` wrote.
        audio, heard: of the catalogue it was trained with (see `SideInformation`).

    Raises:
        CheckpointError: no such folder, damaged, or audio embeddings of another width than in
            training.
    """
    given = None if audio is None else audio.shape[1]

    def make(config: dict[str, Any], tensors: dict[str, Tensor]) -> PlaylistTransformer:
        width = config["audio_dimensions"]
        if given != width:
            raise CheckpointError(
                f"{folder}: trained with audio embeddings of {width or 'no'} dimensions, "
                f"given {given or 'none'}: give the same as in training"
            )
        names = [name for name in tensors if name.startswith(COLUMN)]
        columns = {name.removeprefix(COLUMN): tensors.pop(name).numpy() for name in names}
        rows = columns.pop("rows")
        vocabulary = Vocabulary(rows, len(rows), config["catalogue"])
        settings = build(TransformerSettings, config["settings"])
        side = SideInformation(audio, heard, **columns)
        model = PlaylistTransformer(vocabulary, settings, side)
        model.load_state_dict(tensors)
        return model.eval()

    return load_model(Path(folder), KIND, make)
