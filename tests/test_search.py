"""The search command as a user runs it."""

import csv
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from ssl_audio import embed, search
from ssl_audio.io.console import SOME_FAILED
from ssl_audio.io.csv_file import plain_cell
from ssl_audio.models.encoder import build_encoder
from ssl_audio.stores.columns import Row
from ssl_audio.stores.writer import Store, write_store

# ids and file names that a shell, YAML or Hydra would read as something else
LITERAL = ["1e3", "null", "true", "2020", "Hungarian_Dance_(x).ogg", "Motörhead, (live) it's",
           "a=b", "a=[b", "{x: y}", "${HOME}", "#1", '"quoted"', " x ", "!~&;", "日本", "-",
           "k=3", "--help=1"]  # fmt: skip

VECTORS = np.random.default_rng(0).normal(size=(len(LITERAL), 8)).astype(np.float32)
ROWS = [Row(name, f"/m/{name}", 1.0, "", v) for name, v in zip(LITERAL, VECTORS, strict=True)]


def run(capsys, *words):
    status = search.main(list(words))
    captured = capsys.readouterr()
    return status, list(csv.DictReader(io.StringIO(captured.out))), captured.err


@pytest.fixture
def index(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_store(tmp_path / "f.parquet", {"kind": "acoustic, pca", "model": "abc"}, ROWS)


@pytest.mark.parametrize("query", LITERAL)
def test_ids_are_literal(index, capsys, query):
    status, rows, said = run(capsys, "index=f.parquet", f"query={query}", "k=100")
    assert status == 0, said
    assert {row["id"] for row in rows} == {plain_cell(name) for name in LITERAL} - {
        plain_cell(query)
    }


def test_many_queries(index, tmp_path, capsys):
    """Each as it would be alone; what is wrong with one is said with its line."""
    _, expected, _ = run(capsys, "index=f.parquet", "query=2020", "k=3")
    (vector,) = (row.vector for row in ROWS if row.id == "2020")
    (tmp_path / "lists").mkdir()
    np.save(tmp_path / "lists" / "v.npy", vector)
    np.save(tmp_path / "lists" / "short.npy", vector[:3])
    numbers = ",".join(map(str, vector))
    lines = ["2020", "", "v.npy", numbers, "none", "short.npy", "1,2,x", "日本", "1,nan", "null"]
    (tmp_path / "lists" / "q.txt").write_text("\n".join(lines))
    status, rows, said = run(capsys, "index=f.parquet", "queries=lists/q.txt", "k=3")
    assert status == SOME_FAILED
    assert [row["query"] for row in rows[::3]] == ["2020", "v.npy", numbers, "日本", "null"]
    assert [{**row, "query": "2020"} for row in rows[:3]] == [
        {"query": "2020", **row} for row in expected
    ]
    for start in (3, 6):  # the vector of a track finds the track itself
        assert [row["id"] for row in rows[start : start + 3]] == [
            "2020", *(row["id"] for row in expected[:2])
        ]  # fmt: skip
    for line, reason in ((5, "none: no such file"), (6, r"short.npy is of shape [3], but a vector"),
                         (7, "1,2,x: no such file"), (9, "1,nan: no such")):  # fmt: skip
        assert f"warning: lists/q.txt, line {line}: {reason}" in said
    assert said.count("\n") == 4


def test_prefix_and_deleted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with Store(tmp_path / "f.parquet", {"kind": "acoustic, pca", "model": "abc"}) as store:
        for row in ROWS:
            store.add(row)
        store.flush()
        gone = store.records["2020"]._replace(state="deleted")
        store.revise([("2020", "2020", gone)])
        store.close()
    words = ["index=f.parquet", "query=1e3", "k=100"]
    ids = [row["id"] for row in run(capsys, *words)[1]]
    assert "2020" not in ids and len(ids) == len(ROWS) - 2
    assert len(run(capsys, *words, "deleted=true")[1]) == len(ROWS) - 1
    assert {row["id"] for row in run(capsys, *words, "prefix=a=", "approximate=true")[1]} == {
        "a=b", "a=[b",
    }  # fmt: skip
    assert run(capsys, *words, "prefix=nothing")[:2] == (0, [])
    assert run(capsys, words[0], "query=2020", "k=1")[0] == 0


def test_files_and_ids(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    build_encoder(backbone="test_resnet", embedding_size=32, segment=1.0).save(
        tmp_path / "encoder", card=""
    )
    (tmp_path / "music").mkdir()
    for k in range(6):
        tone = np.sin(2 * np.pi * 200 * (k + 1) * np.arange(32_000) / 16_000)
        soundfile.write(tmp_path / "music" / f"{k}.wav", 0.3 * tone, 16_000)
    copy = "it's a [copy] = {5}, #1 ($x) ü.flac"
    soundfile.write(tmp_path / copy, 0.3 * tone, 16_000)
    assert embed.main(["source=music", "checkpoint=encoder", "output=f.parquet"]) == 0
    capsys.readouterr()
    status, rows, _ = run(capsys, "index=f.parquet", f"query={copy}", "k=3")
    assert status == 0 and [row["rank"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["id"] == "5.wav" and float(rows[0]["similarity"]) > 0.999
    status, rows, _ = run(capsys, "index=f.parquet", "query=5.wav", "k=2")
    assert status == 0 and "5.wav" not in {row["id"] for row in rows}
    build_encoder(backbone="test_resnet", embedding_size=32, segment=1.0).save(
        tmp_path / "other", card=""
    )
    status, _, said = run(capsys, "index=f.parquet", f"query={copy}", "checkpoint=other")
    assert status == 1 and "another encoder" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["query=/nowhere.wav"], "/nowhere.wav: no such file"),
        (["query=" + "x" * 5000], "no such file"),
        (["query=1e3", "k=0"], "k=0: a whole number, 1 or more"),
        (["query=1e3", "k=null"], "k=null: a whole number"),
        (["query=1e3", "k=2.5"], "k=2.5: a whole number"),
        (["query=1e3", "+k=2"], "k=2"),
        (["query=1e3", "approx=true"], "Did you mean approximate?"),
        (["query=1e3", "index=nosuch://bucket/f.parquet"], "nosuch://bucket/f.parquet: "),
        (["query=1e3", "index=f.npy"], "f.npy"),
        (["query=1e3", "index=empty.parquet"], "query=1e3: no such file, and no track of empty"),
        (["query=f.parquet", "index=odd.parquet"], "odd.parquet is damaged or no feature store: "),
        (["query=f.parquet"], "holds no embeddings"),
        (["query=1,2"], "query=1,2 is of shape [2], but a vector of the store of shape [8]"),
        (["queries=f.npy"], "f.npy has no query"),
        (["queries=none.txt"], "none.txt: No such file"),
        (["queries=f.npy", "query=1e3"], "query=1e3: give this or queries="),
        ([], "query=: give this or queries="),
    ],
)
def test_bad_input_is_one_line(index, tmp_path, capsys, words, said):
    (tmp_path / "f.npy").write_bytes(b"")
    table = pa.table({"id": ["a"], "path": ["a"], "embedding": [[1.0]]})
    pq.write_table(table[:0], tmp_path / "empty.parquet")
    pq.write_table(table.replace_schema_metadata({"ssl_audio": "{"}), tmp_path / "odd.parquet")
    before = sorted(tmp_path.iterdir())
    given = [] if any(word.startswith("index=") for word in words) else ["index=f.parquet"]
    status, _, err = run(capsys, *given, *words)
    assert status == 1 and err.count("\n") == 1 and said in err, err
    assert sorted(tmp_path.iterdir()) == before
