"""Shards: what a crop holds, what is on disk after an interruption, and what is refused."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from ssl_audio.audio import decode, isolated, scan, shards
from ssl_audio.audio.batches import PairBatchSampler, PairKey
from ssl_audio.audio.pairs import PairDataset, collate_pairs
from ssl_audio.audio.shard_writer import DecodedTrack
from ssl_audio.audio.sources import Source, find_audio
from ssl_audio.io.errors import AudioError, SslAudioError
from ssl_audio.io.lock import only_writer
from ssl_audio.settings.pretrain import FolderData, ShardData
from ssl_audio.training.budget import Budget
from ssl_audio.training.data import PairDataModule

RATE = 16_000
SHARD_SECONDS = 25.0  # two of the tracks below
FORMS = [("wav", 44_100, 2), ("flac", 22_050, 1), ("ogg", 48_000, 2), ("mp3", 44_100, 2)]


def waveform(seconds: float, rate: int, channels: int, seed: int) -> np.ndarray:
    steps = np.random.default_rng(seed).normal(0, 1, (int(seconds * rate), channels))
    return 0.5 * np.sin(np.cumsum(steps, axis=0) / 20).astype(np.float32)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight tracks of 9 to 12.5 s in four formats, at lengths that no rate divides."""
    folder = tmp_path_factory.mktemp("music")
    for k in range(8):
        form, rate, channels = FORMS[k % 4]
        (folder / form).mkdir(exist_ok=True)
        samples = waveform(9.0003 + k / 2, rate, channels, k)
        soundfile.write(folder / form / f"träck {k}.{form}", samples, rate)
    return folder


@pytest.fixture
def sources(music: Path) -> list[Source]:
    return find_audio(music)


def write(sources: list[Source], folder: Path, seconds: float = SHARD_SECONDS) -> shards.Shards:
    cache = folder.parent / "cache"
    return shards.write_shards(sources, folder, 2, seconds, cache=cache)


@pytest.fixture(scope="module")
def written(music: Path, tmp_path_factory: pytest.TempPathFactory) -> shards.Shards:
    return write(find_audio(music), tmp_path_factory.mktemp("prepared") / "shards")


def contents(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def test_shards_are_plain_arrays_of_whole_tracks(
    written: shards.Shards, sources: list[Source]
) -> None:
    table = pyarrow.parquet.read_table(written.folder / "index.parquet").to_pylist()
    assert [row["source"] for row in table] == [source.path for source in sources]
    assert table[0]["id"] == written.ids[0] == "flac/träck 1.flac"
    arrays = {
        path.name: np.load(path, mmap_mode="r", allow_pickle=False)
        for path in sorted(written.folder.glob("shard-*.npy"))
    }
    assert written.made == len(arrays) == 4
    for name, array in arrays.items():
        assert array.dtype == np.int16 and array.ndim == 1
        assert len(array) <= SHARD_SECONDS * RATE
        rows = [row for row in table if row["shard"] == name]
        ends = [row["start"] + row["samples"] for row in rows]
        assert [row["start"] for row in rows] == [0, *ends[:-1]] and ends[-1] == len(array)
    for row in table:
        assert row["sha256"] == hashlib.sha256(Path(row["source"]).read_bytes()).hexdigest()


def test_crops_are_the_decoded_waveform(written: shards.Shards, sources: list[Source]) -> None:
    for index, source in enumerate(sources):
        path = written.tracks[index].path
        whole = np.clip(decode.read(source.path), -1, 1)
        np.testing.assert_allclose(decode.read(path), whole, atol=0.51 / 32767)
        crop = decode.read(path, 1.25, 2.0)
        assert crop.dtype == np.float32 and crop.shape == (2 * RATE,)
        np.testing.assert_array_equal(crop, decode.read(path)[20_000:52_000])


def test_a_place_is_read_like_a_file(written: shards.Shards) -> None:
    path = written.tracks[2].path
    whole = decode.read(path)
    np.testing.assert_array_equal(np.concatenate(list(decode.Stream(path))), whole)
    assert decode.info(path) == decode.examine(path) == decode.AudioInfo(len(whole) / RATE, RATE, 1)
    assert decode.read(path, 1.0, 2.0, sample_rate=8000).shape == (16_000,)
    with pytest.raises(AudioError, match="truncated"):
        decode.read(path, 9.0, 4.0)


def test_loud_waveforms_are_clipped(tmp_path: Path) -> None:
    loud = 3 * waveform(3, RATE, 1, 0)
    soundfile.write(tmp_path / "loud.wav", loud, RATE, subtype="FLOAT")
    made = write([Source(str(tmp_path / "loud.wav"))], tmp_path / "shards")
    crop = decode.read(made.tracks[0].path)
    assert (crop.min(), crop.max()) == (-1.0, 1.0)
    np.testing.assert_allclose(crop, np.clip(loud[:, 0], -1, 1), atol=0.51 / 32767)


def test_the_same_pairs_as_from_the_files(
    written: shards.Shards, sources: list[Source], tmp_path: Path
) -> None:
    found = scan.scan(sources, cache=tmp_path)
    assert [t.duration for t in written.tracks] == [t.duration for t in found.tracks]
    for seed in (0, 7):
        plain, prepared = (
            PairDataset(found.tracks, seed=seed),
            PairDataset(written.tracks, seed=seed),
        )
        for index in range(len(sources)):
            want, got = plain[PairKey(seed, index)], prepared[PairKey(seed, index)]
            assert want["failures"] == got["failures"] == []
            for name in ("anchor", "positive"):  # one sample off, they would differ by far more
                # the resampler rounds a crop otherwise than the whole
                torch.testing.assert_close(got[name], want[name], rtol=0, atol=1 / 32767)


def test_the_same_batches_whatever_the_workers(written: shards.Shards) -> None:
    def batches(workers: int) -> list[dict]:
        dataset = PairDataset(written.tracks, seed=2)
        loader = DataLoader(
            pickle.loads(pickle.dumps(dataset)) if workers else dataset,  # as for a spawned one
            batch_sampler=PairBatchSampler(len(written.tracks), 4, 4, seed=2),
            collate_fn=collate_pairs,
            num_workers=workers,
        )
        return list(loader)

    for got, want in zip(batches(2), batches(0), strict=True):
        assert want["anchor"].shape == (4, 4 * RATE) and want["failures"] == got["failures"] == []
        for name in ("anchor", "positive", "index", "epoch"):
            assert torch.equal(got[name], want[name])


def test_training_takes_the_tracks_of_the_folder(
    written: shards.Shards, music: Path, tmp_path: Path
) -> None:
    def module(kind: type[FolderData] | type[ShardData], root: Path) -> PairDataModule:
        settings = kind(root=root, batch_size=4, workers=0, cache=tmp_path)
        data = PairDataModule(settings, seed=1)
        data.setup()
        data.follow(Budget(steps=2, batch_size=4))
        return data

    prepared, plain = module(ShardData, written.folder), module(FolderData, music)
    assert prepared.summary() == plain.summary()
    for got, want in zip(prepared.train_dataloader(), plain.train_dataloader(), strict=True):
        assert torch.equal(got["index"], want["index"])
        torch.testing.assert_close(got["anchor"], want["anchor"], rtol=0, atol=1 / 32767)
    with pytest.raises(SslAudioError, match="not a folder"):
        module(ShardData, tmp_path / "nowhere")


class Stop(BaseException):
    """Ends a run wherever it is, as an interruption does."""


@pytest.mark.parametrize(("tracks", "kept"), [(0, 0), (1, 0), (3, 1), (5, 2), (8, 4)])
def test_a_resumed_run_writes_the_same_bytes(
    sources: list[Source],
    written: shards.Shards,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tracks: int,
    kept: int,
) -> None:
    add, calls = shards.ShardWriter.add, []

    def stop(*_: object) -> None:
        raise Stop

    def interrupted(self: shards.ShardWriter, result: DecodedTrack) -> None:
        if len(calls) == tracks:
            raise Stop
        calls.append(result)
        add(self, result)

    folder = tmp_path / "shards"
    with monkeypatch.context() as patch:
        patch.setattr(shards.ShardWriter, "add", interrupted)
        if tracks == len(sources):  # all written but the index
            patch.setattr(shards, "_write_index", stop)
        with pytest.raises(Stop):
            write(sources, folder)
    whole = {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*.npy")}
    assert (
        len(whole)
        == len(list(folder.glob("shard-*.json")))
        == (4 if tracks == 8 else tracks // 2 - (tracks % 2 == 0 and tracks > 0))
    )
    with pytest.raises(SslAudioError, match="unfinished"):
        shards.open_shards(folder)
    (folder / "shard-00002.npy.part").write_bytes(b"of a run that was killed")
    made = write(sources, folder)
    assert made.made == 4 - kept
    assert contents(folder) == contents(written.folder)
    for name, stamp in whole.items():  # not written again
        assert (folder / name).stat().st_mtime_ns == stamp


def test_a_finished_folder_is_left_alone(
    sources: list[Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shards"
    first = write(sources, folder)
    before = contents(folder)
    with monkeypatch.context() as patch:
        patch.setattr(shards, "decode_track", None)
        again = write(sources, folder)
    assert (again.made, again.tracks, again.ids) == (0, first.tracks, first.ids)
    assert contents(folder) == before
    for other in ({"sources": sources[:3]}, {"sources": sources, "seconds": 50.0}):
        with pytest.raises(SslAudioError, match="another folder"):
            write(folder=folder, **other)
    assert contents(folder) == before


def test_one_process_at_a_time_writes_shards(sources: list[Source], tmp_path: Path) -> None:
    with only_writer(tmp_path / "shards"), pytest.raises(SslAudioError, match="another process"):
        write(sources, tmp_path / "shards")
    assert len(write(sources, tmp_path / "shards").tracks) == 8


def test_a_lost_shard_is_made_again(sources: list[Source], tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    write(sources, folder)
    before = contents(folder)
    cut = folder / "shard-00002.npy"
    cut.write_bytes(cut.read_bytes()[:-2])
    track = shards.open_shards(folder).tracks[5]
    with pytest.raises(AudioError, match="unreadable"):
        decode.read(track.path)
    (folder / "shard-00003.npy").unlink()
    with pytest.raises(AudioError, match="missing"):
        decode.read(shards.open_shards(folder).tracks[7].path)
    assert write(sources, folder).made == 2
    assert contents(folder) == before
    assert len(decode.read(track.path)) == track.size // 2


def test_damaged_files_are_reported(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = sorted(music.rglob("*.*"))[:2]
    (tmp_path / "noise.wav").write_bytes(b"RIFF, and then no audio")
    (tmp_path / "empty.wav").write_bytes(b"")
    sources = [Source(str(tmp_path / name)) for name in ("noise.wav", "empty.wav", "no.wav")]
    sources[1:1] = [Source(str(path)) for path in good]
    stream = isolated.Stream

    def failing(path: str) -> object:  # found damaged only when it is decoded
        if path == str(good[1]):
            raise AudioError(path, "truncated", "half of it")
        return stream(path)

    monkeypatch.setattr(isolated, "Stream", failing)
    made = write(sources, tmp_path / "shards")
    assert made.skipped == 4 and len(made.tracks) == 1
    lines = (tmp_path / "shards" / "skipped.csv").read_text().splitlines()
    assert lines[0] == "path,reason,detail" and len(lines) == 5
    reasons = [line.split(",")[1] for line in lines[1:]]
    assert sorted(reasons) == ["empty", "missing", "truncated", "unreadable"]
    assert write(sources, tmp_path / "shards").skipped == 4


def test_errors_of_unusable_audio_and_wrong_settings(sources: list[Source], tmp_path: Path) -> None:
    (tmp_path / "noise.mp3").write_bytes(b"no audio")
    with pytest.raises(SslAudioError, match="no usable audio"):
        write([Source(str(tmp_path / "noise.mp3"))], tmp_path / "shards")
    with pytest.raises(SslAudioError, match="is a file"):
        write(sources, tmp_path / "noise.mp3")
    with pytest.raises(SslAudioError, match="at least 1 s"):
        write(sources, tmp_path / "shards", seconds=float("nan"))
    with pytest.raises(SslAudioError, match="no index|cannot read"):
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "index.parquet").write_bytes(b"something else")
        shards.open_shards(tmp_path / "other")


def test_a_long_track_has_a_shard_to_itself(sources: list[Source], tmp_path: Path) -> None:
    made = write(sources[:3], tmp_path / "shards", seconds=1.0)
    assert made.made == 3 and len({track.path.rpartition("#")[0] for track in made.tracks}) == 3
