"""Compact features of tracks: `ssl-audio acoustic features=... output=...`."""

import sys
from functools import partial
from pathlib import Path

from ssl_audio.io.console import SOME_FAILED, say
from ssl_audio.settings.acoustic import AcousticSettings
from ssl_audio.settings.command import Command

COMMAND = Command(
    name="acoustic",
    summary="Eight acoustic features of tracks from their embeddings, or 42 descriptors of audio.",
    usage="features=FILE output=FILE [KEY=VALUE ...] | kind=descriptors source=FOLDER output=FILE",
    examples=(
        "features=features.parquet playlists=playlists.csv output=acoustic.parquet",
        "kind=descriptors source=/music output=audio.parquet tags=scores tags.root=/scores",
    ),
    settings=AcousticSettings,
)


def run(settings: AcousticSettings) -> int:
    """Write the features; with tags=, also the correlation of each feature with each tag."""
    from ssl_audio.catalogue.description import describe_catalogue
    from ssl_audio.catalogue.tags import correlate_with_tags
    from ssl_audio.datasets.dataset import LabelledData

    labelled = settings.tags.load("tags") if isinstance(settings.tags, LabelledData) else None
    if settings.kind == "descriptors":
        status = describe_catalogue(settings).finish(settings.max_failed)
    else:
        status = _project(settings)
    if labelled and isinstance(settings.output, Path):
        say("\n".join(map(str, correlate_with_tags(settings.output, labelled))))
    return status


def _project(settings: AcousticSettings) -> int:
    from ssl_audio.catalogue.acoustic_features import acoustic_features
    from ssl_audio.recommenders.data.membership import membership_digest, read_memberships
    from ssl_audio.stores.feature_store import read_ids
    from ssl_audio.stores.remote import fetched, published

    features, playlists, unknown = fetched(settings.features or Path()), None, 0
    if settings.playlists:
        playlists, unknown = read_memberships(settings.playlists, read_ids(features))
    digest = membership_digest((playlists or {}).items())
    with published(settings.output) as output:
        acoustic_features(settings, features, output, playlists, digest)
    return SOME_FAILED if unknown else 0


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
