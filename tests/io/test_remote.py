"""URLs and the files at them."""

import errno
import subprocess
import sys
import uuid
from pathlib import Path

import fsspec
import pytest

from ssl_audio.io import remote
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.remote import Url, local_copy, location, remote_files, remote_stamp


def test_urls_of_files_are_local_paths():
    assert location("file:///a%20b/c.wav") == Path("/a b/c.wav")
    assert location("s3://bucket/a/") == "s3://bucket/a"
    for text in ("/a", "a.wav", "file://host/a", "file:", "s3:/a", "s3://a\0", ""):
        with pytest.raises(ValueError):
            location(text)


def test_files_are_listed_copied_and_their_changes_noticed():
    root = Url(f"memory://{uuid.uuid4().hex}/music")
    memory = fsspec.filesystem("memory")
    for name, data in (("b.wav", b"12"), ("x/a.wav", b"345")):
        memory.pipe_file(root.below(name), data)
    found = remote_files(root)
    assert [(one.relative, one.size) for one in found] == [("b.wav", 2), ("x/a.wav", 3)]
    assert [remote_stamp(one.url) for one in found] == [one[2:] for one in found]
    with local_copy(found[1].url) as path:
        assert path.read_bytes() == b"345" and path.suffix == ".wav"
    assert not path.exists()
    (alone,) = remote_files(found[0].url)
    assert alone.relative == "" and alone.url == found[0].url
    assert remote_files(root.beside("nothing")) == []
    memory.pipe_file(root.below("b.wav"), b"21")
    assert remote_files(root)[0].mtime_ns != found[0].mtime_ns


def test_an_etag_is_part_of_the_time():
    details = {"size": 1, "LastModified": "2026-01-02T03:04:05+00:00"}
    stamps = {remote._stamp({**details, "ETag": tag})[1] for tag in ("a", "b", "c")}
    assert len(stamps) == 3 and len({stamp // 10**9 for stamp in stamps}) == 1


def test_errors_are_those_of_files(monkeypatch):
    class Refusing:
        def info(self, path):
            raise PermissionError("Access Denied")

    monkeypatch.setattr(remote, "_opened", lambda url: (Refusing(), "x"))
    with pytest.raises(PermissionError, match="Access Denied") as refused:
        remote_stamp(Url("s3://bucket/x"))
    assert refused.value.errno == errno.EACCES
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError) as missing:
        remote_stamp(Url("memory://nothing/x"))
    assert missing.value.errno == errno.ENOENT
    with pytest.raises(SslAudioError, match="nosuch://x: .*nosuch"):
        remote_files(Url("nosuch://x"))


def test_local_paths_do_not_import_fsspec():
    code = """
import sys
import ssl_audio.io.remote, ssl_audio.settings.embed
with ssl_audio.io.remote.local_copy(sys.executable) as path:
    assert str(path) == sys.executable
assert ssl_audio.settings.embed.EmbedSettings(source="a", checkpoint="b", output="c.parquet")
sys.exit("fsspec" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
