"""Playlist models: `python -m ssl_audio.recommend model=musig playlists=... features=...`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.run_folder import make_run_dir, save_configuration
from ssl_audio.recipe import Command, main_with, resolve

if TYPE_CHECKING:
    import numpy as np
    from omegaconf import DictConfig

COMMAND = Command(
    name="recommend",
    does="Train playlist models, complete held-out playlists beside baselines, export track "
         "vectors; or go on from a playlist.",
    usage="playlists=FILE [model=musig] [KEY=VALUE ...] | playlist=FILE [run_dir=RUN length=30] | "
          "apply=RUN stores.GROUP=FILE output=FILE",
    often=("model=[musig,m2grl,transformer]", "features=[popularity,acoustic]", "stores.acoustic=",
           "stores.audio=", "stores.embeddings=", "baselines=[random,track2vec]",
           "by_features=true", "by_task=true", "by_weights=true", "movielens=", "run_dir="),
    example="playlists=playlists/playlists.duckdb stores.acoustic=playlists/acoustic.parquet",
)  # fmt: skip
LEAST = {  # of whole numbers
    "": {"seed": 0, "length": 1, "k": 1},
    "graph": {"least_weight": 1},
    "musig": dict.fromkeys(("dimensions", "batch_size", "negatives", "steps"), 1),
    "m2grl": dict.fromkeys(("dimensions", "window", "negatives", "batch", "steps"), 1),
    "transformer": dict.fromkeys(("layers", "heads", "dimensions", "feed_forward", "context",
                                  "batch_size", "negatives", "steps"), 1),
    "completion": {"least": 2, "most": 2, "resamples": 1},
    "trainer": {"workers": 0, "log_every": 1, "checkpoint_every": 1},
}  # fmt: skip


def run(config: DictConfig) -> None:
    """Compare, or generate."""
    settings = resolve(config)
    _check_numbers(settings)
    if settings["apply"] is not None:
        _apply(settings)
        return
    given = [k for k in ("playlists", "movielens", "playlist") if settings[k] is not None]
    if len(given) != 1:
        raise SslAudioError("give one of playlists=, movielens= and playlist=: see --help")
    if given == ["playlist"]:
        _generate(settings)
        return
    _compare(settings, given[0])


def _check_numbers(settings: dict[str, Any]) -> None:
    for group, least_of in LEAST.items():
        values = settings[group] if group else settings
        for name, least in least_of.items():
            if not isinstance(values[name], int) or values[name] < least:
                key = f"{group}.{name}" if group else name
                raise SslAudioError(f"{key}={values[name]}: a whole number, {least} or more")
    cold, fan_out = settings["completion"]["cold"], settings["musig"]["fan_out"]
    if not isinstance(cold, int | float) or not 0 <= cold < 1:
        raise SslAudioError(f"completion.cold={cold}: from 0 to below 1")
    whole = isinstance(fan_out, list) and all(isinstance(n, int) and n > 0 for n in fan_out)
    if not whole or not fan_out:
        raise SslAudioError(f"musig.fan_out={fan_out}: whole numbers above 0, such as [25,10]")
    isolated = settings["musig"]["isolated"]
    if not isinstance(isolated, int | float) or not 0 <= isolated < 1:
        raise SslAudioError(f"musig.isolated={isolated}: from 0 to below 1")
    for group in ("musig", "m2grl", "transformer"):
        rate = settings[group]["learning_rate"]
        if not isinstance(rate, int | float) or rate <= 0:
            raise SslAudioError(f"{group}.learning_rate={rate}: above 0")
    if settings["ckpt_path"] not in (None, "last"):
        raise SslAudioError(f"ckpt_path={settings['ckpt_path']}: last, or leave it out")


def _compare(settings: dict[str, Any], source: str) -> None:
    resume = settings["ckpt_path"] is not None
    folder = make_run_dir(settings["run_dir"], f"recommend-{source}", resume, "results.json")
    settings["run_dir"] = str(folder)
    save_configuration(folder, settings, resume and (folder / "config.yaml").exists())
    if source == "movielens":
        from ssl_audio.recommenders.next_session import compare
    else:
        from ssl_audio.recommenders.comparison import compare
    results = compare(settings, folder)
    from ssl_audio.reports.page import write_report
    from ssl_audio.reports.playlist_page import text_tables

    if source == "playlists":
        _export(settings, folder)
    written = write_report(results, folder)
    print(text_tables(results))
    for path in written:
        if path.name == "report.html":
            print(f"report: {path}")


def _export(settings: dict[str, Any], folder: Path) -> None:
    """Write the vectors of all tracks by each model that has them, as a feature store."""
    from ssl_audio.recommenders.comparison import track_vectors

    for name, ids, vectors in track_vectors(settings, folder):
        _write_vectors(folder / f"{name}-tracks.parquet", name, ids, vectors)


def _write_vectors(path: Path, name: str, ids: list[str], vectors: np.ndarray) -> None:
    import hashlib

    from ssl_audio.stores.feature_store import Row
    from ssl_audio.stores.writer import write_store

    digest = hashlib.sha256(vectors.tobytes()).hexdigest()
    about = {"kind": f"{name} track vectors", "model": digest}
    rows = (Row(track, track, 0.0, "", v) for track, v in zip(ids, vectors, strict=True))
    say(f"{write_store(path, about, rows)} tracks x {vectors.shape[1]}: {path}")


def _apply(settings: dict[str, Any]) -> None:
    """Vectors by a trained MUSIG of tracks that it may never have seen."""
    from ssl_audio.recommenders.data.training_data import open_playlists
    from ssl_audio.recommenders.models.induction import musig_of, new_vectors
    from ssl_audio.settings.recommend import StoreSettings

    output = Path(settings["output"] or "vectors.parquet")
    if output.exists() or output.suffix != ".parquet":
        raise SslAudioError(f"output={output}: a new file that ends with .parquet")
    model = musig_of(Path(settings["apply"]))
    source, stores = settings["playlists"], StoreSettings(**settings["stores"])
    with tempfile.TemporaryDirectory() as folder:
        store = open_playlists(
            Path(source), Path(folder), stores, seed=settings["seed"], music=settings["music"],
            unknown=settings["unknown"],
        ) if source else None  # fmt: skip
        ids, vectors = new_vectors(
            model, settings["stores"], store, settings["graph"]["least_weight"],
            settings["missing"],
        )  # fmt: skip
    output.parent.mkdir(parents=True, exist_ok=True)
    _write_vectors(output, "musig", ids, vectors)


def _generate(settings: dict[str, Any]) -> None:
    from ssl_audio.recommenders.continuation import continue_playlist

    if settings["run_dir"] is None:
        settings["run_dir"] = str(_newest_run())
        say(f"by the transformer of {settings['run_dir']}")
    path = Path(settings["playlist"])
    output = Path(settings["output"] or path.with_name(f"{path.stem}-more.m3u"))
    added = continue_playlist(settings, path, output)
    say(f"{added} tracks: {output}")


def _newest_run() -> Path:
    """The last run below `runs/` that has trained a transformer.

    Raises:
        SslAudioError: there is none.
    """
    found = sorted(Path("runs").glob("*/results.json"), key=lambda p: p.stat().st_mtime)
    for path in reversed(found):
        results = json.loads(path.read_text(encoding="utf-8"))
        if "transformer" in results.get("models", {}):
            return path.parent
    raise SslAudioError(
        "playlist= goes on by a trained transformer, and no run below runs/ has one: name its "
        "run_dir=, or train one with model=transformer"
    )


def main(arguments: list[str] | None = None) -> int:
    """The command's entry point; returns the exit status."""
    return main_with(COMMAND, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
