"""One comparison: several systems on one dataset, by one protocol, with paired error bars."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssl_audio.datasets.dataset import SPLITS, TaggingDataset, load_dataset
from ssl_audio.io.atomic import atomic_file, write_json
from ssl_audio.io.console import say, warn
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.parallel import in_order
from ssl_audio.io.run_folder import versions
from ssl_audio.models.encoder import build_encoder
from ssl_audio.probing.baselines import System, baseline, checkpoint_system, encoder_system
from ssl_audio.probing.bootstrap import METRICS, Bootstrap, bootstrap, paired_difference
from ssl_audio.probing.calibration import calibration
from ssl_audio.probing.features import TrackFeatures, track_features
from ssl_audio.probing.knn import knn_scores
from ssl_audio.probing.limited_data import Subset, few_shot_subsets, fraction_subsets
from ssl_audio.probing.logistic import LogisticProbe
from ssl_audio.probing.metrics import Figures, evaluate
from ssl_audio.probing.probes import (
    ProbeSettings,
    TrainingRows,
    train_probes,
)

FORMAT = 1
MOST_UNREADABLE = 0.05  # of the tracks; more is a wrong folder rather than a few bad files
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Arrays:
    """One system's features, by split, without the tracks that could not be read.

    Attributes:
        train: what probes learn from.
        means: by split, (tracks, dimensions).
        targets: by split, (tracks, tags).
        ids, paths: of the test split.
    """

    train: TrainingRows
    means: Mapping[str, np.ndarray]
    targets: Mapping[str, np.ndarray]
    ids: Sequence[str]
    paths: Sequence[Path]


def compare(settings: Settings, folder: Path) -> dict[str, Any]:
    """Measure every system that is asked for; returns what is written to `results.json`.

    Raises:
        SslAudioError: the dataset, a checkpoint or a baseline cannot be used.
    """
    started = time.monotonic()
    _check(settings)
    dataset = load_dataset(**settings["data"])
    _introduce(dataset)
    systems, tuned = _systems(settings, dataset, folder)
    features = {s.name: _features(s, dataset, settings) for s in systems}
    seconds = {"features": time.monotonic() - started}
    arrays, notes = _readable(dataset, features, settings)
    measured = [
        _measure(s, arrays[s.name], dataset.tags, settings, tuned.get(s.name)) for s in systems
    ]
    seconds["all"] = time.monotonic() - started
    results = {
        "format": FORMAT,
        "kind": "probe",
        "dataset": {**_dataset_summary(dataset, arrays), "notes": [*dataset.notes, *notes]},
        "protocol": _protocol(settings),
        "systems": [one.summary for one in measured],
        "differences": _differences(measured, settings["bootstrap"]["confidence"]),
        "map": _map(systems, arrays),
        "config": dict(settings),
        "versions": versions(),
        "seed": settings["seed"],
        "run": folder.name,
        "seconds": {key: round(value, 1) for key, value in seconds.items()},
    }
    _save_scores(folder, dataset, arrays, measured)
    write_json(folder / "results.json", _plain(results))
    return _plain(results)


def _check(settings: Settings) -> None:
    """Refuse at once what would otherwise be refused after minutes of work."""
    boot = settings["bootstrap"]
    fractions: Any = (settings["limited_data"] or {"fractions": []})["fractions"]
    logistic = settings["probe"]["kind"] == "logistic"
    wanted = [
        ("train_on", settings["train_on"] in ("tracks", "segments"), "tracks or segments"),
        ("train_on", settings["train_on"] == "tracks" or not logistic, "tracks of probe=logistic"),
        ("hop", _positive(settings["hop"], float), "seconds, more than 0, or null"),
        ("knn", _positive(settings["knn"]), "neighbours, 1 or more, or null"),
        ("workers", _positive(settings["workers"]), "1 or more, or null"),
        ("bootstrap.fraction", 0 < boot["fraction"] < 1, "between 0 and 1"),
        ("bootstrap.confidence", 0 < boot["confidence"] < 1, "between 0 and 1"),
        ("bootstrap.resamples", boot["resamples"] >= 2, "2 or more"),
        ("limited_data.fractions",
         isinstance(fractions, list) and all(0 < f < 1 for f in fractions),
         "a list of parts, each between 0 and 1"),
    ]  # fmt: skip
    for key, holds, what in wanted:
        if not holds:
            raise SslAudioError(f"{key} must be {what}")


def _positive(value: Any, kind: type[int] | type[float] = int) -> bool:
    return value is None or (isinstance(value, int | kind) and value > 0)


def _introduce(dataset: TaggingDataset) -> None:
    counts = ", ".join(f"{len(split.ids)} {name}" for name, split in dataset.splits())
    say(f"{dataset.name}: {counts} tracks, {len(dataset.tags)} tags")
    for note in dataset.notes:
        warn(note)


# --- the systems ---------------------------------------------------------------------------------


def _systems(
    settings: Settings, dataset: TaggingDataset, folder: Path
) -> tuple[list[System], dict[str, Any]]:
    """The systems in their order, and by name those that were trained on the tags."""
    hop, seed = settings["hop"], settings["seed"]
    paths = _listed(settings["checkpoint"])
    names = _listed(settings["baselines"])
    if not paths and not names:
        raise SslAudioError("nothing to measure: give checkpoint=FOLDER, or baselines=[...]")
    if settings["probe"]["kind"] == "finetune" and not paths:
        raise SslAudioError("probe=finetune trains an encoder further: give checkpoint=FOLDER")
    systems = [
        checkpoint_system(path, name, hop)
        for path, name in zip(paths, _short_names(paths), strict=True)
    ]
    systems += [baseline(name, seed, hop) for name in names if name != "supervised"]
    tuned: dict[str, Any] = {}
    if settings["probe"]["kind"] == "finetune":
        for system in [s for s in systems if s.kind == "checkpoint"]:
            name = f"{system.name} (fine-tuned)"
            start = system.encoder
            assert start is not None
            systems.append(_tuned_system(name, "finetune", start, dataset, settings, folder, tuned))
    if "supervised" in names:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            start = build_encoder()
        systems.append(
            _tuned_system("supervised", "supervised", start, dataset, settings, folder, tuned)
        )
    return systems, tuned


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(v) for v in value] if isinstance(value, list | tuple) else [str(value)]


def _short_names(paths: Sequence[str]) -> list[str]:
    """The last part of each path that tells it from the others; `runs/a/encoder` is `a`."""
    parts = [[p for p in Path(path).parts if p != "encoder"] or ["encoder"] for path in paths]
    for depth in range(1, max((len(p) for p in parts), default=0) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    if len(set(paths)) < len(paths):
        raise SslAudioError("checkpoint= names the same folder twice")
    return list(paths)


def _tuned_system(
    name: str, kind: str, start: Any, dataset: TaggingDataset, settings: Settings, folder: Path,
    tuned: dict[str, Any],
) -> System:  # fmt: skip
    from ssl_audio.probing.finetune import FinetuneSettings, finetune

    chosen = {k: v for k, v in settings["finetune"].items()}
    if kind == "supervised":
        chosen["encoder_rate"] = chosen["head_rate"]  # nothing learnt yet that could be lost
    say(f"{name}: training on the tags")
    found = finetune(start, dataset, FinetuneSettings(seed=settings["seed"], **chosen), folder)
    tuned[name] = found
    return encoder_system(
        name, kind, f"epoch {found.best_epoch + 1}", found.encoder, settings["hop"]
    )


# --- features ------------------------------------------------------------------------------------


def _features(system: System, dataset: TaggingDataset, settings: Settings) -> TrackFeatures:
    splits = [split for _, split in dataset.splits()]
    return track_features(
        system.features,
        system.key,
        [i for split in splits for i in split.ids],
        [p for split in splits for p in split.paths],
        keep_segments=settings["train_on"] == "segments",
        cache=Path(settings["cache"]) if settings["cache"] else None,
        workers=settings["workers"],
        name=system.name,
    )


def _readable(
    dataset: TaggingDataset, features: Mapping[str, TrackFeatures], settings: Settings
) -> tuple[dict[str, Arrays], list[str]]:
    """Every system on the same tracks: those that all of them could read."""
    ids = [i for _, split in dataset.splits() for i in split.ids]
    good = np.all([np.isfinite(f.means).all(1) for f in features.values()], axis=0)
    notes = []
    if not good.all():
        lost = [i for i, ok in zip(ids, good, strict=True) if not ok]
        notes.append(f"{len(lost)} of {len(ids)} tracks could not be read and were left out: "
                     f"{', '.join(lost[:5])}{' ...' if len(lost) > 5 else ''}")  # fmt: skip
        warn(notes[0])
        allowed = settings["data"].get("allow_missing")
        if len(lost) > MOST_UNREADABLE * len(ids) and not allowed:
            raise SslAudioError(f"{notes[0]}. To go on without them: data.allow_missing=true")
    return {name: _arrays(dataset, found, good) for name, found in features.items()}, notes


def _arrays(dataset: TaggingDataset, features: TrackFeatures, good: np.ndarray) -> Arrays:
    means, targets, first = {}, {}, 0
    kept: dict[str, np.ndarray] = {}
    for name, split in dataset.splits():
        rows = np.flatnonzero(good[first : first + len(split.ids)])
        if not len(rows):
            raise SslAudioError(f"{dataset.name}: no track of the {name} split can be read")
        means[name] = features.means[first + rows]
        targets[name], kept[name] = split.targets[rows], rows
        first += len(split.ids)
    test = dataset.test.take(kept["test"].tolist())
    train = TrainingRows(means["train"], targets["train"])
    if features.segments is not None and features.offsets is not None:
        train = _segment_rows(features, kept["train"], targets["train"])
    return Arrays(train, means, targets, test.ids, test.paths)


def _segment_rows(features: TrackFeatures, kept: np.ndarray, targets: np.ndarray) -> TrainingRows:
    """The segments of the training tracks that are kept; the training split comes first."""
    assert features.offsets is not None and features.segments is not None
    starts, ends = features.offsets[kept], features.offsets[kept + 1]
    return TrainingRows(features.segments, targets, starts, ends)


# --- measuring -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """One system's figures, and what they were computed from."""

    summary: dict[str, Any]
    resamples: Bootstrap
    scores: np.ndarray


def _measure(
    system: System,
    arrays: Arrays,
    tags: Sequence[str],
    settings: Settings,
    tuned: Any,
) -> Measured:
    kind = settings["probe"]["kind"]
    fractions, shots = _subsets(arrays, settings)
    if tuned is not None:
        scores, kind = tuned.scores(arrays.means["test"]), system.kind
        fractions, shots = [], []
        few: list[np.ndarray] = []
    elif kind == "logistic":
        validation = (arrays.means["validation"], arrays.targets["validation"])
        probe = LogisticProbe().fit(arrays.means["train"], arrays.targets["train"], validation)
        scores = probe.scores(arrays.means["test"])
        fractions, shots, few = [], [], []
    else:
        kind = "linear" if kind == "finetune" else kind
        scores, few = _probe_scores(system, arrays, [*fractions, *shots], settings, kind)
    targets = arrays.targets["test"]
    whole = evaluate(targets, scores)
    boot = settings["bootstrap"]
    resamples = bootstrap(
        targets, scores, boot["resamples"], boot["fraction"], seed=settings["seed"]
    )
    figures = list(in_order(few, partial(evaluate, targets)))
    summary = {
        "name": system.name,
        "kind": system.kind,
        "probe": kind,
        "hash": system.key,
        "source": system.source,
        "dimensions": arrays.means["test"].shape[1],
        **{m: _metric_summary(resamples, whole, m) for m in METRICS},
        "undefined": resamples.undefined,
        "per_tag": _per_tag(resamples, tags, targets),
        "limited": _by_setting(fractions, figures[: len(fractions)], "fraction"),
        "few_shot": _by_setting(shots, figures[len(fractions) :], "shots"),
        "knn": None if tuned else _knn(arrays, settings["knn"]),
        "calibration": calibration(targets, _sigmoid(scores)),
    }
    say(
        f"{system.name}: ROC-AUC {summary['roc_auc']['mean']:.3f} ± {summary['roc_auc']['std']:.3f}"
        f", mAP {summary['map']['mean']:.3f} ± {summary['map']['std']:.3f}"
    )
    return Measured(summary, resamples, scores)


def _subsets(arrays: Arrays, settings: Settings) -> tuple[list[Subset], list[Subset]]:
    limited, few = settings["limited_data"], settings["few_shot"]
    targets = arrays.targets["train"]
    fractions = [f for f in limited["fractions"] if round(f * len(targets)) > 0] if limited else []
    return (
        fraction_subsets(len(targets), fractions, limited["seeds"]) if fractions else [],
        few_shot_subsets(targets, few["shots"], few["seeds"]) if few else [],
    )


def _probe_scores(
    system: System, arrays: Arrays, subsets: Sequence[Subset], settings: Settings, kind: str
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Test scores of the probe on all training rows, and of those on the subsets."""
    chosen = {k: v for k, v in settings["linear_probe"].items()}
    probes = train_probes(
        arrays.train,
        arrays.means["validation"],
        arrays.targets["validation"],
        [np.arange(len(arrays.targets["train"])), *(subset.rows for subset in subsets)],
        ProbeSettings(kind=kind, seed=settings["seed"], **chosen),
        device="cuda" if torch.cuda.is_available() else "cpu",
        progress=True,
        name=system.name,
    )
    whole, *few = [probe.scores(arrays.means["test"]) for probe in probes]
    return whole, few


def _metric_summary(resamples: Bootstrap, whole: Figures, metric: str) -> dict[str, Any]:
    mean, deviation = resamples.summary(metric)
    return {
        "mean": mean,
        "std": deviation,
        "test": getattr(whole, metric),
        "resamples": resamples.macro(metric).tolist(),
    }


def _per_tag(resamples: Bootstrap, tags: Sequence[str], targets: np.ndarray) -> dict[str, Any]:
    by_metric = {metric: resamples.by_tag(metric) for metric in METRICS}
    return {
        tag: {
            **{
                metric: {"mean": float(mean[k]), "std": float(std[k])}
                for metric, (mean, std) in by_metric.items()
            },
            "positives": int(targets[:, k].sum()),
        }
        for k, tag in enumerate(tags)
    }


def _by_setting(
    subsets: Sequence[Subset], figures: Sequence[Figures], key: str
) -> list[dict[str, Any]]:
    """Figures of the draws of each fraction, or of each number of shots."""
    found = []
    for value in dict.fromkeys(getattr(subset, key) for subset in subsets):
        of = [(s, f) for s, f in zip(subsets, figures, strict=True) if getattr(s, key) == value]
        found.append({
            key: value,
            "rows": round(float(np.mean([len(s.rows) for s, _ in of]))),
            **{metric: [getattr(f, metric) for _, f in of] for metric in METRICS},
        })  # fmt: skip
    return found


def _knn(arrays: Arrays, k: int | None) -> dict[str, Any] | None:
    if not k:
        return None
    scores = knn_scores(arrays.means["train"], arrays.targets["train"], arrays.means["test"], k)
    found = evaluate(arrays.targets["test"], scores)
    return {"k": k, "roc_auc": found.roc_auc, "map": found.map}


def _sigmoid(scores: np.ndarray) -> np.ndarray:
    return torch.from_numpy(np.asarray(scores)).sigmoid().numpy()


def _differences(measured: Sequence[Measured], confidence: float) -> list[dict[str, Any]]:
    return [
        {
            "a": a.summary["name"],
            "b": b.summary["name"],
            "metric": metric,
            "confidence": confidence,
            **paired_difference(a.resamples, b.resamples, metric, confidence),
        }
        for a, b in itertools.combinations(measured, 2)
        for metric in METRICS
    ]


# --- what is written -----------------------------------------------------------------------------


def _dataset_summary(dataset: TaggingDataset, arrays: Mapping[str, Arrays]) -> dict[str, Any]:
    targets = next(iter(arrays.values())).targets  # of the tracks that could be read
    return {
        "name": dataset.name,
        "tags": list(dataset.tags),
        "counts": {name: len(targets[name]) for name in SPLITS},
        "missing": {name: len(dataset.missing[name]) for name in SPLITS},
        "hash": dataset.hash,
        "citation": dataset.citation,
        "licence": dataset.licence,
    }


def _protocol(settings: Settings) -> dict[str, Any]:
    kept = ("probe", "train_on", "hop", "bootstrap", "limited_data", "few_shot", "knn")
    return {key: settings[key] for key in kept}


def _map(systems: Sequence[System], arrays: Mapping[str, Arrays]) -> dict[str, Any]:
    """The test tracks in the plane, by the first system's features."""
    from ssl_audio.reports.projection import project

    first = systems[0].name
    found = arrays[first]
    points, method = project(found.means["test"])
    return {
        "system": first,
        "method": method,
        "x": points[:, 0].round(4).tolist(),
        "y": points[:, 1].round(4).tolist(),
        "ids": list(found.ids),
        "paths": [str(path) for path in found.paths],
        "tags": [np.flatnonzero(row).tolist() for row in found.targets["test"]],
    }


def _save_scores(
    folder: Path,
    dataset: TaggingDataset,
    arrays: Mapping[str, Arrays],
    measured: Sequence[Measured],
) -> None:
    """Every system's scores of the test tracks, for whoever wants to measure something else."""
    any_system = next(iter(arrays.values()))
    with atomic_file(folder / "scores.npz") as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            ids=np.array(any_system.ids),
            tags=np.array(dataset.tags),
            targets=any_system.targets["test"],
            systems=np.array([one.summary["name"] for one in measured]),
            scores=np.stack([np.asarray(one.scores, np.float32) for one in measured]),
        )


def _plain(value: Any) -> Any:
    """JSON values; NaN, which JSON has not, is null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
