"""The training of MUSIG: three tasks on pairs of tracks (MUSIG, section 3.5).

All tasks are predicted from the inner product s of two unit vectors, which also ranks tracks, as
a s + b with a learnt scale a and offset b for each task. The playlist and genre tasks are binary
cross-entropies, the similarity task is a root mean square error. The total is (equation 6)

    L = c1 L_playlist + c2 L_genre + c3 L_similarity,

with fixed weights or learnt ones (`task_weights.py`).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_audio.recommenders.data.graph import TrackGraph
from ssl_audio.recommenders.data.sampling import NeighbourSampler, PairSampler
from ssl_audio.recommenders.models.musig import Musig
from ssl_audio.recommenders.models.task_weights import FixedWeights

NO_GENRE = -1  # genre code of tracks without a genre label


class Pairs(NamedTuple):
    """A batch of pairs of tracks.

    Attributes:
        left, right: (pairs,) int64 rows of the catalogue.
        co_occur: (pairs,) float32, 1 for an edge of the graph and 0 for none.
        seed: () int64, of the neighbours that are sampled for the batch.
    """

    left: Tensor
    right: Tensor
    co_occur: Tensor
    seed: Tensor


@dataclass(frozen=True)
class PairBatches:
    """Batches of pairs; each follows from the sampler's seed, `seed` and the step alone."""

    sampler: PairSampler
    seed: int = 0

    def __call__(self, step: int) -> Pairs:
        """The batch of a step."""
        left, right, co_occur = self.sampler.pairs(step)
        seed = int(np.random.default_rng((self.seed, step)).integers(2**62))
        return Pairs(left, right, co_occur, torch.tensor(seed))


class MusigTraining(nn.Module):
    """A MUSIG model with its training data, as `training.fit` takes it.

    The data are buffers, which move with the model to its device and are not part of its state.

    Args:
        features: (tracks, inputs) float32 node features.
        graph: of the same tracks.
        genres: (tracks,) genre codes, `NO_GENRE` for none.
        audio: (tracks, d) float32 in [0, 1], the features of the similarity task.
        has_audio: (tracks,) bool, True where `audio` is available.
    """

    features: Tensor
    genres: Tensor
    audio: Tensor
    has_audio: Tensor

    def __init__(
        self,
        model: Musig,
        features: np.ndarray,
        graph: TrackGraph,
        genres: np.ndarray,
        audio: np.ndarray,
        has_audio: np.ndarray,
    ) -> None:
        super().__init__()
        self.model = model
        self.sampler = NeighbourSampler(graph)
        data = {
            "genres": np.asarray(genres, np.int64),
            "audio": np.ascontiguousarray(audio, np.float32),
            "has_audio": has_audio,
        }
        self.register_buffer("features", model.standardised(features), persistent=False)
        for name, values in data.items():
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def loss(self, batch: Pairs) -> dict[str, Tensor]:
        """The weighted total, the loss of each task, and the task weights where they are learnt."""
        generator = torch.Generator(batch.left.device).manual_seed(int(batch.seed))
        nodes = torch.cat([batch.left, batch.right])
        vectors, place = self.model.embed(nodes, self.features, self.sampler, generator)
        left, right = vectors[place].chunk(2)
        products = (left * right).sum(1)
        losses = {
            "playlist": self._playlist_loss(products, batch),
            "genre": self._genre_loss(products, batch),
            "similarity": self._similarity_loss(products, batch),
        }
        weights = self.model.task_weights
        total = weights({task: losses[task] for task in self.model.tasks})
        terms = {"total": total, **losses}
        if not isinstance(weights, FixedWeights):
            terms |= {f"weight_{t}": torch.tensor(w) for t, w in weights.current().items()}
        return terms

    def optimizers(self) -> list[torch.optim.Optimizer]:
        return self.model.optimizers()

    def _predicted(self, task: str, products: Tensor) -> Tensor:
        return self.model.scales[task] * products + self.model.offsets[task]

    def _playlist_loss(self, products: Tensor, batch: Pairs) -> Tensor:
        """Binary cross-entropy of whether two tracks share an edge."""
        logits = self._predicted("playlist", products)
        return F.binary_cross_entropy_with_logits(logits, batch.co_occur)

    def _genre_loss(self, products: Tensor, batch: Pairs) -> Tensor:
        """Binary cross-entropy of whether two tracks share a genre, over pairs with both known."""
        left, right = self.genres[batch.left], self.genres[batch.right]
        logits = self._predicted("genre", products)
        losses = F.binary_cross_entropy_with_logits(
            logits, (left == right).float(), reduction="none"
        )
        known = (left != NO_GENRE) & (right != NO_GENRE)
        return (losses * known).sum() / known.sum().clamp(min=1)

    def _similarity_loss(self, products: Tensor, batch: Pairs) -> Tensor:
        """Root mean square error of the inner product of the audio features, divided by their
        dimensions, which is in [0, 1]; over pairs that both have them."""
        similarity = (self.audio[batch.left] * self.audio[batch.right]).mean(1)
        known = (self.has_audio[batch.left] & self.has_audio[batch.right]).float()
        error = (self._predicted("similarity", products) - similarity) * known
        mean_square = error.square().sum() / known.sum().clamp(min=1)
        return (mean_square + 1e-12).sqrt()  # the gradient of the root is finite at 0
