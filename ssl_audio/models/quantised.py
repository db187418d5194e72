"""A network in 8-bit integers: post-training quantisation of OpenVINO's, by NNCF."""

import io
import logging
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np

from ssl_audio.io.errors import SslAudioError

INSTALL = 'pip install "ssl_audio[int8]"'


def quantised(model: Any, batches: Sequence[np.ndarray]) -> Any:
    """An OpenVINO model whose convolutions and matrix products are in 8-bit integers.

    Weights are scaled per channel, activations per tensor, by the smallest and largest values that
    occur in the batches.

    Raises:
        SslAudioError: NNCF is not installed.
    """
    try:
        import nncf
    except Exception as error:  # a broken installation raises any type
        raise SslAudioError(f"precision=int8 needs NNCF: {INSTALL}") from error
    nncf.set_log_level(logging.ERROR)
    with redirect_stdout(io.StringIO()):  # its progress bars
        return nncf.quantize(
            model, nncf.Dataset(batches), subset_size=len(batches),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            # a correction of biases takes half of the time, and the embeddings are farther off
            advanced_parameters=nncf.AdvancedQuantizationParameters(disable_bias_correction=True),
        )  # fmt: skip
