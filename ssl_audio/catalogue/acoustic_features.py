"""Stores of acoustic features, computed from a store of embeddings."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ssl_audio.catalogue.acoustic_model import (
    DIMENSIONS,
    AcousticModel,
    Windows,
    fit_pca,
    load_acoustic,
    windows_of,
)
from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.progress import with_progress
from ssl_audio.settings.acoustic import AcousticSettings
from ssl_audio.stores.feature_store import (
    count_rows,
    read_about,
    read_rows,
    read_segments,
    read_store,
)
from ssl_audio.stores.remote import Working, local_folder, model_beside
from ssl_audio.stores.writer import Store, check_output

Playlists = Mapping[str, Sequence[str]]  # ids of the tracks of each playlist


def acoustic_features(
    settings: AcousticSettings, features: Path, output: Working, playlists: Playlists | None = None,
    digest: str = "",
) -> None:  # fmt: skip
    """Bring a store of acoustic features up to date with a store of embeddings.

    Args:
        settings: `model` is the folder of the fitted model; if absent, a model is fitted and saved
            there.
        playlists: the training data of kind=siamese; None without.
        digest: hash of the playlists, recorded with the model.

    Raises:
        SslAudioError: a store of other features, playlists that cannot be used, a model of another
            encoder.
    """
    path = output.path
    check_output(path)
    about = read_about(features)
    if about.get("kind") != "embedding":
        found = about.get("kind")
        raise SslAudioError(f"features={features} holds {found}, not embeddings")
    place = settings.model or model_beside(output.url or path)
    with local_folder(place) as folder:
        model = _model(settings, features, folder, playlists, digest)
    say(f"model ({model.method}): {place}")
    if about["model"] != model.about["encoder"]:
        raise SslAudioError(f"features={features}: the model was fitted to another encoder")
    about = {"kind": f"acoustic, {model.method}", "model": model.hash, "encoder": about["model"]}
    if "memberships" in model.about:
        about["memberships"] = model.about["memberships"]
    with Store(path, about, group=settings.group) as store:
        gone = set(store.records)
        rows = with_progress(read_rows(features), "acoustic features", count_rows(features))
        for row in rows:
            gone.discard(row.id)
            known = store.records.get(row.id)
            if known is None or (known.path, known.sha256) != (row.path, row.sha256):
                store.add(replace(row, vector=model.features(row.vector[None])[0]))
        store.flush()
        store.append([], gone if settings.deleted == "drop" else ())
        say(f"{store.close()} tracks x {DIMENSIONS} ({model.method}): {output.name}")


def _model(
    settings: AcousticSettings, features: Path, folder: Path, playlists: Playlists | None,
    digest: str,
) -> AcousticModel:  # fmt: skip
    """The fitted model of the folder; without one, a model is fitted and saved there."""
    if folder.exists():
        model = load_acoustic(folder)
        if playlists is not None or settings.kind not in ("auto", model.method):
            raise SslAudioError(
                f"{folder} is fitted already ({model.method}): leave out playlists= and kind= to "
                "apply it, or give another model="
            )
        return model
    model = _fit(settings, features, playlists, digest)
    model.save(folder)
    for key in ("held_out_roc_auc", "explained_variance"):
        if key in model.about:
            say(f"{key.replace('_', ' ')}: {model.about[key]:.3f}")
    return model


def _fit(
    settings: AcousticSettings, features: Path, playlists: Playlists | None, digest: str
) -> AcousticModel:
    if settings.kind == "siamese" and not playlists:
        raise SslAudioError("kind=siamese learns from playlists=; without them: kind=pca")
    stored = read_store(features)
    if stored.about.get("segments"):
        windows = windows_of(read_segments(features), stored.ids)
    else:
        windows = Windows(stored.vectors, np.arange(len(stored.ids) + 1))  # one a track
    about = {"encoder": stored.about["model"], "tracks": len(stored.ids)}
    if not playlists or settings.kind == "pca":
        return fit_pca(windows, about)
    from ssl_audio.catalogue.siamese import fit_siamese, membership

    about["memberships"] = digest
    return fit_siamese(windows, membership(playlists, stored.ids), about, settings.siamese)
