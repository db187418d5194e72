"""The probe command on tracks whose tags are audible."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from commands import call
from sklearn.metrics import average_precision_score, roc_auc_score

from ssl_audio import load_encoder, load_probe, probe
from ssl_audio.datasets.dataset import Split, TaggingDataset
from ssl_audio.models.encoder import build_encoder
from ssl_audio.probing import comparison
from ssl_audio.probing.features import TrackFeatures
from ssl_audio.reports import page
from ssl_audio.reports.results import read_results

RATE = 16_000
SPLITS = {"train": 12, "validation": 6, "test": 8}
FAST = [
    "hop=null",
    "linear_probe.epochs=4",
    "linear_probe.steps=40",
    "linear_probe.learning_rate=0.01",
    "limited_data.fractions=[0.5]",
    "limited_data.seeds=2",
    "few_shot.shots=[1]",
    "few_shot.seeds=2",
    "bootstrap.resamples=5",
    "knn=3",
    "cost=false",
    "workers=1",
]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Tracks of 2 s that are low or high, and loud or soft, with those as tags."""
    folder = tmp_path_factory.mktemp("tracks")
    time_axis = np.arange(2 * RATE) / RATE
    lines = [["path", "tags", "split"]]
    for split, count in SPLITS.items():
        for k in range(count):
            rng = np.random.default_rng([k, count])
            high, loud = k % 2, (k // 2) % 2
            tone = np.sin(2 * np.pi * (2000 if high else 200) * rng.uniform(0.8, 1.2) * time_axis)
            sound = (0.5 if loud else 0.05) * tone + rng.normal(0, 0.01, len(tone))
            soundfile.write(folder / f"{split}{k}.wav", sound, RATE)
            lines.append([f"{split}{k}.wav", "|".join(["low", "high"][high:high + 1]
                          + ["loud"] * loud), split])  # fmt: skip
    with (folder / "tags.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return folder / "tags.csv"


@pytest.fixture
def run(own_folder, monkeypatch):
    """The command, but for its pages and figures."""
    monkeypatch.setattr(page, "write_report", lambda many, folder: [])
    return lambda *words: call(probe.main, *FAST, *words)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder") / "mine" / "encoder"
    return build_encoder(backbone="test_resnet", embedding_size=64, segment=1.0).save(
        folder, card=""
    )


@pytest.fixture(scope="module")
def compared(table, encoder, tmp_path_factory):
    """The folder of a run and what it printed."""
    folder = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_AUDIO_CACHE", str(folder / "cache"))
        status, out, err = call(
            probe.main, *FAST, "dataset=csv", f"data.table={table}", f"checkpoint={encoder}",
            f"run_dir={folder / 'run'}", "baselines=[mel_statistics,mfcc]", "cost=true",
        )  # fmt: skip
    assert status == 0, err
    return folder / "run", out


def test_a_whole_comparison(compared, table):
    folder, out = compared
    results = read_results(folder)
    costs = [one.cost for one in results.systems]
    assert costs[0].parameters > 1e5 and costs[0].operations > costs[1].operations > 0
    assert costs[1].parameters is None and costs[2].operations is None and "tracks/s" in out
    assert [one.name for one in results.systems] == ["mine", "mel_statistics", "mfcc"]
    assert results.dataset.counts == SPLITS
    assert results.dataset.tags == ("high", "loud", "low")
    assert results.config["data"]["table"] == str(table) and results.config["command"]
    for system in results.systems:
        assert len(system.roc_auc.resamples) == 5
        assert [part.fraction for part in system.limited] == [0.5]
        assert [len(part.map) for part in system.few_shot] == [2]
        assert f"{system.roc_auc.mean:.3f}" in out
    assert results.systems[1].roc_auc.test > 0.8  # they contain the pitch
    figures = ("figures/bootstrap.png", "figures/bootstrap.svg", "figures/limited_data.png")
    tables = ("report.html", "results.csv", "table.tex", "config.yaml", "versions.json")
    for name in (*figures, *tables):
        assert (folder / name).stat().st_size > 0
    assert {(d.a, d.b) for d in results.differences} == {
        ("mine", "mel_statistics"), ("mine", "mfcc"), ("mel_statistics", "mfcc"),
    }  # fmt: skip


def test_figures_are_those_of_the_scores_that_are_kept(compared):
    folder, _ = compared
    with np.load(folder / "scores.npz", allow_pickle=False) as kept:
        targets, scores = kept["targets"], kept["scores"]
    for system, given in zip(read_results(folder).systems, scores, strict=True):
        roc = roc_auc_score(targets, given, average="macro")
        precision = average_precision_score(targets, given, average="macro")
        assert system.roc_auc.test == pytest.approx(roc, abs=1e-6)
        assert system.map.test == pytest.approx(precision, abs=1e-6)


def test_the_probe_of_a_checkpoint_is_saved_and_never_sees_the_test_split(
    run, compared, table, encoder
):
    before = compared[0] / "probes"
    assert [path.name for path in before.iterdir()] == ["mine"]  # no baseline's
    probe = load_probe(before / "mine")
    assert probe.tags_ == ("high", "loud", "low") and probe.thresholds_.shape == (3,)
    with np.load(compared[0] / "scores.npz", allow_pickle=False) as kept:
        track, scores = str(kept["ids"][0]), kept["scores"][0]
    embedding = load_encoder(encoder).embed_file(table.parent / track).track
    np.testing.assert_allclose(probe.decision_function(embedding[None]), scores[:1], atol=1e-3)
    card = (before / "mine" / "README.md").read_text()
    assert all(said in card for said in ("| high |", "Limits", "8 test tracks", "ssl-audio tag"))

    with table.open() as file:
        rows = [(path, "high|loud" if split == "test" and k % 3 else tags, split)
                for k, (path, tags, split) in enumerate(csv.reader(file))]  # fmt: skip
    other = table.with_name("other-test-tags.csv")
    with other.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    status, _, err = run(
        "dataset=csv", f"data.table={other}", f"checkpoint={encoder}", "baselines=[]",
        "limited_data.fractions=[]", "few_shot.shots=[]", "probes=kept",
        f"cache={compared[0].parent / 'cache' / 'features'}",
    )  # fmt: skip
    assert status == 0, err
    one, two = (folder / "mine" for folder in (before, Path("kept")))
    assert (one / "probe.safetensors").read_bytes() == (two / "probe.safetensors").read_bytes()
    tags = [json.loads((folder / "config.json").read_text())["tags"] for folder in (one, two)]
    assert tags[0] == tags[1]


def test_the_same_seed_gives_the_same_figures(run, compared, table, tmp_path):
    words = ["dataset=csv", f"data.table={table}", "baselines=[mfcc]", "run_dir=run"]
    assert run(*words)[0] == 0
    [again], before = read_results(tmp_path / "run").systems, read_results(compared[0]).systems
    assert again == replace(before[2], cost=None)


@pytest.mark.parametrize("kind", ["mlp", "logistic"])
def test_other_probes(run, table, tmp_path, kind):
    status, _, err = run("dataset=csv", f"data.table={table}", "baselines=[mel_statistics]",
                         f"probe={kind}", "run_dir=run")  # fmt: skip
    assert status == 0, err
    [system] = read_results(tmp_path / "run").systems
    assert system.probe == kind and system.roc_auc.test > 0.7


def test_single_segments_of_an_encoder_and_of_a_network_by_name(run, table, encoder, tmp_path):
    status, _, err = run(
        "dataset=csv", f"data.table={table}", f"checkpoint=[timm:test_resnet:random,{encoder}]",
        "baselines=[]", "train_on=segments", "run_dir=run",
    )  # fmt: skip
    assert status == 0, err
    results = read_results(tmp_path / "run")
    assert results.protocol.train_on == "segments"
    kinds = [(one.name, one.kind) for one in results.systems]
    assert kinds == [("mine", "checkpoint"), ("timm:test_resnet:random", "timm")]
    assert [path.name for path in (tmp_path / "run" / "probes").iterdir()] == ["mine"]


def test_segments_stay_with_their_tracks_when_another_is_left_out():
    paths = [Path(name) for name in "abcde"]
    splits = [
        Split(tuple("abc"), tuple(paths[:3]), np.eye(3, dtype=np.uint8)),
        *(Split((p.name,), (p,), np.eye(1, 3, dtype=np.uint8)) for p in paths[3:]),
    ]
    dataset = TaggingDataset("made", tuple("xyz"), *splits, {}, ())
    offsets = np.array([0, 2, 5, 6, 7, 8])
    segments = np.arange(16, dtype=np.float32).reshape(8, 2)
    features = TrackFeatures(np.zeros((5, 2), np.float32), segments, offsets[:-1], offsets[1:])
    found = comparison._encoded(dataset, features, np.array([True, False, True, True, True]))
    rows = found.train
    kept = [rows.x[a:b].tolist() for a, b in zip(rows.starts, rows.ends, strict=True)]
    assert kept == [[[0, 1], [2, 3]], [[10, 11]]]
    np.testing.assert_array_equal(rows.y, [[1, 0, 0], [0, 0, 1]])


def test_the_validation_split_is_measured_for_choices(run, table, tmp_path):
    status, out, err = run("dataset=csv", f"data.table={table}", "baselines=[mel_statistics]",
                           "part=validation", "run_dir=run")  # fmt: skip
    assert status == 0, err
    results = read_results(tmp_path / "run")
    assert results.dataset.counts == {"train": 10, "validation": 2, "test": 6}
    assert "5 resamples of 50 % of 6 validation tracks" in out
    saved = np.load(tmp_path / "run" / "scores.npz")
    assert saved["ids"].tolist() == [f"validation{k}.wav" for k in range(6)]
    assert saved["clusters"].tolist() == [f"track validation{k}.wav" for k in range(6)]


def test_a_refused_run_leaves_its_folder_free_and_a_finished_one_does_not(
    run, compared, table, tmp_path
):
    words = ["dataset=csv", f"data.table={table}"]
    assert run(*words, "run_dir=run", "baselines=[untrainde]")[0] == 1
    assert not (tmp_path / "run").exists()
    status, _, err = run(*words, f"run_dir={compared[0]}", "baselines=[mel_statistics]")
    assert status == 1 and "already holds a run" in err and "ckpt_path" not in err


@pytest.mark.slow
def test_finetuning_and_a_supervised_encoder(run, table, encoder, tmp_path):
    status, _, err = run(
        "dataset=csv", f"data.table={table}", f"checkpoint={encoder}", "probe=finetune",
        "baselines=[supervised]", "run_dir=run", "finetune.epochs=2", "finetune.steps=1",
        "finetune.batch_size=2", "finetune.workers=0",
    )  # fmt: skip
    assert status == 0, err
    systems = {one.name: one for one in read_results(tmp_path / "run").systems}
    assert set(systems) == {"mine", "mine (fine-tuned)", "supervised"}
    assert systems["mine (fine-tuned)"].probe == "finetune"
    assert systems["mine (fine-tuned)"].hash != systems["mine"].hash


def test_a_track_damaged_in_the_middle_is_left_out_and_named(run, table, tmp_path):
    folder = tmp_path / "damaged"
    folder.mkdir()
    for path in table.parent.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "test3.wav").write_bytes(b"RIFF is all there is")
    status, _, err = run("dataset=csv", f"data.table={folder / 'tags.csv'}", "run_dir=run",
                         "baselines=[mel_statistics]")  # fmt: skip
    assert status == 0 and "1 of 26 tracks could not be read" in err and "test3.wav" in err
    results = read_results(tmp_path / "run")
    assert "test3.wav" in results.dataset.notes[0]
    assert "test3.wav" not in results.map.ids and len(results.map.ids) == 7


def test_missing_audio_stops_unless_allowed_and_is_said_in_the_results(run, table, tmp_path):
    folder = tmp_path / "half"
    folder.mkdir()
    for path in table.parent.iterdir():
        if not path.stem.endswith("5"):
            (folder / path.name).write_bytes(path.read_bytes())
    words = ["dataset=csv", f"data.table={folder / 'tags.csv'}", "baselines=[mel_statistics]"]
    status, _, err = run(*words)
    assert status == 1 and "data.allow_missing=true" in err and len(err.splitlines()) == 1
    status, out, err = run(*words, "data.allow_missing=true", "run_dir=run")
    assert status == 0, err
    [note] = read_results(tmp_path / "run").dataset.notes
    assert "1 of 12 train" in note and note in out


CSV = ["dataset=csv", "data.table=TABLE"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.root=/music"], "dataset= is required: mtat"),
        (["dataset=nothing"], "jamendo_mood"),
        (["dataset=scroes", "data.root=/nowhere"], "Did you mean scores?"),
        (["dataset=scores", "data.root=/nowhere"], "/nowhere"),
        (["dataset=scores"], "data.root"),
        (["dataset=mtat", "data.root=/music", "data.layout=full"], "dataset=jamendo_top50"),
        ([*CSV, "probe=best"], "logistic"),
        ([*CSV, "probe=finetune"], "required with probe=finetune"),
        ([*CSV, "probe=logistic", "train_on=segments"], "train_on=segments: tracks"),
        ([*CSV, "baselines=[untrainde]"], "untrainde"),
        ([*CSV, "baselines=[]"], "checkpoint="),
        ([*CSV, "checkpoint=/nowhere"], "/nowhere"),
        ([*CSV, "checkpoint=null"], "null: no"),
        ([*CSV, "train_on=notes"], "segments"),
        ([*CSV, "data.sead=1"], "Did you mean data.seed?"),
        ([*CSV, "bootstrap.fraction=2"], "bootstrap.fraction=2.0: a number, above 0, below 1"),
        ([*CSV, "limited_data.fractions=[0.1,1.5]"], "limited_data.fractions"),
        ([*CSV, "linear_probe.batch_size=null"], "linear_probe.batch_size=null: a whole number"),
        ([*CSV, "workers=1.5"], "workers=1.5: a whole number or null, 1 or more"),
        ([*CSV, "knn=0"], "knn=0"),
        ([*CSV, "hop=-1"], "hop=-1"),
        ([*CSV, "run_dir=s3://bucket/run"], "run_dir"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(run, table, words, said, tmp_path):
    status, _, err = run(*[word.replace("TABLE", str(table)) for word in words])
    assert status == 1 and said in err.splitlines()[-1], err
    assert not (tmp_path / "runs").exists() and not list(tmp_path.glob("s3*"))


def test_help_lists_the_settings_of_every_data_set(run):
    status, out, _ = run("--help")
    assert status == 0 and "data.scheme" in out and "linear_probe.epochs" in out
