"""tools/study.py as a user runs it: the queue, its table and its figure."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import study as tool
import study_queue
import yaml
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score
from study_estimates import estimate
from study_file import STUDIES, Run, read_study
from study_results import Finished, ProbeScores, write_finished
from study_table import _panels

from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.lock import only_writer
from ssl_audio.probing.bootstrap import draw_clustered
from ssl_audio.reports.pretraining import TrainingAudio
from ssl_audio.reports.results import PretrainResults

RATE = 16_000
WORDS = [
    "recipe=contrastive", "data=demo", "data.root={demo}", "data.tracks=24", "data.seconds=13",
    "data.batch_size=4", "data.workers=0", "encoder.backbone=test_resnet",
    "encoder.embedding_size=8", "objective.projector_sizes=[8,8]", "trainer.max_steps=2",
    "trainer.checkpoint_every=1", "trainer.accelerator=cpu", "trainer.precision=32-true",
    "online_probe=none",
]  # fmt: skip
STUDY = {
    "title": "Temperatures",
    "places": {"demo": "the demo corpus", "labelled": "a table"},
    "pretrain": WORDS,
    "reference": "default",
    "seeds": [0],
    "rows": {"broken": ["objective.temperature=-1"], "default": [],
             "warm": ["objective.temperature=0.5"]},
    "probes": {
        "loudness": ["dataset=csv", "data.table={labelled}", "part=validation",
                     "linear_probe.epochs=1", "linear_probe.steps=4", "limited_data.fractions=[]",
                     "few_shot.shots=[]", "knn=null", "retrieval=[]", "cost=false"],
    },
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("own_folder")


def write_study(name="mine", **changes):
    Path(f"{name}.yaml").write_text(yaml.safe_dump(STUDY | changes, sort_keys=False))


def study(*words):
    return tool.main([str(word) for word in words])


# --- the queue -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def places(demo_corpus, tmp_path_factory):
    """The demo corpus, and a table of loud and soft tracks by six artists."""
    home = tmp_path_factory.mktemp("places")
    lines = ["path,tags,split,artist"]
    for k in range(24):
        split = ("train", "train", "validation", "test")[k // 6]
        noise = np.random.default_rng(k).normal(0, (0.3, 0.01)[k % 2], RATE)
        soundfile.write(home / f"{k}.wav", noise, RATE)
        lines.append(f"{k}.wav,{('loud', 'soft')[k % 2]},{split},artist {k % 6}")
    (home / "labelled.csv").write_text("\n".join(lines))
    return f"[demo={demo_corpus},labelled={home / 'labelled.csv'}]"


@pytest.mark.slow
def test_an_interrupted_study_resumes_to_the_same_rows(places, monkeypatch, capsys):
    from ssl_audio.training.callbacks import ReadFailures

    def interrupt(self, trainer, *args):
        if trainer.global_step == 1:
            raise KeyboardInterrupt

    write_study()
    run = ["mine.yaml", "run", f"places={places}", "results=results", "runs=runs"]
    with monkeypatch.context() as patch:
        patch.setattr(ReadFailures, "on_train_batch_start", interrupt)
        assert study(*run) == 130
    assert not Path("results").exists() and list(Path("runs").glob("default-*/checkpoints/*"))
    assert study(*run) == 3
    error = capsys.readouterr().err
    assert "failed: broken-seed0" in error and "results: 2 of 3 runs are finished" in error
    assert sorted(path.name for path in Path("results").iterdir()) == [
        "default-seed0.json", "warm-seed0.json",
    ]  # fmt: skip
    assert list(Path("runs").glob("default-*/config-resumed.yaml"))
    assert not list(Path("runs").glob("*-seed0-*/checkpoints"))

    write_study("whole", rows={"default": []})
    whole = ["whole.yaml", "run", f"places={places}", "results=whole", "runs=other"]
    assert study(*whole) == 0
    one, other = (
        json.loads(Path(f"{name}/default-seed0.json").read_text()) for name in ("results", "whole")
    )
    assert one["probes"] == other["probes"] and one["words"] == other["words"]
    assert one["pretrain"]["steps"] == 2 and one["pretrain"]["data"]["hours"] > 0.02
    assert one["probes"]["loudness"]["ids"] == [f"{k}.wav" for k in range(12, 18)]
    assert one["probes"]["loudness"]["clusters"] == [f"artist artist {k}" for k in range(6)]
    assert str(Path.cwd()) not in json.dumps(one) and "versions" in one["pretrain"]

    capsys.readouterr()
    assert study("mine.yaml", "table", "results=results", "resamples=20") == 0
    assert "warm" in capsys.readouterr().out
    assert "| default | 1 | 0 min |" in Path("results/table.md").read_text()
    assert study("mine.yaml", "figure", "results=results", "resamples=20") == 1
    assert "no two finished rows differ" in capsys.readouterr().err


def test_one_process_at_a_time_runs_a_study(places, capsys):
    write_study()
    with only_writer(Path("runs")):
        assert study("mine.yaml", "run", f"places={places}", "runs=runs", "results=results") == 1
    assert "another process is writing runs: wait for it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words", "message"),
    [
        ({"reference": "cold"}, [], "reference=cold: one of broken, default, warm"),
        ({"seeds": [1, 1]}, [], "seeds=[1,1]: one or more, each once"),
        ({"rows": {"a b": []}}, [], "rows.a b=a b: a name such as pairs-0-4"),
        ({"rows": {"default": ["seed=3"]}}, [], "rows.default=seed=3: the runner sets it"),
        ({"pretrain": ["contrastive"]}, [], "pretrain=contrastive: not KEY=VALUE"),
        ({"probes": {"one": "dataset=csv"}}, [], "probes.one=dataset=csv: a list of KEY=VALUE"),
        ({"raws": {}}, [], "raws: no such setting. Did you mean rows?"),
        ({}, [], "places= is required for this study: demo=... (the demo corpus); labelled=..."),
        ({}, ["places=[dmo=/]"], "places=dmo=/: this study takes demo=..., labelled=..."),
        ({}, ["places=[demo=/nowhere]"], "places=demo=/nowhere: no such file or folder"),
        ({"rows": {"default": ["data.sead=1"]}, "places": {}}, [], "row default: data.sead: no"),
        ({"probes": {"one": ["dataset=cvs"]}, "places": {}}, [], "probe one: dataset=cvs does not"),
    ],
)  # fmt: skip
def test_wrong_studies_are_refused_before_any_training(changes, words, message, capsys):
    write_study(**changes)
    assert study("mine.yaml", "run", *words, "runs=runs", "results=results") == 1
    [error] = capsys.readouterr().err.splitlines()
    assert message in error
    assert not Path("runs").exists() and not Path("results").exists()


def test_rows_replace_common_words_and_seeds_come_one_after_another():
    write_study(seeds=[0, 1], rows={"default": [], "byol": ["recipe=byol"]})
    runs = read_study("mine.yaml")[1].runs()
    assert [run.name for run in runs] == [
        "default-seed0", "byol-seed0", "default-seed1", "byol-seed1",
    ]  # fmt: skip
    assert runs[1].words == (*WORDS[1:], "recipe=byol", "seed=0")


def test_the_studies_of_the_project_have_words_that_exist():
    for path in STUDIES.glob("*.yaml"):
        _, found = read_study(path.stem)
        study_queue._check_words(found, dict.fromkeys(found.places, "/music"))


# --- table and figure ----------------------------------------------------------------------------


def made(row, seed, strength, rows=18, hours=1.0, steps=100, recipe="contrastive"):
    """A finished run whose scores separate three tags by `strength`."""
    targets = np.random.default_rng(0).random((rows, 3)) < 0.4
    rng = np.random.default_rng([seed, len(row)])
    scores = (rng.normal(size=targets.shape) + strength * targets).round(3)
    probe = ProbeScores(
        ("dataset=csv",), ("a", "b", "c"), tuple(map(str, range(rows))),
        tuple(f"artist {k // 4}" for k in range(rows)),
        tuple("".join(map(str, one)) for one in targets.astype(int).tolist()),
        tuple(map(tuple, scores.tolist())),
    )  # fmt: skip
    trained = PretrainResults(
        run="", seed=seed, config={}, versions={}, seconds={}, recipe=recipe, steps=steps,
        max_steps=steps, batch_size=8, precision="32-true", metrics={}, collapsed=False,
        collapse={}, data=TrainingAudio(hash="", tracks=9, skipped=0, hours=hours),
    )  # fmt: skip
    return Finished(row, seed, ("recipe=x", f"seed={seed}"), {"training": 90.0}, trained,
                    {"set": probe})  # fmt: skip


def plain_metric(metric, targets, scores):
    """Mean over the tags with positives and negatives, by scikit-learn."""
    found = [
        metric(targets[:, k], scores[:, k])
        for k in range(targets.shape[1]) if 0 < targets[:, k].sum() < len(targets)
    ]  # fmt: skip
    return sum(found) / len(found)


def test_estimates_equal_a_plain_loop():
    rows = {
        "base": [made("base", seed, 0.5) for seed in range(3)],
        "better": [made("better", seed, 2.0) for seed in range(3)],
        "one seed": [made("one seed", 0, 1.0)],
    }
    found = estimate(rows, "base", resamples=25, seed=4)["set"]
    expected, p_values = {}, {}
    for metric, function in (("roc_auc", roc_auc_score), ("map", average_precision_score)):
        whole, drawn = {}, {}
        for place, (row, runs) in enumerate(rows.items()):
            probes = [run.probes["set"] for run in runs]
            scores = [np.array(one.scores) for one in probes]
            values = [plain_metric(function, probes[0].targets, one) for one in scores]
            whole[row], drawn[row] = sum(values) / len(values), []
            seeds = np.random.default_rng((4, place)).integers(
                len(runs), size=(25, max(1, len(runs) - 1))
            )
            for counts, chosen in zip(
                draw_clustered(probes[0].clusters, 25, 4), seeds, strict=True
            ):
                total = 0.0
                for k in chosen:
                    repeated = np.repeat(np.arange(18), counts)
                    total += plain_metric(
                        function, probes[0].targets[repeated], scores[k][repeated]
                    )
                drawn[row].append(total / len(chosen))
        for row in ("better", "one seed"):
            both = zip(drawn[row], drawn["base"], strict=True)
            differences = [a - b for a, b in both]
            mean = sum(differences) / 25
            deviation = math.sqrt(sum((one - mean) ** 2 for one in differences) / 24)
            observed = whole[row] - whole["base"]
            reach = norm.ppf(0.975) * deviation
            expected[metric, row] = (observed, observed - reach, observed + reach)
            p_values[metric, row] = 2 * norm.sf(abs(observed) / deviation)
        assert found[metric]["base"].difference is None
        assert found[metric]["base"].value.mean == pytest.approx(whole["base"], abs=1e-12)
    largest = 0.0
    for place, key in enumerate(sorted(p_values, key=p_values.get)):
        largest = max(largest, min(1.0, p_values[key] * (4 - place)))
        one = found[key[0]][key[1]].difference
        assert one.p == pytest.approx(largest, rel=1e-9)
        assert (one.mean, one.low, one.high) == pytest.approx(expected[key], abs=1e-12)


def write_rows(rows):
    for runs in rows.values():
        for one in runs:
            write_finished(one, Run(one.row, one.seed, one.words), Path("results"))


def fixed_study(rows, seeds=(0,)):
    write_study(
        pretrain=["recipe=x"], rows=dict.fromkeys(rows, []), seeds=list(seeds), places={},
        reference=next(iter(rows)), probes={"set": ["dataset=csv"]},
    )  # fmt: skip


def test_the_table_marks_what_is_significant(capsys):
    rows = {"base": [made("base", s, 0.0, 60) for s in (0, 1)],
            "better": [made("better", s, 4.0, 60) for s in (0, 1)],
            "alike": [made("alike", s, 0.1, 60) for s in (0, 1)]}  # fmt: skip
    fixed_study(rows, (0, 1))
    write_rows(rows)
    assert study("mine.yaml", "table", "results=results", "resamples=200") == 0
    out = capsys.readouterr().out
    assert out.startswith("set: 60 tracks") and "Holm's correction of 4 tests" in out
    lines = {line.split(" |")[0]: line for line in Path("results/table.md").read_text().split("\n")}
    assert lines["| better"].count("**+") == 2 and "p < 0.001" in lines["| better"]
    assert "**" not in lines["| alike"] and "| 2 | 2 min |" in lines["| alike"]
    assert lines["| base"].count("reference") == 2


def test_rows_of_other_words_are_left_out_and_other_tracks_refused(capsys):
    rows = {name: [made(name, 0, 1.0)] for name in ("base", "changed", "other")}
    fixed_study(rows)
    rows["changed"] = [replace(rows["changed"][0], words=("recipe=y", "seed=0"))]
    write_rows(rows)
    assert study("mine.yaml", "table", "results=results", "resamples=20") == 0
    said = capsys.readouterr()
    assert "changed-seed0: finished with other words" in said.err and "changed" not in said.out
    write_rows({"other": [made("other", 0, 1.0, rows=17)]})
    assert study("mine.yaml", "table", "results=results") == 1
    assert "other, seed 0: probe set measured other tracks than base" in capsys.readouterr().err
    Path("results/base-seed0.json").write_text("{}")
    assert study("mine.yaml", "table", "results=results") == 1
    assert "base-seed0.json is damaged: row is missing; remove it" in capsys.readouterr().err
    Path("results/base-seed0.json").unlink()
    assert study("mine.yaml", "table", "results=results") == 1
    assert "results: no finished run of the reference, base" in capsys.readouterr().err


def test_the_figure_has_a_panel_a_recipe_and_a_line_for_rows_that_differ_in_one_size():
    rows = {
        f"{recipe}-{hours}-{steps}": [
            made(f"{recipe}-{hours}-{steps}", 0, hours, hours=hours, steps=steps, recipe=recipe)
        ]
        for recipe in ("contrastive", "vicreg") for hours in (0.5, 2.0) for steps in (100, 300)
        if (recipe, hours, steps) != ("vicreg", 2.0, 300)
    }  # fmt: skip
    fixed_study(rows)
    write_rows(rows)
    assert study("mine.yaml", "figure", "results=results", "resamples=20") == 0
    assert sorted(path.name for path in Path("results").glob("figure-*")) == [
        f"figure-set-{axis}.{kind}" for axis in ("hours", "steps") for kind in ("png", "svg")
    ]
    drawn = Path("results/figure-set-hours.svg").read_text()
    assert "hours of audio" in drawn and "vicreg" in drawn and "300 steps: 0." in drawn
    found = estimate(rows, "contrastive-0.5-100", 20, 0)["set"]["map"]
    panels = _panels("hours", rows, found)
    assert [[curve.name for curve in curves] for curves in panels.values()] == [
        ["100 steps", "300 steps"], ["100 steps"],
    ]  # fmt: skip
    assert panels["vicreg"][0].points == (
        (0.5, found["vicreg-0.5-100"].value), (2.0, found["vicreg-2.0-100"].value),
    )  # fmt: skip


def test_an_unknown_study_is_refused():
    with pytest.raises(SslAudioError, match="study=ablatoin does not exist. Did you mean ablation"):
        read_study("ablatoin")
