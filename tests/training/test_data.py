"""From a source to batches, and resuming in the middle of a run."""

import os
import warnings
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import soundfile
import torch

from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.pretrain import DataSettings, FolderData, JamendoData, ManifestData
from ssl_audio.training.budget import Budget
from ssl_audio.training.data import PairDataModule, worker_count

RATE = 16_000


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten noisy tracks of 9 s and one of 5 s, with lists that name them."""
    folder = tmp_path_factory.mktemp("music")
    rng = np.random.default_rng(0)
    for k in range(10):
        soundfile.write(folder / f"{k}.wav", 0.1 * rng.standard_normal(9 * RATE), RATE)
    soundfile.write(folder / "short.wav", 0.1 * rng.standard_normal(5 * RATE), RATE)
    (folder / "some.txt").write_text("".join(f"{folder / f'{k}.wav'}\n" for k in range(4)))
    (folder / "some.csv").write_text("path\n" + "".join(f"{k}.wav\n" for k in range(5)))
    header = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"
    for name, first in (("a", 0), ("b", 3)):
        rows = [f"t{k}\ta\tb\t{k}.wav\t9.0\tgenre---rock" for k in range(first, first + 3)]
        (folder / f"{name}.tsv").write_text("\r\n".join([header, *rows]) + "\r\n")
    return folder


def make(
    folder: Path, kind: type[DataSettings] = FolderData, steps: int = 6, **options: Any
) -> PairDataModule:
    chosen = {"root": folder, "batch_size": 4, "workers": 0, "cache": folder / "cache", **options}
    data = PairDataModule(kind(**chosen))
    data.setup()
    data.follow(Budget(steps, chosen["batch_size"]))
    return data


class Watcher(lightning.LightningModule):
    """A model that records its pairs, and asks for the length of the run as the real one does."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[list[int], float]] = []

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        self.seen.append((batch["index"].tolist(), float(batch["anchor"].double().sum())))
        return (self.weight - batch["anchor"].mean()) ** 2

    def configure_optimizers(self) -> torch.optim.Optimizer:
        assert self.trainer.estimated_stepping_batches > 0  # builds the loader before the restore
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Killed(Exception):
    """In place of a process that dies."""


class Kill(lightning.Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise Killed


def fit(
    data: PairDataModule, folder: Path, resume: Path | None = None, kill: int | None = None
) -> Watcher:
    watcher = Watcher()
    checkpoints = lightning.pytorch.callbacks.ModelCheckpoint(
        folder, every_n_train_steps=2, save_top_k=-1, filename="{step}"
    )
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        max_steps=data.budget.steps,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[checkpoints] + ([Kill(kill)] if kill is not None else []),
    )
    try:
        trainer.fit(watcher, datamodule=data, ckpt_path=resume)
    except Killed:
        assert kill is not None
    return watcher


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_sees_the_rest_of_the_same_pairs(
    music: Path, tmp_path: Path, workers: int
) -> None:
    whole = fit(make(music, workers=workers), tmp_path / "whole").seen
    assert len(whole) == 6
    first = fit(make(music), tmp_path / "part", kill=3).seen
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rest = fit(make(music, workers=workers), tmp_path / "part", tmp_path / "part/step=2.ckpt")
    messages = [str(w.message) for w in caught]
    assert not [m for m in messages if "not resumable" in m or "trained on" in m]
    assert first == whole[:3] and rest.seen == whole[2:]
    assert rest.trainer.global_step == 6
    twice = fit(make(music), tmp_path / "again", tmp_path / "part/step=4.ckpt")  # a resume's resume
    assert twice.seen == whole[4:]


def test_resuming_on_other_data_warns(music: Path, tmp_path: Path) -> None:
    fit(make(music), tmp_path, kill=3)
    with pytest.warns(UserWarning, match="batch_size 4 -> 5"):
        fit(make(music, batch_size=5), tmp_path, tmp_path / "step=2.ckpt")


def test_sources_and_report(music: Path) -> None:
    def paths(kind: type[DataSettings], **options: Any) -> list[str]:
        data = make(music, kind, batch_size=1, **options)
        data.setup()
        return sorted(Path(track.path).name for track in data.dataset.tracks)

    def names(*numbers: int) -> list[str]:
        return [f"{k}.wav" for k in numbers]

    assert paths(FolderData) == names(*range(10))
    assert paths(ManifestData, root=music / "some.txt") == names(*range(4))
    assert paths(ManifestData, root=music / "some.csv") == names(*range(5))
    assert paths(JamendoData, tsv=[music / "a.tsv"]) == names(0, 1, 2)
    assert paths(JamendoData, tsv=[music / "a.tsv", music / "b.tsv"]) == names(*range(6))

    data = make(music)
    data.prepare_data()
    data.setup("fit")
    assert "1 tracks left out: shorter than 8 s" in data.summary()
    assert "training on 10 tracks, 0.03 hours" in data.summary()
    assert len(data.manifest.tracks) == 11


def test_wrapping_uses_the_short_track(music: Path) -> None:
    data = make(music, short="wrap", batch_size=11, steps=1)
    data.setup()
    (batch,) = data.train_dataloader()
    assert sorted(batch["index"].tolist()) == list(range(11)) and batch["failures"] == []
    assert "1 tracks shorter than 8 s are repeated; in 1 of them" in data.summary()


def test_unusable_data_is_refused(music: Path, tmp_path: Path) -> None:
    with pytest.raises(SslAudioError, match="lower data.batch_size"):
        make(music, batch_size=11).setup()
    with pytest.raises(SslAudioError, match="no track is long enough.*short=wrap"):
        make(music, segment=8.0).setup()
    with pytest.raises(SslAudioError):
        make(tmp_path).setup()
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(SslAudioError, match="no usable audio.*data=demo"):
        make(tmp_path).setup()


def test_the_loader_leaves_the_models_randomness_alone(music: Path) -> None:
    data = make(music)
    data.setup()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    next(iter(data.train_dataloader()))
    assert torch.equal(torch.rand(3), expected)


def test_worker_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(24)), raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [worker_count("auto", n) for n in (1, 4, 100)] == [12, 3, 1]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [worker_count("auto", n) for n in (1, 4)] == [16, 6]
    assert worker_count(0) == 0 and worker_count(5) == 5
