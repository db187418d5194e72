"""Compiled functions, with and without a cache on disk."""

import importlib
import pkgutil

from numba.core.caching import CacheImpl
from numba.core.dispatcher import Dispatcher

import ssl_audio.probing
import ssl_audio.recommenders
from ssl_audio.io.compiled import compiled


def test_it_compiles_where_no_cache_can_be_written(monkeypatch):
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])

    def double(x):
        return 2 * x

    assert compiled()(double)(3) == 6


def test_no_compiled_function_calls_one_of_another_file():
    """Else the cache on disk would keep the old code of a function that has changed."""
    rooms = (ssl_audio.probing, ssl_audio.recommenders)
    names = [m.name for r in rooms for m in pkgutil.walk_packages(r.__path__, f"{r.__name__}.")]
    functions = [
        one.py_func for name in names for one in vars(importlib.import_module(name)).values()
        if isinstance(one, Dispatcher)
    ]  # fmt: skip
    assert len({function.__qualname__ for function in functions}) > 5
    for function in functions:
        called = [function.__globals__.get(name) for name in function.__code__.co_names]
        files = {one.py_func.__module__ for one in called if isinstance(one, Dispatcher)}
        assert files <= {function.__module__}, function.__qualname__
