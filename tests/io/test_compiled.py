"""Compiled functions, with and without a cache on disk."""

from numba.core.caching import CacheImpl

from ssl_audio.io.compiled import compiled


def test_it_compiles_where_no_cache_can_be_written(monkeypatch):
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])

    def double(x):
        return 2 * x

    assert compiled()(double)(3) == 6
