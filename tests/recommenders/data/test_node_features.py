"""Groups of node features: read, scaled, put side by side, and the same again for new tracks."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Catalogue
from ssl_audio.recommenders.data.node_features import (
    FeatureGroup,
    Scaler,
    fit_scaler,
    genre_group,
    join,
    popularity_group,
    read_embeddings,
    read_group,
    top_genres,
)

IDS = ["a", "b", "c", "d", "e"]


def catalogue(genres=()):
    return Catalogue(IDS, genres=list(genres))


def vectors(rows, width, seed=0):
    return np.random.default_rng(seed).random((rows, width)).astype(np.float32)


def store(path, ids, values, group=2, dtype=np.float32):
    """A feature store of this package's form, in several row groups."""
    kind = pa.list_(pa.from_numpy_dtype(dtype), values.shape[1])
    flat = pa.array(values.astype(dtype).ravel())
    table = pa.table({
        "id": pa.array(ids, pa.string()),
        "path": pa.array([f"{k}.ogg" for k in ids]),
        "embedding": pa.FixedSizeListArray.from_arrays(flat, type=kind),
    })  # fmt: skip
    pq.write_table(table, path, row_group_size=group)
    return path


def group(name, values, present=None):
    values = np.asarray(values, np.float32)
    present = np.ones(len(values), bool) if present is None else np.asarray(present)
    return FeatureGroup(name, values, present, [f"t{k}" for k in range(len(values))])


# --- stores --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_stores_rows_go_to_their_tracks(tmp_path, dtype):
    values = vectors(5, 8)
    path = store(tmp_path / "f.parquet", ["d", "x", "a", "y", "c"], values, dtype=dtype)
    found = read_group(path, "acoustic", catalogue())
    assert found.present.tolist() == [True, False, True, True, False]
    expected = values.astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(found.values[[3, 0, 2]], expected[[0, 2, 4]])
    assert not found.values[[1, 4]].any() and found.values.dtype == np.float32


def test_embeddings_are_read_as_they_are_whatever_their_length(tmp_path):
    values = vectors(2, 11) * 9 - 4
    path = store(tmp_path / "f.parquet", ["c", "a"], values, group=1)
    found, present = read_embeddings(path, catalogue())
    np.testing.assert_array_equal(found[[2, 0]], values)
    assert present.tolist() == [True, False, True, False, False] and not found[~present].any()


def test_popularity_may_come_from_a_store(tmp_path):
    path = store(tmp_path / "f.parquet", IDS, vectors(5, 2))
    np.testing.assert_array_equal(read_group(path, "popularity", catalogue()).values, vectors(5, 2))


def test_rows_without_numbers_count_as_absent(tmp_path):
    values = vectors(3, 42)
    values[1, 7] = np.nan
    found = read_group(store(tmp_path / "f.parquet", IDS[:3], values), "audio", catalogue())
    assert found.present.tolist() == [True, False, True, False, False]
    assert np.isfinite(found.values).all()

    rows = [values[0].tolist(), None, values[2].tolist()]
    column = pa.array(rows, pa.list_(pa.float32(), 42))
    pq.write_table(pa.table({"id": IDS[:3], "embedding": column}), tmp_path / "g.parquet")
    again = read_group(tmp_path / "g.parquet", "audio", catalogue())
    np.testing.assert_array_equal(again.present, found.present)
    np.testing.assert_array_equal(again.values, found.values)


def test_stores_of_something_else_are_refused(tmp_path):
    wide = store(tmp_path / "wide.parquet", IDS, vectors(5, 42))
    with pytest.raises(SslAudioError, match="vectors of 42: features=acoustic wants 8"):
        read_group(wide, "acoustic", catalogue())
    other = store(tmp_path / "other.parquet", ["x", "y"], vectors(2, 8))
    with pytest.raises(SslAudioError, match="none of the 5 tracks"):
        read_group(other, "acoustic", catalogue())
    with pytest.raises(SslAudioError, match="features=loudness is in no store"):
        read_group(wide, "loudness", catalogue())
    with pytest.raises(SslAudioError, match="no such file"):
        read_group(tmp_path / "none.parquet", "audio", catalogue())
    (tmp_path / "plain.csv").write_text("id,e0\na,1\n")
    with pytest.raises(SslAudioError, match="Parquet"):
        read_group(tmp_path / "plain.csv", "audio", catalogue())
    (tmp_path / "torn.parquet").write_bytes(wide.read_bytes()[:100])
    pq.write_table(pa.table({"id": IDS}), tmp_path / "bare.parquet")
    for name in ("torn.parquet", "bare.parquet"):
        with pytest.raises(SslAudioError, match="damaged or no feature store"):
            read_group(tmp_path / name, "audio", catalogue())


# --- genre and popularity ------------------------------------------------------------------------


def test_genres_are_one_hot_of_the_most_frequent():
    tracks = catalogue(["rock", "jazz", "", "rock", "folk"])
    assert top_genres(tracks) == ["rock", "folk", "jazz"]
    found = genre_group(tracks, most=2)
    expected = [[1, 0], [0, 0], [0, 0], [1, 0], [0, 1]]  # jazz is known, and not among them
    np.testing.assert_array_equal(found.values, expected)
    assert found.present.tolist() == [True, True, False, True, True]


def test_genres_may_count_by_their_playlists():
    tracks = catalogue(["rock", "jazz", "", "rock", "folk"])
    assert top_genres(tracks, weights=np.array([1, 5, 9, 1, 0])) == ["jazz", "rock"]


def test_new_tracks_have_the_columns_of_the_vocabulary():
    new = Catalogue(["n", "m"], genres=["jazz", "polka"])
    found = genre_group(new, vocabulary=["rock", "folk", "jazz"])
    np.testing.assert_array_equal(found.values, [[0, 0, 1], [0, 0, 0]])
    with pytest.raises(SslAudioError, match="no track has a genre"):
        genre_group(catalogue([""] * 5))


def test_popularity_is_log_counts_and_global_where_there_is_no_region():
    found = popularity_group(np.array([0, 1, 9]), np.array([0, 0, 4]))
    np.testing.assert_allclose(found.values, np.log([[1, 1], [2, 1], [10, 5]]), rtol=1e-6)
    assert found.present.all()
    alone = popularity_group(np.array([0, 1, 9]))
    np.testing.assert_array_equal(alone.values[:, 0], alone.values[:, 1])
    matrix, _ = join([found], ["popularity"])
    np.testing.assert_allclose(matrix, [[0, 0], [np.log(2) / np.log(10), 0], [1, 1]], rtol=1e-6)
    with pytest.raises(ValueError, match="below 0"):
        popularity_group(np.array([1, -1]))


# --- side by side --------------------------------------------------------------------------------


def test_any_subset_in_the_order_asked():
    audio, acoustic = group("audio", vectors(4, 42)), group("acoustic", vectors(4, 8, 1))
    popular = group("popularity", vectors(4, 2, 2))
    matrix, report = join([audio, acoustic, popular], ["popularity", "audio"])
    np.testing.assert_array_equal(matrix, np.hstack([popular.values, audio.values]))
    assert matrix.dtype == np.float32
    assert report.columns == {"popularity": slice(0, 2), "audio": slice(2, 44)}
    assert report.imputed == {"popularity": 0, "audio": 0}
    assert join([audio, acoustic, popular], ["acoustic"])[0].shape == (4, 8)


def test_scaling_is_by_the_training_tracks_that_have_the_group():
    values = [[2, 0.2], [4, 0.4], [3, 0.3], [9, 0.9], [99, 99]]
    present = [True, True, True, True, False]
    fit = np.array([True, True, True, False, True])
    matrix, report = join([group("popularity", values, present)], ["popularity"], fit=fit)
    # the second column is 0 to 1 in training and stays; 9 lies above the training tracks' 4
    expected = [[0, 0.2], [1, 0.4], [0.5, 0.3], [1, 0.9], [0.5, 0.3]]
    np.testing.assert_allclose(matrix, expected, rtol=1e-6)
    assert report.imputed == {"popularity": 1}


def test_a_column_that_is_constant_is_0():
    matrix, _ = join([group("popularity", [[7, 0.5], [7, 0.5]])], ["popularity"])
    np.testing.assert_array_equal(matrix, [[0, 0.5], [0, 0.5]])


def test_tracks_without_features_are_refused_by_name():
    one = group("audio", vectors(6, 42), [True, False, False, True, False, False])
    with pytest.raises(SslAudioError, match=r"4 tracks have no audio features \(t1, t2, t4, ...\)"):
        join([one], ["audio"], missing="refuse")
    whole = group("acoustic", vectors(6, 8))
    assert join([one, whole], ["acoustic"], missing="refuse")[1].imputed == {"acoustic": 0}


def test_new_tracks_are_scaled_as_the_training_tracks_were():
    rng = np.random.default_rng(0)
    audio = rng.normal(3, 2, (20, 42)).astype(np.float32)
    popular = vectors(20, 2)
    matrix, report = join([group("audio", audio), group("popularity", popular)],
                          ["popularity", "audio"])  # fmt: skip
    kept = Scaler.from_arrays(dict(sorted(report.scaler.to_arrays().items())))
    some = [group("audio", audio[7:9], [True, False]), group("popularity", popular[7:9])]
    again, other = join(some, ["popularity", "audio"], scaler=kept)
    np.testing.assert_array_equal(again[0], matrix[7])
    np.testing.assert_allclose(again[1, 2:], matrix[:, 2:].mean(0), rtol=1e-5)
    assert other.imputed == {"popularity": 0, "audio": 1}


@settings(max_examples=60, deadline=None)
@given(
    values=hnp.arrays(np.float32, (6, 3), elements=st.floats(-1e4, 1e4, width=32)),
    present=hnp.arrays(bool, 6),
    fit=hnp.arrays(bool, 6),
)
def test_the_matrix_is_always_0_to_1_and_keeps_order(values, present, fit):
    one = group("audio", values, present)
    if not (present & fit).any():
        with pytest.raises(SslAudioError, match="no training track"):
            fit_scaler([one], fit)
        return
    matrix, _ = join([one], ["audio"], fit=fit)
    assert matrix.shape == (6, 3) and matrix.min() >= 0 and matrix.max() <= 1
    for column in range(3):
        order = np.argsort(values[present, column])
        assert (np.diff(matrix[present, column][order]) >= 0).all()
    np.testing.assert_allclose(
        matrix[~present], np.broadcast_to(matrix[present & fit].mean(0), (sum(~present), 3)),
        atol=1e-5,
    )  # fmt: skip


def test_what_does_not_fit_is_refused():
    audio = group("audio", vectors(3, 42))
    with pytest.raises(SslAudioError, match="features=loudness: genre, popularity"):
        join([audio], ["loudness"])
    with pytest.raises(SslAudioError, match="features=genre was not given: audio can be used"):
        join([audio], ["genre"])
    for names in ([], ["audio", "audio"]):
        with pytest.raises(SslAudioError, match="each once"):
            join([audio], names)
    with pytest.raises(SslAudioError, match="missing=drop: impute or refuse"):
        join([audio], ["audio"], missing="drop")
    with pytest.raises(SslAudioError, match="features=loudness"):
        group("loudness", vectors(3, 1))
    scaler = fit_scaler([audio])
    with pytest.raises(SslAudioError, match="trained without"):
        join([group("acoustic", vectors(3, 8))], ["acoustic"], scaler=scaler)
    with pytest.raises(SslAudioError, match="41 columns, the model was trained with 42"):
        join([group("audio", vectors(3, 41))], ["audio"], scaler=scaler)
    arrays = scaler.to_arrays()
    with pytest.raises(SslAudioError, match="none of its parts"):
        Scaler.from_arrays({"audio.top": arrays["audio.low"]})
    del arrays["audio.mean"]
    with pytest.raises(SslAudioError, match="not whole"):
        Scaler.from_arrays(arrays)
    with pytest.raises(ValueError, match="fit or scaler"):
        join([audio], ["audio"], fit=np.ones(3, bool), scaler=scaler)
    with pytest.raises(ValueError, match="tracks"):
        join([audio, group("acoustic", vectors(2, 8))], ["audio", "acoustic"])
