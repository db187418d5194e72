"""The training step: weight decay, EMA teacher; and the callbacks."""

import lightning
import pytest
import torch
from torch import nn

from ssl_audio.models.weight_decay import parameter_groups
from ssl_audio.objectives.byol import BYOL
from ssl_audio.objectives.schedules import Constant
from ssl_audio.training.module import PretrainModule


class TinyEncoder(nn.Module):
    """Enough of an encoder for a step: (batch, 16) to (batch, 8), without a front end."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8))

    def logmel(self, waveforms):
        return waveforms


def batches(count, pairs=6):
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "anchor": torch.randn(pairs, 16, generator=generator),
            "positive": torch.randn(pairs, 16, generator=generator),
        }
        for _ in range(count)
    ]


def make_module(momentum=0.5, objective=BYOL, crops=0, encoder=TinyEncoder):
    torch.manual_seed(0)
    objective = objective(embedding_size=8, momentum=Constant(momentum))
    return PretrainModule(
        encoder(),
        objective,
        optimizer=lambda groups: torch.optim.SGD(groups, lr=0.1),
        weight_decay=0.1,
        learning_rate_schedule=Constant(1.0),
        crops=crops,
    )


def fit(module, data, **options):
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=None))
    return trainer


def test_norms_and_biases_do_not_decay():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    matrices, vectors = parameter_groups(network.parameters(), 0.3)
    assert matrices["weight_decay"] == 0.3 and vectors["weight_decay"] == 0.0
    assert {p.ndim for p in matrices["params"]} == {2, 4}
    assert {p.ndim for p in vectors["params"]} == {1}


def test_teacher_follows_by_the_momentum_after_one_step():
    module = make_module(momentum=0.75)
    before = [p.clone() for p in module.teacher.encoder.parameters()]
    fit(module, batches(1))
    after = list(module.teacher.encoder.parameters())
    student = list(module.encoder.parameters())
    for old, new, own in zip(before, after, student, strict=True):
        torch.testing.assert_close(new, 0.75 * old + 0.25 * own)
        assert not new.requires_grad
    assert any(not torch.equal(o, n) for o, n in zip(before, after, strict=True))


def test_teacher_moves_once_per_step_not_per_chunk(monkeypatch):
    from ssl_audio.training import module as module_file

    calls = []
    real = module_file.update_teacher
    monkeypatch.setattr(
        module_file, "update_teacher", lambda *a: (calls.append(a[2]), real(*a)) and None
    )
    module = make_module()
    module.chunk_size = 2
    trainer = fit(module, batches(2))
    assert trainer.global_step == 2
    assert len(calls) == 2 * 2  # encoder and projector, two steps


def test_progress_is_the_larger_share_of_steps_and_of_time(monkeypatch):
    from lightning.pytorch.callbacks import Timer

    class Recorder(BYOL):
        def loss(self, student, teacher, progress):
            seen.append(progress)
            return super().loss(student, teacher, progress)

    def train(**options):
        seen.clear()
        rates.clear()
        module = make_module()
        module.objective = Recorder(embedding_size=8, momentum=Constant(0.5))
        module._rate = lambda progress: rates.append(progress) or 1.0
        fit(module, batches(4), max_steps=4, **options)

    seen, rates = [], []
    train()
    assert seen == [0.0, 0.25, 0.5, 0.75] and sorted(set(rates)) == [0.0, 0.25, 0.5, 0.75, 1.0]
    monkeypatch.setattr(Timer, "time_elapsed", lambda self, stage="train": 6.0)
    train(max_time="00:00:00:10")
    assert seen == [0.6, 0.6, 0.6, 0.75] and sorted(set(rates)) == [0.0, 0.6, 0.75, 1.0]


@pytest.mark.parametrize("limit", [None, 1e-3, 1e3])
def test_the_norm_of_the_gradient_is_logged_before_it_is_limited(limit):
    class Recorder(lightning.Callback):
        def on_before_optimizer_step(self, trainer, module, optimizer):
            before.extend(p.grad.double() for p in module.parameters() if p.grad is not None)

    before = []
    module = make_module()
    trainer = fit(module, batches(1), gradient_clip_val=limit, callbacks=[Recorder()])
    norm = torch.cat([g.flatten() for g in before]).norm()
    assert trainer.callback_metrics["train/gradient_norm"] == pytest.approx(float(norm), rel=1e-4)
    after = [p.grad.double() for p in module.parameters() if p.grad is not None]
    factor = 1.0 if limit is None else min(1.0, limit / float(norm))
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new, old * factor, rtol=1e-4, atol=1e-9)


def test_clipping_is_refused_where_a_fused_optimiser_unscales(monkeypatch):
    from lightning.pytorch.plugins.precision import MixedPrecision

    module = make_module()
    trainer = lightning.Trainer(accelerator="cpu", logger=False, gradient_clip_val=1.0)
    monkeypatch.setattr(trainer.strategy, "_precision_plugin", MixedPrecision("16-mixed", "cpu"))
    module.trainer = trainer
    fused = torch.optim.AdamW(module.parameters(), fused=True)
    with pytest.raises(RuntimeError, match="fused"):
        module.configure_gradient_clipping(fused, 1.0, "norm")


def with_crops(batch, samples):
    generator = torch.Generator().manual_seed(9)
    return batch | {"crops": torch.randn(2, 6, samples, generator=generator)}


def test_further_crops_of_the_anchors_length_are_views_of_one_batch():
    class Recorder(BYOL):
        views = 4

        def loss(self, student, teacher, progress):
            seen.append((student, teacher))
            return super().loss(student, teacher, progress)

    seen = []
    module = make_module(objective=Recorder, crops=2)
    batch = with_crops(batches(1)[0], 16)
    with torch.no_grad():
        x = torch.cat([batch["anchor"], batch["positive"], *batch["crops"]])
        projected = module.objective.projector(module.encoder.backbone(x))
        expected = module.objective.predictor(projected).unflatten(0, (4, 6))
    fit(module, [batch])
    torch.testing.assert_close(seen[0][0].detach(), expected)
    assert seen[0][1].shape == seen[0][0].shape


def test_the_teacher_embeds_no_shorter_crops():
    class Recorder(BYOL):
        def loss(self, student, teacher, progress):
            seen.append((student.shape[:2], teacher.shape[:2]))
            return super().loss(student, teacher, progress)

    class Pooled(TinyEncoder):
        def logmel(self, waveforms):  # any length to the 16 inputs of the network
            return nn.functional.adaptive_avg_pool1d(waveforms[:, None], 16)[:, 0]

    seen = []
    fit(make_module(objective=Recorder, crops=2, encoder=Pooled), [with_crops(batches(1)[0], 32)])
    assert seen == [((4, 6), (2, 6))]


def test_an_objective_of_three_views_is_refused():
    from ssl_audio.io.errors import SslAudioError

    class Three(BYOL):
        views = 3

    with pytest.raises(SslAudioError, match="Three.views=3: a batch has 2"):
        PretrainModule(TinyEncoder(), Three(8), lambda groups: None, 0.0, Constant(1.0))


def test_loss_that_is_not_finite_stops_with_the_files():
    from types import SimpleNamespace

    from ssl_audio.io.errors import SslAudioError
    from ssl_audio.training.callbacks import FiniteLoss

    tracks = [SimpleNamespace(path=f"/music/{i}.mp3") for i in range(3)]
    trainer = SimpleNamespace(
        global_step=7, datamodule=SimpleNamespace(dataset=SimpleNamespace(tracks=tracks))
    )
    guard = FiniteLoss()
    guard.on_train_batch_start(trainer, None, {"index": torch.tensor([2, 0])}, 7)
    guard.on_before_backward(trainer, None, torch.tensor(1.0))
    with pytest.raises(SslAudioError, match=r"nan at step 7.*2\.mp3, 0\.mp3"):
        guard.on_before_backward(trainer, None, torch.tensor(float("nan")))


def test_collapse_gives_one_warning(capsys):
    from types import SimpleNamespace

    from ssl_audio.training.callbacks import CollapseWatch

    module = make_module()
    module.log_dict = lambda *args, **kwargs: None
    trainer = SimpleNamespace(global_step=3, is_global_zero=True)
    healthy = torch.randn(2, 32, 16, generator=torch.Generator().manual_seed(0))
    constant = torch.ones(2, 32, 16) + 1e-4 * healthy
    watch = CollapseWatch(every_n_steps=1, patience=2)
    for embeddings, collapsed in [(healthy, False), (constant, False), (constant, True)]:
        watch.on_train_batch_end(trainer, module, {"embeddings": embeddings}, None, 0)
        assert watch.collapsed is collapsed
    assert capsys.readouterr().err.count("the embeddings collapse") == 1
