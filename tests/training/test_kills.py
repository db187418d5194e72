"""A run of `pretrain` that is killed at any moment resumes to the same encoders, bit by bit.

Kills are at a random time, or right before or after a random rename, where a file gets its name.
`SSL_AUDIO_KILLS` sets their number.
"""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from labelled_music import PARTS, write_labelled_music
from processes import start

from ssl_audio.io.lock import LOCK
from ssl_audio.models.encoder import load_encoder
from ssl_audio.pretrain import main
from ssl_audio.reports.results import Scores
from ssl_audio.training import online_probe, pretrain

KILLS = int(os.environ.get("SSL_AUDIO_KILLS", "1"))
WORDS = [
    "recipe=byol", "data=folder", "data.root=music", "data.batch_size=4", "data.segment=1",
    "data.min_offset=1", "data.max_offset=2", "data.workers=0", "encoder.backbone=test_resnet",
    "encoder.embedding_size=8", "objective.projector_sizes=[8,8]", "trainer.max_steps=5",
    "trainer.checkpoint_every=2", "trainer.precision=32-true", "trainer.accelerator=cpu",
    "online_probe.root=music", *(f"online_probe.{part}_tsv=music/{part}.tsv" for part in PARTS),
    "online_probe.every_n_steps=1", "online_probe.select=map",
]  # fmt: skip
ENCODERS = ("encoder", "encoder-best", "teacher")
MAP = {"step 1": 0.1, "step 2": 0.3, "step 3": 0.4, "step 4": 0.7, "step 5": 0.6}


def quick_probe(patch: Callable) -> None:
    """Scores that depend on the step alone, instead of a probe."""
    for module in (online_probe, pretrain):
        patch(module, "encoder_features", lambda encoder: None)
        patch(module, "probe_scores", lambda _, f, name, *rate: Scores(0.5, MAP.get(name, 0.0)))


def at_renames(patch: Callable, call: Callable[[bool], None]) -> None:
    """Calls a function before each rename (False) and after it (True)."""

    def called(function: Callable) -> Callable:
        def rename(*arguments, **more):
            call(False)
            function(*arguments, **more)
            call(True)

        return rename

    for name in ("rename", "replace"):
        patch(os, name, called(getattr(os, name)))


def killed(words: Sequence[str]) -> int:
    """Run until a rename, or to the end."""
    os.chdir(words[0])
    place, count = int(words[1]), 0

    def die(_: bool) -> None:
        nonlocal count
        count += 1
        if count == place:
            os.kill(os.getpid(), signal.SIGKILL)

    quick_probe(setattr)
    at_renames(setattr, die)
    return main(list(words[2:]))


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_moment_resumes_to_the_same_encoders(
    own_folder, monkeypatch, capsys
):
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    write_labelled_music(("mood---calm", "mood---loud"))
    moments: list[bool] = []
    with monkeypatch.context() as patch:
        quick_probe(patch.setattr)
        at_renames(patch.setattr, moments.append)
        started = time.monotonic()
        assert main([*WORDS, "run_dir=whole"]) == 0
        seconds = time.monotonic() - started
    whole = {name: load_encoder(f"whole/{name}").weights_hash for name in ENCODERS}
    seed = int(os.environ.get("SSL_AUDIO_SEED", time.time_ns() % 10**6))
    draw = random.Random(seed)
    quick_probe(monkeypatch.setattr)
    for number in range(KILLS):
        shutil.rmtree("run", ignore_errors=True)
        place = draw.randint(1, len(moments)) if number % 2 == 0 else 0
        process = start(killed, [str(own_folder), str(place), *WORDS, "run_dir=run"])
        process.join(None if place else draw.uniform(0, seconds))
        process.kill()
        process.join()
        what = f"seed {seed}, kill {number}, before or after rename {place}"
        left = sorted(path.as_posix() for path in Path().glob("run/**/*"))
        capsys.readouterr()
        status = main([*WORDS, "run_dir=run", "ckpt_path=last"])
        said = capsys.readouterr().err
        if status:  # it had finished
            assert "raise trainer.max_steps=" in said and "run/results.json" in left, (what, said)
        found = {name: load_encoder(f"run/{name}").weights_hash for name in ENCODERS}
        assert found == whole, (what, left, said)
        assert json.loads(Path("run/results.json").read_text())["selected"]["step"] == 4, what
        hidden = [path.name for path in Path("run").glob("**/.*") if path.name != LOCK]
        assert hidden == [], (what, hidden)
    torch.set_num_threads(threads)
