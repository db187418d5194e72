"""The embed command as a user runs it."""

import csv
import io
import json
import os
import re
import signal
import sys
import time
from importlib.util import find_spec

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from processes import start

from ssl_audio import embed, load_encoder
from ssl_audio.catalogue import embedding
from ssl_audio.io.console import SOME_FAILED
from ssl_audio.models import runtime as models_runtime
from ssl_audio.models.encoder import build_encoder
from ssl_audio.stores.feature_store import read_about, read_segments, read_store

needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="no openvino")
LAYOUTS = [("wav", 8_000, 1), ("flac", 44_100, 2), ("ogg", 48_000, 1), ("wav", 192_000, 2),
           ("wav", 22_050, 6), ("mp3", 32_000, 2)]  # fmt: skip


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder") / "encoder"
    build_encoder(backbone="test_resnet", embedding_size=32, segment=1.0).save(folder, card="")
    return folder


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """A good file of each layout and 1 to 6 s, in two folders, and two damaged ones."""
    folder = tmp_path_factory.mktemp("music")
    (folder / "more").mkdir()
    for k, (form, rate, channels) in enumerate(LAYOUTS):
        noise = np.random.default_rng(k).normal(0, 0.1, (int((k + 0.7) * rate), channels))
        soundfile.write(folder / ("more" if k % 2 else "") / f"{k}.{form}", noise, rate)
    (folder / "broken.wav").write_bytes(b"RIFF nothing of use")
    (folder / "empty.mp3").write_bytes(b"")
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch, encoder_folder, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        status = embed.main([f"checkpoint={encoder_folder}", *words])
        return status, capsys.readouterr().err

    return run


@pytest.mark.parametrize("runtime", ["torch", pytest.param("openvino", marks=needs_openvino)])
def test_embeddings_equal_embed_file_and_failures_are_listed(
    run, music, encoder_folder, tmp_path, runtime
):
    status, said = run(
        f"source={music}", "output=f.parquet", "segments=true", "hop=0.5", f"runtime={runtime}"
    )
    assert status == SOME_FAILED, said
    assert "2 files failed" in said and "6 tracks" in said
    stored = read_store("f.parquet")
    assert stored.ids == ["0.wav", "2.ogg", "4.wav", "more/1.flac", "more/3.wav", "more/5.mp3"]
    encoder = load_encoder(encoder_folder)
    for (track, times, segments), vector in zip(
        read_segments("f.parquet"), stored.vectors, strict=True
    ):
        expected = encoder.embed_file(music / track, hop=0.5)
        np.testing.assert_allclose(vector, expected.track, atol=1e-5)
        np.testing.assert_allclose(segments, expected.segments, atol=1e-5)
        np.testing.assert_array_equal(times, expected.times)
    failures = list(csv.DictReader((tmp_path / "f-failures.csv").open()))
    assert [f["id"] for f in failures] == ["broken.wav", "empty.mp3"]
    assert all(f["reason"] for f in failures)
    assert read_about("f.parquet")["model"] == encoder.weights_hash


def test_the_same_rows_whatever_the_workers_and_batches(run, music):
    run(f"source={music}", "output=one.parquet", "workers=1", "batch_size=32", "group=100")
    run(f"source={music}", "output=two.parquet", "workers=3", "batch_size=2", "group=1")
    one, two = read_store("one.parquet"), read_store("two.parquet")
    assert one.ids == two.ids
    np.testing.assert_allclose(one.vectors, two.vectors, atol=1e-5)


def test_bfloat16_and_float16_stay_close(run, music):
    run(f"source={music}", "output=full.parquet")
    run(f"source={music}", "output=half.parquet", "precision=bfloat16", "dtype=float16")
    full, half = read_store("full.parquet").vectors, read_store("half.parquet").vectors
    norms = np.linalg.norm(full, axis=1) * np.linalg.norm(half, axis=1)
    assert ((full * half).sum(1) / norms).min() > 0.99


@needs_openvino
def test_int8_is_calibrated_by_the_source_and_stays_close(run, music, tmp_path, monkeypatch):
    pytest.importorskip("nncf", reason="NNCF is not installed")
    source, words = f"source={music}", ["precision=int8", "runtime=openvino"]
    run(source, "output=full.parquet")
    status, said = run(source, "output=int8.parquet", *words)
    assert status == SOME_FAILED and "9 segments\n" in said, said  # half of what there is
    assert re.search(r"int8: mean cosine to float32 (0\.99|1\.00)", said), said
    full, found = read_store("full.parquet").vectors, read_store("int8.parquet").vectors
    norms = np.linalg.norm(full, axis=1) * np.linalg.norm(found, axis=1)
    assert ((full * found).sum(1) / norms).mean() > 0.99
    assert np.abs(full - found).max() > 1e-4 * np.abs(full).max()
    # the same once more, of a stream
    names = "\n".join(str(music / track) for track in read_store("full.parquet").ids)
    monkeypatch.setattr(sys, "stdin", io.StringIO(names))
    assert run("source=-", "output=again.parquet", *words)[0] == 0
    np.testing.assert_array_equal(read_store("again.parquet").vectors, found)
    # rows of another precision do not mix with these
    status, said = run(source, "output=int8.parquet", "precision=bfloat16")
    assert status == 1 and "precision=int8, not with precision=bfloat16" in said
    monkeypatch.setattr(models_runtime, "MIN_COSINE", 1.1)
    status, said = run(source, "output=far.parquet", *words)
    assert status == 1 and "below 1.1: use bfloat16" in said
    assert not (tmp_path / "far.parquet").exists()
    assert not any(name.startswith("openvino_telemetry.") for name in sys.modules)


@needs_openvino
@pytest.mark.parametrize(("min_tracks", "runtime"), [(1000, "torch"), (1, "openvino")])
def test_the_runtime_is_chosen_by_the_number_of_tracks_and_recorded(
    run, music, tmp_path, monkeypatch, min_tracks, runtime
):
    monkeypatch.setattr(embedding, "MIN_OPENVINO_TRACKS", min_tracks)
    run(f"source={music / '0.wav'}", "output=f.parquet")
    recorded = json.loads((tmp_path / "f.parquet" / "_run.json").read_text())
    assert recorded["config"]["runtime"] == runtime
    assert recorded["config"]["source"] == str(music / "0.wav")


def test_the_same_command_resumes_and_adds_new_tracks(run, music, tmp_path):
    folder = tmp_path / "growing"
    folder.mkdir()
    (folder / "0.wav").write_bytes((music / "0.wav").read_bytes())
    assert run(f"source={folder}", "output=f.parquet")[0] == 0
    status, said = run(f"source={folder}", "output=f.parquet")
    assert status == 0 and "up to date" in said
    (folder / "2.ogg").write_bytes((music / "2.ogg").read_bytes())
    assert run(f"source={folder}", "output=f.parquet")[0] == 0
    assert read_store("f.parquet").ids == ["0.wav", "2.ogg"]
    status, said = run(f"source={folder}", "output=f.parquet", "hop=0.5")
    assert status == 1 and said.splitlines()[-1].startswith("error:") and "hop" in said


def test_lists_and_standard_input(run, music, tmp_path, monkeypatch):
    names = [str(music / "0.wav"), str(music / "2.ogg"), str(music / "0.wav")]
    (music / "list.txt").write_text("\n".join(names))
    assert run(f"source={music / 'list.txt'}", "output=a.parquet")[0] == 0
    assert read_store("a.parquet").ids == ["0.wav", "2.ogg"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(names)))
    assert run("source=-", "output=b.parquet", "runtime=torch")[0] == 0
    assert read_store("b.parquet").ids == names[:2]
    assert run(f"source={music / '0.wav'}", "output=c.parquet")[0] == 0
    assert read_store("c.parquet").ids == ["0.wav"]


@pytest.mark.parametrize("name", ["Motörhead, (live) it's", 'a=[b]{c}$HOME #1 "q"', "2020", "null"])
def test_names_are_literal(run, music, tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / f"{name}.wav").write_bytes((music / "0.wav").read_bytes())
    output = tmp_path / f"{name}.parquet"
    status, said = run(f"source={folder}", f"output={output.name}", "runtime=torch")
    assert status == 0, said
    assert read_store(output).ids == [f"{name}.wav"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["source=/nowhere", "output=f.parquet"], "/nowhere"),
        (["source=MUSIC"], "output= is required"),
        (["source=MUSIC", "output=f.pkl"], "NAME.parquet"),
        (["source=MUSIC", "output=f.csv"], ".parquet"),
        (["source=MUSIC", "output=MUSIC/0.wav/f.parquet"], "0.wav"),
        (["source=MUSIC", "output=nosuch://bucket/f.parquet"], "nosuch://bucket/f.parquet"),
        (["source=MUSIC", "output=s3://bucket/f.csv"], "output=s3://bucket/f.csv: a feature store"),
        (["source=MUSIC", "output=f.parquet", "report=s3://b/r.json"], "r.json: a local path"),
        (["source=MUSIC", "output=null"], "output=null: a feature store is named"),
        (["source=nosuch://bucket", "output=f.parquet"], "nosuch://bucket"),
        (["source=MUSIC", "output=f.parquet", "precision=int8"], "bfloat16"),
        (["source=MUSIC", "output=f.parquet", "precison=bfloat16"], "Did you mean precision?"),
        (["source=MUSIC", "output=f.parquet", "runtime=tensorrt"], "openvino"),
        (["source=MUSIC", "output=f.parquet", "hop=-1"], "hop"),
        (["source=MUSIC", "output=f.parquet", "hop=fast"], "hop"),
        (["source=MUSIC", "output=f.parquet", "engine=spark"], "ray"),
        (["source=MUSIC", "output=f.parquet", "wrokers=1"], "Did you mean workers?"),
        (["source=MUSIC", "output=f.parquet", "workers=1.5"], "workers=1.5: a whole number"),
        (["source=MUSIC", "output=f.parquet", "batch_size=null"], "batch_size=null: a whole"),
        (["source=MUSIC", "output=f.parquet", "max_failed=1.5"], "max_failed=1.5: a number"),
        (["source=MUSIC", "output=f.parquet", "shard=4/3"], "shard=4/3: NUMBER/COUNT"),
        (["source=MUSIC", "output=f.parquet", "group=0"], "group=0: a whole number, 1 or more"),
        (["source=MUSIC", "output=f.parquet", "dtype=int8"], "float16"),
        (["source=MUSIC", "output=f.parquet", "checkpoint=null"], "null"),
        (["source=MUSIC", "output=f.parquet", "checkpoint=[a,b]"], "[a,b]"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(run, music, tmp_path, words, said):
    before = [*tmp_path.iterdir(), *music.rglob("*")]
    status, err = run(*[word.replace("MUSIC", str(music)) for word in words])
    assert status == 1 and err.startswith("error:") and err.count("\n") == 1
    assert said in err
    assert [*tmp_path.iterdir(), *music.rglob("*")] == before


def test_unreadable_music_is_one_line_and_the_same_command_works_afterwards(run, tmp_path, music):
    (tmp_path / "music").mkdir()
    track = tmp_path / "music" / "0.wav"
    track.write_bytes(b"RIFF nothing of use")
    status, said = run("source=music", "output=f.parquet", "runtime=torch")
    assert status == 1 and "f-failures.csv" in said.splitlines()[-1]
    track.write_bytes((music / "0.wav").read_bytes())
    assert run("source=music", "output=f.parquet", "runtime=torch")[0] == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.parquet", "music"]


@pytest.mark.skipif(os.name != "posix", reason="pipes and symbolic links")
def test_what_is_no_file_fails_once(run, music, tmp_path):
    """Later nights name it, but have nothing to do; a file in its place is embedded."""
    folder = tmp_path / "music"
    folder.mkdir()
    (folder / "0.wav").write_bytes((music / "0.wav").read_bytes())
    os.mkfifo(folder / "pipe.wav")
    (folder / "loop.wav").symlink_to("loop.wav")
    (folder / "nowhere.wav").symlink_to("nothing.wav")
    words = ["source=music", "output=f.parquet", "runtime=torch"]
    status, said = run(*words)
    assert status == SOME_FAILED and "3 files failed: " in said
    before = (tmp_path / "f.parquet" / "_failures.json").read_bytes()
    status, said = run(*words)
    assert status == 0 and "up to date" in said and "3 files failed (3 of them before)" in said
    assert (tmp_path / "f.parquet" / "_failures.json").read_bytes() == before
    assert run(*words, "retry_failed=true")[0] == SOME_FAILED
    (folder / "pipe.wav").unlink()
    (folder / "pipe.wav").write_bytes((music / "2.ogg").read_bytes())
    status, said = run(*words)
    assert status == 0 and "1 new" in said and "2 files failed (2 of them before)" in said


@pytest.mark.parametrize(
    "content",
    ["{", "[1]", '[{"id": "a"}]', '[{"id": "a", "path": 5, "reason": null}]', "[" * 100_000,
     '[{"id": "a", "path": "b", "reason": "c", "tries": "x"}]'],
)  # fmt: skip
def test_damaged_failures_are_one_line(run, music, tmp_path, content):
    words = [f"source={music / '0.wav'}", "output=f.parquet", "runtime=torch"]
    assert run(*words)[0] == 0
    (tmp_path / "f.parquet" / "_failures.json").write_text(content)
    status, said = run(*words)
    assert status == 1 and said.count("\n") == 1 and "_failures.json is damaged: remove it" in said


def test_a_store_is_kept_from_night_to_night(run, music, tmp_path):
    folder = tmp_path / "music"
    folder.mkdir()
    for name in ("0.wav", "2.ogg"):
        (folder / name).write_bytes((music / name).read_bytes())
    (folder / "broken.wav").write_bytes(b"RIFF nothing of use")
    soundfile.write(folder / "silent.wav", np.zeros(16_000), 16_000)
    words = ["source=music", "output=f.parquet", "runtime=torch", "report=run.json"]
    assert run(*words)[0] == SOME_FAILED
    frame = pq.read_table("f.parquet").to_pandas().set_index("id")
    assert frame["note"].map(bool).to_dict() == {"0.wav": 0, "2.ogg": 0, "silent.wav": 1}
    status, said = run(*words)  # a failure that lasts is not tried again
    assert status == 0 and "up to date" in said and "1 files failed (1 of them before)" in said
    report = json.loads((tmp_path / "run.json").read_text())
    assert report["up_to_date"] and report["failed"] == 1 and report["tracks"] == 3
    assert run(*words, "retry_failed=true")[0] == SOME_FAILED
    assert run(*words, "retry_failed=true", "max_failed=25%")[0] == 0
    (folder / "2.ogg").rename(folder / "moved.ogg")
    (folder / "0.wav").write_bytes((music / "4.wav").read_bytes())
    (folder / "silent.wav").unlink()
    before = read_store("f.parquet")
    assert run(*words)[0] == 0
    after = read_store("f.parquet")
    vectors = dict(zip(after.ids, after.vectors, strict=True))
    np.testing.assert_array_equal(vectors["moved.ogg"], before.vectors[before.ids.index("2.ogg")])
    assert np.abs(vectors["0.wav"] - before.vectors[before.ids.index("0.wav")]).max() > 1e-3
    frame = pq.read_table("f.parquet").to_pandas().set_index("id")
    assert frame["state"].to_dict() == {"0.wav": "", "moved.ogg": "", "silent.wav": "deleted"}
    assert run(*words, "deleted=drop")[0] == 0
    assert sorted(read_store("f.parquet").ids) == ["0.wav", "moved.ogg"]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_was_stopped_is_resumed(run, encoder_folder, tmp_path, how):
    folder = tmp_path / "music"
    folder.mkdir()
    for k in range(60):
        noise = np.random.default_rng(k).normal(0, 0.1, 16_000 * 12)
        soundfile.write(folder / f"{k:03d}.flac", noise, 16_000)
    words = [f"source={folder}", "output=f.parquet", "group=5", "workers=1"]
    process = start(embed.main, [f"checkpoint={encoder_folder}", *words])
    store = tmp_path / "f.parquet"
    while len(list(store.glob("part-*.parquet"))) < 2 and process.is_alive():
        time.sleep(0.02)
    os.kill(process.pid, how)
    process.join(60)
    expected = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}
    assert process.exitcode == expected[how]
    assert 5 <= len(read_store(store).ids) < 60  # the second part may not be in the manifest
    status, said = run(*words)
    assert status == 0 and "tracks were there before" in said
    found = read_store("f.parquet")
    assert found.ids == [f"{k:03d}.flac" for k in range(60)]
    encoder = load_encoder(encoder_folder)
    for k in (0, 30, 59):
        expected = encoder.embed_file(folder / found.ids[k]).track
        np.testing.assert_allclose(found.vectors[k], expected, atol=1e-5)


def test_structured_logs_count_tracks_and_name_failures(encoder_folder, music, tmp_path, capsys):
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(str(music / name) for name in ("0.wav", "broken.wav")))
    words = [f"checkpoint={encoder_folder}", f"source={listed}", "log=json"]
    status = embed.main([*words, f"output={tmp_path / 'f.parquet'}"])
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    events = {one["event"]: one for one in said}
    assert [one["event"] for one in said[:2]] == ["start", "progress"]
    assert events["failure"]["path"] == str(music / "broken.wav") and events["failure"]["reason"]
    assert events["summary"]["computed"] == events["summary"]["failed_now"] == 1
    assert events["end"]["status"] == status == SOME_FAILED
    assert max(one["done"] for one in said if one["event"] == "progress") == 2
    embed.main([*words, "wrong=1"])
    assert json.loads(capsys.readouterr().err.splitlines()[0])["event"] == "error"
