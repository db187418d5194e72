"""tools/free_music.py on small packages that a stand-in for apt-get hands out."""

import csv
import io
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import free_music
import numpy as np
import pytest
import soundfile

from ssl_audio.audio.sources import list_audio
from ssl_audio.io.lock import only_writer

COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2001 The Team
License: GPL-2+

Files: music/*
Copyright: 2003-2005 Ann Onym <ann@example.org>
License: CC-BY-SA-3.0
 Text of the licence.

Files: music/waltz.ogg
Copyright: 2004 Bo Ek
License: CC0-1.0
"""
pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb")


def sound(seed: int, seconds: float = 1.0) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(seed).normal(0, 0.1, int(seconds * 8000))
    soundfile.write(out, noise, 8000, format="WAV")
    return out.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def build(folder: Path, package: str, files: dict[str, bytes]) -> None:
    root = folder / f"{package}-root"
    control = f"Package: {package}\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\n"
    files = {f"usr/share/doc/{package}/copyright": COPYRIGHT.encode(), **files}
    files["DEBIAN/control"] = f"{control}Description: test\n".encode()
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    words = ["dpkg-deb", "--build", "-Znone", str(root), str(folder / f"{package}.deb")]
    subprocess.run(words, check=True, capture_output=True)


@pytest.fixture
def debs(tmp_path, monkeypatch):
    """Packages one and two; `apt-get download` copies them and notes that it was called."""
    monkeypatch.chdir(tmp_path)
    folder, bin_folder = tmp_path / "debs", tmp_path / "bin"
    folder.mkdir()
    bin_folder.mkdir()
    build(folder, "one", {
        "usr/games/music/waltz.ogg": sound(0), "usr/games/music/march.wav": sound(1),
        "usr/games/music/short.wav": sound(2, 0.4), "usr/games/voices/hello.wav": sound(3),
        "usr/games/music/broken.mp3": b"no audio", "usr/games/skipme.wav": sound(4),
    })  # fmt: skip
    build(folder, "two", {"usr/two/data.pk3": zipped({"a/again.wav": sound(1), "b.wav": sound(5)})})
    script = f'#!/bin/sh\necho "$3" >> {tmp_path}/calls\ncp {folder}/$3.deb . || exit 100\n'
    (bin_folder / "apt-get").write_text(script)
    (bin_folder / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "list.csv").write_text(
        "package,kinds,skip,note\none,recorded,skipme,\ntwo,recorded,,\n"
    )
    return tmp_path


def collect(*words: str) -> int:
    return free_music.main(["out", "packages=list.csv", "min_seconds=0.8", *words])


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with open(folder / "out" / "tracks.csv", encoding="utf-8") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def test_music_with_its_licences_once(debs, capsys):
    assert collect() == 0
    found = rows(debs)
    assert set(found) == {"one/waltz.ogg", "one/march.wav", "two/b.wav"}
    assert "stored once: two/again.wav = one/march.wav" in capsys.readouterr().out
    assert not (debs / "out/two/again.wav").exists()
    licences = {path: (row["licence"], row["artist"]) for path, row in found.items()}
    assert licences == {
        "one/waltz.ogg": ("CC0-1.0", "Bo Ek"), "one/march.wav": ("CC-BY-SA-3.0", "Ann Onym"),
        "two/b.wav": ("GPL-2+", ""),
    }  # fmt: skip
    assert found["two/b.wav"]["source"] == "usr/two/data.pk3/b.wav"
    for name in ("train.csv", "train-recorded.csv"):
        listed = {Path(source.path) for source in list_audio(f"out/{name}")}
        assert listed == {debs / "out" / path for path in found}
    assert (debs / "out/one/copyright").read_text() == COPYRIGHT


def test_resumes_after_an_interruption(debs, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(free_music, "describe", interrupted)
        assert collect() == 130
    assert (debs / "out/one.part").exists() and not (debs / "out/one").exists()
    assert collect() == 0 and not (debs / "out/one.part").exists()
    assert collect() == 0
    assert (debs / "calls").read_text().split() == ["one", "one", "two"]
    assert len(rows(debs)) == 3


def test_one_process_at_a_time_collects(debs, capsys):
    with only_writer(Path("out")):
        assert collect() == 1
    assert "another process is writing out: wait for it" in capsys.readouterr().err
    assert collect() == 0


def test_one_package_that_fails_is_named(debs, capsys):
    with open("list.csv", "a") as file:
        file.write("missing,recorded,,\n")
    assert collect() == 3
    assert "warning: missing: " in capsys.readouterr().err and len(rows(debs)) == 3


@pytest.mark.parametrize(
    ("table", "words", "said"),
    [
        ("package,kinds\n../up,recorded\n", [], "line 2"),
        ("package,kinds\none,sung\n", [], "line 2"),
        ("package,kinds,skip\none,recorded,(\n", [], "skip=("),
        ("package,kinds\none,recorded\n", ["kinds=[midi]"], "no package"),
        ("package,kinds\none,recorded\n", ["kinds=[sung]"], "recorded | modules | midi"),
        ("package,kinds\none,recorded\n", ["packages=none.csv"], "none.csv"),
    ],
)
def test_wrong_input_is_one_line(debs, capsys, table, words, said):
    Path("list.csv").write_text(table)
    assert collect(*words) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and error.count("\n") == 1
    assert not Path("out").exists()


def test_tagging_set_is_whole_packages_in_thirds_by_artist(debs, tmp_path):
    from free_music import Track
    from free_tagging import hold_out, write_tagging

    from ssl_audio.datasets.jamendo import read_tables

    def track(p: int, k: int) -> Track:
        name = f"p{p:02}"
        return Track(f"{name}/{k}.ogg", name, 60.0 + p, "recorded", "", f"{p}-{k % 4}", "", "x", "")

    tracks = [track(p, k) for p in range(20) for k in range(12)]
    tagged = hold_out(tracks)
    assert sorted({tracks[k].package for k in tagged}) == ["p00", "p01", "p02"]  # 15 %
    parts = {tracks[k].artist: set() for k in tagged}
    for k, part in tagged.items():
        parts[tracks[k].artist].add(part)
    assert all(len(found) == 1 for found in parts.values())
    write_tagging(tmp_path / "t", tracks, tagged)
    tables = {n: tmp_path / f"t/tagging-{n}.tsv" for n in ("train", "validation", "test")}
    listed = read_tables(tables, tmp_path)
    assert listed.tags == ("p00", "p01", "p02")
    assert sum(len(split.ids) for split in listed.splits.values()) == 36


def test_midi_programs_stay_in_their_family(debs):
    from free_render import other_programs

    # a delta and a program change of channel 0, then one by running status, then of percussion
    events = bytes([0, 0xC0, 25, 0, 30, 0, 0xC9, 7, 0, 0x90, 60, 64, 0, 0xFF, 0x2F, 0])
    header = b"MThd" + bytes([0, 0, 0, 6, 0, 0, 0, 1, 0, 96])
    midi = header + b"MTrk" + bytes([0, 0, 0, 16]) + events
    drawn = [other_programs(midi, np.random.default_rng(seed)) for seed in range(20)]
    assert {d[24] // 8 for d in drawn} == {3} and len({d[24] for d in drawn}) > 3
    for d in drawn:
        assert (d[24] - 25) % 8 == (d[26] - 30) % 8 and d[26] // 8 == 3
        assert d[:24] + d[25:26] + d[27:] == midi[:24] + midi[25:26] + midi[27:]
    assert len(other_programs(midi[:-6], np.random.default_rng(0))) == len(midi) - 6
