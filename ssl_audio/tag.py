"""Tag tracks by a trained probe: `ssl-audio tag source=/music output=tags.parquet`."""

import sys
from functools import partial

from ssl_audio.io.console import SOME_FAILED, say
from ssl_audio.settings.command import Command
from ssl_audio.settings.fields import SettingError
from ssl_audio.settings.tag import TagSettings

COMMAND = Command(
    name="tag",
    summary="Write the tags of tracks and their probabilities, by a probe that probe has saved.",
    usage="source=FOLDER | features=FILE output=FILE [KEY=VALUE ...]",
    examples=(
        "source=/music output=tags.parquet",
        "checkpoint=runs/mine/encoder probe=runs/probe/probes/mine source=/music "
        "output=tags.parquet",
        "features=features.parquet probe=runs/probe/probes/mine output=tags.parquet",
    ),
    settings=TagSettings,
)


def run(settings: TagSettings) -> int:
    """Write one row per track; files that fail are listed beside the output."""
    from ssl_audio.catalogue.tagging import embedded_tracks, stored_tracks, write_tags
    from ssl_audio.models.encoder import load_encoder
    from ssl_audio.models.shipped import shipped_probe
    from ssl_audio.probing.predictor import load_predictor
    from ssl_audio.stores.remote import fetched, published_file

    folder = settings.probe or shipped_probe(str(settings.checkpoint))
    if folder is None:
        raise SettingError("probe", None, "a folder that ssl-audio probe has saved")
    probe = load_predictor(folder)
    if settings.features is not None:
        tracks = stored_tracks(fetched(settings.features), probe)
    else:
        assert settings.source is not None
        encoder = load_encoder(settings.checkpoint)
        name = str(settings.checkpoint)
        tracks = embedded_tracks(settings.source, encoder, name, probe, settings.workers)
    with published_file(settings.output) as output:
        summary = write_tags(tracks, probe, output)
    say("\n".join(summary.lines()))
    return SOME_FAILED if summary.failures else 0


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
