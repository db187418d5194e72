"""Structured logs: every line of standard error is one JSON object."""

import json
import math
import warnings
from types import SimpleNamespace

import lightning
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel

from ssl_audio.io import log
from ssl_audio.io.console import guarded, say, warn
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.lightning_run import make_trainer
from ssl_audio.io.progress import with_progress


@pytest.fixture
def events(capsys):
    """What was written since the last call, with `log=json`."""
    log.set_json(True)
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    log.set_json(False)


def test_messages_warnings_and_errors_are_events(events):
    def fail(error):
        raise error

    say("two\nlines")
    warn("careful")
    warnings.warn("of a package", stacklevel=1)
    assert guarded(lambda: fail(SslAudioError("a wrong value"))) == 1
    assert guarded(lambda: fail(ZeroDivisionError("a bug"))) == 1
    found = events()
    assert all(one["time"].endswith("Z") for one in found)
    assert [one["event"] for one in found] == [
        "message", "warning", "log", "error", "end", "error", "end",
    ]  # fmt: skip
    assert [found[k]["text"] for k in (0, 1, 3)] == ["two\nlines", "careful", "a wrong value"]
    assert "of a package" in found[2]["text"] and found[4]["status"] == 1
    assert "ZeroDivisionError" in found[5]["traceback"]


def test_text_is_as_before(capsys):
    say("a message")
    log.event("failure", id="a")
    assert capsys.readouterr().err == "a message\n"
    with pytest.raises(ZeroDivisionError):
        guarded(lambda: 1 // 0)


def test_progress_has_counts_rate_and_time_left(events, monkeypatch):
    clock = iter(range(0, 1000, 4))  # seconds: an item takes four
    monkeypatch.setattr(log, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert list(with_progress(range(7), "embedding")) == list(range(7))
    found = events()
    assert [(one["done"], one["total"]) for one in found] == [(0, 7), (3, 7), (6, 7), (7, 7)]
    assert found[0]["seconds_left"] is None and found[-1]["seconds_left"] == 0
    for one in found[1:-1]:
        assert one["seconds_left"] > 0 and 0 < one["per_second"] < 0.3
    log.event("x", value=math.nan, inner={"list": [math.inf, 1.0]})
    assert events()[0]["value"] is None


def test_training_writes_its_steps_and_values(events, tmp_path, monkeypatch):
    class Model(BoringModel):
        def training_step(self, batch, batch_idx):
            loss = self.layer(batch).square().mean()
            self.log("loss", loss)
            return loss

    monkeypatch.setattr(log, "EVERY", 0.0)
    trainer = make_trainer(
        tmp_path, batches=3, checkpoint_every=3, monitor="loss", accelerator="cpu",
        precision="32-true", max_steps=3,
    )  # fmt: skip
    assert isinstance(trainer, lightning.Trainer)
    trainer.fit(Model(), torch.utils.data.DataLoader(torch.ones(3, 32)))
    found = [one for one in events() if one["event"] == "progress"]
    assert [one["done"] for one in found] == [0, 1, 2, 3, 3] and found[0]["total"] == 3
    assert found[-1]["metrics"]["loss"] >= 0
