"""What `import ssl_audio` offers."""

import doctest
import importlib
import os
import pkgutil
import subprocess
import sys

import pytest

import ssl_audio


def test_every_public_name_exists_and_has_a_docstring() -> None:
    assert set(ssl_audio.__all__) == set(dir(ssl_audio))
    for name in set(ssl_audio.__all__) - {"__version__"}:
        assert getattr(ssl_audio, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ssl_audio.nothing


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, ssl_audio; print([m for m in ('numpy', 'torch') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def modules_with_examples() -> list[str]:
    every = pkgutil.walk_packages(ssl_audio.__path__, "ssl_audio.")
    names = ["ssl_audio", *(module.name for module in every)]
    return [name for name in names if ">>> " in source(name)]


def source(name: str) -> str:
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    with open(spec.origin, encoding="utf-8") as file:
        return file.read()


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.attempted and not found.failed


@pytest.mark.parametrize(("given", "expected"), [("", "1"), ("0", "0")])
def test_onnx_runtime_reports_nothing_unless_allowed(given, expected, monkeypatch):
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", given)
    if not given:
        monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    importlib.reload(ssl_audio)
    assert os.environ["ORT_DISABLE_TELEMETRY"] == expected
