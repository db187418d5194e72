"""Folders, lists and tables of audio files."""

import os
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile
from noise_files import HEADER, audio, names

from ssl_audio.audio import decode, sources
from ssl_audio.audio.sources import Source
from ssl_audio.io.errors import SslAudioError


def test_find_audio_is_recursive_sorted_and_by_suffix(tmp_path: Path) -> None:
    for name in ("b/2.MP3", "b/1.flac", "a/x.opus", "z.wav", "notes.txt", ".hidden/a.wav"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "b/._2.mp3").touch()
    (tmp_path / "b/round").symlink_to(tmp_path)
    found = [os.path.relpath(source.path, tmp_path) for source in sources.find_audio(tmp_path)]
    assert found == ["a/x.opus", "b/1.flac", "b/2.MP3", "z.wav"]


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [("8svx", "SVX"), ("aif", "AIFF"), ("aifc", "AIFF"), ("aiff", "AIFF"), ("au", "AU"),
     ("avr", "AVR"), ("caf", "CAF"), ("flac", "FLAC"), ("mp3", "MP3"), ("nist", "NIST"),
     ("oga", "OGG"), ("ogg", "OGG"), ("paf", "PAF"), ("rf64", "RF64"), ("sf", "IRCAM"),
     ("snd", "AU"), ("sph", "NIST"), ("voc", "VOC"), ("w64", "W64"), ("wav", "WAV"),
     ("AIF", "AIFF"), ("WAVE", "WAV")],
)  # fmt: skip
def test_every_format_of_libsndfile_is_found_and_read(
    tmp_path: Path, suffix: str, kind: str
) -> None:
    soundfile.write(tmp_path / f"a.{suffix}", np.full(1600, 0.1), 16_000, format=kind)
    [source] = sources.find_audio(tmp_path)
    assert decode.info(source.path).duration == pytest.approx(0.1, abs=0.1)


def test_audio_of_unsupported_formats_is_listed_separately(tmp_path: Path) -> None:
    for name in ("a.wav", "b.mid", "c/D.RAW", "notes.txt", ".hidden.mid"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [os.path.relpath(path, tmp_path) for path in sources.find_other_audio(tmp_path)]
    assert found == ["b.mid", "c/D.RAW"]
    assert names(sources.find_audio(tmp_path)) == ["a.wav"]


def test_no_audio_names_the_folder_and_the_suffixes(tmp_path: Path) -> None:
    with pytest.raises(SslAudioError, match="no audio found") as caught:
        sources.find_audio(tmp_path)
    assert str(tmp_path) in str(caught.value) and ".flac" in str(caught.value)
    with pytest.raises(SslAudioError, match="is not a folder"):
        sources.find_audio(tmp_path / "absent")


def test_a_list_is_relative_to_itself(tmp_path: Path) -> None:
    listing = tmp_path / "sub" / "list.txt"
    listing.parent.mkdir()
    listing.write_bytes("\ufeffa.wav\r\n\r\n../b c.mp3\r\n/abs/d.flac\r\n".encode())
    found = [source.path for source in sources.read_list(listing)]
    here = str(listing.parent)
    assert found == [f"{here}/a.wav", str(tmp_path / "b c.mp3"), "/abs/d.flac"]
    listing.write_text("\n")
    with pytest.raises(SslAudioError, match="lists no audio"):
        sources.read_list(listing)
    with pytest.raises(SslAudioError, match="cannot read"):
        sources.read_list(tmp_path / "absent.txt")


def test_tables(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text('path,duration,tags\nx.wav,3,rock; jazz\n"y, z.wav",,\n')
    expected = [
        Source(str(tmp_path / "x.wav"), ("jazz", "rock")),
        Source(str(tmp_path / "y, z.wav")),
    ]
    assert sources.read_table(table) == expected
    columns = {"path": ["x.wav", "y, z.wav"], "tags": [["rock", "jazz"], None]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    assert sources.read_table(tmp_path / "a.parquet") == expected
    table.write_text("path,tags\nx.wav,\n,rock\n")
    with pytest.raises(SslAudioError, match="row 2 has no path"):
        sources.read_table(table)
    table.write_text("file\nx.wav\n")
    with pytest.raises(SslAudioError, match="no column named path"):
        sources.read_table(table)
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(SslAudioError, match=r"b\.parquet as Parquet"):
        sources.read_table(tmp_path / "b.parquet")


def test_jamendo(tmp_path: Path) -> None:
    (tmp_path / "49").mkdir()
    (tmp_path / "49/949.low.mp3").touch()
    tsv = tmp_path / "a.tsv"
    rows = "track_1\tartist_1\talbum_1\t48/948.mp3\t212.7\tmood/theme---sad\tgenre---rock\r\n"
    rows += "track_2\tartist_1\talbum_1\t49/949.mp3\t212.7\tgenre---jazz\r\n"
    tsv.write_bytes((HEADER + rows).encode())
    assert sources.read_jamendo(tsv, tmp_path) == [
        Source(str(tmp_path / "48/948.mp3"), ("genre---rock", "mood/theme---sad"),
               "album_1", "artist_1"),
        Source(str(tmp_path / "49/949.low.mp3"), ("genre---jazz",), "album_1", "artist_1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("track_1 artist_1 album_1 48/948.mp3 212.7", "1 columns of the 5"),
        ("track_1\tartist_1\talbum_1\t\t212.7\tgenre---rock", "no path"),
        ("track_1\tartist_1\talbum_1\t48/948.mp3\tlong\tgenre---rock", "'long' is not a number"),
        ("track_1\tartist_1\talbum_1\t48/948.mp3\t212.7\trock", "category---tag"),
    ],
)
def test_a_malformed_jamendo_line_is_named(tmp_path: Path, row: str, complaint: str) -> None:
    good = "track_0\tartist_1\talbum_1\t48/947.mp3\t212.7\tgenre---rock\r\n"
    tsv = tmp_path / "bad.tsv"
    tsv.write_bytes((HEADER + good + row + "\r\n").encode())
    with pytest.raises(SslAudioError, match=r"bad\.tsv, line 3: ") as caught:
        sources.read_jamendo(tsv, tmp_path)
    assert complaint in str(caught.value)


def test_the_shared_corpus_reads_as_its_table_states(shared: Path) -> None:
    folder = shared / "audio" / "scores"
    with open(folder / "scores-test.tsv", newline="") as file:
        rows = [line.rstrip("\r\n").split("\t") for line in file][1:]
    found = sources.read_jamendo(folder / "scores-test.tsv", folder / "audio")
    assert [source.path for source in found] == [str(folder / "audio" / row[3]) for row in rows]
    assert [set(source.tags) for source in found] == [set(row[5:]) for row in rows]


def test_a_stray_quote_in_a_table_is_named_by_its_line(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text('path,tags\n"a, b.wav",x\n"c.wav,y\nd.wav,z\n')
    with pytest.raises(SslAudioError, match="line 3: .*quotes"):
        sources.read_table(table)
    table.write_text('path,tags\n"c.wav,y\nd.wav,"z\n')
    with pytest.raises(SslAudioError, match="line 2: .*quotes"):
        sources.read_table(table)
    table.write_text('path,tags\n"a ""b"".wav","x\ny"\nc.wav,z\n')  # a cell of two lines
    assert names(sources.read_table(table)) == ['a "b".wav', "c.wav"]


def test_tables_of_odd_types_and_letter_case(tmp_path: Path) -> None:
    table = pyarrow.table({"path": ["a.wav", "b.wav"], "tags": [3, None], "group": [1.5, None]})
    pyarrow.parquet.write_table(table, tmp_path / "a.PARQUET")
    found = sources.list_audio(tmp_path / "a.PARQUET")
    assert [(source.tags, source.group) for source in found] == [(("3",), "1.5"), ((), "")]
    (tmp_path / "B.TXT").write_text("a.wav\n")
    (tmp_path / "C.CSV").write_text("path\na.wav\n")
    for name in ("B.TXT", "C.CSV"):
        assert names(sources.list_audio(tmp_path / name)) == ["a.wav"]


def test_a_file_has_one_path_however_a_list_spells_it(tmp_path: Path) -> None:
    audio(tmp_path / "music" / "a.wav")
    audio(tmp_path / "a.wav")
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "music" / "link").symlink_to(tmp_path / "far" / "away")
    audio(tmp_path / "far" / "b.wav")
    listing = tmp_path / "music" / "list.txt"
    listing.write_text("a.wav\n./a.wav\n../music/a.wav\nlink/../b.wav\nno/../a.wav\n")
    found = [source.path for source in sources.read_list(listing)]
    music = str(tmp_path / "music" / "a.wav")
    assert found == [music, music, music, str(tmp_path / "far" / "b.wav"), music]


def test_a_folder_that_cannot_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a/1.wav", "b/2.wav"):
        audio(tmp_path / name)
    scandir = os.scandir

    def refuse(path: str) -> object:  # as for a user without permission; a superuser has it
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert names(sources.find_audio(tmp_path)) == ["2.wav"]
    assert f"cannot list {tmp_path / 'a'} (Permission denied)" in capsys.readouterr().err
