"""A decoder that crashes, hangs and takes memory, for the processes that decode."""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssl_audio.audio import isolated


@pytest.fixture
def dangerous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the processes a soundfile that dies of some names and never returns from others."""
    code = """
        import importlib.util, os, sys, time
        here = os.path.dirname(__file__)
        elsewhere = [path for path in sys.path if path != here]
        spec = importlib.machinery.PathFinder.find_spec("soundfile", elsewhere)
        real = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(real)
        globals().update({k: v for k, v in vars(real).items() if not k.startswith("__")})

        class SoundFile(real.SoundFile):
            def __init__(self, file, *rest, **options):
                print("noise on standard output", flush=True)
                self.place = 0
                self.file = os.path.basename(os.fsdecode(file))
                if "crash" in self.file:
                    os.kill(os.getpid(), 11)
                if "hang" in self.file:
                    time.sleep(60)
                if "memory" in self.file:
                    bytearray(5 << 30)
                super().__init__(file, *rest, **options)

            def read(self, frames, *rest, **options):
                self.place += frames
                if "late" in self.file and self.place > 200_000:
                    os.kill(os.getpid(), 11)
                return super().read(frames, *rest, **options)
    """
    fake = tmp_path / "fake"
    fake.mkdir()
    (fake / "soundfile.py").write_text(textwrap.dedent(code))
    isolated.stop()
    monkeypatch.setattr(sys, "path", [str(fake), *sys.path])
    yield
    isolated.stop()
