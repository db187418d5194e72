"""The encoder of the best probe: which one is kept, on which tracks, and after a kill."""

import json
from pathlib import Path

import pytest
from labelled_music import PARTS, RATE, SMALL, write_labelled_music

from ssl_audio.models.encoder import build_encoder, load_encoder
from ssl_audio.pretrain import main
from ssl_audio.reports.results import Scores
from ssl_audio.training import online_probe, pretrain
from ssl_audio.training.callbacks import ReadFailures
from ssl_audio.training.selection import BestEncoder, selection_of

PROBE = [
    "online_probe.root=music", *(f"online_probe.{part}_tsv=music/{part}.tsv" for part in PARTS),
    "online_probe.every_n_steps=2", "online_probe.select=map",
]  # fmt: skip


def words(*more: str) -> list[str]:
    return [
        "recipe=contrastive", *SMALL, "run_dir=run", "encoder.embedding_size=8",
        "encoder.whitening=null", "trainer.max_steps=5", "trainer.checkpoint_every=2", *more,
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def music(own_folder: Path) -> None:
    """Two tracks for each table, one of them with a tag."""
    write_labelled_music(("genre---rock", "mood---calm"))


def test_the_first_of_the_best_encoders_is_kept(tmp_path):
    first, second = build_encoder(embedding_size=4), build_encoder(embedding_size=4)
    best = BestEncoder(tmp_path, "map")
    assert best.load() is None
    assert best.offer(first, Scores(0.9, 0.5), 10)
    assert not best.offer(second, Scores(1.0, 0.5), 20)
    again = BestEncoder(tmp_path, "map")  # of a run that resumes
    assert not again.offer(second, Scores(1.0, 0.4), 30)
    kept = again.load()
    assert kept.weights_hash == first.weights_hash and selection_of(kept).step == 10
    assert BestEncoder(tmp_path, "roc_auc").load() is None
    assert again.offer(second, Scores(0.0, 0.6), 40)
    assert load_encoder(tmp_path / "encoder-best").weights_hash == second.weights_hash


def test_a_killed_run_keeps_the_best_encoder_on_validation_and_measures_it_on_test(
    monkeypatch, capsys
):
    figures = {"step 2": 0.7, "step 4": 0.8, "step 5": 0.6}
    hashes, probed = {}, []

    def features(encoder):
        return encoder.weights_hash

    def scores(labelled, features, name, sample_rate=RATE):
        tracks = {path.name for path in labelled.test.paths}
        probed.append((name, tracks))
        hashes[name] = features
        return Scores(0.5, figures.get(name, 0.1))

    def interrupt(self, trainer, *_):
        if trainer.global_step == 3:
            raise KeyboardInterrupt

    for module in (online_probe, pretrain):
        monkeypatch.setattr(module, "encoder_features", features)
        monkeypatch.setattr(module, "probe_scores", scores)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ReadFailures, "on_train_batch_start", interrupt)
        assert main(words(*PROBE)) == 130
    assert selection_of(load_encoder("run/encoder-best")).step == 2
    assert main(words(*PROBE, "ckpt_path=last")) == 0

    kept = load_encoder("run/encoder-best")
    assert kept.weights_hash == hashes["step 4"] == hashes["best on validation"]
    assert load_encoder("run/encoder").weights_hash == hashes["step 5"] == hashes["trained"]
    validation, test = ({f"{part}{k}.wav" for k in range(2)} for part in PARTS[1:])
    assert probed == [
        *((f"step {k}", validation) for k in (2, 4, 5)),
        *((name, test) for name in ("mel statistics", "untrained", "trained",
                                    "best on validation")),
    ]  # fmt: skip
    found = json.loads(Path("run/results.json").read_text())
    assert found["selected"] == {"metric": "map", "score": 0.8, "step": 4}
    assert list(found["probe"])[-1] == "best on validation"
    assert "- selected: step 4, of the best map on validation, 0.800\n" in kept.card
    assert "selected" not in load_encoder("run/encoder").card
    printed = capsys.readouterr().err
    assert "step 4: probe ROC-AUC 0.500, mAP 0.800, the best so far" in printed
    assert "encoder of step 4, map 0.800 on validation: run/encoder-best" in printed


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ([*PROBE, "online_probe.every_n_steps=0"],
         "online_probe.every_n_steps=0: 1 or more with online_probe.select"),
        ([word for word in PROBE if "validation" not in word],
         "online_probe.validation_tsv=null: required with online_probe.select"),
        (PROBE[-2:], "online_probe.root=null: required with online_probe.select"),
        ([*PROBE, "online_probe.validation_tsv=music/test.tsv"],
         "online_probe.validation_tsv=music/test.tsv: 2 of its tracks are test tracks, on which no "
         "encoder may be selected"),
    ],
)  # fmt: skip
def test_no_encoder_is_selected_on_test_tracks(probe, message, capsys):
    assert main(words(*probe)) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {message}"
    assert not Path("run").exists()
