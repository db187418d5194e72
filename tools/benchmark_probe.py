"""Ratios of the probes to a peer in the same run: `python tools/benchmark_probe.py`.

Data have the size of MagnaTagATune. The peer is the usual implementation of the same protocol: a
torch training loop over a DataLoader, and torchmetrics. It takes minutes for all 17 probes; by
default it trains some of them, and its time is scaled.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from timing import aim, benchmark, race, table
from torch.utils.data import DataLoader, RandomSampler, TensorDataset
from torchmetrics.functional.classification import multilabel_auroc, multilabel_average_precision

from ssl_audio.io.parallel import in_order
from ssl_audio.probing.batched import train_probes
from ssl_audio.probing.batches import TrainingRows
from ssl_audio.probing.bootstrap import bootstrap, draw_subsets
from ssl_audio.probing.limited_data import fraction_subsets
from ssl_audio.probing.metrics import evaluate
from ssl_audio.settings.fields import Group, setting
from ssl_audio.settings.probe import LimitedDataSettings, LinearProbeSettings

SIZES = {"train": 15_244, "validation": 1_529, "test": 4_332}
DIMENSIONS, TAGS, RESAMPLES = 1024, 50, 50
METRIC_TOLERANCE = 1e-5  # torchmetrics counts in float32
SCORE_TOLERANCE = 0.02  # macro ROC-AUC of two trainings on different batches


class BenchmarkSettings(Group):
    what: tuple[Literal["bootstrap", "probes"], ...] = setting(
        (), help="what to measure; default: everything"
    )
    plain_probes: int = setting(2, help="probes that the peer trains; 17 are all", min=1, max=17)
    epochs: int = setting(25, help="epochs of the probes", min=1)
    steps: int = setting(128, help="batches in an epoch", min=1)
    repeats: int = setting(5, help="repeats of the bootstrap; medians are compared", min=1)
    json: Path | None = setting(None, help="file that the figures are written to")


@dataclass(frozen=True)
class Data:
    """Rows by split: `x` (rows, DIMENSIONS) float32, `y` (rows, TAGS) uint8."""

    x: dict[str, np.ndarray]
    y: dict[str, np.ndarray]


def made_data(seed: int = 0) -> Data:
    """Non-negative features of 256 factors, and tags as rare as MagnaTagATune's."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(256, DIMENSIONS)).astype(np.float32) / 16
    truth = rng.normal(size=(256, TAGS)).astype(np.float32) / 16
    rarity = np.log(np.geomspace(0.015, 0.3, TAGS))
    x, y = {}, {}
    for name, rows in SIZES.items():
        factors = rng.normal(size=(rows, 256)).astype(np.float32)
        noise = rng.normal(size=(rows, DIMENSIONS)).astype(np.float32)
        x[name] = np.maximum(factors @ mixing + 0.3 * noise, 0)
        chance = 1 / (1 + np.exp(-(2 * factors @ truth + rarity)))
        y[name] = (rng.random((rows, TAGS)) < chance).astype(np.uint8)
    return Data(x, y)


def peer_metrics(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(2,) macro ROC-AUC and mAP by torchmetrics, without binned thresholds."""
    p, y = torch.from_numpy(scores), torch.from_numpy(targets.astype(np.int64))
    return np.array([
        float(metric(p, y, num_labels=TAGS, average="macro", thresholds=None))
        for metric in (multilabel_auroc, multilabel_average_precision)
    ])  # fmt: skip


def peer_bootstrap(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(RESAMPLES, 2) on the subsets that `bootstrap` draws."""
    chosen = draw_subsets(len(targets), RESAMPLES, 0.5, seed=0)
    return np.stack([peer_metrics(targets[rows], scores[rows]) for rows in chosen])


def measure_bootstrap(options: BenchmarkSettings) -> dict[str, Any]:
    """The bootstrap of one encoder's scores."""
    y = made_data().y["test"]
    logits = np.random.default_rng(1).normal(size=y.shape) + 1.5 * y
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    candidates = {
        "torchmetrics": lambda: peer_bootstrap(y, scores),
        "ssl_audio": lambda: bootstrap(y, scores, RESAMPLES),
    }
    seconds = race(candidates, options.repeats)
    rows = table(f"bootstrap, {RESAMPLES} halves of {len(y)} x {TAGS}", seconds, 1, "runs")
    aim(rows["ssl_audio"]["ratio"], 9.0, "bootstrap")
    found = bootstrap(y, scores, RESAMPLES)
    ours = np.stack([found.macro("roc_auc"), found.macro("map")], axis=1)
    return {"rows": rows, "agree": agree(peer_bootstrap(y, scores), ours, METRIC_TOLERANCE)}


def peer_probe(data: Data, rows: np.ndarray, settings: LinearProbeSettings) -> np.ndarray:
    """Test scores of one linear probe, trained by a loop."""
    mean = data.x["train"][rows].mean(0)
    deviation = np.maximum(data.x["train"][rows].std(0), 1e-6)
    x = {k: torch.from_numpy((v - mean) / deviation) for k, v in data.x.items()}
    y = {k: torch.from_numpy(v.astype(np.float32)) for k, v in data.y.items()}
    chosen = torch.from_numpy(rows)
    kept = TensorDataset(x["train"][chosen], y["train"][chosen])
    drawn = RandomSampler(kept, replacement=True, num_samples=settings.steps * settings.batch_size)
    layer = torch.nn.Linear(DIMENSIONS, TAGS)
    optimizer = torch.optim.Adam(layer.parameters(), lr=settings.learning_rate)
    best, scores = float("inf"), np.empty(0)
    for _ in range(settings.epochs):
        for features, tags in DataLoader(kept, settings.batch_size, sampler=drawn):
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(layer(features), tags).backward()
            optimizer.step()
        with torch.no_grad():
            logits = layer(x["validation"])
            loss = float(F.binary_cross_entropy_with_logits(logits, y["validation"]))
            if loss < best:
                best, scores = loss, layer(x["test"]).sigmoid().numpy()
    return scores


def our_protocol(
    data: Data, subsets: list[np.ndarray], settings: LinearProbeSettings
) -> list[float]:
    """Macro ROC-AUC of each probe on the whole test set; also bootstraps the first probe."""
    train = TrainingRows(data.x["train"], data.y["train"])
    probes = train_probes(train, (data.x["validation"], data.y["validation"]), subsets, settings)
    scores = [probe.scores(data.x["test"]) for probe in probes]
    bootstrap(data.y["test"], scores[0], RESAMPLES)
    return [found.roc_auc for found in in_order(scores, partial(evaluate, data.y["test"]))]


def measure_probes(options: BenchmarkSettings) -> dict[str, Any]:
    """A probe on all rows and 16 on fractions of them: trained, tested, the first bootstrapped."""
    data, limited = made_data(), LimitedDataSettings()
    fractions = fraction_subsets(SIZES["train"], limited.fractions, limited.seeds)
    subsets = [np.arange(SIZES["train"]), *(subset.rows for subset in fractions)]
    # all rows, and then evenly from all sizes
    places = np.linspace(0, len(subsets) - 1, options.plain_probes).round().astype(int)
    settings = LinearProbeSettings(epochs=options.epochs, steps=options.steps)
    random = np.random.default_rng(1).random(data.y["test"].shape, "f4")
    peer_seconds, peer = timed(lambda: [
        float(peer_metrics(data.y["test"], peer_probe(data, subsets[place], settings))[0])
        for place in places
    ])  # fmt: skip
    our_seconds, ours = timed(lambda: our_protocol(data, subsets, settings))
    peer_seconds *= len(subsets) / len(places)
    peer_seconds += timed(lambda: peer_bootstrap(data.y["test"], random))[0]
    title = f"{len(subsets)} probes of {DIMENSIONS} x {TAGS}, {options.epochs} epochs"
    if len(places) < len(subsets):
        title += f"; the peer trained {len(places)}, its time is scaled"
    rows = table(title, {"peer": peer_seconds, "ssl_audio": our_seconds}, len(subsets), "probes")
    aim(rows["ssl_audio"]["ratio"], 10.0, "probes")
    found = np.array([ours[place] for place in places])
    return {"rows": rows, "agree": agree(np.array(peer), found, SCORE_TOLERANCE)}


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and result of one run, without a warm-up, which would take minutes here."""
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


def agree(peer: np.ndarray, ours: np.ndarray, tolerance: float) -> bool:
    """Print and return whether both found the same metrics."""
    difference = float(np.abs(peer - ours).max())
    print(f"  metrics differ by up to {difference:.1e}; tolerance {tolerance:g}")
    return difference <= tolerance


WHAT = {"bootstrap": measure_bootstrap, "probes": measure_probes}
main = benchmark(
    "benchmark_probe", "Measure ratios of probes and bootstrap to a peer in the same run.",
    ("bootstrap", "probes plain_probes=17 json=figures.json"), BenchmarkSettings, WHAT,
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
