import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from ssl_audio.datasets.dataset import UNLABELLED
from ssl_audio.probing.logistic import best_strength, fit_logistic, fit_with, validation_split


def made(rows, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(3, 5, (rows, 12)).astype(np.float32)
    weights = np.random.default_rng(0).normal(size=(12, 3))
    return x, (((x - 3) / 5) @ weights + rng.normal(size=(rows, 3)) > 1).astype(np.uint8)


def test_it_is_the_logistic_regression_of_the_strength_that_validation_chose():
    (x, y), validation, (tx, ty) = made(300, 1), made(100, 2), made(300, 3)
    probe, strength = fit_logistic(x, y, validation), best_strength(x, y, validation)
    scaler = StandardScaler().fit(x)
    model = LogisticRegression(C=strength, max_iter=1000).fit(scaler.transform(x), y[:, 1])
    expected = model.decision_function(scaler.transform(tx))
    np.testing.assert_allclose(probe.scores(tx)[:, 1], expected, atol=1e-6)
    assert roc_auc_score(ty, probe.scores(tx)) > 0.85


def test_without_validation_rows_a_quarter_of_the_training_rows_chooses_and_all_train():
    x, y = made(300, 1)
    held_out, rest = validation_split(300)
    strength = best_strength(x[rest], y[rest], (x[held_out], y[held_out]))
    expected = fit_with(strength, x, y).scores(x)
    np.testing.assert_array_equal(fit_logistic(x, y).scores(x), expected)


def test_a_tag_without_positives_scores_zero():
    x, y = made(60, 1)
    y[:, 0] = 0
    scores = fit_logistic(x, y).scores(x)
    assert (scores[:, 0] == 0).all() and (scores[:, 1] != 0).any()


def test_classes_share_one_multinomial_regression():
    (x, y), (vx, vy) = made(300, 1), made(100, 2)
    y, vy = (np.eye(5, dtype=np.uint8)[t.sum(1)] for t in (y, vy))  # 0 to 3 tags; never 4
    probe = fit_logistic(x, y, (vx, vy), single_label=True)
    strength = best_strength(x, y, (vx, vy), single_label=True)
    scaler = StandardScaler().fit(x)
    model = LogisticRegression(C=strength, max_iter=1000)
    expected = model.fit(scaler.transform(x), y.argmax(1)).predict(scaler.transform(vx))
    scores = probe.scores(vx)
    np.testing.assert_array_equal(scores.argmax(1), expected)
    assert scores.shape == (100, 5) and (scores[:, 4] == -30).all()


def test_unlabelled_rows_are_left_out_of_a_tag():
    x, y = made(200, 1)
    partial = y.copy()
    partial[:80, 1] = UNLABELLED
    probe = fit_with(0.1, x, partial)
    scaler = StandardScaler().fit(x)
    model = LogisticRegression(C=0.1, max_iter=1000).fit(scaler.transform(x)[80:], y[80:, 1])
    expected = model.decision_function(scaler.transform(x))
    np.testing.assert_allclose(probe.scores(x)[:, 1], expected, atol=1e-6)
