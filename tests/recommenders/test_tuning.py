"""Settings that are chosen on the validation part."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommend import COMMAND
from ssl_audio.recommenders.comparison import compare, fitted
from ssl_audio.recommenders.data.collection import Catalogue, playlists_of
from ssl_audio.recommenders.data.graph import TrackGraph
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.evaluations import evaluations_of
from ssl_audio.recommenders.recommender import make
from ssl_audio.recommenders.tuning import TRIALS, points_of, tune
from ssl_audio.settings.fields import shown
from ssl_audio.settings.recommend import RecommendSettings
from ssl_audio.settings.recommenders import RECOMMENDERS

SIZE, SCENES = 60, 3


class Untouchable:
    """Test playlists that nothing may look at."""

    def __getattr__(self, name: str) -> None:
        raise AssertionError(f"the test part was asked for {name}")


def settings_of(*words: str) -> RecommendSettings:
    return COMMAND.load([
        "playlists=none.csv", *(() if "model" in str(words) else ("model=[ease]",)),
        "completion.min_tracks=6", "completion.resamples=10", "track2vec.epochs=1",
        "track2vec.dimensions=4", "tune=true", "tune.trials=4", *words,
    ])  # fmt: skip


@pytest.fixture
def data() -> TrainingData:
    """Playlists of three scenes, and a test part that cannot be used."""
    rng = np.random.default_rng(0)
    lists = [np.arange(SIZE)[k % SCENES :: SCENES] for k in range(60)]
    lists = [rng.choice(one, 8, replace=False).tolist() for one in lists]
    return TrainingData(
        name="scenes",
        catalogue=Catalogue([str(k) for k in range(SIZE)], genres=["rock", "jazz"] * 30),
        train=playlists_of(lists[:45]), validation=playlists_of(lists[45:]),
        test=Untouchable(),  # type: ignore[arg-type]
        cold=np.zeros(SIZE, bool), groups={}, embeddings=None, has_audio=np.zeros(SIZE, bool),
        min_weight=1,
    )  # fmt: skip


def trials_of(folder: Path) -> list[dict]:
    return json.loads((folder / TRIALS).read_text())["trials"]


def test_the_best_on_the_validation_part_is_chosen_and_the_test_part_is_never_used(data, tmp_path):
    settings = settings_of(
        "baselines=[random,playlist_knn,track2vec]",
        "tune.keep=[track2vec.epochs,track2vec.dimensions]",
    )
    chosen, table = tune(settings, data, tmp_path)
    assert isinstance(data.test, Untouchable)
    found = trials_of(tmp_path)
    by = {name: [t for t in found if t["recommender"] == name] for name in
          ("playlist_knn", "track2vec", "ease")}  # fmt: skip
    assert sum(map(len, by.values())) == len(found) == 12  # Random has no search space
    assert [row.system for row in table.rows] == ["Playlist kNN", "Track2Vec", "EASE"]
    for (name, trials), row in zip(by.items(), table.rows, strict=True):
        assert trials[0]["settings"] == [] and len({tuple(t["settings"]) for t in trials}) == 4
        best = max(trials, key=lambda trial: trial["score"])
        assert best["score"] == pytest.approx(np.mean([f.mean for f in row.figures.values()]))
        words = [word.partition(":")[2] for word in chosen.overrides if word.startswith(name)]
        assert words == best["settings"]
        # the score is that of a recommender with these settings on the validation playlists
        one = make(name, chosen, data)[0]
        own = fitted(one, tmp_path / "again")[0]
        _, (completion, catalogue) = evaluations_of(
            settings, replace(data, test=data.validation)
        )  # fmt: skip
        figures = completion.figures(own) | catalogue.figures(own)
        expected = (figures["hr"].mean() + figures["next_track@50"].mean()) / 2
        assert best["score"] == pytest.approx(expected)
    assert not any((tmp_path / "tuning").glob("*"))  # what trials trained is removed


def test_finished_trials_are_kept_and_a_larger_budget_continues(data, tmp_path, monkeypatch):
    tune(settings_of("baselines=[]"), data, tmp_path)
    first = trials_of(tmp_path)
    chosen, _ = tune(settings_of("baselines=[]", "tune.trials=6"), data, tmp_path)
    second = trials_of(tmp_path)
    assert second[:4] == first and len(second) == 6
    monkeypatch.setattr("ssl_audio.recommenders.tuning._Search._figures", None)
    again, _ = tune(settings_of("baselines=[]", "tune.trials=6"), data, tmp_path)
    assert again.overrides == chosen.overrides
    _, fewer = tune(settings_of("baselines=[]", "tune.trials=2"), data, tmp_path)
    assert all("(2 trials)" in row.features for row in fewer.rows)
    (tmp_path / TRIALS).write_text("{")
    with pytest.raises(SslAudioError, match="trials.json is damaged"):
        tune(settings_of("baselines=[]"), data, tmp_path)


def test_settings_that_cannot_be_trained_are_not_chosen(data, tmp_path):
    words = ["model=[test_tuning.Fails]", "baselines=[]", "ease.penalty=50"]
    chosen, table = tune(settings_of(*words), data, tmp_path)
    assert {t["error"] for t in trials_of(tmp_path)} == {"", "not this one"}
    assert chosen.overrides == () and table.rows[0].features.startswith("as given")
    with pytest.raises(SslAudioError, match="Fails with its settings as given: not this one"):
        tune(settings_of(*words[:2], "ease.penalty=1"), data, tmp_path / "other")


class Fails(RECOMMENDERS["ease"]):  # type: ignore[misc]
    """EASE that can be trained with one penalty alone."""

    def fit(self, folder: Path) -> None:
        if self.settings.ease.penalty != 50:
            raise SslAudioError("not this one")
        super().fit(folder)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tune.metric=clicks"], "tune.metric=clicks: one of hr, mrr,"),
        (["completion.min_tracks=9"], "tune=true measures on the validation part: none of 15"),
    ],
)
def test_what_cannot_be_measured_is_refused(data, tmp_path, words, message):
    with pytest.raises(SslAudioError, match=message):
        tune(settings_of(*words, "baselines=[]"), data, tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["overrides=[eas:ease.penalty=3]"], "eas is not known. Did you mean ease"),
        (["overrides=[ease:ease.penalty=-1]"], "ease.penalty=-1.0: a number, above 0"),
        (["overrides=[ease:seed=1]"], "NAME:KEY=VALUE, with a KEY of item_cf"),
        (["m2grl.validate=true"], "measures what tune=true chooses on"),
        (["tune=false"], "tune.trials is a setting of tune=true"),
    ],
)
def test_wrong_settings_of_tuning(words, message):
    with pytest.raises(SslAudioError, match=message):
        settings_of(*words)


def test_the_points_of_a_grid_are_all_different_and_the_same_for_a_seed():
    space = {"ease.penalty": (1.0, 2.0, 3.0), "musig.weights": ((1.0, 0.0, 0.0), (0.5, 0.5, 0.0))}
    points = list(points_of(space, 3))
    assert len(set(points)) == 6 and points == list(points_of(space, 3))
    assert points != list(points_of(space, 4)) and list(points_of({}, 0)) == []
    assert ("ease.penalty=2.0", "musig.weights=[0.5,0.5,0.0]") in points


@pytest.mark.parametrize("in_sessions", [False, True])
def test_every_value_of_a_search_space_can_be_set(data, in_sessions):
    """Typed settings refuse wrong keys and values."""
    graph = TrackGraph.from_edges(np.array([[0, 1]]), SIZE)
    values = np.zeros((SIZE, 2), np.float32)
    group = SimpleNamespace(name="popularity", values=values, present=np.ones(SIZE, bool))
    data.groups, data.embeddings = {"popularity": group, "acoustic": group}, values
    data.__dict__["graph"] = graph
    data.in_sessions = in_sessions  # type: ignore[misc]
    data.features = lambda *_: (values, None)  # type: ignore[method-assign]
    words, plain = [], settings_of()
    for name in RECOMMENDERS:
        spaces = [one.space for one in make(name, plain, data)]
        assert all(
            len(set(tried)) == len(tried) > 1 for space in spaces for tried in space.values()
        )
        for space in spaces:
            words += [f'"{name}:{k}={shown(v)}"' for k, tried in space.items() for v in tried]
    assert len({word.partition(":")[0] for word in words}) >= 14
    given = settings_of(f"overrides=[{','.join(words)}]")
    assert len(given.overrides) == len(words)
    assert given.of("ease").ease.penalty == 2000 and given.of("ease").recency == 1  # the last ones


def test_a_comparison_states_the_chosen_settings(made_playlists, tmp_path):
    run = tmp_path / "run"
    words = [f"playlists={made_playlists}", "baselines=[popularity]", "model=[playlist_knn]",
             "playlist_knn.neighbours=1", "tune=true",
             "tune.trials=3", "tune.metric=r_precision", "completion.cold=0", "graph.min_weight=1",
             "completion.min_tracks=6", "completion.resamples=20", f"run_dir={run}"]  # fmt: skip
    results = compare(COMMAND.load(words))
    table = results.tables[-1]
    assert table.name == "Chosen settings" and table.about == "chosen settings"
    assert list(table.rows[0].figures) == ["r_precision"] and "(3 trials)" in table.rows[0].features
    said = "Settings were chosen by at most 3 trials on the validation part."
    assert all(said in one.caption for one in results.tables[:-1])
    word = next(iter(results.config["overrides"]))
    assert word.startswith("playlist_knn:playlist_knn.neighbours=")
    assert word.partition(":")[2] in table.rows[0].features
    again = compare(COMMAND.load([*words, "ckpt_path=last"]))
    assert again.tables == results.tables
    # the same figures with these settings and without a search
    other = [word for word in words if not word.startswith(("tune", "run_dir"))]
    plain = compare(COMMAND.load([*other, f"overrides=[{word}]", f"run_dir={tmp_path / 'plain'}"]))
    assert [r.figures for r in plain.tables[0].rows] == [r.figures for r in results.tables[0].rows]
    assert np.isfinite(plain.tables[0].rows[1].figures["hr"].mean)


@pytest.fixture
def made_playlists(tmp_path) -> Path:
    rng = np.random.default_rng(1)
    path = tmp_path / "playlists.csv"
    rows = ["playlist,position,track"]
    for k in range(150):
        for place, track in enumerate(rng.choice(np.arange(SIZE)[k % SCENES :: SCENES], 8, False)):
            rows.append(f"p{k},{place},t{track}")
    path.write_text("\n".join(rows) + "\n")
    return path
