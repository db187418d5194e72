"""The commands recommend and complete on playlists."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from commands import call

from ssl_audio.complete import main as complete_main
from ssl_audio.recommend import COMMAND, main
from ssl_audio.recommenders.comparison import compare, make_recommenders
from ssl_audio.recommenders.data.collection import Catalogue, Playlists
from ssl_audio.recommenders.data.m3u import read_m3u, write_m3u
from ssl_audio.recommenders.data.records import SourcePlaylist
from ssl_audio.recommenders.data.sources import read_source
from ssl_audio.recommenders.data.splits import cold_tracks
from ssl_audio.recommenders.data.store import open_store, store_playlists
from ssl_audio.recommenders.data.tables import write_table
from ssl_audio.recommenders.data.training_data import UNKNOWN_POSITIONS, load_training_data
from ssl_audio.recommenders.generate import generate
from ssl_audio.recommenders.generate_settings import GeneratorSettings
from ssl_audio.recommenders.tables import BY_TASK, BY_WEIGHTS, MAIN, Role, pairs_to_compare
from ssl_audio.reports.results import PlaylistResults, read_results, write_results
from ssl_audio.stores.columns import Row
from ssl_audio.stores.feature_store import read_rows, read_store
from ssl_audio.stores.writer import Store

Command = Callable[[Sequence[str]], int]
TRACKS, PLAYLISTS = 150, 150
GENRES = ("rock", "jazz", "folk", "dub")
TABLES = [
    "Playlist completion", "Completion with cold tracks", "Whole-catalogue ranking",
    "Beyond accuracy", "Whole-catalogue ranking of cold tracks",
]  # fmt: skip
SMALL = [
    "trainer.accelerator=cpu", "trainer.log_every=2", "completion.resamples=50",
    "completion.cold=0.25", "graph.min_weight=8",
    "musig.steps=4", "musig.batch_size=32", "musig.dimensions=8", "musig.fan_out=[4,3]",
    "m2grl.steps=4", "m2grl.batch_size=64", "m2grl.dimensions=8",
    "transformer.steps=4", "transformer.layers=1", "transformer.heads=2",
    "transformer.dimensions=8", "transformer.feed_forward=8", "transformer.batch_size=4",
]  # fmt: skip


@dataclass(frozen=True)
class Made:
    """Playlists in a store and in a table, and feature stores of their tracks.

    Attributes:
        folder: of `playlists.duckdb`, `playlists.parquet` and the stores.
        catalogue: of all tracks.
        playlists: all of them.
    """

    folder: Path
    catalogue: Catalogue
    playlists: Playlists

    def words(self, *more: str, source: str = "playlists.duckdb") -> list[str]:
        """The words of a comparison."""
        return [f"playlists={self.folder / source}",
                f"stores.acoustic={self.folder / 'acoustic.parquet'}", *SMALL, *more]  # fmt: skip


def write_store(path: Path, ids: Sequence[str], vectors: np.ndarray) -> None:
    store = Store(path, {"kind": path.stem})
    for name, vector in zip(ids, vectors, strict=True):
        store.add(Row(name, f"music/{name}", 30.0, "", vector))
    store.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("collection")
    rng = np.random.default_rng(0)
    sound = rng.normal(size=(TRACKS, 12)).astype(np.float32)
    generated = generate(
        sound, rng.choice(GENRES, TRACKS).tolist(),
        GeneratorSettings(playlists=PLAYLISTS, min_length=40, max_length=60, scenes=5),
    )  # fmt: skip
    ids = [f"album {k // 10}/{k:03d}.flac" for k in range(TRACKS)]
    catalogue = generated.catalogue(ids)
    store_playlists(generated.playlists, catalogue, folder / "playlists.duckdb")
    write_table(folder / "playlists.parquet", generated.playlists, catalogue)
    acoustic = (1 / (1 + np.exp(-sound[:, :8]))).astype(np.float32)
    write_store(folder / "acoustic.parquet", ids, acoustic)
    write_store(folder / "acoustic-few.parquet", ids[5:], acoustic[5:])
    write_store(folder / "embeddings.parquet", ids[3:], sound[3:])
    return Made(folder, catalogue, generated.playlists)


def refused(*words: str, command: Command = main) -> str:
    """The one line of an error."""
    status, out, err = call(command, *words)
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert (status, out, len(lines)) == (1, "", 1), err
    assert err.rstrip("\n").endswith(lines[0]) and "Traceback" not in err
    return lines[0]


def results_of(folder: Path) -> PlaylistResults:
    results = read_results(folder)
    assert isinstance(results, PlaylistResults)
    return results


def compared(*words: str) -> PlaylistResults:
    """The results of a comparison, without its report."""
    return compare(COMMAND.load(list(words)))


@dataclass(frozen=True)
class Ran:
    """A finished run of all three models."""

    folder: Path
    words: list[str]
    out: str
    results: PlaylistResults


@pytest.fixture(scope="module")
def ran(made: Made) -> Ran:
    folder = made.folder / "run"
    words = made.words(
        "model=[musig,m2grl,transformer]", "baselines=[random,popularity]",
        "features=[popularity,acoustic,identity]",
        f"stores.embeddings={made.folder / 'embeddings.parquet'}", f"run_dir={folder}",
    )  # fmt: skip
    status, out, err = call(main, *words)
    assert status == 0, err
    return Ran(folder, words, out, results_of(folder))


def test_every_system_is_in_every_table(ran: Ran) -> None:
    systems = ["Random", "Popularity", "MUSIG", "M2GRL", "Transformer"]
    assert [table.name for table in ran.results.tables] == TABLES
    for table in ran.results.tables:
        assert [row.system for row in table.rows] == systems
        keys = [column.key for column in table.columns]
        for row in table.rows:
            assert list(row.figures) == keys
            assert all(one.low <= one.mean <= one.high for one in row.figures.values())
        assert {one.metric for one in table.differences} <= set(keys)
        pairs = [{one.a, one.b} for one in table.differences if one.metric == keys[0]]
        assert all(pairs.count(pair) == 1 for pair in pairs)
        tested = 2 * (3 * 2 + 3)  # metrics, models and baselines, pairs of models
        assert len(table.differences) == (0 if table.name == TABLES[3] else tested)
    assert [row.features for row in ran.results.tables[0].rows] == [
        "", "", "popularity, acoustic, identity", "", "embeddings"
    ]  # fmt: skip


def test_whole_catalogue_figures_are_in_their_ranges(ran: Ran) -> None:
    table = ran.results.tables[2]
    assert [c.key for c in table.columns if c.lower_is_better] == ["clicks"]
    for row in table.rows:
        figures = {key: figure.mean for key, figure in row.figures.items()}
        assert 0 <= figures["next_track@1"] <= figures["next_track@10"] <= figures["next_track@50"]
        assert max(figures[key] for key in ("next_track@50", "r_precision", "ndcg")) <= 1
        assert 0 <= figures["clicks"] < 15  # the whole catalogue is in the lists
    assert table.rows[0].figures["r_precision"].mean > 0.05  # 20 to 30 of some 110 tracks


def test_the_report_shows_all_tables(ran: Ran) -> None:
    page = (ran.folder / "report.html").read_text()
    for name in TABLES:
        assert name in page and name in ran.out
    assert f"report: {ran.folder / 'report.html'}" in ran.out
    assert set(ran.results.losses) == {
        "MUSIG popularity, acoustic, identity", "M2GRL", "Transformer embeddings"
    }  # fmt: skip
    assert ran.results.correlation and ran.results.correlation.of.startswith("acoustic")
    with next(ran.folder.glob("*.csv")).open(newline="") as file:
        rows = {(row["table"], row["system"], row["metric"]) for row in csv.DictReader(file)}
    assert (TABLES[2], "Transformer", "clicks") in rows


def test_tracks_without_an_embedding_are_counted(ran: Ran) -> None:
    notes = ran.results.data.notes
    assert any(note.startswith("3 tracks have no audio embedding") for note in notes), notes


def test_a_finished_run_is_not_trained_again(ran: Ran) -> None:
    assert "already holds a run" in refused(*ran.words)
    kept = {path: path.stat().st_mtime_ns for path in (ran.folder / "systems").rglob("*")}
    again = compared(*ran.words, "ckpt_path=last")
    assert {p: p.stat().st_mtime_ns for p in (ran.folder / "systems").rglob("*")} == kept
    for table, other in zip(ran.results.tables, again.tables, strict=True):
        assert [row.figures for row in table.rows] == [row.figures for row in other.rows]
    assert again.losses == ran.results.losses


@pytest.mark.parametrize("other", ["seed=3", "musig.steps=9", "completion.cold=0.3"])
def test_a_run_is_not_resumed_with_other_settings(ran: Ran, other: str) -> None:
    name = other.partition("=")[0].partition(".")[0]
    said = refused(*ran.words, other, "ckpt_path=last")
    assert "holds systems that were trained with another" in said and name in said


def test_every_track_has_a_vector_in_a_feature_store(ran: Ran, made: Made) -> None:
    for model in ("musig", "m2grl"):
        stored = read_store(ran.folder / f"{model}-tracks.parquet")
        assert stored.ids == list(made.catalogue.ids)
        kept = np.load(ran.folder / "systems" / ran.results.models[model] / "vectors.npy")
        assert np.array_equal(stored.vectors, kept[0] if model == "m2grl" else kept)
    assert not (ran.folder / "transformer-tracks.parquet").exists()


def test_new_tracks_get_vectors_of_musig(ran: Ran, made: Made, tmp_path: Path) -> None:
    new = [f"new/{k}.flac" for k in range(4)]
    write_store(tmp_path / "new.parquet", new, np.full((4, 8), 0.25, np.float32))
    words = [f"run={ran.folder}", f"stores.acoustic={tmp_path / 'new.parquet'}"]
    output = tmp_path / "deep" / "vectors.parquet"
    status, _, err = call(complete_main, *words, f"output={output}")
    assert status == 0 and "4 tracks have no popularity features and got the mean" in err
    stored = read_store(output)
    assert stored.ids == new and np.allclose(np.linalg.norm(stored.vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(stored.vectors, stored.vectors[0])  # their features are the same
    for wrong, message in (
        ([f"output={output}"], "a new file"),
        ([f"output={tmp_path / 'my.m3u'}"], "a new file"),
        (
            [f"run={tmp_path}", f"output={tmp_path / 'v.parquet'}"],
            f"error: run={tmp_path / 'results.json'}: No such file",
        ),
        (["model=m2grl", f"output={tmp_path / 'v.parquet'}"], "computes no vectors of new tracks"),
    ):
        assert message in refused(*words, *wrong, command=complete_main)


def test_the_two_tower_model_gives_vectors_to_cold_and_new_tracks(
    made: Made, tmp_path: Path
) -> None:
    store, run = f"stores.embeddings={made.folder / 'embeddings.parquet'}", tmp_path / "run"
    words = ["model=[lightgcn,two_tower]", "baselines=[popularity]", "lightgcn.steps=3",
             "two_tower.steps=3", f"run_dir={run}"]  # fmt: skip
    assert "give stores.embeddings=" in refused(*made.words(*words))
    results = compared(*made.words(*words, store))
    assert [row.system for row in results.tables[1].rows] == ["Popularity", "LightGCN", "Two-tower"]
    kept = read_store(run / "two_tower-tracks.parquet")
    assert kept.vectors.any(1).tolist() == [k >= 3 for k in range(TRACKS)]  # three lack audio
    words = [f"run={run}", store, f"output={tmp_path / 'v.parquet'}"]
    assert call(complete_main, *words)[0] == 0
    again = read_store(tmp_path / "v.parquet")
    assert again.ids == kept.ids[3:] and np.allclose(again.vectors, kept.vectors[3:], atol=1e-5)


def test_cold_tracks_get_the_vectors_of_the_test(ran: Ran, made: Made, tmp_path: Path) -> None:
    """Also without popularity and identity, which are the mean for both."""
    cold = cold_tracks(made.catalogue.ids, ran.results.config["completion"]["cold"])
    assert cold.any()
    acoustic = read_store(made.folder / "acoustic.parquet")
    rows = np.flatnonzero(cold)
    ids = [acoustic.ids[k] for k in rows]
    write_store(tmp_path / "cold.parquet", ids, acoustic.vectors[rows])
    words = [f"run={ran.folder}", f"stores.acoustic={tmp_path / 'cold.parquet'}"]
    assert call(complete_main, *words, f"output={tmp_path / 'v.parquet'}")[0] == 0
    kept = read_store(ran.folder / "musig-tracks.parquet").vectors[rows]
    assert np.allclose(read_store(tmp_path / "v.parquet").vectors, kept, atol=1e-5)


def test_acoustic_features_trained_on_other_playlists_are_noted(made: Made, tmp_path: Path) -> None:
    about = {"kind": "acoustic, siamese", "model": "x", "memberships": "0"}
    store = Store(tmp_path / "acoustic.parquet", about)
    for row in read_rows(made.folder / "acoustic.parquet"):
        store.add(row)
    store.close()
    run = tmp_path / "run"
    words = made.words("baselines=[popularity]", f"stores.acoustic={tmp_path / 'acoustic.parquet'}",
                       "features=[acoustic]", f"run_dir={run}")  # fmt: skip
    notes = compared(*words).data.notes
    assert any("learnt from other playlists" in note for note in notes)
    training = read_source(run / "train.parquet")
    found = [p.id for p in training if isinstance(p, SourcePlaylist)]
    assert 0 < len(found) < PLAYLISTS


def test_tracks_of_features_alone_and_of_playlists_alone(made: Made, tmp_path: Path) -> None:
    ids = [*made.catalogue.ids[5:], "never/played.flac"]
    sound = np.random.default_rng(1).random((len(ids), 8), dtype=np.float32)
    write_store(tmp_path / "acoustic.parquet", ids, sound)
    words = made.words("baselines=[popularity]", "features=[acoustic]",
                       f"stores.acoustic={tmp_path / 'acoustic.parquet'}",
                       f"playlists={made.folder / 'playlists.parquet'}")  # fmt: skip
    assert "unknown=" in refused(*words, "unknown=refuse", f"run_dir={tmp_path / 'refused'}")
    for choice, tracks in (("drop", len(ids)), ("keep", len(ids) + 5)):
        run = tmp_path / choice
        data = compared(*words, f"unknown={choice}", f"run_dir={run}").data
        notes = data.notes
        stored = read_store(run / "musig-tracks.parquet")
        assert len(stored.ids) == tracks and "never/played.flac" in stored.ids
        assert any(note.endswith("of tracks that no feature store has") for note in notes)
        assert (UNKNOWN_POSITIONS in data.counts) == (choice == "drop")


@pytest.mark.parametrize("wrong", ["trainer.precision=half", "trainer.accelerator=abacus"])
def test_unknown_options_of_the_trainer(made: Made, tmp_path: Path, wrong: str) -> None:
    words = made.words("baselines=[]", wrong, f"run_dir={tmp_path}", "model=m2grl")
    assert f"{wrong}: " in refused(*words)


def test_a_damaged_checkpoint_is_one_line(ran: Ran, tmp_path: Path) -> None:
    shutil.copytree(ran.folder, tmp_path / "run")
    system = tmp_path / "run" / "systems" / ran.results.models["musig"]
    (system / "vectors.npy").unlink()
    last = system / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    said = refused(*ran.words, f"run_dir={tmp_path / 'run'}", "ckpt_path=last")
    assert "last.ckpt is damaged" in said


def test_the_same_seed_gives_the_same_figures(ran: Ran, tmp_path: Path) -> None:
    words = [word for word in ran.words if not word.startswith("model=")]
    again = compared(*words, f"run_dir={tmp_path}", "model=transformer")
    for table, other in zip(ran.results.tables, again.tables, strict=True):
        assert table.rows[-1].figures == other.rows[-1].figures


@pytest.mark.parametrize("model", ["transformer", "musig", "m2grl"])
def test_a_playlist_is_continued(ran: Ran, made: Made, tmp_path: Path, model: str) -> None:
    playlist = tmp_path / "my.m3u"
    warm = ~cold_tracks(made.catalogue.ids, 0.25)
    seeds = [row for row in made.playlists[0].tolist() if row > 2 and warm[row]][:6]
    entries = [(made.catalogue.ids[row], "") for row in seeds]
    words = [f"playlist={playlist}", f"run={ran.folder}", "length=30", f"model={model}"]
    write_m3u(playlist, [*entries, ("new.flac", "")])
    status, _, err = call(complete_main, *words)
    assert status == 3 and "unknown: 'new.flac' (1 positions); nearest: 'album" in err
    write_m3u(playlist, entries)
    status, _, err = call(complete_main, *words)
    assert status == 0 and f"30 tracks: {tmp_path / 'my-more.m3u'}" in err
    added = [made.catalogue.row[track.id] for track in read_m3u(tmp_path / "my-more.m3u")]
    assert len(set(added)) == 30 and not set(added) & set(seeds)


def test_a_playlist_is_continued_with_the_newest_run(
    ran: Ran, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_m3u(tmp_path / "my.m3u", [(made.catalogue.ids[row], "") for row in range(3, 8)])
    assert "no run below runs/ has model" in refused("playlist=my.m3u", command=complete_main)
    shutil.copytree(ran.folder, tmp_path / "runs" / "first")
    (tmp_path / "runs" / "second").mkdir()  # has no model
    write_results(tmp_path / "runs" / "second", replace(ran.results, models={}))
    (tmp_path / "runs" / "third").mkdir()
    (tmp_path / "runs" / "third" / "results.json").write_text('{"kind": "probe"}')
    status, _, err = call(complete_main, "playlist=my.m3u", "length=7")
    assert status == 0 and "runs/first" in err and len(read_m3u(tmp_path / "my-more.m3u")) == 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "playlist=null: give a playlist to continue, or stores= of tracks"),
        (["playlist=my.m3u", "length=0"], "length=0: a whole number, 1 or more"),
        (["playlist=my.m3u", "k=2.5"], "k=2.5: a whole number"),
        (["playlist=none.m3u"], "none.m3u: no such file"),
        (["stores.acoustic=a.parquet", "output=my.m3u"], "a new file that ends with .parquet"),
    ],
)
def test_what_complete_cannot_use_is_refused_in_one_line(words: list[str], message: str) -> None:
    assert message in refused(*words, command=complete_main)


RECOMMENDER = """
import numpy as np
from ssl_audio.recommenders.recommender import AllTracks

class ByRow(AllTracks):
    name = "By row"

    def fit(self, folder):
        self.sign = 1 - 2 * (self.settings.seed % 2)

    def scores(self, histories):
        rows = self.sign * np.arange(self.data.tracks, dtype=np.float32)
        return np.tile(rows, (len(histories), 1))
"""


def test_a_recommender_is_one_file(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside of the package; its two training seeds rank in opposite orders."""
    (tmp_path / "my_recommender.py").write_text(RECOMMENDER)
    monkeypatch.syspath_prepend(tmp_path)
    words = made.words("model=my_recommender.ByRow", "baselines=[popularity,pmi]")
    one, two = (
        compared(*words, f"seeds={seeds}", f"run_dir={tmp_path / str(seeds)}") for seeds in (1, 2)
    )
    assert [row.system for row in two.tables[0].rows] == ["Popularity", "PMI", "By row"]
    assert two.protocol.endswith("Means over 2 training seeds.")
    popular, pmi, own = (row.figures["hr"] for row in two.tables[0].rows)
    for found, row in zip((popular, pmi), one.tables[0].rows, strict=False):  # no seed
        assert astuple(found) == pytest.approx(astuple(row.figures["hr"]))
    assert own.mean == pytest.approx(0.5, abs=0.05)  # what one order finds, the other does not
    alone = one.tables[0].rows[2].figures["hr"]
    assert own.high - own.low > alone.high - alone.low - 1e-9
    assert {(d.a, d.b) for d in two.tables[0].differences} == {
        ("By row", "Popularity"), ("By row", "PMI")
    }  # fmt: skip
    assert two.models == {"my_recommender.ByRow": "by-row"}


def test_playlists_without_genres_and_features(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Playlists alone: only co-occurrence is learnt, and no table of cold tracks is possible."""
    results = compared(
        f"playlists={made.folder / 'playlists.parquet'}", *SMALL, "model=musig",
        "musig.weights=[1,0,0]", "baselines=[random,embeddings]", "completion.cold=0",
        f"run_dir={tmp_path}",
    )  # fmt: skip
    assert [table.name for table in results.tables] == [TABLES[0], *TABLES[2:4]]
    assert [row.system for row in results.tables[0].rows] == ["Random", "MUSIG"]
    assert any("embeddings is left out" in note for note in results.data.notes)
    assert f"{PLAYLISTS} playlists" in capsys.readouterr().err
    assert open_store(tmp_path / "playlists.duckdb").about["counts"]["tracks"] == TRACKS


def test_variants_have_roles_and_are_compared_by_them(made: Made, tmp_path: Path) -> None:
    audio = tmp_path / "audio.parquet"
    rng = np.random.default_rng(0)
    write_store(audio, made.catalogue.ids, rng.random((TRACKS, 42), np.float32))
    settings = COMMAND.load(made.words(
        f"stores.audio={audio}", "features=[acoustic]", "baselines=[graphsage,track2vec]",
        "by_features=true", "by_task=true", "by_weights=true",
    ))  # fmt: skip
    data = load_training_data(made.folder / "playlists.duckdb", tmp_path, settings.stores,
                              min_weight=8, cold=0.25)  # fmt: skip
    systems = make_recommenders(settings, data)
    assert len({system.folder for system in systems}) == len(systems)
    groups = ("genre", "audio", "acoustic", "popularity")
    main_rows = {system.label: system for system in systems if MAIN in system.tables}
    assert {f"{name} {group}" for name in ("Track2Vec", "GraphSAGE", "MUSIG")
            for group in groups} < set(main_rows)  # fmt: skip
    assert [s.label for s in systems if s.role is Role.MODEL] == ["MUSIG acoustic"]
    pairs = pairs_to_compare(main_rows.values())
    assert pairs[: len(main_rows) - 1] == [
        ("MUSIG acoustic", label) for label in main_rows if label != "MUSIG acoustic"
    ]
    assert set(pairs[len(main_rows) - 1 :]) == {
        (f"MUSIG {group}", f"{name} {group}") for name in ("Track2Vec", "GraphSAGE")
        for group in groups if group != "acoustic"
    }  # fmt: skip
    by_task = [system.label for system in systems if BY_TASK in system.tables]
    assert by_task == [f"MUSIG, {task} task {features}" for task in ("audio", "acoustic")
                       for features in ("acoustic", "audio")]  # fmt: skip
    by_weights = [system for system in systems if BY_WEIGHTS in system.tables]
    assert {b for _, b in pairs_to_compare(by_weights)} == {"MUSIG (1, 0, 0) acoustic"}
    assert len(pairs_to_compare(by_weights)) == len(by_weights) - 1 == 4


# --- errors ---------------------------------------------------------------------------------------


def few(made: Made) -> str:
    return f"stores.acoustic={made.folder / 'acoustic-few.parquet'}"


def test_tracks_without_features_are_imputed_and_counted(made: Made, tmp_path: Path) -> None:
    words = made.words(
        few(made), "features=[acoustic]", "baselines=[random]", "by_weights=true", "musig.steps=1"
    )
    results = compared(*words, f"run_dir={tmp_path}")
    assert "5 tracks have no acoustic features and got the mean" in results.data.notes
    assert [table.name for table in results.tables] == [*TABLES, "Task weights"]
    assert [len(table.rows) for table in results.tables] == [2] * 5 + [5]


def test_tracks_without_features_are_refused_with_missing_refuse(
    made: Made, tmp_path: Path
) -> None:
    words = made.words(few(made), "features=[acoustic]", "baselines=[random]", "missing=refuse")
    line = refused(*words, f"run_dir={tmp_path}")
    assert "5 tracks have no acoustic features (album 0/000.flac, album 0/001.flac" in line
    assert not list(tmp_path.iterdir())


def test_an_empty_graph_is_refused_with_the_highest_weight(made: Made, tmp_path: Path) -> None:
    words = made.words("graph.min_weight=200", "baselines=[random]", f"run_dir={tmp_path}")
    line = refused(*words)
    assert "no two tracks are together in 200 playlists" in line
    assert "the most frequent pair in" in line and "lower graph.min_weight" in line


def test_broken_json_is_named_with_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "mpd"
    folder.mkdir()
    track = {"pos": 0, "track_uri": "spotify:track:1", "track_name": "a"}
    whole = json.dumps({"playlists": [{"pid": 1, "tracks": [track]}]}, indent=1)
    (folder / "mpd.slice.0-999.json").write_text(whole)
    (folder / "mpd.slice.1000-1999.json").write_text(whole.replace('"pos": 0,', '"pos": 0;'))
    line = refused(f"playlists={folder}", f"run_dir={tmp_path / 'run'}")
    assert "mpd.slice.1000-1999.json, line 7, column" in line and "broken JSON" in line
    assert not (tmp_path / "run").exists()


def test_duplicates_and_short_playlists_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "playlists.csv"
    rows = [f"list {p},{p % 7 + t % 5}" for p in range(60) for t in range(8)]
    path.write_text("playlist,track\n" + "\n".join(rows) + "\n")
    status, _, err = call(
        main,
        f"playlists={path}", f"run_dir={tmp_path / 'run'}", "model=m2grl", *SMALL,
        "completion.cold=0",
    )  # fmt: skip
    assert status == 1
    assert "60 playlists" in err and "180 duplicates" in err
    assert "has 40 distinct tracks (the longest has 5 positions)" in err
    assert "lower completion.min_tracks=" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "playlists= is required"),
        (["playlists=PLAYLISTS", "model=muzig"], "muzig is not known. Did you mean musig?"),
        (["playlists=PLAYLISTS", "baselines=[slim]"], "slim is not known. Known: random, "),
        (["playlists=PLAYLISTS", "model=no_module.Model"], "cannot import no_module.Model"),
        (["playlists=PLAYLISTS", "features=[mood]"], "features=[mood]: a list of"),
        (["playlists=PLAYLISTS", "features=[audio]"], "features=audio are not available"),
        (["playlists=PLAYLISTS", "stores.acoustic=none.parquet"], "none.parquet: no such file"),
        (["playlists=PLAYLISTS", "stores.acoustic=EMBEDDINGS"], "vectors of 12"),
        (["playlists=none.csv"], "playlists=none.csv: no such file or folder"),
        (["playlists=none.duckdb"], "none.duckdb: no such file"),
        (["playlists=EMBEDDINGS"], "embeddings.parquet: no mpd.slice"),
        (["playlists=PLAYLISTS"], "musig.similarity=acoustic needs stores.acoustic="),
        (["playlists=PLAYLISTS", "model=embeddings"], "embeddings has nothing to learn from"),
        (["playlists=PLAYLISTS", "model=ensemble", "ensemble=[ease,embeddings]"],
         "embeddings has nothing to learn from"),
        (["playlists=PLAYLISTS", "model=m2grl", "completion.min_tracks=200"],
         "200 distinct tracks"),
        (["playlists=PLAYLISTS", "model=m2grl", "completion.seed_share=2"],
         "completion.seed_share=2.0: a number, above"),
        (["playlists=PLAYLISTS", "musig.steps=many"],
         "musig.steps=many: a whole number, 1 or more"),
        (["playlists=PLAYLISTS", "musig.steps=2.5"], "musig.steps=2.5: a whole number, 1 or more"),
        (["playlists=PLAYLISTS", "musig.weights=[1,1]"], "musig.weights="),
        (["playlists=PLAYLISTS", "musig.weights=[0,0,0]"], "musig.weights="),
        (["playlists=PLAYLISTS", "musig.fan_out=0"], "musig.fan_out=[0]: a list of whole"),
        (["playlists=PLAYLISTS", "completion.cold=1"], "completion.cold=1.0: a number, 0 or more"),
        (["playlists=PLAYLISTS", "completion.max_playlists=1"],
         "completion.max_playlists=1: a whole"),
        (["playlists=PLAYLISTS", "seed=-1"], "seed=-1: a whole number, 0 or more"),
        (["playlists=PLAYLISTS", "trainer.accelerator=gpu"], "trainer: "),
        (["playlists=PLAYLISTS", "m2grl.weights=[1,2]", "model=m2grl"], "weights="),
        (["playlists=s3://bucket/a.csv"], "playlists=s3://bucket/a.csv: "),
        (["playlists=PLAYLISTS", "seeds=0"], "seeds=0: a whole number, 1 or more"),
        (["playlists=PLAYLISTS", "modle=musig"], "modle"),
    ],
)  # fmt: skip
def test_unusable_settings_are_refused_in_one_line(
    words: list[str], message: str, made: Made, tmp_path: Path
) -> None:
    store, embeddings = made.folder / "playlists.duckdb", made.folder / "embeddings.parquet"
    given = [w.replace("PLAYLISTS", str(store)).replace("EMBEDDINGS", str(embeddings))
             for w in words]  # fmt: skip
    assert message in refused(*SMALL, "baselines=[popularity,warp]", *given, f"run_dir={tmp_path}")
    assert not list(tmp_path.iterdir())  # it was refused before anything was trained


@pytest.mark.parametrize(("package", "name"), [("gensim", "track2vec"), ("implicit", "als")])
def test_a_missing_package_is_refused_before_any_training(
    package: str, name: str, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    words = made.words(f"baselines=[popularity,{name}]", "model=[]", f"run_dir={tmp_path}")
    assert f"needs {package}: pip install 'ssl_audio[playlists]'" in refused(*words)
    assert not list(tmp_path.iterdir())


def test_help_imports_nothing_heavy() -> None:
    probe = (
        "import sys\n"
        "from ssl_audio.recommend import main\n"
        "status = main(['--help'])\n"
        "heavy = ('torch', 'lightning', 'scipy', 'duckdb', 'pyarrow', 'numpy')\n"
        "print(status, [name for name in heavy if name in sys.modules])\n"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, cwd=root, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("0 []")
    assert "playlists=FILE" in done.stdout
