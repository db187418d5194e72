"""Groups of node features: read, scaled, concatenated, and the same for new tracks."""

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
    genre_group,
    popularity_group,
    read_group,
    refuse_missing,
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


def fitted(groups, training=None):
    """Scaled features, and their scaler."""
    everything = np.ones(len(groups[0].values), bool)
    scaler = Scaler.fit(groups, everything if training is None else training)
    return scaler.matrix(groups), scaler


# --- stores --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rows_of_a_store_are_aligned_with_the_catalogue(tmp_path, dtype):
    values = vectors(5, 8)
    path = store(tmp_path / "f.parquet", ["d", "x", "a", "y", "c"], values, dtype=dtype)
    found = read_group(path, "acoustic", catalogue())
    assert found.present.tolist() == [True, False, True, True, False]
    expected = values.astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(found.values[[3, 0, 2]], expected[[0, 2, 4]])
    assert not found.values[[1, 4]].any() and found.values.dtype == np.float32


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


def test_other_stores_are_refused(tmp_path):
    wide = store(tmp_path / "wide.parquet", IDS, vectors(5, 42))
    with pytest.raises(SslAudioError, match="vectors of 42: features=acoustic needs 8"):
        read_group(wide, "acoustic", catalogue())
    other = store(tmp_path / "other.parquet", ["x", "y"], vectors(2, 8))
    with pytest.raises(SslAudioError, match="none of the 5 tracks"):
        read_group(other, "acoustic", catalogue())
    with pytest.raises(SslAudioError, match="no such file"):
        read_group(tmp_path / "none.parquet", "audio", catalogue())
    (tmp_path / "plain.csv").write_text("id,e0\na,1\n")
    with pytest.raises(SslAudioError, match="a feature store is NAME.parquet"):
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
    found = genre_group(tracks, ["rock", "folk"])
    expected = [[1, 0], [0, 0], [0, 0], [1, 0], [0, 1]]  # jazz is outside the vocabulary
    np.testing.assert_array_equal(found.values, expected)
    assert found.present.tolist() == [True, True, False, True, True]


def test_fifty_genres_at_most():
    many = Catalogue([f"t{k}" for k in range(153)], genres=[f"g{k // 2:02d}" for k in range(153)])
    assert top_genres(many) == [f"g{k:02d}" for k in range(50)]


def test_popularity_is_log_counts_twice():
    found = popularity_group(Catalogue(["a", "b", "c"]), np.array([0, 1, 9]))
    np.testing.assert_allclose(found.values, np.log([[1, 1], [2, 2], [10, 10]]), rtol=1e-6)
    assert found.present.all()
    half = np.log(2) / np.log(10)
    np.testing.assert_allclose(fitted([found])[0], [[0, 0], [half, half], [1, 1]], rtol=1e-6)


# --- scaled and concatenated ---------------------------------------------------------------------


def test_groups_are_concatenated_in_the_order_given():
    audio, popular = group("audio", vectors(4, 42)), group("popularity", vectors(4, 2, 2))
    matrix, _ = fitted([popular, audio])
    np.testing.assert_array_equal(matrix, np.hstack([popular.values, audio.values]))
    assert matrix.dtype == np.float32


def test_scaling_is_by_the_training_tracks_that_have_the_group():
    values = [[2, 0.2], [4, 0.4], [3, 0.3], [9, 0.9], [99, 99]]
    present = [True, True, True, True, False]
    fit = np.array([True, True, True, False, True])
    matrix, _ = fitted([group("popularity", values, present)], fit)
    # the second column is 0 to 1 in training and stays; 9 lies above the training tracks' 4
    expected = [[0, 0.2], [1, 0.4], [0.5, 0.3], [1, 0.9], [0.5, 0.3]]
    np.testing.assert_allclose(matrix, expected, rtol=1e-6)


def test_a_column_that_is_constant_is_0():
    matrix, _ = fitted([group("popularity", [[7, 0.5], [7, 0.5]])])
    np.testing.assert_array_equal(matrix, [[0, 0.5], [0, 0.5]])


def test_tracks_without_features_are_refused_by_name():
    one = group("audio", vectors(6, 42), [True, False, False, True, False, False])
    with pytest.raises(SslAudioError, match=r"4 tracks have no audio features \(t1, t2, t4, ...\)"):
        refuse_missing([group("acoustic", vectors(6, 8)), one])


def test_new_tracks_are_scaled_as_the_training_tracks_were():
    rng = np.random.default_rng(0)
    audio = rng.normal(3, 2, (20, 42)).astype(np.float32)
    popular = vectors(20, 2)
    matrix, scaler = fitted([group("popularity", popular), group("audio", audio)])
    kept = Scaler.from_arrays(dict(sorted(scaler.to_arrays().items())))
    some = [group("popularity", popular[7:9]), group("audio", audio[7:9], [True, False])]
    again = kept.matrix(some)
    np.testing.assert_array_equal(again[0], matrix[7])
    np.testing.assert_allclose(again[1, 2:], matrix[:, 2:].mean(0), rtol=1e-5)


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
            Scaler.fit([one], fit)
        return
    matrix, _ = fitted([one], fit)
    assert matrix.shape == (6, 3) and matrix.min() >= 0 and matrix.max() <= 1
    for column in range(3):
        order = np.argsort(values[present, column])
        assert (np.diff(matrix[present, column][order]) >= 0).all()
    np.testing.assert_allclose(
        matrix[~present], np.broadcast_to(matrix[present & fit].mean(0), (sum(~present), 3)),
        atol=1e-5,
    )  # fmt: skip


def test_groups_of_another_model_and_damaged_scalers_are_refused():
    scaler = fitted([group("audio", vectors(3, 42))])[1]
    with pytest.raises(SslAudioError, match="trained without"):
        scaler.matrix([group("acoustic", vectors(3, 8))])
    with pytest.raises(SslAudioError, match="41 columns, the model was trained with 42"):
        scaler.matrix([group("audio", vectors(3, 41))])
    arrays = scaler.to_arrays()
    with pytest.raises(SslAudioError, match="damaged"):
        Scaler.from_arrays({**arrays, "audio.top": arrays["audio.low"]})
    del arrays["audio.mean"]
    with pytest.raises(SslAudioError, match="damaged"):
        Scaler.from_arrays(arrays)
