"""M2GRL and its baselines on sessions of a generated MovieLens folder, and of ml-latest-small."""

from pathlib import Path

import numpy as np
import pytest

from ssl_audio import recommend
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.baselines.popularity import Popularity
from ssl_audio.recommenders.comparison import compare
from ssl_audio.recommenders.data.movielens import read_movielens
from ssl_audio.recommenders.data.sessions import make_sessions
from ssl_audio.recommenders.evaluation.sessions import f1_of
from ssl_audio.recommenders.evaluations import evaluations_of
from ssl_audio.recommenders.models.m2grl import M2GRL, load_m2grl
from ssl_audio.recommenders.session_data import SessionData, load_session_data
from ssl_audio.reports.results import read_results
from ssl_audio.settings.recommend import SessionSettings

SMALL = next(
    (p / "shared/movielens" for p in Path(__file__).parents if (p / "shared/movielens").is_dir()),
    None,
)
USERS, MOVIES, YEARS, WORLDS = 48, 96, 3, 4
GENRES = ("Comedy", "Drama", "Horror", "Western")
optimizers = M2GRL.optimizers
NAMES = ("m2grl", "eges", "graphsage", "metric")
QUICK = [
    "model=m2grl", "trainer.accelerator=cpu", "m2grl.dimensions=8", "m2grl.batch_size=64",
    "completion.resamples=50", *(f"m2grl.session_steps.{name}=5" for name in NAMES),
]  # fmt: skip
MAIN = [
    "Popularity", "Item-CF", "PMI", "Playlist kNN", "EASE", "SVD", "ALS", "BPR", "DeepWalk",
    "Node2Vec", "LINE", "EGES", "GraphSAGE", "SGNS, items alone",
    "M2GRL, learnt weights", "M2GRL, uniform weights",
    "M2GRL, weights 0.05, 1, 1", "M2GRL, items alone",
]  # fmt: skip


def write(folder):
    """Users who watch movies of one of four worlds only, in three sessions over a year apart."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    movies = [f"{m + 1},Movie {m},{genre(m)}" for m in range(MOVIES)]
    lines = []
    for user in range(USERS):
        own = np.arange(user % WORLDS, MOVIES, WORLDS)
        taken = rng.permutation(own)[: 5 * YEARS]
        for place, movie in enumerate(taken):
            time = (place // 5) * 400 * 86_400 + place * 60
            lines.append(f"{user + 1},{movie + 1},{4.0 if place else 1.0},{time}")
    (folder / "movies.csv").write_text("\n".join(["movieId,title,genres", *movies]) + "\n")
    header = "userId,movieId,rating,timestamp"
    (folder / "ratings.csv").write_text("\n".join([header, *lines]) + "\n")
    tags = [f"1,{m + 1},{genre(m).lower()},5" for m in range(MOVIES)]
    (folder / "tags.csv").write_text("\n".join(["userId,movieId,tag,timestamp", *tags]) + "\n")
    return folder


def genre(movie):
    return GENRES[movie // WORLDS % len(GENRES)]


@pytest.fixture
def movies(tmp_path):
    return write(tmp_path / "ml-made")


def settings(folder, *more):
    return recommend.COMMAND.load([f"playlists={folder}", *QUICK, *more])


def load(folder, *more) -> SessionData:
    chosen = settings(folder, *more)
    return load_session_data(
        folder, chosen.sessions, chosen.m2grl.categories, chosen.m2grl.validate
    )


@pytest.mark.parametrize(
    ("held_out", "name"), [("item", "SASRec's protocol"), ("session", "GRU4Rec's protocol")]
)
def test_the_protocol_of_a_paper_is_a_table_of_its_own(movies, held_out, name):
    chosen = settings(movies, "published=true", f"sessions.hold_out={held_out}")
    data = load(movies, f"sessions.hold_out={held_out}")
    one = Popularity(chosen, data)
    one.fit(movies)
    published = evaluations_of(chosen, data)[1][-1]
    (spec,) = published.tables
    assert spec.name == name
    figures = published.figures(one)
    assert set(figures) == {column.key for column in spec.columns}
    assert all(0 < values.mean() < 1 for values in figures.values())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The data, run folder and results of one command."""
    folder = tmp_path_factory.mktemp("next")
    run = folder / "run"
    source = write(folder / "ml-made")
    return source, run, compare(settings(source, f"run_dir={run}"))


def test_one_command_gives_all_tables(finished):
    _, run, results = finished
    assert [t.name for t in results.tables] == [
        "Next session", "Whole-catalogue ranking", "Beyond accuracy", "Task weights", "Diversity"
    ]  # fmt: skip
    main, whole, _, weights, diversity = results.tables
    assert [row.system for row in main.rows] == [row.system for row in whole.rows] == MAIN
    assert [row.system for row in weights.rows] == MAIN[-5:]
    assert [row.system for row in diversity.rows] == ["Plain neighbours", "Metric model"]
    for table in results.tables:
        assert all(row.seconds is not None for row in table.rows)
        for row in table.rows:
            assert row.figures.keys() == {column.key for column in table.columns}
            for figure in row.figures.values():
                assert figure.low <= figure.mean <= figure.high
    assert {one.a for one in weights.differences} == {"M2GRL, learnt weights genres"}
    assert len(weights.differences) == 2 * 4
    assert read_results(run) == results


def test_counts_and_features(finished):
    _, _, results = finished
    counts = results.data.counts
    assert counts["users"] == counts["test users"] == USERS
    assert counts["training sessions"] == USERS * (YEARS - 1)
    assert counts["held-out items"] == USERS * 5
    assert counts["item-category links"] == MOVIES and counts["genres"] == WORLDS
    features = {row.system: row.features for row in results.tables[0].rows}
    assert features["EGES"] == features["M2GRL, learnt weights"] == "genres"
    assert features["DeepWalk"] == features["GraphSAGE"] == ""


def test_f1_is_that_of_the_means_and_item_cf_finds_the_worlds(finished):
    _, _, results = finished
    rows = {row.system: row.figures for row in results.tables[0].rows}
    for figures in rows.values():
        expected = f1_of(figures["precision"].mean, figures["recall"].mean)
        assert figures["f1"].mean == pytest.approx(expected)
    # of 96 movies 24 are of a user's world and 14 of those are seen: 50 hold the other ten
    assert rows["Item-CF"]["recall"].mean > 0.99
    assert rows["Popularity"]["recall"].mean < 0.8


def test_resuming_keeps_what_is_finished(finished):
    source, run, before = finished
    stamps = {p: p.stat().st_mtime_ns for p in (run / "systems").glob("*/vectors.npy")}
    assert len(stamps) == 14  # those with vectors, and the metric model
    lost = run / "systems/m2grl-learnt-weights-genres/vectors.npy"
    kept = np.load(lost)
    lost.unlink()
    again = compare(settings(source, f"run_dir={run}", "ckpt_path=last"))
    np.testing.assert_array_equal(np.load(lost), kept)
    assert all(p.stat().st_mtime_ns == t for p, t in stamps.items() if p != lost)
    assert again.tables[0].rows[-3].figures == before.tables[0].rows[-3].figures
    with pytest.raises(SslAudioError, match="trained with another m2grl: name another run_dir"):
        compare(settings(source, f"run_dir={run}", "ckpt_path=last", "m2grl.window=3"))


def test_movies_without_training_data_have_no_vector(finished):
    source, run, _ = finished
    counts = load(source).counts
    for path in (run / "systems").glob("*/vectors.npy"):
        if "metric" not in path.parent.name:
            assert (np.load(path).any(-1) == (counts > 0)).all(), path


def test_validation_never_sees_the_last_session(movies):
    last, before = (load(movies, f"m2grl.validate={v}") for v in ("false", "true"))
    assert len(before.train) == USERS * (YEARS - 2)
    for user in range(USERS):
        assert set(before.task.truth[user]) <= set(last.task.seen[user])
        assert not set(before.task.seen[user]) & set(last.task.truth[user])


def test_default_rules_of_sessions_are_the_papers(movies):
    rules = settings(movies).sessions
    year = 365 * 86_400
    assert (rules.min_rating, rules.idle, rules.max_length) == (3, year, 50)


def test_rules_of_sessions_follow_the_settings(movies):
    """Five movies a sitting, 400 days apart; each user's very first has one star."""
    taken = USERS * 5 * YEARS
    plain = load(movies)
    assert len(plain.train.tracks) + len(plain.task.truth.tracks) == taken - USERS
    rated = load(movies, "sessions.min_rating=null")
    assert len(rated.train.tracks) + len(rated.task.truth.tracks) == taken
    short = load(movies, "sessions.max_length=2")
    assert short.train.lengths.max() == 2
    assert len(load(movies, "sessions.idle=40000000").train) == USERS


def test_baselines_may_be_chosen_and_tables_have_sparse_gradients(movies, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(M2GRL, "optimizers", lambda self: made.append(self) or optimizers(self))
    chosen = settings(
        movies, "baselines=[popularity,skipgram,popularity]", "m2grl.by_weights=false",
        "m2grl.sparse=true", f"run_dir={tmp_path / 'run'}",
    )  # fmt: skip
    results = compare(chosen)
    names = [row.system for row in results.tables[0].rows]
    assert names == ["Popularity", "SGNS, items alone", "M2GRL, learnt weights"]
    assert [one.settings.sparse for one in made] == [True]
    assert load_m2grl(tmp_path / "run/systems/m2grl-learnt-weights-genres/model").settings.sparse


def test_tags_are_categories(movies):
    data = load(movies, "m2grl.categories=tags")
    assert data.categories.shape == (MOVIES, WORLDS) and data.kind == "tags"


def test_consecutive_movies_make_the_graph(movies):
    data = load(movies)
    edges = set()
    for session in (data.train[k].tolist() for k in range(len(data.train))):
        edges |= {tuple(sorted(pair)) for pair in zip(session[:-1], session[1:], strict=True)}
    low, high, _ = data.graph.upper()
    assert set(zip(low.tolist(), high.tolist(), strict=True)) == edges


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["m2grl.categories=shops"], r"m2grl.categories=shops: genres \| tags"),
        (["m2grl.weights=odd"], "m2grl.weights=odd: "),
        (["m2grl.weights=[1,2]"], "learnt, uniform, or a number for each of"),
        (["playlists=movielens:/nowhere"], "/nowhere/movies.csv: no such file"),
        (["model=musig"], "musig.similarity=acoustic needs stores.acoustic="),
        (["sessions.idle=soon"], "sessions.idle=soon: a number or null, above 0"),
        (["sessions.min_rating=6"], "sessions.min_rating=6 keeps none of"),
        (["sessions.max_length=1", "baselines=[graphsage]"], "the track graph has no edge"),
    ],
)
def test_unusable_settings_are_refused_in_a_line(movies, tmp_path, more, message):
    with pytest.raises(SslAudioError, match=message) as caught:
        compare(settings(movies, *more, f"run_dir={tmp_path / 'run'}"))
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_a_malformed_line_is_named_by_its_number(movies):
    path = movies / "ratings.csv"
    lines = path.read_text().splitlines()
    lines[6] = "1,two,4.0,9"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(SslAudioError, match=r"ratings.csv: .*Row #7: .*'two'"):
        load(movies)


def test_too_few_users_are_refused(movies):
    path = movies / "ratings.csv"
    own = [line for line in path.read_text().splitlines() if line.startswith(("userId", "1,"))]
    path.write_text("\n".join(own) + "\n")
    with pytest.raises(SslAudioError, match="1 test users, 2 or more"):
        load(movies)


def test_too_few_movies_are_refused(movies):
    path = movies / "ratings.csv"
    lines = path.read_text().splitlines()
    few = [line for line in lines[1:] if int(line.split(",")[1]) <= 40]
    path.write_text("\n".join([lines[0], *few]) + "\n")
    with pytest.raises(SslAudioError, match="movies in training sessions: more than 50"):
        load(movies)


def test_no_categories_are_refused(movies):
    path = movies / "movies.csv"
    text = path.read_text()
    for genre in GENRES:
        text = text.replace(genre, "(no genres listed)")
    path.write_text(text)
    with pytest.raises(SslAudioError, match="no movie has genres"):
        load(movies)


@pytest.mark.slow
@pytest.mark.skipif(SMALL is None, reason="ml-latest-small is not at ../shared")
def test_ml_latest_small(tmp_path):
    """Counts of the real data set; item-CF and M2GRL are better than popularity."""
    chosen = recommend.COMMAND.load([
        f"playlists={SMALL}", "model=m2grl", "m2grl.by_weights=false",
        "baselines=[popularity,item_cf]", "m2grl.session_steps.metric=5",
        "m2grl.session_steps.m2grl=300", "m2grl.dimensions=32",
        f"run_dir={tmp_path / 'run'}",
    ])  # fmt: skip
    results = compare(chosen)
    _, owners = make_sessions(read_movielens(SMALL).events, SessionSettings())
    counts = results.data.counts
    assert counts["users"] == len(np.unique(owners)) == counts["test users"] == 609
    assert counts["training sessions"] == 1617 and counts["movies"] == 9742
    assert counts["movies in training"] == 7768
    rows = {row.system: row.figures for row in results.tables[0].rows}
    assert rows["Item-CF"]["recall"].low > rows["Popularity"]["recall"].high
    hit_rate = rows["M2GRL, learnt weights"]["hit_rate"]
    assert hit_rate.mean > rows["Popularity"]["hit_rate"].mean + 0.03
