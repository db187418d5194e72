"""Correlation of the features of a store with the tags of a labelled data set."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ssl_audio.datasets.dataset import UNLABELLED, TaggingDataset
from ssl_audio.io.errors import SslAudioError
from ssl_audio.reports.correlations import save_correlations
from ssl_audio.stores.feature_store import Stored, read_store


def correlate_with_tags(store: Path, labelled: TaggingDataset) -> list[Path]:
    """Write the correlation of each feature of a store with each tag, beside it; the files.

    Raises:
        SslAudioError: no track of the data set is in the store.
    """
    stored = read_store(store)
    splits = [split for _, split in labelled.splits()]
    files = [path for split in splits for path in split.paths]
    targets = np.concatenate([split.targets for split in splits])
    features, labels = tagged_features(stored, files, targets)
    names = stored.about.get("names") or [f"acoustic_{k}" for k in range(features.shape[1])]
    found = tag_correlations(features, labels)
    return save_correlations(found, names, labelled.tags, len(features), store)


def tag_correlations(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each feature with each tag: (d, tags); NaN where one is constant.

    With a tag of 0 and 1 this is the point-biserial correlation.

    Args:
        features: (tracks, d).
        targets: (tracks, tags): 0, 1 or UNLABELLED; a tag is correlated on its labelled tracks.
    """
    labelled = targets != UNLABELLED
    if not labelled.all():
        parts = [
            tag_correlations(features[rows], tag[rows, None])
            for tag, rows in zip(targets.T, labelled.T, strict=True)
        ]
        return np.concatenate(parts, axis=1)
    x = features - features.mean(0, dtype=np.float64)
    y = targets - targets.mean(0, dtype=np.float64)
    scale = np.sqrt((x**2).sum(0))[:, None] * np.sqrt((y**2).sum(0))
    return np.divide(x.T @ y, scale, out=np.full(scale.shape, np.nan), where=scale > 1e-12)


def tagged_features(
    stored: Stored, paths: Sequence[Path], targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, d) and targets (n, tags) of the tracks that have both, matched by their files.

    Args:
        paths: (tracks,) files of the labelled tracks.
        targets: (tracks, tags).

    Raises:
        SslAudioError: no track has both.
    """
    row = {Path(path).resolve(): k for k, path in enumerate(stored.paths)}
    found = [(row[p], k) for k, path in enumerate(paths) if (p := path.resolve()) in row]
    if not found:
        raise SslAudioError("tags=: none of the files of the data set is in the features")
    rows, labelled = np.array(found).T
    return stored.vectors[rows], targets[labelled]
