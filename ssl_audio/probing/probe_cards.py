"""Saving the probes of a comparison, each with a card that states its figures and its limits."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score

from ssl_audio.datasets.dataset import UNLABELLED
from ssl_audio.io.console import say
from ssl_audio.probing.calibration import calibration
from ssl_audio.probing.estimator import Probe
from ssl_audio.probing.measure import EncodedDataset, Measured
from ssl_audio.reports.results import DatasetSummary, SystemResults

FEW = 10  # positive validation tracks below which a threshold is called uncertain


def save_probes(
    folder: Path, measured: Sequence[Measured], dataset: DatasetSummary, data: EncodedDataset
) -> None:
    """Save the probes of the checkpoints, in folders of their names, and say where.

    Raises:
        SslAudioError: a folder cannot be written.
    """
    for one in measured:
        if one.probe is None:
            continue
        one.probe.about_ = {
            "encoder": one.results.source, "dataset": dataset.name, "dataset_hash": dataset.hash,
            "tracks": {split: dataset.counts[split] for split in ("train", "validation")},
        }  # fmt: skip
        name = one.results.name.replace("/", "-").lstrip(".-") or "encoder"
        saved = one.probe.save(folder / name, _card(one, one.probe, dataset, data))
        say(f"{one.results.name}: {len(one.probe.tags_)} tags, probe saved: {saved}")


def _card(measured: Measured, probe: Probe, dataset: DatasetSummary, data: EncodedDataset) -> str:
    results, counts, tags = measured.results, dataset.counts, len(probe.tags_)
    targets = data.targets["test"]
    probabilities = probe.calibrator_(measured.scores)
    calibrated = calibration(targets, probabilities).ece
    before = "" if results.calibration is None else f"{results.calibration.ece:.3f}"
    f1 = _f1(targets, probe.decide(probabilities))
    rule = "the most probable tag" if probe.single_label else "tags from their thresholds on"
    return f"""# Tags of `{dataset.name}` from embeddings of `{results.name}`

A {results.probe} probe: {tags} tags from {results.dimensions} dimensions, trained on
{counts["train"]} tracks. {counts["validation"]} validation tracks chose how it was trained, the
calibration of its probabilities and its thresholds (highest F1). It predicts {rule}.

```bash
ssl-audio tag checkpoint={results.source} probe=FOLDER source=/music output=tags.parquet
```

## Evaluation

{counts["test"]} test tracks, by which nothing was chosen. ECE is the expected calibration error;
± is the standard deviation over resamples of the test tracks.

| ROC-AUC | mAP | F1, mean over tags | ECE | ECE before calibration |
|---|---|---|---|---|
| {results.roc_auc.mean:.3f} ± {results.roc_auc.std:.3f} | {results.map.mean:.3f} \
± {results.map.std:.3f} | {np.mean(f1):.3f} | {calibrated:.3f} | {before} |

{_tag_table(probe, results, f1)}

## Limits

{_limits(probe, dataset, data.targets["validation"])}
"""


def _tag_table(probe: Probe, results: SystemResults, f1: np.ndarray) -> str:
    lines = ["| tag | threshold | positive test tracks | ROC-AUC | F1 |", "|---|---|---|---|---|"]
    cuts = [None] * len(f1) if probe.thresholds_ is None else probe.thresholds_.tolist()
    for tag, cut, value in zip(probe.tags_, cuts, f1, strict=True):
        found = results.per_tag[tag]
        shown = "" if cut is None else f"{cut:.3f}"
        lines.append(
            f"| {tag} | {shown} | {found.positives} | {found.roc_auc.mean:.3f} | {value:.3f} |"
        )
    return "\n".join(lines)


def _limits(probe: Probe, dataset: DatasetSummary, validation: np.ndarray) -> str:
    hop = "null" if probe.hop_ is None else f"{probe.hop_:g}"
    few = int(((validation == 1).sum(0) < FEW).sum())
    limits = [
        f"It takes embeddings of one encoder alone (hash {probe.encoder_[:8]}), with hop={hop}.",
        f"It was trained, calibrated and measured on `{dataset.name}`: on other music its "
        "probabilities and thresholds may be wrong, and a tag that is not in its list is never "
        "predicted.",
        f"{few} of {len(probe.tags_)} tags have fewer than {FEW} positive validation tracks: their "
        "thresholds and probabilities are uncertain.",
        *dataset.notes,
    ]
    return "\n".join(f"- {text}" for text in limits)


def _f1(targets: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(tags,) F1 over the labelled test tracks of each tag."""
    columns = zip(targets.T, predicted.T, strict=True)
    return np.array([
        f1_score(y[y != UNLABELLED], p[y != UNLABELLED], zero_division=0) for y, p in columns
    ])  # fmt: skip
