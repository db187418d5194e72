"""Compact features of tracks: `python -m ssl_audio.acoustic features=... output=...`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_audio.io.console import SOME_FAILED, say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.progress import tracks_bar
from ssl_audio.recipe import Command, main_with, resolve

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ssl_audio.catalogue.acoustic_model import AcousticModel
    from ssl_audio.datasets.dataset import TaggingDataset

KINDS = ("auto", "siamese", "pca", "descriptors")
COMMAND = Command(
    name="acoustic",
    does="Eight acoustic features of tracks from their embeddings, or 42 descriptors from audio.",
    usage="features=FILE output=FILE [playlists=FILE] | kind=descriptors source=FOLDER output=FILE",
    often=("kind=pca", "model=FOLDER", "+tags.name=scores", "+tags.root="),
    example="features=features.parquet playlists=playlists.csv output=acoustic.parquet",
    statuses=((SOME_FAILED, "some files failed: see ...-failures.csv beside the output"),),
)


def run(config: DictConfig) -> int:
    """Fit or load the model and apply it, or describe the audio; then say what goes with tags."""
    settings = resolve(config)
    if settings["kind"] not in KINDS:
        raise SslAudioError(f"kind={settings['kind']}: {', '.join(KINDS)}")
    wanted = "source" if settings["kind"] == "descriptors" else "features"
    if settings[wanted] is None:
        raise SslAudioError(f"kind={settings['kind']} is made from {wanted}=")
    _check(settings)
    dataset = _tagged(settings["tags"]) if settings["tags"] else None
    status = _descriptors(settings) if wanted == "source" else _acoustic(settings)
    if dataset is not None:
        _correlate(dataset, Path(settings["output"]))
    return status


def _check(settings: dict[str, Any]) -> None:
    training = settings["siamese"]
    if min(training["batch_size"] // 2, training["every"], training["patience"]) < 1:
        raise SslAudioError("siamese.batch_size, every and patience must be 2, 1 and 1 or more")
    if training["steps"] < training["every"]:
        raise SslAudioError("siamese.steps must be siamese.every or more: it is validated then")
    if settings["workers"] is not None and settings["workers"] < 1:
        raise SslAudioError(f"workers={settings['workers']}: 1 or more, or null")


def _tagged(settings: Any) -> TaggingDataset:
    """The dataset of `tags.name=` and its other settings, before anything slow is done."""
    from ssl_audio.datasets.dataset import load_dataset

    if not isinstance(settings, dict) or "name" not in settings:
        raise SslAudioError("tags: +tags.name=DATASET +tags.root=FOLDER, as the probe's data.")
    return load_dataset(**{"root": None, **settings})


def _acoustic(settings: dict[str, Any]) -> int:
    from ssl_audio.catalogue.acoustic_features import acoustic_rows
    from ssl_audio.catalogue.acoustic_model import DIMENSIONS
    from ssl_audio.catalogue.embedding import export
    from ssl_audio.stores.feature_store import read_about
    from ssl_audio.stores.writer import Store

    output = Path(settings["output"])
    model = _model(settings, output)
    encoder = read_about(settings["features"]).get("model")
    if encoder != model.about["encoder"]:
        raise SslAudioError(
            f"features={settings['features']} are of another encoder than the model was fitted to"
        )
    about = {"kind": f"acoustic, {model.kind}", "model": model.hash, "encoder": encoder}
    if "memberships" in model.about:
        about["memberships"] = model.about["memberships"]
    store = Store(output, about, group=settings["group"])
    todo = (r for r in acoustic_rows(settings["features"], model) if r.id not in store.finished)
    export(tracks_bar(todo, None, "acoustic"), store)
    say(f"{store.close()} tracks x {DIMENSIONS} ({model.kind}): {output}")
    return 0


def _model(settings: dict[str, Any], output: Path) -> AcousticModel:
    """The fitted model: from its folder if it is there, else fitted now and written there."""
    from ssl_audio.catalogue.acoustic_features import fit
    from ssl_audio.catalogue.acoustic_model import SiameseSettings, load_acoustic

    folder = Path(settings["model"] or output.with_name(output.stem + "-model"))
    if folder.exists():
        model = load_acoustic(folder)
        if settings["playlists"] or settings["kind"] not in ("auto", model.kind):
            raise SslAudioError(
                f"{folder} is fitted already ({model.kind}): leave out playlists= and kind= to "
                "apply it, or name another model="
            )
        say(f"applying {folder}")
        return model
    chosen = SiameseSettings(**settings["siamese"])
    playlists = _memberships(settings["playlists"]) if settings["playlists"] else {}
    pairs = [(name, track) for name, tracks in playlists.items() for track in tracks]
    model = fit(settings["features"], settings["kind"], pairs or None, chosen)
    if playlists:
        from ssl_audio.recommenders.data.membership import membership_digest

        taught = {"memberships": membership_digest(playlists.items())}
        model = replace(model, about={**model.about, **taught})
    model.save(folder)
    for key in ("held_out_roc_auc", "explained_variance"):
        if key in model.about:
            say(f"{key.replace('_', ' ')}: {model.about[key]:.3f}")
    say(f"model ({model.kind}): {folder}")
    return model


def _memberships(path: str) -> dict[str, list[str]]:
    """The tracks of each playlist; of a store, of its training playlists."""
    if path.endswith(".duckdb"):
        from ssl_audio.recommenders.data.membership import named
        from ssl_audio.recommenders.data.store import open_store

        store = open_store(path)
        return dict(named(store.playlists("train"), store.catalogue()))
    from ssl_audio.recommenders.data.records import SourcePlaylist
    from ssl_audio.recommenders.data.sources import read_source

    found = {p.id: p.tracks for p in read_source(path) if isinstance(p, SourcePlaylist)}
    if not any(found.values()):
        raise SslAudioError(f"playlists={path}: no track in it")
    return found


def _descriptors(settings: dict[str, Any]) -> int:
    from ssl_audio.catalogue.acoustic_features import describe_item
    from ssl_audio.catalogue.descriptors import DESCRIPTORS
    from ssl_audio.catalogue.embedding import export_source
    from ssl_audio.models.extraction import in_order
    from ssl_audio.stores.writer import Store

    output = Path(settings["output"])
    about = {"kind": "descriptors", "model": "42", "names": [d.name for d in DESCRIPTORS]}
    store = Store(output, about, group=settings["group"])
    failures = output.with_name(f"{output.stem}-failures.csv")  # failures.csv is the export's
    summary, count = export_source(
        settings["source"],
        store,
        lambda todo, _: in_order(todo, describe_item, settings["workers"]),
        "describing",
        failures,
    )
    if summary.failures:
        say(f"{len(summary.failures)} files failed: {failures}")
    say(f"{count} tracks x {len(DESCRIPTORS)}: {output}")
    return SOME_FAILED if summary.failures else 0


def _correlate(dataset: TaggingDataset, output: Path) -> None:
    """Write how each feature goes with each tag, as a table and as a picture."""
    import numpy as np

    from ssl_audio.catalogue.acoustic_features import rows_of_tags, tag_correlations
    from ssl_audio.reports.correlations import save_correlations
    from ssl_audio.stores.feature_store import read_store

    splits = [split for _, split in dataset.splits()]
    stored = read_store(output)
    features, targets = rows_of_tags(
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
