"""librosa where neither its own folder nor a home folder can be written to."""

import os
from pathlib import Path

import numba
import pytest
from numba.core import caching

from ssl_audio.io import cache, compiled_cache
from ssl_audio.io.errors import SslAudioError


@pytest.fixture
def read_only(monkeypatch):
    """Where numba finds no folder of its own, as in a read-only container."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [caching.UserProvidedCacheLocator])
    monkeypatch.setattr(compiled_cache, "_can_be_written", lambda folder: False)
    monkeypatch.setattr(compiled_cache.atexit, "register", lambda *_, **__: None)


def double(x):
    return 2 * x


def test_functions_get_a_private_temporary_folder(read_only, monkeypatch, tmp_path):
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(double)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    compiled_cache.allow_librosa()
    (folder,) = tmp_path.iterdir()
    assert os.environ["NUMBA_CACHE_DIR"] == str(folder) and folder.stat().st_mode & 0o77 == 0
    assert numba.njit(cache=True)(double)(2) == 4
    monkeypatch.delenv("NUMBA_CACHE_DIR")


def test_without_any_folder_the_variable_is_named(read_only, monkeypatch):
    def refuse(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(SslAudioError, match="NUMBA_CACHE_DIR"):
        compiled_cache.allow_librosa()


def test_folders_that_can_be_written(tmp_path):
    assert compiled_cache._can_be_written(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    assert not compiled_cache._can_be_written(tmp_path / "file" / "b")
    assert not compiled_cache._can_be_written(Path("~/.cache"))


def test_a_user_without_a_home_has_a_cache(monkeypatch):
    for name in ("SSL_AUDIO_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    assert cache.cache_folder().name == "ssl_audio" and cache.cache_folder().is_absolute()
