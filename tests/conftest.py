"""Fixtures that every test may use, and the order of the tests."""

import functools
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from filelock import FileLock

if TYPE_CHECKING:
    from ssl_audio.catalogue.export import Exported

hypothesis.settings.register_profile("no deadline", deadline=None)  # a slow machine fails no test
hypothesis.settings.load_profile("no deadline")
SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules with slow tests come first: the last tests are quick, so that no worker waits long
    for another one. A module stays together, since its tests share fixtures."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the clone; a test that needs it is skipped without it."""
    if not SHARED.is_dir():
        pytest.skip(f"reference data is absent: no folder {SHARED.name!r} beside the clone")
    return SHARED


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> "Callable[[str], Exported]":
    """What `export` returns for the shipped encoder `contrastive` and a suffix.

    A file is written once for all workers, and both files are of one traced program.
    """
    from ssl_audio.catalogue import export
    from ssl_audio.models.encoder import load_encoder

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all workers
    traced = functools.cache(lambda trace=export._program: trace(load_encoder("contrastive")))

    def exported(suffix: str) -> "Exported":
        if suffix == ".onnx":
            pytest.importorskip("onnxruntime")
            pytest.importorskip("onnxscript")
        known = folder / f"exported{suffix}.pickle"
        with FileLock(folder / f"exported{suffix}.lock"):
            if not known.exists():
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(export, "_program", lambda _: traced())
                    path = folder / "exported" / f"encoder{suffix}"
                    found = export.export(load_encoder("contrastive"), path)
                known.write_bytes(pickle.dumps(found))
        return pickle.loads(known.read_bytes())

    return exported
