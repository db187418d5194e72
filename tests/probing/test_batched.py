import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from ssl_audio.datasets.dataset import UNLABELLED
from ssl_audio.io.errors import SslAudioError
from ssl_audio.probing.batched import _batch_width, _groups, train_probes
from ssl_audio.probing.batches import Order, TrainingRows
from ssl_audio.probing.logistic import fit_logistic
from ssl_audio.settings.probe import LinearProbeSettings

QUICK = LinearProbeSettings(batch_size=32, epochs=4, steps=10, precision="float32", hidden=16)


def labelled_loss(logits, targets):
    known = targets < UNLABELLED
    return F.binary_cross_entropy_with_logits(logits[known], targets[known])


def made(rows=300, dimensions=12, tags=4, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.random.default_rng(99).normal(size=(dimensions, tags))
    x = rng.normal(size=(rows, dimensions)) * np.arange(1, dimensions + 1) + 5
    logits = ((x - 5) / np.arange(1, dimensions + 1)) @ truth - 1
    y = rng.random((rows, tags)) < 1 / (1 + np.exp(-logits))
    return x.astype(np.float32), y.astype(np.uint8)


def plain_linear(
    x, y, validation_x, validation_y, rows, settings, loss_of=F.binary_cross_entropy_with_logits
):
    """The same protocol with nn.Linear and a loop."""
    order = Order(rows, settings.batch_size, 0)
    generator = torch.Generator().manual_seed(order.identity)
    drawn = (2 * torch.rand(x.shape[1] + 1, y.shape[1], generator=generator) - 1) / x.shape[
        1
    ] ** 0.5
    layer = torch.nn.Linear(x.shape[1], y.shape[1])
    layer.load_state_dict({"weight": drawn[:-1].T, "bias": drawn[-1]})
    mean, deviation = x[rows].mean(0), x[rows].std(0)
    z, zv = (torch.from_numpy((a - mean) / deviation).float() for a in (x[rows], validation_x))
    t, tv = (torch.from_numpy(a.astype(np.float32)) for a in (y[rows], validation_y))
    optimizer = torch.optim.Adam(layer.parameters(), lr=settings.learning_rate)
    losses, kept = [], None
    for epoch in range(settings.epochs):
        for place in order.batches(epoch * settings.steps, settings.steps):
            place = place[place >= 0]
            loss = loss_of(layer(z[place]), t[place])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            losses.append(float(loss_of(layer(zv), tv)))
            if losses[-1] == min(losses):
                kept = layer(zv).numpy()
    return losses, kept


@pytest.mark.parametrize("rows", [np.arange(300), np.arange(7, 50), np.arange(20)])
def test_equal_to_the_plain_loop(rows):
    (x, y), (vx, vy) = made(), made(80, seed=1)
    [probe] = train_probes(TrainingRows(x, y), (vx, vy), [rows], QUICK)
    losses, kept = plain_linear(x, y, vx, vy, rows, QUICK)
    np.testing.assert_allclose(probe.validation, losses, rtol=1e-4)
    np.testing.assert_allclose(probe.scores(vx), kept, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["classes", "partly labelled"])
def test_other_targets_are_equal_to_the_plain_loop(kind):
    (x, y), (vx, vy) = made(), made(80, seed=1)
    if kind == "classes":  # the first tag that a row has, or else the last one
        y, vy = (np.eye(4, dtype=np.uint8)[(1 - t).argmin(1)] for t in (y, vy))
    else:
        rng = np.random.default_rng(0)
        for targets in (y, vy):
            targets[rng.random(targets.shape) < 0.7] = UNLABELLED
    loss_of = F.cross_entropy if kind == "classes" else labelled_loss
    train = TrainingRows(x, y, single_label=kind == "classes")
    rows = np.arange(200)
    [probe] = train_probes(train, (vx, vy), [rows], QUICK)
    losses, kept = plain_linear(x, y, vx, vy, rows, QUICK, loss_of)
    np.testing.assert_allclose(probe.validation, losses, rtol=1e-4)
    np.testing.assert_allclose(probe.scores(vx), kept, atol=2e-3)


def test_classes_need_one_tag_of_each_track():
    x, y = made(20)
    with pytest.raises(SslAudioError, match="^each track must have exactly one tag$"):
        train_probes(TrainingRows(x, y, single_label=True), (x, y), [np.arange(20)], QUICK)


@pytest.mark.parametrize("hidden", [False, True])
def test_a_probe_does_not_depend_on_those_trained_with_it(hidden):
    (x, y), (vx, vy) = made(), made(80, seed=1)
    subsets = [np.arange(300), np.arange(40), np.arange(100, 180)]
    together = train_probes(TrainingRows(x, y), (vx, vy), subsets, QUICK, hidden=hidden)
    for subset, probe in zip(subsets, together, strict=True):
        [alone] = train_probes(TrainingRows(x, y), (vx, vy), [subset], QUICK, hidden=hidden)
        np.testing.assert_allclose(probe.scores(vx), alone.scores(vx), rtol=1e-4, atol=1e-5)


def test_bfloat16_products_change_the_ranking_little():
    (x, y), (vx, vy) = made(1000, 64), made(400, 64, seed=1)
    aucs = []
    for precision in ("float32", "bfloat16"):
        settings = LinearProbeSettings(batch_size=64, epochs=5, steps=40, precision=precision)
        [probe] = train_probes(TrainingRows(x, y), (vx, vy), [np.arange(1000)], settings)
        aucs.append(roc_auc_score(vy, probe.scores(vx)))
    assert aucs[0] == pytest.approx(aucs[1], abs=2e-3)


def test_as_good_as_scikit_learns_logistic_regression():
    (x, y), (vx, vy), (tx, ty) = made(2000), made(500, seed=1), made(2000, seed=2)
    settings = LinearProbeSettings(batch_size=256, epochs=10, steps=64, learning_rate=1e-2)
    [probe] = train_probes(TrainingRows(x, y), (vx, vy), [np.arange(2000)], settings)
    ours = roc_auc_score(ty, probe.scores(tx))
    theirs = roc_auc_score(ty, fit_logistic(x, y, (vx, vy)).scores(tx))
    assert ours == pytest.approx(theirs, abs=5e-3) and ours > 0.8


def test_the_mlp_learns_what_no_line_separates():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (3000, 2)).astype(np.float32)
    y = (x.prod(1, keepdims=True) > 0).astype(np.uint8)
    settings = LinearProbeSettings(
        batch_size=128, epochs=10, steps=60, learning_rate=1e-2, hidden=32
    )
    rows, validation = TrainingRows(x[:2000], y[:2000]), (x[2000:], y[2000:])
    linear, mlp = (
        train_probes(rows, validation, [np.arange(2000)], settings, hidden=hidden)[0]
        for hidden in (False, True)
    )
    assert roc_auc_score(y[2000:], linear.scores(x[2000:])) < 0.65
    assert roc_auc_score(y[2000:], mlp.scores(x[2000:])) > 0.95


def test_tracks_of_equal_segments_are_trained_like_their_means(tmp_path):
    (x, y), (vx, vy) = made(60), made(40, seed=1)
    counts = np.random.default_rng(0).integers(1, 5, 60)
    np.save(tmp_path / "segments.npy", np.repeat(x, counts, axis=0))
    mapped = np.load(tmp_path / "segments.npy", mmap_mode="r")
    offsets = np.concatenate([[0], np.cumsum(counts)])
    subsets = [np.arange(60), np.arange(10, 30)]
    tracks = train_probes(TrainingRows(x, y), (vx, vy), subsets, QUICK)
    segments = train_probes(
        TrainingRows(mapped, y, offsets[:-1], offsets[1:]), (vx, vy), subsets, QUICK
    )
    for one, other in zip(tracks, segments, strict=True):
        np.testing.assert_allclose(one.scores(vx), other.scores(vx), rtol=1e-3, atol=1e-4)


def test_an_empty_subset_is_refused():
    x, y = made(20)
    with pytest.raises(SslAudioError, match="one or more training rows"):
        train_probes(TrainingRows(x, y), (x, y), [np.arange(0)], QUICK)


@pytest.mark.parametrize("wrong", ["shorter", "soft", "signed"])
def test_targets_other_than_0_and_1_are_refused(wrong):
    x, y = made(20)
    found = {"shorter": y[:10], "soft": y * 0.7, "signed": y.astype(int) * 2 - 1}[wrong]
    with pytest.raises(SslAudioError, match="targets"):
        train_probes(TrainingRows(x, found), (x, y), [np.arange(20)], QUICK)


def test_features_that_are_not_finite_are_refused():
    x, y = made(20)
    x[3] = np.nan
    with pytest.raises(SslAudioError, match="finite"):
        train_probes(TrainingRows(x, y), (x, y), [np.arange(20)], QUICK)


@given(
    st.lists(st.integers(1, 600), min_size=1, max_size=40),
    st.integers(1, 9),
)
def test_groups_are_all_probes_once_of_one_width_and_not_too_many(sizes, most):
    subsets = [np.arange(size) for size in sizes]
    groups = _groups(subsets, 256, most)
    assert sorted(k for group in groups for k in group) == list(range(len(sizes)))
    widths = [{_batch_width(sizes[k], 256) for k in group} for group in groups]
    assert all(len(width) == 1 for width in widths)
    assert all(len(group) <= most for group in groups)
    costs = [len(group) * width.pop() for group, width in zip(groups, widths, strict=True)]
    assert costs == sorted(costs, reverse=True)
