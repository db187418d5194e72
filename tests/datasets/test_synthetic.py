import numpy as np
import pytest

from ssl_audio.datasets import synthetic
from ssl_audio.datasets.synthetic import Synthetic


@pytest.mark.parametrize(
    ("task", "classes", "credits"),
    [("key", 24, ["MIREX score"]), ("tempo", 25, ["tempo accuracy 1", "tempo accuracy 2"]),
     ("chord", 8, []), ("instrument", 9, []), ("pitch", 36, [])],
)  # fmt: skip
def test_tasks_are_split_with_their_classes_and_credits(
    monkeypatch, tmp_path, task, classes, credits
):
    made = synthetic.make_task_corpus
    quick = lambda *args: made(*args, workers=1, progress=False)  # noqa: E731
    monkeypatch.setattr(synthetic, "make_task_corpus", quick)
    monkeypatch.setattr("ssl_audio.audio.task_corpus._make", lambda one: one.path.write_bytes(
        f"{one.track}".encode()
    ))  # fmt: skip
    found = Synthetic(task=task, tracks=200, root=tmp_path).load()
    assert [len(split.ids) for _, split in found.splits()] == [130, 30, 40]
    assert len(found.tags) == classes and list(found.classes.credits) == credits
    assert found.name == f"synthetic, {task}"
    every = np.concatenate([split.targets for _, split in found.splits()])
    assert every.sum(0).min() >= 200 // classes and (every.sum(1) == 1).all()
