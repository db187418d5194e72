"""The views of a catalogue that M2GRL is trained on, and the batches of its tasks."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Catalogue, Playlists, codes_of
from ssl_audio.recommenders.data.csr import offsets_of, places_of
from ssl_audio.recommenders.data.sessions import view_sequences
from ssl_audio.recommenders.models.skipgram import WindowPairs
from ssl_audio.settings.recommend import M2GRLSettings

ITEM, CATEGORY, SHOP = "item", "category", "shop"  # the views, by the paper's names
Links = tuple[np.ndarray, np.ndarray]  # (links,) items and (links,) nodes of another view
Views = tuple[dict[str, Playlists], dict[str, Links], dict[str, int]]


def relation_task(attribute: str) -> str:
    """Name of the task of the links from items to a view."""
    return f"{ITEM}-{attribute}"


def catalogue_views(playlists: Playlists, catalogue: Catalogue) -> Views:
    """The views of playlists: tracks, genres ("category") and artists ("shop").

    A view of fewer than two nodes is left out.

    Returns:
        By view: the node sequences, the links of tracks with nodes, and the numbers of nodes.
    """
    views, links, sizes = {ITEM: playlists}, {}, {ITEM: len(catalogue)}
    for view, column in ((CATEGORY, catalogue.genres), (SHOP, catalogue.artists)):
        codes, names = codes_of(column)
        if len(names) < 2:
            continue
        known = np.flatnonzero(codes >= 0)
        views[view] = view_sequences(playlists, codes)
        links[view] = (known, codes[known])
        sizes[view] = len(names)
    return views, links, sizes


class LinkSampler:
    """Draws links of items with attributes, and for each link attributes that its item lacks.

    Links are drawn with probability proportional to the count of their items in the sequences, so
    that intra-view and inter-view tasks update an item equally often. Links of items that occur
    in no sequence, or that have all attributes, are not drawn.

    Args:
        items, attributes: (links,) rows of the two views; a repeated link counts once.
        counts: (items,) occurrences in the sequences.
        size: number of attributes.

    Raises:
        SslAudioError: no link that can be drawn.
    """

    def __init__(
        self, items: np.ndarray, attributes: np.ndarray, counts: np.ndarray, size: int
    ) -> None:
        self.size = size
        keys = np.unique(np.asarray(items, np.int64) * size + attributes)
        owner, linked = np.divmod(keys, size)
        self.starts = offsets_of(np.bincount(owner, minlength=len(counts)))
        # before each of an item's sorted attributes: how many that it lacks, ascending per item
        lacking_before = linked - places_of(self.starts)
        self.lacking_keys = owner * (size + 1) + lacking_before
        usable = (np.diff(self.starts)[owner] < size) & (counts[owner] > 0)
        self.items, self.attributes = owner[usable], linked[usable]
        self.cumulative = np.cumsum(counts[self.items])
        if len(self.items) == 0:
            raise SslAudioError(
                "no link is of an item that occurs and that lacks an attribute: leave this "
                "relation out"
            )

    def draw(
        self, rng: np.random.Generator, count: int, negatives: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Links, with replacement.

        Returns:
            (count,) items and (count, 1 + negatives) attributes, the linked one first; negatives
            are uniform over the attributes that the item lacks.
        """
        occurrence = rng.integers(self.cumulative[-1], size=count)
        chosen = np.searchsorted(self.cumulative, occurrence, side="right")
        items = self.items[chosen]
        owned = np.diff(self.starts)[items]
        nth = rng.integers((self.size - owned)[:, None], size=(count, negatives))
        keys = items[:, None] * (self.size + 1) + nth
        skipped = np.searchsorted(self.lacking_keys, keys, side="right")
        skipped -= self.starts[items][:, None]
        return items, np.column_stack([self.attributes[chosen], nth + skipped])


class M2GRLBatches:
    """Batches of all tasks, as a function of the step.

    Args:
        views, links, sizes: see `catalogue_views`.

    Raises:
        SslAudioError: a view without pairs, or a relation without links that can be drawn.
    """

    def __init__(
        self,
        views: Mapping[str, Playlists],
        links: Mapping[str, Links],
        sizes: Mapping[str, int],
        settings: M2GRLSettings,
        seed: int = 0,
    ) -> None:
        self.settings, self.seed = settings, seed
        self.pairs = {v: WindowPairs(views[v], sizes[v], settings.window) for v in sizes}
        counts = self.pairs[ITEM].counts
        self.links = {
            relation_task(a): LinkSampler(*pair, counts, sizes[a]) for a, pair in links.items()
        }

    def __call__(self, step: int) -> dict[str, Tensor]:
        """The batch of a step.

        Returns:
            For each task, int64 `<task>/from` (batch,), centres or items, and `<task>/to`
            (batch, 1 + negatives), contexts or attributes, the true one first.
        """
        batch = {}
        for number, (task, source) in enumerate((self.pairs | self.links).items()):
            rng = np.random.default_rng((self.seed, step, number))
            first, second = source.draw(rng, self.settings.batch_size, self.settings.negatives)
            batch[f"{task}/from"] = torch.from_numpy(first.astype(np.int64))
            batch[f"{task}/to"] = torch.from_numpy(second.astype(np.int64))
        return batch
