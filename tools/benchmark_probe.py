"""The probes' ratios, measured side by side: `python tools/benchmark_probe.py [WHAT ...]`.

WHAT is bootstrap, probes or extraction; all by default. The size is MagnaTagATune's: 15,244
training, 1,529 validation and 4,332 test rows of 1024 features, 50 tags. What is compared with is
the same protocol as it is usually written: a loop of torch training over a DataLoader, and
torchmetrics. Candidates take turns, so that a machine that slows down slows down all of them.

Extraction is compared with its own two halves, each on one core: decoding alone, and the network
alone. Two cores that are both busy take no longer than the longer half.

The plain loop takes minutes for all 17 probes. By default it trains two of them, and its time for
17 is scaled from that, which the output says; `--full` trains all of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from benchmark import made_tracks
from torch.utils.data import DataLoader, RandomSampler, TensorDataset
from torchmetrics.functional.classification import (
    multilabel_auroc,
    multilabel_average_precision,
)

from ssl_audio.audio.decode import stream
from ssl_audio.io.parallel import available_processors
from ssl_audio.models.extraction import extract, in_order
from ssl_audio.probing.baselines import baseline
from ssl_audio.probing.bootstrap import _draw, bootstrap
from ssl_audio.probing.limited_data import fraction_subsets
from ssl_audio.probing.metrics import evaluate
from ssl_audio.probing.probes import ProbeSettings, TrainingRows, train_probes

SIZES = {"train": 15_244, "validation": 1_529, "test": 4_332}
DIMENSIONS, TAGS, RESAMPLES = 1024, 50, 50
BOOTSTRAP_AIM, PROBES_AIM, EXTRACTION_AIM = 9.0, 10.0, 1.15  # on two CPU cores
METRICS_AGREE = 1e-5  # torchmetrics counts in float32
SCORES_AGREE = 0.02  # macro ROC-AUC of two trainings on other batches


@dataclass(frozen=True)
class Data:
    """Rows by split: `x` (rows, DIMENSIONS) float32, `y` (rows, TAGS) uint8."""

    x: dict[str, np.ndarray]
    y: dict[str, np.ndarray]


def made_data(seed: int = 0) -> Data:
    """Non-negative features of a few hundred factors, and tags as rare as MagnaTagATune's."""
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


# --- the bootstrap -------------------------------------------------------------------------------


def plain_figures(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(2,) macro ROC-AUC and mAP by torchmetrics, exact: without binned thresholds."""
    p, y = torch.from_numpy(scores), torch.from_numpy(targets.astype(np.int64))
    return np.array([
        float(metric(p, y, num_labels=TAGS, average="macro", thresholds=None))
        for metric in (multilabel_auroc, multilabel_average_precision)
    ])  # fmt: skip


def plain_bootstrap(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(RESAMPLES, 2), on the very rows that `bootstrap` draws."""
    chosen = _draw(len(targets), RESAMPLES, 0.5, seed=0)
    return np.stack([plain_figures(targets[rows], scores[rows]) for rows in chosen])


def fast_bootstrap(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(RESAMPLES, 2) of this project's."""
    found = bootstrap(targets, scores, RESAMPLES)
    return np.stack([found.macro("roc_auc"), found.macro("map")], axis=1)


def compare_bootstrap(data: Data, options: argparse.Namespace) -> dict[str, object]:
    """Seconds of both for one system's scores, and how far their figures differ."""
    y = data.y["test"]
    logits = np.random.default_rng(1).normal(size=y.shape) + 1.5 * y
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    results: dict[str, np.ndarray] = {}

    def plain() -> None:
        results["plain"] = plain_bootstrap(y, scores)

    def fast() -> None:
        results["fast"] = fast_bootstrap(y, scores)

    seconds = race({"torchmetrics": plain, "ssl_audio": fast}, options.repeats)
    differ = float(np.abs(results["plain"] - results["fast"]).max())
    print(f"\nbootstrap: {RESAMPLES} halves of {len(y)} x {TAGS} scores, median of "
          f"{options.repeats}")  # fmt: skip
    row("torchmetrics", seconds["torchmetrics"], seconds["torchmetrics"])
    row("ssl_audio", seconds["ssl_audio"], seconds["torchmetrics"])
    agree = check(differ <= METRICS_AGREE, f"figures differ by {differ:.1e} at most")
    ratio = seconds["torchmetrics"] / seconds["ssl_audio"]
    met = aim(ratio, BOOTSTRAP_AIM, "bootstrap")
    return {"seconds": seconds, "ratio": ratio, "aim": BOOTSTRAP_AIM, "met": met, "agree": agree}


# --- the probes ----------------------------------------------------------------------------------


def plain_probe(data: Data, rows: np.ndarray, settings: ProbeSettings) -> np.ndarray:
    """Test scores of one linear probe, trained as it is usually written."""
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


def plain_protocol(data: Data, subsets: list[np.ndarray], settings: ProbeSettings) -> list[float]:
    """Macro ROC-AUC of each probe on the whole test set."""
    scores = [plain_probe(data, rows, settings) for rows in subsets]
    return [float(plain_figures(data.y["test"], s)[0]) for s in scores]


def fast_protocol(data: Data, subsets: list[np.ndarray], settings: ProbeSettings) -> list[float]:
    """The same by this project's functions."""
    probes = train_probes(
        TrainingRows(data.x["train"], data.y["train"]),
        data.x["validation"],
        data.y["validation"],
        subsets,
        settings,
    )
    scores = [probe.scores(data.x["test"]) for probe in probes]
    found = [f.roc_auc for f in in_order(scores, partial(evaluate, data.y["test"]))]
    bootstrap(data.y["test"], scores[0], RESAMPLES)
    return found


def compare_probes(data: Data, options: argparse.Namespace) -> dict[str, object]:
    """Seconds of full + 16 limited-data probes, trained, tested and the full one bootstrapped."""
    subsets = [np.arange(SIZES["train"]), *(s.rows for s in fraction_subsets(SIZES["train"]))]
    count = len(subsets) if options.full else min(options.probes, len(subsets))
    # the full training set, and then from all sizes alike
    places = np.unique(np.linspace(0, len(subsets) - 1, count).round().astype(int))
    fixed = {"epochs": options.epochs, "steps": options.steps}
    candidates: dict[str, Callable[[], list[float]]] = {
        "ssl_audio": lambda: fast_protocol(data, subsets, ProbeSettings(**fixed)),
        "plain": lambda: plain_protocol(data, [subsets[p] for p in places], ProbeSettings(**fixed)),
    }
    if options.precisions:
        settings = ProbeSettings(**fixed, precision="float32")
        candidates["float32"] = lambda: fast_protocol(data, subsets, settings)
    # torch's late imports, and what is compiled once an installation: nobody's time
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    shortened = ProbeSettings(epochs=1, steps=1)
    rows = TrainingRows(data.x["train"], data.y["train"])
    train_probes(rows, data.x["validation"], data.y["validation"], subsets[1:2], shortened)
    results: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(options.rounds):
        for name, run in candidates.items():
            started = time.perf_counter()
            results[name] = run()
            seconds[name].append(time.perf_counter() - started)
    # of the full probe alone, so that it is not scaled with the number of probes
    started = time.perf_counter()
    plain_bootstrap(data.y["test"], np.random.default_rng(1).random(data.y["test"].shape, "f4"))
    seconds["plain bootstrap"] = [time.perf_counter() - started]
    return report_probes(
        {k: statistics.median(v) for k, v in seconds.items()},
        results,
        places,
        len(subsets),
        options,
    )


def report_probes(
    seconds: dict[str, float],
    results: dict[str, list[float]],
    places: np.ndarray,
    wanted: int,
    options: argparse.Namespace,
) -> dict[str, object]:
    """Print and return what `compare_probes` measured."""
    plain = seconds["plain"] * wanted / len(places) + seconds["plain bootstrap"]
    print(f"\nprobes: {wanted} of {DIMENSIONS} x {TAGS}, {options.epochs} epochs of "
          f"{options.steps} steps of 256, median of {options.rounds}")  # fmt: skip
    scaled = len(places) < wanted
    if scaled:
        print(f"  the plain loop trained {len(places)} of {wanted} in {seconds['plain']:.1f} s; "
              f"its time is scaled by {wanted}/{len(places)} (--full trains all)")  # fmt: skip
    if (options.epochs, options.steps) != (ProbeSettings().epochs, ProbeSettings().steps):
        print("  a shortened training: the aim is for 25 epochs of 128 steps")
    row("DataLoader, nn.Linear, torchmetrics", plain, plain)
    row("ssl_audio, all together", seconds["ssl_audio"], plain)
    if "float32" in seconds:
        row("ssl_audio, precision=float32", seconds["float32"], plain)
    ours = [results["ssl_audio"][p] for p in places]
    differ = float(np.abs(np.array(ours) - results["plain"]).max())
    agree = check(differ <= SCORES_AGREE, f"macro ROC-AUC differs by {differ:.4f} at most "
                  f"(full: {ours[0]:.4f}, plain {results['plain'][0]:.4f})")  # fmt: skip
    ratio = plain / seconds["ssl_audio"]
    met = aim(ratio, PROBES_AIM, "17 probes together")
    return {"seconds": {**seconds, "plain": plain}, "plain_probes": len(places), "scaled": scaled,
            "ratio": ratio, "aim": PROBES_AIM, "met": met, "agree": agree}  # fmt: skip


# --- extraction ----------------------------------------------------------------------------------


def compare_extraction(data: Data, options: argparse.Namespace) -> dict[str, object]:
    """Seconds of embedding tracks, of decoding them, and of the network on what was decoded."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [track.path for track in made_tracks(Path(folder), "mp3", options.tracks, 60)]
        system = baseline("untrained")
        waveforms: list[list[np.ndarray]] = []

        def decode() -> None:
            waveforms[:] = [list(stream(path)) for path in paths]

        def network() -> None:
            torch.set_num_threads(1)
            for blocks in waveforms:
                system.features(blocks)

        def both() -> None:
            busy.append(time.process_time())
            assert all(found.rows is not None for found in extract(paths, system.features))
            busy[-1] = time.process_time() - busy[-1]

        threads, busy = torch.get_num_threads(), list[float]()
        halves = {"decoding, one core": decode, "network, one core": network}
        seconds = race({**halves, "extraction": both}, options.repeats)
        torch.set_num_threads(threads)
    longer = max(seconds[name] for name in halves)
    ratio, cores = seconds["extraction"] / longer, available_processors()
    used = statistics.median(busy[1:]) / (seconds["extraction"] * cores)
    print(f"\nextraction: {len(paths)} mp3 files of 60 s, 44.1 kHz stereo, {cores} cores, "
          f"{100 * used:.0f} % of them busy")  # fmt: skip
    for name, value in seconds.items():
        row(name, value, longer)
    print(f"  {ratio:.2f} times the longer half; aim at most {EXTRACTION_AIM} on two cores: "
          f"{'met' if ratio <= EXTRACTION_AIM else 'MISSED'}")  # fmt: skip
    return {"seconds": seconds, "ratio": ratio, "aim": EXTRACTION_AIM, "busy": used, "agree": True}


# --- what is common ------------------------------------------------------------------------------


def race(candidates: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Median seconds of each; one run of each first, uncounted."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for repeat in range(repeats + 1):
        for name, run in candidates.items():
            started = time.perf_counter()
            run()
            if repeat:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def row(name: str, seconds: float, plain: float) -> None:
    """Print one candidate."""
    print(f"  {name:<44} {seconds:9.2f} s   {plain / seconds:6.2f}x")


def check(holds: bool, what: str) -> bool:
    """Say whether both candidates found the same."""
    print(f"  {what}: {'agree' if holds else 'DISAGREE'}")
    return holds


def aim(ratio: float, wanted: float, what: str) -> bool:
    """Say whether a ratio is what is aimed at on two CPU cores."""
    verdict = "met" if ratio >= wanted else "MISSED"
    print(f"  aim {wanted:g}x for the {what}: {verdict} ({ratio:.2f}x)")
    return ratio >= wanted


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; 1 when candidates disagree, since a ratio then says nothing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    benchmarks = {
        "bootstrap": compare_bootstrap,
        "probes": compare_probes,
        "extraction": compare_extraction,
    }
    parser.add_argument("what", nargs="*", choices=[[], *benchmarks], metavar="WHAT")
    parser.add_argument("--probes", type=int, default=2, help="that the plain loop trains")
    parser.add_argument("--full", action="store_true", help="the plain loop trains all 17")
    parser.add_argument("--epochs", type=int, default=ProbeSettings().epochs)
    parser.add_argument("--steps", type=int, default=ProbeSettings().steps, help="an epoch")
    parser.add_argument("--repeats", type=int, default=5, help="of all but the probes")
    parser.add_argument("--tracks", type=int, default=12, help="of the extraction")
    parser.add_argument("--rounds", type=int, default=1, help="of the probes")
    parser.add_argument("--precisions", action="store_true", help="measure float32 products too")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    print(f"{torch.get_num_threads()} threads")
    data = made_data()
    found = {name: benchmarks[name](data, options) for name in options.what or benchmarks}
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0 if all(result["agree"] for result in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
