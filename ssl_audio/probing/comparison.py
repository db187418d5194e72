"""One comparison: several encoders on one data set, with paired error bars."""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ssl_audio.datasets.dataset import SPLITS, LabelledData, TaggingDataset
from ssl_audio.datasets.leaks import some
from ssl_audio.io.atomic import atomic_file
from ssl_audio.io.console import say, warn
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.run_folder import versions
from ssl_audio.probing.baselines import create_baseline, is_network
from ssl_audio.probing.baselines.untrained import untrained_encoder
from ssl_audio.probing.batches import TrainingRows
from ssl_audio.probing.bootstrap import paired_difference
from ssl_audio.probing.encoders import TrackEncoder, load_checkpoints
from ssl_audio.probing.features import TrackFeatures, track_features
from ssl_audio.probing.finetune import finetune
from ssl_audio.probing.measure import EncodedDataset, Measured, measure
from ssl_audio.probing.probe_cards import save_probes
from ssl_audio.reports.projection import project
from ssl_audio.reports.results import (
    DatasetSummary,
    Difference,
    ProbeProtocol,
    ProbeResults,
    TrackMap,
    write_results,
)
from ssl_audio.settings.probe import ProbeSettings
from ssl_audio.settings.tree import plain

MAX_UNREADABLE_FRACTION = 0.05  # of the tracks; more suggest a wrong folder, not a few bad files


def compare(settings: ProbeSettings, folder: Path) -> ProbeResults:
    """Measure all encoders and baselines; writes `results.json`, `scores.npz` and the probes.

    Raises:
        SslAudioError: the data set, a checkpoint or a baseline cannot be used.
    """
    started = time.monotonic()
    assert isinstance(settings.data, LabelledData)
    dataset = settings.data.load()
    if settings.part == "validation":
        dataset = dataset.for_choices(settings.seed)
    _print_dataset(dataset)
    encoders = _encoders(settings, dataset)
    features = {one.name: _features(one, dataset, settings) for one in encoders}
    seconds = {"features": time.monotonic() - started}
    notes, readable = _readable(dataset, features, settings.data.allow_missing)
    encoded = {name: _encoded(dataset, found, readable) for name, found in features.items()}
    measured = []
    for one in encoders:
        measured.append(measure(one, encoded[one.name], dataset.tags, settings))
        _print_measured(measured[-1])
    seconds["all"] = time.monotonic() - started
    first = encoded[encoders[0].name]
    results = ProbeResults(
        run=folder.name,
        seed=settings.seed,
        config=plain(settings),
        versions=versions(),
        seconds={key: round(value, 1) for key, value in seconds.items()},
        dataset=_dataset_summary(dataset, first, notes),
        protocol=_protocol(settings),
        systems=tuple(one.results for one in measured),
        differences=_differences(measured, settings.bootstrap.confidence),
        map=_track_map(encoders[0].name, first),
    )
    _save_scores(folder, dataset.tags, first, measured)
    save_probes(settings.probes or folder / "probes", measured, results.dataset, first)
    write_results(folder, results)
    return results


def _print_dataset(dataset: TaggingDataset) -> None:
    counts = ", ".join(f"{len(split.ids)} {name}" for name, split in dataset.splits())
    say(f"{dataset.name}: {counts} tracks, {len(dataset.tags)} tags")
    for note in dataset.notes:
        warn(note)


def _print_measured(measured: Measured) -> None:
    one = measured.results
    found = "".join(
        f"{title} {value.mean:.3f} ± {value.std:.3f}, " for title, value in one.classes.items()
    )
    say(
        f"{one.name}: {found}ROC-AUC {one.roc_auc.mean:.3f} ± {one.roc_auc.std:.3f}"
        f", mAP {one.map.mean:.3f} ± {one.map.std:.3f}"
    )


def _encoders(settings: ProbeSettings, dataset: TaggingDataset) -> list[TrackEncoder]:
    """Checkpoints, networks, baselines, fine-tuned checkpoints, and the supervised baseline."""
    hop, seed, names = settings.hop, settings.seed, settings.baselines
    folders = [path for path in settings.checkpoint if not is_network(str(path))]
    checkpoints = load_checkpoints(folders, hop)
    others = [str(path) for path in settings.checkpoint if is_network(str(path))]
    baselines = [
        create_baseline(name, hop, seed)
        for name in dict.fromkeys([*others, *names])
        if name != "supervised"
    ]
    trained = settings.finetune
    jobs = [
        (f"{one.name} (fine-tuned)", "finetune", one.encoder, trained)
        for one in checkpoints
        if settings.probe == "finetune"
    ]
    if "supervised" in names:  # random weights need no low rate to be preserved
        same_rate = replace(trained, encoder_rate=trained.head_rate)
        jobs.append(("supervised", "supervised", untrained_encoder(seed), same_rate))
    tuned = []
    for name, kind, encoder, chosen in jobs:
        say(f"{name}: training on the tags")
        tuned.append(finetune(name, kind, encoder, dataset, chosen, seed, hop))
    return [*checkpoints, *baselines, *tuned]


def _features(
    encoder: TrackEncoder, dataset: TaggingDataset, settings: ProbeSettings
) -> TrackFeatures:
    return track_features(
        encoder,
        [track for _, split in dataset.splits() for track in split.ids],
        [path for _, split in dataset.splits() for path in split.paths],
        keep_segments=settings.train_on == "segments",
        cache=settings.cache,
        workers=settings.workers,
    )


def _readable(
    dataset: TaggingDataset, features: Mapping[str, TrackFeatures], allow_missing: bool
) -> tuple[list[str], np.ndarray]:
    """Notes on tracks that an encoder could not read, and (tracks,) bool: True for the others."""
    ids = [track for _, split in dataset.splits() for track in split.ids]
    good = np.all([np.isfinite(found.means).all(1) for found in features.values()], axis=0)
    lost = [track for track, ok in zip(ids, good, strict=True) if not ok]
    if not lost:
        return [], good
    note = f"{len(lost)} of {len(ids)} tracks could not be read and were left out: {some(lost)}"
    warn(note)
    if len(lost) > MAX_UNREADABLE_FRACTION * len(ids) and not allow_missing:
        raise SslAudioError(f"{note}. To leave them out: data.allow_missing=true")
    return [note], good


def _encoded(
    dataset: TaggingDataset, features: TrackFeatures, readable: np.ndarray
) -> EncodedDataset:
    means, targets, kept, first = {}, {}, {}, 0
    for name, split in dataset.splits():
        rows = np.flatnonzero(readable[first : first + len(split.ids)])
        if not len(rows):
            raise SslAudioError(f"{dataset.name}: no track of the {name} split can be read")
        means[name], targets[name] = features.means[first + rows], split.targets[rows]
        kept[name], first = rows, first + len(split.ids)
    single_label = dataset.classes is not None
    train = TrainingRows(means["train"], targets["train"], single_label=single_label)
    if features.segments is not None and features.starts is not None and features.ends is not None:
        rows = kept["train"]  # the training split comes first
        starts, ends = features.starts[rows], features.ends[rows]
        train = TrainingRows(features.segments, targets["train"], starts, ends, single_label)
    return EncodedDataset(train, means, targets, dataset.test.take(kept["test"]), dataset.classes)


def _dataset_summary(
    dataset: TaggingDataset, encoded: EncodedDataset, notes: Sequence[str]
) -> DatasetSummary:
    return DatasetSummary(
        name=dataset.name,
        tags=dataset.tags,
        counts={name: len(encoded.targets[name]) for name in SPLITS},
        missing={name: len(dataset.missing[name]) for name in SPLITS},
        notes=(*dataset.notes, *notes),
        hash=dataset.hash,
        citation=dataset.citation,
        licence=dataset.licence,
    )


def _protocol(settings: ProbeSettings) -> ProbeProtocol:
    same = {key: getattr(settings, key) for key in ("probe", "part", "train_on", "hop", "knn")}
    return ProbeProtocol(**same, **vars(settings.bootstrap))


def _differences(measured: Sequence[Measured], confidence: float) -> tuple[Difference, ...]:
    return tuple(
        Difference(
            a.results.name, b.results.name, metric, found.mean, found.low, found.high, confidence
        )
        for a, b in itertools.combinations(measured, 2)
        for metric in a.resamples.metrics
        for found in [paired_difference(a.resamples, b.resamples, metric, confidence)]
    )


def _track_map(name: str, encoded: EncodedDataset) -> TrackMap:
    points, method = project(encoded.means["test"])
    return TrackMap(
        system=name,
        method=method,
        x=tuple(points[:, 0].round(4).tolist()),
        y=tuple(points[:, 1].round(4).tolist()),
        ids=encoded.test.ids,
        paths=tuple(str(path) for path in encoded.test.paths),
        tags=tuple(tuple(np.flatnonzero(row == 1).tolist()) for row in encoded.targets["test"]),
    )


def _save_scores(
    folder: Path, tags: Sequence[str], encoded: EncodedDataset, measured: Sequence[Measured]
) -> None:
    """Write the test logits of all encoders, with what tracks are to be resampled with."""
    with atomic_file(folder / "scores.npz") as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            ids=np.array(encoded.test.ids),
            clusters=np.array(encoded.test.clusters),
            tags=np.array(tags),
            targets=encoded.targets["test"],
            systems=np.array([one.results.name for one in measured]),
            scores=np.stack([np.asarray(one.scores, np.float32) for one in measured]),
        )
