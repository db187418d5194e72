"""The search command as a user runs it."""

import csv
import io

import numpy as np
import soundfile

from ssl_audio import embed, search
from ssl_audio.models.encoder import build_encoder


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    build_encoder(segment=1.0, embedding_size=32).save(tmp_path / "encoder", card="")
    (tmp_path / "music").mkdir()
    for k in range(6):
        tone = np.sin(2 * np.pi * 200 * (k + 1) * np.arange(32_000) / 16_000)
        soundfile.write(tmp_path / "music" / f"{k}.wav", 0.3 * tone, 16_000)
    soundfile.write(tmp_path / "copy.flac", 0.3 * tone, 16_000)
    assert embed.main(["source=music", "checkpoint=encoder", "output=f.parquet"]) == 0
    capsys.readouterr()
    assert search.main(["index=f.parquet", "query=copy.flac", "k=3"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 3 and rows[0]["id"] == "5.wav" and float(rows[0]["similarity"]) > 0.999
    assert search.main(["index=f.parquet", "query=5.wav", "k=2"]) == 0
    assert "5.wav," not in capsys.readouterr().out
    build_encoder(segment=1.0, embedding_size=32).save(tmp_path / "other", card="")
    for words, said in (
        (["query=copy.flac", "checkpoint=other"], "another encoder"),
        (["query=/nowhere.wav"], "/nowhere.wav"),
        (["query=5.wav", "k=0"], "k=0"),
    ):
        assert search.main(["index=f.parquet", *words]) == 1
        assert said in capsys.readouterr().err.splitlines()[-1]
