"""M2GRL's inter-view task: which attributes an item has, asked in a space that the two views share.

Equation 4 scores an item i and an attribute c, with one matrix W for both, by

    s(i, c) = sigma(W e_i)^T sigma(W e_c),    0 < s < d,

and is, as printed, to be maximised: the sum of s over links less that over pairs without a link.
Section 3.5 counts the inter-view tasks among the classification tasks, so the loss here is that of
a logistic classifier of s, in the form of equation 3,

    L = -log sigma(s(i, c) - b) - sum_k log sigma(b - s(i, c'_k)),

the mean over links, with each c'_k uniform over the attributes that i is not linked with, and b a
learnt offset that starts at d / 4, the s of vectors of zeros. Links are drawn as often as their
items occur in the sequences, so that both kinds of task move an item equally often: table 1 counts
15 links an item at Taobao, which are occurrences, as an item has one category. Drawn uniformly,
they give rare items vectors as long as those of frequent ones, and inner product search then finds
rare ones: after 700 steps of 1024 on ml-latest-small a HitRate@50 of 0.45 and not 0.71.

Why not the negative of equation 4: it is below 0, so that learnt task weights (equation 10) take
its variance to the floor whatever it has learnt, and linear in s, so that a pair that is told apart
already pulls as hard as one that is not. On planted views (400 items, 20 categories, d = 32, 600
steps, two seeds) it puts an item's own category above another with probability 0.54 to 0.56 for
links that it was shown and 0.49 to 0.51 for hidden ones, and with learnt weights undoes the
intra-view tasks; moved above 0 and divided by d, the same 0.54 to 0.56. The logistic form gives
0.996 or more and 0.94 to 0.97; with b fixed at d / 4 it is no better, and with s / d taken for the
probability itself 0.91 and 0.89.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_audio.io.errors import SslAudioError


class Alignment(nn.Module):
    """The relational space of two views.

    Args:
        dimensions: d, of both views' vectors and of the space.
        generator: that draws W, uniform as `nn.init.xavier_uniform_`.
    """

    def __init__(self, dimensions: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.empty(dimensions, dimensions))
        nn.init.xavier_uniform_(self.matrix, generator=generator)
        self.offset = nn.Parameter(torch.tensor(dimensions / 4))

    def relational(self, vectors: Tensor) -> Tensor:
        """sigma(W e): (..., d) to (..., d), each 0 to 1."""
        return torch.sigmoid(F.linear(vectors, self.matrix))

    def logits(self, item: Tensor, attributes: Tensor) -> Tensor:
        """s - b: (links, d) of items and (links, n, d) of attributes, n for each, to (links, n)."""
        items = self.relational(item)[:, :, None]
        return torch.bmm(self.relational(attributes), items).squeeze(2) - self.offset

    def loss(self, item: Tensor, attributes: Tensor) -> Tensor:
        """The mean over links, a scalar.

        Args:
            item: (links, d).
            attributes: (links, 1 + negatives, d), the linked one first.
        """
        logits = self.logits(item, attributes)
        return -(F.logsigmoid(logits[:, 0]) + F.logsigmoid(-logits[:, 1:]).sum(1)).mean()


class LinkDraw:
    """Draws links, and for each attributes that its item is not linked with.

    Never drawn are links of items that occur nowhere, and of those that have every attribute, as
    there is no negative for them.

    Args:
        items, attributes: (links,) rows of the two views; a link that is given twice counts once.
        counts: (items,) how often each item occurs in sequences.
        size: how many attributes there are.

    Raises:
        SslAudioError: no link, none that can be drawn, or a row that is not in the views.
    """

    def __init__(
        self, items: np.ndarray, attributes: np.ndarray, counts: np.ndarray, size: int
    ) -> None:
        if len(items) == 0:
            raise SslAudioError("no links between the views: leave this relation out")
        for rows, nodes in ((items, len(counts)), (attributes, size)):
            if rows.min() < 0 or rows.max() >= nodes:
                raise SslAudioError(
                    f"links name rows {rows.min()} to {rows.max()} of {nodes} nodes"
                )
        self.size = size
        keys = np.unique(np.asarray(items, np.int64) * size + attributes)
        owner, linked = np.divmod(keys, size)
        self.starts = np.searchsorted(owner, np.arange(len(counts) + 1))
        # of an item's sorted attributes, how many that it has not lie before each: rising per item
        free_before = linked - (np.arange(len(keys)) - self.starts[owner])
        self.free_keys = owner * (size + 1) + free_before
        usable = (np.diff(self.starts)[owner] < size) & (counts[owner] > 0)
        self.items, self.attributes = owner[usable], linked[usable]
        self.reach = np.cumsum(counts[self.items])
        if len(self.items) == 0:
            raise SslAudioError(
                "no link is of an item that occurs and that lacks an attribute: leave this "
                "relation out"
            )

    def draw(
        self, rng: np.random.Generator, count: int, negatives: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Links, in proportion to their items' counts, with replacement.

        Returns:
            (count,) items and (count, 1 + negatives) attributes, the linked one first.
        """
        occurrence = rng.integers(self.reach[-1], size=count)
        chosen = np.searchsorted(self.reach, occurrence, side="right")
        items = self.items[chosen]
        has = np.diff(self.starts)[items]
        nth = rng.integers((self.size - has)[:, None], size=(count, negatives))
        sought = items[:, None] * (self.size + 1) + nth
        passed = np.searchsorted(self.free_keys, sought, side="right") - self.starts[items][:, None]
        return items, np.column_stack([self.attributes[chosen], nth + passed])
