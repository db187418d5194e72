"""Compact features of tracks: `ssl-audio acoustic features=... output=...`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ssl_audio.io.console import SOME_FAILED, say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recipe import Command, main_with, resolve

if TYPE_CHECKING:
    from pathlib import Path

    from omegaconf import DictConfig

    from ssl_audio.datasets.dataset import TaggingDataset

COMMAND = Command(
    name="acoustic",
    does="Eight acoustic features of tracks from their embeddings, or 42 descriptors from audio.",
    usage="features=FILE output=FILE [playlists=FILE] | kind=descriptors source=FOLDER output=FILE",
    often=("kind=pca", "model=FOLDER", "+tags.name=scores", "+tags.root="),
    example="features=features.parquet playlists=playlists.csv output=acoustic.parquet",
    statuses=((SOME_FAILED, "some files failed: see ...-failures.csv beside the output"),),
)


def run(config: DictConfig) -> int:
    """Fit or load the model and apply it, or describe the audio; then correlate with tags."""
    from ssl_audio.catalogue.acoustic_features import acoustic_features
    from ssl_audio.catalogue.description import describe_catalogue
    from ssl_audio.recommenders.data.membership import membership_digest, read_memberships
    from ssl_audio.settings.acoustic import AcousticSettings
    from ssl_audio.settings.tree import build

    values = resolve(config)
    tags = values.pop("tags")
    settings = build(AcousticSettings, values)
    dataset = _tagged(tags) if tags else None
    status = 0
    if settings.kind == "descriptors":
        assert settings.source is not None
        summary = describe_catalogue(
            settings.source, settings.output, settings.workers, settings.group
        )
        for line in summary.lines():
            say(line)
        status = SOME_FAILED if summary.failures else 0
    elif settings.playlists:
        playlists = read_memberships(settings.playlists)
        acoustic_features(settings, playlists, membership_digest(playlists.items()))
    else:
        acoustic_features(settings)
    if dataset is not None:
        _correlate(dataset, settings.output)
    return status


def _tagged(settings: Any) -> TaggingDataset:
    """The dataset of `tags.name=` and its other settings, before anything slow is done."""
    from ssl_audio.settings.probe import DATASETS
    from ssl_audio.settings.tree import build, unknown_choice

    if not isinstance(settings, dict) or "name" not in settings:
        raise SslAudioError("tags: +tags.name=DATASET +tags.root=FOLDER, as the probe's data.")
    options = dict(settings)
    name = options.pop("name")
    if name not in DATASETS:
        raise SslAudioError(unknown_choice("tags.name", name, DATASETS))
    return build(DATASETS[name], options, "tags.").load()


def _correlate(dataset: TaggingDataset, output: Path) -> None:
    """Write the correlation of each feature with each tag, as a table and as a picture."""
    import numpy as np

    from ssl_audio.catalogue.tags import tag_correlations, tagged_features
    from ssl_audio.reports.correlations import save_correlations
    from ssl_audio.stores.feature_store import read_store

    splits = [split for _, split in dataset.splits()]
    stored = read_store(output)
    features, targets = tagged_features(
        stored, [p for s in splits for p in s.paths], np.concatenate([s.targets for s in splits])
    )
    names = stored.about.get("names") or [f"acoustic_{k}" for k in range(features.shape[1])]
    found = tag_correlations(features, targets)
    for path in save_correlations(found, names, dataset.tags, len(features), output):
        say(str(path))


def main(arguments: list[str] | None = None) -> int:
    """The command's entry point; returns the exit status."""
    return main_with(COMMAND, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
