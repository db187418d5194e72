"""The probe command on classes, partly labelled tags and changed audio, with tones as tracks."""

import csv

import numpy as np
import pytest
import soundfile
from commands import call

from ssl_audio import probe
from ssl_audio.reports.results import read_results

RATE = 16_000
CLASSES = ("low", "middle", "high")
FAST = [
    "baselines=[mel_statistics]", "linear_probe.epochs=4", "linear_probe.steps=40",
    "linear_probe.learning_rate=0.01", "limited_data.fractions=[0.5]", "limited_data.seeds=1",
    "few_shot.shots=[1]", "few_shot.seeds=1", "bootstrap.resamples=5", "knn=3", "workers=1",
    "run_dir=run", "cost=false",
]  # fmt: skip


def tone(kind, seed):
    rng = np.random.default_rng(seed)
    time_axis = np.arange(RATE) / RATE
    sound = np.sin(2 * np.pi * 200 * 4**kind * rng.uniform(0.9, 1.1) * time_axis)
    return 0.3 * sound + rng.normal(0, 0.01, RATE)


def made_esc50(root):
    """30 clips of low, middle and high tones in five folds."""
    (root / "audio").mkdir()
    (root / "meta").mkdir()
    lines = ["filename,fold,category,src_file"]
    for n in range(30):
        soundfile.write(root / "audio" / f"{n}.wav", tone(n % 3, n), RATE)
        lines.append(f"{n}.wav,{1 + n // 6},{CLASSES[n % 3]},{n}")
    (root / "meta" / "esc50.csv").write_text("\n".join(lines))


@pytest.fixture
def run(own_folder):

    def run(*words):
        status, out, err = call(probe.main, *words, *FAST)
        assert status == 0, err
        return read_results(own_folder / "run"), out

    return run


@pytest.mark.parametrize("kind", ["linear", "logistic"])
def test_classes_are_reported_by_accuracy(run, tmp_path, unrendered, kind):
    made_esc50(tmp_path)
    results, out = run("dataset=esc50", "data.root=.", "data.fold=2", f"probe={kind}")
    [system] = results.systems
    assert results.dataset.counts == {"train": 18, "validation": 6, "test": 6}
    assert list(system.classes) == ["accuracy", "macro F1"]
    accuracy = system.classes["accuracy"]
    assert accuracy.test == 1.0 and len(accuracy.resamples) == 5
    assert "1.000 ± 0.000  1.000" in out and "macro F1" in out
    with np.load(tmp_path / "run" / "scores.npz") as kept:
        assert (kept["scores"][0].argmax(1) == kept["targets"].argmax(1)).all()
    with (tmp_path / "run" / "results.csv").open() as file:
        rows = {(row["setting"], row["metric"]): row for row in csv.DictReader(file)}
    assert float(rows["all", "accuracy"]["test"]) == 1.0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<th>accuracy</th><th>whole set</th><th>macro F1</th>" in page


def test_unlabelled_cells_count_nowhere(run, tmp_path, unrendered):
    (tmp_path / "partitions").mkdir()
    lines, clips = ["sample_key,instrument,relevance,num_responses"], []
    for n in range(42):
        clips.append(f"00{n % 3}{n:03d}_0")
        folder = tmp_path / "audio" / clips[-1][:3]
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{clips[-1]}.ogg", tone(n % 3, n), RATE)
        known = (n // 3) % 3  # one label of the three
        lines.append(f"{clips[-1]},{CLASSES[known]},{float(known == n % 3)},3")
        if n >= 30:  # every class has positives among the tested clips
            lines.append(f"{clips[-1]},{CLASSES[n % 3]},1.0,3")
    (tmp_path / "openmic-2018-aggregated-labels.csv").write_text("\n".join(lines))
    (tmp_path / "partitions" / "split01_train.csv").write_text("\n".join(clips[:30]))
    (tmp_path / "partitions" / "split01_test.csv").write_text("\n".join(clips[30:]))
    results, _ = run("dataset=openmic", "data.root=.")
    [system] = results.systems
    assert not system.classes and system.roc_auc.test == 1.0
    positives = [figures.positives for figures in system.per_tag.values()]
    assert positives == [4, 4, 4]
    assert sum(one.count for one in system.calibration.bins) < 12 * 3
    tagged = [len(tags) for tags in results.map.tags]
    assert tagged == [1] * 12


def test_robustness_is_a_curve_by_the_strength_of_a_change(run, tmp_path):
    made_esc50(tmp_path)
    results, _ = run(
        "dataset=esc50", "data.root=.", "robustness.changes=[noise,mp3]",
        "robustness.noise=[-40,40]", "robustness.mp3=[64]",
    )  # fmt: skip
    [system] = results.systems
    found = {(one.change, one.strength): one.metrics for one in system.robustness}
    assert list(found) == [("noise", -40.0), ("noise", 40.0), ("mp3", 64.0)]
    assert list(found["mp3", 64.0]) == ["accuracy", "macro F1", "roc_auc", "map"]
    accuracy = {key: metrics["accuracy"].mean for key, metrics in found.items()}
    assert accuracy["noise", 40.0] == 1.0 and accuracy["mp3", 64.0] > 0.5
    assert accuracy["noise", -40.0] < 0.9
    with (tmp_path / "run" / "results.csv").open() as file:
        rows = {(row["setting"], row["metric"]): row for row in csv.DictReader(file)}
    assert float(rows["noise 40", "accuracy"]["mean"]) == 1.0
    for name, key in (("robustness-1-noise", ("noise", 40.0)), ("robustness-2-mp3", ("mp3", 64.0))):
        drawing = (tmp_path / "run" / "figures" / f"{name}.svg").read_text()
        assert f"mel_statistics, {key[0]} {key[1]:g}: {accuracy[key]:.3f} ±" in drawing
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<h2>Robustness</h2>" in page and "signal-to-noise ratio, dB" in page
