"""Retrieval of tracks by artist, group and halves, against plain loops."""

import numpy as np
import pytest
import soundfile
from sklearn.metrics import average_precision_score

from ssl_audio.datasets.dataset import Split
from ssl_audio.probe import COMMAND
from ssl_audio.probing.bootstrap import draw_clustered
from ssl_audio.probing.retrieval import RESAMPLES, retrievals

RATE = 16_000
ARTISTS = ("a", "b", "a", "", "c", "b", "a", "", "d", "b")
GROUPS = ("x", "x", "x", "", "y", "y", "z", "", "z", "x")


class Level:
    """The loudness and the mean of a waveform; other encoders are other directions of them."""

    name, kind, source, key, sample_rate = "level", "features", "here", "key", RATE

    def features(self, blocks):
        waveform = np.concatenate(list(blocks))
        return np.array([[waveform.std(), 10 * waveform.mean()]], np.float32)


def settings(*words):
    return COMMAND.load(["dataset=csv", "data.table=x.csv", "baselines=[mfcc]", *words])


def made_split(paths=()):
    ids = tuple(map(str, range(10)))
    return Split(ids, tuple(paths), np.zeros((10, 1), np.uint8), ARTISTS, GROUPS)


def cosine(a, b):
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def plain(vectors, names):
    """Average precision and hit of each query with another track of its name, by its row."""
    found = {}
    for query, name in enumerate(names):
        others = [k for k in range(len(names)) if k != query]
        relevant = [bool(name) and names[k] == name for k in others]
        if any(relevant):
            scores = [cosine(vectors[query], vectors[k]) for k in others]
            best = relevant[int(np.argmax(scores))]
            found[query] = (average_precision_score(relevant, scores), float(best))
    return found


def test_artists_and_groups_equal_a_plain_loop():
    rng = np.random.default_rng(0)
    vectors, centre = rng.normal(size=(10, 4)), rng.normal(size=4)
    split = made_split()
    found = list(retrievals(Level(), split, vectors, centre, settings("seed=3")))
    assert [one.of for one in found] == ["artist", "group"]
    for one, names in zip(found, (ARTISTS, GROUPS), strict=True):
        expected = plain(vectors - centre, names)
        assert one.queries == len(expected) and set(expected) < set(range(10))
        drawn = draw_clustered([split.clusters[k] for k in expected], RESAMPLES, 3)
        for place, interval in enumerate((one.map, one.hit)):
            values = [both[place] for both in expected.values()]
            assert interval.mean == pytest.approx(sum(values) / len(values), abs=1e-6)
            resampled = [
                sum(n * value for n, value in zip(counts, values, strict=True)) / sum(counts)
                for counts in drawn.tolist()
            ]
            reach = 1.959963984540054 * np.std(resampled, ddof=1)
            assert interval.high - interval.mean == pytest.approx(reach, rel=1e-4)
            assert interval.mean - interval.low == pytest.approx(reach, rel=1e-4)


def test_nothing_is_retrieved_where_nothing_is_known():
    split = Split(("0", "1"), (), np.zeros((2, 1), np.uint8))
    vectors = np.eye(2)
    assert list(retrievals(Level(), split, vectors, np.zeros(2), settings())) == []
    named = made_split()
    assert (
        list(retrievals(Level(), named, np.eye(10), np.zeros(10), settings("retrieval=[]"))) == []
    )


def test_the_halves_of_a_track_are_compared_with_those_of_all(tmp_path):
    halves, paths = [], []
    for k in range(10):
        rng = np.random.default_rng(k)
        both = [0.01 * rng.normal(size=RATE) * rng.uniform(1, 20) + 0.01 * rng.normal()
                for _ in range(2)]  # fmt: skip
        paths.append(tmp_path / f"{k}.wav")
        soundfile.write(paths[-1], np.concatenate(both), RATE, subtype="FLOAT")
        halves.append([Level().features([half])[0].astype(float) for half in both])
    centre = np.array([0.1, 0.0])
    precision, hits = [], []
    for query in range(10):
        scores = [cosine(halves[query][0] - centre, other - centre) for _, other in halves]
        rank = sorted(scores, reverse=True).index(scores[query])
        precision.append(1 / (1 + rank))
        hits.append(rank == 0)
    chosen = settings("retrieval=[track]", f"cache={tmp_path / 'cache'}", "workers=1")
    [found] = retrievals(Level(), made_split(paths), np.zeros((10, 2)), centre, chosen)
    assert (found.of, found.queries) == ("track", 10)
    assert found.map.mean == pytest.approx(np.mean(precision), abs=1e-5)
    assert found.hit.mean == pytest.approx(np.mean(hits)) and 0 < np.mean(hits) < 1
