"""Stores at URLs: what is transferred, in which order, and what a reader sees meanwhile."""

import json
import uuid

import fsspec
import numpy as np
import pytest

from ssl_audio.io import remote as files
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.remote import Url
from ssl_audio.stores import remote
from ssl_audio.stores.columns import Row
from ssl_audio.stores.failures import Failure
from ssl_audio.stores.feature_store import read_store
from ssl_audio.stores.remote import fetched, published
from ssl_audio.stores.writer import Store, write_store

ABOUT = {"kind": "embedding", "model": "m"}


@pytest.fixture
def url(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_AUDIO_CACHE", str(tmp_path / "cache"))
    return Url(f"memory://{uuid.uuid4().hex}/f.parquet")


def machine(monkeypatch, tmp_path, name):
    """Another machine has another cache."""
    monkeypatch.setenv("SSL_AUDIO_CACHE", str(tmp_path / name))


def row(track, value):
    return Row(track, track, 1.0, f"{track}{value}", np.full(4, value, np.float32))


def write(url, *rows, failed=(), dropped=()):
    """A run that adds rows."""
    with published(url) as output, Store(output.path, ABOUT) as store:
        for one in rows:
            store.add(one)
        store.failures.update({track: Failure(track, track, "damaged", True) for track in failed})
        store.flush()
        store.append([], dropped)
        store.close()
        (output.path / "_run.json").write_text(json.dumps(sorted(store.records)))


def content(url):
    stored = read_store(fetched(url))
    return dict(zip(stored.ids, stored.vectors[:, 0].tolist(), strict=True))


def names(url):
    root = url.removeprefix("memory:/")
    found = fsspec.filesystem("memory").find(root.rpartition("/")[0])
    return sorted(name.rpartition("/")[2] for name in found)


def recorded(monkeypatch, between=lambda: None):
    """Names of the files that are transferred; `between` is called before each and at the end."""
    done = []

    def wrapped(kind, function, place):
        def call(*arguments):
            between()
            done.append((kind, arguments[place].name))
            function(*arguments)
            between()

        return call

    for kind, place in (("upload", 1), ("remove", 0), ("download", 0)):
        monkeypatch.setattr(remote, kind, wrapped(kind, getattr(files, kind), place))
    return done


def test_runs_on_several_machines_go_on_from_each_other(url, tmp_path, monkeypatch):
    write(url, row("a", 1), row("b", 2), failed=["c"])
    assert content(url) == {"a": 1, "b": 2}
    machine(monkeypatch, tmp_path, "other")
    write(url, row("a", 3), row("d", 4), dropped=["b"])
    assert content(url) == {"a": 3, "d": 4}
    machine(monkeypatch, tmp_path, "cache")
    assert content(url) == {"a": 3, "d": 4}
    with published(url) as output, Store(output.path, ABOUT) as store:
        assert set(store.failures) == {"c"}
    live = sum(name.startswith("part-") for name in names(url))
    assert live == len(json.loads((fetched(url) / "_manifest.json").read_text())["parts"])
    assert {"_manifest.json", "_failures.json", "_run.json", "f-failures.csv"} <= set(names(url))


def test_only_what_has_changed_is_transferred_and_the_manifest_last(url, monkeypatch):
    write(url, row("a", 1))
    done = recorded(monkeypatch)
    write(url, row("b", 2))
    kinds = [(kind, "part" if name.startswith("part-") else name) for kind, name in done]
    assert kinds == [("upload", "part"), ("upload", "_run.json"), ("upload", "_manifest.json")]
    done.clear()
    write(url)
    assert done == []
    write(url, dropped=["a"])  # its part is removed after the manifest that does not name it
    order = [(kind, name[:5]) for kind, name in done]
    assert order.index(("upload", "_mani")) < order.index(("remove", "part-"))


def test_a_reader_sees_the_store_before_or_after_a_run_at_every_moment(url, tmp_path, monkeypatch):
    write(url, row("a", 1), row("b", 1))
    seen = []

    def look():
        with monkeypatch.context() as patch:  # a reader that has no copy yet
            patch.setenv("SSL_AUDIO_CACHE", str(tmp_path / f"reader{len(seen)}"))
            patch.setattr(remote, "download", files.download)
            seen.append(content(url))

    recorded(monkeypatch, look)
    write(url, row("a", 2), row("c", 2), failed=["d"], dropped=["b"])
    assert seen[0] == {"a": 1, "b": 1} and seen[-1] == {"a": 2, "c": 2}
    assert all(one in (seen[0], seen[-1]) for one in seen) and len(seen) >= 8


@pytest.mark.parametrize("stop", range(6))
def test_an_upload_that_is_cut_off_is_repaired_by_the_next_run(url, stop, tmp_path, monkeypatch):
    write(url, row("a", 1))
    with monkeypatch.context() as patch:
        count = iter(range(100))

        def cut():
            if next(count) >= stop:
                raise OSError(5, "the network is down", str(url))

        recorded(patch, cut)
        with pytest.raises(SslAudioError, match="the network is down"):
            write(url, row("b", 2), failed=["c"])
    assert content(url) in ({"a": 1}, {"a": 1, "b": 2})
    if stop % 2:  # the run goes on elsewhere
        machine(monkeypatch, tmp_path, "other")
    write(url, row("b", 2), row("d", 3))
    assert content(url) == {"a": 1, "b": 2, "d": 3}


def test_what_was_finished_before_an_error_is_uploaded(url):
    with pytest.raises(KeyboardInterrupt), published(url) as output:
        with Store(output.path, ABOUT) as store:
            store.add(row("a", 1))
            raise KeyboardInterrupt
    assert content(url) == {"a": 1}


def test_a_long_run_uploads_now_and_then(url, monkeypatch):
    monkeypatch.setattr(remote, "PUSH_EVERY", 0.0)
    with published(url) as output, Store(output.path, ABOUT, group=1) as store:
        store.add(row("a", 1))
        output.save()
        assert content(url) == {"a": 1}
        store.add(row("b", 2))
    assert content(url) == {"a": 1, "b": 2}


def test_two_writers_do_not_mix(url, tmp_path, monkeypatch):
    write(url, row("a", 1))
    with pytest.raises(SslAudioError, match="changed by another process"):
        with published(url) as output:
            with Store(output.path, ABOUT) as store:
                store.add(row("b", 2))
            with monkeypatch.context() as patch:
                machine(patch, tmp_path, "other")
                write(url, row("c", 3))
    assert content(url) == {"a": 1, "c": 3}
    write(url, row("d", 4))  # the copy of the first writer follows
    assert content(url) == {"a": 1, "c": 3, "d": 4}
    with published(url), pytest.raises(SslAudioError, match="another process is writing"):
        write(url, row("e", 5))


def test_a_store_that_was_removed_or_replaced_is_noticed(url, tmp_path):
    write(url, row("a", 1))
    memory = fsspec.filesystem("memory")
    memory.rm(url.removeprefix("memory:/"), recursive=True)
    with pytest.raises(SslAudioError, match="no such store"):
        fetched(url)
    with pytest.raises(SslAudioError, match="named NAME.parquet"):
        fetched(Url("memory://bucket/.."))
    write(url, row("b", 2))
    assert content(url) == {"b": 2}


def test_a_store_of_one_file_is_read(url, tmp_path):
    write_store(tmp_path / "f.parquet", ABOUT, [row("a", 1)])
    files.upload(tmp_path / "f.parquet", url)
    assert content(url) == {"a": 1}
    write_store(tmp_path / "f.parquet", ABOUT, [row("b", 2)])
    files.upload(tmp_path / "f.parquet", url)
    assert content(url) == {"b": 2}
    with pytest.raises(SslAudioError, match="of one file"):
        write(url, row("b", 2))
