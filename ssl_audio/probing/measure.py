"""The measurements of one encoder on one data set."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ssl_audio.datasets.dataset import Classes, Split
from ssl_audio.io.parallel import in_order
from ssl_audio.probing.batched import TrainedProbe
from ssl_audio.probing.batches import TrainingRows
from ssl_audio.probing.bootstrap import METRICS, Bootstrap, bootstrap
from ssl_audio.probing.calibration import calibration, probabilities
from ssl_audio.probing.classes import class_metrics
from ssl_audio.probing.cost import cost
from ssl_audio.probing.encoders import PackageEncoder, TrackEncoder
from ssl_audio.probing.estimator import Probe
from ssl_audio.probing.finetune import TaggingEncoder
from ssl_audio.probing.knn import knn_scores
from ssl_audio.probing.limited_data import Subset, few_shot_subsets, fraction_subsets
from ssl_audio.probing.metrics import Metrics, evaluate
from ssl_audio.probing.probes import PROBES
from ssl_audio.probing.retrieval import retrievals
from ssl_audio.probing.robustness import changed_means
from ssl_audio.reports.results import (
    ChangedMetrics,
    FractionDraws,
    KnnScores,
    MeanAndStd,
    MetricSummary,
    ShotDraws,
    SystemResults,
    TagFigures,
)
from ssl_audio.settings.probe import ProbeSettings

Draw = tuple[Subset, Metrics]
NOT_ON_SUBSETS = {"logistic"}  # it takes a minute for each of the 33 probes of a large data set


@dataclass(frozen=True)
class EncodedDataset:
    """The features of one encoder, of the tracks that every encoder could read.

    Attributes:
        train: what probes are trained on.
        means: (tracks, dimensions) mean features by split.
        targets: (tracks, tags) by split.
        test: the tracks of the test split.
        classes: None if a track may have any number of tags.
    """

    train: TrainingRows
    means: Mapping[str, np.ndarray]
    targets: Mapping[str, np.ndarray]
    test: Split
    classes: Classes | None = None


@dataclass(frozen=True)
class Measured:
    """The results of one encoder, with the resamples and the (tracks, tags) logits behind them, and
    for a checkpoint the probe that `tag` can use."""

    results: SystemResults
    resamples: Bootstrap
    scores: np.ndarray
    probe: Probe | None = None


def measure(
    encoder: TrackEncoder, data: EncodedDataset, tags: Sequence[str], settings: ProbeSettings
) -> Measured:
    """Train probes on an encoder's features and evaluate them on the test split."""
    targets, boot, test = data.targets["test"], settings.bootstrap, data.means["test"]
    probe, scorer, subsets = _probes(encoder, data, settings)
    scores = scorer.scores(test)
    few = [one.scores(test) for _, one in subsets]
    metrics = in_order(few, partial(evaluate, targets))
    draws = list(zip([subset for subset, _ in subsets], metrics, strict=True))
    whole = evaluate(targets, scores)
    resampled = partial(
        bootstrap, targets, resamples=boot.resamples, fraction=boot.fraction, seed=settings.seed,
        classes=data.classes,
    )  # fmt: skip
    resamples = resampled(scores)
    results = SystemResults(
        name=encoder.name,
        kind=encoder.kind,
        probe=probe,
        hash=encoder.key,
        source=encoder.source,
        dimensions=test.shape[1],
        roc_auc=_summary(resamples, whole, "roc_auc"),
        map=_summary(resamples, whole, "map"),
        undefined=resamples.undefined,
        per_tag={
            tag: TagFigures(roc_auc, mean_precision, int(positives))
            for tag, roc_auc, mean_precision, positives in zip(
                tags, resamples.by_tag("roc_auc"), resamples.by_tag("map"),
                (targets == 1).sum(0), strict=True,
            )
        },
        limited=tuple(FractionDraws(fraction=f, **d) for f, d in _draws_by("fraction", draws)),
        few_shot=tuple(ShotDraws(shots=s, **d) for s, d in _draws_by("shots", draws)),
        knn=None if isinstance(encoder, TaggingEncoder) else _knn(data, settings.knn),
        calibration=calibration(targets, probabilities(scores, data.classes is not None)),
        classes=_class_summaries(resamples, targets, scores, data.classes),
        retrieval=tuple(
            retrievals(encoder, data.test, test, data.means["train"].mean(0), settings)
        ),
        cost=cost(encoder) if settings.cost else None,
        robustness=tuple(
            ChangedMetrics(change, strength, {
                metric: MeanAndStd(*found.summary(metric)) for metric in found.metrics
            })
            for change, strength, means in changed_means(encoder, data.test, settings)
            for found in [resampled(scorer.scores(means))]
        ),
    )  # fmt: skip
    kept = _kept_probe(probe, encoder, scorer, data, tags, settings)
    return Measured(results, resamples, scores, kept)


def _kept_probe(
    kind: str, encoder: TrackEncoder, trained: TaggingEncoder | TrainedProbe, data: EncodedDataset,
    tags: Sequence[str], settings: ProbeSettings,
) -> Probe | None:  # fmt: skip
    """A checkpoint's probe, with what is chosen on the validation split; None for baselines."""
    if encoder.kind != "checkpoint" or not isinstance(encoder, PackageEncoder):
        return None
    assert isinstance(trained, TrainedProbe)
    return Probe(kind, settings.linear_probe, settings.seed, data.classes is not None).adopt(
        trained, (data.means["validation"], data.targets["validation"]), tags,
        encoder.encoder.weights_hash, encoder.hop,
    )  # fmt: skip


def _probes(
    encoder: TrackEncoder, data: EncodedDataset, settings: ProbeSettings
) -> tuple[str, TaggingEncoder | TrainedProbe, list[tuple[Subset, TrainedProbe]]]:
    """The kind of probe, the probe, and those trained on subsets."""
    if isinstance(encoder, TaggingEncoder):
        return encoder.kind, encoder, []
    name = "linear" if settings.probe == "finetune" else settings.probe
    targets = data.targets["train"]
    subsets = [] if name in NOT_ON_SUBSETS else _subsets(targets, settings)
    probes = PROBES[name](
        data.train,
        (data.means["validation"], data.targets["validation"]),
        [np.arange(len(targets)), *(subset.rows for subset in subsets)],
        settings.linear_probe,
        settings.seed,
        f"{encoder.name}: {1 + len(subsets)} probes",
    )
    return name, probes[0], list(zip(subsets, probes[1:], strict=True))


def _subsets(targets: np.ndarray, settings: ProbeSettings) -> list[Subset]:
    limited, few = settings.limited_data, settings.few_shot
    fractions = [f for f in limited.fractions if round(f * len(targets)) > 0]
    return [
        *fraction_subsets(len(targets), fractions, limited.seeds),
        *few_shot_subsets(targets, few.shots, few.seeds),
    ]


def _summary(resamples: Bootstrap, whole: Metrics, metric: str) -> MetricSummary:
    mean, std = resamples.summary(metric)
    values = tuple(resamples.macro(metric).tolist())
    return MetricSummary(mean, std, getattr(whole, metric), values)


def _class_summaries(
    resamples: Bootstrap, targets: np.ndarray, scores: np.ndarray, classes: Classes | None
) -> dict[str, MetricSummary]:
    if classes is None:
        return {}
    everything = np.ones((1, len(targets)), bool)
    whole = class_metrics(targets, scores, everything, classes.credits)
    return {
        title: MetricSummary(*resamples.summary(title), float(whole[title][0]), tuple(v.tolist()))
        for title, v in resamples.classes.items()
    }


def _draws_by(key: str, draws: Sequence[Draw]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each value of a subset's attribute, with the fields of `Draws` of its subsets."""
    for value in dict.fromkeys(getattr(subset, key) for subset, _ in draws):
        of = [draw for draw in draws if getattr(draw[0], key) == value]
        if value is not None:
            fields = {name: tuple(getattr(found, name) for _, found in of) for name in METRICS}
            rows = round(float(np.mean([len(subset.rows) for subset, _ in of])))
            yield value, {"rows": rows, **fields}


def _knn(data: EncodedDataset, k: int | None) -> KnnScores | None:
    if k is None:
        return None
    scores = knn_scores(data.means["train"], data.targets["train"], data.means["test"], k)
    found = evaluate(data.targets["test"], scores)
    return KnnScores(found.roc_auc, found.map, k=k)
