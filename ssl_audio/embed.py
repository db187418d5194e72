"""Embed a whole catalogue: `python -m ssl_audio.embed source=/music checkpoint=... output=...`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_audio.io.console import SOME_FAILED, say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recipe import Command, main_with, resolve

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ssl_audio.catalogue.embedding import Failure, Item, Summary
    from ssl_audio.models.encoder import Encoder
    from ssl_audio.stores.feature_store import Row

OPENVINO_FROM = 300  # tracks, of each that gets it ready: for fewer, that takes what it saves
COMMAND = Command(
    name="embed",
    does="Write the embeddings of a catalogue to one file; the same command goes on after a stop.",
    usage="source=FOLDER checkpoint=FOLDER output=FILE [KEY=VALUE ...]",
    often=("segments=true", "hop=", "precision=bfloat16", "runtime=", "dtype=float16", "workers=",
           "engine=ray"),
    example="source=/music checkpoint=checkpoints/contrastive output=features.parquet",
    statuses=((SOME_FAILED, "some files failed: see failures.csv beside the output"),),
)  # fmt: skip


def run(config: DictConfig) -> int:
    """Check what can be checked at once, then embed."""
    settings = resolve(config)
    _check(settings)
    from ssl_audio.catalogue.embedding import export_source
    from ssl_audio.io.atomic import write_json
    from ssl_audio.io.run_folder import versions
    from ssl_audio.models.encoder import load_encoder
    from ssl_audio.stores.writer import Store

    encoder = load_encoder(settings["checkpoint"])
    output = Path(settings["output"])
    store = Store(
        output, _about(settings, encoder), settings["dtype"], settings["segments"],
        settings["group"],
    )  # fmt: skip
    failures = output.parent / "failures.csv"
    summary, count = export_source(
        settings["source"], store, partial(_results, encoder=encoder, settings=settings),
        "embedding", failures,
    )  # fmt: skip
    write_json(
        output.with_name(output.name + ".run.json"),
        {"tracks": count, "failed": len(summary.failures), "config": settings,
         "versions": versions()},
    )  # fmt: skip
    _say_what_came(summary, count, output, failures)
    return SOME_FAILED if summary.failures else 0


def _check(settings: dict[str, Any]) -> None:
    wanted = {
        "precision": (settings["precision"] in ("float32", "bfloat16"), "float32 or bfloat16"),
        "runtime": (
            settings["runtime"] in ("auto", "torch", "openvino"),
            "auto, torch or openvino",
        ),
        "engine": (settings["engine"] in ("local", "ray"), "local or ray"),
        "hop": (_positive(settings["hop"]), "seconds, more than 0, or null"),
        "workers": (_positive(settings["workers"]), "1 or more, or null"),
        "batch_size": (settings["batch_size"] > 0, "segments, 1 or more"),
    }
    for key, (holds, what) in wanted.items():
        if not holds:
            raise SslAudioError(f"{key}={settings[key]}: {what}")


def _positive(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and value > 0)


def _about(settings: dict[str, Any], encoder: Encoder) -> dict[str, Any]:
    """What decides a vector: it must not change within one store."""
    return {
        "kind": "embedding",
        "model": encoder.weights_hash,
        "checkpoint": settings["checkpoint"],
        "hop": settings["hop"],
        "precision": settings["precision"],
        "segment": encoder.segment,
    }


def _results(
    todo: Iterable[Item], total: int | None, encoder: Encoder, settings: dict[str, Any]
) -> Iterator[Row | Failure]:
    """Of a store's missing tracks; `settings` is told what the network runs in."""
    from ssl_audio.catalogue.embedding import Settings, local_results

    workers = settings["workers"]
    least = OPENVINO_FROM * (workers or 1 if settings["engine"] == "ray" else 1)
    if settings["runtime"] == "auto" and total is not None and total < least:
        settings["runtime"] = "torch"
    chosen = Settings(
        **{k: settings[k] for k in ("segments", "hop", "precision", "batch_size", "runtime")}
    )
    if settings["engine"] == "ray":
        from ssl_audio.catalogue.ray_engine import ray_results

        return ray_results(todo, settings["checkpoint"], chosen, workers)
    from ssl_audio.models.runtime import for_embedding, runtime_of

    fast = for_embedding(encoder, settings["precision"], settings["runtime"], workers)
    settings["runtime"] = runtime_of(fast)
    return local_results(todo, fast, chosen, workers)


def _say_what_came(summary: Summary, count: int, output: Path, failures: Path) -> None:
    hours = summary.seconds / 3600
    rate = summary.rows / summary.elapsed if summary.elapsed else 0.0
    say(
        f"{summary.rows} tracks ({hours:.2f} hours) in {summary.elapsed:.0f} s, {rate:.1f} a second"
    )
    if summary.kept:
        say(f"{summary.kept} were there before")
    if summary.failures:
        say(f"{len(summary.failures)} files failed: {failures}")
    say(f"{count} tracks: {output}")


def main(arguments: list[str] | None = None) -> int:
    """The command's entry point; returns the exit status."""
    return main_with(COMMAND, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
