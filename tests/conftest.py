"""Fixtures that every test may use, and the order of the tests."""

import gc
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from filelock import FileLock

if TYPE_CHECKING:
    from exports import ExportedFiles

hypothesis.settings.register_profile("no deadline", deadline=None)  # a slow machine fails no test
hypothesis.settings.load_profile("no deadline")
# of a shell that starts the tests in the background, these and their processes inherit to ignore it
signal.signal(signal.SIGINT, signal.default_int_handler)
gc.disable()  # until all is collected: nothing of what is imported is garbage
SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules with slow tests come first: the last tests are quick, so that no worker waits long
    for another one. A module stays together, since its tests share fixtures."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """What was imported, some 700,000 objects, is not searched for garbage while tests run."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the clone; a test that needs it is skipped without it."""
    if not SHARED.is_dir():
        pytest.skip(f"reference data is absent: no folder {SHARED.name!r} beside the clone")
    return SHARED


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], Any]], Any]:
    """`once(name, make)`: what `make(path)` returns, called by the first worker that needs it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all workers

    def once(name: str, make: Callable[[Path], Any]) -> Any:
        made = folder / f"{name}.made"
        with FileLock(folder / f"{name}.lock"):
            if not made.exists():
                made.write_bytes(pickle.dumps(make(folder / name)))
        return pickle.loads(made.read_bytes())

    return once


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_AUDIO_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(scope="session")
def demo_corpus(once: Callable[..., Any]) -> Path:
    """24 tracks of 13 s of the demo corpus, as in tools/studies/demo.yaml."""
    from ssl_audio.audio.demo_corpus import make_demo

    found: Path = once("demo", lambda path: make_demo(path, 24, 13.0, workers=1))
    return found


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of reports are made, but not rendered, which would take seconds."""
    from ssl_audio.reports import drawing

    empty = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    monkeypatch.setattr(drawing, "_written", lambda figure, kind, metadata: empty)


@pytest.fixture(scope="module")  # while it runs, a test cannot run an event loop of its own
def browser() -> Iterator[Any]:
    """A running Chromium."""
    from browser import started

    yield from started()


@pytest.fixture(scope="session")
def exported(once: Callable[..., Any]) -> "ExportedFiles":
    """What `export` returns for the shipped encoder `contrastive` and a suffix."""
    from exports import ExportedFiles

    return ExportedFiles(once)
