"""Results made by hand, with names that would break a page without escaping."""

import math
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np

from ssl_audio.reports import drawing
from ssl_audio.reports.page import write_report
from ssl_audio.reports.pretraining import TrainingAudio
from ssl_audio.reports.results import (
    Calibration,
    CalibrationBin,
    Column,
    CoOccurrence,
    DatasetSummary,
    Difference,
    FractionDraws,
    Interval,
    KnnScores,
    LossHistory,
    MeanAndStd,
    MetricSummary,
    PlaylistData,
    PlaylistResults,
    PretrainResults,
    ProbeProtocol,
    ProbeResults,
    Row,
    Scores,
    ShotDraws,
    SystemResults,
    Table,
    TagFigures,
    TrackMap,
)

PAGES = {}  # by the results that they show: a page is drawn once


def page_html(*many):
    """The page of some results, without the time that PNG files take."""
    key = repr(many)
    if key not in PAGES:
        with TemporaryDirectory() as folder, mock.patch.object(drawing, "png", lambda _: b""):
            write_report(many, Path(folder))
            PAGES[key] = (Path(folder) / "report.html").read_text()
    return PAGES[key]


HOSTILE = """</script><script>alert("1")</script>' & 50 % of_it #$1$ {x} ~^\\ é"""
METRICS = {"hr": "HR", "ndcg@10": f"NDCG@10 {HOSTILE}"}


def system(name, shift=0.0):
    rng = np.random.default_rng(len(name))
    values = tuple((0.8 + shift + 0.02 * rng.normal(size=6)).tolist())
    macro = MetricSummary(float(np.mean(values)), 0.02, 0.81, values)
    tag = TagFigures(MeanAndStd(0.8, 0.1), MeanAndStd(0.5, 0.1), 3)
    undefined = TagFigures(MeanAndStd(math.nan, math.nan), MeanAndStd(math.nan, math.nan), 0)
    draws = {"roc_auc": (0.6, 0.7), "map": (0.2, 0.3)}
    return SystemResults(
        name=name, kind="checkpoint", probe="linear", hash="abc", source=name, dimensions=4,
        roc_auc=macro, map=macro, undefined=1, per_tag={HOSTILE: tag, "rare": undefined},
        limited=(FractionDraws(fraction=0.01, rows=2, **draws),
                 FractionDraws(fraction=0.1, rows=20, **draws)),
        few_shot=(ShotDraws(shots=1, rows=2, **draws),),
        knn=KnnScores(0.7, 0.4, k=3),
        calibration=Calibration(0.05, 0.1, (CalibrationBin(0.1, 0.2, 9),
                                            CalibrationBin(0.8, 0.7, 4))),
    )  # fmt: skip


def probe_results(*names, run="run"):
    systems = tuple(system(name, 0.03 * k) for k, name in enumerate(names or ("one", HOSTILE)))
    differences = tuple(
        Difference(systems[0].name, systems[1].name, metric, -0.03, -0.05, -0.01)
        for metric in ("roc_auc", "map")
        if len(systems) > 1
    )
    return ProbeResults(
        dataset=DatasetSummary(
            name="mtat", tags=(HOSTILE, "rare"),
            counts={"train": 200, "validation": 10, "test": 12},
            missing={}, notes=(f"note of {HOSTILE}",), hash="def", citation="A & B", licence="CC",
        ),
        protocol=ProbeProtocol(
            probe="linear", train_on="tracks", hop=None, resamples=6, fraction=0.5,
            confidence=0.95, knn=3,
        ),
        systems=systems, differences=differences,
        map=TrackMap(
            system=systems[0].name, method="PCA", x=(0.0, 1.0), y=(1.0, 0.0), ids=("a", HOSTILE),
            paths=("/music/a b.wav", "/music/c#.wav"), tags=((0,), ()),
        ),
        config={"seed": 0}, versions={"python": "3"}, seed=0, run=run, seconds={"all": 1.0},
    )  # fmt: skip


def change_systems(results, **changes):
    """The same results with other values of every system."""
    return replace(results, systems=tuple(replace(one, **changes) for one in results.systems))


def small(results):
    """The same comparison of probes with few figures."""
    changed = change_systems(results, limited=(), few_shot=(), calibration=None)
    return replace(changed, differences=())


def table(name, systems):
    rows = tuple(
        Row(system, features, {
            metric: Interval(mean, mean - 0.0125, mean + 0.0125)
            for j, metric in enumerate(METRICS) for mean in [0.2 + 0.1 * k + 0.01 * j]
        }, 1.5 + k)
        for k, (system, features) in enumerate(systems)
    )  # fmt: skip
    last = f"{systems[-1][0]} {systems[-1][1]}".strip()
    differences = tuple(
        Difference(last, system, metric, 0.1, low, 0.2, p=p)
        for metric, low, p in (("hr", 0.02, 0.0001), ("ndcg@10", -0.01, 0.0534))
        for system, _ in systems[:-1]
    )
    columns = tuple(Column(key, title) for key, title in METRICS.items())
    return Table(name, f"What {HOSTILE} is.", columns, rows, differences)


def playlist_results(run="runs/playlists", steps=200):
    step = tuple(range(19, 20 * steps, 20))
    similarity = np.random.default_rng(0).uniform(0, 1, 400)
    decay = np.exp(-np.arange(steps) / 40)
    terms = {name: tuple((k + decay).tolist()) for k, name in enumerate(("playlist", "genre"))}
    gap = tuple(math.nan if k == steps // 2 else 0.5 for k in range(steps))
    systems = [("Random", ""), (HOSTILE, "popularity"), ("MUSIG", "popularity + acoustic")]
    return PlaylistResults(
        run=run, seed=3, protocol="The first 70 % of each playlist.",
        data=PlaylistData(
            name=f"mine {HOSTILE}", counts={"training playlists": 12345, "tracks": 67},
            notes=(f"12 tracks have no {HOSTILE}",), hashes={"playlists": "abc"},
        ),
        tables=(table("Playlist completion", systems), table("Cold tracks", systems[:2])),
        losses={"MUSIG popularity + acoustic": LossHistory(step, terms),
                HOSTILE: LossHistory(step, {HOSTILE: gap})},
        correlation=CoOccurrence(
            of=f"acoustic {HOSTILE}", r=0.523, low=0.5, high=0.545, pairs=50_000,
            similarity=tuple(similarity.tolist()),
            co_occurrence=tuple((similarity**4 + 0.01).tolist()),
        ),
        seconds={"data": 1.0}, config={"seed": 3, "note": HOSTILE}, versions={"python": "3"},
    )  # fmt: skip


def pretrain_results():
    return PretrainResults(
        run="runs/one", seed=1, config={"seed": 1}, versions={"python": "3"},
        seconds={"training": 3.0}, recipe="contrastive", steps=9, max_steps=10, batch_size=8,
        precision="bf16-mixed", metrics={"train/loss": 1.5}, collapsed=False,
        collapse={"std": 0.9}, data=TrainingAudio(hash="abc", tracks=63, skipped=1),
        probe={"trained": Scores(0.9, 0.4)},
    )  # fmt: skip
