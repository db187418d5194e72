import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from ssl_audio.probing.logistic import STRENGTHS, LogisticProbe


def made(rows, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(3, 5, (rows, 12)).astype(np.float32)
    weights = np.random.default_rng(0).normal(size=(12, 3))
    return x, (((x - 3) / 5) @ weights + rng.normal(size=(rows, 3)) > 1).astype(np.uint8)


def test_it_is_the_logistic_regression_of_the_strength_that_validation_chose():
    (x, y), validation, (tx, ty) = made(300, 1), made(100, 2), made(300, 3)
    probe = LogisticProbe().fit(x, y, validation)
    assert probe.strength_ in STRENGTHS
    scaler = StandardScaler().fit(x)
    model = LogisticRegression(C=probe.strength_, max_iter=1000).fit(scaler.transform(x), y[:, 1])
    expected = model.decision_function(scaler.transform(tx))
    np.testing.assert_allclose(probe.scores(tx)[:, 1], expected, atol=1e-6)
    assert roc_auc_score(ty, probe.scores(tx)) > 0.85


def test_without_validation_rows_a_quarter_of_the_training_rows_chooses_and_all_train():
    x, y = made(300, 1)
    probe = LogisticProbe().fit(x, y)
    np.testing.assert_allclose(probe.scaler_.mean_, x.mean(0), rtol=1e-5)


def test_a_tag_without_positives_scores_zero():
    x, y = made(60, 1)
    y[:, 0] = 0
    scores = LogisticProbe().fit(x, y).scores(x)
    assert (scores[:, 0] == 0).all() and (scores[:, 1] != 0).any()
