"""The scan and its cache."""

import csv
import json
import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from noise_files import audio, names

from ssl_audio.audio import isolated, sources
from ssl_audio.audio import scan as scan_module
from ssl_audio.audio.scan import Manifest, Skipped, Track, scan
from ssl_audio.audio.sources import Source
from ssl_audio.io.errors import SslAudioError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "audio"
    for k in range(3):
        audio(root / f"{k}.wav", 1.0 + k)
    audio(root / "short.wav", 0.05)
    audio(root / "silent.wav", level=0.0)
    (root / "zero.mp3").touch()
    return root


def run(root: Path, tmp_path: Path, **options: object) -> Manifest:
    options = {"cache": tmp_path / "cache"} | options
    return scan(sources.find_audio(root), **options)  # type: ignore[arg-type]


def test_scan_measures_and_sorts_out(folder: Path, tmp_path: Path) -> None:
    listed = [*sources.find_audio(folder), Source(str(folder / "absent.wav"))]
    again = Source(f"{folder}/../audio/1.wav", ("rock",))
    found = scan([*listed, again], tmp_path / "cache")
    assert names(found.tracks) == ["0.wav", "1.wav", "2.wav"]
    assert [track.duration for track in found.tracks] == [1.0, 2.0, 3.0]
    assert [track.tags for track in found.tracks] == [(), ("rock",), ()]
    assert {Path(item.path).name: item.reason for item in found.skipped} == {
        "short.wav": "too short",
        "silent.wav": "silent",
        "zero.mp3": "empty",
        "absent.wav": "missing",
    }
    assert found.duplicates == 1
    assert found.summary() == (
        "3 tracks, 0.00 hours; 4 files skipped (1 too short, 1 silent, 1 empty, 1 missing); "
        "1 listed more than once"
    )


def test_only_changed_files_are_read_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    examine = isolated.examine

    def counted(path: str) -> tuple[float, str]:
        asked.append(Path(path).name)
        return examine(path)

    monkeypatch.setattr(isolated, "examine", counted)
    first = run(folder, tmp_path)
    assert len(asked) == 6
    asked.clear()
    assert run(folder, tmp_path) == first and not asked

    audio(folder / "1.wav", 2.5)
    audio(folder / "new.wav", 1.0)
    assert [track.duration for track in run(folder, tmp_path).tracks] == [1.0, 2.5, 3.0, 1.0]
    assert sorted(asked) == ["1.wav", "new.wav"]


@pytest.mark.parametrize("damage", ["cut", "text", "other"])
def test_a_damaged_cache_is_rebuilt(folder: Path, tmp_path: Path, damage: str) -> None:
    first = run(folder, tmp_path)
    (cache,) = (tmp_path / "cache").iterdir()
    whole = cache.read_bytes()
    if damage == "other":
        pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), cache)
    else:
        cache.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"no cache at all")
    assert run(folder, tmp_path) == first
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]  # no temporary left
    assert pyarrow.parquet.read_table(cache).num_rows == 6


def test_a_cache_that_cannot_be_written_is_a_warning(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="not kept"):
        assert len(run(folder, tmp_path).tracks) == 3


def test_the_default_cache_is_the_users(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    run(folder, tmp_path, cache=None)
    assert len(list((tmp_path / "xdg" / "ssl_audio").glob("scan-*.parquet"))) == 1


def test_a_crash_or_a_hang_costs_one_file(
    tmp_path: Path, dangerous: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated, "TIME_LIMIT", 3.0)
    root = tmp_path / "audio"
    for k in range(18):
        audio(root / f"{k:02d}.wav")
    for name in ("03crash.wav", "07hang.wav"):
        audio(root / name)
    found = run(root, tmp_path, workers=2)
    assert names(found.tracks) == [f"{k:02d}.wav" for k in range(18)]
    assert [(Path(item.path).name, item.reason, item.detail) for item in found.skipped] == [
        ("03crash.wav", "unreadable", "decoder crashed"),
        ("07hang.wav", "unreadable", "no answer in 3 s"),
    ]
    # such a verdict may be the machine's fault: it is not kept
    (cache,) = (tmp_path / "cache").iterdir()
    assert pyarrow.parquet.read_table(cache).num_rows == 18


def test_an_interrupted_scan_keeps_finished_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(results: Iterator[object], *_: object) -> Iterator[object]:
        yield from islice(results, 3)
        raise KeyboardInterrupt

    monkeypatch.setattr(scan_module, "with_progress", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path)
    (cache,) = (tmp_path / "cache").iterdir()
    assert pyarrow.parquet.read_table(cache).num_rows == 3


def test_workers_that_cannot_start_are_an_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolated.stop()
    monkeypatch.setattr(scan_module, "with_progress", lambda results, *_: results)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(SslAudioError, match="at its start"):
        run(folder, tmp_path)


def test_few_files_take_few_processes() -> None:
    assert scan_module._worker_count(None, 5) == 1
    assert scan_module._worker_count(8, 33) == 3
    assert scan_module._worker_count(2, 10_000) == 2


def test_the_bar_is_on_standard_error(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(folder, tmp_path)
    out, err = capfd.readouterr()
    assert out == "" and "6/6" in err


# --- what is kept


def test_the_hash_follows_content_and_not_place(tmp_path: Path) -> None:
    def digest(root: str, duration: float = 2.0, size: int = 10, name: str = "b.wav") -> str:
        first = Track(f"{root}/x/a.wav", 1.0, (), 10)
        return Manifest([first, Track(f"{root}/{name}", duration, (), size)], []).hash

    assert digest("/here") == digest("/over/there")
    others = {digest("/a"), digest("/a", 2.5), digest("/a", size=11), digest("/a", name="c.wav")}
    assert len(others) == 4
    tracks = [Track("/a/1.wav", 1.0), Track("/a/2.wav", 1.0)]
    assert Manifest(tracks, []).hash != Manifest(tracks[::-1], []).hash
    assert len(Manifest([], []).hash) == 64


def test_the_report_of_skipped_files_is_csv(tmp_path: Path) -> None:
    detail = 'all "zero", really'
    kept = Manifest([], [Skipped("/music/x.wav", "silent", detail)], 3)
    kept.save_report(tmp_path / "skipped.csv")
    with open(tmp_path / "skipped.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{"path": "/music/x.wav", "reason": "silent", "detail": detail}]


def test_names_that_are_not_utf8_can_be_scanned(tmp_path: Path) -> None:
    root = tmp_path / "audio"
    try:
        audio(root / "plain.wav").rename(os.fsdecode(os.fsencode(root) + b"/\xff\xe9.wav"))
    except OSError:
        pytest.skip("this file system allows only names in UTF-8")
    for _ in range(2):
        found = run(root, tmp_path)
        assert [os.fsencode(track.path)[-6:] for track in found.tracks] == [b"\xff\xe9.wav"]
    found.save_report(tmp_path / "skipped.csv")
    assert json.dumps(found.hash)


def test_a_damaged_track_is_used_and_reported(tmp_path: Path) -> None:
    whole = audio(tmp_path / "audio" / "a.wav", 4.0).read_bytes()
    (tmp_path / "audio" / "a.wav").write_bytes(whole[: len(whole) // 2])
    for _ in range(2):  # the second time from the cache
        found = run(tmp_path / "audio", tmp_path)
        (track,) = found.tracks
        assert track.duration == pytest.approx(2.0, abs=0.01)
        assert "2.00 of 4.00 s can be decoded" in track.damage
        assert found.summary().endswith("; 1 tracks damaged, used in part")
    found.save_report(tmp_path / "skipped.csv")
    (row,) = csv.DictReader(open(tmp_path / "skipped.csv", newline=""))
    assert row["reason"] == "used in part" and row["detail"] == track.damage
