"""A two-tower model of content: vectors of tracks from their audio embeddings alone.

Both towers are one network f, since a pair of tracks of a playlist has no order. In a batch of such
pairs (x_k, y_k), each y_k is told from the other tracks of the batch by the softmax of

    s(x, y) = f(x) . f(y) / temperature - log q(y),    |f| = 1,

with q(y) the probability that a pair ends with y, so that popular tracks, which are often among the
others, are not pushed away (Yi et al. 2019, "Sampling-bias-corrected neural modeling for large
corpus item recommendations", equations 3 to 5). Other places of the batch with the same track as
y_k are left out. No parameter belongs to a track: new tracks get vectors, too.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.models.model_folder import load_model, save_model
from ssl_audio.recommenders.models.skipgram import WindowPairs
from ssl_audio.recommenders.models.standardiser import Standardiser
from ssl_audio.settings.recommend import TwoTowerSettings
from ssl_audio.settings.tree import build, plain

KIND = "two-tower"
ROWS_AT_ONCE = 16_384  # tracks embedded at once outside training


class ContentPairs(NamedTuple):
    """A batch of pairs of tracks of one playlist each.

    Attributes:
        left, right: (pairs, width) float32 audio embeddings of x and y.
        tracks: (pairs,) int64, the track y.
        log_q: (pairs,) float32 log-probability that a pair ends with y.
    """

    left: Tensor
    right: Tensor
    tracks: Tensor
    log_q: Tensor


class ContentBatches:
    """Batches of pairs, drawn uniformly from all of all playlists; functions of seed and step.

    Args:
        playlists: of training; a track counts once in a playlist.
        audio: (tracks, width) embeddings.
        has_audio: (tracks,) bool, True where they are available; other tracks are left out.

    Raises:
        SslAudioError: no playlist has two tracks with audio.
    """

    def __init__(
        self,
        playlists: Playlists,
        audio: np.ndarray,
        has_audio: np.ndarray,
        batch_size: int,
        seed: int = 0,
    ) -> None:
        sets = playlists.without_tracks(~has_audio).distinct(len(audio))
        window = int(sets.lengths.max(initial=1))  # all pairs
        self.pairs = WindowPairs(sets, len(audio), window)
        self.audio, self.batch_size, self.seed = audio, batch_size, seed
        ends = np.bincount(sets.tracks, np.diff(self.pairs.ends, prepend=0), len(audio))
        with np.errstate(divide="ignore"):
            self.log_q = np.log(ends / len(self.pairs)).astype(np.float32)

    def __call__(self, step: int) -> ContentPairs:
        """The batch of a step."""
        rng = np.random.default_rng((self.seed, step))
        position, offset = self.pairs.positions(rng.integers(len(self.pairs), size=self.batch_size))
        left, right = self.pairs.tracks[position], self.pairs.tracks[position + offset]
        return ContentPairs(
            torch.from_numpy(np.asarray(self.audio[left], np.float32)),
            torch.from_numpy(np.asarray(self.audio[right], np.float32)),
            torch.from_numpy(right).long(),
            torch.from_numpy(self.log_q[right]),
        )


class TwoTower(nn.Module):
    """The network f: two layers on standardised audio embeddings of a width."""

    def __init__(self, width: int, settings: TwoTowerSettings) -> None:
        super().__init__()
        self.width, self.settings = width, settings
        self.standardise = Standardiser(width)
        self.network = nn.Sequential(
            nn.Linear(width, settings.hidden), nn.ReLU(), nn.Dropout(settings.dropout),
            nn.Linear(settings.hidden, settings.dimensions),
        )  # fmt: skip

    def forward(self, audio: Tensor) -> Tensor:
        """(n, width) audio embeddings to (n, dimensions) of norm 1."""
        return F.normalize(self.network(self.standardise(audio)), dim=1)

    def loss(self, batch: ContentPairs) -> dict[str, Tensor]:
        """The mean cross-entropy of the pairs, in nats."""
        scores = self(batch.left) @ self(batch.right).T / self.settings.temperature - batch.log_q
        same = batch.tracks[:, None] == batch.tracks
        same.fill_diagonal_(False)
        own = torch.arange(len(scores), device=scores.device)
        return {"total": F.cross_entropy(scores.float().masked_fill(same, -torch.inf), own)}

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """AdamW."""
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        return [torch.optim.AdamW(self.parameters(), lr=rate, weight_decay=decay)]

    @torch.no_grad()
    def vectors(self, audio: np.ndarray) -> np.ndarray:
        """(n, dimensions) float32 of norm 1 of any tracks, from their embeddings (n, width).

        Raises:
            SslAudioError: embeddings of another width.
        """
        if audio.shape[1] != self.width:
            raise SslAudioError(
                f"embeddings of {audio.shape[1]} dimensions: the two-tower model was trained with "
                f"{self.width}; embed the tracks with the same encoder"
            )
        parts = torch.from_numpy(np.asarray(audio, np.float32)).split(ROWS_AT_ONCE)
        return torch.cat([self(part) for part in parts]).numpy()

    def save(self, folder: Path) -> None:
        """Write the model's folder, all or nothing."""
        save_model(folder, KIND, self, {"width": self.width, "settings": plain(self.settings)})


def load_two_tower(folder: str | Path) -> TwoTower:
    """A saved model, in evaluation mode.

    Raises:
        CheckpointError: no folder, a damaged one, or another model.
    """

    def make(config: dict[str, Any], data: Any) -> TwoTower:
        return TwoTower(config["width"], build(TwoTowerSettings, config["settings"]))

    return load_model(Path(folder), KIND, make)
