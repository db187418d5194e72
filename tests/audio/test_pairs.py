"""What is read as a pair."""

import itertools
import pickle
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from ssl_audio.audio.batches import PairBatchSampler, PairKey
from ssl_audio.audio.pairs import PairDataset, collate_pairs
from ssl_audio.audio.track_table import TrackTable
from ssl_audio.io.errors import SslAudioError

RATE = 16_000


class Item(NamedTuple):
    path: str
    duration: float


@pytest.fixture(scope="module")
def ramps(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    """Tracks of 9 to 15 s whose samples say which track and which second they are."""
    folder = tmp_path_factory.mktemp("ramps")
    items = []
    for k in range(12):
        seconds = 9.0 + k % 7
        ramp = np.arange(int(seconds * RATE), dtype=np.float32) / RATE / 100 + 0.2 * (k % 4)
        soundfile.write(folder / f"träck {k}.wav", ramp, RATE, subtype="FLOAT")
        items.append(Item(str(folder / f"träck {k}.wav"), seconds))
    return items


def second_of(segment: torch.Tensor, track: int) -> float:
    """Read off a ramp the second at which a segment starts."""
    return (float(segment[0]) - 0.2 * (track % 4)) * 100


def test_table_gives_back_the_tracks(ramps: list[Item]) -> None:
    odd = Item("b\udcff.wav", 3.0)  # a name that is not UTF-8
    table = TrackTable([*ramps, odd])
    restored = pickle.loads(pickle.dumps(table))
    assert [(t.path, t.duration) for t in restored] == [*ramps, odd]
    assert restored[-1].path == odd.path and len(restored[2:5]) == 3
    with pytest.raises(IndexError):
        restored[len(ramps) + 1]
    many = TrackTable([Item(f"/music/{k // 100:04}/{k}.mp3", 200.0) for k in range(100_000)])
    assert len(pickle.dumps(many)) < 100_000 * 50


def test_segments_hold_the_seconds_that_were_drawn(ramps: list[Item]) -> None:
    dataset = PairDataset(ramps, seed=3)
    directions = set()
    for epoch in range(4):
        for index, track in enumerate(ramps):
            item = dataset[PairKey(epoch, index)]
            assert item["anchor"].shape == item["positive"].shape == (4 * RATE,)
            assert item["anchor"].dtype == torch.float32
            assert (item["index"], item["epoch"], item["failures"]) == (index, epoch, [])
            a, p = (second_of(item[name], index) for name in ("anchor", "positive"))
            assert 4.0 - 1e-3 <= abs(a - p) <= track.duration - 4.0 + 1e-3
            assert second_of(item["anchor"][-1:], index) - a == pytest.approx(4.0, abs=1e-3)
            directions.add(a < p)
    assert directions == {True, False}


def test_pairs_depend_on_seed_epoch_and_track(ramps: list[Item]) -> None:
    def starts(seed: int, epoch: int, index: int) -> float:
        return second_of(PairDataset(ramps, seed=seed)[PairKey(epoch, index)]["anchor"], index)

    assert starts(1, 2, 5) == starts(1, 2, 5)
    assert len({starts(1, 2, 5), starts(2, 2, 5), starts(1, 3, 5), starts(1, 2, 9)}) == 4


def test_short_tracks_are_dropped_with_a_count(ramps: list[Item]) -> None:
    short = [Item("short.wav", 7.99), Item("exact.wav", 8.0)]
    dataset = PairDataset([*short, *ramps])
    assert len(dataset) == len(ramps) + 1
    assert dataset.tracks[0].path == "exact.wav"
    assert dataset.kept.tolist()[0] == 1


def test_short_tracks_are_read_in_a_circle(tmp_path: Path) -> None:
    ramp = np.arange(3 * RATE, dtype=np.float32) / (3 * RATE)
    soundfile.write(tmp_path / "short.wav", ramp, RATE, subtype="FLOAT")
    dataset = PairDataset([Item(str(tmp_path / "short.wav"), 3.0)], short="wrap")
    places = set()
    for epoch in range(20):
        item = dataset[PairKey(epoch, 0)]
        starts = [round(float(item[name][0]) * 3 * RATE) for name in ("anchor", "positive")]
        for start, name in zip(starts, ("anchor", "positive"), strict=True):
            expected = np.roll(np.tile(ramp, 3), -start)[: 4 * RATE]
            np.testing.assert_array_equal(item[name].numpy(), expected)
        assert (starts[1] - starts[0]) % (3 * RATE) == pytest.approx(1.5 * RATE, abs=2)
        places.add(starts[0])
    assert len(places) > 10


@pytest.mark.parametrize("short", ["drop", "wrap"])
def test_further_crops_leave_the_pairs_alone(ramps: list[Item], short: str) -> None:
    duration = 4.0 if short == "wrap" else 0.0  # tracks of 9 to 15 s: some are read in a circle
    options = {"segment": 4.0, "min_offset": 4.0 + duration, "seed": 3, "short": short}
    pairs = PairDataset(ramps, max_offset=9.0, **options)
    more = PairDataset(ramps, max_offset=9.0, crops=3, crop_segment=1.5, **options)
    starts = set()
    for index in range(len(more)):
        item, pair = more[PairKey(2, index)], pairs[PairKey(2, index)]
        assert all(torch.equal(item[name], pair[name]) for name in ("anchor", "positive"))
        assert torch.equal(item["starts"][:2], pair["starts"]) and "crops" not in pair
        assert item["crops"].shape == (3, 1.5 * RATE) and item["starts"].shape == (5,)
        for start, crop in zip(item["starts"][2:].tolist(), item["crops"], strict=True):
            assert second_of(crop, index) == pytest.approx(start, abs=1e-3)
            starts.add(start)
        assert torch.equal(item["crops"], more[PairKey(2, index)]["crops"])
    assert len(starts) == 3 * len(more)
    batch = collate_pairs([more[PairKey(0, index)] for index in range(4)])
    assert batch["crops"].shape == (3, 4, 1.5 * RATE) and batch["starts"].shape == (5, 4)


def test_several_pairs_of_a_track(ramps: list[Item]) -> None:
    options = {"segment": 1.0, "min_offset": 1.0, "max_offset": 2.0, "seed": 3}
    dataset = PairDataset(ramps, pairs_per_track=3, track_distance=3.0, **options)
    kept = [place for place, track in enumerate(ramps) if track.duration >= 12.0]
    assert dataset.kept.tolist() == kept
    drawn = set()
    for index, place in enumerate(kept):
        for draw in range(2):
            items = [dataset[PairKey(1, index, draw, part)] for part in range(3)]
            spans = []
            for item in items:
                starts = item["starts"].tolist()
                for name, start in zip(("anchor", "positive"), starts, strict=True):
                    assert second_of(item[name], place) == pytest.approx(start, abs=1e-3)
                    drawn.add(start)
                spans.append((min(starts), max(starts) + 1.0))
            spans.sort()
            gaps = [after[0] - before[1] for before, after in itertools.pairwise(spans)]
            assert min(gaps) >= 3.0 - 1e-9
    assert len(drawn) > 40  # in tracks of 12 s there is only one arrangement
    one = PairDataset(ramps, **options)  # a second draw of a pass is another pair
    assert not torch.equal(one[PairKey(0, 0)]["starts"], one[PairKey(0, 0, 1)]["starts"])


def test_an_unreadable_track_is_replaced_and_reported(ramps: list[Item], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.wav"
    damaged.write_bytes(Path(ramps[0].path).read_bytes()[:2000])
    dataset = PairDataset([Item(str(damaged), 9.0), *ramps], seed=1)
    first, again = dataset[PairKey(0, 0)], dataset[PairKey(0, 0)]
    assert first["index"] == again["index"] != 0
    assert torch.equal(first["anchor"], again["anchor"])
    assert any(line.startswith(f"{damaged}: ") for line in first["failures"])
    assert dataset[PairKey(0, 1)]["failures"] == []


def test_only_unreadable_tracks_is_an_error(tmp_path: Path) -> None:
    dataset = PairDataset([Item(str(tmp_path / f"{k}.wav"), 30.0) for k in range(3)])
    with pytest.raises(SslAudioError, match="10 tracks in a row"):
        dataset[PairKey(0, 0)]


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_the_same_pairs_whatever_the_workers(ramps: list[Item], context: str) -> None:
    def batches(workers: int) -> list[dict]:
        loader = DataLoader(
            PairDataset(ramps, segment=1.0, seed=2),
            batch_sampler=PairBatchSampler(len(ramps), 6, 4, seed=2),
            collate_fn=collate_pairs,
            num_workers=workers,
            multiprocessing_context=context if workers else None,
        )
        return list(loader)

    expected = batches(0)
    assert expected[0]["anchor"].shape == (6, RATE) and expected[0]["index"].shape == (6,)
    assert expected[2]["epoch"].tolist() == [1] * 6
    for workers in (1, 2) if context == "fork" else (1,):
        for got, want in zip(batches(workers), expected, strict=True):
            for name in ("anchor", "positive", "index", "epoch"):
                assert torch.equal(got[name], want[name])
            assert got["failures"] == want["failures"] == []


def test_recordings_and_scores(shared: Path) -> None:
    paths = sorted((shared / "audio").rglob("*.ogg"))[::20]
    items = [Item(str(path), soundfile.info(path).duration) for path in paths]
    dataset = PairDataset(items)
    assert len(dataset) >= 4
    batch = collate_pairs([dataset[PairKey(0, index)] for index in range(len(dataset))])
    assert batch["anchor"].shape == batch["positive"].shape == (len(dataset), 4 * RATE)
    assert batch["failures"] == []
    assert torch.isfinite(batch["anchor"]).all() and batch["anchor"].abs().amax(1).gt(1e-4).any()
    assert not torch.equal(batch["anchor"], batch["positive"])
