"""The views of a catalogue that M2GRL learns from: tracks, their genres, and their artists."""

from __future__ import annotations

import numpy as np

from ssl_audio.recommenders.data.collection import Catalogue, Playlists, codes_of
from ssl_audio.recommenders.data.sessions import view_sequences

# what views are called; the nodes of the first have links to those of the others
ITEM, CATEGORY, SHOP = "item", "category", "shop"
Views = tuple[dict[str, Playlists], dict[str, tuple[np.ndarray, np.ndarray]], dict[str, int]]


def catalogue_views(playlists: Playlists, catalogue: Catalogue) -> Views:
    """Sequences of tracks, of genres ("category") and of artists ("shop"), as far as they are told.

    Args:
        playlists: to learn from.
        catalogue: of their tracks.

    Returns:
        Node sequences, links of tracks with nodes, and sizes, by view, as M2GRL takes them.
    """
    views, links, sizes = {ITEM: playlists}, {}, {ITEM: len(catalogue)}
    for view, column in ((CATEGORY, catalogue.genres), (SHOP, catalogue.artists)):
        codes, values = codes_of(column)
        if len(values) < 2:  # one node has nobody to be told from
            continue
        known = np.flatnonzero(codes >= 0)
        views[view] = view_sequences(playlists, codes)
        links[view] = (known, codes[known])
        sizes[view] = len(values)
    return views, links, sizes
