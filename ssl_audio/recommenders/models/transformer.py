"""A causal transformer over playlists that also uses the audio of its tracks.

The architecture is that of "trecs": 6 pre-norm layers of 8 heads and 128 dimensions, ReLU networks
of width 256, dropout 0.1, learnt positions, and an output head tied to the token embeddings. Here a
token embedding is the sum of an id embedding and projected side information (`track_embedding.py`),
so that tracks outside the training playlists are read and recommended, too.

With sampled negatives, no tensor of a training step is as large as the vocabulary: the tables have
sparse gradients, and audio embeddings are looked up for the tokens of the batch.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssl_audio.io.errors import CheckpointError
from ssl_audio.models.weight_decay import parameter_groups
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.vocabulary import END, SPECIALS, START, UNKNOWN, Vocabulary
from ssl_audio.recommenders.models.calibrated_bce import calibrated_bce_loss
from ssl_audio.recommenders.models.model_folder import load_model, save_model
from ssl_audio.recommenders.models.sampled_softmax import sampled_softmax_loss
from ssl_audio.recommenders.models.sparse_adamw import SparseAdamW
from ssl_audio.recommenders.models.track_embedding import (
    INITIAL_DEVIATION,
    SideInformation,
    TrackEmbedding,
)
from ssl_audio.recommenders.models.transformer_batches import MAX_FULL_SOFTMAX, TransformerBatch
from ssl_audio.settings.recommend import TransformerSettings
from ssl_audio.settings.tree import build, plain

KIND = "transformer"
PLAYLISTS_AT_ONCE = 256  # read in one forward pass outside training
ROWS_AT_ONCE = 16_384  # track vectors computed at once outside training


class Past:
    """Keys and values of the positions that a layer has read, each (playlists, heads, n, d)."""

    keys: Tensor | None = None
    values: Tensor

    def grow(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Those of all positions, with some more."""
        if self.keys is not None:
            keys, values = torch.cat([self.keys, keys], 2), torch.cat([self.values, values], 2)
        self.keys, self.values = keys, values
        return keys, values


class Block(nn.Module):
    """One pre-norm layer: causal self-attention, then the ReLU network, each a residual branch."""

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

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """(playlists, length, dimensions) to the same shape; after a past, the length is 1."""
        x = x + self.drop(self._attend(self.norm_attention(x), past))
        return x + self.network(self.norm_network(x))

    def _attend(self, x: Tensor, past: Past | None) -> Tensor:
        batch, length, d = x.shape
        parts = self.queries_keys_values(x).view(batch, length, 3, self.heads, d // self.heads)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        if past is not None:
            keys, values = past.grow(keys, values)
        mixed = nn.functional.scaled_dot_product_attention(
            queries, keys, values, is_causal=length > 1,  # one position attends to all before it
            dropout_p=self.dropout if self.training else 0.0,
        )  # fmt: skip
        return self.mix(mixed.transpose(1, 2).reshape(batch, length, d))


class PlaylistTransformer(nn.Module):
    """Predicts the next track of a playlist from those before it.

    `vocabulary` is that of training; `extended_vocabulary` also has tokens for the tracks that have
    side information only.

    Args:
        side: features of the catalogue's tracks. Artists and albums are saved with the model, audio
            is not.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        settings: TransformerSettings,
        side: SideInformation | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.settings, self.vocabulary = settings, vocabulary
        side = side or SideInformation()
        self.extended_vocabulary = vocabulary.extended(side.available(vocabulary.catalogue))
        d = settings.dimensions
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.tracks = TrackEmbedding(self.extended_vocabulary, side, settings)
            self.positions = nn.Parameter(INITIAL_DEVIATION * torch.randn(settings.context + 1, d))
            self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
            self.norm = nn.LayerNorm(d)
        self.drop = nn.Dropout(settings.dropout)

    def hidden(self, tokens: Tensor) -> Tensor:
        """(playlists, length, dimensions) states; the state at k depends on the tokens up to k.

        `tokens` is (playlists, length up to context + 1), the first `<start>`.
        """
        return self._hidden(self.tracks(tokens))

    def _hidden(self, vectors: Tensor, first: int = 0, past: Sequence[Past] = ()) -> Tensor:
        """States of the positions from `first` on; `past` has those before, by layer."""
        x = self.drop(vectors + self.positions[first : first + vectors.shape[1]])
        for k, block in enumerate(self.blocks):
            x = block(x, past[k] if past else None)
        return self.norm(x)

    def loss(self, batch: TransformerBatch) -> dict[str, Tensor]:
        """Softmax or calibrated binary cross-entropy of each next token, in nats.

        Positions up to and including the prediction of a playlist's first `<eop>` count.

        Returns:
            `total`, the mean over these positions, and `tracks`, over those that predict tracks.
        """
        tokens = batch.tokens
        vectors = self.tracks(tokens)
        counted = tokens[:, :-1] != END
        states, targets = self._hidden(vectors[:, :-1])[counted], tokens[:, 1:][counted]
        negatives, candidates = batch.negatives, self.vocabulary.size - 1
        if self.settings.calibration is not None:
            negatives = self._predicted_tokens() if negatives is None else negatives
            losses = calibrated_bce_loss(
                states, targets, vectors[:, 1:][counted], negatives, self.tracks(negatives),
                candidates, self.settings.calibration,
            )  # fmt: skip
        elif negatives is None:
            logits = states @ self.tracks(self._predicted_tokens()).T
            losses = nn.functional.cross_entropy(logits.float(), targets - 1, reduction="none")
        else:
            losses = sampled_softmax_loss(
                states, targets, vectors[:, 1:][counted], negatives, self.tracks(negatives),
                candidates, self.settings.corrected,
            )  # fmt: skip
        tracks = losses.detach()[targets >= SPECIALS]
        return {"total": losses.mean(), "tracks": tracks.mean()}

    def _predicted_tokens(self) -> Tensor:
        """All tokens of training but `<start>`, which nothing predicts."""
        return torch.arange(1, self.vocabulary.size, device=self.positions.device)

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """AdamW, and SparseAdamW of the embedding tables."""
        tables = [*self.tracks.ids.parameters(), *self.tracks.groups.parameters()]
        sparse = {id(table) for table in tables}
        dense = [p for p in self.parameters() if id(p) not in sparse]
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        return [
            torch.optim.AdamW(parameter_groups(dense, decay), lr=rate),
            SparseAdamW(tables, rate, decay),
        ]

    # --- scoring, in evaluation mode -----------------------------------------------------------

    @property
    def recommendable(self) -> np.ndarray:
        """Catalogue rows of the tracks that have a vector, ascending; others are `<unk>`."""
        return np.sort(self.extended_vocabulary.rows[SPECIALS:])

    @torch.no_grad()
    def output_vectors(self, rows: np.ndarray) -> Tensor:
        """(n, dimensions) vectors of catalogue rows; that of `<unk>` for unknown tracks.

        The logit of a track is the inner product with a state.
        """
        tokens = torch.from_numpy(self.extended_vocabulary.of(np.asarray(rows))).long()
        parts = tokens.to(self.positions.device).split(ROWS_AT_ONCE)
        return torch.cat([self.tracks(part) for part in parts])

    @torch.no_grad()
    def last_hidden(self, seeds: Playlists) -> Tensor:
        """(playlists, dimensions) states after the last `context` tracks of each playlist."""
        read = self._read(seeds)
        return torch.cat([states[torch.arange(len(last)), last] for states, last in read])

    @torch.no_grad()
    def state_after(self, playlist: Sequence[int], past: list[Past]) -> Tensor:
        """(1, dimensions) state after the last `context` tracks of a playlist that grows.

        Args:
            playlist: rows of the catalogue, -1 for unknown tracks.
            past: empty at first, then what the last call left, for one more track. A playlist
                longer than `context` is read again: its tracks have moved to other positions.
        """
        shown = np.asarray(playlist[-self.settings.context :], np.int64)
        first = len(shown) if past and len(playlist) <= self.settings.context else 0
        if not first:
            past[:] = [Past() for _ in self.blocks]
        tokens = np.concatenate([[START], self.extended_vocabulary.of(shown)])[first:]
        ids = torch.from_numpy(tokens.astype(np.int64)).to(self.positions.device)[None]
        return self._hidden(self.tracks(ids), first, past)[:, -1]

    def _read(self, seeds: Playlists) -> Iterator[tuple[Tensor, Tensor]]:
        """States (some playlists, 1 + tracks, dimensions) after `<start>` and each of the last
        `context` tracks, and the place of each playlist's last state (some playlists,)."""
        context, device = self.settings.context, self.positions.device
        for start in range(0, len(seeds), PLAYLISTS_AT_ONCE):
            part = seeds.take(np.arange(start, min(start + PLAYLISTS_AT_ONCE, len(seeds))))
            last = torch.from_numpy(np.minimum(part.lengths, context)).to(device)
            tokens = self.extended_vocabulary.encode(part, int(last.max()), "last")
            yield self.hidden(torch.from_numpy(tokens).long().to(device)), last

    def unknown_share(self, rows: np.ndarray) -> Tensor:
        """(n,) what is added to the logits of catalogue rows: -log of the number of unknown tracks
        for an unknown track, so that they share the probability of `<unk>` equally, and 0 else."""
        tokens = self.extended_vocabulary.tokens
        share = -math.log(max(1, int((tokens == UNKNOWN).sum())))
        unknown = self.extended_vocabulary.of(rows) == UNKNOWN
        return torch.from_numpy(np.where(unknown, share, 0.0)).to(self.positions)

    @torch.no_grad()
    def scores(self, seeds: Playlists, candidates: Playlists) -> np.ndarray:
        """How probable each seed list's own candidates are anywhere after its tracks.

        The score of a track with vector v is the log of its mean probability as the next track,
        over the states h_1 to h_n after each of the last `context` seeds (after `<start>` where
        there is no seed):

            log 1/n sum_k exp(h_k . v) / Z_k,    Z_k = sum over tokens j of exp(h_k . v_j),

        over the tokens of training, or over `MAX_FULL_SOFTMAX` of more, drawn uniformly, which
        adds a constant to all scores. With `calibration`, a probability is sigmoid(h_k . v).

        Returns:
            (positions of candidates,) float32.
        """
        rows, which = np.unique(candidates.tracks, return_inverse=True)
        vectors, share = self.output_vectors(rows), self.unknown_share(rows)
        places = torch.from_numpy(which).to(vectors.device)
        softmax = self._softmax_vectors()
        found: list[Tensor] = []
        for states, last in self._read(seeds):
            for one, end in zip(states, last.tolist(), strict=True):
                after = one[min(end, 1) : end + 1]
                start, stop = candidates.offsets[len(found) : len(found) + 2]
                own = places[start:stop]
                logs = after @ vectors[own].T
                if self.settings.calibration is None:
                    logs = logs - (after @ softmax.T).logsumexp(1, keepdim=True)
                else:
                    logs = nn.functional.logsigmoid(logs)
                found.append(logs.logsumexp(0) - math.log(len(after)) + share[own])
        return torch.cat(found).cpu().numpy()

    def _softmax_vectors(self) -> Tensor:
        """(at most `MAX_FULL_SOFTMAX`, dimensions) vectors of the tokens that training predicts."""
        tokens = self._predicted_tokens()
        if len(tokens) > MAX_FULL_SOFTMAX:
            rng = np.random.default_rng(0)
            drawn = rng.choice(len(tokens), MAX_FULL_SOFTMAX, replace=False, shuffle=False)
            tokens = tokens[torch.from_numpy(drawn).to(tokens.device)]
        return torch.cat([self.tracks(part) for part in tokens.split(ROWS_AT_ONCE)])

    # --- files ---------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write weights, vocabulary, artists and albums, all or nothing."""
        side = self.tracks.side
        columns = {"rows": self.vocabulary.rows, "artists": side.artists, "albums": side.albums}
        known = {name: column for name, column in columns.items() if column is not None}
        config = {
            "settings": plain(self.settings),
            "catalogue": self.vocabulary.catalogue,
            "audio_width": None if side.audio is None else side.audio.shape[1],
        }
        save_model(Path(folder), KIND, self, config, known)


def load_transformer(
    folder: str | Path, audio: np.ndarray | None = None, has_audio: np.ndarray | None = None
) -> PlaylistTransformer:
    """A saved model, in evaluation mode.

    Args:
        folder: written by `save`.
        audio, has_audio: of the catalogue of training (see `SideInformation`).

    Raises:
        CheckpointError: no such folder, a damaged one, or audio embeddings of another width than in
            training.
    """
    given = None if audio is None else audio.shape[1]

    def make(config: dict[str, Any], data: dict[str, np.ndarray]) -> PlaylistTransformer:
        width = config["audio_width"]
        if given != width:
            raise CheckpointError(
                f"trained with audio embeddings of {width or 'no'} dimensions, given "
                f"{given or 'none'}: give the same as in training"
            )
        rows = data.pop("rows")
        vocabulary = Vocabulary(rows, len(rows), config["catalogue"])
        settings = build(TransformerSettings, config["settings"])
        return PlaylistTransformer(vocabulary, settings, SideInformation(audio, has_audio, **data))

    return load_model(Path(folder), KIND, make)
