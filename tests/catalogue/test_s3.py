"""Commands with URLs, against a local S3 server (moto)."""

import csv
import io
import json

import near_duplicates
import numpy as np
import pytest
import soundfile

from ssl_audio import acoustic, embed, search
from ssl_audio.io.console import SOME_FAILED
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.remote import Url
from ssl_audio.models.encoder import build_encoder
from ssl_audio.recommenders.data.collection import Catalogue, playlists_of
from ssl_audio.recommenders.data.store import store_playlists
from ssl_audio.recommenders.data.training_data import load_training_data
from ssl_audio.service.snapshot import Snapshot
from ssl_audio.settings.recommend import StoreSettings
from ssl_audio.settings.serve import ServeSettings
from ssl_audio.stores.columns import Row
from ssl_audio.stores.feature_store import read_store
from ssl_audio.stores.remote import fetched, published
from ssl_audio.stores.writer import Store

for package in ("s3fs", "moto", "flask_cors"):
    pytest.importorskip(package)


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """A client of an empty bucket, `music`, that s3:// reaches."""
    import boto3
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.get_host_and_port()[1]}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("SSL_AUDIO_CACHE", str(tmp_path / "cache"))
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    client.create_bucket(Bucket="music")
    yield client
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


def put(client, name, pitch):
    file = io.BytesIO()
    tone = np.sin(2 * np.pi * pitch * np.arange(16_000) / 16_000)
    soundfile.write(file, 0.3 * tone, 16_000, format="WAV")
    client.put_object(Bucket="music", Key=name, Body=file.getvalue())


def test_a_catalogue_and_its_stores_in_a_bucket(bucket, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    build_encoder(segment=1.0, embedding_size=32).save(tmp_path / "encoder", card="")
    for name, pitch in (("in/a.wav", 200), ("in/b/ü #1.wav", 400), ("in/.hidden.wav", 300)):
        put(bucket, name, pitch)
    bucket.put_object(Bucket="music", Key="in/bad.wav", Body=b"RIFF nothing of use")
    words = ["source=s3://music/in/", "checkpoint=encoder", "output=s3://music/out/f.parquet"]

    def night(*more):
        status = embed.main([*words, "report=run.json", *more])
        said = capsys.readouterr().err
        assert str(tmp_path) not in said, said  # the local copy is nothing to its user
        report = json.loads((tmp_path / "run.json").read_text())
        assert report["output"] == "s3://music/out/f.parquet"
        assert said.endswith("2 tracks: s3://music/out/f.parquet\n")
        assert ("s3://music/out/f-failures.csv" in said) == bool(report["failed"])
        return status, report

    status, first = night()
    assert status == SOME_FAILED and first["computed"] == 2 and first["failed_now"] == 1
    stored = read_store(fetched(Url("s3://music/out/f.parquet")))
    assert dict(zip(stored.ids, stored.paths, strict=True)) == {
        name: f"s3://music/in/{name}" for name in ("a.wav", "b/ü #1.wav")
    }
    put(bucket, "in/c.wav", 400)  # the same content as b
    put(bucket, "in/a.wav", 600)  # of the same size, perhaps within the same second
    bucket.delete_object(Bucket="music", Key="in/b/ü #1.wav")
    status, second = night("deleted=drop")
    assert status == 0 and second["changes"] | {"failed before": 1} == second["changes"]
    assert second["computed"] == 1 and second["changes"]["under another name"] == 1
    assert night("deleted=drop")[1]["up_to_date"]
    listed = bucket.list_objects_v2(Bucket="music", Prefix="out/")["Contents"]
    (table,) = [one["Key"] for one in listed if one["Key"].endswith(".csv")]
    failed = bucket.get_object(Bucket="music", Key=table)["Body"].read().decode()
    assert [row["path"] for row in csv.DictReader(io.StringIO(failed))] == ["s3://music/in/bad.wav"]

    capsys.readouterr()
    assert search.main(["index=s3://music/out/f.parquet", "query=a.wav"]) == 0
    assert "c.wav" in capsys.readouterr().out
    words = ["checkpoint=encoder", f"output=file://{tmp_path}/d.parquet"]
    assert embed.main(["source=s3://music/in/a.wav", *words]) == 0
    assert read_store("d.parquet").ids == ["a.wav"]
    assert embed.main(["source=s3://nothing", *words]) == 1
    assert "s3://nothing" in capsys.readouterr().err.splitlines()[-1]


def test_stores_in_a_bucket_are_read_by_other_commands(bucket, tmp_path):
    """Playlist models, the service and the list of near duplicates."""
    url, ids = Url("s3://music/acoustic.parquet"), [f"{k}.wav" for k in range(12)]
    vectors = np.random.default_rng(0).random((12, 8), np.float32)
    vectors[5] = vectors[4]
    with published(url) as output, Store(output.path, {"kind": "acoustic"}) as store:
        for track, vector in zip(ids, vectors, strict=True):
            store.add(Row(track, f"/m/{track}", 1.0, "", vector))
        store.close()
    lists = [[*range(k, k + 4)] for k in range(8)]
    store_playlists(playlists_of(lists), Catalogue(ids), tmp_path / "playlists.duckdb")
    data = load_training_data(
        tmp_path / "playlists.duckdb", tmp_path, StoreSettings(acoustic=url), min_weight=1, cold=0.0
    )
    np.testing.assert_array_equal(data.groups["acoustic"].values, vectors)

    snapshot = Snapshot(ServeSettings(features=url), lambda segments: None)
    assert snapshot.tracks.ids == ids
    assert near_duplicates.main([url, str(tmp_path / "near.csv")]) == 0
    assert "/m/5.wav,/m/4.wav,1.0000" in (tmp_path / "near.csv").read_text()
    missing = StoreSettings(audio=Url("s3://music/none.parquet"))
    with pytest.raises(SslAudioError, match="s3://music/none.parquet: no such store"):
        load_training_data(tmp_path / "playlists.duckdb", tmp_path, missing, min_weight=1, cold=0.0)


def test_acoustic_features_in_a_bucket_have_their_model_beside_them(bucket, tmp_path, capsys):
    """`acoustic` keeps the model at the URL; `serve` reads both there."""
    encoder = build_encoder(segment=0.25, embedding_size=16, backbone="test_resnet").eval()
    encoder.save(tmp_path / "encoder", card="")
    about = {"kind": "embedding", "model": encoder.weights_hash, "hop": None, "segment": 0.25,
             "checkpoint": str(tmp_path / "encoder")}  # fmt: skip
    vectors = np.random.default_rng(0).random((12, 16), np.float32)
    features, output = Url("s3://music/f.parquet"), Url("s3://music/a.parquet")
    with published(features) as made, Store(made.path, about) as store:
        for k, vector in enumerate(vectors):
            store.add(Row(f"{k}.wav", f"/m/{k}.wav", 1.0, "", vector))
        store.close()
    words = [f"features={features}", f"output={output}"]
    for fitted in (True, False):  # the second run applies the model of the first
        assert acoustic.main(words) == 0
        said = capsys.readouterr().err
        assert ("explained variance" in said) == fitted
        assert "model (pca): s3://music/a-model" in said and str(tmp_path) not in said
    assert acoustic.main([*words, "kind=siamese"]) == 1
    assert "s3://music/a-model is fitted already (pca)" in capsys.readouterr().err

    settings = ServeSettings(features=features, acoustic=output)
    found = Snapshot(settings, lambda segments: None).acoustic
    np.testing.assert_allclose(found.values, found.model.features(vectors), atol=1e-6)
    assert found.present.all() and np.ptp(found.values, axis=0).min() > 0.5
    bucket.put_object(Bucket="music", Key="a-model/model.safetensors", Body=b"damaged")
    with pytest.raises(SslAudioError, match="s3://music/a-model/model.safetensors is damaged"):
        Snapshot(settings, lambda segments: None)
