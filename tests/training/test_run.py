"""Runs: the weights that they start from, random steps, and components of the user's own."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import ssl_audio
from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import build_encoder
from ssl_audio.pretrain import COMMAND, main
from ssl_audio.training.build import untrained_encoder
from ssl_audio.training.start import take_weights

SMALL = [
    "data=folder", "data.root=music", "data.batch_size=4", "data.segment=1.0",
    "data.min_offset=1.0", "data.max_offset=3.0", "data.workers=0", "trainer.precision=32-true",
    "trainer.accelerator=cpu", "trainer.log_every_n_steps=1", "encoder.embedding_size=16",
    "online_probe=none",
]  # fmt: skip


@pytest.fixture(autouse=True)
def music(own_folder):
    Path("music").mkdir()
    for index in range(4):
        noise = np.random.default_rng(index).normal(0, 0.1, 6 * 16_000)
        soundfile.write(f"music/{index}.wav", noise, 16_000)


def pretrain(*words, recipe="contrastive", status=0):
    assert main([f"recipe={recipe}", *SMALL, *words]) == status


def test_a_run_starts_from_given_weights_which_a_resumed_run_does_not_read():
    torch.manual_seed(7)
    given = build_encoder(embedding_size=16, segment=1.0)
    folder = given.save("given", card="")
    more = ["objective.projector_sizes=[16]", f"encoder.init_from={folder}", "run_dir=run",
            "encoder.whitening=null"]  # fmt: skip
    pretrain(*more, "trainer.max_steps=1")  # the rate of the first step is 0
    trained = ssl_audio.load_encoder("run/encoder")
    untrained = untrained_encoder(COMMAND.load(["recipe=contrastive", *SMALL, *more]))
    for name, weights in given.named_parameters():
        assert torch.equal(trained.get_parameter(name), weights), name
    assert not torch.equal(untrained.backbone.head.q.weight, given.backbone.head.q.weight)
    assert "- started from the weights of: `given`\n" in Path("run/encoder/README.md").read_text()
    folder.rename("moved")
    pretrain(*more, "trainer.max_steps=2", "ckpt_path=last")


def assert_equal_weights(*runs):
    first, second = (
        torch.load(f"{run}/checkpoints/last.ckpt", weights_only=True)["state_dict"] for run in runs
    )
    assert all(torch.equal(weights, second[name]) for name, weights in first.items())


def refusal(source, **arguments):
    with pytest.raises(SslAudioError) as caught:
        take_weights(build_encoder(**{"embedding_size": 16, "segment": 1.0, **arguments}), source)
    return str(caught.value)


def test_weights_of_another_architecture_are_refused_with_the_settings_to_change(tmp_path):
    folder = str(build_encoder(embedding_size=16, segment=1.0).save(tmp_path / "given", card=""))
    start = f"encoder.init_from={folder} has another architecture than this run: "
    assert refusal(folder, segment=4.0) == f"{start}set data.segment=1"
    changed = refusal(folder, frontend="released", backbone="test_efficientnet", embedding_size=8)
    assert changed == (
        f"{start}set frontend=default, set encoder.backbone=resnet, set encoder.embedding_size=16"
    )
    other = build_encoder(frontend={"n_mels": 64}, embedding_size=16).save(tmp_path / "o", card="")
    assert "its front end is none of frontend=" in refusal(str(other))


STOCHASTIC = """
import random
import lightning, numpy, torch
from ssl_audio.objectives import LossOutput, Objective

class Stochastic(Objective):
    def __init__(self, embedding_size):
        layers = (torch.nn.Dropout(0.5), torch.nn.Linear(embedding_size, 8))
        super().__init__(torch.nn.Sequential(*layers))

    def loss(self, student, teacher, progress):
        scale = 1 + random.random() + numpy.random.rand()
        return LossOutput(scale * (student[0] - student[1]).square().mean())

class Draws(lightning.Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step % 2:
            torch.rand(3), numpy.random.rand(3), random.random()

class Interrupt(lightning.Callback):
    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == 2:
            raise KeyboardInterrupt
"""
RECIPE = """
defaults: [{base: pretrain}, _self_]
objective: {_target_: stochastic.Stochastic}
callbacks: [{_target_: stochastic.Draws}]
learning_rate: {warmup: 0}
"""


def test_random_steps_resume_to_the_same_weights_and_own_components_take_part():
    Path("stochastic.py").write_text(STOCHASTIC)
    Path("stochastic.yaml").write_text(RECIPE)
    more = ["trainer.max_steps=4", "trainer.checkpoint_every=1", "encoder.backbone=test_resnet"]
    logger = "logger=[{_target_: lightning.pytorch.loggers.CSVLogger, save_dir: mine}]"
    pretrain(*more, logger, "run_dir=whole", recipe="stochastic.yaml")
    log = Path("mine/lightning_logs/version_0/metrics.csv").read_text()
    assert "train/loss" in log and log == Path("whole/logs/csv/metrics.csv").read_text()
    parts = ["run_dir=parts", *more]
    interrupt = "callbacks=[{_target_: stochastic.Interrupt}]"
    pretrain(*parts, interrupt, recipe="stochastic.yaml", status=130)
    pretrain(*parts, "ckpt_path=last", recipe="stochastic.yaml")
    assert_equal_weights("whole", "parts")


def test_masked_prediction_resumes_to_the_same_weights_and_leaves_a_teacher():
    Path("stochastic.py").write_text(STOCHASTIC)
    Path("patches.yaml").write_text("defaults: [masked, _self_]\n")
    more = ["encoder.backbone=test_vit", "objective.width=16", "trainer.checkpoint_every=1",
            "learning_rate.warmup=0", "trainer.max_steps=3"]  # fmt: skip
    pretrain(*more, "run_dir=whole", recipe="patches.yaml")
    interrupt = "callbacks=[{_target_: stochastic.Interrupt}]"
    pretrain(*more, "run_dir=parts", interrupt, recipe="patches.yaml", status=130)
    pretrain(*more, "run_dir=parts", "ckpt_path=last", recipe="patches.yaml")
    assert_equal_weights("whole", "parts")
    student, teacher = (ssl_audio.load_encoder(f"whole/{name}") for name in ("encoder", "teacher"))
    before = untrained_encoder(COMMAND.load(["recipe=masked", *SMALL, *more]))
    for name, weights in before.named_parameters():
        assert not torch.equal(student.get_parameter(name), weights), name
        assert not torch.equal(teacher.get_parameter(name), weights), name


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("encoder.backbone=resnet", "encoder.pool=mean: resnet has no patches; set "),
        ("data.crop_segment=0.5", "views with hidden patches have one length"),
    ],
)
def test_masked_prediction_is_refused_before_a_folder_exists(word, message, capsys):
    more = ["encoder.backbone=test_vit", "data.crops=1", word, "run_dir=run"]
    pretrain(*more, "trainer.max_steps=1", recipe="masked", status=1)
    assert message in capsys.readouterr().err and not Path("run").exists()
