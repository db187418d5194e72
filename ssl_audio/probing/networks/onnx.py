"""Networks as ONNX files."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.io.errors import SslAudioError, first_line
from ssl_audio.io.files import file_sha256
from ssl_audio.probing.encoders import BaselineOptions, digest

SEGMENT = 4.0  # seconds, where the file does not say


class OnnxFile:
    """`onnx:FILE`: the first output for waveforms (batch, samples), or its mean over time.

    Sample rate and window are those of the file's metadata (`sample_rate` and `segment`, as
    `ssl-audio export` writes them), else 16 kHz and 4 s.
    """

    def __init__(self, options: BaselineOptions) -> None:
        if find_spec("onnxruntime") is None:
            raise SslAudioError(f'{options.name}: no onnxruntime: pip install "ssl_audio[onnx]"')
        import onnxruntime

        file, session = options.argument, onnxruntime.SessionOptions()
        session.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session: Any = onnxruntime.InferenceSession(
                file, session, ["CPUExecutionProvider"]
            )
            known = self._session.get_modelmeta().custom_metadata_map
            self.sample_rate = int(known.get("sample_rate", SAMPLE_RATE))
            self.window = float(known.get("segment", SEGMENT))
            self._input = self._session.get_inputs()[0].name
            self(torch.zeros(2, round(self.window * self.sample_rate)))
        except Exception as error:  # of many types: no such file, a damaged one, other inputs
            raise SslAudioError(
                f"{options.name}: it does not take waveforms (batch, samples): {first_line(error)}"
            ) from error
        self.key = digest("onnx", file_sha256(Path(file)))

    def __call__(self, waveforms: Tensor) -> Tensor:
        found = torch.from_numpy(self._session.run(None, {self._input: waveforms.numpy()})[0])
        return found.mean(1) if found.ndim == 3 else found
