"""Skip-gram with negative sampling, the objective that several models share.

M2GRL, section 3.3, equations 1 to 3. With input vectors v and output vectors v', a centre i of a
sequence predicts its context o, at most `window` positions away, against k negatives n:

    log sigmoid(v'_o . v_i) + sum over k negatives of log sigmoid(-v'_n . v_i).
"""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.inversion import WeightedNumbers

MAX_DENSE = 200_000  # vectors of a table whose gradient is dense, with sparse=auto
NOISE_POWER = 0.75  # of the counts, in the distribution of negatives (Mikolov et al. 2013)


def noise_distribution(counts: np.ndarray) -> np.ndarray:
    """(nodes,) float64 probabilities of negatives, proportional to counts ** 0.75."""
    weights = np.where(counts > 0, counts.astype(np.float64) ** NOISE_POWER, 0.0)
    return weights / weights.sum()


def initial_vectors(rows: int, dimensions: int, seed: int) -> Tensor:
    """(rows, dimensions) float32, uniform in +-1 / (2 dimensions), as word2vec's input vectors."""
    uniform = np.random.default_rng(seed).random((rows, dimensions), np.float32)
    return torch.from_numpy((uniform - 0.5) / dimensions)


def negative_sampling_loss(logits: Tensor) -> Tensor:
    """The negative of equation 3, a mean over pairs.

    Args:
        logits: (pairs, 1 + negatives), that of the true context first.
    """
    return -(F.logsigmoid(logits[:, 0]) + F.logsigmoid(-logits[:, 1:]).sum(1)).mean()


def skip_gram_loss(centres: Tensor, contexts: Tensor) -> Tensor:
    """`negative_sampling_loss` of inner products.

    Args:
        centres: (pairs, d) input vectors.
        contexts: (pairs, 1 + negatives, d) output vectors, the true context first.
    """
    # sums of products: a batched matrix product of such small matrices takes twice as long
    return negative_sampling_loss((contexts * centres[:, None]).sum(2))


def has_sparse_gradients(given: Literal["auto"] | bool, nodes: int) -> bool:
    """Whether tables of so many vectors have sparse gradients: a step then takes as long for two
    million nodes as for a thousand, but Adam moves only the vectors of the batch."""
    return nodes > MAX_DENSE if given == "auto" else given


class WindowPairs:
    """Draws (centre, context) pairs of sequences uniformly, and negatives for them.

    A pair is two positions of a sequence, at most `window` apart. Pairs are numbered but not
    listed: a drawn number is mapped to its positions by bisection.

    Raises:
        SslAudioError: no sequence of two nodes or more.
    """

    def __init__(self, sequences: Playlists, nodes: int, window: int) -> None:
        self.tracks = sequences.tracks
        after = np.repeat(sequences.lengths, sequences.lengths) - 1 - sequences.places
        self.before = np.minimum(sequences.places, window)
        self.ends = np.cumsum(self.before + np.minimum(after, window))
        if len(self) == 0:
            raise SslAudioError("no sequence has two nodes: there are no pairs to learn from")
        self.counts = np.bincount(self.tracks, minlength=nodes)
        self.noise = WeightedNumbers(noise_distribution(self.counts))

    def __len__(self) -> int:
        """Number of pairs."""
        return int(self.ends[-1]) if len(self.ends) else 0

    def draw(
        self, rng: np.random.Generator, count: int, negatives: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pairs, with replacement, and their negatives.

        Returns:
            (count,) centres and (count, 1 + negatives) contexts, the true one first. A negative
            may equal the true context, as in word2vec.
        """
        position, offset = self.positions(rng.integers(len(self), size=count))
        noise = self.noise.draw(rng, (count, negatives))
        return self.tracks[position], np.column_stack([self.tracks[position + offset], noise])

    def positions(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(count,) positions of the centres of numbered pairs, (count,) offsets of contexts."""
        position = np.searchsorted(self.ends, numbers, side="right")
        nth = numbers - np.where(position > 0, self.ends[position - 1], 0)
        offset = nth - self.before[position]
        return position, np.where(offset < 0, offset, offset + 1)
