"""An ONNX file as a teacher."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.io.errors import SslAudioError, first_line
from ssl_audio.io.files import file_sha256
from ssl_audio.probing.encoders import digest


class OnnxTeacher:
    """`onnx:FILE`: the first output for waveforms (batch, samples), or its mean over time.

    Its sample rate is that of the file's metadata (`sample_rate`, as `ssl-audio export` writes it),
    else 16 kHz.
    """

    def __init__(self, file: str) -> None:
        if find_spec("onnxruntime") is None:
            raise SslAudioError(
                f'teacher=onnx:{file}: no onnxruntime: pip install "ssl_audio[onnx]"'
            )
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session: Any = onnxruntime.InferenceSession(
                file, options, ["CPUExecutionProvider"]
            )
            known = self._session.get_modelmeta().custom_metadata_map
            self.sample_rate = int(known.get("sample_rate", SAMPLE_RATE))
            self._input = self._session.get_inputs()[0].name
            self(torch.zeros(2, self.sample_rate))
        except Exception as error:  # of many types: no such file, a damaged one, other inputs
            raise SslAudioError(
                f"teacher=onnx:{file}: it does not take waveforms (batch, samples): "
                f"{first_line(error)}"
            ) from error
        self.key = digest("onnx", file_sha256(Path(file)))

    def __call__(self, waveforms: Tensor) -> Tensor:
        found = torch.from_numpy(self._session.run(None, {self._input: waveforms.numpy()})[0])
        return found.mean(1) if found.ndim == 3 else found
