import numpy as np
import pytest

from ssl_audio.audio import task_corpus
from ssl_audio.datasets.synthetic import Synthetic


@pytest.mark.parametrize(
    ("task", "classes", "credits"),
    [("key", 24, ["MIREX score"]), ("tempo", 25, ["tempo accuracy 1", "tempo accuracy 2"]),
     ("chord", 8, []), ("instrument", 9, []), ("pitch", 36, [])],
)  # fmt: skip
def test_tasks_are_split_with_their_classes_and_credits(
    monkeypatch, tmp_path, task, classes, credits
):
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    monkeypatch.setattr(task_corpus, "_make", lambda job: job[-1].write_text(f"{job[2]}"))
    found = Synthetic(task=task, tracks=200, root=tmp_path).load()
    assert [len(split.ids) for _, split in found.splits()] == [130, 30, 40]
    assert len(found.tags) == classes and list(found.classes.credits) == credits
    assert found.name == f"synthetic, {task}"
    every = np.concatenate([split.targets for _, split in found.splits()])
    assert every.sum(0).min() >= 200 // classes and (every.sum(1) == 1).all()
