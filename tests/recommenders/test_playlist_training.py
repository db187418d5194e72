"""A training run of a tiny model: what a resume gives, workers, two optimisers, what is refused."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.training import JointOptimizer, fit, read_history
from ssl_audio.settings.recommend import FitSettings

ITEMS, STEPS = 40, 12
BASE = {"log_every": 1, "checkpoint_every": 5, "accelerator": "cpu"}


class Tiny(nn.Module):
    """Scores of items, with dropout so that randomness in the model counts too."""

    def __init__(self, sparse=False, dropout=0.0, rate=0.05, scale=1.0):
        super().__init__()
        random = torch.Generator().manual_seed(3)
        self.table = nn.Embedding(ITEMS, 6, sparse=sparse)
        self.head = nn.Linear(6, 1)
        for weights in self.parameters():
            weights.data = 0.5 * torch.randn(weights.shape, generator=random)
        self.dropout, self.sparse, self.rate, self.scale = dropout, sparse, rate, scale
        self.fail_at, self.failure, self.seen, self.rates = None, None, [], []

    def loss(self, batch):
        if self.fail_at is not None and batch["step"] == self.fail_at:
            raise self.failure or RuntimeError("the power is gone")
        self.seen.append(int(batch["step"]))
        hidden = nn.functional.dropout(self.table(batch["items"]), self.dropout, self.training)
        error = (self.head(hidden)[:, 0] - batch["targets"]).square().mean() * self.scale
        size = self.head.weight.square().sum()
        return {"total": error + 0.01 * size, "error": error, "size": size}

    def optimizers(self):
        if not self.sparse:
            self.made = [torch.optim.Adam(self.parameters(), self.rate)]
        else:
            self.made = [
                torch.optim.SparseAdam(self.table.parameters(), self.rate),
                torch.optim.Adam(self.head.parameters(), 2 * self.rate),
            ]
        return self.made


def make_batch(step):
    rng = np.random.default_rng((7, step))
    items = torch.from_numpy(rng.integers(ITEMS, size=16))
    return {"step": torch.tensor(step), "items": items, "targets": (items % 3).float()}


def run(
    model, folder, steps=STEPS, batches=make_batch, seed=0, clip=None, warmup=0, resume=False,
    **other,
):  # fmt: skip
    fit(
        model, batches, folder, FitSettings(**(BASE | other)), steps=steps, seed=seed, clip=clip,
        warmup=warmup, ckpt_path="last" if resume else None,
    )  # fmt: skip
    return read_history(folder)


def interrupted_and_resumed(model, folder, fail_at, failure=None, **other):
    """A run that fails at a step, and goes on in a process that knows nothing of it."""
    first = model()
    first.fail_at, first.failure = fail_at, failure
    with pytest.raises((RuntimeError, SystemExit, KeyboardInterrupt)):
        run(first, folder, **other)
    torch.manual_seed(0)
    torch.rand(5)  # what came before the resume does not count
    torch.manual_seed(11)
    second = model()
    history = run(second, folder, resume=True, **other)
    return second, history


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("other", [{}, {"clip": 0.5, "warmup": 8}], ids=["plain", "warmed"])
@pytest.mark.parametrize("model", [
    lambda: Tiny(), lambda: Tiny(sparse=True), lambda: Tiny(dropout=0.5),
], ids=["one", "two", "dropout"])  # fmt: skip
def test_a_resumed_run_ends_as_the_unbroken_one(model, other, tmp_path):
    torch.manual_seed(11)
    whole = model()
    history = run(whole, tmp_path / "whole", **other)
    resumed, again = interrupted_and_resumed(model, tmp_path / "broken", 6, **other)
    assert resumed.seen == list(range(5, STEPS))
    assert same(whole, resumed) and not same(whole, model())
    assert again == history and [row["step"] for row in again] == list(range(STEPS))
    assert history[-1]["error"] < 0.8 * history[0]["error"]


@pytest.mark.slow
def test_a_run_may_be_resumed_again_and_again(tmp_path):
    """Failing at every step behind the last checkpoint: eleven logs, of which none is lost."""
    torch.manual_seed(11)
    history = run(Tiny(), tmp_path / "whole", checkpoint_every=1)
    for fail_at in range(1, STEPS):
        model = Tiny()
        model.fail_at = fail_at
        with pytest.raises(RuntimeError, match="power"):
            run(model, tmp_path / "broken", resume=fail_at > 1, checkpoint_every=1)
    again = run(Tiny(), tmp_path / "broken", resume=True, checkpoint_every=1)
    assert again == history
    assert len(list((tmp_path / "broken/logs/csv").glob("metrics-*.csv"))) == STEPS - 1


def test_logged_terms_are_on_disk_at_once(tmp_path):
    """A killed run loses no logged step before the checkpoint."""
    found = []

    class Spy(Tiny):
        def loss(self, batch):
            found.append([row["step"] for row in read_history(tmp_path)])
            return super().loss(batch)

    run(Spy(), tmp_path, 4)
    assert found[-1] == [0, 1, 2]


def test_the_latest_log_of_a_step_counts(tmp_path):
    logs = tmp_path / "logs" / "csv"
    logs.mkdir(parents=True)
    for number in range(1, 11):
        text = f"epoch,step,train/total,train/error\n0,0,{number},\n0,{number},1.5,0.25\n"
        (logs / f"metrics-{number}.csv").write_text(text)
    history = read_history(tmp_path)
    assert history[0] == {"step": 0, "total": 10.0}  # the tenth, though "10" sorts before "2"
    assert [row["step"] for row in history] == list(range(11))
    assert history[1] == {"step": 1, "total": 1.5, "error": 0.25}
    assert read_history(tmp_path / "nothing") == []


@pytest.mark.slow
def test_workers_change_nothing(tmp_path):
    first, second = Tiny(dropout=0.5), Tiny(dropout=0.5)
    torch.manual_seed(11)
    alone = run(first, tmp_path / "alone")
    torch.manual_seed(11)
    helped = run(second, tmp_path / "helped", workers=2)
    assert alone == helped and same(first, second) and second.seen == list(range(STEPS))
    resumed, again = interrupted_and_resumed(
        lambda: Tiny(dropout=0.5), tmp_path / "broken", 8, workers=2
    )
    assert again == alone and same(first, resumed)


def test_the_model_is_trained_as_by_a_plain_loop(tmp_path):
    model, plain = Tiny(sparse=True), Tiny(sparse=True)
    history = run(model, tmp_path, 5)
    optimizers = plain.optimizers()
    for step in range(5):
        total = plain.loss(make_batch(step))["total"]
        assert history[step]["total"] == pytest.approx(total.item(), rel=1e-6)
        plain.zero_grad()
        total.backward()
        for one in optimizers:
            one.step()
    for a, b in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert not model.training and model.head.weight.device.type == "cpu"


def test_the_learning_rate_rises_in_equal_steps(tmp_path):
    class Spy(Tiny):
        def loss(self, batch):
            self.rates.append([group["lr"] for one in self.made for group in one.param_groups])
            return super().loss(batch)

    model = Spy(sparse=True)
    run(model, tmp_path, 6, warmup=4)
    factors = [0.25, 0.5, 0.75, 1, 1, 1]
    assert model.rates == [[pytest.approx(0.05 * f), pytest.approx(0.1 * f)] for f in factors]


def test_training_leaves_the_callers_random_numbers_alone(tmp_path):
    model = Tiny(dropout=0.5)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(model, tmp_path, 2)
    assert torch.equal(torch.rand(3), expected)


def test_dropout_differs_by_step_and_by_seed(tmp_path):
    def one_batch(step):
        return make_batch(0)

    histories = []
    for seed in (1, 2):
        torch.manual_seed(0)
        model = Tiny(dropout=0.5, rate=0.0)
        histories.append(run(model, tmp_path / str(seed), 3, one_batch, seed))
    assert len({row["error"] for history in histories for row in history}) == 6


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_loss_that_is_not_finite_is_one_line(value, tmp_path):
    with pytest.raises(SslAudioError, match=f"{value} at step 0.*learning_rate") as raised:
        run(Tiny(scale=float(value)), tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("sparse", [False, True])
def test_the_gradient_is_clipped_to_its_norm_over_all_parameters(sparse, tmp_path):
    class Plain(Tiny):
        def optimizers(self):
            return [torch.optim.SGD(self.parameters(), 1.0)]  # whose step is the gradient

    def twice(step):  # an item that is twice in the batch has two entries in a sparse gradient
        return {**make_batch(step), "items": torch.tensor([1, 1, 2] * 4), "targets": torch.ones(12)}

    model, before = Plain(sparse, scale=50.0), Plain(sparse, scale=50.0)
    run(model, tmp_path, 1, twice, clip=0.25)
    pairs = list(zip(before.parameters(), model.parameters(), strict=True))
    moved = torch.cat([(a - b).detach().ravel() for a, b in pairs])
    assert moved.norm().item() == pytest.approx(0.25, rel=1e-4)
    before.loss(twice(0))["total"].backward()
    gradient = [p.grad.to_dense() if p.grad.is_sparse else p.grad for p in before.parameters()]
    gradient = torch.cat([g.ravel() for g in gradient])
    torch.testing.assert_close(moved, 0.25 * gradient / gradient.norm(), atol=1e-5, rtol=1e-3)


def test_a_small_gradient_is_not_clipped(tmp_path):
    clipped, free = Tiny(sparse=True), Tiny(sparse=True)
    run(clipped, tmp_path / "clipped", 2, clip=1e6)
    run(free, tmp_path / "free", 2)
    assert same(clipped, free)


def test_a_finished_run_is_loaded(tmp_path):
    whole, again = Tiny(), Tiny()
    history = run(whole, tmp_path, 3)
    assert run(again, tmp_path, 3, resume=True) == history
    assert same(whole, again) and not again.seen and not again.training


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint_every", [2, 500])
def test_a_finished_run_continues_with_more_steps(checkpoint_every, tmp_path):
    whole, first, more = Tiny(sparse=True), Tiny(sparse=True), Tiny(sparse=True)
    often = {"checkpoint_every": checkpoint_every}
    history = run(whole, tmp_path / "whole", 6, **often)
    run(first, tmp_path / "parts", 3, **often)
    again = run(more, tmp_path / "parts", 6, resume=True, **often)
    assert more.seen == [3, 4, 5] and again == history and same(whole, more)


def test_a_damaged_checkpoint_is_one_line(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"nonsense")
    with pytest.raises(SslAudioError, match="is damaged") as raised:
        run(Tiny(), tmp_path, 3, resume=True)
    assert "\n" not in str(raised.value)


def test_a_run_says_nothing_of_its_machinery(tmp_path):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run(Tiny(sparse=True), tmp_path, 2)
    ours = [w for w in said if issubclass(w.category, UserWarning)]
    assert not ours, [str(w.message) for w in ours]


def test_joint_optimizers_step_and_restore_as_one():
    model, other = Tiny(sparse=True), Tiny(sparse=True)
    joint = JointOptimizer(model.optimizers())
    assert [group["lr"] for group in joint.param_groups] == [0.05, 0.1]

    def closure():
        joint.zero_grad()
        total = model.loss(make_batch(0))["total"]
        total.backward()
        return total

    assert joint.step(closure).requires_grad and model.seen == [0]
    restored = JointOptimizer(other.optimizers())
    other.load_state_dict(model.state_dict())
    restored.load_state_dict(joint.state_dict())
    for group in restored.param_groups:
        group["lr"] = 0.0
    assert [one.param_groups[0]["lr"] for one in other.made] == [0.0, 0.0]
    other.loss(make_batch(1))["total"].backward()
    restored.step()
    assert same(model, other) and all(one.state for one in other.made)
