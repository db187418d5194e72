"""Compact features of tracks: `python -m ssl_audio.acoustic features=... output=...`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_audio.console import say
from ssl_audio.errors import SslAudioError
from ssl_audio.progress import tracks_bar
from ssl_audio.recipe import Command, main_with, resolve

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ssl_audio.features.acoustic import AcousticModel

KINDS = ("auto", "siamese", "pca", "descriptors")
SOME_FAILED = 3  # exit status, as of the export
COMMAND = Command(
    name="acoustic",
    does="Eight acoustic features of tracks from their embeddings, or 42 descriptors from audio.",
    usage="features=FILE output=FILE [playlists=FILE] | kind=descriptors source=FOLDER output=FILE",
    often=("kind=pca", "model=FOLDER", "tags=scores", "tags_root="),
    example="features=features.parquet playlists=playlists.csv output=acoustic.parquet",
    statuses=((SOME_FAILED, "some files failed: see failures.csv beside the output"),),
)


def run(config: DictConfig) -> int:
    """Fit or load the model and apply it, or describe the audio; then say what goes with tags."""
    settings = resolve(config)
    if settings["kind"] not in KINDS:
        raise SslAudioError(f"kind={settings['kind']}: {', '.join(KINDS)}")
    wanted = "source" if settings["kind"] == "descriptors" else "features"
    if settings[wanted] is None:
        raise SslAudioError(f"kind={settings['kind']} is made from {wanted}=")
    if settings["tags"] and not settings["tags_root"]:
        raise SslAudioError(f"tags={settings['tags']}: its folder is tags_root=")
    status = _descriptors(settings) if wanted == "source" else _acoustic(settings)
    if settings["tags"]:
        _correlate(settings)
    return status


def _acoustic(settings: dict[str, Any]) -> int:
    from ssl_audio.features.acoustic import DIMENSIONS
    from ssl_audio.features.compact import acoustic_rows
    from ssl_audio.features.export import export
    from ssl_audio.features.store import Store, read_about

    output = Path(settings["output"])
    model = _model(settings, output)
    encoder = read_about(settings["features"]).get("model")
    if encoder != model.about["encoder"]:
        raise SslAudioError(
            f"features={settings['features']} are of another encoder than the model was fitted to"
        )
    about = {"kind": f"acoustic, {model.kind}", "model": model.hash, "encoder": encoder}
    store = Store(output, about, DIMENSIONS, group=settings["group"])
    todo = (r for r in acoustic_rows(settings["features"], model) if r.id not in store.finished)
    export(tracks_bar(todo, None, "acoustic"), store)
    say(f"{store.close()} tracks x {DIMENSIONS} ({model.kind}): {output}")
    return 0


def _model(settings: dict[str, Any], output: Path) -> AcousticModel:
    """The fitted model: from its folder if it is there, else fitted now and written there."""
    from ssl_audio.features.acoustic import SiameseSettings, load_acoustic
    from ssl_audio.features.compact import fit

    folder = Path(settings["model"] or output.with_name(output.stem + "-model"))
    if folder.exists():
        say(f"applying {folder}")
        return load_acoustic(folder)
    chosen = SiameseSettings(**settings["siamese"])
    model = fit(settings["features"], settings["kind"], settings["playlists"], chosen)
    model.save(folder)
    for key in ("held_out_roc_auc", "explained_variance"):
        if key in model.about:
            say(f"{key.replace('_', ' ')}: {model.about[key]:.3f}")
    say(f"model ({model.kind}): {folder}")
    return model


def _descriptors(settings: dict[str, Any]) -> int:
    from ssl_audio.features.compact import describe_item
    from ssl_audio.features.descriptors import DESCRIPTORS
    from ssl_audio.features.export import export, items, remaining
    from ssl_audio.features.store import Store, write_failures
    from ssl_audio.models.extraction import in_order

    output = Path(settings["output"])
    about = {"kind": "descriptors", "model": "42", "names": [d.name for d in DESCRIPTORS]}
    store = Store(output, about, len(DESCRIPTORS), group=settings["group"])
    todo: Iterable[Any] = remaining(items(settings["source"]), store)
    total = None if settings["source"] == "-" else len(todo := list(todo))
    results = in_order(todo, describe_item, settings["workers"])
    summary = export(tracks_bar(results, total, "describing"), store)
    failures = output.parent / "failures.csv"
    write_failures(failures, [(f.id, f.path, f.reason) for f in summary.failures])
    count = store.close()
    if not count:
        raise SslAudioError(f"no track of {settings['source']} can be read: see {failures}")
    if summary.failures:
        say(f"{len(summary.failures)} files failed: {failures}")
    say(f"{count} tracks x {len(DESCRIPTORS)}: {output}")
    return SOME_FAILED if summary.failures else 0


def _correlate(settings: dict[str, Any]) -> None:
    """Write how each feature goes with each tag, as a table and as a picture."""
    import numpy as np

    from ssl_audio.features.compact import rows_of_tags, tag_correlations
    from ssl_audio.features.store import read_store
    from ssl_audio.reports.correlations import save_correlations
    from ssl_audio.tagging.dataset import load_dataset

    dataset = load_dataset(settings["tags"], settings["tags_root"])
    splits = [split for _, split in dataset.splits()]
    stored = read_store(settings["output"])
    features, targets = rows_of_tags(
        stored, [p for s in splits for p in s.paths], np.concatenate([s.targets for s in splits])
    )
    names = stored.about.get("names") or [f"acoustic_{k}" for k in range(features.shape[1])]
    found = tag_correlations(features, targets)
    output = Path(settings["output"])
    for path in save_correlations(found, names, dataset.tags, len(features), output):
        say(str(path))


def main(arguments: list[str] | None = None) -> int:
    """The command's entry point; returns the exit status."""
    return main_with(COMMAND, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
