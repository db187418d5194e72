"""Playlists to try `ssl-audio recommend` on: `ssl-audio demo output=FOLDER checkpoint=FOLDER`."""

import sys
from dataclasses import replace
from functools import partial

from ssl_audio.settings.command import Command
from ssl_audio.settings.demo import DemoSettings

COMMAND = Command(
    name="demo",
    summary="Generate playlists over excerpts of real recordings, with features of each track.",
    usage="output=FOLDER checkpoint=FOLDER [KEY=VALUE ...]",
    examples=("output=playlists checkpoint=contrastive tracks=2000",
              "output=sparse checkpoint=contrastive preset=sparse"),
    settings=DemoSettings,
)  # fmt: skip
OUTPUTS = ("playlists.duckdb", "train.parquet", "embeddings.parquet", "audio.parquet")


def run(settings: DemoSettings) -> None:
    """Embed excerpts of the recordings, generate playlists, write both, print statistics."""
    import numpy as np

    from ssl_audio.audio.demo_corpus import demo_folder, make_demo
    from ssl_audio.catalogue.excerpts import embed_excerpts, read_recordings
    from ssl_audio.io.atomic import write_json
    from ssl_audio.io.errors import SslAudioError
    from ssl_audio.io.run_folder import versions
    from ssl_audio.models.encoder import load_encoder
    from ssl_audio.recommenders.data.duckdb_file import import_duckdb
    from ssl_audio.recommenders.generate import generate, write_generated
    from ssl_audio.recommenders.generate_settings import PRESETS
    from ssl_audio.settings.tree import plain

    folder = settings.output
    outputs = [folder / name for name in OUTPUTS]
    taken = [folder] if folder.is_file() else [path for path in outputs if path.exists()]
    if taken:
        raise SslAudioError(f"output={folder}: {taken[0]} exists already: name another folder")
    import_duckdb()  # it is refused now, not after the excerpts have been embedded
    encoder = load_encoder(settings.checkpoint)
    recordings = read_recordings(settings.recordings or make_demo(demo_folder()))
    sizes = settings.sizes()
    tracks = sizes.pop("tracks")
    excerpts = embed_excerpts(recordings, encoder, tracks, settings.seed, settings.workers)
    generator = replace(PRESETS[settings.preset], seed=settings.seed, **sizes)
    vectors = np.stack([row.vector for row in excerpts.embeddings])
    generated = generate(vectors, excerpts.genres, generator)
    folder.mkdir(parents=True, exist_ok=True)
    excerpts.write(folder, encoder, settings.checkpoint)
    ids = [row.id for row in excerpts.embeddings]
    write_generated(generated, ids, folder, settings.cold, settings.seed)
    write_json(folder / "about.json", {"config": plain(settings), "versions": versions()})


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
