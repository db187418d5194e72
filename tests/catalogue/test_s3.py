"""Commands with URLs, against a local S3 server (moto)."""

import csv
import io
import json

import numpy as np
import pytest
import soundfile

from ssl_audio import embed, search
from ssl_audio.io.console import SOME_FAILED
from ssl_audio.io.remote import Url
from ssl_audio.models.encoder import build_encoder
from ssl_audio.stores.feature_store import read_store
from ssl_audio.stores.remote import fetched

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
        return status, json.loads((tmp_path / "run.json").read_text())

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
