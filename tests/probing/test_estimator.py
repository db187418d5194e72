import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from ssl_audio import CheckpointError, Probe, load_probe
from ssl_audio.io.model_folder import ModelFolder, write_model_folder
from ssl_audio.probing.predictor import load_predictor
from ssl_audio.settings.probe import LinearProbeSettings

QUICK = LinearProbeSettings(batch_size=32, epochs=4, steps=40, learning_rate=0.02, hidden=32)


def made(rows=400, seed=0):
    x = np.random.default_rng(seed).normal(2, 3, (rows, 8))
    return x, (x[:, :3] > 2).astype(int)


@pytest.mark.parametrize("kind", ["linear", "mlp", "logistic"])
def test_every_kind_learns_and_stays_the_same_when_saved(kind, tmp_path):
    probe = Probe(kind, QUICK)
    assert probe.fit(*made(), tags=["a", "b", "ç"], encoder="e", hop=2.0) is probe
    assert probe.n_features_in_ == 8
    x, y = made(seed=1)
    assert probe.score(x, y) > 0.95 and (probe.predict(x) == y).mean() > 0.85
    proba = probe.predict_proba(x)
    assert proba.shape == y.shape and proba.min() >= 0 and proba.max() <= 1
    probe.save(tmp_path / "p", "A card.")
    again = load_probe(tmp_path / "p")
    for read in (again, load_predictor(tmp_path / "p")):
        np.testing.assert_array_equal(read.predict_proba(x), proba)
        np.testing.assert_array_equal(read.predict(x), probe.predict(x))
        assert (read.tags_, read.encoder_, read.hop_) == (("a", "b", "ç"), "e", 2.0)
    assert again.get_params() == probe.get_params()
    assert (tmp_path / "p" / "README.md").read_text() == "A card."


def test_probabilities_are_those_of_a_formula_in_float64():
    x, y = made()
    probe = Probe("linear", QUICK).fit(x, y)
    [(weight, bias)] = probe.probe_.layers
    z = x @ weight.astype(np.float64) + bias
    scaled = z * probe.calibrator_.scale + probe.calibrator_.shift
    np.testing.assert_allclose(probe.predict_proba(x), 1 / (1 + np.exp(-scaled)), atol=1e-12)
    above = probe.predict_proba(x) >= probe.thresholds_
    np.testing.assert_array_equal(probe.predict(x), above)


@pytest.mark.parametrize("kind", ["linear", "logistic"])
def test_of_classes_the_most_probable_is_predicted(kind, tmp_path):
    x, y = made()
    y = np.eye(4, dtype=int)[y.sum(1)]
    probe = Probe(kind, QUICK, single_label=True).fit(x, y)
    probe.save(tmp_path / "p")
    again = load_probe(tmp_path / "p")
    np.testing.assert_allclose(again.predict_proba(x).sum(1), 1)
    assert (again.predict(x).argmax(1) == again.decision_function(x).argmax(1)).all()
    assert (again.predict(x).sum(1) == 1).all() and (again.predict(x) == y).mean() > 0.8


def saved_by_hand(folder, damage=lambda config, arrays: None):
    """A probe's folder, written without `Probe`."""
    tag = {"threshold": 0.5, "scale": 1.0, "shift": 0.0}
    config = {
        "version": "0", "inputs": {"encoder": "e", "hop": None, "dimensions": 2}, "about": {},
        "probe": {"kind": "linear", "seed": 0, "single_label": False, "settings": None},
        "tags": [{"name": "a", **tag}, {"name": "b", **tag}],
    }  # fmt: skip
    arrays = {"0.weight": np.eye(2), "0.bias": np.zeros(2)}
    damage(config, arrays)
    return write_model_folder(folder, "probe", ModelFolder(config, arrays), "probe.safetensors")


DAMAGES = {
    "no 'tags'": lambda c, a: c.pop("tags"),
    "different names": lambda c, a: c["tags"][1].update(name="a"),
    "as many different names": lambda c, a: c["tags"][1].update(name=""),
    "finite numbers": lambda c, a: c["tags"][0].update(shift=float("nan")),
    "scales positive": lambda c, a: c["tags"][0].update(scale=0),
    "could not convert": lambda c, a: c["tags"][0].update(threshold="high"),
    "1 outputs|2 outputs and 1 tags": lambda c, a: c["tags"].pop(),
    r"layer 0: \(2, 2\) and \(2,\) for 3": lambda c, a: c["inputs"].update(dimensions=3),
    r"\(2, 2\) and \(3,\)": lambda c, a: a.update({"0.bias": np.zeros(3)}),
    "layer 0 is not finite": lambda c, a: a.update({"0.bias": np.full(2, np.inf)}),
    "no '0.bias'": lambda c, a: a.pop("0.bias"),
    "no '1.weight'": lambda c, a: a.update(more=np.zeros(2), other=np.zeros(1)),
    "3 arrays": lambda c, a: a.update(more=np.zeros(2)),
    "hop=-1": lambda c, a: c["inputs"].update(hop=-1),
    "kind.*forest": lambda c, a: c["probe"].update(kind="forest"),
    "unexpected keyword": lambda c, a: c["probe"].update(settings={"size": 1}),
    "indices|str": lambda c, a: c.update(probe="linear"),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_damaged_folders_are_refused_in_one_line(message, tmp_path):
    folder = saved_by_hand(tmp_path / "p", DAMAGES[message])
    with pytest.raises(CheckpointError, match=message) as found:
        load_probe(folder)
    assert str(folder) in str(found.value) and "\n" not in str(found.value)


def test_foreign_folders_and_other_versions_are_refused(tmp_path):
    folder = saved_by_hand(tmp_path / "p")
    np.testing.assert_array_equal(load_probe(folder).predict([[1, -1]]), [[1, 0]])
    weights, config = folder / "probe.safetensors", folder / "config.json"
    text = config.read_text()
    config.write_text(json.dumps({**json.loads(text), "format": 9}))
    with pytest.raises(CheckpointError, match="format 9"):
        load_probe(folder)
    config.write_text(text)
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="checksum"):
        load_probe(folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match="no probe.safetensors"):
        load_probe(folder)
    write_model_folder(tmp_path / "e", "encoder", ModelFolder({}))
    with pytest.raises(CheckpointError, match="kind encoder, not of kind probe"):
        load_probe(tmp_path / "e")


def test_conventions_of_scikit_learn():
    probe = Probe("mlp", seed=3)
    assert clone(probe).get_params() == probe.get_params()
    assert "mlp" in repr(probe)
    with pytest.raises(NotFittedError):
        probe.predict_proba(np.zeros((2, 8)))


def test_validation_rows_replace_the_random_quarter():
    x, y = made()
    given = Probe("linear", QUICK).fit(x, y, validation=made(seed=1))
    again = Probe("linear", QUICK).fit(x, y, validation=made(seed=1))
    np.testing.assert_array_equal(given.decision_function(x), again.decision_function(x))
    assert not np.allclose(
        given.decision_function(x), Probe("linear", QUICK).fit(x, y).decision_function(x)
    )


def test_one_tag_may_be_a_vector():
    x, y = made()
    assert Probe("logistic").fit(x, y[:, 0]).predict_proba(x).shape == (400, 1)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros(8), np.zeros((8, 1)), r"not \(8,\) and \(8, 1\)"),
        (np.zeros((8, 2)), np.zeros((7, 1)), r"not \(8, 2\) and \(7, 1\)"),
        (np.zeros((0, 2)), np.zeros((0, 1)), r"\(0, 2\)"),
        (np.full((8, 2), np.nan), np.zeros((8, 1)), "finite"),
        (np.zeros((8, 2)), np.full((8, 1), 0.5), "0 or 1"),
        (np.zeros((3, 2)), np.zeros((3, 1)), "4 or more rows"),
    ],
)
def test_other_shapes_and_values_are_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        Probe().fit(x, y)


def test_tags_need_different_names():
    with pytest.raises(ValueError, match="3 tags need as many different names"):
        Probe("logistic").fit(*made(), tags=["a", "b", "b"])


def test_other_dimensions_than_those_of_the_training_are_refused():
    probe = Probe("logistic").fit(*made())
    with pytest.raises(ValueError, match=r"X must be \(rows, 8\), not \(2, 5\)"):
        probe.predict_proba(np.zeros((2, 5)))
