"""The shipped encoder `contrastive` as files, each written once for all workers."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ssl_audio.catalogue import export
from ssl_audio.models.encoder import load_encoder


class ExportedFiles:
    """Called with a suffix, what `export` returned; both files are of one traced program.

    Args:
        once: the fixture.
    """

    def __init__(self, once: Callable[..., Any]) -> None:
        self._once, self._formats = once, dict(export.FORMATS)  # which a test may change
        self._opened: dict[str, export.Run] = {}
        self._program = functools.cache(
            lambda trace=export._program: trace(load_encoder("contrastive"))
        )

    def __call__(self, suffix: str) -> export.Exported:
        if suffix == ".onnx":
            pytest.importorskip("onnxruntime")
            pytest.importorskip("onnxscript")
        make = functools.partial(self._make, suffix)
        made: export.Exported = self._once(f"exported{suffix}", make)
        return made

    def run(self, suffix: str) -> export.Run:
        """Waveforms to embeddings by a file; opening a .pt2 takes seconds, so once here."""
        path = self(suffix).path
        if suffix not in self._opened:  # another worker has written it
            self._opened[suffix] = self._formats[suffix][1](path)
        return self._opened[suffix]

    def _make(self, suffix: str, folder: Path) -> export.Exported:
        write, open_file = self._formats[suffix]

        def opened(path: Path) -> export.Run:
            self._opened[suffix] = open_file(path)
            return self._opened[suffix]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(export, "_program", lambda _: self._program())
            patch.setitem(export.FORMATS, suffix, (write, opened))
            return export.export(load_encoder("contrastive"), folder / f"encoder{suffix}")
